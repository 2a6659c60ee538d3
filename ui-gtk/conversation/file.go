package conversation

import (
	"context"
	"path/filepath"
	"slices"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/gotk3/gotk3/glib"
	"github.com/gotk3/gotk3/gtk"

	"github.com/parley-chat/parley/ui-gtk/gtkx"
	"github.com/parley-chat/parley/ui-gtk/gtkx/uri"
	"github.com/parley-chat/parley/ui-gtk/viewmodel"
	"github.com/parley-chat/parley/ui-gtk/widget"
)

// fileCard is a file, picture or folder in a message.
type fileCard struct {
	row     *messageRow
	box     *gtk.Box
	file    *viewmodel.Transfer
	picture *pictureView
	bar     *gtk.ProgressBar
	line    *gtk.Label
	buttons *gtk.Box
	orders  []orderRow

	orderButtons *widget.Rows[orderRow, *orderButton]
}

// Largest size of a picture in a message, in pixels.
const pictureWidth, pictureHeight = 600, 300

func newFileCard(r *messageRow, f *viewmodel.Transfer) *fileCard {
	c := &fileCard{row: r}
	p := r.list.pane
	c.box = widget.Class(widget.Column(4), "file")
	if f.Width > 0 && (len(f.Thumbnail) > 0 || f.Path != "") {
		c.picture = newPictureView(p, f.Name)
		c.picture.click = c.open
		c.picture.size(f.Width, f.Height, r.list.room())
		c.box.PackStart(c.picture.box, false, false, 0)
	}
	c.line = widget.Label("", "small", "dim", "line")
	c.line.SetMaxWidthChars(46)
	column := widget.Column(2)
	if c.picture == nil {
		name := widget.Line(f.Name, "name")
		name.SetMaxWidthChars(36)
		name.SetTooltipText(f.Name)
		column.PackStart(name, false, false, 0)
	}
	c.bar = widget.Must(gtk.ProgressBarNew())
	c.bar.SetNoShowAll(true)
	column.PackStart(c.bar, false, false, 0)
	column.PackStart(c.line, false, false, 0)
	c.buttons = widget.Class(widget.Row(6), "orders")
	c.orderButtons = widget.BoxRows(c.buttons, c.newOrderButton)
	if c.picture == nil {
		icon := widget.Icon(f.Icon, gtk.ICON_SIZE_DND, "file-icon")
		icon.SetPixelSize(28)
		icon.SetVAlign(gtk.ALIGN_START)
		row := widget.Row(10)
		row.PackStart(icon, false, false, 0)
		column.SetSizeRequest(min(280, r.list.room()-60), -1) // else it would change with the line
		row.PackStart(column, true, true, 0)
		c.box.PackStart(row, false, false, 0)
	} else {
		c.box.PackStart(column, false, false, 0)
	}
	c.box.PackStart(c.buttons, false, false, 0)
	for _, w := range p.drawText(f.Caption, 0, r.menu) {
		c.box.PackStart(w, false, false, 0)
	}
	c.show(f)
	return c
}

// show shows how far it is.
func (c *fileCard) show(f *viewmodel.Transfer) {
	was := c.file
	c.file = f
	c.line.SetText(f.Line)
	// A picture that is here needs no words.
	c.line.SetNoShowAll(c.picture != nil)
	c.line.SetVisible(c.picture == nil || f.Fraction >= 0 || f.Failed || f.Path == "")
	widget.SetClass(c.line, "danger", f.Failed)
	widget.SetClass(c.line, "dim", !f.Failed)
	c.bar.SetVisible(f.Fraction >= 0)
	if f.Fraction >= 0 {
		c.bar.SetFraction(f.Fraction)
	}
	orders := f.Orders
	if c.picture != nil { // which is opened by a click
		orders = slices.DeleteFunc(slices.Clone(orders), func(o viewmodel.Order) bool { return o == viewmodel.OrderOpen || o == viewmodel.OrderShow })
	}
	c.drawOrders(orders)
	if c.picture != nil && (was == nil || was.Path != f.Path) {
		c.picture.load(f.Path, f.Thumbnail)
	}
}

// orderRow is a button of a file.
type orderRow struct {
	order  viewmodel.Order
	wanted bool // is what one most likely wants to do
}

// RowKey implements viewmodel.Row.
func (r orderRow) RowKey() string { return string(r.order) }

// Same implements viewmodel.Row.
func (r orderRow) Same(o orderRow) bool { return r == o }

type orderButton struct{ *gtk.Button }

func (c *fileCard) newOrderButton(r orderRow) *orderButton {
	label := c.row.list.model.OrderLabel(r.order)
	b := &orderButton{widget.Button(label, func() { c.order(r.order) }, "order")}
	gtkx.SetName(b, label+": "+c.file.Name)
	b.Update(r)
	return b
}

// Update implements widget.RowWidget.
func (b *orderButton) Update(r orderRow) { widget.SetClass(b, "wanted", r.wanted) }

func (c *fileCard) drawOrders(orders []viewmodel.Order) {
	was := c.orders
	c.orders = nil
	for i, o := range orders {
		c.orders = append(c.orders, orderRow{o, i == 0 && (o == viewmodel.OrderAccept || o == viewmodel.OrderRetry)})
	}
	c.orderButtons.Follow(viewmodel.Diff(was, c.orders))
	c.buttons.SetNoShowAll(len(orders) == 0)
	c.buttons.SetVisible(len(orders) > 0)
}

func (c *fileCard) order(o viewmodel.Order) {
	switch o {
	case viewmodel.OrderOpen:
		c.open()
	case viewmodel.OrderShow:
		c.row.list.pane.showInFolder(c.file.Path)
	default:
		c.row.list.model.Order(c.row.row.Key, o)
	}
}

// open shows a picture in its own window, and has the desktop open all else. What
// may run when it is opened is asked about first.
func (c *fileCard) open() {
	p, t := c.row.list.pane, c.row.list.pane.window.Texts()
	switch {
	case c.picture != nil:
		p.showPicture(c.file)
	case c.file.Path == "":
	case viewmodel.RunsCode(c.file.Path) && !c.file.Folder && !widget.Ask(p.window.Native(),
		t.F("Open %s?", c.file.Name),
		t.T("It may be a program, which can do with your files what it likes. Open it only when you trust who sent it."),
		t.T("Open"), t.T("Cancel"), true):
	default:
		p.failed(gtkx.OpenFile(p.window.Native(), c.file.Path))
	}
}

// showInFolder has the file manager show a file among the others.
func (p *Pane) showInFolder(path string) {
	native := p.window.Native()
	go func() {
		err := showItem(path)
		glib.IdleAdd(func() {
			if err != nil { // no file manager that knows how
				p.failed(gtkx.OpenFile(native, filepath.Dir(path)))
			}
		})
	}()
}

// showItem asks the desktop's file manager, by the interface that freedesktop.org
// describes.
func showItem(path string) error {
	item, err := uri.Of(path)
	if err != nil {
		return err
	}
	bus, err := dbus.ConnectSessionBus()
	if err != nil {
		return err
	}
	defer func() { _ = bus.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return bus.Object("org.freedesktop.FileManager1", "/org/freedesktop/FileManager1").
		CallWithContext(ctx, "org.freedesktop.FileManager1.ShowItems", 0, []string{item}, "").Err
}
