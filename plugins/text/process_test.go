package text_test

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/parley-chat/parley/plugins/sdk/plugintest"
)

// The real binary, over go-plugin's handshake.
func TestProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "parley-plugin-text")
	// As long as it takes: where nothing is built yet, all that it uses is.
	build := exec.CommandContext(t.Context(), "go", "build", "-o", path, "./parley-plugin-text")
	build.Env = append(build.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	net := plugintest.NewNetwork(t)
	alice := net.Host(plugintest.Config{Path: path, User: "alice", Bundled: true})
	bob := net.Host(plugintest.Config{Path: path, User: "bob", Bundled: true})
	chat := net.Chat(alice, bob)
	m := send(t, alice, chat, "Teh?")
	alice.Restart()
	if _, err := alice.Invoke(plugintest.Call{Action: "edit", Chat: chat, Message: m, Text: "Tea?"}); err != nil {
		t.Fatal(err)
	}
	send(t, bob, chat, "Yes")
	wantBoth(t, alice, bob, chat, "Tea?*|Yes")
}
