package directory_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/directory"
	"github.com/parley-chat/parley/core/identity"
	"github.com/parley-chat/parley/internal/freeport"
	"github.com/parley-chat/parley/protocol/directorypb"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/server"
	"github.com/parley-chat/parley/server/api"
	"github.com/parley-chat/parley/server/password"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds how long a test waits for what must happen.
const patience = 2 * time.Minute

const goodPassword = "correct horse"

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// tester is a *testing.T or *rapid.T.
type tester interface {
	Helper()
	Cleanup(f func())
	Context() context.Context
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// running is a real directory server in this process.
type running struct {
	t           tester
	cfg         server.Config
	addr        string
	fingerprint string
	server      *server.Server // the one that runs now, or ran last
	stop        func()         // and wait; idempotent
}

func start(t *testing.T) *running { return startIn(t, t.TempDir(), 0) }

func startIn(t tester, folder string, lease time.Duration) *running {
	t.Helper()
	address, err := freeport.Local(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r := &running{t: t, cfg: server.Config{
		Listen: address, Data: folder, Log: quiet, Limits: &api.Limits{}, Lease: lease,
		PasswordCost: password.Cost{MemoryKiB: 64, Passes: 1, Lanes: 1},
	}}
	r.start()
	t.Cleanup(func() { r.stop() })
	return r
}

// start starts the server, again on the same port.
func (r *running) start() {
	r.t.Helper()
	s, err := server.New(r.cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	r.addr, r.fingerprint, r.server = s.Addr().String(), s.Fingerprint(), s
	r.cfg.Listen = r.addr
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Serve(ctx); err != nil {
			r.t.Errorf("Serve: %v", err)
		}
	}()
	r.stop = func() {
		cancel()
		<-done
	}
}

func newIdentity(t tester, user packet.UserID) *identity.Identity {
	t.Helper()
	id, err := identity.Generate(user)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func (r *running) target(id *identity.Identity) directory.Target {
	return directory.Target{Address: r.addr, Pin: r.fingerprint, Identity: id, Agent: "test/1"}
}

// person is a client that is served, with what it published.
type person struct {
	*directory.Client
	t    tester
	id   *identity.Identity
	stop func() // and wait; idempotent

	presence  *bus.Queue[bus.Presence]
	state     *bus.Queue[bus.DirectoryState]
	delivered *bus.Queue[*directorypb.Delivered]

	mu        sync.Mutex // guards all below
	contacts  []packet.UserID
	blocked   []packet.UserID
	endpoints []bus.Endpoint
}

// registered registers a user and serves a client.
func (r *running) registered(user packet.UserID, contacts ...packet.UserID) *person {
	r.t.Helper()
	id := newIdentity(r.t, user)
	if _, err := directory.Register(r.t.Context(), r.target(id), directory.Registration{Password: goodPassword}); err != nil {
		r.t.Fatal(err)
	}
	p := r.serve(id, contacts...)
	p.awaitConnected(true)
	return p
}

func (r *running) serve(id *identity.Identity, contacts ...packet.UserID) *person {
	r.t.Helper()
	return serve(r.t, directory.Config{Address: r.addr, Pin: r.fingerprint, Identity: id}, contacts...)
}

func serve(t tester, cfg directory.Config, contacts ...packet.UserID) *person {
	t.Helper()
	return serveWith(t, cfg, contacts, nil, []bus.Endpoint{{Host: "192.0.2.1", Port: 4000}})
}

func serveWith(t tester, cfg directory.Config, contacts, blocked []packet.UserID, endpoints []bus.Endpoint) *person {
	t.Helper()
	b := bus.New()
	p := &person{
		t: t, id: cfg.Identity, contacts: contacts, blocked: blocked, endpoints: endpoints,
		presence:  bus.Subscribe(b, bus.PresenceChanged, 1000),
		state:     bus.Subscribe(b, bus.DirectoryChanged, 1000),
		delivered: bus.Subscribe(b, bus.DirectoryDelivered, 1000),
	}
	cfg.Bus, cfg.Log, cfg.Agent = b, quiet, "test/1"
	cfg.Contacts = func() (contacts, blocked []packet.UserID) {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.contacts, p.blocked
	}
	cfg.Endpoints = func() []bus.Endpoint {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.endpoints
	}
	p.Client = directory.New(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := p.Serve(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Serve: %v", err)
		}
	}()
	p.stop = func() {
		cancel()
		<-done
	}
	t.Cleanup(p.stop)
	return p
}

// change alters contacts, blocked users or endpoints, and tells the client.
func (p *person) change(f func()) {
	p.mu.Lock()
	f()
	p.mu.Unlock()
	p.Refresh()
}

func next[T any](t tester, what string, q *bus.Queue[T], ok func(T) bool) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		v, err := q.Next(ctx)
		if err != nil {
			t.Fatalf("waiting for %s: %v", what, err)
		}
		if ok(v) {
			return v
		}
	}
}

func (p *person) awaitConnected(connected bool) bus.DirectoryState {
	p.t.Helper()
	return next(p.t, "directory state", p.state, func(s bus.DirectoryState) bool { return s.Connected == connected })
}

// awaitState waits for a failure of a kind.
func (p *person) awaitState(kind error) bus.DirectoryState {
	p.t.Helper()
	return next(p.t, kind.Error(), p.state, func(s bus.DirectoryState) bool { return errors.Is(s.Err, kind) })
}

func (p *person) awaitPresence(user packet.UserID, online bool) bus.Presence {
	p.t.Helper()
	return next(p.t, "presence of "+string(user), p.presence, func(v bus.Presence) bool { return v.User == user && v.Online == online })
}

func (p *person) awaitDelivered() *directorypb.Delivered {
	p.t.Helper()
	return next(p.t, "delivered packet", p.delivered, func(*directorypb.Delivered) bool { return true })
}

// request makes a signed contact request.
func (p *person) request(to packet.UserID, greeting string) []byte {
	p.t.Helper()
	sealed, err := packet.Seal(packet.Header{
		ID: packet.NewPacketID(), Chat: packet.DirectChat(p.id.User(), to), Type: packet.TypeRequest, Author: p.id.User(),
		Device: p.id.Device(), Epoch: 1, Number: 1, Depth: 1, SentAt: time.Now().UnixMicro(), Delivery: packet.Reliable,
	}, []byte(greeting), p.id.Sign)
	if err != nil {
		p.t.Fatal(err)
	}
	b, err := sealed.Marshal()
	if err != nil {
		p.t.Fatal(err)
	}
	return b
}

func spki(t *testing.T, cert tls.Certificate) []byte {
	t.Helper()
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return leaf.RawSubjectPublicKeyInfo
}
