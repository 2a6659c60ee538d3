package notify

import (
	"context"
	"strings"
	"sync"

	"github.com/godbus/dbus/v5"
)

// savers are the names under which desktops say whether the screen is locked, with
// the path at which each is. Each has the method GetActive and the signal
// ActiveChanged, in an interface of the same name.
var savers = map[string]dbus.ObjectPath{
	"org.freedesktop.ScreenSaver": "/org/freedesktop/ScreenSaver",
	"org.gnome.ScreenSaver":       "/org/gnome/ScreenSaver",
}

const (
	login        = "org.freedesktop.login1"
	loginSession = "org.freedesktop.login1.Session"
	ownSession   = dbus.ObjectPath("/org/freedesktop/login1/session/auto")
	properties   = "org.freedesktop.DBus.Properties"
)

// lock follows whether the screen is locked, for anybody who says so.
type lock struct {
	changed chan struct{} // has something when it may be another
	end     context.CancelFunc
	watch   sync.WaitGroup
	system  *dbus.Conn // nil where there is none

	mu sync.Mutex // guards the one below
	by map[string]bool
}

// watchLock begins to follow. What does not answer does not say that it is locked.
func watchLock(ctx context.Context, cfg Config, bus *dbus.Conn) *lock {
	ctx, cancel := context.WithCancel(ctx)
	l := &lock{changed: make(chan struct{}, 1), end: cancel, by: map[string]bool{}}
	for name, path := range savers {
		l.follow(ctx, bus, follower{
			name: name, path: path, signal: name + ".ActiveChanged",
			ask: func(ctx context.Context) (locked bool, err error) {
				// Nobody starts a screen saver to ask it.
				return locked, bus.Object(name, path).CallWithContext(ctx, name+".GetActive", dbus.FlagNoAutoStart).Store(&locked)
			},
		})
	}
	if system, err := connect(ctx, cfg.SystemBus, dbus.SystemBusPrivate); err == nil {
		l.system = system
		l.follow(ctx, system, follower{
			name: login, signal: properties + ".PropertiesChanged",
			ask: func(ctx context.Context) (locked bool, err error) {
				var v dbus.Variant
				if err := system.Object(login, ownSession).CallWithContext(ctx, properties+".Get", dbus.FlagNoAutoStart, loginSession, "LockedHint").Store(&v); err != nil {
					return false, err
				}
				return locked, v.Store(&locked)
			},
		})
	}
	return l
}

// follower is one who may say that the screen is locked.
type follower struct {
	name   string
	path   dbus.ObjectPath // of its signal; any when empty
	signal string
	ask    func(context.Context) (bool, error)
}

// follow asks once now, and again whenever it says something or comes anew: what its
// signals hold is different for each, and where one comes from can be anywhere.
func (l *lock) follow(ctx context.Context, bus *dbus.Conn, f follower) {
	signals := make(chan *dbus.Signal, signals)
	bus.Signal(signals)
	at := strings.LastIndexByte(f.signal, '.')
	match := []dbus.MatchOption{dbus.WithMatchSender(f.name), dbus.WithMatchInterface(f.signal[:at]), dbus.WithMatchMember(f.signal[at+1:])}
	if f.path != "" {
		match = append(match, dbus.WithMatchObjectPath(f.path))
	}
	owners := []dbus.MatchOption{dbus.WithMatchInterface("org.freedesktop.DBus"), dbus.WithMatchMember("NameOwnerChanged"), dbus.WithMatchArg(0, f.name)}
	for _, m := range [][]dbus.MatchOption{match, owners} {
		if bus.AddMatchSignalContext(ctx, m...) != nil {
			return
		}
	}
	l.ask(ctx, f)
	l.watch.Go(func() {
		defer bus.RemoveSignal(signals)
		for {
			select {
			case <-ctx.Done():
				return
			case signal, ok := <-signals:
				if !ok {
					return
				}
				if signal.Name == f.signal || signal.Name == "org.freedesktop.DBus.NameOwnerChanged" {
					l.ask(ctx, f)
				}
			}
		}
	})
}

func (l *lock) ask(ctx context.Context, f follower) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	locked, err := f.ask(ctx)
	l.mu.Lock()
	l.by[f.name] = err == nil && locked
	l.mu.Unlock()
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

// locked says whether anybody says so.
func (l *lock) locked() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, locked := range l.by {
		if locked {
			return true
		}
	}
	return false
}

// close ends it, and waits.
func (l *lock) close() {
	l.end()
	if l.system != nil {
		l.system.Close()
	}
	l.watch.Wait()
}
