package notify

import (
	"slices"
	"sync/atomic"
	"testing"

	"github.com/godbus/dbus/v5"
	"github.com/godbus/dbus/v5/prop"

	"github.com/parley-chat/parley/test/ui/notifications"
)

// saver is a screen saver.
type saver struct {
	conn   *dbus.Conn
	name   string
	active atomic.Bool
}

func (s *saver) GetActive() (bool, *dbus.Error) { return s.active.Load(), nil }

func (s *saver) set(t *testing.T, active bool) {
	t.Helper()
	s.active.Store(active)
	if err := s.conn.Emit(savers[s.name], s.name+".ActiveChanged", active); err != nil {
		t.Fatal(err)
	}
}

// startSaver starts one that may be locked already.
func startSaver(t *testing.T, address, name string, active bool) (locked func(bool)) {
	t.Helper()
	s := &saver{name: name}
	s.active.Store(active)
	conn, err := dbus.Connect(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	s.conn = conn
	if err := conn.Export(s, savers[name], name); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.RequestName(name, dbus.NameFlagDoNotQueue); err != nil {
		t.Fatal(err)
	}
	return func(active bool) { s.set(t, active) }
}

// startLogin starts a logind that knows one session.
func startLogin(t *testing.T, address string, active bool) (locked func(bool)) {
	t.Helper()
	conn, err := dbus.Connect(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	p, err := prop.Export(conn, ownSession, prop.Map{loginSession: {"LockedHint": {Value: active, Writable: true, Emit: prop.EmitTrue}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.RequestName(login, dbus.NameFlagDoNotQueue); err != nil {
		t.Fatal(err)
	}
	return func(active bool) { p.SetMust(loginSession, "LockedHint", active) }
}

// Nothing that was written is on a locked screen, whoever says that it is locked, and
// whether it came before or while it is.
func TestLocked(t *testing.T) {
	for name, start := range map[string]func(t *testing.T, address string, active bool) func(bool){
		"freedesktop": func(t *testing.T, address string, active bool) func(bool) {
			return startSaver(t, address, "org.freedesktop.ScreenSaver", active)
		},
		"gnome": func(t *testing.T, address string, active bool) func(bool) {
			return startSaver(t, address, "org.gnome.ScreenSaver", active)
		},
		"logind": startLogin,
	} {
		for _, early := range []bool{true, false} {
			t.Run(name+map[bool]string{true: " is there", false: " comes later"}[early], func(t *testing.T) {
				w := newWorld(t)
				d := notifications.Start(t, w.bus.Bus, all...)
				var lock func(bool)
				if early {
					lock = start(t, w.bus.Bus, false)
				}
				w.serve()
				w.n.Show(Message{Chat: "a", Title: "Ada", Body: "secret"})
				w.shows(d, "secret")
				if early {
					lock(true)
				} else {
					lock = start(t, w.bus.Bus, true)
				}
				hidden := w.shows(d, english.Hidden)[0]
				if hidden.Summary != "Parley" || !slices.Equal(hidden.Actions, []string{"default", "Open"}) || hidden.Hints["suppress-sound"].Value() != true {
					t.Errorf("the locked screen shows %+v", hidden)
				}
				w.n.Show(Message{Chat: "b", Title: "Bob", Body: "secret too"})
				w.shows(d, english.Hidden, english.Hidden)
				d.Reply(hidden.ID, "by somebody who passes") // was not offered
				w.n.Close("a")
				w.shows(d, english.Hidden)
				lock(false)
				w.shows(d, "secret too")
				w.happened()
			})
		}
	}
}

// What is locked before anything is shown shows nothing, not even for a moment.
func TestLockedFromTheBeginning(t *testing.T) {
	w := newWorld(t)
	d := notifications.Start(t, w.bus.Bus, all...)
	startSaver(t, w.bus.Bus, "org.gnome.ScreenSaver", true)
	w.n.Show(Message{Chat: "a", Title: "Ada", Body: "secret"})
	w.serve()
	w.shows(d, english.Hidden)
	if n := d.Calls(); n != 1 {
		t.Errorf("it was shown in %d forms", n)
	}
}
