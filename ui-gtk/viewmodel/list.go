package viewmodel

import "slices"

// Row is one row of a List. Two rows of the same key are the same row, which may
// look otherwise than before.
type Row[T any] interface {
	RowKey() string
	// Same says whether it looks the same as another row of its key.
	Same(T) bool
}

// List is rows in order. Keys are unique.
type List[T Row[T]] struct {
	rows      []T
	observers observers[func([]Change[T])]
}

// ChangeKind is what happened to a row.
type ChangeKind int

// What may happen to a row.
const (
	// Inserted: Row is now at At; what was there and behind it moved on by one.
	Inserted ChangeKind = iota
	// Changed: the row at At looks like Row now.
	Changed
	// Removed: Row, which was at At, is gone; what was behind it moved up.
	Removed
)

// Change is one step from the rows before to the rows after. The steps of one
// call are to be done one after the other; each At counts in the rows that the
// steps before it have made.
type Change[T any] struct {
	Kind ChangeKind
	At   int
	Row  T
}

// Len gives the number of rows.
func (l *List[T]) Len() int { return len(l.rows) }

// At gives a row.
func (l *List[T]) At(i int) T { return l.rows[i] }

// Rows gives all rows, which belong to the list.
func (l *List[T]) Rows() []T { return l.rows }

// Index gives the place of the row with that key, or -1.
func (l *List[T]) Index(key string) int {
	return slices.IndexFunc(l.rows, func(r T) bool { return r.RowKey() == key })
}

// Observe calls f with an insertion of each row that is there, and then with each
// change, until stop is called.
func (l *List[T]) Observe(f func([]Change[T])) (stop func()) {
	stop = l.observers.add(f)
	if len(l.rows) > 0 {
		all := make([]Change[T], 0, len(l.rows))
		for i, r := range l.rows {
			all = append(all, Change[T]{Kind: Inserted, At: i, Row: r})
		}
		f(all)
	}
	return stop
}

// set makes the rows what they shall be, with the steps of Diff.
func (l *List[T]) set(next []T) {
	steps := Diff(l.rows, next)
	l.rows = next
	l.tell(steps)
}

// tell tells the observers of steps that were done.
func (l *List[T]) tell(steps []Change[T]) {
	if len(steps) > 0 {
		l.observers.each(func(f func([]Change[T])) { f(steps) })
	}
}

// Diff gives the steps from one list of rows to another: rows that stay in order are
// not touched, one that moved is removed and inserted. Keys are unique in each.
func Diff[T Row[T]](before, after []T) []Change[T] {
	// What is alike at both ends needs no search; most changes are in one place.
	head := 0
	for head < len(before) && head < len(after) && before[head].RowKey() == after[head].RowKey() {
		head++
	}
	tail := 0
	for tail < len(before)-head && tail < len(after)-head &&
		before[len(before)-1-tail].RowKey() == after[len(after)-1-tail].RowKey() {
		tail++
	}
	var steps []Change[T]
	old, now := before[head:len(before)-tail], after[head:len(after)-tail]
	stay := staying(old, now)
	// From the end, so that places before are not moved by what was done.
	for i := len(old) - 1; i >= 0; i-- {
		if !stay[old[i].RowKey()] {
			steps = append(steps, Change[T]{Kind: Removed, At: head + i, Row: old[i]})
		}
	}
	for i, r := range now {
		if !stay[r.RowKey()] {
			steps = append(steps, Change[T]{Kind: Inserted, At: head + i, Row: r})
		}
	}
	was := make(map[string]T, len(before))
	for _, r := range before {
		was[r.RowKey()] = r
	}
	for i, r := range after {
		inside := i >= head && i < len(after)-tail
		if inside && !stay[r.RowKey()] {
			continue
		}
		if !r.Same(was[r.RowKey()]) {
			steps = append(steps, Change[T]{Kind: Changed, At: i, Row: r})
		}
	}
	return steps
}

// staying gives the keys of a longest set of rows that are in both in the same
// order.
func staying[T Row[T]](before, after []T) map[string]bool {
	place := make(map[string]int, len(before))
	for i, r := range before {
		place[r.RowKey()] = i
	}
	// Longest increasing subsequence of the old places, in the new order.
	var tops []int // index into after of the smallest last one of each length
	previous := make([]int, len(after))
	for i, r := range after {
		at, ok := place[r.RowKey()]
		if !ok {
			continue
		}
		k, _ := slices.BinarySearchFunc(tops, at, func(j, at int) int { return place[after[j].RowKey()] - at })
		previous[i] = -1
		if k > 0 {
			previous[i] = tops[k-1]
		}
		if k == len(tops) {
			tops = append(tops, i)
		} else {
			tops[k] = i
		}
	}
	stay := make(map[string]bool, len(tops))
	if len(tops) > 0 {
		for i := tops[len(tops)-1]; i >= 0; i = previous[i] {
			stay[after[i].RowKey()] = true
		}
	}
	return stay
}
