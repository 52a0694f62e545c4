package management

import (
	"net/http/httptest"
	"testing"
	"time"
)

func TestRates(t *testing.T) {
	at := time.UnixMilli(1_000_000)
	var s series
	if s.rate(0) != 0 || s.detail(0, time.Hour).Samples != nil {
		t.Error("without samples there is a rate")
	}
	for i, n := range []numbers{{10, 0, 0, 100}, {4, 0, 0, 150}, {4, 0, 0, 20}} {
		s = append(s, sample{at.Add(time.Duration(i) * 5 * time.Second), n})
		want := [][2]float64{{0, 0}, {-1.2, 10}, {0, -26}}[i]
		if got := [2]float64{s.rate(0), s.rate(3)}; got != want {
			t.Errorf("after %d samples: %v, want %v", i+1, got, want)
		}
	}
	d := s.detail(0, 5*time.Second)
	if len(d.Samples) != 2 || d.Samples[0] != (point{4, 1_010_000}) || d.Samples[1] != (point{4, 1_005_000}) {
		t.Errorf("samples: %v", d.Samples)
	}
	stats := s.stats(3, []string{"publish"}, numbers{0, 0, 0, 21})
	if stats["publish"] != int64(21) || stats["publish_details"].(detail).Rate != 0 {
		t.Errorf("stats: %v", stats)
	}
	if got := lengthsAge(httptest.NewRequest("GET", "/?lengths_age=60&lengths_incr=5", nil)); got != time.Minute {
		t.Errorf("age: %s", got)
	}
	if got := lengthsAge(httptest.NewRequest("GET", "/?lengths_age=60", nil)); got != 0 {
		t.Errorf("age without a step: %s", got)
	}
}
