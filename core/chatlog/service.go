package chatlog

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/identity"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/packet"
)

// Sender gives a frame to a link. It blocks while the link's peer is slow; an
// error means that the link is gone (or ctx is done).
type Sender interface {
	Send(ctx context.Context, link uint64, f packet.Frame) error
}

// Type is what the log must know of a packet type.
type Type struct {
	MaxContent int // bytes; 0 means packet.MaxContent
	// OpensChat: a packet of this type by a contact may open a chat.
	OpensChat bool
}

// Config of a Service. Type, Links, Log and Now are optional.
type Config struct {
	Identity *identity.Identity
	Book     *identity.Book
	Bus      *bus.Bus
	Store    store.Store
	Log      *slog.Logger
	Sender   Sender
	// Type looks a packet type up. It is called in transactions: it must be quick
	// and must not use the store.
	Type func(packet.Type) Type
	// Links gives the links that are up, for when events were lost.
	Links func() []bus.Link
	// Now is the author's clock.
	Now func() time.Time
}

// Times and bounds of the service.
const (
	queueLength  = 1 << 16
	batchPackets = 512
	batchBytes   = 4 << 20

	stallAfter = 5 * time.Second // of a peer that was asked
	stallMax   = 2 * time.Minute
	// pushAgainAfter is for a peer that does not answer what it is given; twice as
	// long each time, pushTries times.
	pushAgainAfter = 30 * time.Second
	pushTries      = 6
	retryAfter     = time.Second // of a store that cannot commit
)

// Service is the chat log of an account. Make it with New; its methods may be
// called concurrently, before and while Serve runs.
type Service struct {
	cfg     Config
	log     *slog.Logger
	self    packet.UserID
	device  packet.DeviceID
	started uint64 // no log that was begun before has such an epoch; set before the loop runs

	lists   lists
	events  *bus.Queue[event]
	appends *bus.Queue[packet.ChatID]
	reading chan struct{} // a token for each pump that reads

	// mu guards all below and everything in links; nothing is read, written or
	// sent under it.
	mu        sync.Mutex
	links     map[uint64]*link
	pulls     map[packet.Log]*pull
	rumours   rumours
	comparing comparing
	settled   []settling                 // audits that are over, to be noted in the store
	named     map[packet.Log]struct{}    // equivocators' logs that were noticed
	accused   map[packet.UserID]struct{} // who was noticed for something else
	restored  bool                       // the user was told that the store is an older copy
	// spawn starts a link's pump; nil while Serve does not run.
	spawn func(*link)
}

// event is something for the one goroutine that owns receiving.
type event struct {
	kind    eventKind
	link    bus.Link
	packet  *packet.Packet
	frame   packet.Frame
	chat    packet.ChatID
	release func()
}

// Dropped implements bus.Dropper.
func (e event) Dropped() {
	if e.release != nil {
		e.release()
	}
}

type eventKind int

const (
	linkUp eventKind = iota + 1
	linkDown
	packetCame
	syncCame
	chatChanged
	chatRemoved
	bookChanged
)

// New makes a service and subscribes it to the bus. Close undoes that.
func New(cfg Config) *Service {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Type == nil {
		cfg.Type = func(packet.Type) Type { return Type{} }
	}
	s := &Service{
		cfg: cfg, log: cfg.Log, self: cfg.Identity.User(), device: cfg.Identity.Device(),
		started: uint64(cfg.Now().UnixMicro()),
		events:  bus.NewQueue[event](queueLength),
		reading: make(chan struct{}, pumpsAtOnce),
		links:   map[uint64]*link{}, pulls: map[packet.Log]*pull{},
		comparing: comparing{grown: map[packet.Log]uint64{}},
		named:     map[packet.Log]struct{}{}, accused: map[packet.UserID]struct{}{},
	}
	bus.Feed(cfg.Bus, bus.LinkUp, s.events, func(l bus.Link) (event, bool) { return event{kind: linkUp, link: l}, true })
	bus.Feed(cfg.Bus, bus.LinkDown, s.events, func(l bus.Link) (event, bool) { return event{kind: linkDown, link: l}, true })
	bus.Feed(cfg.Bus, bus.PacketReceived, s.events, func(r bus.Received) (event, bool) {
		return event{kind: packetCame, link: r.Link, packet: r.Packet, release: r.Release}, true
	})
	bus.Feed(cfg.Bus, bus.SyncReceived, s.events, func(f bus.SyncFrame) (event, bool) {
		return event{kind: syncCame, link: f.Link, frame: f.Frame, release: f.Release}, true
	})
	bus.Feed(cfg.Bus, bus.ChatChanged, s.events, func(c bus.ChatChange) (event, bool) {
		if c.Removed {
			return event{kind: chatRemoved, chat: c.Chat}, true
		}
		return event{kind: chatChanged, chat: c.Chat}, !c.Content
	})
	bus.Feed(cfg.Bus, bus.ContactChanged, s.events, func(bus.ContactChange) (event, bool) { return event{kind: bookChanged}, true })
	s.appends = bus.Subscribe(cfg.Bus, bus.EntryAppended, 4096)
	return s
}

// Close detaches the service from the bus, after Serve has ended. Idempotent.
func (s *Service) Close() {
	s.events.Close()
	s.appends.Close()
	s.events.Drain()
	s.appends.Drain()
}

// Serve runs the service until ctx ends. It may be called again afterwards.
func (s *Service) Serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	s.mu.Lock()
	s.spawn = func(l *link) {
		pumpCtx, stop := context.WithCancel(ctx)
		l.stop = stop
		running.Go(func() { s.pump(pumpCtx, l) })
	}
	for _, l := range s.links {
		s.spawn(l)
	}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.spawn = nil
		s.mu.Unlock()
		cancel()
		running.Wait()
	}()
	running.Go(func() { s.watchAppends(ctx) })
	if err := s.catchUp(ctx); err != nil {
		return err
	}
	return s.loop(ctx)
}

func (s *Service) watchAppends(ctx context.Context) {
	for {
		chat, err := s.appends.Next(ctx)
		switch {
		case err == nil:
			s.appended(chat)
		case errors.Is(err, bus.ErrLagged):
			s.appended("")
		default:
			return
		}
	}
}

func (s *Service) loop(ctx context.Context) error {
	for {
		e, err := s.nextEvent(ctx)
		switch {
		case err == nil:
			s.process(ctx, s.batch(e))
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, context.DeadlineExceeded):
		case errors.Is(err, bus.ErrLagged):
			s.resync(ctx)
		default:
			return err
		}
		s.tick(ctx)
	}
}

// nextEvent waits for an event, or until something is due.
func (s *Service) nextEvent(ctx context.Context) (event, error) {
	if e, ok := s.events.TryNext(); ok {
		return e, nil
	}
	wait := time.Duration(pushAgainAfter) // pumps make things due meanwhile
	if at, ok := s.deadline(); ok {
		wait = max(min(at.Sub(s.cfg.Now()), wait), 0)
	} else if !s.linked() {
		return s.events.Next(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	return s.events.Next(ctx)
}

func (s *Service) linked() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.links) > 0
}

// batch gives e and what else is there already: one commit is for all of it.
func (s *Service) batch(e event) []event {
	events := []event{e}
	for size := 0; len(events) < batchPackets && size < batchBytes; {
		if e.packet != nil {
			size += len(e.packet.Content)
		}
		var ok bool
		if e, ok = s.events.TryNext(); !ok {
			break
		}
		events = append(events, e)
	}
	return events
}

// process handles events in order; those that need the store share a transaction.
func (s *Service) process(ctx context.Context, events []event) {
	for len(events) > 0 {
		n := 0
		for n < len(events) && (events[n].kind == packetCame || events[n].kind == syncCame) {
			n++
		}
		if n > 0 {
			s.receive(ctx, events[:n])
			events = events[n:]
			continue
		}
		s.handle(ctx, events[0])
		events = events[1:]
	}
	s.settle(ctx)
}

func (s *Service) handle(ctx context.Context, e event) {
	var err error
	switch e.kind {
	case linkUp:
		err = s.linkUp(ctx, e.link)
	case linkDown:
		s.linkDown(e.link.ID)
	case chatChanged:
		err = s.chatChanged(ctx, e.chat)
	case chatRemoved:
		s.forget(e.chat)
		err = s.cfg.Store.Update(ctx, store.Lazy, func(tx store.Tx) error { return forgetDigests(tx, e.chat) })
	case bookChanged:
		s.planAll()
	}
	if err != nil && ctx.Err() == nil {
		s.log.Error("chat log", "event", e.kind, "chat", e.chat, "peer", e.link.User, "error", err)
	}
}

// tick does what is due by now.
func (s *Service) tick(ctx context.Context) {
	now := s.cfg.Now()
	s.mu.Lock()
	s.tickRumours(now)
	s.tickPulls(now)
	s.tickAudits(now)
	s.tickPushes(now)
	s.mu.Unlock()
	s.settle(ctx)
	s.compare(ctx)
}

// deadline says when tick has something to do.
func (s *Service) deadline() (at time.Time, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sooner := func(t time.Time) {
		if !t.IsZero() && (!ok || t.Before(at)) {
			at, ok = t, true
		}
	}
	for _, due := range s.rumours.due {
		sooner(due)
	}
	sooner(s.comparing.at)
	for _, p := range s.pulls {
		sooner(p.deadline)
	}
	for _, l := range s.links {
		for _, a := range l.audits {
			sooner(a.deadline)
		}
		for _, c := range l.push {
			sooner(c.retry)
		}
		for _, d := range l.doubts {
			sooner(d.at)
		}
	}
	return at, ok
}
