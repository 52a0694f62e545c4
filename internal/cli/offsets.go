package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/polylog-mq/polylog/internal/cli/kafkaclient"
)

// offsetHelp describes --offset.
const offsetHelp = "start, end, N, +N (after the first), -N (before the end), @TIME, or FROM:TO of two of these"

// place is one end of a range of offsets.
type place struct {
	kind byte // 's' start, 'e' end, '=' absolute, '+' after the start, '-' before the end, '@' time
	n    int64
}

// span is a range of offsets; a nil to goes on for ever.
type span struct {
	from place
	to   *place
}

// parseSpan reads an --offset. Times may contain colons, so every colon is
// tried as the one that separates.
func parseSpan(text string, now time.Time) (span, error) {
	if from, err := parsePlace(text, now); err == nil {
		return span{from: from}, nil
	}
	for i := range len(text) {
		if text[i] != ':' {
			continue
		}
		s := span{from: place{kind: 's'}}
		var err error
		if text[:i] != "" {
			s.from, err = parsePlace(text[:i], now)
		}
		if err == nil && text[i+1:] != "" {
			var to place
			to, err = parsePlace(text[i+1:], now)
			s.to = &to
		}
		if err == nil {
			return s, nil
		}
	}
	return span{}, fmt.Errorf("--offset %q is none of %s", text, offsetHelp)
}

func parsePlace(text string, now time.Time) (place, error) {
	switch {
	case text == "start":
		return place{kind: 's'}, nil
	case text == "end":
		return place{kind: 'e'}, nil
	case strings.HasPrefix(text, "@"):
		ms, err := parseTime(text[1:], now)
		return place{'@', ms}, err
	case strings.HasPrefix(text, "+"), strings.HasPrefix(text, "-"):
		n, err := strconv.ParseUint(text[1:], 10, 63)
		return place{text[0], int64(n)}, err
	}
	n, err := strconv.ParseUint(text, 10, 63)
	return place{'=', int64(n)}, err
}

// parseTime reads milliseconds, a date, an RFC 3339 time, or a duration before
// now such as -1h.
func parseTime(text string, now time.Time) (int64, error) {
	if d, err := time.ParseDuration(text); err == nil && strings.HasPrefix(text, "-") {
		return now.Add(d).UnixMilli(), nil
	}
	if ms, err := strconv.ParseInt(text, 10, 64); err == nil && ms >= 0 {
		return ms, nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return t.UnixMilli(), nil
		}
	}
	return 0, fmt.Errorf("%q is no time", text)
}

// resolver turns places into offsets, asking for each kind only once.
type resolver struct {
	client     *kafkaclient.Client
	topic      kafkaclient.Topic
	start, end map[int32]int64
}

func newResolver(ctx context.Context, c *kafkaclient.Client, t kafkaclient.Topic) (*resolver, error) {
	start, err := c.Offsets(ctx, t, kafkaclient.AtStart)
	if err != nil {
		return nil, err
	}
	end, err := c.Offsets(ctx, t, kafkaclient.AtEnd)
	return &resolver{c, t, start, end}, err
}

// offsets returns the place in every partition, within what is kept.
func (r *resolver) offsets(ctx context.Context, p place) (map[int32]int64, error) {
	var at map[int32]int64
	if p.kind == '@' {
		var err error
		if at, err = r.client.Offsets(ctx, r.topic, p.n); err != nil {
			return nil, err
		}
	}
	found := map[int32]int64{}
	for _, part := range r.topic.Partitions {
		n := part.Number
		start, end := r.start[n], r.end[n]
		switch p.kind {
		case 's':
			found[n] = start
		case 'e':
			found[n] = end
		case '=':
			found[n] = p.n
		case '+':
			found[n] = min(start+p.n, end)
		case '-':
			found[n] = max(end-p.n, start)
		case '@':
			found[n] = at[n]
			if at[n] < 0 { // nothing is that new
				found[n] = end
			}
		}
	}
	return found, nil
}
