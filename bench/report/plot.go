package report

import (
	"fmt"
	"html"
	"math"
	"slices"
	"strings"
)

// plot is a drawing of horizontal bars on a logarithmic scale, in groups.
type plot struct {
	name, title, unit string
	reference         float64 // a line is drawn here, if above 0
	groups            []group
}

type group struct {
	label string
	bars  []bar
}

// bar is a value of a series; those of one name share a colour.
type bar struct {
	series string
	value  float64
}

// add adds a group of those bars that have a value.
func (p *plot) add(label string, bars ...bar) {
	bars = slices.DeleteFunc(bars, func(b bar) bool { return b.value <= 0 })
	if len(bars) > 0 {
		p.groups = append(p.groups, group{label, bars})
	}
}

// Measures of the drawing, in pixels.
const (
	plotWidth  = 960
	labelWidth = 370
	valueWidth = 90
	barHeight  = 11
	groupGap   = 9
	headHeight = 64
)

var colours = []string{"#2f6f4f", "#8fbf9f", "#9a5b13", "#dba65f", "#4b4f8f", "#a9acd6"}

// scale maps values to positions.
type scale struct{ low, high float64 } // powers of ten

func (p *plot) scale() scale {
	s := scale{math.Inf(1), math.Inf(-1)}
	see := func(v float64) {
		if v > 0 {
			s.low, s.high = min(s.low, math.Log10(v)), max(s.high, math.Log10(v))
		}
	}
	see(p.reference)
	for _, g := range p.groups {
		for _, b := range g.bars {
			see(b.value)
		}
	}
	s.low, s.high = math.Floor(s.low-0.05), math.Ceil(s.high)
	if s.high <= s.low {
		s.high = s.low + 1
	}
	return s
}

func (s scale) at(v float64) float64 {
	room := float64(plotWidth - labelWidth - valueWidth)
	return labelWidth + room*(math.Log10(v)-s.low)/(s.high-s.low)
}

// svg draws the plot.
func (p *plot) svg() string {
	height := headHeight
	for _, g := range p.groups {
		height += len(g.bars)*barHeight + groupGap
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="11">`+"\n", plotWidth, height+8)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="#ffffff"/><text x="10" y="20" font-size="15">%s</text>`+"\n", html.EscapeString(p.title))
	series := p.legend(&b)
	s := p.scale()
	for e := s.low; e <= s.high; e++ {
		x := s.at(math.Pow(10, e))
		fmt.Fprintf(&b, `<path d="M%.1f %d V%d" stroke="#dddddd"/><text x="%.1f" y="%d" text-anchor="middle" fill="#666666">%g</text>`+"\n",
			x, headHeight-4, height, x, headHeight-8, math.Pow(10, e))
	}
	if p.reference > 0 {
		fmt.Fprintf(&b, `<path d="M%.1f %d V%d" stroke="#333333" stroke-dasharray="4 3"/>`+"\n", s.at(p.reference), headHeight-4, height)
	}
	y := headHeight
	for _, g := range p.groups {
		fmt.Fprintf(&b, `<text x="%d" y="%.1f" text-anchor="end">%s</text>`+"\n", labelWidth-8,
			float64(y)+float64(len(g.bars)*barHeight)/2+4, html.EscapeString(g.label))
		for _, r := range g.bars {
			from, to := float64(labelWidth), s.at(r.value)
			if p.reference > 0 {
				from, to = min(s.at(p.reference), to), max(s.at(p.reference), to)
			}
			fmt.Fprintf(&b, `<rect x="%.1f" y="%d" width="%.1f" height="%d" fill="%s"/><text x="%.1f" y="%d" font-size="9">%.3g %s</text>`+"\n",
				from, y, max(1, to-from), barHeight-2, colours[slices.Index(series, r.series)%len(colours)], to+4, y+barHeight-3, r.value, p.unit)
			y += barHeight
		}
		y += groupGap
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// legend names the series by colour and returns them.
func (p *plot) legend(b *strings.Builder) (series []string) {
	for _, g := range p.groups {
		for _, r := range g.bars {
			if !slices.Contains(series, r.series) {
				series = append(series, r.series)
			}
		}
	}
	x := 10
	for i, name := range series {
		fmt.Fprintf(b, `<rect x="%d" y="30" width="10" height="10" fill="%s"/><text x="%d" y="39">%s</text>`+"\n",
			x, colours[i%len(colours)], x+14, html.EscapeString(name))
		x += 30 + 7*len(name)
	}
	return series
}
