// Package net2019 has the real programs and the original of 2019 get along: its
// clients at Parley's directory, and people with cores who talk to them.
package net2019

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/parley-chat/parley/bench/process"
	"github.com/parley-chat/parley/test/net2019/original"
)

// patience is how long a test waits for anything.
const patience = 2 * time.Minute

func TestMain(m *testing.M) {
	if out, err := exec.Command("make", "--no-print-directory", "-C", "../..", "build").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the programs: %v\n%s", err, out)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// world is a folder with directories and people.
type world struct {
	t         *testing.T
	folder    string
	address   string // of the directory
	net2019   string // of its port for clients of 2019
	directory *process.Process
}

func newWorld(t *testing.T) *world {
	t.Helper()
	folder, err := os.MkdirTemp("", "p19") // short: sockets lie below it
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	return &world{t: t, folder: folder}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// soon gives a context that ends when patience does.
func (w *world) soon() context.Context {
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	w.t.Cleanup(cancel)
	return ctx
}

func (w *world) until(what string, done func() bool) {
	w.t.Helper()
	for end := time.Now().Add(patience); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("not within %s: %s", patience, what)
		}
	}
}

func (w *world) start(cfg process.Config) *process.Process {
	w.t.Helper()
	p, err := process.Start(cfg)
	must(w.t, err)
	w.t.Cleanup(p.Kill)
	return p
}

// serve starts Parley's directory, which serves 2019 too.
func (w *world) serve(more ...string) {
	w.t.Helper()
	w.directory = w.start(process.Config{Program: "parley-server", Args: append([]string{
		"serve", "--listen", "127.0.0.1:0", "--data", filepath.Join(w.folder, "server"),
		"--net2019", "127.0.0.1:0", "--net2019-password", original.Word,
	}, more...)})
	var err error
	w.address, err = w.directory.Await(w.soon(), "listening on ")
	must(w.t, err)
	said, err := w.directory.Await(w.soon(), "net2019 on ")
	must(w.t, err)
	w.net2019 = strings.TrimSuffix(said, ", not encrypted")
}

// original starts a client of 2019, which is not yet logged in.
func (w *world) original(id string, change func(*original.Config)) *original.Client {
	w.t.Helper()
	cfg := original.Config{ID: id, Directory: w.net2019, Folder: w.t.TempDir()}
	if change != nil {
		change(&cfg)
	}
	c, err := original.Start(w.t.Context(), cfg)
	must(w.t, err)
	w.t.Cleanup(c.Close)
	return c
}

// loggedIn starts one that is.
func (w *world) loggedIn(id string, change func(*original.Config)) *original.Client {
	w.t.Helper()
	c := w.original(id, change)
	must(w.t, c.LogIn(w.soon()))
	return c
}

// course has a client log in as at the course's server, at an address of its own,
// since all such have one port.
func course(host string) func(*original.Config) {
	return func(c *original.Config) { c.Course, c.Host = true, host }
}

func (w *world) await(c *original.Client, what string, so func() bool) {
	w.t.Helper()
	must(w.t, c.Await(w.soon(), what, so))
}

func (w *world) hears(c *original.Client, chat, sender, text string) {
	w.t.Helper()
	w.await(c, "heard "+text, func() bool { return c.Heard(chat, sender, text) })
}

// at wants a client to find somebody there; empty is offline.
func (w *world) at(c *original.Client, id, where string) {
	w.t.Helper()
	got := ""
	w.until(c.ID()+" finds "+id+" at "+where, func() bool {
		var err error
		got, err = c.Where(w.soon(), id)
		must(w.t, err)
		return got == where
	})
}

// dial connects with the directory from a host of its own.
func (w *world) dial(host string) *socket {
	w.t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(host)}, Timeout: patience}
	conn, err := d.DialContext(w.t.Context(), "tcp", w.net2019)
	must(w.t, err)
	w.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return &socket{conn, w.t}
}
