package hosting_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/parley-chat/parley/ui-gtk/hosting"
)

// patience is how long what must happen may take on a busy machine.
const patience = time.Minute

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newHost gives a host that was never started, with the real program.
func newHost(t *testing.T) hosting.Host {
	t.Helper()
	program := filepath.Join(t.TempDir(), "parley-server")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", program, "../../cmd/parley-server").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return hosting.Host{Folder: filepath.Join(t.TempDir(), "directory"), Program: program}
}

// servers gives the process ids of a host's servers.
func servers(h hosting.Host) []int {
	var ids []int
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		id, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		line, _ := os.ReadFile("/proc/" + e.Name() + "/cmdline")
		if strings.HasPrefix(string(line), h.Program+"\x00") && strings.Contains(string(line), "\x00serve") {
			ids = append(ids, id)
		}
	}
	return ids
}

// end ends a host's servers and waits for them.
func end(t *testing.T, h hosting.Host) {
	t.Helper()
	ids := servers(h)
	for _, id := range ids {
		p, err := os.FindProcess(id)
		if err == nil {
			_ = p.Kill()
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for slices.ContainsFunc(ids, runs) {
		if ctx.Err() != nil {
			t.Fatal("a server does not end")
		}
		time.Sleep(time.Millisecond)
	}
}

// runs says whether a process is still there. One that is ending loses its command line
// before its sockets, and its first thread ends before the others.
func runs(id int) bool {
	_, err := os.Stat(fmt.Sprintf("/proc/%d", id))
	return err == nil
}

// TestDirectoryOnThisComputer: it is started once, comes with an invite, and is the
// same one after the computer was off.
func TestDirectoryOnThisComputer(t *testing.T) {
	// The port may be taken, and then another one is.
	l, err := net.Listen("tcp", ":0") //nolint:noctx // it does not wait
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	h := newHost(t)
	h.Port = l.Addr().(*net.TCPAddr).Port
	defer end(t, h)
	if err := h.Resume(t.Context()); err != nil || h.Known() || len(servers(h)) > 0 {
		t.Fatalf("what was never started is resumed: %v", err)
	}
	d, err := h.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if d.Invite == "" || !strings.HasPrefix(d.Address, "localhost:") || d.Address == "localhost:"+strconv.Itoa(h.Port) {
		t.Errorf("%+v", d)
	}
	for address, own := range map[string]bool{
		d.Address: true, "127.0.0.1" + strings.TrimPrefix(d.Address, "localhost"): true,
		"localhost:1": false, "localhost": false, "chat.example.org" + strings.TrimPrefix(d.Address, "localhost"): false,
	} {
		want := address
		if own && len(d.Others) > 0 {
			want = d.Others[0]
		}
		if got := h.Reachable(address); got != want {
			t.Errorf("%s is reached at %s, want %s", address, got, want)
		}
	}
	again, err := h.Start(t.Context())
	if err != nil || again.Address != d.Address || again.Invite == d.Invite {
		t.Errorf("at the second start: %+v, %v", again, err)
	}
	if n := len(servers(h)); n != 1 {
		t.Errorf("%d servers run", n)
	}
	out, err := exec.CommandContext(t.Context(), h.Program, "--data", filepath.Join(h.Folder, "data"), "invite", "list").CombinedOutput()
	if err != nil || strings.Count(string(out), "0 of 20") != 2 {
		t.Errorf("%v: %s", err, out)
	}
	end(t, h)
	if err := h.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", d.Address)
	if err != nil {
		t.Fatalf("it does not run again: %v", err)
	}
	_ = c.Close()
}

// TestStop: it ends, says so, and stays stopped until it is started.
func TestStop(t *testing.T) {
	// The usual port may be what another test's directory is about to take.
	l, err := net.Listen("tcp", ":0") //nolint:noctx // it does not wait
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	h := newHost(t)
	h.Port = l.Addr().(*net.TCPAddr).Port
	h.Folder = filepath.Join(h.Folder, strings.Repeat("long", 30)) // no path for a socket
	if s, err := h.State(t.Context()); err != nil || s.Known || s.Running {
		t.Errorf("before the first start: %+v, %v", s, err)
	}
	if err := h.Stop(t.Context()); err != nil || h.Known() {
		t.Errorf("what was never started cannot be stopped: %v", err)
	}
	t.Cleanup(func() { end(t, h) })
	d, err := h.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s, err := h.State(t.Context())
	if err != nil || !s.Known || !s.Running || s.Address != d.Address || !slices.Equal(s.Others, d.Others) {
		t.Errorf("%+v, %v", s, err)
	}
	for range 2 {
		if err := h.Stop(t.Context()); err != nil || len(servers(h)) > 0 {
			t.Fatalf("%d servers run, %v", len(servers(h)), err)
		}
		if s, err = h.State(t.Context()); err != nil || s.Running || s.Address != d.Address {
			t.Errorf("after the stop: %+v, %v", s, err)
		}
		if err := h.Resume(t.Context()); err != nil || len(servers(h)) > 0 {
			t.Errorf("what was stopped comes back: %v", err)
		}
	}
	if again, err := h.Start(t.Context()); err != nil || again.Address != d.Address {
		t.Fatalf("%+v, %v", again, err)
	}
	end(t, h)
	if s, err = h.State(t.Context()); err != nil || s.Running {
		t.Errorf("after it was killed: %+v, %v", s, err)
	}
	if err := h.Resume(t.Context()); err != nil || len(servers(h)) != 1 {
		t.Errorf("what was started does not come back: %v", err)
	}
}

// TestStartSaysWhyItFailed: what parley-server says is what the person reads.
func TestStartSaysWhyItFailed(t *testing.T) {
	h := newHost(t)
	if err := os.MkdirAll(h.Folder, 0o700); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(h.Folder, "server.toml")
	for name, c := range map[string]struct{ config, says string }{
		"a mistake in it":    {"listen = \":1\"\nregistration = \"whoever\"\n", "registration"},
		"no port":            {"listen = \":0\"\n", "no port"},
		"no configuration":   {"\x00\x01", "mend it"},
		"nothing to be read": {"", "listen"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(config, []byte(c.config), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := h.Start(t.Context()); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v", err)
			}
		})
	}
	h = hosting.Host{Folder: filepath.Join(t.TempDir(), "directory"), Program: "/nowhere/parley-server"}
	if _, err := h.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "/nowhere/parley-server") {
		t.Errorf("without the program: %v", err)
	}
}
