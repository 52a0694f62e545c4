package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/polylog-mq/polylog/internal/cli/kafkaclient"
	"github.com/polylog-mq/polylog/internal/cli/recordfmt"
	"github.com/polylog-mq/polylog/internal/record"
)

// linger is how long a record waits for company when the input pauses.
const linger = 5 * time.Millisecond

// produceOptions are the flags of produce.
type produceOptions struct {
	separator, format, key, compress, acks string
	headers                                []string
	partition                              int32
	whole, tombstone                       bool
}

func (a *App) produceCommand() *cobra.Command {
	var o produceOptions
	cmd := &cobra.Command{
		Use:   "produce TOPIC [FILE...]",
		Short: "Write records, one per line of the input",
		Long: "Write records, one per line of the files, or of stdin.\n\n" +
			"--format says how a record is written: \"json\" reads what 'consume --format json'\n" +
			"writes, byte for byte; else it holds %k key, %v value, %p partition, %d timestamp\n" +
			"(ms) and %h{%k=%v,} headers, and the text between them. %v{hex} and %v{base64}\n" +
			"are decoded.",
		Example: "  echo hello | polylog produce greetings\n" +
			"  polylog produce users --key-separator : users.txt\n" +
			"  polylog consume a --exit --format json | polylog produce b --format json",
		Args: arguments(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			job, err := a.newProduction(&o, cmd.CommandPath())
			if err != nil {
				return err
			}
			return a.withClient(cmd.Context(), func(c *kafkaclient.Client) error {
				return about("topic", args[0], job.run(cmd.Context(), c, args[0], args[1:]))
			})
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.separator, "key-separator", "k", "", "the key stands before this text, the value after it")
	f.StringVarP(&o.format, "format", "f", "", `how records are written: json, or a format such as "%k\t%v\n"`)
	f.StringVar(&o.key, "key", "", "the key of every record that has none")
	f.StringArrayVarP(&o.headers, "header", "H", nil, "a header of every record, name=value; can be given several times")
	f.Int32VarP(&o.partition, "partition", "p", recordfmt.Unset, "the partition; -1: by key, or in turn")
	f.StringVarP(&o.compress, "compress", "z", "none", "none, gzip, snappy, lz4 or zstd")
	f.StringVar(&o.acks, "acks", "all", "all, 1 or 0")
	f.BoolVar(&o.whole, "whole", false, "each file is one record")
	f.BoolVarP(&o.tombstone, "tombstone", "Z", false, "an empty value is null: it deletes its key from a compacted topic")
	cmd.ValidArgsFunction = a.completeOneTopic
	offers(cmd, "compress", codecs()...)
	offers(cmd, "acks", "all", "1", "0")
	return a.clientFlags(cmd)
}

// production is one run of produce.
type production struct {
	app     *App
	o       *produceOptions
	options kafkaclient.ProducerOptions
	format  string
	headers record.Headers
	sent    int64
	bytes   int64
	began   time.Time
	shown   time.Time
}

func (a *App) newProduction(o *produceOptions, command string) (*production, error) {
	p := &production{app: a, o: o, format: `%v\n`, began: time.Now()}
	bad := func(format string, args ...any) error { return usageError{fmt.Errorf(format, args...), command} }
	if o.format != "" && o.separator != "" {
		return nil, bad("--format and --key-separator exclude each other")
	}
	if o.format != "" {
		p.format = o.format
	}
	if o.separator != "" {
		p.format = "%k" + strings.ReplaceAll(o.separator, "%", "%%") + `%v\n`
	}
	if p.format != formatJSON {
		if _, err := recordfmt.NewSource(strings.NewReader(""), p.format); err != nil {
			return nil, bad("%w", err)
		}
	}
	codec, ok := record.ParseCodec(o.compress)
	if !ok {
		return nil, bad("--compress %q is none of none, gzip, snappy, lz4, zstd", o.compress)
	}
	acks, ok := map[string]int16{"all": -1, "-1": -1, "1": 1, "0": 0}[o.acks]
	if !ok {
		return nil, bad("--acks %q is none of all, 1, 0", o.acks)
	}
	for _, h := range o.headers {
		name, value, ok := strings.Cut(h, "=")
		if !ok {
			return nil, bad("--header %q is not name=value", h)
		}
		p.headers.Add(name, []byte(value))
	}
	p.options = kafkaclient.ProducerOptions{Codec: codec, Acks: acks}
	return p, nil
}

// run writes everything and says so.
func (p *production) run(ctx context.Context, c *kafkaclient.Client, topic string, files []string) error {
	p.options.Delivered = func(_ int32, _ int64, count int) { p.progress(int64(count)) }
	producer, err := c.NewProducer(ctx, topic, p.options)
	if err != nil {
		return err
	}
	if len(files) == 0 {
		files = []string{"-"}
	}
	for _, name := range files {
		if err := p.file(ctx, producer, name); err != nil {
			if name != "-" {
				err = fmt.Errorf("%s: %w", name, err)
			}
			return fmt.Errorf("%w; %s acknowledged before", err, plural(int(p.sent), "record"))
		}
	}
	if terminal(p.app.Err) {
		fmt.Fprintf(p.app.Err, "\r%s to %s, acknowledged\x1b[K\n", plural(int(p.sent), "record"), topic)
	}
	return nil
}

func (p *production) file(ctx context.Context, producer *kafkaclient.Producer, name string) error {
	in := p.app.In
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return fmt.Errorf("opening: %w", err)
		}
		defer f.Close()
		in = f
	}
	if p.o.whole {
		value, err := io.ReadAll(io.LimitReader(in, recordfmt.MaxRecord+1))
		if err != nil {
			return fmt.Errorf("reading: %w", err)
		}
		r := recordfmt.Record{Partition: recordfmt.Unset}
		r.Timestamp, r.Value = record.NoTimestamp, value
		if err := p.add(ctx, producer, &r); err != nil {
			return err
		}
		return producer.Flush(ctx)
	}
	source := recordfmt.NewJSONSource(in)
	if p.format != formatJSON {
		var err error
		if source, err = recordfmt.NewSource(in, p.format); err != nil {
			return err
		}
	}
	return p.stream(ctx, producer, source)
}

// stream writes a source's records. Reading goes on in a goroutine of its own,
// so that a pause of the input sends what has come so far; after an error the
// goroutine stays behind in its read, for the little while that the process
// goes on.
func (p *production) stream(ctx context.Context, producer *kafkaclient.Producer, source recordfmt.Source) error {
	records := make(chan recordfmt.Record, 1024)
	failed := make(chan error, 1)
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		defer close(records)
		for {
			var r recordfmt.Record
			err := source.Next(&r)
			if err != nil {
				failed <- err
				return
			}
			select {
			case records <- own(r):
			case <-stop:
				return
			}
		}
	}()
	pause := time.NewTimer(linger)
	defer pause.Stop()
	for {
		select {
		case r, more := <-records:
			if !more {
				if err := producer.Flush(ctx); err != nil {
					return err
				}
				if err := <-failed; !errors.Is(err, io.EOF) {
					return err
				}
				return nil
			}
			if err := p.add(ctx, producer, &r); err != nil {
				return err
			}
			pause.Reset(linger)
		case <-pause.C:
			if err := producer.Flush(ctx); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// own copies what the source will overwrite.
func own(r recordfmt.Record) recordfmt.Record {
	r.Key, r.Value = clone(r.Key), clone(r.Value)
	return r
}

func clone(b []byte) []byte {
	if b == nil {
		return nil
	}
	return append(make([]byte, 0, len(b)), b...)
}

// add applies the flags to a record and gives it to the producer.
func (p *production) add(ctx context.Context, producer *kafkaclient.Producer, r *recordfmt.Record) error {
	if r.Key == nil && p.o.key != "" {
		r.Key = []byte(p.o.key)
	}
	if p.o.tombstone && len(r.Value) == 0 {
		r.Value = nil
	}
	if r.Timestamp == record.NoTimestamp {
		r.Timestamp = time.Now().UnixMilli()
	}
	for name, value := range p.headers.All() {
		r.Headers.Add(string(name), value)
	}
	partition := p.o.partition
	if partition == recordfmt.Unset && p.format != formatJSON {
		partition = r.Partition // a JSON line's is where it came from
	}
	p.bytes += int64(len(r.Key) + len(r.Value))
	return producer.Add(ctx, r.Record, partition)
}

// progress counts what was acknowledged and shows it to a person, a few times
// a second.
func (p *production) progress(count int64) {
	p.sent += count
	now := time.Now()
	if !terminal(p.app.Err) || now.Sub(p.began) < time.Second || now.Sub(p.shown) < 250*time.Millisecond {
		return
	}
	p.shown = now
	rate := float64(p.bytes) / (1 << 20) / now.Sub(p.began).Seconds()
	fmt.Fprintf(p.app.Err, "\r%d records, %.1f MiB, %.1f MiB/s\x1b[K", p.sent, float64(p.bytes)/(1<<20), rate)
}
