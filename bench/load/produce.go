package load

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sys/unix"
)

// Produce is a load of Produce requests with acks=all, one batch each.
// Connection i writes to partition i modulo Partitions; with Spread, to that
// one first and then to one after the other.
type Produce struct {
	Addr        string
	Topic       string
	Partitions  int
	Connections int
	InFlight    int   // requests unanswered per connection, 1 and up; closed loop only
	Records     int   // per batch
	Size        int   // bytes of value per record
	Codec       Codec // of the batch
	Spread      bool
	Warmup      time.Duration // not counted
	Duration    time.Duration // counted
	// Requests, when above 0, is how many each connection sends, without a
	// warm-up and in what time that takes; Duration is ignored.
	Requests int
	// Rate, when above 0, makes the load an open loop: requests per second and
	// connection, sent on schedule whatever the server does, latency counted
	// from the scheduled moment (no coordinated omission). InFlight is ignored.
	Rate float64
	// Stamp puts the moment for which a batch was scheduled, in Unix
	// nanoseconds, into its first value, for Flow; uncompressed values of 64 to
	// 8191 bytes only.
	Stamp bool
}

// Result is what a load did in its counted time.
type Result struct {
	Requests int64   `json:"requests"`
	Records  int64   `json:"records"`
	Bytes    int64   `json:"bytes"` // of record values
	Seconds  float64 `json:"seconds"`
	Latency  Latency `json:"latency"`
}

// PerSecond returns records per second.
func (r Result) PerSecond() float64 { return float64(r.Records) / r.Seconds }

// MegabytesPerSecond returns 10^6 bytes of values per second.
func (r Result) MegabytesPerSecond() float64 { return float64(r.Bytes) / r.Seconds / 1e6 }

// Run drives the load; onCount runs at the moment that counting begins, and
// onEnd when it ends, while the server is still loaded.
func (p Produce) Run(ctx context.Context, onCount, onEnd func()) (Result, error) {
	if p.Requests > 0 {
		p.Warmup, p.Duration = 0, onceLimit
	}
	begin := time.Now().Add(p.Warmup)
	end := begin.Add(p.Duration)
	ctx, cancel := context.WithDeadline(ctx, end.Add(30*time.Second))
	defer cancel()
	finish := timed(p.Requests > 0, p.Warmup, p.Duration, onCount, onEnd)

	workers := make([]producer, p.Connections)
	errs := make([]error, p.Connections)
	var wg sync.WaitGroup
	for i := range workers {
		w := &workers[i]
		*w = producer{load: p, id: i, begin: begin, end: end, latency: NewHistogram()}
		wg.Go(func() { errs[i] = w.run(ctx) })
	}
	wg.Wait()
	seconds := finish()
	total := NewHistogram()
	var n int64
	for i := range workers {
		if errs[i] != nil {
			return Result{}, fmt.Errorf("connection %d: %w", i, errs[i])
		}
		total.Merge(workers[i].latency)
		n += workers[i].counted
	}
	records := n * int64(p.Records)
	return Result{
		Requests: n, Records: records, Bytes: records * int64(p.Size),
		Seconds: seconds, Latency: Summarize(total),
	}, nil
}

// onceLimit bounds a load that does a given amount of work.
const onceLimit = 5 * time.Minute

// timed calls onCount and onEnd when their times come; with all, at once and by
// finish. finish, called when the work is done, returns the seconds that count.
func timed(all bool, warmup, duration time.Duration, onCount, onEnd func()) (finish func() float64) {
	began := time.Now()
	if all {
		onCount()
		return func() float64 {
			onEnd()
			return time.Since(began).Seconds()
		}
	}
	time.AfterFunc(warmup, onCount)
	ended := make(chan struct{})
	time.AfterFunc(warmup+duration, func() { onEnd(); close(ended) })
	return func() float64 {
		<-ended
		return duration.Seconds()
	}
}

// producer is one connection of a Produce load.
type producer struct {
	load       Produce
	id         int
	begin, end time.Time
	latency    *hdr.Histogram
	counted    int64
}

func (w *producer) run(ctx context.Context) error {
	c, err := dial(w.load.Addr)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	if w.load.InFlight == 1 && w.load.Rate == 0 {
		return w.alternate(c)
	}
	window := w.load.InFlight
	if w.load.Rate > 0 {
		window = 1 << 16
	}
	sent := make(chan time.Time, window)
	slots := make(chan struct{}, window)
	failed := make(chan error, 1)
	go func() {
		failed <- w.send(c, sent, slots)
		close(sent)
	}()
	if err := w.receive(c, sent, slots); err != nil {
		return err
	}
	return <-failed
}

// alternate sends and receives by turns: one request in flight needs no second
// goroutine, and the server is to be the bottleneck.
func (w *producer) alternate(c *conn) error {
	r, err := w.request()
	if err != nil {
		return err
	}
	for i := uint32(0); w.load.Requests == 0 || i < uint32(w.load.Requests); i++ {
		now := time.Now()
		if now.After(w.end) {
			return nil
		}
		if _, err := c.Write(r.next(w, i, now)); err != nil {
			return fmt.Errorf("send: %w", err)
		}
		if err := w.answer(c, now); err != nil {
			return err
		}
	}
	return nil
}

// send writes requests until the end of the load.
func (w *producer) send(c *conn, sent chan<- time.Time, slots chan<- struct{}) error {
	r, err := w.request()
	if err != nil {
		return err
	}
	var gap time.Duration
	next := time.Now()
	if w.load.Rate > 0 {
		gap = time.Duration(float64(time.Second) / w.load.Rate)
		// Spread the connections over one gap, so that they do not march in step.
		next = next.Add(gap * time.Duration(w.id) / time.Duration(w.load.Connections))
	}
	for i := uint32(0); w.load.Requests == 0 || i < uint32(w.load.Requests); i++ {
		if gap > 0 {
			next = next.Add(gap)
			pause(time.Until(next))
		}
		now := time.Now()
		if now.After(w.end) {
			return nil
		}
		if gap > 0 {
			now = next
		}
		slots <- struct{}{}
		if gap == 0 {
			now = time.Now()
		}
		sent <- now
		if _, err := c.Write(r.next(w, i, now)); err != nil {
			return fmt.Errorf("send: %w", err)
		}
	}
	return nil
}

// pause is time.Sleep but for what an idle program's timers are late: they wait
// in whole milliseconds, which would count as the server's latency.
func pause(d time.Duration) {
	if d <= 0 {
		return
	}
	t := unix.NsecToTimespec(int64(d))
	for unix.Nanosleep(&t, &t) == unix.EINTR { // what is left is in t
	}
}

// receive reads an answer for each request sent.
func (w *producer) receive(c *conn, sent <-chan time.Time, slots <-chan struct{}) error {
	for t := range sent {
		if err := w.answer(c, t); err != nil {
			return err
		}
		<-slots
	}
	return nil
}

// answer reads the answer to a request sent at t.
func (w *producer) answer(c *conn, t time.Time) error {
	b, err := c.frame()
	if err != nil {
		return err
	}
	// correlation id, array length, topic, array length, partition
	at := 4 + 4 + 2 + len(w.load.Topic) + 4 + 4
	if len(b) < at+2 {
		return fmt.Errorf("answer of %d bytes is too short", len(b))
	}
	if code := int16(binary.BigEndian.Uint16(b[at:])); code != 0 {
		return fmt.Errorf("produce refused with error code %d", code)
	}
	now := time.Now()
	if now.After(w.begin) && now.Before(w.end) {
		Record(w.latency, now.Sub(t))
		w.counted++
	}
	return nil
}

// request is a frame that is sent again and again, and places in it.
type request struct{ frame, partition, batch []byte }

// next returns the frame of request number i, which is scheduled for now.
func (r *request) next(w *producer, i uint32, now time.Time) []byte {
	binary.BigEndian.PutUint32(r.frame[8:], i)
	if w.load.Spread {
		binary.BigEndian.PutUint32(r.partition, (uint32(w.id)+i)%uint32(w.load.Partitions))
	}
	if w.load.Stamp {
		binary.BigEndian.PutUint64(r.batch[stampAt:], uint64(now.UnixNano()))
		seal(r.batch)
	}
	return r.frame
}

// request makes the frame: the batch is its end, and its length and the
// partition's number stand before that.
func (w *producer) request() (r request, err error) {
	rng := rand.NewChaCha8([32]byte{byte(w.id), byte(w.id >> 8)})
	p := kmsg.NewProduceRequestTopicPartition()
	p.Partition = int32(w.id % w.load.Partitions)
	if p.Records, err = batch(w.load.Records, w.load.Size, w.load.Codec, rng); err != nil {
		return request{}, err
	}
	t := kmsg.NewProduceRequestTopic()
	t.Topic, t.Partitions = w.load.Topic, append(t.Partitions, p)
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = -1, 30_000
	req.Topics = append(req.Topics, t)
	r.frame = encode(req, produceVersion)
	at := len(r.frame) - len(p.Records)
	r.partition, r.batch = r.frame[at-8:], r.frame[at:]
	return r, nil
}
