package emoji_test

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/parley-chat/parley/plugins/emoji"
	"github.com/parley-chat/parley/plugins/sdk/plugintest"
)

// The real binary, over go-plugin's handshake.
func TestProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "parley-plugin-emoji")
	// As long as it takes: where nothing is built yet, all that it uses is.
	build := exec.CommandContext(t.Context(), "go", "build", "-o", path, "./parley-plugin-emoji")
	build.Env = append(build.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	net := plugintest.NewNetwork(t)
	alice := net.Host(plugintest.Config{Path: path, User: "alice", Bundled: true})
	bob := net.Host(plugintest.Config{Path: path, User: "bob", Bundled: true})
	chat := net.Chat(alice, bob)
	hosts := []*plugintest.Host{alice, bob}
	m := message(chat, "bob", hosts...)
	react(t, alice, chat, m, "react", ":thumbsup:")
	react(t, bob, chat, m, "react", "🎉")
	alice.Restart()
	react(t, alice, chat, m, "react", "❤")
	react(t, alice, chat, m, "unreact", "👍")
	want(t, hosts, m, "alice ❤️, bob 🎉")
	// What was used is remembered over a crash.
	var got struct{ Recent []emoji.Item }
	ask(t, alice, "recents", "", nil, &got)
	if len(got.Recent) != 2 || got.Recent[0].Emoji != "❤️" || got.Recent[1].Code != "thumbsup" {
		t.Errorf("recent: %+v", got.Recent)
	}
}
