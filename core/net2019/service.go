package net2019

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/identity"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/internal/failure"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/packet"
	wire "github.com/parley-chat/parley/protocol/packet/net2019"
)

// Directory is what is needed of the account's own directory.
type Directory interface {
	// SetNet2019 has the user shown to clients of 2019 under an id, listening on
	// port, and watches others; an empty id switches it off. It does not wait:
	// bus.Net2019Answered and bus.Net2019Located tell what comes of it. It is
	// asked for again in every session.
	SetNet2019(id wire.ID, port uint16, watched []wire.ID)
	// State of the session.
	State() bus.DirectoryState
}

// Files puts what came whole where it is wanted, and tells how far what comes and goes
// is. Blobs of 2019 that come have the ids of their messages.
type Files interface {
	// Place moves a file to where a blob is wanted.
	Place(ctx context.Context, id packet.BlobID, from string) error
	// Fail says that a blob will not come whole, or that nobody could be sent it, if it
	// is known and not settled.
	Fail(ctx context.Context, id packet.BlobID, reason string)
	// Sent says that one's own blob went to all who are to have it.
	Sent(ctx context.Context, id packet.BlobID)
	// Moved says that n bytes of b came from a peer, or went to one, who is at done;
	// Stopped that no more do. b need not be known: its identity, Size and Own count.
	Moved(b *store.Blob, peer packet.UserID, n int, done uint64)
	Stopped(ctx context.Context, b *store.Blob, peer packet.UserID)
	// Room says how many bytes fit into a folder.
	Room(folder string) (uint64, error)
}

// Config of a Service. All fields but Host and Clock are needed.
type Config struct {
	Identity  *identity.Identity
	Store     store.Store
	Bus       *bus.Bus
	Log       *slog.Logger
	Directory Directory
	Files     Files
	// Folder keeps what is coming: private, made when missing.
	Folder string
	// Host is the address to listen on; empty: all.
	Host string
	// Clock is time.Now if nil.
	Clock func() time.Time

	timing timing // tests make it quicker
	most   uint64 // maxPushed; tests make it smaller
}

// Service is the account's side of the protocol of 2019. Its methods may be called
// concurrently, also before and beside Serve.
type Service struct {
	cfg      Config
	self     packet.UserID
	commands chan command // taken by Serve
	closed   chan struct{}
	closing  sync.Once
	seq      atomic.Uint64 // number of the latest transaction, taken inside it
	appends  *bus.Queue[packet.ChatID]
	blobs    *bus.Queue[packet.BlobID]

	mu      sync.Mutex // guards all below; never held during I/O or while publishing
	setting setting
	port    uint16 // listened on; 0: none
	in      bool   // logged in
	trouble error  // why not, or why nothing is listened on
	people  map[wire.ID]person
	applied map[wire.ID]uint64 // the transaction that people shows
	groups  map[packet.ChatID]*group
	linked  map[wire.ID]bool // see keyLinked
	run     *run             // the present one; one that is off before Serve
	moving  map[*transfer]struct{}
}

// present gives the present run.
func (s *Service) present() *run {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.run
}

// command asks Serve to go over to a setting.
type command struct {
	ctx     context.Context //nolint:containedctx // of the caller who waits
	setting setting
	done    chan error
}

// New reads what was chosen. Close must be called.
func New(ctx context.Context, cfg Config) (*Service, error) {
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	cfg.timing, cfg.most = cfg.timing.withDefaults(), cmp.Or(cfg.most, maxPushed)
	s := &Service{
		cfg: cfg, self: cfg.Identity.User(), commands: make(chan command), closed: make(chan struct{}),
		people: map[wire.ID]person{}, applied: map[wire.ID]uint64{}, groups: map[packet.ChatID]*group{}, linked: map[wire.ID]bool{}, moving: map[*transfer]struct{}{},
	}
	s.run = newRun(ctx, s, setting{})
	s.run.cancel()
	err := cfg.Store.View(ctx, func(tx store.ReadTx) (err error) {
		if s.setting, err = readSetting(tx); err != nil {
			return err
		}
		if err := s.readPeople(tx); err != nil {
			return err
		}
		if err := s.readLinked(tx); err != nil {
			return err
		}
		return s.readGroups(tx)
	})
	if err != nil {
		return nil, err
	}
	s.appends = bus.NewQueue[packet.ChatID](appendQueue)
	bus.Feed(cfg.Bus, bus.EntryAppended, s.appends, func(chat packet.ChatID) (packet.ChatID, bool) {
		return chat, chat.Kind() == packet.Net2019
	})
	s.blobs = bus.NewQueue[packet.BlobID](appendQueue)
	bus.Feed(cfg.Bus, bus.BlobChanged, s.blobs, func(r bus.BlobRef) (packet.BlobID, bool) {
		return r.ID, r.Chat.Kind() == packet.Net2019
	})
	return s, nil
}

const appendQueue = 1024

// Close refuses what is asked from now on. Idempotent.
func (s *Service) Close() {
	s.closing.Do(func() {
		close(s.closed)
		s.appends.Close()
		s.blobs.Close()
	})
}

// Serve does what was chosen until ctx ends.
func (s *Service) Serve(ctx context.Context) error {
	s.mu.Lock()
	now := s.setting
	s.mu.Unlock()
	s.tidyFiles(ctx)
	r := s.start(ctx, now)
	defer func() { r.stop(false) }()
	appending, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	group.Go(func() { s.watchAppends(appending) })
	group.Go(func() { s.watchBlobs(appending) })
	for {
		var c command
		select {
		case <-ctx.Done():
			return ctx.Err()
		case c = <-s.commands:
		}
		r.stop(!c.setting.On)
		s.choose(c.setting)
		r = s.start(ctx, c.setting)
		err := r.outcome(c.ctx)
		if err == nil {
			err = s.keep(ctx, c.setting)
		}
		if err != nil {
			r.stop(false)
			s.choose(now)
			r = s.start(ctx, now)
		} else {
			now = c.setting
		}
		c.done <- err
	}
}

// watchAppends wakes who sends what is written here.
func (s *Service) watchAppends(ctx context.Context) {
	for {
		chat, err := s.appends.Next(ctx)
		if err != nil && !errors.Is(err, bus.ErrLagged) {
			return
		}
		s.present().appended(chat) // of all when events were lost
	}
}

// keep stores a setting.
func (s *Service) keep(ctx context.Context, set setting) error {
	err := s.cfg.Store.Update(context.WithoutCancel(ctx), store.Synced, set.put)
	if err != nil {
		return err
	}
	bus.Publish(s.cfg.Bus, bus.Net2019Changed, struct{}{})
	return s.openChats(ctx)
}

// choose shows a setting that counts from now on.
func (s *Service) choose(set setting) {
	s.mu.Lock()
	s.setting = set
	s.mu.Unlock()
}

// openChats makes the chats with all contacts: with another id of one's own they
// are others.
func (s *Service) openChats(ctx context.Context) error {
	s.mu.Lock()
	var ids []wire.ID
	for id, p := range s.people {
		if p.state == store.ContactAccepted && id != s.setting.ID {
			ids = append(ids, id)
		}
	}
	s.mu.Unlock()
	for _, id := range ids {
		if err := s.update(context.WithoutCancel(ctx), id, func(st *step) error {
			if st.state() != store.ContactAccepted {
				return nil
			}
			return st.openChat()
		}); err != nil {
			return err
		}
	}
	return nil
}

// change has Serve go over to a setting, and gives what came of it.
func (s *Service) change(ctx context.Context, set setting) error {
	c := command{ctx: ctx, setting: set, done: make(chan error, 1)}
	select {
	case s.commands <- c:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.closed:
		return errClosed
	}
	select {
	case err := <-c.done:
		return err
	case <-s.closed:
		return errClosed
	}
}

var errClosed = fmt.Errorf("net2019: %w", store.ErrClosed)

// LogIn switches it on as is asked for, and gives how it stands then. When the
// first log-in fails, what was before goes on.
func (s *Service) LogIn(ctx context.Context, req *controlpb.LogInNet2019Request) (*controlpb.Net2019Status, error) {
	s.mu.Lock()
	before := s.setting
	s.mu.Unlock()
	set, err := chosen(req, before)
	if err != nil {
		return nil, err
	}
	if err := s.change(ctx, set); err != nil {
		return nil, err
	}
	return s.Status(), nil
}

// LogOut switches it off. Idempotent.
func (s *Service) LogOut(ctx context.Context) error {
	s.mu.Lock()
	set := s.setting
	s.mu.Unlock()
	if !set.On {
		return nil
	}
	set.On, set.Password = false, ""
	return s.change(ctx, set)
}

// Status says how it stands.
func (s *Service) Status() *controlpb.Net2019Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	pb := &controlpb.Net2019Status{
		On: s.setting.On, Id: string(s.setting.ID), Port: uint32(s.port), Server: s.setting.Server, Course: s.setting.Course, LoggedIn: s.in,
	}
	if s.setting.On && s.trouble != nil {
		pb.Error, pb.Reason = s.trouble.Error(), controlpb.ReasonOf(failure.Reason(s.trouble))
	}
	return pb
}

// report notes how the present run stands, and tells when that is new.
func (s *Service) report(port uint16, in bool, trouble error) {
	s.mu.Lock()
	same := s.port == port && s.in == in && fmt.Sprint(s.trouble) == fmt.Sprint(trouble)
	s.port, s.in, s.trouble = port, in, trouble
	s.mu.Unlock()
	if same {
		return
	}
	if trouble != nil && !errors.Is(trouble, context.Canceled) {
		s.cfg.Log.Warn("net2019, which is not encrypted, is not well", "error", trouble)
	}
	bus.Publish(s.cfg.Bus, bus.Net2019Changed, struct{}{})
}
