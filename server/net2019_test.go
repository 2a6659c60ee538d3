package server_test

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/parley-chat/parley/server"
	"github.com/parley-chat/parley/server/net2019"
)

// with2019 has the protocol of 2019 served too.
func with2019(c *server.Config) {
	c.Metrics = "127.0.0.1:0"
	c.Net2019 = &server.Net2019{Listen: "127.0.0.1:0", Password: "net2019", Limits: &net2019.Limits{}}
}

// original is a client of 2019: a socket.
type original struct {
	net.Conn
	t *testing.T
}

func (r *running) original(host string) *original {
	r.t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(host)}}
	conn, err := d.DialContext(r.t.Context(), "tcp", r.server.Net2019Addr().String())
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return &original{conn, r.t}
}

func (o *original) ask(command, reply string) {
	o.t.Helper()
	if _, err := io.WriteString(o, command); err != nil {
		o.t.Fatal(err)
	}
	b := make([]byte, len(reply))
	if n, err := io.ReadFull(o, b); err != nil || string(b) != reply {
		o.t.Fatalf("%q: got %q, %v; want %q", command, b[:n], err, reply)
	}
}

// eventually asks until that is the reply.
func (o *original) eventually(command, reply string) {
	o.t.Helper()
	b := make([]byte, 100)
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if _, err := io.WriteString(o, command); err != nil {
			o.t.Fatal(err)
		}
		n, err := o.Read(b)
		if err != nil || time.Now().After(end) {
			o.t.Fatalf("%q: %q, %v; want %q", command, b[:n], err, reply)
		}
		if string(b[:n]) == reply {
			return
		}
	}
}

func (o *original) ended() {
	o.t.Helper()
	if b, err := io.ReadAll(o); len(b) > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		o.t.Fatalf("got %q, %v; want the end", b, err)
	}
}

// The protocol of 2019 is off, and where it is on everything that shows it says that
// it is not encrypted.
func TestNet2019IsMarked(t *testing.T) {
	var log journal
	off := start(t, func(c *server.Config) {
		c.Metrics, c.Log = "127.0.0.1:0", slog.New(slog.NewTextHandler(&log, nil))
	})
	if off.server.Net2019Addr() != nil || strings.Contains(log.String(), "protocol of 2019") {
		t.Errorf("nobody has switched it on: %s", log.String())
	}
	if wrong := differ(off.scrape(), map[string]float64{`parley_net2019_served{encryption="none"}`: 0, `parley_net2019_commands_total{command="query",result="online"}`: 0}); wrong != "" {
		t.Error(wrong)
	}
	on := start(t, func(c *server.Config) {
		with2019(c)
		c.Log = slog.New(slog.NewTextHandler(&log, nil))
	})
	on.original("127.0.0.1").ask("q2017000001", "Invalid Command!")
	warned := false
	for line := range strings.Lines(log.String()) {
		warned = warned || strings.Contains(line, "level=WARN") && strings.Contains(line, "not encrypted")
	}
	if !warned {
		t.Errorf("the log does not warn: %s", log.String())
	}
	if wrong := differ(on.scrape(), map[string]float64{`parley_net2019_served{encryption="none"}`: 1}); wrong != "" {
		t.Error(wrong)
	}
}

func TestNet2019(t *testing.T) {
	r := start(t, func(c *server.Config) {
		with2019(c)
		c.Net2019.LogOutReply = "100"
		c.MaxConnectionsPerAddress = 3
	})
	a, b := r.original("127.0.0.2"), r.original("127.0.0.3")
	a.ask("2017000001_net2019_2333", "lol")
	a.ask("2017000001_net2019_2333", "lol")
	b.ask("2017000002_net2019", "lol")
	a.ask("q2017000002", "127.0.0.3_2333")
	b.ask("q2017000001", "127.0.0.2")
	a.ask("q2017000003", "n")
	a.ask("2017000001_wrong_2333", "Invalid Command!")
	// As many from one address as everywhere, native ones counted.
	r.original("127.0.0.2").ask("hello", "Invalid Command!")
	r.original("127.0.0.2").ask("hello", "Invalid Command!")
	r.original("127.0.0.2").ended()
	r.from = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}
	if err := r.device().register("alice", goodPassword); err == nil {
		t.Error("a native client is one too many, and let in")
	}
	if wrong := differ(r.scrape(), map[string]float64{
		`parley_net2019_connections`:                                       4,
		`parley_net2019_users_online{client="original"}`:                   2,
		`parley_net2019_users_online{client="native"}`:                     0,
		`parley_net2019_commands_total{command="log_in",result="ok"}`:      3,
		`parley_net2019_commands_total{command="log_in",result="denied"}`:  1,
		`parley_net2019_commands_total{command="query",result="online"}`:   2,
		`parley_net2019_commands_total{command="query",result="offline"}`:  1,
		`parley_net2019_commands_total{command="invalid",result="denied"}`: 2,
		`parley_rate_limited_total{limit="net2019_log_in"}`:                0,
	}); wrong != "" {
		t.Error(wrong)
	}
	b.ask("logout2017000002", "100")
	b.ended()
	r.stop()
	a.ended()
}

// A port that is taken, and a word that is none, keep the server from starting.
func TestNet2019CannotBeServed(t *testing.T) {
	cfg := testConfig(t)
	with2019(&cfg)
	cfg.Net2019.Password = ""
	if _, err := server.New(cfg); err == nil || !strings.Contains(err.Error(), "password") {
		t.Errorf("without a password: %v", err)
	}
	r := start(t, with2019)
	cfg.Net2019.Password, cfg.Net2019.Listen = "net2019", r.server.Net2019Addr().String()
	if _, err := server.New(cfg); err == nil || !strings.Contains(err.Error(), "in use by another program") {
		t.Errorf("a port that is taken: %v", err)
	}
}

// The log names nobody of 2019 either.
func TestNet2019LogNamesNobody(t *testing.T) {
	var log journal
	r := start(t, func(c *server.Config) {
		with2019(c)
		c.Net2019.Password = "secret-word"
		c.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	a := r.original("127.0.0.77")
	a.ask("2017000001_secret-word_2333", "lol")
	a.ask("2017000001_guess_2333", "Invalid Command!")
	a.ask("q2017000002", "n")
	a.ask("logout2017000001", "loo")
	a.ended()
	r.stop()
	for _, personal := range []string{"20170000", "127.0.0.77", "secret-word", "guess"} {
		if strings.Contains(log.String(), personal) {
			t.Errorf("the log has %q: %s", personal, log.String())
		}
	}
}
