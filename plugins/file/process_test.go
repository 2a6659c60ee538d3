package file_test

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/parley-chat/parley/plugins/file"
	"github.com/parley-chat/parley/plugins/sdk/plugintest"
)

// The real binary, over go-plugin's handshake.
func TestProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "parley-plugin-file")
	// As long as it takes: where nothing is built yet, all that it uses is.
	build := exec.CommandContext(t.Context(), "go", "build", "-o", path, "./parley-plugin-file")
	build.Env = append(build.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	net := plugintest.NewNetwork(t)
	alice, bob := config(t, "alice"), config(t, "bob")
	alice.Path, bob.Path = path, path
	w := &world{t: t, dir: t.TempDir(), alice: net.Host(alice), bob: net.Host(bob)}
	w.chat = net.Chat(w.alice, w.bob)
	m := w.send("A cat", w.write("cat.jpg", photo(t)))[0]
	w.bob.Restart()
	w.must(w.bob, "accept", m)
	w.bob.SettleBlob(blobOf(t, w.bob, m), done, "")
	w.want(w.bob, m, file.Received)
	w.wantMarks(m, `bob {"state":"received"}`)
}
