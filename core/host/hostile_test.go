package host

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/packet"
)

// evil installs a plugin from elsewhere and enables it.
func (r *rig) evil(mode string) {
	r.t.Helper()
	r.install(r.foreign, "evil", plan{mode: mode})
	r.eventually("evil found", func() bool {
		return slices.ContainsFunc(r.list(), func(s PluginStatus) bool { return s.Name == "evil" })
	})
	_, err := r.host.SetEnabled(r.t.Context(), "evil", true, "")
	must(r.t, err)
}

const evilType packet.Type = "org.example.evil/item"

// TestHostilePluginHarmsNobody: while one plugin rages, another in the same chat
// gets every packet, in order, and answers.
func TestHostilePluginHarmsNobody(t *testing.T) {
	t.Parallel()
	if s := probeSandbox(""); !s.works() {
		t.Skip(s.why)
	}
	for _, c := range []struct {
		mode   string
		packet string // that evil gets between all others
		end    State  // in which it ends up
		aside  bool   // whether its packets are set aside
	}{
		{mode: "die-after-handling", packet: "x", end: StateBroken},
		{packet: "crash:x", end: StateRunning, aside: true},
		{packet: "hang:", end: StateRunning, aside: true},
		{packet: "huge:", end: StateRunning, aside: true},
		{packet: "undeclared:", end: StateRunning, aside: true},
		{packet: "elsewhere:alice-carol", end: StateRunning, aside: true},
		{packet: "unknown-id:", end: StateRunning, aside: true},
		{mode: "rage-requests", packet: "x", end: StateRunning},
		{mode: "rage-events", packet: "x", end: StateRunning},
		{mode: "rage-values", packet: "x", end: StateRunning},
		{mode: "rage-noise", packet: "x", end: StateRunning},
		{mode: "rage-large", packet: "x", end: StateBroken},
		{mode: "rage-answers", packet: "x", end: StateBroken},
	} {
		t.Run(c.mode+" "+strings.TrimSuffix(c.packet, ":"), func(t *testing.T) {
			r := newRig(t, func(cfg *Config) {
				if c.packet == "hang:" {
					cfg.timing.handle = 1500 * time.Millisecond
				}
			})
			r.install(r.bundled, "text", plan{})
			r.serve()
			r.evil(c.mode)
			var want []string
			var poison []packet.EntryKey
			for i := range 6 {
				if i%3 == 0 {
					poison = append(poison, r.put(evilType, c.packet)...)
				}
				body := "text " + strconv.Itoa(i)
				want = append(want, body)
				r.put("text", body)
				sent := "answer " + strconv.Itoa(i)
				want = append(want, sent)
				r.mustInvoke("text", "send", sent)
			}
			r.eventually("text's messages", func() bool {
				got := slices.DeleteFunc(r.bodies(r.chat), func(s string) bool { return s == "x" })
				return slices.Equal(got, want)
			})
			r.wantState("evil", c.end)
			if s := r.status("text"); s.Crashes != 0 || s.SetAside != 0 {
				t.Errorf("text: %+v", s)
			}
			if !c.aside {
				return
			}
			for _, key := range poison {
				r.eventually("the packet set aside", func() bool { return r.entry(key).State == store.EntrySetAside })
			}
			r.wantNotice("plugin:evil", "bob", "set aside")
			if s := r.status("evil"); s.SetAside != uint32(len(poison)) {
				t.Errorf("evil: %+v", s)
			}
		})
	}
}

// limited is a rig with an enabled evil plugin under limits.
func limited(t *testing.T, l limits) *rig {
	if s := probeSandbox(""); !s.works() {
		t.Skip(s.why)
	}
	r := newRig(t, func(c *Config) { c.limits, c.timing.ping = l, 50*time.Millisecond })
	r.serve()
	r.evil("")
	return r
}

func TestMemoryOfEachProcessIsBounded(t *testing.T) {
	t.Parallel()
	r := limited(t, limits{memory: 300 << 20})
	if got := r.mustInvoke("evil", "hog", strconv.Itoa(100<<20)); !strings.HasPrefix(got, "has") {
		t.Fatal(got)
	}
	if got, err := r.invoke("evil", "hog", strconv.Itoa(1<<30)); err == nil {
		t.Errorf("it took more memory than it may: %s", got.Result)
	}
	r.eventually("the words of its end", func() bool { return strings.Contains(r.logged(), "out of memory") })
}

func TestMemoryOfAllProcessesIsBounded(t *testing.T) {
	t.Parallel()
	r := limited(t, limits{resident: 150 << 20})
	_, _ = r.invoke("evil", "hog", strconv.Itoa(300<<20)) // may be ended before it answers
	r.eventually("its end", func() bool { return strings.Contains(r.logged(), "MB of memory, more than the 157 MB it may use") })
}

func TestScratchIsBounded(t *testing.T) {
	t.Parallel()
	r := limited(t, limits{scratch: 8 << 20})
	for path, want := range map[string]string{"/tmp/x": "no space left", "/dev/shm/x": "no space left", "/dev/x": "read-only", "/x": "read-only", "/run/x": "no such file"} {
		if got := r.mustInvoke("evil", "fill", path); !strings.Contains(got, want) || strings.HasPrefix(got, "64") {
			t.Errorf("%s: %s", path, got)
		}
	}
}

// TestManyProcessesAreNoticed: what the kernel does not count for root is
// counted by the core.
func TestManyProcessesAreNoticed(t *testing.T) {
	t.Parallel()
	r := limited(t, limits{tasks: 100})
	if got := r.mustInvoke("evil", "multiply", "20"); got != "20" {
		t.Fatal(got)
	}
	_, _ = r.invoke("evil", "multiply", "150") // as above
	r.eventually("its end", func() bool {
		return strings.Contains(r.logged(), "processes, more than the 100 it may run") || strings.Contains(r.logged(), "temporarily unavailable")
	})
}

// TestForkBomb: the kernel counts the processes of a sandbox, unless it is
// root's.
func TestForkBomb(t *testing.T) {
	if os.Geteuid() == 0 {
		asNobody(t)
		return
	}
	if !countsByNamespace() {
		t.Skip("this kernel has one count for all of a user's processes")
	}
	r := limited(t, limits{tasks: 60})
	if got := r.mustInvoke("evil", "fork", "10"); got != "10 <nil>" {
		t.Fatal(got)
	}
	got := r.mustInvoke("evil", "fork", "1000")
	n, err := strconv.Atoi(strings.Fields(got)[0])
	if err != nil || n >= 60 || !strings.Contains(got, "temporarily unavailable") {
		t.Errorf("1000 forks: %s", got)
	}
	t.Logf("of 1000 forks: %s", got)
}

// asNobody runs this test as a user for whom limits hold.
func asNobody(t *testing.T) {
	t.Helper()
	folder, err := os.MkdirTemp("", "nobody")
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	must(t, os.Chmod(folder, 0o755)) //nolint:gosec // for another user
	self, err := os.ReadFile("/proc/self/exe")
	must(t, err)
	for name, b := range map[string][]byte{"test": self, "plugin": testBinary} {
		must(t, os.WriteFile(filepath.Join(folder, name), b, 0o755)) //nolint:gosec // as above
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(folder, "test"), "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/bin:/bin", "HOME=/nonexistent", "HOST_TEST_PLUGIN=" + filepath.Join(folder, "plugin")}
	const nobody = 65534
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	text := string(out)
	switch {
	case err != nil:
		t.Fatalf("as nobody: %v\n%s", err, text)
	case strings.Contains(text, "--- SKIP"):
		t.Skip(text)
	case !strings.Contains(text, "--- PASS: "+t.Name()):
		t.Fatalf("as nobody it was not run:\n%s", text)
	}
	t.Log(text)
}
