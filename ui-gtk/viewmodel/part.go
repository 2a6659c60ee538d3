package viewmodel

import "slices"

// Part is as much of a List as is drawn: a widget for each of 10,000 rows would take
// seconds to make. It follows the list, and is moved along it.
type Part[T Row[T]] struct {
	list *List[T]
	stop func()
	from int
	most int

	// Rows are those of the part.
	Rows List[T]
	// Around tells what is left out, which changes with the rows.
	Around Value[Around]
}

// Around is what is before and after the rows of a Part.
type Around struct{ Before, After int }

// NewPart follows the first rows of a list, at most so many, until Close.
func NewPart[T Row[T]](list *List[T], most int) *Part[T] {
	p := &Part[T]{list: list, most: most}
	p.stop = list.Observe(func([]Change[T]) { p.draw() })
	return p
}

// Close stops following.
func (p *Part[T]) Close() { p.stop() }

// MoveTo makes the part begin with the row at a place of the list, or as near as
// there are rows to fill it.
func (p *Part[T]) MoveTo(from int) {
	if from != p.from {
		p.from = from
		p.draw()
	}
}

// Grow makes the part larger by some rows.
func (p *Part[T]) Grow(by int) {
	p.most += by
	p.draw()
}

func (p *Part[T]) draw() {
	n := p.list.Len()
	p.from = max(0, min(p.from, n-p.most))
	end := min(n, p.from+p.most)
	p.Rows.set(slices.Clone(p.list.rows[p.from:end])) // the list changes its own in place
	if around := (Around{Before: p.from, After: n - end}); around != p.Around.Get() {
		p.Around.set(around)
	}
}
