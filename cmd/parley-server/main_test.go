package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/parley-chat/parley/core/directory"
	"github.com/parley-chat/parley/core/identity"
	"github.com/parley-chat/parley/protocol/packet"
)

const patience = time.Minute

// TestMain lets the test's own binary be parley-server, so that none has to be
// built: it is the same code, in a process that can be killed.
func TestMain(m *testing.M) {
	if os.Getenv("PARLEY_SERVER_TEST") == "1" {
		main()
		return
	}
	os.Exit(m.Run())
}

type process struct {
	cmd         *exec.Cmd
	addr        string
	fingerprint string
	stderr      strings.Builder
}

func command(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), "PARLEY_SERVER_TEST=1")
	return cmd
}

// startProcess starts a server on a folder, or with other arguments if there is
// none.
func startProcess(t *testing.T, data string, args ...string) *process {
	t.Helper()
	args = append([]string{"serve", "--listen", "127.0.0.1:0"}, args...)
	if data != "" {
		args = append(args, "--data", data)
	}
	p := &process{cmd: command(args...)}
	p.cmd.Stderr = &p.stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	})
	stop := time.AfterFunc(patience, func() { _ = p.cmd.Process.Kill() })
	defer stop.Stop()
	lines := bufio.NewScanner(out)
	for p.fingerprint == "" && lines.Scan() {
		if addr, ok := strings.CutPrefix(lines.Text(), "listening on "); ok {
			p.addr = addr
		}
		if f, ok := strings.CutPrefix(lines.Text(), "fingerprint "); ok {
			p.fingerprint = f
		}
	}
	if p.addr == "" || len(p.fingerprint) != 64 {
		_ = p.cmd.Wait()
		t.Fatalf("the server did not say where it is: %s", p.stderr.String())
	}
	return p
}

func (p *process) target(id *identity.Identity) directory.Target {
	return directory.Target{Address: p.addr, Pin: p.fingerprint, Identity: id, Agent: "test/1"}
}

const goodPassword = "correct horse"

// Each registration that was acknowledged before a kill -9 is there after it,
// and the name of each is taken.
func TestKillLosesNoAcknowledgedRegistration(t *testing.T) {
	data := t.TempDir()
	p := startProcess(t, data)
	const people = 4
	var mu sync.Mutex
	var acknowledged []*identity.Identity
	enough := make(chan struct{})
	var over atomic.Bool // it is killed, or is to be at once
	var all sync.WaitGroup
	for i := range people {
		all.Go(func() {
			for n := 0; ; n++ {
				id, err := identity.Generate(packet.UserID(fmt.Sprintf("user%d.%d", i, n)))
				if err != nil {
					t.Error(err)
					return
				}
				// Until the server is killed, or its limit is reached. One that is too busy
				// for somebody may have time for the next.
				_, err = directory.Register(context.Background(), p.target(id), directory.Registration{Password: goodPassword})
				if err != nil {
					if over.Load() || errors.Is(err, directory.ErrLimit) {
						return
					}
					continue
				}
				mu.Lock()
				acknowledged = append(acknowledged, id)
				if len(acknowledged) == 10 {
					close(enough)
				}
				mu.Unlock()
			}
		})
	}
	select {
	case <-enough:
	case <-time.After(patience):
		t.Error("ten people could not register")
	}
	over.Store(true)
	if err := p.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = p.cmd.Wait()
	all.Wait()

	after := startProcess(t, data)
	if after.fingerprint != p.fingerprint {
		t.Error("the fingerprint changed")
	}
	for _, id := range acknowledged {
		if _, err := directory.LogIn(t.Context(), after.target(id), directory.Credentials{Password: goodPassword}); err != nil {
			t.Errorf("%s was lost: %v", id.User(), err)
		}
	}
	other, err := identity.Generate(acknowledged[0].User())
	if err != nil {
		t.Fatal(err)
	}
	_, err = directory.Register(t.Context(), after.target(other), directory.Registration{Password: goodPassword})
	if !errors.Is(err, directory.ErrTaken) {
		t.Errorf("a name that is taken: %v", err)
	}
	if err := after.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := after.cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v\n%s", err, after.stderr.String())
	}
	if log := p.stderr.String() + after.stderr.String(); strings.Contains(log, goodPassword) || strings.Contains(log, "user0") {
		t.Errorf("log tells too much:\n%s", log)
	}
}

// Who starts it with the protocol of 2019 is told that it is not encrypted, and
// clients of the original are served until it ends.
func TestServeNet2019(t *testing.T) {
	for _, format := range []struct{ flag, address, warning string }{
		{"--json=false", `net2019 on (127\.0\.0\.1:[0-9]+), not encrypted`, "NOT ENCRYPTED"},
		{"--json", `"net2019":"(127\.0\.0\.1:[0-9]+)"`, `"net2019_encryption":"none"`},
	} {
		cmd := command("serve", format.flag, "--listen", "127.0.0.1:0", "--data", t.TempDir(), "--net2019", "127.0.0.1:0", "--net2019-password", "net2019")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		stop := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
		var said strings.Builder
		for lines := bufio.NewScanner(out); !strings.Contains(said.String(), "fingerprint") && lines.Scan(); {
			said.WriteString(lines.Text() + "\n")
		}
		address := regexp.MustCompile(format.address).FindStringSubmatch(said.String())
		if address == nil || !strings.Contains(said.String(), format.warning) {
			t.Fatalf("it says %q", said.String())
		}
		conn, err := net.Dial("tcp", address[1])
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(patience))
		_, err = io.WriteString(conn, "2017000001_net2019_2333q2017000001")
		b := make([]byte, len("lol127.0.0.1_2333"))
		if _, read := io.ReadFull(conn, b); err != nil || read != nil || string(b) != "lol127.0.0.1_2333" {
			t.Errorf("%q, %v %v", b, err, read)
		}
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(conn); err != nil || len(b) > 0 {
			t.Errorf("at the end: %q, %v", b, err)
		}
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
		stop.Stop()
		_ = conn.Close()
	}
}

func TestFailures(t *testing.T) {
	data := t.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	file := filepath.Join(data, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		args []string
		says string
	}{
		{"port in use", []string{"serve", "--data", data, "--listen", l.Addr().String()}, "in use by another program"},
		{"folder is a file", []string{"serve", "--data", file, "--listen", "127.0.0.1:0"}, "data folder"},
		{"unknown flag", []string{"serve", "--fast"}, "--fast"},
		{"unknown level", []string{"serve", "--log-level", "loud"}, "loud"},
		{"2019 without a password", []string{"serve", "--net2019", "127.0.0.1:0"}, "give both or none"},
		{"2019 on no address", []string{"serve", "--net2019", "10000", "--net2019-password", "net2019"}, "host:port"},
		{"2019 on a port in use", []string{"serve", "--data", data, "--listen", "127.0.0.1:0", "--net2019", l.Addr().String(), "--net2019-password", "net2019"}, "in use by another program"},
		{"unknown command", []string{"sing"}, "sing"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out, err := command(tt.args...).CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() == 0 || !strings.Contains(string(out), tt.says) {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	if out, err := command("version").Output(); err != nil || !strings.HasPrefix(string(out), "parley-server ") {
		t.Errorf("version: %q, %v", out, err)
	}
}
