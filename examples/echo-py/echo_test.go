// Package echopy tests the example: a plugin in Python, against the host of
// plugintest, with no Go on the plugin's side.
package echopy

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"

	"github.com/parley-chat/parley/plugins/sdk"
	"github.com/parley-chat/parley/plugins/sdk/plugintest"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

const python = "/usr/bin/python3"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// build builds the plugin, unless this machine cannot run it.
func build(t *testing.T) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, python, "-c", "import grpc, google.protobuf").CombinedOutput(); err != nil {
		t.Skipf("%s has no gRPC (apt-get install python3-grpcio python3-protobuf): %v\n%s", python, err, out)
	}
	return buildIn(ctx, t, ".")
}

func buildIn(ctx context.Context, t *testing.T, source string) string {
	t.Helper()
	folder := t.TempDir()
	cmd := exec.CommandContext(ctx, source+"/build.sh", folder) //nolint:gosec // a folder of the test
	proto, err := filepath.Abs("../../protocol/pluginpb")
	if err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(os.Environ(), "PROTO_DIR="+proto)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build.sh: %v\n%s", err, out)
	}
	return filepath.Join(folder, "parley-plugin-echo")
}

func pair(t *testing.T) (alice, bob *plugintest.Host, chat packet.ChatID) {
	t.Helper()
	path := build(t)
	net := plugintest.NewNetwork(t)
	alice, bob = net.Host(plugintest.Config{Path: path, User: "alice"}), net.Host(plugintest.Config{Path: path, User: "bob"})
	return alice, bob, net.Chat(alice, bob)
}

func bodies(h *plugintest.Host, chat packet.ChatID) string {
	var shown []string
	for _, m := range h.Messages(chat) {
		shown = append(shown, string(m.Author)+": "+m.Body)
	}
	return strings.Join(shown, "|")
}

func TestEcho(t *testing.T) {
	alice, bob, chat := pair(t)
	result, err := alice.Invoke(plugintest.Call{Action: "echo", Chat: chat, Text: "Hello, 世界"})
	if err != nil {
		t.Fatal(err)
	}
	var value struct{ ID string }
	if err := json.Unmarshal(result.Value, &value); err != nil || value.ID != result.ID.String() {
		t.Errorf("result %s (%v)", result.Value, err)
	}
	alice.Restart()
	bob.Restart()
	if _, err := bob.Invoke(plugintest.Call{Action: "echo", Chat: chat, Text: "Hello yourself"}); err != nil {
		t.Fatal(err)
	}
	for _, h := range []*plugintest.Host{alice, bob} {
		if got := bodies(h, chat); got != "alice: Hello, 世界|bob: Hello yourself" {
			t.Errorf("%s sees %q", h.User(), got)
		}
	}
}

func TestBadInput(t *testing.T) {
	alice, _, chat := pair(t)
	for _, text := range []string{"", "  ", strings.Repeat("é", 40<<10)} {
		_, err := alice.Invoke(plugintest.Call{Action: "echo", Chat: chat, Text: text})
		var e *sdk.Error
		if !errors.As(err, &e) || e.Code != codes.InvalidArgument {
			t.Errorf("%.20q: %v", text, err)
		}
	}
	from := func(content string) sdk.Packet {
		return alice.Packet(chat, "bob", "org.example.echo/echo", []byte(content))
	}
	got := alice.Receive(from("good"), from("caf\xe9"), from(""), from("better"))
	if got[0].Refused != "" || !strings.Contains(got[1].Refused, "UTF-8") || got[2].Refused == "" || got[3].Refused != "" {
		t.Errorf("outcomes %+v", got)
	}
	if got := bodies(alice, chat); got != "bob: good|bob: better" {
		t.Errorf("alice sees %q", got)
	}
}

// The hash of the file is what Parley pins: the same sources must give it again.
func TestBuildIsReproducible(t *testing.T) {
	first, err := os.ReadFile(build(t))
	if err != nil {
		t.Fatal(err)
	}
	second, err := os.ReadFile(build(t))
	if err != nil {
		t.Fatal(err)
	}
	if string(first) != string(second) {
		t.Error("two builds differ")
	}
}

func TestStartedByHand(t *testing.T) {
	path := build(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, path).CombinedOutput() //nolint:gosec // built by this test
	if err == nil || !strings.Contains(string(out), "parley-plugin-echo 1.0.0, a plugin of Parley") {
		t.Errorf("%v\n%s", err, out)
	}
}

// A plugin whose core is gone does not stay.
func TestEndsWhenItsInputCloses(t *testing.T) {
	path := build(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	folder := t.TempDir()
	cmd := exec.CommandContext(ctx, path) //nolint:gosec // built by this test
	cmd.Env = append(os.Environ(), "PARLEY_PLUGIN=parley", "PLUGIN_UNIX_SOCKET_DIR="+folder)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := stdin.Close(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v", err)
	}
	if left, _ := os.ReadDir(folder); len(left) > 0 || !strings.HasPrefix(out.String(), "1|1|unix|"+folder) {
		t.Errorf("printed %q, left %d files", out.String(), len(left))
	}
}

// What authors take over from parley.py and echo itself does not need: requests
// to the core, events, updates, cancelling, failures.
func TestProbe(t *testing.T) {
	build(t) // skips where nothing can be built
	source := t.TempDir()
	if err := os.CopyFS(source, os.DirFS(".")); err != nil {
		t.Fatal(err)
	}
	probe, err := os.ReadFile("testdata/probe.py")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(source, "src", "echo.py"), probe, 0o600); err != nil {
		t.Fatal(err)
	}
	h := plugintest.New(t, plugintest.Config{Path: buildIn(t.Context(), t, source)})
	chat := h.Chat("bob")
	value := func(key string) string { return string(h.Values()[key]) }

	from := func(content string) sdk.Packet {
		return h.Packet(chat, "bob", "org.example.echo/echo", []byte(content))
	}
	got := h.Receive(from("a"), from("b"), from("fail"), from("c"))
	if value("all") != "abc" || got[2].Err == nil || !strings.Contains(got[2].Err.Error(), "cannot") || got[3].Err != nil {
		t.Errorf("value %q, outcomes %+v", value("all"), got)
	}
	h.Set("tea", "black")
	if value("tea") != "black" {
		t.Errorf("tea is %q", value("tea"))
	}
	if log := strings.Join(h.Log(), "\n"); !strings.Contains(log, "WARN user alice drinks green") || !strings.Contains(log, "ValueError: cannot") {
		t.Errorf("log:\n%s", log)
	}
	result, err := h.Invoke(plugintest.Call{Action: "count"})
	if err != nil || string(result.Value) != "counted" || len(result.Updates) != 3 || value("applied") != "yes" {
		t.Errorf("result %+v (%v)", result, err)
	}
	var e *sdk.Error
	if _, err := h.Invoke(plugintest.Call{Action: "crash"}); !errors.As(err, &e) || !strings.Contains(e.Text, "crashed") {
		t.Errorf("crash: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	began := 0
	_, err = h.InvokeContext(ctx, plugintest.Call{Action: "count", Text: "forever", Update: func(*pluginpb.InvokeUpdate) {
		if began++; began == 5 {
			cancel()
		}
	}})
	if !errors.As(err, &e) || e.Code != codes.Canceled {
		t.Errorf("cancelled: %v", err)
	}
}
