package desktop

import (
	"errors"
	"fmt"
	"sync"

	"github.com/jezek/xgb"
	"github.com/jezek/xgb/xproto"
)

// chunk is how much of the clipboard is handed over at once, in bytes: less than a
// request may have.
const chunk = 128 << 10

// Clipboard is what another program, which copied something, holds of the clipboard
// of a desktop. It ends when somebody else copies something, or with Close.
type Clipboard struct {
	conn    *xgb.Conn
	window  xproto.Window
	targets xproto.Atom
	incr    xproto.Atom
	offers  map[xproto.Atom][]byte

	once  sync.Once
	ended chan struct{}
}

// Copy puts something on the clipboard, in all the forms of which offers has a type
// each: "UTF8_STRING", "image/png", "text/uri-list".
func (d *Desktop) Copy(offers map[string][]byte) (*Clipboard, error) {
	conn, root, err := d.connect()
	if err != nil {
		return nil, err
	}
	c := &Clipboard{conn: conn, offers: map[xproto.Atom][]byte{}, ended: make(chan struct{})}
	if err := c.take(root, offers); err != nil {
		conn.Close()
		return nil, fmt.Errorf("copy to the clipboard: %w", err)
	}
	go c.serve()
	return c, nil
}

func (c *Clipboard) atom(name string) (xproto.Atom, error) {
	reply, err := xproto.InternAtom(c.conn, false, uint16(len(name)), name).Reply() //nolint:gosec // a short name
	if err != nil {
		return 0, err
	}
	return reply.Atom, nil
}

func (c *Clipboard) take(root xproto.Window, offers map[string][]byte) (err error) {
	var selection xproto.Atom
	for name, to := range map[string]*xproto.Atom{"CLIPBOARD": &selection, "TARGETS": &c.targets, "INCR": &c.incr} {
		if *to, err = c.atom(name); err != nil {
			return err
		}
	}
	for name, b := range offers {
		target, err := c.atom(name)
		if err != nil {
			return err
		}
		c.offers[target] = b
	}
	if c.window, err = xproto.NewWindowId(c.conn); err != nil {
		return err
	}
	if err := xproto.CreateWindowChecked(c.conn, 0, c.window, root, 0, 0, 1, 1, 0, xproto.WindowClassInputOnly, 0, 0, nil).Check(); err != nil {
		return err
	}
	if err := xproto.SetSelectionOwnerChecked(c.conn, c.window, selection, xproto.TimeCurrentTime).Check(); err != nil {
		return err
	}
	owner, err := xproto.GetSelectionOwner(c.conn, selection).Reply()
	if err != nil {
		return err
	}
	if owner.Owner != c.window {
		return errors.New("another program holds it")
	}
	return nil
}

// Close ends the program that copied. Idempotent.
func (c *Clipboard) Close() {
	c.once.Do(c.conn.Close)
	<-c.ended
}

// transfer is what is handed over piece by piece.
type transfer struct {
	to             xproto.Window
	property, kind xproto.Atom
	rest           []byte
}

// serve answers who pastes. What they do wrong is theirs.
func (c *Clipboard) serve() {
	defer close(c.ended)
	var under []*transfer
	for {
		event, err := c.conn.WaitForEvent()
		if event == nil && err == nil {
			return // it is closed
		}
		switch e := event.(type) {
		case xproto.SelectionClearEvent:
			c.once.Do(c.conn.Close)
		case xproto.SelectionRequestEvent:
			if t := c.answer(e); t != nil {
				under = append(under, t)
			}
		case xproto.PropertyNotifyEvent:
			if e.State != xproto.PropertyDelete {
				continue
			}
			for i, t := range under {
				if t.to != e.Window || t.property != e.Atom {
					continue
				}
				n := min(len(t.rest), chunk)
				c.put(t.to, t.property, t.kind, t.rest[:n])
				t.rest = t.rest[n:]
				if n == 0 { // which said that it is all
					under = append(under[:i], under[i+1:]...)
				}
				break
			}
		}
	}
}

// answer gives who pastes what they ask for, or the first sign of it when it is much.
func (c *Clipboard) answer(e xproto.SelectionRequestEvent) *transfer {
	done := xproto.SelectionNotifyEvent{Time: e.Time, Requestor: e.Requestor, Selection: e.Selection, Target: e.Target, Property: e.Property}
	var later *transfer
	b, offered := c.offers[e.Target]
	switch {
	case e.Target == c.targets:
		all := []xproto.Atom{c.targets}
		for target := range c.offers {
			all = append(all, target)
		}
		bytes := make([]byte, 4*len(all))
		for i, a := range all {
			xgb.Put32(bytes[4*i:], uint32(a))
		}
		xproto.ChangeProperty(c.conn, xproto.PropModeReplace, e.Requestor, e.Property, xproto.AtomAtom, 32, uint32(len(all)), bytes) //nolint:gosec // a few
	case !offered:
		done.Property = 0
	case len(b) <= chunk:
		c.put(e.Requestor, e.Property, e.Target, b)
	default:
		xproto.ChangeWindowAttributes(c.conn, e.Requestor, xproto.CwEventMask, []uint32{xproto.EventMaskPropertyChange})
		size := make([]byte, 4)
		xgb.Put32(size, uint32(len(b))) //nolint:gosec // what tests copy
		xproto.ChangeProperty(c.conn, xproto.PropModeReplace, e.Requestor, e.Property, c.incr, 32, 1, size)
		later = &transfer{e.Requestor, e.Property, e.Target, b}
	}
	xproto.SendEvent(c.conn, false, e.Requestor, 0, string(done.Bytes()))
	return later
}

func (c *Clipboard) put(to xproto.Window, property, kind xproto.Atom, b []byte) {
	xproto.ChangeProperty(c.conn, xproto.PropModeReplace, to, property, kind, 8, uint32(len(b)), b) //nolint:gosec // at most a chunk
}
