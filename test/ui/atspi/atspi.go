// Package atspi reads and uses windows the way that screen readers do, over AT-SPI:
// by role and name, on whatever desktop the programs are. It knows no GTK.
package atspi

import (
	"context"
	"errors"
	"fmt"
	"image"
	"slices"
	"strings"

	"github.com/godbus/dbus/v5"
)

var (
	// ErrNotFound is what is given for an application or element that is not there, or
	// no longer.
	ErrNotFound = errors.New("not in the accessibility tree")
	// ErrRefused is what is given where an element cannot do now what it is asked for,
	// such as a button that is not sensitive.
	ErrRefused = errors.New("refused")
)

const (
	service    = "org.a11y.atspi."
	accessible = service + "Accessible"
	rootPath   = dbus.ObjectPath("/org/a11y/atspi/accessible/root")
)

// Bus is a connection to what programs say of their windows. It is safe for
// concurrent use.
type Bus struct{ conn *dbus.Conn }

// Connect asks a session bus for the bus of assistive technology, and opens it.
func Connect(ctx context.Context, session string) (*Bus, error) {
	s, err := dbus.Connect(session)
	if err != nil {
		return nil, fmt.Errorf("session bus: %w", err)
	}
	defer s.Close()
	var address string
	if err := s.Object("org.a11y.Bus", "/org/a11y/bus").CallWithContext(ctx, "org.a11y.Bus.GetAddress", 0).Store(&address); err != nil {
		return nil, fmt.Errorf("where is the accessibility bus: %w", err)
	}
	conn, err := dbus.Connect(address)
	if err != nil {
		return nil, fmt.Errorf("accessibility bus: %w", err)
	}
	return &Bus{conn}, nil
}

// Close ends the connection. Idempotent.
func (b *Bus) Close() { _ = b.conn.Close() }

// Application finds the application of a process. Errors: ErrNotFound until it is
// there.
func (b *Bus) Application(ctx context.Context, pid int) (Element, error) {
	registry := Element{b, service + "Registry", rootPath}
	all, err := registry.Children(ctx)
	if err != nil {
		return Element{}, err
	}
	for _, app := range all {
		var owner uint32
		if b.conn.BusObject().CallWithContext(ctx, "org.freedesktop.DBus.GetConnectionUnixProcessID", 0, app.owner).Store(&owner) == nil && int(owner) == pid {
			return app, nil
		}
	}
	return Element{}, fmt.Errorf("application of process %d: %w", pid, ErrNotFound)
}

// Element is a widget, as its program tells of it. Comparable; what it stands for
// may go at any time, which its methods say with ErrNotFound.
type Element struct {
	bus   *Bus
	owner string
	path  dbus.ObjectPath
}

// reference is how elements come over the bus.
type reference struct {
	Owner string
	Path  dbus.ObjectPath
}

func (e Element) elements(refs []reference) []Element {
	all := make([]Element, 0, len(refs))
	for _, ref := range refs {
		all = append(all, Element{e.bus, ref.Owner, ref.Path})
	}
	return all
}

func (e Element) call(ctx context.Context, method string, args ...any) *dbus.Call {
	call := e.bus.conn.Object(e.owner, e.path).CallWithContext(ctx, method, 0, args...)
	var failed dbus.Error
	if errors.As(call.Err, &failed) {
		switch failed.Name {
		case "org.freedesktop.DBus.Error.UnknownObject", "org.freedesktop.DBus.Error.UnknownMethod",
			"org.freedesktop.DBus.Error.NoReply", "org.freedesktop.DBus.Error.ServiceUnknown":
			call.Err = fmt.Errorf("%w: %s: %w", ErrNotFound, strings.TrimPrefix(method, service), failed)
		}
	}
	return call
}

func (e Element) property(ctx context.Context, iface, name string, to any) error {
	var v dbus.Variant
	if err := e.call(ctx, "org.freedesktop.DBus.Properties.Get", iface, name).Store(&v); err != nil {
		return err
	}
	return v.Store(to)
}

// Name is what the element is called.
func (e Element) Name(ctx context.Context) (name string, err error) {
	return name, e.property(ctx, accessible, "Name", &name)
}

// Description says more than the name.
func (e Element) Description(ctx context.Context) (text string, err error) {
	return text, e.property(ctx, accessible, "Description", &text)
}

// Role is what the element is.
func (e Element) Role(ctx context.Context) (Role, error) {
	var role uint32
	err := e.call(ctx, accessible+".GetRole").Store(&role)
	return Role(role), err
}

// RoleName is the name of its role: "push button".
func (e Element) RoleName(ctx context.Context) (name string, err error) {
	return name, e.call(ctx, accessible+".GetRoleName").Store(&name)
}

// Is says whether the element is in a state.
func (e Element) Is(ctx context.Context, state State) (bool, error) {
	var bits []uint32
	if err := e.call(ctx, accessible+".GetState").Store(&bits); err != nil {
		return false, err
	}
	word := int(state) / 32
	return word < len(bits) && bits[word]&(1<<(state%32)) != 0, nil
}

// Children are the elements in it, in order.
func (e Element) Children(ctx context.Context) ([]Element, error) {
	var refs []reference
	if err := e.call(ctx, accessible+".GetChildren").Store(&refs); err != nil {
		return nil, err
	}
	return e.elements(refs), nil
}

// Parent is the element that it is in.
func (e Element) Parent(ctx context.Context) (Element, error) {
	var ref reference
	if err := e.property(ctx, accessible, "Parent", &ref); err != nil {
		return Element{}, err
	}
	return Element{e.bus, ref.Owner, ref.Path}, nil
}

// rule is AT-SPI's MatchRule; the numbers say how much of each must fit.
type rule struct {
	States        []int32
	StatesMatch   int32
	Attributes    map[string]string
	AttributesMax int32
	Roles         []int32
	RolesMatch    int32
	Interfaces    []string
	IfacesMatch   int32
	Invert        bool
}

const (
	matchAll = 1
	matchAny = 2
	ordered  = 1 // as they stand in the window
)

// Find gives what lies anywhere in the element, has the role, shows on the screen,
// and is called name; in the order of the window.
func (e Element) Find(ctx context.Context, role Role, name string) ([]Element, error) {
	return e.FindFunc(ctx, role, func(it string) bool { return it == name })
}

// FindFunc is Find with a condition for the name.
func (e Element) FindFunc(ctx context.Context, role Role, fits func(name string) bool) ([]Element, error) {
	roles := make([]int32, 5) // a bit for each
	roles[role/32] = int32(uint32(1) << (role % 32))
	states := []int32{1 << Showing, 0}
	var refs []reference
	err := e.call(ctx, service+"Collection.GetMatches", rule{
		States: states, StatesMatch: matchAll, Attributes: map[string]string{}, AttributesMax: matchAll,
		Roles: roles, RolesMatch: matchAny, Interfaces: []string{}, IfacesMatch: matchAll,
	}, uint32(ordered), int32(0), true).Store(&refs)
	if err != nil {
		return nil, err
	}
	found := e.elements(refs)
	var failed error
	found = slices.DeleteFunc(found, func(it Element) bool {
		name, err := it.Name(ctx)
		if err != nil && !errors.Is(err, ErrNotFound) { // gone in the meantime
			failed = err
		}
		return err != nil || !fits(name)
	})
	return found, failed
}

// Act does what the element is there for: a button is clicked, a check box toggled.
func (e Element) Act(ctx context.Context) error {
	var n int32
	if err := e.property(ctx, service+"Action", "NActions", &n); err != nil {
		return fmt.Errorf("what can it do: %w", err)
	}
	if n == 0 {
		return errors.New("there is nothing that it does")
	}
	// GTK says yes in any case.
	if can, err := e.Is(ctx, Sensitive); err != nil {
		return err
	} else if !can {
		return fmt.Errorf("it is not sensitive: %w", ErrRefused)
	}
	return e.accepted(ctx, service+"Action.DoAction", int32(0))
}

func (e Element) accepted(ctx context.Context, method string, args ...any) error {
	var ok bool
	if err := e.call(ctx, method, args...).Store(&ok); err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("%s: %w", strings.TrimPrefix(method, service), ErrRefused)
	}
	return nil
}

// Text is what is written in an entry, a text view or a label.
func (e Element) Text(ctx context.Context) (text string, err error) {
	return text, e.call(ctx, service+"Text.GetText", int32(0), int32(-1)).Store(&text)
}

// SetText writes into an entry or a text view, instead of what was there.
func (e Element) SetText(ctx context.Context, text string) error {
	return e.accepted(ctx, service+"EditableText.SetTextContents", text)
}

// Select selects the element in the list that it is in.
func (e Element) Select(ctx context.Context) error {
	parent, err := e.Parent(ctx)
	if err != nil {
		return err
	}
	for was := -1; ; {
		all, err := parent.Children(ctx)
		if err != nil {
			return err
		}
		at := slices.Index(all, e)
		if at < 0 {
			return fmt.Errorf("in its parent: %w", ErrNotFound)
		}
		if at == was {
			return nil
		}
		// A row that moves meanwhile leaves its number to another one.
		if err := parent.accepted(ctx, service+"Selection.SelectChild", int32(at)); err != nil { //nolint:gosec // rows of a window
			return err
		}
		was = at
	}
}

// Choose chooses an item, by its name, of a choice whose items are in a menu that is
// unfolded. Errors: ErrNotFound when there is no such item.
func (e Element) Choose(ctx context.Context, name string) error {
	menus, err := e.Children(ctx)
	if err != nil {
		return err
	}
	for _, menu := range menus {
		items, err := menu.Children(ctx)
		if err != nil {
			return err
		}
		for i, item := range items {
			if n, err := item.Name(ctx); err == nil && n == name {
				return e.accepted(ctx, service+"Selection.SelectChild", int32(i)) //nolint:gosec // items of a menu
			}
		}
	}
	return fmt.Errorf("item %q: %w", name, ErrNotFound)
}

// Focus gives it the keyboard, within its window.
func (e Element) Focus(ctx context.Context) error {
	return e.accepted(ctx, service+"Component.GrabFocus")
}

// Bounds is where it is on the screen.
func (e Element) Bounds(ctx context.Context) (image.Rectangle, error) {
	var at struct{ X, Y, Width, Height int32 }
	if err := e.call(ctx, service+"Component.GetExtents", uint32(0)).Store(&at); err != nil {
		return image.Rectangle{}, err
	}
	return image.Rect(int(at.X), int(at.Y), int(at.X+at.Width), int(at.Y+at.Height)), nil
}

// Value is that of a slider or a progress bar.
func (e Element) Value(ctx context.Context) (v float64, err error) {
	return v, e.property(ctx, service+"Value", "CurrentValue", &v)
}

// SetValue moves a slider.
func (e Element) SetValue(ctx context.Context, v float64) error {
	return e.call(ctx, "org.freedesktop.DBus.Properties.Set", service+"Value", "CurrentValue", dbus.MakeVariant(v)).Err
}

// maxTree is how many elements Tree tells.
const maxTree = 2000

// Tree tells what is in the element: a line for each, with its role, name, text and
// the states that a test asks for.
func (e Element) Tree(ctx context.Context) string {
	var b strings.Builder
	left := maxTree
	e.tree(ctx, &b, 0, &left)
	return b.String()
}

func (e Element) tree(ctx context.Context, b *strings.Builder, depth int, left *int) {
	if *left--; *left < 0 {
		return
	}
	role, err := e.RoleName(ctx)
	if err != nil {
		fmt.Fprintf(b, "%*s%v\n", 2*depth, "", err)
		return
	}
	name, _ := e.Name(ctx)
	fmt.Fprintf(b, "%*s%s %q", 2*depth, "", role, name)
	if text, err := e.Text(ctx); err == nil && text != name {
		fmt.Fprintf(b, " text %q", text)
	}
	for state, word := range map[State]string{Focused: "focused", Selected: "selected", Checked: "checked"} {
		if is, _ := e.Is(ctx, state); is {
			b.WriteString(" " + word)
		}
	}
	if showing, _ := e.Is(ctx, Showing); !showing {
		b.WriteString(" hidden\n")
		return // and so is all that is in it
	}
	b.WriteByte('\n')
	children, _ := e.Children(ctx)
	for _, child := range children {
		child.tree(ctx, b, depth+1, left)
	}
}
