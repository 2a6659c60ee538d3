package host

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/identity"
	"github.com/parley-chat/parley/core/store/storetest"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

func TestConfinement(t *testing.T) {
	if s := probeSandbox(""); !s.works() {
		t.Skip(s.why)
	}
	home, err := os.UserHomeDir()
	must(t, err)
	secret, err := os.CreateTemp(home, ".host-test-secret")
	must(t, err)
	t.Cleanup(func() { _ = os.Remove(secret.Name()) })
	_, err = secret.WriteString("sesame")
	must(t, err)
	must(t, secret.Close())
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	t.Setenv("SSH_AUTH_SOCK", "/somewhere")
	t.Setenv("LANG", "en_GB.UTF-8")

	r := newRig(t)
	r.install(r.bundled, "text", plan{})
	r.install(r.foreign, "poll", plan{})
	r.install(r.foreign, "feed", plan{manifest: foreignManifest("feed", func(m *pluginpb.Manifest) {
		m.Capabilities = []pluginpb.Capability{pluginpb.Capability_CAPABILITY_NETWORK}
	})})
	r.serve()
	r.eventually("plugins found", func() bool { return len(r.list()) == 3 })
	for _, name := range []string{"poll", "feed"} {
		s, err := r.host.SetEnabled(t.Context(), name, true, "")
		must(t, err)
		if !s.Confined {
			t.Errorf("%s is not confined", name)
		}
	}
	if got := r.mustInvoke("text", "read", secret.Name()); !strings.Contains(got, "sesame") {
		t.Fatalf("the file cannot be read at all: %s", got)
	}
	if got := r.mustInvoke("poll", "read", secret.Name()); strings.Contains(got, "sesame") || !strings.Contains(got, "no such file") {
		t.Errorf("a confined plugin read a secret: %s", got)
	}
	for _, path := range []string{filepath.Join(r.cfg.DataFolder, "text", "invoked"), r.cfg.RunFolder, "/etc/passwd", "/proc/1/environ", fmt.Sprintf("/proc/%d/environ", os.Getpid())} {
		got := r.mustInvoke("poll", "read", path)
		if strings.Contains(got, "<nil>") && !strings.HasPrefix(path, "/proc/1/") || strings.Contains(got, "SSH_AUTH_SOCK") {
			t.Errorf("%s can be read: %.80q", path, got)
		}
	}
	if got := r.mustInvoke("poll", "environment", ""); strings.Contains(got, "SSH_AUTH_SOCK") || !strings.Contains(got, "LANG=en_GB.UTF-8") {
		t.Errorf("environment: %s", got)
	}
	for path, can := range map[string]bool{
		filepath.Join(r.cfg.DataFolder, "poll", "x"): true, filepath.Join(r.cfg.CacheFolder, "poll", "x"): true, "/tmp/x": true,
		r.status("poll").Path: false, "/x": false, "/usr/x": false,
	} {
		if got := r.mustInvoke("poll", "write", path); (got == "<nil>") != can {
			t.Errorf("writing %s: %s", path, got)
		}
	}
	// The folder is there, since the plugin lies in it, but it is not the real one.
	r.mustInvoke("poll", "write", r.foreign+"/x")
	if _, err := os.Stat(r.foreign + "/x"); err == nil {
		t.Error("a confined plugin wrote into the plugin folder")
	}
	if got := r.mustInvoke("poll", "dial", listener.Addr().String()); got == "<nil>" {
		t.Error("a plugin without NETWORK reached the network")
	}
	if got := r.mustInvoke("feed", "dial", listener.Addr().String()); got != "<nil>" {
		t.Errorf("a plugin with NETWORK cannot connect: %s", got)
	}
	s := r.status("poll")
	if s.Resident == 0 || s.State != StateRunning {
		t.Errorf("%+v", s)
	}
	must(t, syscall.Kill(s.ProcessID, syscall.SIGKILL))
	r.mustInvoke("poll", "slow", "")
	r.put("org.example.poll/item", "one")
	r.wantBodies("one")
}

func TestWithoutSandbox(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Bubblewrap = NoSandbox })
	r.install(r.foreign, "poll", plan{})
	r.serve()
	r.list()
	s, err := r.host.SetEnabled(t.Context(), "poll", true, "")
	must(t, err)
	if s.Confined {
		t.Error("said to be confined")
	}
	r.mustInvoke("poll", "slow", "")
	if s := probeSandbox("/bin/false"); s.works() || !strings.Contains(s.why, "does not work") {
		t.Errorf("a bwrap that fails: %+v", s)
	}
}

func TestScript(t *testing.T) {
	// It cannot speak gRPC; that it is run at all shows in its last words.
	for _, folder := range []string{"bundled", "foreign"} {
		t.Run(folder, func(t *testing.T) {
			r := newRig(t)
			dir := map[string]string{"bundled": r.bundled, "foreign": r.foreign}[folder]
			path := filepath.Join(dir, filePrefix+"script")
			must(t, os.WriteFile(path, []byte("#!/bin/sh\necho I am $(basename $0) >&2\n"), 0o755))
			r.serve()
			r.list()
			_, err := r.host.SetEnabled(t.Context(), "script", true, "")
			must(t, err)
			if s := r.wantState("script", StateBroken); !strings.Contains(s.Error, "I am "+filePrefix+"script") {
				t.Error(s.Error)
			}
		})
	}
}

// TestPluginsDieWithTheCore kills a process that runs a host.
func TestPluginsDieWithTheCore(t *testing.T) {
	r := newRig(t)
	r.install(r.bundled, "deaf", plan{mode: "deaf"}) // so that only the kernel can end it
	r.install(r.foreign, "deafen", plan{mode: "deaf"})
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "HOST_TEST_HELPER="+filepath.Dir(r.bundled))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	var pids []int
	scanner := bufio.NewScanner(out)
	for len(pids) < 2 && scanner.Scan() {
		pid, err := strconv.Atoi(scanner.Text())
		must(t, err)
		pids = append(pids, pid)
	}
	if len(pids) != 2 {
		t.Fatalf("helper started %v", pids)
	}
	must(t, cmd.Process.Kill())
	_ = cmd.Wait()
	for _, pid := range pids {
		r.eventually(fmt.Sprintf("end of %d", pid), func() bool { return gone(pid) })
	}
}

// gone says that a process has ended, though nobody may have waited for it.
func gone(pid int) bool {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return true
	}
	_, rest, _ := strings.Cut(string(raw), ") ")
	return strings.HasPrefix(rest, "Z") || strings.HasPrefix(rest, "X")
}

// helper is what the test binary does when it is run as a core to be killed.
func helper() int {
	dir := os.Getenv("HOST_TEST_HELPER")
	ctx := context.Background()
	me, err := identity.Generate("alice")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	r, err := New(Config{
		Store: storetest.New(&testing.B{}), Bus: bus.New(), Log: slog.New(slog.DiscardHandler), User: "alice", Outbox: &fakeOutbox{me: me}, People: fakePeople{},
		Folders: []Folder{{Path: in("b"), Bundled: true}, {Path: in("f")}}, DataFolder: in("d"), CacheFolder: in("c"), RunFolder: in("r"), timing: quick,
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	go func() { _ = r.Serve(ctx) }()
	for _, name := range []string{"deaf", "deafen"} {
		if _, err := r.SetEnabled(ctx, name, true, ""); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		id := packet.NewPacketID()
		for {
			_, err := r.Invoke(ctx, name, &pluginpb.InvokeRequest{Invocation: id[:], Action: "slow"}, nil)
			if err == nil {
				break
			}
			if !strings.Contains(err.Error(), errNotServed.Error()) {
				fmt.Fprintln(os.Stderr, err)
				return 1
			}
		}
		s, _ := r.Plugin(ctx, name)
		fmt.Println(s.ProcessID)
	}
	select {}
}
