package host

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

func TestForeignPluginHasToBeEnabled(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.install(r.foreign, "poll", plan{})
	r.serve()
	const kind = "org.example.poll/item"
	r.put(kind, "one")
	s := r.list()[0]
	if s.State != StateNew || s.ProcessID != 0 || s.Bundled || len(s.SHA256) != 64 {
		t.Fatalf("found plugin: %+v", s)
	}
	if _, err := r.invoke("poll", "slow", ""); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "enable it first") {
		t.Errorf("action of a new plugin: %v", err)
	}
	if _, err := os.Stat(filepath.Join(r.cfg.DataFolder, "poll")); err == nil {
		t.Error("it was run before it was enabled")
	}
	if _, err := r.host.SetEnabled(t.Context(), "poll", true, strings.Repeat("0", 64)); !errors.Is(err, ErrFileChanged) {
		t.Errorf("enabling another hash: %v", err)
	}
	if _, err := r.host.SetEnabled(t.Context(), "poll", true, s.SHA256); err != nil {
		t.Fatal(err)
	}
	r.wantBodies("one")

	// Trust outlives the core.
	r.restart()
	r.put(kind, "two")
	r.wantBodies("one", "two")

	// Another file asks again, and the old one's process is gone.
	old := r.wantState("poll", StateRunning).ProcessID
	r.install(r.foreign, "poll", plan{salt: "other"})
	if s := r.list()[0]; s.State != StateChanged {
		t.Fatalf("changed plugin is %s", s.State)
	}
	r.eventually("the end of the old process", func() bool { return gone(old) })
	r.put(kind, "three")
	if _, err := r.invoke("poll", "slow", ""); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "changed") {
		t.Errorf("action of a changed plugin: %v", err)
	}
	if got := r.bodies(r.chat); len(got) != 2 {
		t.Errorf("a changed plugin handled %q", got)
	}
	_, err := r.host.SetEnabled(t.Context(), "poll", true, "")
	must(t, err)
	r.wantBodies("one", "two", "three")
}

func TestChangedFileIsNotRun(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.install(r.foreign, "poll", plan{})
	r.serve()
	r.list()
	_, err := r.host.SetEnabled(t.Context(), "poll", true, "")
	must(t, err)
	r.mustInvoke("poll", "slow", "")
	_, err = r.host.Restart(t.Context(), "poll")
	must(t, err)
	// Nobody looked into the folder since; the hash is checked all the same.
	r.install(r.foreign, "poll", plan{salt: "other"})
	if _, err := r.invoke("poll", "slow", ""); !errors.Is(err, ErrUnavailable) {
		t.Fatalf("action of a changed plugin: %v", err)
	}
	r.wantState("poll", StateChanged)
}

func TestBundledPluginIsUpdated(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.install(r.bundled, "text", plan{})
	r.serve()
	first := r.mustInvoke("text", "slow", "")
	r.install(r.bundled, "text", plan{salt: "newer", manifest: manifestOf("text", func(m *pluginpb.Manifest) { m.Version = "1.1.0" })})
	list, err := r.host.Plugins(t.Context())
	must(t, err)
	if len(list) != 1 {
		t.Fatal(list)
	}
	if second := r.mustInvoke("text", "slow", ""); second == first {
		t.Error("the old process still runs")
	}
	if v := r.status("text").Manifest.GetVersion(); v != "1.1.0" {
		t.Errorf("version %s", v)
	}
	must(t, os.Remove(filepath.Join(r.bundled, filePrefix+"text")))
	if list := r.list(); len(list) != 0 {
		t.Errorf("removed plugin is listed: %+v", list)
	}
	if _, err := r.invoke("text", "slow", ""); !errors.Is(err, ErrNoPlugin) {
		t.Errorf("action of a removed plugin: %v", err)
	}
}

func TestForeignPluginsMayNotOwnEverything(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change func(*pluginpb.Manifest)
		why    string
	}{
		{"type", func(m *pluginpb.Manifest) { m.PacketTypes[0].Name = "text" }, "reverse-DNS"},
		{"kind", func(m *pluginpb.Manifest) { m.MessageKinds[0].Name = "text" }, "reverse-DNS"},
		{"members", keepsMembers, "CAPABILITY_MEMBERS"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.install(r.foreign, "poll", plan{manifest: foreignManifest("poll", c.change)})
			r.serve()
			r.list()
			_, err := r.host.SetEnabled(t.Context(), "poll", true, "")
			must(t, err)
			if s := r.wantState("poll", StateBroken); !strings.Contains(s.Error, c.why) {
				t.Errorf("error lacks %q: %s", c.why, s.Error)
			}
		})
	}
}

func TestFilesThatAreNotRun(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		do   func(r *rig, path string) error
		why  string
	}{
		{"writable by others", func(_ *rig, path string) error { return os.Chmod(path, 0o757) }, "others can write"},
		{"writable by a group", func(_ *rig, path string) error { return os.Chmod(path, 0o775) }, "others can write"},
		{"not executable", func(_ *rig, path string) error { return os.Chmod(path, 0o644) }, "not executable"},
		{"of another user", func(_ *rig, path string) error { return os.Chown(path, 12345, -1) }, "belongs to another user"},
		{"a folder", func(_ *rig, path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o755)) }, "not a regular file"},
		{"a link to nowhere", func(_ *rig, path string) error {
			return errors.Join(os.Remove(path), os.Symlink("/nowhere", path))
		}, "leads nowhere"},
		{"a link to where others write", func(r *rig, path string) error {
			open := filepath.Join(filepath.Dir(r.bundled), "open")
			return errors.Join(os.Mkdir(open, 0o700), os.Chmod(open, 0o777), os.Rename(path, filepath.Join(open, "x")), os.Symlink(filepath.Join(open, "x"), path))
		}, "others can write to the folder"},
		{"in a folder others write", func(r *rig, _ string) error { return os.Chmod(r.bundled, 0o777) }, "others can write to the folder"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if os.Geteuid() != 0 && strings.Contains(c.name, "another user") {
				t.Skip("only root can give files away")
			}
			r := newRig(t)
			must(t, c.do(r, r.install(r.bundled, "text", plan{})))
			list := r.list()
			if len(list) != 1 || list[0].State != StateBroken || !strings.Contains(list[0].Error, c.why) {
				t.Errorf("want it broken with %q: %+v", c.why, list)
			}
			if _, err := r.host.SetEnabled(t.Context(), "text", true, ""); !errors.Is(err, ErrUnavailable) {
				t.Errorf("enabling it: %v", err)
			}
		})
	}
}

func TestLinkedPlugin(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	path := r.install(r.bundled, "text", plan{})
	elsewhere := filepath.Join(filepath.Dir(r.bundled), "real")
	must(t, os.Rename(path, elsewhere))
	must(t, os.Symlink(elsewhere, path))
	r.serve()
	r.put("text", "one")
	r.wantBodies("one")
	if s := r.status("text"); s.Path != elsewhere {
		t.Errorf("path %s, not that of the file", s.Path)
	}
}

func TestFolders(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	must(t, os.Remove(r.foreign))
	r.install(r.bundled, "text", plan{})
	must(t, os.WriteFile(filepath.Join(r.bundled, filePrefix+"Bad.Name"), nil, 0o755))
	must(t, os.WriteFile(filepath.Join(r.bundled, "readme"), nil, 0o755))
	if list := r.list(); len(list) != 1 || list[0].Name != "text" {
		t.Errorf("%+v", list)
	}
	// That no plugin was dropped in yet is nothing to tell.
	if told := r.told(); len(told) != 0 {
		t.Errorf("told %q", told)
	}
	// Of two of one name the bundled one is taken, though its folder is named last.
	must(t, os.Mkdir(r.foreign, 0o700))
	r.install(r.foreign, "text", plan{})
	if list := r.list(); len(list) != 1 || !list[0].Bundled {
		t.Errorf("%+v", list)
	}
	if _, err := New(Config{}); err == nil {
		t.Error("an empty Config was taken")
	}
}

func TestMissingInstallation(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	must(t, os.RemoveAll(r.bundled))
	if list := r.list(); len(list) != 0 {
		t.Errorf("%+v", list)
	}
	r.wantNotice("plugins: The folder of Parley's own plugins, " + r.bundled + ", is missing")
	r.list()
	if told := r.told(); len(told) != 1 {
		t.Errorf("told %d times: %q", len(told), told)
	}
}

func TestOwners(t *testing.T) {
	t.Parallel()
	own := func(name string, bundled bool, at int64, types ...string) claim {
		m := &pluginpb.Manifest{Name: name}
		for _, t := range types {
			m.PacketTypes = append(m.PacketTypes, &pluginpb.PacketType{Name: t, MaxContent: 10, OpensChat: true})
		}
		return claim{name: name, bundled: bundled, enabledAt: at, manifest: m}
	}
	reg, losers := settle([]claim{
		own("late", false, 9, "a/x", "a/y"), own("early", false, 3, "a/y"), own("thief", false, 1, "text", "a/z"), own("text", true, 100, "text"), own("after", false, 10, "a/x"),
	})
	var names []string
	for name := range losers {
		names = append(names, name)
	}
	slices.Sort(names)
	if !slices.Equal(names, []string{"late", "thief"}) {
		t.Errorf("losers are %q", losers)
	}
	for kind, want := range map[packet.Type]string{"text": "text", "a/y": "early", "a/x": "after", "a/z": ""} {
		if got := reg.types[kind].plugin; got != want {
			t.Errorf("%s belongs to %q, not %q", kind, got, want)
		}
	}
	if o := reg.types["text"]; o.max != 10 || !o.opensChat {
		t.Errorf("%+v", o)
	}
	if !strings.Contains(losers["thief"], "belong to the plugin text") {
		t.Error(losers)
	}
}

func TestConflict(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	rival := func(m *pluginpb.Manifest) { m.PacketTypes[0].Name = "org.example.poll/item" }
	r.install(r.foreign, "poll", plan{})
	r.install(r.foreign, "rival", plan{manifest: foreignManifest("rival", rival)})
	r.serve()
	r.list()
	for _, name := range []string{"poll", "rival"} {
		_, err := r.host.SetEnabled(t.Context(), name, true, "")
		must(t, err)
		r.eventually("manifest", func() bool { return r.status(name).Manifest != nil })
	}
	if s := r.wantState("rival", StateBroken); !strings.Contains(s.Error, "belong to the plugin poll") {
		t.Error(s.Error)
	}
	r.put("org.example.poll/item", "one")
	r.wantBodies("one")
	// It heals when the winner goes.
	_, err := r.host.SetEnabled(t.Context(), "poll", false, "")
	must(t, err)
	r.put("org.example.poll/item", "two")
	r.wantBodies("one", "two")
	if s := r.status("rival"); s.State != StateRunning {
		t.Errorf("%+v", s)
	}
}
