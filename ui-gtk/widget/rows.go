package widget

import (
	"cmp"
	"slices"

	"github.com/gotk3/gotk3/gtk"

	"github.com/parley-chat/parley/ui-gtk/viewmodel"
)

// RowWidget is the widget of a row of a list.
type RowWidget[T any] interface {
	gtk.IWidget
	// Update shows the row as it is now.
	Update(row T)
}

// Rows are the widgets of the rows of a list, in its order. A row has one widget as
// long as it is in the list, whatever changes of it and wherever it moves, and that
// widget stays in its container: what is pressed on it is clicked when it is let go, the
// keyboard stays in it, and so does whoever has it read aloud.
type Rows[T viewmodel.Row[T], W RowWidget[T]] struct {
	all     []W
	make    func(T) W
	add     func(W)
	arrange func() // brings the widgets into the order of all
}

// BoxRows puts rows into a box, before what else is in it. A new widget shows the row
// that it was made for.
func BoxRows[T viewmodel.Row[T], W RowWidget[T]](box *gtk.Box, make func(T) W) *Rows[T, W] {
	r := &Rows[T, W]{make: make, add: func(w W) { box.PackStart(w, false, false, 0) }}
	r.arrange = func() {
		for i, w := range r.all {
			box.ReorderChild(w, i)
		}
	}
	return r
}

// ListRows puts rows into a list that has no others; each widget is a ListBoxRow. A new
// one shows the row that it was made for.
func ListRows[T viewmodel.Row[T], W RowWidget[T]](list *gtk.ListBox, make func(T) W) *Rows[T, W] {
	r := &Rows[T, W]{make: make, add: func(w W) { list.Add(w) }}
	place := map[uintptr]int{}
	list.SetSortFunc(func(a, b *gtk.ListBoxRow) int { return cmp.Compare(place[a.Native()], place[b.Native()]) })
	r.arrange = func() {
		clear(place)
		for i, w := range r.all {
			place[w.ToWidget().Native()] = i
		}
		list.InvalidateSort()
	}
	return r
}

// All gives the widgets, which belong to the rows.
func (r *Rows[T, W]) All() []W { return r.all }

// Len gives the number of rows.
func (r *Rows[T, W]) Len() int { return len(r.all) }

// Follow does the steps of the list.
func (r *Rows[T, W]) Follow(steps []viewmodel.Change[T]) {
	out := map[string]W{} // of their places, and they may come again
	arranged := true
	for _, step := range steps {
		switch step.Kind {
		case viewmodel.Removed:
			out[step.Row.RowKey()] = r.all[step.At]
			r.all = slices.Delete(r.all, step.At, step.At+1)
		case viewmodel.Inserted:
			w, moved := out[step.Row.RowKey()]
			if moved {
				delete(out, step.Row.RowKey())
				w.Update(step.Row)
			} else {
				w = r.make(step.Row)
				r.add(w)
				w.ToWidget().ShowAll()
			}
			r.all = slices.Insert(r.all, step.At, w)
			arranged = false
		case viewmodel.Changed:
			r.all[step.At].Update(step.Row)
		}
	}
	for _, w := range out {
		w.ToWidget().Destroy()
	}
	if !arranged {
		r.arrange()
	}
}
