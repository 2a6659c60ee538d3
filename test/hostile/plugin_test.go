package hostile

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/parley-chat/parley/core/client"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// buildPlugin builds the plugin that does as it is told; see its sources.
func buildPlugin(t *testing.T) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "plugin")
	out, err := exec.Command("go", "build", "-ldflags=-s -w", "-o", path, "../../core/host/internal/testplugin").CombinedOutput()
	if err != nil {
		t.Fatalf("build the plugin: %v\n%s", err, out)
	}
	b, err := os.ReadFile(path)
	must(t, err)
	return b
}

// drop puts a plugin into a person's folder and has the person enable it.
func (p *someone) drop(program []byte, name, mode string) {
	p.t.Helper()
	kind := "org.example." + name + "/item"
	m := &pluginpb.Manifest{
		Name: name, Version: "1.0.0", ApiVersion: 1, Summary: "Does harm.",
		PacketTypes:  []*pluginpb.PacketType{{Name: kind}},
		MessageKinds: []*pluginpb.MessageKind{{Name: kind, Presentation: pluginpb.Presentation_PRESENTATION_TEXT}},
	}
	for _, action := range []string{"send", "slow", "read", "write", "dial", "environment", "hog"} {
		m.Actions = append(m.Actions, &pluginpb.Action{Name: action, Label: action, Places: []pluginpb.Place{pluginpb.Place_PLACE_HIDDEN}})
	}
	manifest, err := protojson.Marshal(m)
	must(p.t, err)
	config, err := json.Marshal(map[string]any{"manifest": json.RawMessage(manifest), "mode": mode})
	must(p.t, err)
	folder := filepath.Join(p.home, "plugins")
	must(p.t, os.MkdirAll(folder, 0o700))
	file := slices.Concat(program, config, binary.BigEndian.AppendUint32(nil, uint32(len(config)))) //nolint:gosec // small
	must(p.t, os.WriteFile(filepath.Join(folder, "parley-plugin-"+name), file, 0o700))              //nolint:gosec // a program
	p.until(name+" is found", func() bool { return p.plugin(name) != nil })
	got, err := p.client.SetPlugin(p.t.Context(), &controlpb.SetPluginRequest{Name: name, Enabled: true})
	must(p.t, err)
	if !got.GetConfined() {
		p.t.Skip("bubblewrap does not work here")
	}
}

func (p *someone) plugin(name string) *controlpb.Plugin {
	p.t.Helper()
	resp, err := p.client.ListPlugins(p.t.Context(), &controlpb.ListPluginsRequest{})
	must(p.t, err)
	for _, plugin := range resp.GetPlugins() {
		if plugin.GetName() == name {
			return plugin
		}
	}
	return nil
}

func (p *someone) invoke(plugin, action, text, with string) (string, error) {
	p.t.Helper()
	r, err := p.client.InvokeAction(p.t.Context(), plugin, &pluginpb.InvokeRequest{
		Invocation: client.NewInvocation(), Action: action, Text: text, Chat: string(chatOf(p.name, with)),
	}, nil)
	return string(r.GetResult()), err
}

// cli runs parley as a person types it.
func (p *someone) cli(args ...string) string {
	p.t.Helper()
	cmd := exec.CommandContext(p.t.Context(), "../../bin/parley", args...)
	cmd.Env = append(os.Environ(), "PARLEY_HOME="+p.home, "PARLEY_PROFILE=")
	out, err := cmd.CombinedOutput()
	if err != nil {
		p.t.Fatalf("parley %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// TestConfinedPluginGetsNoSecret: not the key, not the database, not the control
// socket, not the user's files, not another plugin's.
func TestConfinedPluginGetsNoSecret(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.serve()
	alice, bob := w.person("alice"), w.person("bob")
	w.befriend(alice, bob)
	w.chat(alice, bob, "secret")
	bob.drop(buildPlugin(t), "evil", "")
	private := filepath.Join(w.folder, "diary")
	must(t, os.WriteFile(private, []byte("sesame"), 0o600))
	secrets := []string{private, fmt.Sprintf("/proc/%d/environ", bob.core.PID()), fmt.Sprintf("/proc/%d/mem", bob.core.PID()), "/etc/shadow"}
	var sockets []string
	kinds := map[string]int{}
	err := filepath.WalkDir(bob.home, func(path string, e os.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist): // a plugin that starts removes what it started with
			return nil
		case err != nil || strings.Contains(path, "evil"):
		case e.Type()&os.ModeSocket != 0:
			sockets = append(sockets, path)
		case e.Type().IsRegular():
			secrets = append(secrets, path)
			kinds[filepath.Base(path)]++
		}
		return err
	})
	must(t, err)
	if kinds["parley.db"] == 0 || kinds["key.json"] == 0 || !slices.ContainsFunc(sockets, func(s string) bool { return filepath.Base(s) == "control.sock" }) {
		t.Fatalf("bob has %v and the sockets %v: the test would miss the point", kinds, sockets)
	}
	for _, path := range secrets {
		got, err := bob.invoke("evil", "read", path, "alice")
		must(t, err)
		if !strings.HasPrefix(got, " ") || strings.HasSuffix(got, "<nil>") {
			t.Errorf("%s can be read: %.80q", path, got)
		}
		got, err = bob.invoke("evil", "write", path, "alice")
		must(t, err)
		if after, err := os.ReadFile(path); got == "<nil>" && err == nil && string(after) == "x" {
			t.Errorf("%s can be written", path)
		}
	}
	for _, path := range sockets {
		c, err := net.Dial("unix", path)
		if err == nil {
			_ = c.Close()
		}
		if got, err := bob.invoke("evil", "dial", path, "alice"); err != nil || got == "<nil>" {
			t.Errorf("%s can be reached: %s %v", path, got, err)
		}
	}
	if got, err := bob.invoke("evil", "dial", w.address, "alice"); err != nil || got == "<nil>" {
		t.Errorf("the network can be reached: %s %v", got, err)
	}
	t.Logf("%d files and %d sockets were out of reach", len(secrets), len(sockets))
	w.chat(alice, bob, "still")
}

// TestPluginsThatRage: one floods with requests, one with noise, one takes
// memory, one is killed by a packet; text goes on, and people see what happened.
func TestPluginsThatRage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.serve()
	alice, bob := w.person("alice"), w.person("bob")
	w.befriend(alice, bob)
	w.chat(alice, bob, "before")
	program := buildPlugin(t)
	alice.drop(program, "evil", "")
	for name, mode := range map[string]string{"evil": "", "loud": "rage-noise", "greedy": "rage-requests", "mad": "die-after-start"} {
		bob.drop(program, name, mode)
	}
	noticed := bob.notices()
	for _, name := range []string{"loud", "greedy", "mad"} {
		_, err := bob.invoke(name, "slow", "", "alice")
		if err != nil && name != "mad" {
			t.Fatal(err)
		}
	}
	w.chat(alice, bob, "while they rage")
	_, err := alice.invoke("evil", "send", "crash:x", "bob")
	must(t, err)
	w.chat(bob, alice, "while evil is killed")
	w.until("the packet is set aside", func() bool { return bob.plugin("evil").GetSetAside() == 1 })
	w.until("bob is told", func() bool {
		return noticed("plugin:evil", "A packet of alice", "set aside", "crashed the plugin evil 3 times")
	})
	w.until("mad is given up", func() bool {
		return bob.plugin("mad").GetState() == controlpb.PluginState_PLUGIN_STATE_BROKEN
	})
	// What comes after the packet is handled.
	_, err = alice.invoke("evil", "send", "harmless", "bob")
	must(t, err)
	w.until("evil goes on", func() bool { return slices.Contains(bob.bodies("alice"), "harmless") })
	w.chat(alice, bob, "after all")
	shown := bob.cli("plugins")
	for name, words := range map[string]string{"evil": "1 message set aside", "mad": "crashed 5 times"} {
		if !slices.ContainsFunc(strings.Split(shown, "\n"), func(line string) bool { return strings.HasPrefix(line, name) && strings.Contains(line, words) }) {
			t.Errorf("%s is not said to have %q:\n%s", name, words, shown)
		}
	}
	if text := bob.plugin("text"); text.GetCrashes() != 0 || text.GetSetAside() != 0 {
		t.Errorf("text: %v", text)
	}
	if history := bob.cli("history", "alice"); strings.Count(history, "?") < 4 || strings.Contains(history, "crash:x") {
		t.Errorf("history:\n%s", history)
	}
	w.bounded("bob's core", bob.core)
}
