package host

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

func TestFiveCrashesBreak(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.install(r.bundled, "text", plan{mode: "die-after-handling"})
	keys := r.putQuietly(r.peer, r.chat, "text", "one") // so that it is wanted
	r.serve()
	s := r.wantState("text", StateBroken)
	for _, part := range []string{"crashed 5 times in ten minutes", "exit status 4", "I have seen enough"} {
		if !strings.Contains(s.Error, part) {
			t.Errorf("error lacks %q: %s", part, s.Error)
		}
	}
	r.wantNotice("plugin:text", "is stopped", "I have seen enough", "Restart it")
	if s.Crashes != 5 {
		t.Errorf("%d crashes", s.Crashes)
	}
	if e := r.entry(keys[0]); e.State != store.EntryNew && e.State != store.EntryHandled {
		t.Errorf("packet of a broken plugin is in state %d", e.State)
	}
	if _, err := r.invoke("text", "send", "x"); err == nil || !strings.Contains(err.Error(), "broken") || !strings.HasSuffix(err.Error(), "parley plugins restart text") {
		t.Errorf("action of a broken plugin: %v", err)
	}
	// Another chance, and then a better file.
	if _, err := r.host.Restart(t.Context(), "text"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.invoke("text", "nothing", "x"); err == nil {
		t.Error("want an error")
	}
	r.wantState("text", StateBroken)
	r.install(r.bundled, "text", plan{})
	r.list()
	r.wantBodies("one")
	r.mustInvoke("text", "slow", "")
}

func TestPluginsThatDoNotComeUp(t *testing.T) {
	t.Parallel()
	shortLaunch := func(c *Config) { c.timing.launch = 500 * time.Millisecond }
	shortDescribe := func(c *Config) { c.timing.describe = 500 * time.Millisecond }
	for _, c := range []struct {
		name   string
		plan   plan
		why    string
		change func(*Config)
	}{
		{"silent", plan{mode: "silent"}, "timeout", shortLaunch},
		{"garbage", plan{mode: "garbage"}, "Unrecognized remote plugin message: hello", nil},
		{"listens elsewhere", plan{mode: "tcp"}, "not on a unix socket", nil},
		{"exits", plan{mode: "exit"}, "cannot find my teapot", nil},
		{"wrong cookie", plan{cookie: "monster"}, "This binary is a plugin", nil},
		{"does not describe itself", plan{mode: "slow-describe"}, "Describe took longer", shortDescribe},
		{"cannot describe itself", plan{mode: "describe-error"}, "I do not know who I am", nil},
		{"another's name", plan{manifest: manifestOf("video")}, "manifest.name", nil},
		{"no version", plan{manifest: manifestOf("text", func(m *pluginpb.Manifest) { m.Version = "new" })}, "manifest.version", nil},
		{"of the future", plan{manifest: manifestOf("text", func(m *pluginpb.Manifest) { m.ApiVersion = 2 })}, "update Parley", nil},
		{"the core's type", plan{manifest: manifestOf("text", func(m *pluginpb.Manifest) { m.PacketTypes[0].Name = "chat.leave" })}, "the core's own", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			if c.change != nil {
				c.change(&r.cfg)
				r.host.cfg.timing = r.cfg.timing
			}
			r.install(r.bundled, "text", c.plan)
			r.serve()
			s := r.wantState("text", StateBroken)
			if !strings.Contains(s.Error, c.why) {
				t.Errorf("error lacks %q: %s", c.why, s.Error)
			}
		})
	}
}

func TestHostServesWhileStarting(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.install(r.bundled, "text", plan{mode: "ask-in-start"})
	r.serve()
	r.put("text", "one")
	r.wantBodies("one")
	if s := r.status("text"); s.Crashes != 0 {
		t.Errorf("%+v", s)
	}
}

func TestRestart(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.install(r.bundled, "text", plan{})
	r.serve()
	first := r.mustInvoke("text", "slow", "")
	if _, err := r.host.Restart(t.Context(), "text"); err != nil {
		t.Fatal(err)
	}
	r.wantState("text", StateIdle) // starts when needed
	if second := r.mustInvoke("text", "slow", ""); second == first {
		t.Error("the same process after a restart")
	}
	if s := r.status("text"); s.Crashes != 0 {
		t.Error("a restart was counted as a crash")
	}
}

func TestNoisyPlugin(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.install(r.bundled, "text", plan{})
	r.serve()
	// First, while there is room for lines: what is printed uses it up.
	r.mustInvoke("text", "log", "")
	// Log requests have no answer: they may still be on their way.
	r.eventually("lines in the log", func() bool { return strings.Contains(r.logged(), "spam") })
	r.mustInvoke("text", "print", "") // more than any pipe holds
	r.mustInvoke("text", "log", "")
	r.mustInvoke("text", "print", "") // behind all of them
	if n := strings.Count(r.logged(), "spam"); n > 2000 {
		t.Errorf("%d of 5000 lines were logged", n)
	}
}

func TestCrashCounting(t *testing.T) {
	t.Parallel()
	const first, most = 200 * time.Millisecond, 30 * time.Second
	start := time.Now()
	type crash struct {
		at      time.Duration
		excuse  bool
		wait    time.Duration
		tooMany bool
	}
	ms := time.Millisecond
	for _, c := range []struct {
		name    string
		crashes []crash
	}{
		{"five at once", []crash{{wait: 200 * ms}, {wait: 400 * ms}, {wait: 800 * ms}, {wait: 1600 * ms}, {wait: 3200 * ms, tooMany: true}}},
		{"five in eleven minutes", []crash{{wait: 200 * ms}, {wait: 400 * ms}, {wait: 800 * ms}, {wait: 1600 * ms}, {at: 10 * time.Minute, wait: 200 * ms}}},
		{"sliding", []crash{
			{wait: 200 * ms}, {at: 3 * time.Minute, wait: 400 * ms}, {at: 6 * time.Minute, wait: 800 * ms}, {at: 9 * time.Minute, wait: 1600 * ms},
			{at: 12 * time.Minute, wait: 1600 * ms}, {at: 12 * time.Minute, wait: 3200 * ms, tooMany: true},
		}},
		{"a packet's fault", []crash{{wait: 200 * ms}, {wait: 400 * ms}, {excuse: true, wait: 200 * ms}, {wait: 200 * ms}, {wait: 400 * ms}, {excuse: true, wait: 200 * ms}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var k crashes
			for i, x := range c.crashes {
				if x.excuse {
					k.excuse()
				}
				wait, tooMany := k.add(start.Add(x.at), first, most)
				if wait != x.wait || tooMany != x.tooMany {
					t.Errorf("crash %d: wait %s, too many %v; want %s, %v", i+1, wait, tooMany, x.wait, x.tooMany)
				}
			}
			if k.total != uint32(len(c.crashes)) {
				t.Errorf("%d counted in all", k.total)
			}
		})
	}
}

func TestLines(t *testing.T) {
	t.Parallel()
	l := newLines(newRig(t).cfg.Log)
	for range 30 {
		_, _ = l.Write([]byte("old\n"))
	}
	for i := range 19 {
		_, _ = l.Write([]byte{byte('a' + i)})
		_, _ = l.Write([]byte("\x1b[31m\n"))
	}
	_, _ = l.Write([]byte(strings.Repeat("x", 5000) + "\nend"))
	got := strings.Split(l.last(), "\n")
	if len(got) != 21 || got[0] != "a[31m" || len(got[19]) != maxLine || got[20] != "end" {
		t.Errorf("%d lines: %.40q", len(got), got)
	}
}

func TestParseStat(t *testing.T) {
	t.Parallel()
	pid, p, ok := parseStat([]byte("42 (a) b) c) S 7 42 42 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 9 0 12345 1000000 300 18446744073709551615 1 1"))
	if !ok || pid != 42 || p.parent != 7 || p.cpu != 2*time.Second || p.resident == 0 {
		t.Errorf("%d %+v %v", pid, p, ok)
	}
	for _, bad := range []string{"", "42", "x (y) S", "42 (y) S 1 2 3"} {
		if _, _, ok := parseStat([]byte(bad)); ok {
			t.Errorf("%q was taken", bad)
		}
	}
	u := usage{1: {}, 10: {parent: 1, cpu: 1}, 11: {parent: 10, cpu: 2}, 12: {parent: 11, cpu: 4}, 13: {parent: 1, cpu: 8}}
	if cpu, _ := u.of(10); cpu != 7 {
		t.Errorf("10 and below used %d", cpu)
	}
}

func (r *rig) logged() string {
	w := r.logTo
	w.mu.Lock()
	defer w.mu.Unlock()
	return r.log.String()
}

func TestDeskBounds(t *testing.T) {
	t.Parallel()
	d := newDesk()
	event := &pluginpb.Event{Topic: "presence"}
	n := 0
	for d.add("", liveItem{event: event}) {
		n++
	}
	if n != maxLive {
		t.Errorf("%d events were taken", n)
	}
	chat, _, items, ok := d.take(t.Context())
	if chat != "" || len(items) != maxLive || !ok {
		t.Errorf("%q %d %v", chat, len(items), ok)
	}
	if !d.add("alice-bob", liveItem{event: event}) {
		t.Error("no room after the desk was emptied")
	}
	d.mark("")
	if got, _, _, _ := d.take(t.Context()); got != "alice-bob" {
		t.Errorf("%q was given while another worker has it", got)
	}
	d.done("", false)
	if got, dirty, _, _ := d.take(t.Context()); got != "" || !dirty {
		t.Errorf("mark made meanwhile was lost: %q %v", got, dirty)
	}
	d.done("", false)
	d.done("alice-bob", false)
	if d.waiting() {
		t.Error("work is left")
	}
}

func TestOutgoingIsCut(t *testing.T) {
	t.Parallel()
	o := newOutgoing()
	big := func(n int) *pluginpb.HookRequest {
		return &pluginpb.HookRequest{Hook: &pluginpb.HookRequest_Invoke{Invoke: &pluginpb.InvokeRequest{Text: strings.Repeat("x", n)}}}
	}
	var sizes []int
	for range 3 {
		if err := o.put(t.Context(), big(2000), nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := o.put(t.Context(), nil, &pluginpb.HostResponse{Id: 1}); err != nil {
		t.Fatal(err)
	}
	for m := o.take(5000); m != nil; m = o.take(5000) {
		sizes = append(sizes, 10*len(m.GetRequests())+len(m.GetResponses()))
	}
	if !slices.Equal(sizes, []int{21, 10}) {
		t.Errorf("messages of %v", sizes)
	}
	if o.bytes != 0 {
		t.Errorf("%d bytes are still counted", o.bytes)
	}
}

// TestKnown: what plugins own is known when Known says so, on the first start and
// later; one that cannot say it is not waited for.
func TestKnown(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.install(r.bundled, "poll", plan{})
	r.install(r.bundled, "bad", plan{mode: "exit"})
	for range 2 {
		r.serve()
		select {
		case <-r.host.Known():
		case <-time.After(time.Minute):
			t.Fatal("it never was")
		}
		if _, _, ok := r.host.MaxContent("poll"); !ok {
			t.Error("nobody owns a plugin's type")
		}
		r.stop()
		var err error
		r.host, err = New(r.cfg)
		must(t, err)
	}
}
