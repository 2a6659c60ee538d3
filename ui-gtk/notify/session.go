package notify

import (
	"context"
	"errors"
	"slices"

	"github.com/godbus/dbus/v5"
)

const (
	daemon     = "org.freedesktop.Notifications"
	daemonPath = dbus.ObjectPath("/org/freedesktop/Notifications")
)

// session is one connection to the session bus, and what is shown over it. It belongs
// to the goroutine of Serve.
type session struct {
	n       *Notifier
	bus     *dbus.Conn
	signals chan *dbus.Signal
	lock    *lock

	owner  string            // unique name of the daemon; empty when there is none
	can    map[string]bool   // its capabilities; nil until it was asked
	shown  map[string]shown  // by chat
	token  map[uint32]string // by the id of the notification
	failed bool              // it refused; told is whether that was logged
	told   bool
}

// shown is a notification that the daemon has.
type shown struct {
	id   uint32
	chat string
	look look
	says []string // keys of the actions that it offers
}

// look is all on which it depends how a notification looks.
type look struct {
	number uint64 // of the wish
	locked bool
	texts  Texts
}

func (n *Notifier) session(ctx context.Context) error {
	// The connection outlives the context a little, to take away what is shown.
	bus, err := connect(context.WithoutCancel(ctx), n.cfg.Bus, dbus.SessionBusPrivateNoAutoStartup)
	if err != nil {
		return err
	}
	defer bus.Close()
	s := &session{n: n, bus: bus, signals: make(chan *dbus.Signal, signals), shown: map[string]shown{}, token: map[uint32]string{}}
	bus.Signal(s.signals)
	for _, match := range [][]dbus.MatchOption{
		{dbus.WithMatchSender(daemon), dbus.WithMatchInterface(daemon)},
		{dbus.WithMatchSender("org.freedesktop.DBus"), dbus.WithMatchInterface("org.freedesktop.DBus"), dbus.WithMatchMember("NameOwnerChanged"), dbus.WithMatchArg(0, daemon)},
	} {
		if err := bus.AddMatchSignalContext(ctx, match...); err != nil {
			return err
		}
	}
	// There may be none yet.
	_ = s.call(ctx, bus.BusObject(), "org.freedesktop.DBus.GetNameOwner", daemon).Store(&s.owner)
	s.lock = watchLock(ctx, n.cfg, bus)
	defer s.lock.close()
	for {
		s.reconcile(ctx)
		select {
		case <-ctx.Done():
			s.clear(ctx)
			return ctx.Err()
		case <-n.wake:
			s.failed = false // it may have come to its senses
		case <-s.lock.changed:
		case signal, ok := <-s.signals:
			if !ok {
				return errLost
			}
			s.handle(signal)
		case <-bus.Context().Done():
			return errLost
		}
	}
}

// call calls a method, and hears of the answer even when the context ends: a
// notification that is shown meanwhile is to be taken away.
func (s *session) call(ctx context.Context, to dbus.BusObject, method string, args ...any) *dbus.Call {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	return to.CallWithContext(ctx, method, 0, args...)
}

// daemon is the one that is known, and no other that took its name in the meantime:
// what that was told before the bus tells of it would be taken for the old one's.
func (s *session) daemon() dbus.BusObject { return s.bus.Object(s.owner, daemonPath) }

// reconcile makes what is shown what is wanted.
func (s *session) reconcile(ctx context.Context) {
	wishes := s.n.wishes()
	for chat, it := range s.shown {
		if !slices.ContainsFunc(wishes, func(w wish) bool { return w.Chat == chat }) {
			delete(s.shown, chat)
			_ = s.call(ctx, s.daemon(), daemon+".CloseNotification", it.id).Err // it may be gone
		}
	}
	if len(wishes) == 0 || s.failed && s.owner == "" {
		return
	}
	if s.can == nil && !s.meet(ctx) {
		return
	}
	locked, texts := s.lock.locked(), s.n.cfg.Texts()
	for _, w := range wishes {
		if ctx.Err() != nil {
			return
		}
		old := s.shown[w.Chat]
		now := look{w.number, locked, texts}
		if old.look == now {
			continue
		}
		as := s.n.cfg.render(w.Message, texts, s.can, locked)
		if old.look.number == w.number {
			as.hints["suppress-sound"] = dbus.MakeVariant(true) // the same in other words
		}
		it := shown{chat: w.Chat, look: now, says: as.keys()}
		if err := s.call(ctx, s.daemon(), daemon+".Notify", s.n.cfg.App, old.id, s.n.cfg.Icon, as.summary, as.body, as.actions, as.hints, int32(-1)).Store(&it.id); err != nil {
			s.refused(err)
			return
		}
		s.failed, s.told = false, false
		s.shown[w.Chat] = it
	}
}

// meet finds the daemon, which the bus starts where it knows how, and asks it what it
// can do.
func (s *session) meet(ctx context.Context) bool {
	if s.owner == "" {
		_ = s.call(ctx, s.bus.BusObject(), "org.freedesktop.DBus.StartServiceByName", daemon, uint32(0)).Err // or it runs
		if err := s.call(ctx, s.bus.BusObject(), "org.freedesktop.DBus.GetNameOwner", daemon).Store(&s.owner); err != nil {
			s.refused(err)
			return false
		}
	}
	var list []string
	if err := s.call(ctx, s.daemon(), daemon+".GetCapabilities").Store(&list); err != nil {
		s.refused(err)
		return false
	}
	s.can = map[string]bool{}
	for _, name := range list {
		s.can[name] = true
	}
	return true
}

// refused notes that the daemon does not answer; the next owner of its name is tried,
// and so is the next message.
func (s *session) refused(err error) {
	if !s.told {
		s.n.cfg.Log.Warn("no notification is shown until a notification daemon answers", "error", err)
	}
	s.failed, s.told = true, true
}

// clear takes away what is shown: nobody would hear what is done with it.
func (s *session) clear(ctx context.Context) {
	for _, it := range s.shown {
		if err := s.call(ctx, s.daemon(), daemon+".CloseNotification", it.id).Err; errors.Is(err, context.DeadlineExceeded) {
			return // it hangs
		}
	}
}

// handle handles a signal. Its sender is the bus, or who has the daemon's name now.
func (s *session) handle(signal *dbus.Signal) {
	if signal.Name == "org.freedesktop.DBus.NameOwnerChanged" {
		var name, before, now string
		if signal.Sender == "org.freedesktop.DBus" && dbus.Store(signal.Body, &name, &before, &now) == nil && name == daemon && now != s.owner {
			// Another daemon knows nothing of what this one showed. What it showed was
			// seen, or is in the window; to show all again would be a din.
			for _, it := range s.shown {
				s.n.done(it.look.number)
			}
			s.owner, s.can, s.failed = now, nil, false
			clear(s.shown)
			clear(s.token)
		}
		return
	}
	if signal.Sender != s.owner || signal.Path != daemonPath {
		return
	}
	if len(signal.Body) != 2 {
		return
	}
	id, ok := signal.Body[0].(uint32)
	word, _ := signal.Body[1].(string) // a number in NotificationClosed
	if !ok {
		return
	}
	var it shown
	for _, candidate := range s.shown {
		if candidate.id == id {
			it = candidate
		}
	}
	if it.chat == "" {
		return // of another program
	}
	switch signal.Name {
	case daemon + ".ActivationToken":
		s.token[id] = word
	case daemon + ".ActionInvoked":
		s.acted(it, word)
	case daemon + ".NotificationReplied":
		if slices.Contains(it.says, inlineReply) && word != "" {
			s.event(it, Event{Kind: Replied, Text: word})
		}
	case daemon + ".NotificationClosed":
		delete(s.token, id)
		delete(s.shown, it.chat)
		s.n.done(it.look.number)
	}
}

func (s *session) acted(it shown, action string) {
	if !slices.Contains(it.says, action) {
		return
	}
	switch action {
	case open:
		s.event(it, Event{Kind: Opened})
	case reply:
		s.event(it, Event{Kind: Replying})
	case markRead:
		s.event(it, Event{Kind: MarkRead})
	}
}

func (s *session) event(it shown, e Event) {
	e.Chat, e.Token = it.chat, s.token[it.id]
	delete(s.token, it.id)
	s.n.cfg.Event(e)
}
