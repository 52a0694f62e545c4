package management

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

// page is a part of a list, as RabbitMQ answers when a page is asked for.
type page struct {
	Filtered int `json:"filtered_count"`
	Count    int `json:"item_count"`
	Items    any `json:"items"`
	Page     int `json:"page"`
	Pages    int `json:"page_count"`
	Size     int `json:"page_size"`
	Total    int `json:"total_count"`
}

const (
	defaultPage = 100
	maxPage     = 500
)

// pageRequest is which part of a list is asked for.
type pageRequest struct {
	number, size int // from 1 on
	fits         func(name string) bool
}

// pageRequest reads page, page_size, name and use_regex: nil if no page is asked
// for. Without an answer to give it has answered. Names fit whatever their case,
// as in RabbitMQ.
func (q *request) pageRequest() (p *pageRequest, ok bool) {
	form := q.r.URL.Query()
	invalid := func(what, reason string) (*pageRequest, bool) {
		fail(q.w, http.StatusBadRequest, what, reason)
		return nil, false
	}
	p = &pageRequest{size: defaultPage}
	size := "undefined"
	for _, field := range []struct {
		name string
		to   *int
	}{{"page", &p.number}, {"page_size", &p.size}} {
		if !form.Has(field.name) {
			continue
		}
		n, err := strconv.Atoi(form.Get(field.name))
		if err != nil {
			return invalid("bad_request", "Pagination parameters are invalid")
		}
		if *field.to = n; field.name == "page_size" {
			size = strconv.Itoa(n)
		}
	}
	if !form.Has("page") {
		return nil, true
	}
	if p.number < 1 || p.size < 1 || p.size > maxPage {
		return invalid("invalid_pagination_parameters", "Invalid pagination parameters: page number "+strconv.Itoa(p.number)+", page size "+size)
	}
	name := form.Get("name")
	if form.Get("use_regex") == "true" {
		re, err := regexp.Compile("(?i)" + name)
		if err != nil {
			return invalid("bad_request", "Pagination parameters are invalid")
		}
		p.fits = re.MatchString
	} else {
		name = strings.ToLower(name)
		p.fits = func(s string) bool { return strings.Contains(strings.ToLower(s), name) }
	}
	return p, true
}

// rows answers with a list in the order that the request asks for.
func rows[T any](q *request, items []T) {
	items, err := arranged(q, items)
	if err != nil {
		fail(q.w, http.StatusInternalServerError, "internal_server_error", err.Error())
		return
	}
	q.answer(items)
}

// list answers with a list: whole, or, if the request names a page, that part of
// what fits.
func list[T any](q *request, items []T, name func(*T) string) {
	want, ok := q.pageRequest()
	if !ok {
		return
	}
	if want == nil {
		rows(q, items)
		return
	}
	items, err := arranged(q, items)
	if err != nil {
		fail(q.w, http.StatusInternalServerError, "internal_server_error", err.Error())
		return
	}
	found := []T{}
	for i := range items {
		if want.fits(name(&items[i])) {
			found = append(found, items[i])
		}
	}
	p := page{Total: len(items), Filtered: len(found), Page: want.number, Size: want.size, Pages: (len(found) + want.size - 1) / want.size}
	// The page after the last whole one is empty, and there; RabbitMQ counts so.
	if want.number-1 > len(found)/want.size {
		fail(q.w, http.StatusBadRequest, "page_out_of_range", "Page out of range, page: "+strconv.Itoa(p.Page)+" page size: "+strconv.Itoa(p.Size)+", len: "+strconv.Itoa(len(found)))
		return
	}
	part := found[(p.Page-1)*p.Size : min(p.Page*p.Size, len(found))]
	p.Items, p.Count = part, len(part)
	q.answer(&p)
}

// none answers a list of what there is none of here.
func (a *api) none(q *request) { q.answer([]any{}) }
