package lease

import (
	"fmt"
	"slices"
	"strings"

	"github.com/polylog-mq/polylog/internal/record"
)

// loan runs the commands about loans: lend OWNER ms= most=, settle OWNER verdict= RECORD,
// extend OWNER ms= RECORD, claim FROM OWNER ms= RECORD, tick ms=, loans, and reload,
// which takes the state out of its pages.
func (h *harness) loan(w []string) string {
	switch w[0] {
	case "lend":
		return h.lend(w)
	case "tick":
		h.now += record.LogTime(number(w, "ms", 0))
		h.fx.Reset()
		h.s.Tick(h.now, &h.fx)
		return h.effects()
	case "loans":
		var out strings.Builder
		h.set.Loans(0, func(l *Loan) bool {
			fmt.Fprintf(&out, "%d of %s since %d", l.Offset, l.Owner, l.Since)
			switch {
			case l.Over:
				out.WriteString(", over")
			case l.Until != Never:
				fmt.Fprintf(&out, " until %d", l.Until)
			}
			fmt.Fprintf(&out, ", %d returns\n", h.set.Attempts(l.Offset))
			return true
		})
		return out.String()
	case "reload":
		h.reload()
		return ""
	}
	return h.judgeLoans(w)
}

func (h *harness) lend(w []string) string {
	var out strings.Builder
	h.d.Receive()
	defer h.d.EndReceive()
	for range number(w, "most", 1) {
		for {
			want, ok := h.d.Next()
			if !ok {
				out.WriteString("nothing\n")
				return out.String()
			}
			o, found := h.find(want)
			if !found {
				continue
			}
			g := h.d.Lend(want, h.found(o), w[1], number(w, "ms", -1))
			h.loans[fmt.Sprint(w[1], o)] = g.Lease
			if has(w, "quiet") {
				break
			}
			fmt.Fprintf(&out, "%d to %s", o, w[1])
			if g.Redelivered {
				fmt.Fprintf(&out, " redelivered attempts=%d", g.Attempts)
			}
			out.WriteString("\n")
			break
		}
	}
	return out.String()
}

func (h *harness) judgeLoans(w []string) string {
	outcomes := []string{"", "was settled", "is over", "is lost"}
	out := ""
	for _, word := range w[2:] {
		var o record.Offset
		if n, _ := fmt.Sscan(word, &o); n == 0 {
			continue
		}
		id, was := h.loans[w[1]+word], Stands
		switch w[0] {
		case "settle":
			i := slices.Index([]string{"accept", "release", "count", "reject"}, word1(w, "verdict", "accept"))
			was = h.d.SettleLoan(id, Verdict(i), has(w, "strict"))
		case "extend":
			was = h.d.ExtendLoan(id, number(w, "ms", -1))
		case "claim":
			g, ok := h.d.Claim(h.set.Loan(o), LoanChange{
				Owner: w[2], For: number(w, "ms", -1), Idle: number(w, "idle", 0), Attempts: int32(number(w, "count", int64(CountUp))),
			})
			if !ok {
				out += word + " cannot be claimed\n"
			}
			h.loans[w[2]+word] = g.Lease
		}
		if was != Stands {
			out += word + " " + outcomes[was] + "\n"
		}
	}
	return out
}

func word1(w []string, name, def string) string {
	if v := word(w, name); v != "" {
		return v
	}
	return def
}

// reload takes the state out of its pages, as after a restart.
func (h *harness) reload() {
	pages := map[string][]byte{}
	for range 2 { // the second time nothing has changed
		h.s.Freeze()
		h.s.EncodePages(func(k, v []byte) { pages[string(k)] = v }, func() bool { return true })
	}
	h.s = New(nil)
	for k, v := range pages {
		if err := h.s.RestorePage([]byte(k), v); err != nil {
			h.t.Fatal(err)
		}
	}
	if err := h.s.Restored(); err != nil {
		h.t.Fatal(err)
	}
	h.set = h.s.Lookup(1)
	h.open()
}
