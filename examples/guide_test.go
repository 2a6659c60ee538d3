// Package examples tests what the documentation tells authors of plugins to do.
package examples

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
	"time"

	"github.com/parley-chat/parley/internal/freeport"
	"github.com/parley-chat/parley/plugins/sdk/plugintest"
	"github.com/parley-chat/parley/protocol/packet"
)

// box is a box of commands; its first line says where it is run: "# in any
// folder" or "# in the folder dice".
var box = regexp.MustCompile("(?s)```sh\n# in (?:any folder|the folder ([a-z]+))[^\n]*\n(.*?)```")

// reader does what the guide says.
type reader struct {
	ctx    context.Context //nolint:containedctx // of one test
	folder string
	env    []string
}

// run runs commands, and ends what they left behind when they failed.
func (r reader) run(where, commands string) ([]byte, error) {
	cmd := exec.CommandContext(r.ctx, "sh", "-eu", "-c", commands)
	cmd.Dir, cmd.Env = filepath.Join(r.folder, where), r.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	end := func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.Cancel, cmd.WaitDelay = end, 10*time.Second
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.Process != nil {
		_ = end()
	}
	return out, err
}

// leave ends the cores of a box that failed in the middle.
func (r reader) leave() {
	for _, name := range []string{"alice", "bob"} {
		_, _ = r.run("", "PARLEY_HOME=$PWD/dice/try parley --profile "+name+" daemon stop")
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	address, err := freeport.Local(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return address
}

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
	if len(boxes) != 5 {
		t.Fatalf("found %d boxes in the guide, want 5", len(boxes))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	const python = "/usr/bin/python3"
	if out, err := exec.CommandContext(ctx, python, "-c", "import grpc, google.protobuf").CombinedOutput(); err != nil {
		t.Skipf("%s has no gRPC (apt-get install python3-grpcio python3-protobuf): %v\n%s", python, err, out)
	}
	if out, err := exec.CommandContext(ctx, "make", "--no-print-directory", "-C", repository, "build").CombinedOutput(); err != nil { //nolint:gosec // our own
		t.Fatalf("build: %v\n%s", err, out)
	}
	folder := t.TempDir()
	r := reader{ctx: ctx, folder: folder, env: append(os.Environ(), "PARLEY="+repository, "DIRECTORY="+freeAddress(t),
		"PATH="+filepath.Join(repository, "bin")+":"+os.Getenv("PATH"), "PARLEY_LISTEN=127.0.0.1:0", "PARLEY_KEY=file", "PARLEY_PROFILE=")}
	defer r.leave()
	for _, b := range boxes {
		if out, err := r.run(b[1], b[2]); err != nil {
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
