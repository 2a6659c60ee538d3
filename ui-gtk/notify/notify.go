// Package notify shows what is new on the desktop, outside of the window: one
// notification a chat, which the next message in it replaces and reading it takes
// away. It speaks the Desktop Notifications Specification (1.2, and KDE's replies
// within the notification) over the session bus.
//
// Nothing of what was written shows while the screen is locked, as far as the desktop
// says that it is (org.freedesktop.ScreenSaver, org.gnome.ScreenSaver, logind).
package notify

import (
	"context"
	"errors"
	"image"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/godbus/dbus/v5"
)

const (
	// callTimeout is how long a daemon has to answer.
	callTimeout = 3 * time.Second
	// firstRetry and lastRetry lie between attempts to reach a bus that is not there.
	firstRetry = time.Second
	lastRetry  = time.Minute
	// maxChats is how many chats have a notification at once; the oldest gives way.
	maxChats = 50
	// signals is how many from the desktop may wait.
	signals = 64
)

// Texts are what Parley itself says, in the language of the window.
type Texts struct {
	Open, Reply, MarkRead string // actions
	ReplyHint             string // in the empty field of a reply
	Hidden                string // instead of title and body while the screen is locked: "New messages"
}

// Config of a Notifier.
type Config struct {
	// App is the program's name for people, and Icon that of its icon.
	App, Icon string
	// DesktopEntry is the name of its .desktop file, without the ending.
	DesktopEntry string
	// Texts gives what Parley says. It is asked each time, since the language of the
	// window can change.
	Texts func() Texts
	// Event is told what the person did, from the goroutine of Serve. It must not block.
	Event func(Event)
	Log   *slog.Logger
	// Bus is the address of the session bus, and SystemBus that of the system's; those
	// of this session when empty.
	Bus, SystemBus string
}

// Message is what is new in a chat.
type Message struct {
	// Chat is by what it is replaced and closed.
	Chat string
	// Title says whose it is, Body what: plain text, of which the beginning shows.
	Title, Body string
	// Picture is that of the person, at most 256 pixels wide and high; or nil.
	Picture image.Image
	// NoReply leaves out the answer, as for a call or a request.
	NoReply bool
	// Urgent stays until it is seen to.
	Urgent bool
	// Silent makes no sound.
	Silent bool
}

// Kind is what a person did with a notification.
type Kind int

// Kinds of events.
const (
	Opened   Kind = iota // wants to see the chat
	Replying             // wants to see the chat and write
	Replied              // wrote Text
	MarkRead             // has seen enough
)

// Event is what a person did with the notification of a chat.
type Event struct {
	Chat string
	Kind Kind
	Text string // of Replied
	// Token lets a window come to the front (xdg-activation), or is empty.
	Token string
}

// Notifier shows notifications while Serve runs. Its methods are safe for concurrent
// use, and never wait for the desktop.
type Notifier struct {
	cfg  Config
	wake chan struct{}

	mu     sync.Mutex // guards the rest
	wanted []wish     // one a chat, the oldest first
	last   uint64
}

// wish is a message that is to be shown.
type wish struct {
	Message
	number uint64 // tells it from others that look the same
}

// New makes a Notifier.
func New(cfg Config) *Notifier {
	return &Notifier{cfg: cfg, wake: make(chan struct{}, 1)}
}

// Show shows a message instead of what was shown of its chat. Where there is no
// notification daemon it waits for one.
func (n *Notifier) Show(m Message) {
	n.mu.Lock()
	n.forget(func(w wish) bool { return w.Chat == m.Chat })
	n.last++
	n.wanted = append(n.wanted, wish{m, n.last})
	if len(n.wanted) > maxChats {
		n.wanted = slices.Delete(n.wanted, 0, 1)
	}
	n.mu.Unlock()
	n.poke()
}

// Close takes away what is shown of a chat. Idempotent.
func (n *Notifier) Close(chat string) {
	n.mu.Lock()
	n.forget(func(w wish) bool { return w.Chat == chat })
	n.mu.Unlock()
	n.poke()
}

// forget is to be called with the lock.
func (n *Notifier) forget(which func(wish) bool) { n.wanted = slices.DeleteFunc(n.wanted, which) }

// done forgets a message that the person has dealt with; a newer one of the chat stays.
func (n *Notifier) done(number uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.forget(func(w wish) bool { return w.number == number })
}

// poke has Serve look.
func (n *Notifier) poke() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// Refresh shows again, in other words, what is shown: the language changed.
func (n *Notifier) Refresh() { n.poke() }

// wishes are what is wanted, the oldest first.
func (n *Notifier) wishes() []wish {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.wanted)
}

// Serve keeps the desktop's notifications as Show and Close want them until the
// context ends, and then takes them away. It connects again when a bus is lost; its
// error is the context's.
func (n *Notifier) Serve(ctx context.Context) error {
	retry := firstRetry
	for told := false; ; {
		err := n.session(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, errLost) {
			retry, told = firstRetry, false
		}
		if !told { // once, and not each minute
			n.cfg.Log.Warn("desktop notifications are off until the session bus answers", "error", err)
			told = true
		}
		timer := time.NewTimer(retry)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
		retry = min(2*retry, lastRetry)
	}
}

// errLost is what a session ends with that had begun.
var errLost = errors.New("the session bus is gone")

// connect opens a bus: that at the address, or a standard one of this session, which
// is not started for this.
func connect(ctx context.Context, address string, standard func(...dbus.ConnOption) (*dbus.Conn, error)) (*dbus.Conn, error) {
	if address != "" {
		return dbus.Connect(address, dbus.WithContext(ctx))
	}
	bus, err := standard(dbus.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	if err := bus.Auth(nil); err != nil {
		bus.Close()
		return nil, err
	}
	if err := bus.Hello(); err != nil {
		bus.Close()
		return nil, err
	}
	return bus, nil
}
