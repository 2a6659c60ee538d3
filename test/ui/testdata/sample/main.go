// Command sample is a small window for the tests of package ui.
package main

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"os"

	"github.com/gotk3/gotk3/glib"
	"github.com/gotk3/gotk3/gtk"

	"github.com/parley-chat/parley/ui-gtk/gtkx"
)

func main() {
	if err := gtkx.Init(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	window := must(gtk.WindowNew(gtk.WINDOW_TOPLEVEL))
	window.SetTitle("Sample")
	window.SetDefaultSize(400, 500)
	window.Connect("destroy", gtk.MainQuit)
	box := must(gtk.BoxNew(gtk.ORIENTATION_VERTICAL, 4))
	window.Add(box)

	heading := must(gtk.LabelNew("What is said"))
	gtkx.SetRole(heading, gtkx.RoleHeading)
	box.PackStart(heading, false, false, 0)

	list := must(gtk.ListBoxNew())
	gtkx.SetName(list, "Messages")
	box.PackStart(list, true, true, 0)

	picture := must(gtkx.NewPicture("A red square"))
	picture.SetSizeRequest(50, 50)
	red := image.NewRGBA(image.Rect(0, 0, 10, 10))
	draw.Draw(red, red.Bounds(), image.NewUniform(color.RGBA{R: 0xff, A: 0xff}), image.Point{}, draw.Src)
	picture.Show(must(gtkx.NewPixels(red)))
	box.PackStart(picture, false, false, 0)

	entry := must(gtk.EntryNew())
	gtkx.SetName(entry, "Message")
	gtkx.SetDescription(entry, "Enter sends it")
	box.PackStart(entry, false, false, 0)

	send := must(gtk.ButtonNewFromIconName("document-send-symbolic", gtk.ICON_SIZE_BUTTON))
	gtkx.SetName(send, "Send")
	box.PackStart(send, false, false, 0)

	say := func() {
		text := must(entry.GetText())
		row := must(gtk.ListBoxRowNew())
		row.Add(must(gtk.LabelNew(text)))
		gtkx.SetName(row, text)
		row.ShowAll()
		list.Insert(row, -1)
		entry.SetText("")
	}
	send.Connect("clicked", say)
	entry.Connect("activate", say)
	list.Connect("row-selected", func(_ *gtk.ListBox, row *gtk.ListBoxRow) {
		if row != nil {
			heading.SetText(fmt.Sprintf("Row %d", row.GetIndex()))
		}
	})
	remove := must(gtk.ButtonNewWithLabel("Remove all"))
	remove.Connect("clicked", func() {
		for row := list.GetRowAtIndex(0); row != nil; row = list.GetRowAtIndex(0) {
			row.Destroy()
		}
	})
	box.PackStart(remove, false, false, 0)
	launch := must(gtk.ButtonNewWithLabel("Go"))
	launch.SetSensitive(false)
	launch.Connect("clicked", func() { heading.SetText("Gone") })
	ready := must(gtk.ButtonNewWithLabel("Get ready"))
	ready.Connect("clicked", func() {
		glib.TimeoutAdd(300, func() { launch.SetSensitive(true) })
	})
	box.PackStart(ready, false, false, 0)
	box.PackStart(launch, false, false, 0)
	window.ShowAll()
	glib.IdleAdd(func() { fmt.Println("shown") })
	gtk.Main()
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
