package management

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

// page is a part of a list, as RabbitMQ answers when a page is asked for.
type page[T any] struct {
	Filtered int `json:"filtered_count"`
	Count    int `json:"item_count"`
	Items    []T `json:"items"`
	Page     int `json:"page"`
	Pages    int `json:"page_count"`
	Size     int `json:"page_size"`
	Total    int `json:"total_count"`
}

const (
	defaultPage = 100
	maxPage     = 500
)

// list answers with a list: whole, or, if the request has page, page_size and
// name (with use_regex: a regular expression), a part of it.
func list[T any](q *request, items []T, name func(*T) string) {
	if q.r.FormValue("page") == "" {
		q.answer(items)
		return
	}
	p := page[T]{Total: len(items), Size: defaultPage, Items: []T{}}
	var err error
	if p.Page, err = strconv.Atoi(q.r.FormValue("page")); err != nil || p.Page < 1 {
		fail(q.w, http.StatusBadRequest, "bad_request", "page must be a number from 1 on")
		return
	}
	if text := q.r.FormValue("page_size"); text != "" {
		if p.Size, err = strconv.Atoi(text); err != nil || p.Size < 1 || p.Size > maxPage {
			fail(q.w, http.StatusBadRequest, "bad_request", "page_size must be from 1 to "+strconv.Itoa(maxPage))
			return
		}
	}
	fits := func(s string) bool { return strings.Contains(s, q.r.FormValue("name")) }
	if q.r.FormValue("use_regex") == "true" {
		re, err := regexp.Compile(q.r.FormValue("name"))
		if err != nil {
			fail(q.w, http.StatusBadRequest, "bad_request", err.Error())
			return
		}
		fits = re.MatchString
	}
	var found []T
	for i := range items {
		if fits(name(&items[i])) {
			found = append(found, items[i])
		}
	}
	p.Filtered, p.Pages = len(found), max(1, (len(found)+p.Size-1)/p.Size)
	if p.Page > p.Pages {
		fail(q.w, http.StatusBadRequest, "bad_request", "Page out of range, page: "+strconv.Itoa(p.Page)+" page size: "+strconv.Itoa(p.Size)+", len: "+strconv.Itoa(len(found)))
		return
	}
	p.Items = append(p.Items, found[(p.Page-1)*p.Size:min(p.Page*p.Size, len(found))]...)
	p.Count = len(p.Items)
	q.answer(p)
}

// none answers a list of what there is none of here.
func (a *api) none(q *request) { q.answer([]any{}) }
