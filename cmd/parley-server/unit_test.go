package main

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const unit = "../../packaging/systemd/parley-server.service"

// systemd takes the unit as it is, and finds little that it leaves open.
func TestUnit(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("needs systemd-analyze (apt-get install systemd)")
	}
	text, err := os.ReadFile(unit)
	if err != nil {
		t.Fatal(err)
	}
	// What it starts is not installed here.
	there := bytes.ReplaceAll(text, []byte("/usr/local/bin/parley-server"), []byte(os.Args[0]))
	path := filepath.Join(t.TempDir(), "parley-server.service")
	if err := os.WriteFile(path, there, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "systemd-analyze", "verify", path).CombinedOutput()
	// It also tells of other units of this machine.
	if strings.Contains(string(out), "parley-server") {
		t.Errorf("verify: %v\n%s", err, out)
	}
	// 0 is a program that can do nothing, 100 one that can do everything.
	out, err = exec.CommandContext(t.Context(), "systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=15", path).CombinedOutput()
	if err != nil {
		t.Errorf("security: %v\n%s", err, out)
	}
}

// Who started it hears when it serves and when it stops.
func TestNotify(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if err := l.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	heard := func(want string) {
		t.Helper()
		b := make([]byte, 1024)
		n, err := l.Read(b)
		if err != nil || string(b[:n]) != want {
			t.Fatalf("heard %q, %v, want %q", b[:n], err, want)
		}
	}
	t.Setenv("NOTIFY_SOCKET", socket)
	p := startProcess(t, t.TempDir())
	heard("READY=1")
	// A hang-up is no end.
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	heard("STOPPING=1")
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, p.stderr.String())
	}
}

// Root leaves the folder of a stopped server alone: what root wrote there, the
// server could not use.
func TestRootLeavesTheFolderAlone(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can be mistaken so")
	}
	data := filepath.Join(t.TempDir(), "data")
	p := startProcess(t, data)
	want(t, 0, "is made", goodPassword, "user", "add", "alice", "--data", data)
	if err := os.Chown(data, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	// Through the server it is all the same who asks.
	want(t, 0, "alice", "", "user", "list", "--data", data)
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	want(t, 1, "belongs to nobody: run this as that user (sudo -u nobody parley-server", "", "user", "list", "--data", data)
}

// The system's configuration is read by everybody but who names another.
func TestNamedConfiguration(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "server.toml")
	if err := os.WriteFile(path, []byte("data = \""+dir+"/here\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv(configVariable, path)
	want(t, 1, "no directory in "+dir+"/here", "", "user", "list")
	want(t, 1, "no directory in "+dir+"/there", "", "user", "list", "--data", dir+"/there")
	want(t, 1, dir+"/none.toml", "", "user", "list", "--config", dir+"/none.toml")
}
