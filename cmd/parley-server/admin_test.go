package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/parley-chat/parley/core/directory"
	"github.com/parley-chat/parley/core/identity"
	"github.com/parley-chat/parley/protocol/packet"
)

// do runs a command and gives its exit status and what it printed.
func do(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	in, err := os.Create(filepath.Join(t.TempDir(), "stdin"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	_, err1 := in.WriteString(stdin)
	_, err2 := in.Seek(0, io.SeekStart)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	code = (&app{in: in, out: &out, errs: &errs}).run(t.Context(), args)
	return code, out.String(), errs.String()
}

func want(t *testing.T, code int, says string, stdin string, args ...string) string {
	t.Helper()
	got, out, errs := do(t, stdin, args...)
	if got != code || !strings.Contains(out+errs, says) {
		t.Fatalf("%v: exit status %d, want %d and %q:\n%s%s", args, got, code, says, out, errs)
	}
	return out
}

// The operator's commands do the same on a server that runs and on one that
// does not.
func TestOperatorsCommands(t *testing.T) {
	data := filepath.Join(t.TempDir(), strings.Repeat("long-", 20)) // longer than a socket's name may be
	want(t, 1, "There is no directory in", "", "user", "list", "--data", data)
	p := startProcess(t, data)
	for _, running := range []bool{true, false} {
		name := "stopped"
		if running {
			name = "running"
			info, err := os.Stat(filepath.Join(data, "admin.sock"))
			if err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("the socket is %v, %v", info, err)
			}
		} else {
			_ = p.cmd.Process.Signal(syscall.SIGTERM)
			if err := p.cmd.Wait(); err != nil {
				t.Fatal(err)
			}
		}
		t.Run(name, func(t *testing.T) { operate(t, data, "user."+name) })
	}
	// What the last one did is there when the server is.
	p = startProcess(t, data)
	id, err := identity.Generate("user.stopped")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := directory.LogIn(t.Context(), p.target(id), directory.Credentials{Password: "new " + goodPassword}); err != nil {
		t.Errorf("log in to what the operator made: %v", err)
	}
	want(t, 0, "disabled", "", "user", "disable", "user.stopped", "--data", data)
	if _, err := directory.LogIn(t.Context(), p.target(id), directory.Credentials{Password: "new " + goodPassword}); err == nil {
		t.Error("a disabled account can log in")
	}
}

func operate(t *testing.T, data, user string) {
	on := func(args ...string) []string { return append(args, "--data", data) }
	want(t, 0, "is made", goodPassword+"\n", on("user", "add", user, "--name", "Some Body")...)
	want(t, 1, "taken", goodPassword, on("user", "add", user)...)
	want(t, 1, "no user name", goodPassword, on("user", "add", "No-Body")...)
	want(t, 1, "8 to 256 bytes", "short", on("user", "add", "nobody")...)
	want(t, 2, "no password", "", on("user", "add", "nobody")...)
	want(t, 0, "is set", "new "+goodPassword, on("user", "passwd", user, "--log-out")...)
	want(t, 1, "There is no user nobody", goodPassword, on("user", "passwd", "nobody")...)
	want(t, 0, "is disabled", "", on("user", "disable", user)...)
	if out := want(t, 0, user, "", on("user", "list")...); !strings.Contains(out, "disabled") {
		t.Errorf("list: %s", out)
	}
	want(t, 0, "is enabled", "", on("user", "enable", user)...)
	want(t, 2, "--yes", "", on("user", "remove", user)...)
	want(t, 0, "is made", goodPassword, on("user", "add", "short.lived")...)
	want(t, 0, "is removed", "", on("user", "remove", "short.lived", "--yes")...)
	var u struct {
		User, Name string
		Disabled   bool
	}
	out := want(t, 0, user, "", on("user", "list", "--json")...)
	for line := range strings.Lines(out) {
		if err := json.Unmarshal([]byte(line), &u); err != nil {
			t.Fatal(err)
		}
	}
	if u.Disabled || u.Name != "Some Body" || strings.Contains(out, "short.lived") {
		t.Errorf("list: %s", out)
	}

	code := strings.TrimSpace(want(t, 0, "-", "", on("invite", "create", "--uses", "3", "--note", "for "+user)...))
	out = want(t, 0, "0 of 3", "", on("invite", "list")...)
	if strings.Contains(out, code) {
		t.Error("the code is told again")
	}
	want(t, 0, "revoked", "", on("invite", "revoke", strings.ToUpper(code))...)
	want(t, 1, "no such invite", "", on("invite", "revoke", code)...)
	want(t, 1, "not 0", "", on("invite", "create", "--uses", "0")...)
	want(t, 1, "expire before it is made", "", on("invite", "create", "--expires", "-1h")...)
	want(t, 1, "at most 200 bytes", "", on("invite", "create", "--note", strings.Repeat("x", 201))...)
	want(t, 1, "no control characters", goodPassword, on("user", "add", "bell", "--name", "a\ab")...)
	want(t, 1, "at most 64 characters", goodPassword, on("user", "add", "long", "--name", strings.Repeat("x", 65))...)
	want(t, 1, "There is no user nobody", "", on("user", "disable", "nobody")...)
	want(t, 1, "There is no user nobody", "", on("user", "remove", "nobody", "--yes")...)

	file := filepath.Join(t.TempDir(), "backup")
	want(t, 0, "records", "", on("backup", file)...)
	want(t, 2, "--force", "", on("backup", file)...)
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the backup is %v, %v", info, err)
	}
	want(t, 1, "no such file", "", on("backup", filepath.Join(filepath.Dir(file), "nowhere", "backup"))...)
	want(t, 1, "not empty", "", on("restore", file)...)
	want(t, 1, "no such file", "", "restore", file+".none", "--data", t.TempDir())
	noBackup := filepath.Join(t.TempDir(), "letter")
	if err := os.WriteFile(noBackup, []byte("Dear Sir"), 0o600); err != nil {
		t.Fatal(err)
	}
	want(t, 1, "backup", "", "restore", noBackup, "--data", t.TempDir())
	elsewhere := filepath.Join(t.TempDir(), "new")
	want(t, 0, "records", "", "restore", file, "--data", elsewhere)
	if out := want(t, 0, user, "", "user", "list", "--data", elsewhere); strings.Contains(out, "short.lived") {
		t.Errorf("restored: %s", out)
	}
}

func TestUsageErrors(t *testing.T) {
	for _, args := range [][]string{
		{"sing"}, {"user"}, {"user", "sing"}, {"user", "add"}, {"user", "list", "--fast"}, {"invite", "revoke"}, {"backup"}, {"serve", "now"},
		{"serve", "--registration", "maybe"}, {"serve", "--listen", "here"}, {"serve", "--tls-cert", "x"}, {"invite", "create", "--expires", "soon"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) { want(t, 2, "parley-server", "", args...) })
	}
}

func TestConfigFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "server.toml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("listen = \"127.0.0.1:0\"\nregistration = \"never\"\n")
	want(t, 1, path+":2: registration: it is open, invite or closed", "", "serve", "--config", path)

	write("listen = \"256.0.0.1:0\"\nregistration = \"closed\"\ndata = " + `"` + dir + "/data\"\n")
	p := startProcess(t, "", "--config", path) // --listen counts more than the file
	id, err := identity.Generate(packet.UserID("alice"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := directory.Register(t.Context(), p.target(id), directory.Registration{Password: goodPassword}); err == nil || !strings.Contains(err.Error(), "no new accounts") {
		t.Errorf("registration is closed: %v", err)
	}
	want(t, 0, "is made", goodPassword, "user", "add", "alice", "--config", path)
	if _, err := directory.LogIn(t.Context(), p.target(id), directory.Credentials{Password: goodPassword}); err != nil {
		t.Error(err)
	}
}
