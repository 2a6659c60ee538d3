package gtkx

import (
	"image"
	"os"
	"slices"
	"sync"
	"testing"

	"github.com/gotk3/gotk3/gtk"
)

// showLink shows what can be dragged as a file to other programs.
func showLink() {
	w, err := gtk.WindowNew(gtk.WINDOW_TOPLEVEL)
	if err != nil {
		panic(err)
	}
	link, err := gtk.LinkButtonNew(os.Getenv("URI"))
	if err != nil {
		panic(err)
	}
	link.SetSizeRequest(200, 60)
	w.Add(link)
	w.Connect("map-event", ready)
	w.ShowAll()
	w.Move(0, 300)
}

// drag moves the mouse from one place to another with the button held.
func drag(t *testing.T, from, to image.Point) {
	t.Helper()
	steps := []func() error{
		func() error { return screen.MoveMouse(from) },
		func() error { return screen.PressButton(1) },
	}
	for i := 1; i <= 10; i++ { // programs see a drag in its way
		at := from.Add(to.Sub(from).Mul(i).Div(10))
		steps = append(steps, func() error { return screen.MoveMouse(at) })
	}
	for _, step := range steps {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = screen.ReleaseButton(1) })
}

func TestAcceptFiles(t *testing.T) {
	needsScreen(t)
	for name, make := range map[string]func() gtk.IWidget{
		"text view": func() gtk.IWidget { w, _ := gtk.TextViewNew(); return w },
		"label":     func() gtk.IWidget { w, _ := gtk.LabelNew("drop here"); return w },
	} {
		for uri, want := range map[string]struct{ path, other string }{
			"file:///tmp/a%20b%E4%BD%A0.txt": {path: "/tmp/a b你.txt"},
			"https://example.org/page":       {other: "https://example.org/page"},
		} {
			t.Run(name+" "+uri, func(t *testing.T) {
				over := &recorder[bool]{}
				dropped := &recorder[files]{}
				var widget gtk.IWidget
				shown(t, func() gtk.IWidget {
					widget = make()
					widget.ToWidget().SetSizeRequest(300, 200)
					AcceptFiles(widget, Drop{
						Over:  over.put,
						Files: func(paths, others []string) { dropped.put(files{paths: paths, others: others}) },
					})
					return widget
				})
				start(t, "link", "URI="+uri)
				drag(t, image.Pt(100, 330), image.Pt(100, 100))
				until(t, "the widget is told of the drag", func() bool { v := over.values(); return len(v) == 1 && v[0] })
				if err := screen.ReleaseButton(1); err != nil {
					t.Fatal(err)
				}
				until(t, "files are dropped", func() bool { return len(dropped.values()) == 1 })
				got := dropped.values()[0]
				if wants := (files{paths: list(want.path), others: list(want.other)}); !slices.Equal(got.paths, wants.paths) || !slices.Equal(got.others, wants.others) {
					t.Errorf("got %+v, want %+v", got, wants)
				}
				if v := over.values(); !slices.Equal(v, []bool{true, false}) {
					t.Errorf("over: %v", v)
				}
				if view, ok := widget.(*gtk.TextView); ok {
					if text := do(func() string { return textOf(view) }); text != "" {
						t.Errorf("the text view also took %q", text)
					}
				}
			})
		}
	}
}

// recorder keeps what a callback was given.
type recorder[T any] struct {
	mu  sync.Mutex // guards all
	all []T
}

func (r *recorder[T]) put(v T) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, v)
}

func (r *recorder[T]) values() []T {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.all)
}

func list(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

func textOf(view *gtk.TextView) string {
	buffer, err := view.GetBuffer()
	if err != nil {
		return err.Error()
	}
	start, end := buffer.GetBounds()
	text, err := buffer.GetText(start, end, true)
	if err != nil {
		return err.Error()
	}
	return text
}

// Text that is dragged to a text view goes there as ever.
func TestTextIsDraggedAsEver(t *testing.T) {
	needsScreen(t)
	var view *gtk.TextView
	var label *gtk.Label
	shown(t, func() gtk.IWidget {
		box, _ := gtk.BoxNew(gtk.ORIENTATION_VERTICAL, 0)
		view, _ = gtk.TextViewNew()
		view.SetSizeRequest(300, 200)
		AcceptFiles(view, Drop{Files: func(_, _ []string) {}})
		label, _ = gtk.LabelNew("MMMMMMMMMMMMMMMMMMMMMMMM")
		label.SetSelectable(true)
		label.SetSizeRequest(300, 50)
		box.PackStart(view, true, true, 0)
		box.PackStart(label, false, false, 0)
		return box
	})
	until(t, "the label can be dragged", func() bool { return do(func() bool { return label.GetAllocation().GetY() >= 200 }) })
	act(func() { label.SelectRegion(0, -1) })
	drag(t, image.Pt(150, 225), image.Pt(100, 100))
	// GTK asks the source for the text when the button is let go of; it must have
	// seen the drag before.
	until(t, "the text is dropped", func() bool {
		_ = screen.MoveMouse(image.Pt(101, 101))
		_ = screen.ReleaseButton(1)
		return do(func() string { return textOf(view) }) == "MMMMMMMMMMMMMMMMMMMMMMMM"
	})
}
