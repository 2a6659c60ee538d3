// Package notifications is a notification daemon for tests: it shows nothing, tells
// what it was asked to show, and does what a person would do with it.
package notifications

import (
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/godbus/dbus/v5"
)

// Name is what the daemon is called on the session bus, and Path where it is.
const (
	Name = "org.freedesktop.Notifications"
	Path = dbus.ObjectPath("/org/freedesktop/Notifications")
)

// Notification is what was asked for, by the words of the specification.
type Notification struct {
	ID            uint32
	Replaces      uint32
	App, Icon     string
	Summary, Body string
	Actions       []string // key, label, key, label...
	Hints         map[string]dbus.Variant
}

// Daemon is a notification daemon. Its methods are safe for concurrent use.
type Daemon struct {
	tb           testing.TB
	conn         *dbus.Conn
	capabilities []string

	mu    sync.Mutex // guards the rest
	last  uint32
	shown map[uint32]Notification
	calls int
}

// Start puts a daemon on a session bus, that says it can do what capabilities name. It
// ends with the test.
func Start(tb testing.TB, bus string, capabilities ...string) *Daemon {
	tb.Helper()
	conn, err := dbus.Connect(bus)
	if err != nil {
		tb.Fatal(err)
	}
	d := &Daemon{tb: tb, conn: conn, capabilities: capabilities, shown: map[uint32]Notification{}}
	tb.Cleanup(d.Stop)
	if err := conn.Export(service{d}, Path, Name); err != nil {
		tb.Fatal(err)
	}
	if reply, err := conn.RequestName(Name, dbus.NameFlagDoNotQueue); err != nil || reply != dbus.RequestNameReplyPrimaryOwner {
		tb.Fatalf("take the name %s: %v, %v", Name, reply, err)
	}
	return d
}

// Stop ends the daemon, as a crash would: nobody hears of what it showed. Idempotent.
func (d *Daemon) Stop() { d.conn.Close() }

// Shown is what it shows, the oldest first.
func (d *Daemon) Shown() []Notification {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := make([]Notification, 0, len(d.shown))
	for _, id := range slices.Sorted(maps.Keys(d.shown)) {
		all = append(all, d.shown[id])
	}
	return all
}

// Calls is how often it was asked to show something.
func (d *Daemon) Calls() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.calls
}

// Invoke does what the button of an action does; "default" is a click on the
// notification itself. Then the notification is closed, as it is of most daemons.
func (d *Daemon) Invoke(id uint32, action string) {
	d.tb.Helper()
	d.Emit("ActivationToken", id, "token of "+action)
	d.Emit("ActionInvoked", id, action)
	d.close(id, 2)
}

// Reply answers in the notification itself, as in KDE's.
func (d *Daemon) Reply(id uint32, text string) {
	d.tb.Helper()
	d.Emit("NotificationReplied", id, text)
	d.close(id, 2)
}

// Dismiss wipes a notification away.
func (d *Daemon) Dismiss(id uint32) {
	d.tb.Helper()
	d.close(id, 2)
}

func (d *Daemon) close(id, reason uint32) {
	d.mu.Lock()
	_, there := d.shown[id]
	delete(d.shown, id)
	d.mu.Unlock()
	if there {
		_ = d.conn.Emit(Path, Name+".NotificationClosed", id, reason) // it may be stopped meanwhile
	}
}

// Emit sends a signal, whatever it holds.
func (d *Daemon) Emit(signal string, values ...any) {
	d.tb.Helper()
	if err := d.conn.Emit(Path, Name+"."+signal, values...); err != nil {
		d.tb.Errorf("emit %s: %v", signal, err)
	}
}

// service is what is on the bus.
type service struct{ d *Daemon }

func (s service) GetCapabilities() ([]string, *dbus.Error) { return s.d.capabilities, nil }

func (s service) GetServerInformation() (name, vendor, version, spec string, err *dbus.Error) {
	return "test", "parley", "1", "1.2", nil
}

func (s service) Notify(app string, replaces uint32, icon, summary, body string, actions []string, hints map[string]dbus.Variant, _ int32) (uint32, *dbus.Error) {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	s.d.calls++
	id := replaces
	if _, there := s.d.shown[id]; !there {
		s.d.last++
		id = s.d.last
	}
	s.d.shown[id] = Notification{id, replaces, app, icon, summary, body, actions, hints}
	return id, nil
}

func (s service) CloseNotification(id uint32) *dbus.Error {
	s.d.close(id, 3)
	return nil
}
