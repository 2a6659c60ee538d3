package settings

import (
	"cmp"
	"slices"

	"github.com/gotk3/gotk3/gtk"

	"github.com/parley-chat/parley/ui-gtk/gtkx"
	"github.com/parley-chat/parley/ui-gtk/viewmodel"
	"github.com/parley-chat/parley/ui-gtk/widget"
)

// sheet is a page's column of groups.
func sheet(groups ...gtk.IWidget) *gtk.Box {
	return widget.Class(widget.Column(24, groups...), "preferences-page")
}

// group is rows in a frame below a heading, which may be empty.
func group(title, explanation string, rows ...gtk.IWidget) *gtk.Box {
	b := widget.Column(0)
	if title != "" {
		b.PackStart(widget.Label(title, "heading"), false, false, 0)
	}
	if explanation != "" {
		b.PackStart(widget.Label(explanation, "dim", "explanation"), false, false, 0)
	}
	frame := widget.Class(widget.Column(0), "group")
	for _, r := range rows {
		frame.PackStart(r, false, false, 0)
	}
	b.PackStart(frame, false, false, 0)
	return b
}

// item is a row: what it is on the left, the control on the right, which is
// called like the row by assistive technology.
type item struct {
	*gtk.Box
	title, description, problem *gtk.Label
}

func newItem(title, description string, control gtk.IWidget) *item {
	i := &item{title: widget.Label(title), description: widget.Label(description, "dim", "small"), problem: widget.Label("", "danger", "small")}
	words := widget.Column(2, i.title, i.description, i.problem)
	words.SetVAlign(gtk.ALIGN_CENTER)
	i.description.SetNoShowAll(description == "")
	i.problem.SetNoShowAll(true)
	i.Box = widget.Class(widget.Row(18), "group-row")
	i.PackStart(words, true, true, 0)
	if control != nil {
		w := control.ToWidget()
		w.SetVAlign(gtk.ALIGN_CENTER)
		gtkx.SetName(w, title)
		if description != "" {
			gtkx.SetDescription(w, description)
		}
		i.PackEnd(control, false, false, 0)
	}
	return i
}

// setProblem says what is wrong, or with an empty text that all is well.
func (i *item) setProblem(text string) {
	i.problem.SetText(text)
	i.problem.SetVisible(text != "")
}

// switchItem is a row with a switch.
func switchItem(title, description string, on bool, set func(bool)) (*item, *gtk.Switch) {
	s := widget.Must(gtk.SwitchNew())
	s.SetActive(on)
	s.Connect("notify::active", func() { set(s.GetActive()) })
	return newItem(title, description, s), s
}

// choice is one of several values, with what it is called.
type choice struct{ value, name string }

// choiceItem is a row with a choice.
func choiceItem(title, description string, choices []choice, now string, set func(string)) (*item, *gtk.ComboBoxText) {
	c := widget.Must(gtk.ComboBoxTextNew())
	for _, x := range choices {
		c.Append(x.value, x.name)
	}
	c.SetActiveID(now)
	c.Connect("changed", func() { set(c.GetActiveID()) })
	return newItem(title, description, c), c
}

// fact is something that a page only tells. key tells it from others where titles may
// be alike; without one it is the title.
type fact struct{ key, title, value string }

// RowKey implements viewmodel.Row.
func (f fact) RowKey() string { return cmp.Or(f.key, f.title) }

// Same implements viewmodel.Row.
func (f fact) Same(o fact) bool { return f == o }

// facts are rows in a frame that only tell something.
type facts struct {
	*gtk.Box
	shown []fact
	rows  *widget.Rows[fact, *factItem]
}

func newFacts() *facts {
	f := &facts{Box: widget.Class(widget.Column(0), "group")}
	f.rows = widget.BoxRows(f.Box, newFactItem)
	return f
}

// show shows those that have a value.
func (f *facts) show(now ...fact) {
	was := f.shown
	f.shown = slices.DeleteFunc(now, func(x fact) bool { return x.value == "" })
	f.rows.Follow(viewmodel.Diff(was, f.shown))
}

// factItem is the row of a fact, which can be selected and copied.
type factItem struct {
	*item
	value *gtk.Label
}

func newFactItem(f fact) *factItem {
	v := widget.Class(widget.Label("", "dim"), "fact")
	v.SetSelectable(true)
	v.SetXAlign(1)
	v.SetJustify(gtk.JUSTIFY_RIGHT)
	v.SetMaxWidthChars(36)
	i := &factItem{item: newItem(f.title, "", v), value: v}
	i.Update(f)
	return i
}

// Update implements widget.RowWidget.
func (i *factItem) Update(f fact) {
	i.title.SetText(f.title)
	i.value.SetText(f.value)
	gtkx.SetName(i.value, f.title)
}
