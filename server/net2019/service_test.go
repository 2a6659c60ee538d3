package net2019

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/parley-chat/parley/protocol/packet/net2019"
	"github.com/parley-chat/parley/server/limit"
)

// patience bounds how long a test waits for what must happen.
const patience = time.Minute

const (
	alice = net2019.ID("2017000001")
	bob   = net2019.ID("2017000002")
	other = net2019.ID("0123456789") // does not start with 20
)

// running is a service on a port of its own.
type running struct {
	*Service
	t    testing.TB
	addr string
	stop func() error // and wait; idempotent
}

func start(t testing.TB, change func(*Config)) *running {
	t.Helper()
	cfg := Config{Registry: NewRegistry(), Password: "net2019", Log: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	l, err := ListenConfig().Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, l) }()
	r := &running{Service: s, t: t, addr: l.Addr().String(), stop: func() error {
		cancel()
		err := <-served
		served <- err
		return err
	}}
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return r
}

// original is a client as the original is one: a socket, into which it writes
// commands and from which it reads replies.
type original struct {
	net.Conn
	t testing.TB
}

func (r *running) dial() *original { return r.dialFrom("127.0.0.1") }

func (r *running) dialFrom(host string) *original {
	r.t.Helper()
	conn, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(host)}}).DialContext(r.t.Context(), "tcp", r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return &original{conn, r.t}
}

func (o *original) send(s string) {
	o.t.Helper()
	if _, err := o.Write([]byte(s)); err != nil {
		o.t.Fatalf("send %q: %v", s, err)
	}
}

// want reads as many bytes as it wants, which must be those.
func (o *original) want(reply string) {
	o.t.Helper()
	b := make([]byte, len(reply))
	n, err := io.ReadFull(o, b)
	if err != nil || string(b) != reply {
		o.t.Fatalf("got %q, %v; want %q", b[:n], err, reply)
	}
}

func (o *original) ask(command, reply string) {
	o.t.Helper()
	o.send(command)
	o.want(reply)
}

// ended waits for the end of the connection, before which nothing must come.
func (o *original) ended() {
	o.t.Helper()
	b, err := io.ReadAll(o)
	if len(b) > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		o.t.Fatalf("got %q, %v; want the end", b, err)
	}
}

// eventually waits until a query has that reply, as who polls does.
func (o *original) eventually(command, reply string) {
	o.t.Helper()
	b := make([]byte, 100)
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		o.send(command)
		n, err := o.Read(b)
		if err != nil {
			o.t.Fatal(err)
		}
		if string(b[:n]) == reply {
			return
		}
		if time.Now().After(end) {
			o.t.Fatalf("%q: %q, want %q", command, b[:n], reply)
		}
	}
}

// The replies, byte by byte.
func TestReplies(t *testing.T) {
	r := start(t, nil)
	a, b, c := r.dial(), r.dialFrom("127.0.0.2"), r.dialFrom("127.0.0.3")
	a.ask("q2017000002", "Invalid Command!") // before a log-in nobody is found
	a.ask("2017000001_net2019_2333", "lol")
	a.ask("2017000001_net2019_2333", "lol") // always twice
	a.ask("q2017000002", "n")
	b.ask("2017000002_net2019_2444", "lol")
	b.ask("2017000002_net2019_2444", "lol")
	a.ask("q2017000002", "127.0.0.2_2444")
	a.ask("q2017000001", "127.0.0.1_2333")
	c.ask("0123456789_net2019", "lol") // the course's form
	c.ask("0123456789_net2019", "lol")
	c.ask("q2017000002", "127.0.0.2") // in the form of who asks
	c.ask("q2017000009", "n")
	a.ask("q0123456789", "127.0.0.3_2333") // of whom no port is known
	b.ask("2017000002_net2019_2555", "lol")
	a.ask("q2017000002", "127.0.0.2_2555")
	a.ask("hello", "Invalid Command!")
	a.ask("q123", "Invalid Command!")
	a.ask("2017000001_wrong_2333", "Invalid Command!")
	a.ask("2017000001_net2019_3306", "Invalid Command!")
	a.ask("\xff\x00\x80", "Invalid Command!")
	a.ask("\x80\x04\x95cos\nsystem\n", "Invalid Command!")
	a.ask("q2017000001", "127.0.0.1_2333") // and is still logged in
	b.ask("logout2017000002", "loo")
	b.ended() // which the original does not notice, and keeps its socket open
	a.ask("q2017000002", "n")
	if n := r.Stats().Connections; n != 2 {
		t.Errorf("%d are connected", n)
	}
	_ = c.Close() // its end is log-out
	a.eventually("q0123456789", "n")
}

// Commands come together and in pieces.
func TestPieces(t *testing.T) {
	r := start(t, nil)
	a := r.dial()
	a.ask("2017000001_net2019_23332017000001_net2019_2333", "lollol")
	a.ask("q2017000001q2017000002q2017000001", "127.0.0.1_2333n127.0.0.1_2333")
	// One at a time, whenever they come: here, where no time passes between them.
	letters := &script{in: iotest.OneByteReader(strings.NewReader("2017000009_net2019_2444q2017000009"))}
	c := &connection{service: r.Service, conn: letters, host: netip.MustParseAddr("192.0.2.1"), scanner: net2019.Scanner{Password: r.Password}}
	c.serve()
	if got := letters.out.String(); got != "lol192.0.2.1_2444" {
		t.Errorf("to letters it says %q", got)
	}
	a.ask("2017000001_net2019logout2017000001", "lolloo")
	a.ended()
	// What comes with the end is answered.
	b := r.dial()
	b.send("2017000002_net2019_2333")
	if err := b.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	b.want("lol")
	b.ended()
}

func TestLogOutReply(t *testing.T) {
	r := start(t, func(c *Config) { c.LogOutReply = "100" })
	a := r.dial()
	a.ask("2017000001_net2019_2333", "lol")
	a.ask("logout2017000001", "100")
	a.ended()
	if _, err := New(Config{Password: "net2019", LogOutReply: "bye"}); err == nil {
		t.Error("any reply will do")
	}
	if _, err := New(Config{Password: "two words"}); err == nil {
		t.Error("any password will do")
	}
}

// The last log-in of an id counts, and the end of an earlier one takes nothing away.
func TestLaterLogInReplaces(t *testing.T) {
	r := start(t, nil)
	a, b, again := r.dial(), r.dial(), r.dialFrom("127.0.0.2")
	a.ask("2017000001_net2019_2333", "lol")
	b.ask("2017000002_net2019_2333", "lol")
	again.ask("2017000001_net2019_2444", "lol")
	b.ask("q2017000001", "127.0.0.2_2444")
	// Nobody can log out another: that ends only who says it.
	a.ask("logout2017000001", "loo")
	a.ended()
	b.ask("q2017000001", "127.0.0.2_2444")
	stranger := r.dial()
	stranger.ask("logout2017000001", "loo")
	stranger.ended()
	b.ask("q2017000001", "127.0.0.2_2444")
	// One connection is one id.
	again.ask("0123456789_net2019_2444", "lol")
	b.ask("q2017000001", "n")
	b.ask("q0123456789", "127.0.0.2_2444")
	if err := again.Conn.(*net.TCPConn).SetLinger(0); err != nil {
		t.Fatal(err)
	}
	_ = again.Close() // a reset
	b.eventually("q0123456789", "n")
}

// What never ends is answered once and closed, and costs no memory.
func TestEndlessCommands(t *testing.T) {
	r := start(t, nil)
	for _, junk := range []string{"x", "q", "1", "\x00", "2017000001_net2019_1"} {
		o := r.dial()
		go func() {
			for {
				if _, err := o.Write(bytes.Repeat([]byte(junk), 100)); err != nil {
					return
				}
			}
		}()
		b, err := io.ReadAll(o)
		if errors.Is(err, os.ErrDeadlineExceeded) || len(b) > len(net2019.ReplyInvalid) {
			t.Errorf("%q: %q, %v", junk, b, err)
		}
	}
}

// A client that does not read its replies is left.
func TestSlowReader(t *testing.T) {
	r := start(t, func(c *Config) { c.WriteTimeout = 2 * time.Second })
	o := r.dial()
	if err := o.Conn.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	o.ask("2017000001_net2019_2333", "lol")
	b := r.dial()
	b.ask("2017000002_net2019_2333", "lol")
	b.ask("q2017000001", "127.0.0.1_2333")
	queries := bytes.Repeat([]byte("q2017000001"), 1000)
	var asking sync.WaitGroup
	asking.Go(func() {
		for {
			if _, err := o.Write(queries); err != nil {
				return // it may hear late that it was left
			}
		}
	})
	b.eventually("q2017000001", "n")
	_ = o.Close()
	asking.Wait()
}

// Limits slow down and stop who guesses, and let everybody log in twice.
func TestLimits(t *testing.T) {
	r := start(t, func(c *Config) { c.Limits = Limits{LogIn: limit.Limit{Burst: 2, Every: time.Hour}} })
	a, b := r.dial(), r.dialFrom("127.0.0.2")
	for range 10 {
		a.ask("2017000001_net2019_2333", "lol")
	}
	a.ask("2017000001_guess_2333", "Invalid Command!")
	a.ask("2017000001_net2019_2333", "lol")
	r.dial().ask("2017000001_another_2333", "Invalid Command!")
	a.ask("2017000001_net2019_2333", "Invalid Command!") // too many from there, even if it is right
	a.ask("q2017000001", "127.0.0.1_2333")
	b.ask("2017000002_net2019_2333", "lol")
	stats := r.Stats()
	got := map[string]uint64{}
	for _, c := range stats.Commands {
		got[c.Command+" "+c.Result] = c.N
	}
	if got["log_in ok"] != 12 || got["log_in denied"] != 2 || got["log_in limited"] != 1 || got["query online"] != 1 || got["invalid denied"] != 0 ||
		stats.Limited != 1 || stats.Originals != 2 || stats.Natives != 0 || stats.Connections != 3 {
		t.Errorf("%+v", stats)
	}
}

func TestPace(t *testing.T) {
	r := start(t, func(c *Config) { c.Limits = Limits{Command: limit.Limit{Burst: 1, Every: 20 * time.Millisecond}} })
	a := r.dial()
	began := time.Now()
	a.ask("2017000001_net2019_2333q2017000001q2017000002q2017000001", "lol127.0.0.1_2333n127.0.0.1_2333")
	if took := time.Since(began); took < 60*time.Millisecond {
		t.Errorf("four commands took %s, at one each 20ms", took)
	}
	// One that would have to wait for long does not hold up the end.
	slow := start(t, func(c *Config) { c.Limits = Limits{Command: limit.Limit{Burst: 1, Every: time.Hour}} })
	b := slow.dial()
	b.ask("2017000001_net2019_2333q2017000001", "lol")
	if err := slow.stop(); err != nil {
		t.Error(err)
	}
	b.ended()
}

// The end of the service is the end of all its connections.
func TestEnd(t *testing.T) {
	r := start(t, nil)
	idle, busy := r.dial(), r.dial()
	busy.ask("2017000001_net2019_2333", "lol")
	busy.send("20170") // a command has begun
	idle.ask("2017000002_net2019", "lol")
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	idle.ended()
	busy.ended()
	if originals, _ := r.Registry.counts(); originals != 0 || r.Stats().Connections != 0 {
		t.Errorf("%+v", r.Stats())
	}
}

// accepts gives connections, or fails.
type accepts struct {
	net.Listener
	failures atomic.Int32
}

func (a *accepts) Accept() (net.Conn, error) {
	if a.failures.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept", errors.New("too many open files"))}
	}
	return a.Listener.Accept()
}

// A server without free file descriptors serves on.
func TestAcceptFails(t *testing.T) {
	s, err := New(Config{Registry: NewRegistry(), Password: "net2019", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	failing := &accepts{Listener: l}
	failing.failures.Store(5)
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, failing) }()
	r := &running{Service: s, t: t, addr: l.Addr().String()}
	r.dial().ask("2017000001_net2019_2333", "lol")
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
	// One whose listener is taken away says so.
	l, err = (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	if err := s.Serve(t.Context(), l); !errors.Is(err, net.ErrClosed) {
		t.Errorf("without a listener: %v", err)
	}
}

// Native users and originals see each other.
func TestMembers(t *testing.T) {
	r := start(t, nil)
	heard := make(chan net2019.ID, 100)
	native := r.Registry.Join("carol", func(id net2019.ID) { heard <- id })
	defer native.Leave()
	where := netip.MustParseAddrPort("192.0.2.7:2777")
	if err := native.Set(bob, where, []net2019.ID{alice, other}); err != nil {
		t.Fatal(err)
	}
	hear := func(want net2019.ID) {
		t.Helper()
		select {
		case id := <-heard:
			if id != want {
				t.Fatalf("heard of %s, want %s", id, want)
			}
		case <-time.After(patience):
			t.Fatalf("never heard of %s", want)
		}
	}
	hear(other)
	hear(alice)
	a := r.dial()
	a.ask("2017000001_net2019_2333", "lol")
	hear(alice)
	at, first, online := native.Watched(alice)
	if !online || at.String() != "127.0.0.1:2333" {
		t.Errorf("%s %v", at, online)
	}
	a.ask("2017000001_net2019_2333", "lol") // which changes nothing
	a.ask("q2017000002", "192.0.2.7_2777")
	// The id is the native user's as long as that one is online.
	thief := r.dial()
	thief.ask("2017000002_net2019_2333", "Invalid Command!")
	a.ask("q2017000002", "192.0.2.7_2777")
	a.ask("2017000002_net2019_2333", "Invalid Command!")
	a.ask("q2017000001", "127.0.0.1_2333") // and is still there itself
	_ = a.Close()
	hear(alice)
	if _, last, online := native.Watched(alice); online || last <= first {
		t.Errorf("online %v, revision %d after %d", online, last, first)
	}
	native.Leave()
	thief.ask("2017000002_net2019_2333", "lol")
	if err := native.Set(bob, where, nil); !errors.Is(err, ErrTaken) {
		t.Errorf("the id of an original: %v", err)
	}
	if len(heard) > 0 {
		t.Errorf("heard of %s", <-heard)
	}
}

func TestRegistryOfMembers(t *testing.T) {
	r := NewRegistry()
	quiet := func(net2019.ID) {}
	one, two := netip.MustParseAddrPort("192.0.2.1:2333"), netip.MustParseAddrPort("192.0.2.2:2333")
	first, later, stranger := r.Join("carol", quiet), r.Join("carol", quiet), r.Join("dave", quiet)
	check := func(what string, id net2019.ID, want netip.AddrPort, natives int) {
		t.Helper()
		if where, online := r.Find(id); where != want || online != want.IsValid() {
			t.Errorf("%s: %s is at %s", what, id, where)
		}
		if o, n := r.counts(); o != 0 || n != natives || r.Has("carol") != (natives > 0) || r.Has("dave") {
			t.Errorf("%s: %d originals, %d natives", what, o, n)
		}
	}
	if err := first.Set(alice, one, []net2019.ID{bob}); err != nil {
		t.Fatal(err)
	}
	check("on", alice, one, 1)
	if err := stranger.Set(alice, two, nil); !errors.Is(err, ErrTaken) {
		t.Errorf("taken: %v", err)
	}
	check("taken", alice, one, 1)
	if err := later.Set(alice, two, []net2019.ID{bob}); err != nil {
		t.Fatal(err)
	}
	check("a newer session", alice, two, 1)
	first.Leave()
	check("the older one has left", alice, two, 1)
	if err := later.Set(bob, two, nil); err != nil {
		t.Fatal(err)
	}
	check("another id", bob, two, 1)
	check("the id before", alice, netip.AddrPort{}, 1)
	if err := first.Set(alice, one, nil); err != nil {
		t.Fatal(err)
	}
	check("the older one again", alice, one, 1)
	check("the id before", bob, netip.AddrPort{}, 1)
	later.Leave()
	first.Leave()
	first.Leave()
	check("off", alice, netip.AddrPort{}, 0)
	if len(r.watchers) != 0 || len(r.records) != 0 {
		t.Errorf("%d watchers and %d records are left", len(r.watchers), len(r.records))
	}
}

// The kernel is told to end connections of clients that have vanished within a
// minute, idle or with a reply under way.
func TestVanishedAreNoticed(t *testing.T) {
	l, err := ListenConfig().Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	client, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = accepted.Close() }()
	raw, err := accepted.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	for _, option := range []struct{ name, level, want int }{
		{unix.SO_KEEPALIVE, unix.SOL_SOCKET, 1}, {unix.TCP_KEEPIDLE, unix.IPPROTO_TCP, 30}, {unix.TCP_KEEPINTVL, unix.IPPROTO_TCP, 10},
		{unix.TCP_KEEPCNT, unix.IPPROTO_TCP, 3}, {unix.TCP_USER_TIMEOUT, unix.IPPROTO_TCP, 60_000},
	} {
		if err := raw.Control(func(fd uintptr) {
			if got, err := unix.GetsockoptInt(int(fd), option.level, option.name); err != nil || got != option.want {
				t.Errorf("option %d of level %d is %d, %v; want %d", option.name, option.level, got, err, option.want)
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// Those who are idle cost little, logged in or not.
func TestIdleConnectionsAreCheap(t *testing.T) {
	r := start(t, nil)
	const n = 1000
	used := func() uint64 {
		runtime.GC()
		runtime.GC() // what the first one found is freed by the second
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapInuse + m.StackInuse
	}
	before := used()
	all := make([]*original, n)
	for i := range all {
		all[i] = r.dial()
		all[i].ask("2017000001_net2019_2333q2017000001", "lol127.0.0.1_2333")
	}
	// Both sides of each connection are here.
	if each := (used() - before) / n; each > 12<<10 {
		t.Errorf("%d bytes for an idle connection", each)
	} else {
		t.Logf("%d bytes for an idle connection", each)
	}
}

// script is a connection whose client has said all that it will.
type script struct {
	net.Conn
	in  io.Reader
	out bytes.Buffer
}

func (s *script) Read(b []byte) (int, error)       { return s.in.Read(b) }
func (s *script) Write(b []byte) (int, error)      { return s.out.Write(b) }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }
func (s *script) Close() error                     { return nil }

// FuzzReplies: whatever comes, what is said is replies, and no more than there can
// be commands.
func FuzzReplies(f *testing.F) {
	for _, s := range []string{"2017000001_net2019_2333q2017000001", "hello", "logout2017000001q", "2017000001_net2019q2017000001q2017000002"} {
		f.Add([]byte(s))
	}
	replies := regexp.MustCompile(`^(lol|n|Invalid Command!|192\.0\.2\.1(_[0-9]{4,5})?)*(loo)?$`)
	s, err := New(Config{Registry: NewRegistry(), Password: "net2019", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		conn := &script{in: bytes.NewReader(b)}
		c := &connection{service: s, conn: conn, host: netip.MustParseAddr("192.0.2.1"), scanner: net2019.Scanner{Password: s.Password}}
		c.serve()
		if got := conn.out.Bytes(); !replies.Match(got) || len(got) > 2*len(b)+len("Invalid Command!") {
			t.Fatalf("%q: replied %q", b, got)
		}
		if originals, _ := s.Registry.counts(); originals != 0 {
			t.Fatal("it is gone, and still online")
		}
	})
}
