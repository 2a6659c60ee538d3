package e2e

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/parley-chat/parley/internal/freeport"
)

// shims stand in for what changes the machine: they leave owners alone, and
// systemctl starts what the unit names.
var shims = map[string]string{
	"useradd": "exit 0",
	"sudo":    `[ "$1" != -u ] || shift 2; exec "$@"`,
	"install": `n=$#
while [ $n -gt 0 ]; do
	n=$((n - 1)); arg=$1; shift
	case $arg in
	-o | -g) shift; n=$((n - 1)) ;;
	*) set -- "$@" "$arg" ;;
	esac
done
exec /usr/bin/install "$@"`,
	"journalctl": `cat "$ROOT/log"`,
	// Where nobody waits for orphans, one that has ended stays as a zombie.
	"systemctl": `started() { [ -e "$ROOT/pid" ] && state=$(sed 's/.*) //' "/proc/$(cat "$ROOT/pid")/stat" 2>/dev/null) && [ "${state%% *}" != Z ]; }
start() {
	run=$(sed -n "s#^ExecStart=/#$ROOT/#p" "$ROOT/etc/systemd/system/parley-server.service" | sed "s#/etc/#$ROOT/etc/#g; s#$ROOT$ROOT#$ROOT#g")
	rm -f "$ROOT/var/lib/parley-server/admin.sock"
	$run >>"$ROOT/log" 2>&1 &
	echo $! >"$ROOT/pid"
	while ! [ -S "$ROOT/var/lib/parley-server/admin.sock" ]; do
		started || { cat "$ROOT/log" >&2; exit 1; }
		sleep 0.05
	done
}
stop() {
	kill -TERM "$(cat "$ROOT/pid")"
	while started; do sleep 0.05; done
	rm "$ROOT/pid"
}
case $1 in
daemon-reload) ;;
enable) mkdir -p "$ROOT/var/lib/parley-server"; start ;;
start) start ;;
stop) stop ;;
restart) stop; start ;;
reload) kill -HUP "$(cat "$ROOT/pid")" ;;
*) echo "systemctl $1?" >&2; exit 1 ;;
esac`,
}

var (
	shellBox = regexp.MustCompile("(?s)```sh\n(.*?)```")
	// ourPath is an absolute path of the guide's, which lies in the test's root.
	ourPath = regexp.MustCompile(`(^|[\s"=])/(etc|var|usr/local)/`)
)

// The guide's commands, in their order, take a directory from its installation
// to its upgrade.
func TestOperatingGuide(t *testing.T) {
	t.Parallel()
	root, err := os.MkdirTemp("", "pop") // short: a socket lies below it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(root) })
	sandbox(t, root)
	guide, err := os.ReadFile("../../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	clients, metrics := freePort(t), freePort(t)
	inRoot := func(s string) string {
		s = ourPath.ReplaceAllString(s, "${1}"+root+"/$2/")
		return strings.NewReplacer(":7410", "127.0.0.1:"+clients, ":9410", ":"+metrics).Replace(s)
	}
	env := append(os.Environ(), "ROOT="+root, "PATH="+root+"/shims:"+root+"/usr/local/bin:"+os.Getenv("PATH"), "PARLEY_SERVER_CONFIG="+root+"/etc/parley-server/server.toml")
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	sh := func(script string) string {
		t.Helper()
		cmd := exec.CommandContext(ctx, "sh", "-eu", "-c", script)
		cmd.Dir, cmd.Env = root, env
		cmd.Stdin = strings.NewReader(password + "\n")
		// The server outlives the shell that starts it, and has its own files.
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s\n%s", err, script, out)
		}
		return string(out)
	}
	t.Cleanup(func() { // of what failed halfway
		_ = exec.Command("sh", "-c", "kill -KILL $(cat "+root+"/pid)").Run()
	})
	var printed strings.Builder
	boxes := shellBox.FindAllStringSubmatch(string(guide), -1)
	for _, box := range boxes {
		printed.WriteString(sh(inRoot(box[1])))
	}
	for _, says := range []string{"ok\n", "fingerprint=", "alice", "the choir", "Account alice is disabled", "The password of alice is set", "records are in", "records of", "parley-server "} {
		if !strings.Contains(printed.String(), says) {
			t.Errorf("the commands never printed %q", says)
		}
	}
	// What was restored and upgraded serves who was added at the beginning.
	if out := sh("PARLEY_HOME=$ROOT/alice PARLEY_KEY=file parley login alice@127.0.0.1:" + clients + " && parley-server user list"); !strings.Contains(out, "Alice Liddell") {
		t.Errorf("after the upgrade: %s", out)
	}
	sh("PARLEY_HOME=$ROOT/alice parley daemon stop || true; systemctl stop")

	// The hook takes both files over, and the server can use what it left.
	sh(`mkdir -p $ROOT/live && cp $ROOT/var/lib/parley-server/certificate.pem $ROOT/live/fullchain.pem && cp $ROOT/live/fullchain.pem $ROOT/live/privkey.pem
RENEWED_LINEAGE=$ROOT/live $ROOT/etc/letsencrypt/renewal-hooks/deploy/parley-server`)
	for _, name := range []string{"fullchain.pem", "privkey.pem"} {
		if info, err := os.Stat(filepath.Join(root, "etc/parley-server", name)); err != nil || info.Mode().Perm() != 0o640 {
			t.Errorf("%s is %v, %v", name, info, err)
		}
	}
	// Every setting that the guide shows is one.
	for _, box := range regexp.MustCompile("(?s)```toml\n(.*?)```").FindAllStringSubmatch(string(guide), -1) {
		file := filepath.Join(root, "shown.toml")
		if err := os.WriteFile(file, []byte("data = \""+root+"/var/lib/parley-server\"\n"+box[1]), 0o600); err != nil {
			t.Fatal(err)
		}
		sh("parley-server user list --config " + file)
	}
}

// sandbox makes the shims and what the guide finds in the repository.
func sandbox(t *testing.T, root string) {
	t.Helper()
	packaging, err := filepath.Abs("../../packaging")
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{"shims", "usr/local/bin", "etc/systemd/system", "var/lib", "var/backups"} {
		if err := os.MkdirAll(filepath.Join(root, folder), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for to, from := range map[string]string{"bin": binaries, "packaging": packaging, "usr/local/bin/parley": filepath.Join(binaries, "parley")} {
		if err := os.Symlink(from, filepath.Join(root, to)); err != nil {
			t.Fatal(err)
		}
	}
	for name, script := range shims {
		if err := os.WriteFile(filepath.Join(root, "shims", name), []byte("#!/bin/sh\nset -eu\n"+script+"\n"), 0o700); err != nil { //nolint:gosec // it is run
			t.Fatal(err)
		}
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	address, err := freeport.Local(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	return port
}
