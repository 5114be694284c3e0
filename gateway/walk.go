package gateway

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/lotabots/lotabots/gateway/access"
)

// A walk reads a page of the records that come after cursor, in the order of
// their ids, which the cursors are. next is empty where nothing follows.
type walk[R any] func(cursor string, limit int) (page []R, next string)

// scanned bounds how many records one request looks at for one page of what its
// caller may see: a page may have less than its limit, and another follow.
const scanned = 10 * mostPage

// A listing is how one kind of records is listed.
type listing[R, T any] struct {
	id   func(R) string
	walk walk[R]                     // of all
	in   func(tenant string) walk[R] // of a tenant's, or for "" at least what no tenant owns; nil: there is no such index
	sees func(R) bool                // whether the caller may know of it
	show func(R) T
}

// maxCursor bounds a cursor, in bytes: they are ids, or two of them, or a place of each gateway.
const maxCursor = 4096

// queried refuses parameters that the list does not take: what a misspelled one was
// to leave out would be in the answer. An operation that takes none is no list.
func (r *request) queried(query string) error {
	if query == "" {
		return nil
	}
	known, f := append(strings.Fields(query), "consistency"), &form{}
	for name := range r.ctx.QueryArgs().All() {
		if text := string(name); !slices.Contains(known, text) {
			f.add(clip(strings.ToValidUTF8(text, "?"), 64), "is not known: there are "+join(known))
		}
	}
	cursor := string(r.ctx.QueryArgs().Peek("cursor"))
	f.check(len(cursor) <= maxCursor && utf8.ValidString(cursor) && !strings.ContainsFunc(cursor, unicode.IsControl), "cursor", "is none: give next_cursor of the page before")
	return f.err()
}

// lists answers with the page that the request asks for: of tenant, or of all
// that the caller may read by the verb.
func lists[R, T any](r *request, v access.Verb, l listing[R, T]) error {
	var from []walk[R]
	tenant := string(r.ctx.QueryArgs().Peek("tenant"))
	everywhere, tenants := r.who.Where(v)
	switch {
	case l.in == nil:
		from = append(from, l.walk)
	case tenant != "":
		if err := r.must(v, access.In(tenant)); err != nil && !slices.Contains(tenants, tenant) {
			return err
		}
		from = append(from, l.in(tenant))
	case everywhere:
		from = append(from, l.walk)
	default:
		for _, t := range tenants {
			from = append(from, l.in(t))
		}
	}
	return onePage(r, l, from)
}

// onePage answers with one page of what the walks give together.
func onePage[R, T any](r *request, l listing[R, T], from []walk[R]) error {
	limit, err := r.number("limit", usualPage, mostPage)
	if err != nil {
		return err
	}
	cursor := string(r.ctx.QueryArgs().Peek("cursor"))
	out := page[T]{Data: []T{}}
	for seen := 0; seen < scanned; {
		found, next := merge(from, cursor, limit, l.id)
		for i, record := range found {
			if !l.sees(record) {
				continue
			}
			if out.Data = append(out.Data, l.show(record)); len(out.Data) == limit {
				if i+1 < len(found) || next != "" {
					out.NextCursor = l.id(record)
				}
				return r.json(200, out)
			}
		}
		if cursor, out.NextCursor, seen = next, next, seen+len(found); next == "" {
			break
		}
	}
	return r.json(200, out)
}

// merge reads the next page of several walks as if they were one. A record that
// more than one has comes once.
func merge[R any](from []walk[R], cursor string, limit int, id func(R) string) (page []R, next string) {
	if len(from) == 1 {
		return from[0](cursor, limit)
	}
	more := false
	for _, w := range from {
		part, following := w(cursor, limit)
		page, more = append(page, part...), more || following != ""
	}
	slices.SortStableFunc(page, func(a, b R) int { return strings.Compare(id(a), id(b)) })
	page = slices.CompactFunc(page, func(a, b R) bool { return id(a) == id(b) })
	if len(page) > limit {
		page, more = page[:limit], true
	}
	if more && len(page) > 0 {
		next = id(page[len(page)-1])
	}
	return page, next
}

// among walks what is at hand: sorted by id.
func among[R any](all []R, id func(R) string) walk[R] {
	return func(cursor string, limit int) ([]R, string) {
		first, found := slices.BinarySearchFunc(all, cursor, func(r R, c string) int { return strings.Compare(id(r), c) })
		if found {
			first++
		}
		rest := all[first:]
		if len(rest) <= limit {
			return rest, ""
		}
		return rest[:limit], id(rest[limit-1])
	}
}
