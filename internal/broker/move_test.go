package broker

import (
	"reflect"
	"testing"

	"github.com/polylog-mq/polylog/internal/record"
	"github.com/polylog-mq/polylog/internal/state/schedule"
)

func FuzzMove(f *testing.F) {
	f.Add((&move{source: 3, buries: true, letters: []letter{
		{number: 1, bytes: 5, targets: []target{{7, 0}, {1 << 40, 9}}, body: 4, batch: []byte("batch")}, {number: 2},
	}}).appendTo(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeMove(b)
		if err != nil {
			return
		}
		for _, l := range m.letters {
			if string(b[l.at:l.at+len(l.batch)]) != string(l.batch) {
				t.Fatalf("batch %q is not at %d", l.batch, l.at)
			}
		}
		again, err := decodeMove(m.appendTo(nil))
		if err != nil {
			t.Fatal(err)
		}
		for i := range again.letters {
			again.letters[i].at = m.letters[i].at // it was written in the shortest form
		}
		if !reflect.DeepEqual(m, again) {
			t.Fatalf("%+v is read back as %+v", m, again)
		}
	})
}

func FuzzLater(f *testing.F) {
	l := later{true, schedule.Entry{At: 1000, Partition: 7, Offset: 12, Level: 3}}
	f.Add(l.appendTo(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := decodeLater(b)
		if err != nil {
			return
		}
		if again, err := decodeLater(l.appendTo(nil)); err != nil || again != l {
			t.Fatalf("%+v is read back as %+v, %v", l, again, err)
		}
	})
}

func TestDeathsCount(t *testing.T) {
	var history []Death
	for i, d := range []Death{
		{Queue: "a", Reason: "expired", Time: 1, Exchange: "x", Keys: []string{"k"}},
		{Queue: "b", Reason: "rejected", Time: 2},
		{Queue: "a", Reason: "expired", Time: 3, Exchange: "y"},
	} {
		d.Count = 1
		if history = die(history, d); len(history) != min(i+1, 2) {
			t.Fatalf("after %d deaths: %+v", i+1, history)
		}
	}
	if d := history[0]; d.Queue != "a" || d.Count != 2 || d.Time != 1 || d.Exchange != "x" {
		t.Errorf("the latest: %+v", d)
	}
	if cycles(history[:1], "b") || !cycles(history[:1], "a") || cycles(history, "b") {
		t.Error("a cycle is where no one has rejected the record since")
	}
	r := record.Record{Value: []byte("v")}
	r.Headers.Add(HeaderDeaths, []byte("not JSON"))
	if _, err := Deaths(&r); err == nil {
		t.Error("any header is taken for a history")
	}
}
