// Package examples tests what the documentation tells authors of plugins to do.
package examples

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/parley-chat/parley/plugins/sdk/plugintest"
	"github.com/parley-chat/parley/protocol/packet"
)

// box is a box of commands; its first line says where it is run: "# in any
// folder" or "# in the folder dice".
var box = regexp.MustCompile("(?s)```sh\n# in (?:any folder|the folder ([a-z]+))[^\n]*\n(.*?)```")

// The guide's commands lead to two plugins that work.
func TestPluginGuide(t *testing.T) {
	if testing.Short() {
		t.Skip("builds two plugins")
	}
	repository, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	guide, err := os.ReadFile(filepath.Join(repository, "docs", "plugin-guide.md"))
	if err != nil {
		t.Fatal(err)
	}
	boxes := box.FindAllStringSubmatch(string(guide), -1)
	if len(boxes) != 4 {
		t.Fatalf("found %d boxes in the guide, want 4", len(boxes))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	const python = "/usr/bin/python3"
	if out, err := exec.CommandContext(ctx, python, "-c", "import grpc, google.protobuf").CombinedOutput(); err != nil {
		t.Skipf("%s has no gRPC (apt-get install python3-grpcio python3-protobuf): %v\n%s", python, err, out)
	}
	folder := t.TempDir()
	for _, b := range boxes {
		cmd := exec.CommandContext(ctx, "sh", "-eu", "-c", b[2]) //nolint:gosec // our own guide
		cmd.Dir = filepath.Join(folder, b[1])
		cmd.Env = append(os.Environ(), "PARLEY="+repository)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s\n%s", err, b[2], out)
		}
	}
	for _, c := range []struct{ path, action, text string }{
		{"dice/build/parley-plugin-dice", "roll", "2d6"},
		{"shout/build/parley-plugin-shout", "shout", "hello"},
	} {
		t.Run(c.action, func(t *testing.T) {
			net := plugintest.NewNetwork(t)
			path := filepath.Join(folder, c.path)
			host := func(user packet.UserID) *plugintest.Host { return net.Host(plugintest.Config{Path: path, User: user}) }
			alice, bob := host("alice"), host("bob")
			chat := net.Chat(alice, bob)
			if _, err := alice.Invoke(plugintest.Call{Action: c.action, Chat: chat, Text: c.text}); err != nil {
				t.Fatal(err)
			}
			said, seen := alice.Messages(chat), bob.Messages(chat)
			if len(said) != 1 || len(seen) != 1 || said[0].Body != seen[0].Body || c.action == "shout" && seen[0].Body != "HELLO" {
				t.Errorf("alice has %+v, bob %+v", said, seen)
			}
		})
	}
}
