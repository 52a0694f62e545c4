package broker

import (
	"errors"
	"strings"

	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/state/lease"
)

// funeral is some dead letters of a queue on their way, in the order in which
// they died: first to the targets in other shards, and when they have arrived
// there to those in the queue's own, where they are settled at the same time. If
// something goes wrong, all of it is done again.
type funeral struct {
	d      *desk
	deaths []lease.Dead
	sizes  []int64
	moves  map[record.ShardID]*move
	own    *move
	// left is how many shards have not answered.
	left int
	err  error
}

// bury begins the next funeral, unless one is under way.
func (d *desk) bury() {
	if d.burying || d.closed || d.Set().Dying() == 0 || !d.q.s.leads.Load() {
		return
	}
	t := d.part.topic.Load()
	if t == nil {
		return // Partition.defined comes
	}
	d.queue.view.CompareAndSwap(nil, t)
	f := &funeral{d: d, moves: map[record.ShardID]*move{}, own: &move{source: d.part.id, buries: true}}
	total := 0
	for _, dead := range d.Set().Deaths(0, maxLetters) {
		n, err := f.add(dead)
		if err != nil {
			d.q.s.b.log.Error("a dead letter cannot be read", "partition", d.part.id, "offset", dead.Offset, "reason", err)
			break
		}
		if total += n; total > funeralBytes {
			break
		}
	}
	d.grave.forget()
	if len(f.deaths) == 0 {
		return
	}
	d.burying = true
	f.send()
}

// defined goes on with what had to wait for the partition's definition, since this
// node leads its shard and had not heard of it yet.
func (p *Partition) defined() {
	if p.desk != nil {
		p.desk.workNow()
	}
}

// add takes a dead letter into the funeral and returns how large it is.
func (f *funeral) add(dead lease.Dead) (int, error) {
	d := f.d
	rec, err := d.exhume(dead.Offset)
	if err != nil {
		return 0, err
	}
	f.deaths = append(f.deaths, dead)
	f.sizes = append(f.sizes, 0)
	if rec == nil { // compacted away
		return 0, nil
	}
	if dead.Reason == lease.DeliveryLimit {
		f.sizes[len(f.sizes)-1] = int64(len(rec.record.Value))
	}
	batch, targets, err := d.letter(rec, dead)
	if err != nil {
		return 0, err
	}
	for _, q := range targets {
		m := f.own
		if s := q.part.shard; s != d.part.shard {
			if m = f.moves[s.id]; m == nil {
				m = &move{source: d.part.id}
				f.moves[s.id] = m
			}
		}
		if n := len(m.letters); n == 0 || m.letters[n-1].number != dead.Number {
			m.letters = append(m.letters, letter{number: dead.Number, body: int64(len(rec.record.Value)), batch: batch})
		}
		l := &m.letters[len(m.letters)-1]
		l.targets = append(l.targets, q.target(levelOf(&rec.record, rec.level)))
	}
	return len(batch), nil
}

// letter builds what is published in place of a record that has died, and finds
// where it goes.
func (d *desk) letter(rec *fetched, dead lease.Dead) (batch []byte, targets []*Queue, err error) {
	settings := d.Set().Settings()
	history, err := Deaths(&rec.record)
	if err != nil {
		history = nil // somebody else's header; the record must not be stuck for it
	}
	exchange, _ := rec.record.Headers.Get(HeaderExchange)
	at := addressOf(&rec.record, history, d.queue.Name())
	history = die(history, Death{
		Queue: d.queue.Name(), Reason: dead.Reason.String(), Count: 1, Time: int64(d.q.now),
		Exchange: string(exchange), Keys: append([]string{string(at.key)}, at.copies...), Rekeyed: !settings.KeepKeys,
	})
	if !settings.KeepKeys {
		at.key, at.copies, at.blind = []byte(settings.DeadLetterKey), nil, nil
	}
	d.router().Properties(func(name string) []byte { return propertyOf(&rec.record, name) })
	routes, err := d.route(&at, settings)
	if err != nil {
		return nil, nil, nil //nolint:nilerr // an exchange that is gone drops its dead letters, as RabbitMQ's does
	}
	for _, q := range routes.Queues {
		if dead.Reason == lease.Rejected || !cycles(history, q.Name()) {
			targets = append(targets, q)
		}
	}
	out, err := buried(&rec.record, history, []byte(settings.DeadLetterExchange), at.key)
	if err != nil {
		return nil, nil, err
	}
	var b record.Builder
	b.Reset(record.Template(record.None))
	b.Add(out)
	batch, err = b.AppendTo(nil)
	return batch, targets, err
}

// propertyOf returns a property of AMQP's as records have it in their headers.
func propertyOf(r *record.Record, name string) []byte {
	value, _ := r.Headers.Get(strings.ReplaceAll(name, "_", "-"))
	return value
}

func (d *desk) router() *Router {
	if d.deadRouter == nil {
		d.deadRouter = d.q.s.b.NewRouter(d.queue.Tenant())
		d.deadRouter.Inside()
	}
	return d.deadRouter
}

// exhume reads one record, whatever its level; nil if it does not exist.
func (d *desk) exhume(o record.Offset) (*fetched, error) {
	f, known := d.grave.seek(o)
	if !known {
		d.grave.forget()
		l := loading{from: o, limit: d.part.HighWatermark(), size: 1}
		if err := l.into(&d.grave, d.part); err != nil {
			return nil, err
		}
		f, _ = d.grave.seek(o)
	}
	if f != nil && f.record.Offset != o {
		f = nil
	}
	return f, nil
}

// send begins with the other shards.
func (f *funeral) send() {
	f.left = 1
	for _, id := range sortedKeys(f.moves) {
		f.left++
		f.d.q.s.b.shards[id].proposeOwn(kindMove, f.moves[id].appendTo(nil), func(_ any, err error) {
			f.d.q.s.group.Post(func() { f.answered(err) })
		})
	}
	f.answered(nil)
}

// answered counts the answers of the other shards, and then settles.
func (f *funeral) answered(err error) {
	f.err = errors.Join(f.err, err)
	if f.left--; f.left > 0 || f.d.closed {
		return
	}
	if f.err != nil {
		f.again(f.err)
		return
	}
	// A letter without a target here is settled all the same, in its turn.
	own := f.own
	arrived := own.letters
	own.letters = make([]letter, 0, len(f.deaths))
	for i, dead := range f.deaths {
		l := letter{number: dead.Number}
		if len(arrived) > 0 && arrived[0].number == dead.Number {
			l, arrived = arrived[0], arrived[1:]
		}
		l.bytes = f.sizes[i]
		own.letters = append(own.letters, l)
	}
	f.d.q.s.proposeOwn(kindMove, own.appendTo(nil), func(_ any, err error) {
		switch {
		case f.d.closed:
		case err != nil:
			f.again(err)
		default:
			f.d.burying = false
			f.d.workNow()
		}
	})
}

// again holds the funeral once more, after a while.
func (f *funeral) again(err error) {
	d := f.d
	d.q.s.b.log.Debug("dead letters will be sent again", "partition", d.part.id, "reason", err)
	d.q.s.b.opts.Clock.AfterFunc(resendDelay, func() {
		d.q.s.group.Post(func() {
			d.burying = false
			d.workNow()
		})
	})
}

// refuse dead-letters the records of a batch that the queue had no room for. They
// never were in it, so what is lost on the way is lost.
func (d *desk) refuse(batch []byte) {
	settings := d.Set().Settings()
	if d.closed || !settings.DeadLetter {
		return
	}
	dead := lease.Dead{Reason: lease.MaxLength}
	err := record.Records(batch, func(rec record.Record) error {
		letter, targets, err := d.letter(&fetched{record: rec}, dead)
		if err == nil && len(targets) > 0 {
			d.q.s.b.Publish(&Publish{
				Batch: letter, Targets: targets, Facts: Facts{Bytes: int64(len(rec.Value))}, Done: func(*Publish) {},
			})
		}
		return err
	})
	if err != nil {
		d.q.s.b.log.Error("a refused record cannot be dead-lettered", "partition", d.part.id, "reason", err)
	}
}
