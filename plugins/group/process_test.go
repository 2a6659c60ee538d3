package group_test

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/parley-chat/parley/plugins/sdk/plugintest"
)

// The real binary, over go-plugin's handshake.
func TestProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "parley-plugin-group")
	// As long as it takes: where nothing is built yet, all that it uses is.
	build := exec.CommandContext(t.Context(), "go", "build", "-o", path, "./parley-plugin-group")
	build.Env = append(build.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	net := plugintest.NewNetwork(t)
	anna := net.Host(plugintest.Config{Path: path, User: "anna", Bundled: true})
	bob := net.Host(plugintest.Config{Path: path, User: "bob", Bundled: true})
	hosts := []*plugintest.Host{anna, bob}
	meet(hosts)
	chat := tea(t, hosts)
	bob.Restart()
	do(t, anna, plugintest.Call{Action: "role", Chat: chat, Args: map[string]string{"user": "bob", "role": "owner"}})
	do(t, bob, plugintest.Call{Action: "remove", Chat: chat, Text: "anna"})
	wantAll(t, chat, "bob owner", anna, bob)
}
