package viewmodel

import (
	"cmp"
	"slices"
	"strings"
)

// sorted keeps a List in an order, and finds the few rows that change in it without
// looking at the others.
type sorted[T Row[T]] struct {
	list *List[T]
	// compare is the order. Rows of two keys are never equal in it: by says so.
	compare func(a, b T) int
	now     map[string]T // by key
}

// newSorted makes a sorted list of an empty one. Rows that compare says are equal are
// sorted by their keys.
func newSorted[T Row[T]](list *List[T], compare func(a, b T) int) *sorted[T] {
	return &sorted[T]{list: list, now: map[string]T{}, compare: func(a, b T) int {
		return cmp.Or(compare(a, b), strings.Compare(a.RowKey(), b.RowKey()))
	}}
}

// fewChanges is how many rows are moved one by one. Beyond, sorting all is faster.
const fewChanges = 64

// set makes the rows these, in any order, of which the slice is taken over.
func (s *sorted[T]) set(rows []T) {
	slices.SortFunc(rows, s.compare)
	s.now = make(map[string]T, len(rows))
	for _, r := range rows {
		s.now[r.RowKey()] = r
	}
	s.list.set(rows)
}

// update puts rows to their places, new ones and others, and removes those of gone.
// No key comes twice.
func (s *sorted[T]) update(rows []T, gone ...string) {
	if len(rows)+len(gone) > fewChanges {
		for _, key := range gone {
			delete(s.now, key)
		}
		for _, r := range rows {
			s.now[r.RowKey()] = r
		}
		all := make([]T, 0, len(s.now))
		for _, r := range s.now {
			all = append(all, r)
		}
		s.set(all)
		return
	}
	var steps []Change[T]
	for _, key := range gone {
		if old, ok := s.now[key]; ok {
			steps = append(steps, Change[T]{Kind: Removed, At: s.take(old), Row: old})
			delete(s.now, key)
		}
	}
	for _, r := range rows {
		steps = s.put(r, steps)
	}
	s.list.tell(steps)
}

// put puts one row to its place, and adds the steps of it.
func (s *sorted[T]) put(r T, steps []Change[T]) []Change[T] {
	old, was := s.now[r.RowKey()]
	s.now[r.RowKey()] = r
	from := -1
	if was {
		from = s.take(old)
	}
	to, _ := slices.BinarySearchFunc(s.list.rows, r, s.compare)
	s.list.rows = slices.Insert(s.list.rows, to, r)
	switch {
	case from == to && r.Same(old):
		return steps
	case from == to:
		return append(steps, Change[T]{Kind: Changed, At: to, Row: r})
	case was:
		steps = append(steps, Change[T]{Kind: Removed, At: from, Row: old})
	}
	return append(steps, Change[T]{Kind: Inserted, At: to, Row: r})
}

// take takes a row out, and gives the place where it was.
func (s *sorted[T]) take(r T) int {
	at, _ := slices.BinarySearchFunc(s.list.rows, r, s.compare)
	s.list.rows = slices.Delete(s.list.rows, at, at+1)
	return at
}
