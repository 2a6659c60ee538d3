package directory_test

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/directory"
	"github.com/parley-chat/parley/protocol/directorypb"
	"github.com/parley-chat/parley/protocol/packet"
)

// script is a directory server whose sessions a test plays, over pipes, so that
// the test's clock is the fake one of synctest.
type script struct {
	directorypb.UnimplementedDirectoryServer
	play func(n int, s directorypb.Directory_SessionServer) error

	mu       sync.Mutex // guards both
	sessions int
	begun    []time.Time
}

func (s *script) Session(stream directorypb.Directory_SessionServer) error {
	s.mu.Lock()
	s.sessions++
	n := s.sessions
	s.begun = append(s.begun, time.Now())
	s.mu.Unlock()
	return s.play(n, stream)
}

// starts gives when sessions were opened.
func (s *script) starts() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]time.Time(nil), s.begun...)
}

type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	close func()
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { p.close(); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case p.conns <- there:
		return here, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// play serves a client against a script, inside a synctest bubble.
func play(t *testing.T, f func(n int, s directorypb.Directory_SessionServer) error, check func(*script, *person)) {
	t.Helper()
	playWith(t, func(*directory.Config, directory.Dialer) {}, f, check)
}

// playWith is play with a client that change has altered; it is given the dialer
// that leads to the script.
func playWith(t *testing.T, change func(*directory.Config, directory.Dialer), f func(n int, s directorypb.Directory_SessionServer) error, check func(*script, *person)) {
	t.Helper()
	serverID, clientID := newIdentity(t, "server"), newIdentity(t, "alice")
	synctest.Test(t, func(t *testing.T) {
		s := &script{play: f}
		p := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
		p.close = sync.OnceFunc(func() { close(p.done) })
		server := grpc.NewServer(grpc.Creds(credentials.NewTLS(&tls.Config{
			MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{serverID.Certificate()}, ClientAuth: tls.RequireAnyClientCert,
		})))
		directorypb.RegisterDirectoryServer(server, s)
		go func() { _ = server.Serve(p) }()
		defer server.Stop()

		leaf := serverID.Certificate()
		sum := sha256.Sum256(spki(t, leaf))
		cfg := directory.Config{Address: "directory.test", Pin: hex.EncodeToString(sum[:]), Identity: clientID}
		cfg.SetDialer(p.dial)
		change(&cfg, p.dial)
		client := serve(t, cfg, "bob")
		check(s, client)
		client.stop()
	})
}

func begin(s directorypb.Directory_SessionServer) error {
	if _, err := s.Recv(); err != nil {
		return err
	}
	return s.Send(&directorypb.SessionResponse{Response: &directorypb.SessionResponse_Begun{
		Begun: &directorypb.Begun{Revision: 1, ObservedHost: "192.0.2.9", Time: time.Now().UnixMicro()},
	}})
}

// answer answers keep-alives until the stream ends, and counts them.
func answer(s directorypb.Directory_SessionServer, count func()) error {
	for {
		m, err := s.Recv()
		if err != nil {
			return nil
		}
		if m.GetKeepAlive() != nil {
			count()
			if err := s.Send(keepAlive()); err != nil {
				return err
			}
		}
	}
}

func keepAlive() *directorypb.SessionResponse {
	return &directorypb.SessionResponse{Response: &directorypb.SessionResponse_KeepAlive{KeepAlive: &directorypb.KeepAlive{}}}
}

func TestKeepAlives(t *testing.T) {
	var mu sync.Mutex
	n := 0
	play(t, func(_ int, s directorypb.Directory_SessionServer) error {
		if err := begin(s); err != nil {
			return err
		}
		return answer(s, func() { mu.Lock(); n++; mu.Unlock() })
	}, func(s *script, p *person) {
		p.awaitConnected(true)
		time.Sleep(10*time.Minute + time.Second)
		mu.Lock()
		defer mu.Unlock()
		if n != 30 {
			t.Errorf("%d keep-alives in 10 minutes, want 30", n)
		}
		if len(s.starts()) != 1 {
			t.Errorf("%d sessions", len(s.starts()))
		}
	})
}

func TestSilentDirectoryIsLeft(t *testing.T) {
	play(t, func(n int, s directorypb.Directory_SessionServer) error {
		if err := begin(s); err != nil {
			return err
		}
		if n == 1 {
			<-s.Context().Done() // it reads nothing and says nothing
			return nil
		}
		return answer(s, func() {})
	}, func(s *script, p *person) {
		p.awaitConnected(true)
		start := time.Now()
		p.awaitConnected(false)
		if took := time.Since(start); took != 30*time.Second {
			t.Errorf("noticed after %s, want 30s", took)
		}
		p.awaitConnected(true)
		if took := time.Since(start); took > 32*time.Second {
			t.Errorf("connected again after %s", took)
		}
	})
}

func TestDirectoryThatNeverBegins(t *testing.T) {
	play(t, func(n int, s directorypb.Directory_SessionServer) error {
		if n == 1 {
			<-s.Context().Done()
			return nil
		}
		if err := begin(s); err != nil {
			return err
		}
		return answer(s, func() {})
	}, func(_ *script, p *person) {
		start := time.Now()
		p.awaitConnected(true)
		if took := time.Since(start); took < 15*time.Second || took > 17*time.Second {
			t.Errorf("left after %s, want 15s and the backoff", took)
		}
	})
}

func TestWakeProbes(t *testing.T) {
	play(t, func(n int, s directorypb.Directory_SessionServer) error {
		if err := begin(s); err != nil {
			return err
		}
		if n == 1 {
			<-s.Context().Done()
			return nil
		}
		return answer(s, func() {})
	}, func(s *script, p *person) {
		p.awaitConnected(true)
		start := time.Now()
		p.Wake()
		p.awaitConnected(false)
		if took := time.Since(start); took != 5*time.Second {
			t.Errorf("noticed after %s, want 5s", took)
		}
		p.awaitConnected(true)
		p.Wake() // one that answers stays
		time.Sleep(time.Minute)
		if n := len(s.starts()); n != 2 {
			t.Errorf("%d sessions, want 2", n)
		}
	})
}

// TestLostNetwork: a connection from an address that this device has lost is
// given up at once.
func TestLostNetwork(t *testing.T) {
	var lost atomic.Bool
	playWith(t, func(cfg *directory.Config, _ directory.Dialer) {
		cfg.SetAlive(func(netip.Addr) bool { return !lost.Load() })
	}, func(_ int, s directorypb.Directory_SessionServer) error {
		if err := begin(s); err != nil {
			return err
		}
		return answer(s, func() {})
	}, func(_ *script, p *person) {
		p.awaitConnected(true)
		p.Wake() // another network came
		time.Sleep(time.Minute)
		if !p.State().Connected {
			t.Fatalf("a session that lives was given up: %v", p.State().Err)
		}
		start := time.Now()
		lost.Store(true)
		p.Wake()
		p.awaitConnected(false)
		if took := time.Since(start); took != 0 {
			t.Errorf("noticed after %s, want at once", took)
		}
		p.awaitConnected(true)
		if took := time.Since(start); took > 1500*time.Millisecond {
			t.Errorf("connected again after %s", took)
		}
	})
}

// TestWakeDialsAnew: what was sent into a network that is gone is not waited for.
func TestWakeDialsAnew(t *testing.T) {
	playWith(t, func(cfg *directory.Config, through directory.Dialer) {
		dials := 0
		cfg.SetDialer(func(ctx context.Context, network, address string) (net.Conn, error) {
			if dials++; dials == 1 {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return through(ctx, network, address)
		})
	}, func(_ int, s directorypb.Directory_SessionServer) error {
		if err := begin(s); err != nil {
			return err
		}
		return answer(s, func() {})
	}, func(_ *script, p *person) {
		start := time.Now()
		time.Sleep(time.Second)
		p.Wake()
		p.awaitConnected(true)
		if took := time.Since(start); took != time.Second {
			t.Errorf("connected after %s, want at once when the network is there after 1s", took)
		}
	})
}

func TestTriesBecomeRare(t *testing.T) {
	play(t, func(int, directorypb.Directory_SessionServer) error {
		return status.Error(codes.Unavailable, "No.")
	}, func(s *script, p *person) {
		began := time.Now()
		time.Sleep(30 * time.Minute)
		starts := s.starts()
		soon, late := 0, 0
		for _, start := range starts {
			switch at := start.Sub(began); {
			case at < 20*time.Second:
				soon++
			case at > 20*time.Minute:
				late++
			}
		}
		if soon < 10 || late < 20 || late > 80 {
			t.Errorf("%d tries in the first 20 s and %d in the last 10 minutes", soon, late)
		}
	})
}

// TestCrashOfTheDirectory: the clients of a directory that is gone at once come
// back spread over what it asked for while it could.
func TestCrashOfTheDirectory(t *testing.T) {
	play(t, func(n int, s directorypb.Directory_SessionServer) error {
		if _, err := s.Recv(); err != nil {
			return err
		}
		if err := s.Send(&directorypb.SessionResponse{Response: &directorypb.SessionResponse_Begun{Begun: &directorypb.Begun{SpreadMs: 200}}}); err != nil {
			return err
		}
		if n > 40 {
			return answer(s, func() {})
		}
		for { // it has become many since
			if m, err := s.Recv(); err != nil || m.GetKeepAlive() == nil {
				continue
			}
			err := s.Send(&directorypb.SessionResponse{Response: &directorypb.SessionResponse_KeepAlive{KeepAlive: &directorypb.KeepAlive{SpreadMs: 16_000}}})
			time.Sleep(20 * time.Second) // so that a session counts as settled
			return cmp.Or(err, status.Error(codes.Unavailable, "Gone."))
		}
	}, func(s *script, p *person) {
		time.Sleep(time.Hour)
		starts := s.starts()
		if len(starts) != 41 {
			t.Fatalf("%d sessions, want 41", len(starts))
		}
		quarters := map[time.Duration]int{}
		for i := 1; i < len(starts); i++ {
			wait := starts[i].Sub(starts[i-1]) - 40*time.Second
			if wait < 0 || wait > 16*time.Second {
				t.Errorf("came back after %s, want up to 16 s", wait)
			}
			quarters[wait/(4*time.Second)]++
		}
		if len(quarters) < 4 {
			t.Errorf("waits fall into %v quarters of the spread only", quarters)
		}
	})
}

func TestGoAwayIsSpread(t *testing.T) {
	seen := map[time.Duration]bool{}
	play(t, func(n int, s directorypb.Directory_SessionServer) error {
		if err := begin(s); err != nil {
			return err
		}
		if n > 5 {
			return answer(s, func() {})
		}
		err := s.Send(&directorypb.SessionResponse{Response: &directorypb.SessionResponse_GoAway{GoAway: &directorypb.GoAway{SpreadMs: 20_000}}})
		_ = answer(s, func() {})
		return err
	}, func(s *script, p *person) {
		time.Sleep(5 * time.Minute)
		starts := s.starts()
		if len(starts) != 6 {
			t.Fatalf("%d sessions, want 6", len(starts))
		}
		for i := 1; i < len(starts); i++ {
			gap := starts[i].Sub(starts[i-1])
			if gap > 20*time.Second {
				t.Errorf("came back after %s, want at most 20s", gap)
			}
			seen[gap] = true
		}
		if len(seen) == 1 {
			t.Error("all waits were the same")
		}
	})
}

func TestRefreshIsCoalesced(t *testing.T) {
	var mu sync.Mutex
	var got []*directorypb.SessionRequest
	play(t, func(_ int, s directorypb.Directory_SessionServer) error {
		if err := begin(s); err != nil {
			return err
		}
		for {
			m, err := s.Recv()
			if err != nil {
				return nil
			}
			mu.Lock()
			got = append(got, m)
			mu.Unlock()
		}
	}, func(_ *script, p *person) {
		p.awaitConnected(true)
		for i := range 100 {
			p.change(func() { p.endpoints = []bus.Endpoint{{Host: "192.0.2.1", Port: uint16(i + 1)}} })
		}
		p.change(func() { p.contacts = []packet.UserID{"bob", "carol", "bob"} })
		time.Sleep(time.Second)
		p.Refresh() // nothing has changed
		time.Sleep(time.Second)
		mu.Lock()
		defer mu.Unlock()
		if len(got) != 2 || strings.Join(got[0].GetSetContacts().GetContacts(), " ") != "bob carol" || got[1].GetPublish().GetEndpoints()[0].GetPort() != 100 {
			t.Errorf("sent %v", got)
		}
	})
}

func TestHostileDirectory(t *testing.T) {
	key := make([]byte, 32)
	presence := func(p *directorypb.Presence) *directorypb.SessionResponse {
		p.Online = true
		return &directorypb.SessionResponse{Response: &directorypb.SessionResponse_Presence{Presence: p}}
	}
	at := func(host string, port uint32) *directorypb.SessionResponse {
		return presence(&directorypb.Presence{User: "bob", Endpoints: []*directorypb.Endpoint{{Host: host, Port: port}}})
	}
	ignored := map[string]*directorypb.SessionResponse{
		"empty message":         {},
		"nobody's presence":     presence(&directorypb.Presence{}),
		"not a contact":         presence(&directorypb.Presence{User: "mallory"}),
		"short key":             presence(&directorypb.Presence{User: "bob", Devices: []*directorypb.Device{{Key: key[1:]}}}),
		"many keys":             presence(&directorypb.Presence{User: "bob", Devices: repeat(&directorypb.Device{Key: key}, 17)}),
		"many endpoints":        presence(&directorypb.Presence{User: "bob", Endpoints: repeat(&directorypb.Endpoint{Host: "192.0.2.1", Port: 1}, 33)}),
		"host name":             at("example.org", 1),
		"any address":           at("::", 1),
		"zone":                  at("fe80::1%lo", 1),
		"no port":               at("192.0.2.1", 0),
		"high port":             at("192.0.2.1", 70_000),
		"receipt nobody wants":  {Response: &directorypb.SessionResponse_Receipt{Receipt: &directorypb.Receipt{Id: 99}}},
		"rubbish delivered":     {Response: &directorypb.SessionResponse_Delivered{Delivered: &directorypb.Delivered{From: "bob", Packet: []byte("rubbish")}}},
		"large packet":          {Response: &directorypb.SessionResponse_Delivered{Delivered: &directorypb.Delivered{From: "bob", Packet: make([]byte, 100_000)}}},
		"delivered from nobody": {Response: &directorypb.SessionResponse_Delivered{Delivered: &directorypb.Delivered{}}},
	}
	for name, m := range ignored {
		t.Run(name, func(t *testing.T) {
			play(t, func(_ int, s directorypb.Directory_SessionServer) error {
				if err := begin(s); err != nil {
					return err
				}
				if err := s.Send(m); err != nil {
					return err
				}
				good := &directorypb.Presence{User: "bob", Revision: 1, Profile: &directorypb.Profile{
					DisplayName: "B\u202eo\x00b" + strings.Repeat("b", 100), AvatarHash: []byte("short"),
				}}
				if err := s.Send(presence(good)); err != nil {
					return err
				}
				return answer(s, func() {})
			}, func(_ *script, p *person) {
				got := next(t, "presence", p.presence, func(bus.Presence) bool { return true })
				if got.User != "bob" || len(got.Endpoints)+len(got.Keys)+len(got.AvatarHash) != 0 || got.DisplayName != "Bob"+strings.Repeat("b", 61) {
					t.Errorf("published %+v", got)
				}
				if e, ok := p.delivered.TryNext(); ok {
					t.Errorf("delivered %v", e)
				}
			})
		})
	}
	ends := map[string][]*directorypb.SessionResponse{
		"nothing begun": {keepAlive()},
		"begun twice":   {begunTwice(), begunTwice()},
		"huge message":  {begunTwice(), {Response: &directorypb.SessionResponse_Relay{Relay: &directorypb.Relay{Payload: make([]byte, 1<<20)}}}},
	}
	for name, messages := range ends {
		t.Run(name, func(t *testing.T) {
			play(t, func(_ int, s directorypb.Directory_SessionServer) error {
				for _, m := range messages {
					if err := s.Send(m); err != nil {
						return err
					}
				}
				return answer(s, func() {})
			}, func(_ *script, p *person) {
				next(t, "end of the session", p.state, func(s bus.DirectoryState) bool { return s.Err != nil })
			})
		})
	}
}

func begunTwice() *directorypb.SessionResponse {
	return &directorypb.SessionResponse{Response: &directorypb.SessionResponse_Begun{Begun: &directorypb.Begun{}}}
}

func repeat[T any](v T, n int) []T {
	out := make([]T, n)
	for i := range out {
		out[i] = v
	}
	return out
}

func TestOlderPresenceIsIgnored(t *testing.T) {
	play(t, func(_ int, s directorypb.Directory_SessionServer) error {
		if err := begin(s); err != nil {
			return err
		}
		for _, p := range []*directorypb.Presence{
			{User: "bob", Online: true, Revision: 5},
			{User: "bob", Online: false, Revision: 4},
			{User: "bob", Online: true, Revision: 5, Endpoints: []*directorypb.Endpoint{{Host: "192.0.2.1", Port: 1}}},
		} {
			if err := s.Send(&directorypb.SessionResponse{Response: &directorypb.SessionResponse_Presence{Presence: p}}); err != nil {
				return err
			}
		}
		return answer(s, func() {})
	}, func(_ *script, p *person) {
		p.awaitPresence("bob", true)
		if second := next(t, "presence", p.presence, func(bus.Presence) bool { return true }); !second.Online || len(second.Endpoints) != 1 {
			t.Errorf("got %+v", second)
		}
	})
}

func TestDeliverWithoutReceipt(t *testing.T) {
	play(t, func(n int, s directorypb.Directory_SessionServer) error {
		if err := begin(s); err != nil {
			return err
		}
		if n == 1 {
			for { // it ends in the middle of a Deliver
				m, err := s.Recv()
				if errors.Is(err, io.EOF) || err != nil || m.GetDeliver() != nil {
					return nil
				}
			}
		}
		return answer(s, func() {})
	}, func(_ *script, p *person) {
		p.awaitConnected(true)
		if err := p.Deliver(context.Background(), "bob", []byte("x")); !errors.Is(err, directory.ErrUnreachable) {
			t.Errorf("session ended: %v", err)
		}
		p.awaitConnected(true)
		start := time.Now()
		if err := p.Deliver(context.Background(), "bob", []byte("x")); !errors.Is(err, directory.ErrUnreachable) || time.Since(start) != 20*time.Second {
			t.Errorf("no receipt: %v after %s", err, time.Since(start))
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := p.Deliver(ctx, "bob", []byte("x")); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
	})
}

func TestServerWordsAreCleaned(t *testing.T) {
	play(t, func(_ int, s directorypb.Directory_SessionServer) error {
		return status.Error(codes.PermissionDenied, "Bad\x1b[31m\n\u202eword"+strings.Repeat("!", 10_000))
	}, func(_ *script, p *person) {
		s := p.awaitState(directory.ErrDenied)
		if text := s.Err.Error(); strings.ContainsAny(text, "\x1b\n\u202e") || len(text) > 400 || !strings.HasPrefix(text, "Bad[31m word") {
			t.Errorf("shown is %q", text)
		}
	})
}
