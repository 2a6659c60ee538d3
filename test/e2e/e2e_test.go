// Package e2e tests Parley as people use it: the real programs, started as
// they are installed, on this machine's loopback addresses. What a test waits
// for is a condition that a user would notice.
package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/parley-chat/parley/internal/freeport"
)

// binaries is the folder of the programs under test.
var binaries string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	var err error
	if binaries, err = filepath.Abs("../../bin"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if out, err := exec.Command("make", "--no-print-directory", "-C", "../..", "build").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the programs: %v\n%s", err, out)
		return 1
	}
	if err := atOnce(4); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	remove, err := buildExamples()
	defer remove()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// atOnce has more tests run at once than there are processors, unless the command
// line says how many: some wait for a minute until silence on a link is noticed.
func atOnce(n int) error {
	flag.Parse()
	said := false
	flag.Visit(func(f *flag.Flag) { said = said || f.Name == "test.parallel" })
	if said || runtime.GOMAXPROCS(0) >= n {
		return nil
	}
	return flag.Set("test.parallel", strconv.Itoa(n))
}

func TestScripts(t *testing.T) {
	t.Parallel()
	root, err := os.MkdirTemp("", "pe2e") // short: sockets lie below it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(root) })
	testscript.Run(t, testscript.Params{
		Dir:         "testdata",
		WorkdirRoot: root,
		Setup:       setUp,
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"as":         cmdAs,
			"eventually": cmdEventually,
			"server":     cmdServer,
			"killcore":   cmdKillCore,
			"killplugin": cmdKillPlugin,
			"occupy":     cmdOccupy,
			"corrupt":    cmdCorrupt,
			"join":       cmdJoin,
			"befriend":   cmdBefriend,
			"smalldisk":  cmdSmallDisk,
			"fill":       cmdFill,
			"readonly":   cmdReadOnly,
			"latest":     cmdLatest,
			"offered":    cmdOffered,
			"vanishes":   cmdVanishes,
		},
		Condition: func(cond string) (bool, error) {
			switch cond {
			case "smalldisk":
				return canMount(), nil
			case "python-grpc":
				return pythonGRPC(), nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

func setUp(env *testscript.Env) error {
	address, err := freeport.Local(context.Background())
	if err != nil {
		return err
	}
	metrics, err := freeport.Local(context.Background())
	if err != nil {
		return err
	}
	env.Setenv("METRICS", metrics)
	env.Setenv("PATH", binaries+":"+os.Getenv("PATH"))
	env.Setenv("EXAMPLES", examples)
	env.Setenv("DIR", address)
	env.Setenv("LONG", strings.Repeat("too much for a full disk ", 2000))
	env.Setenv("PARLEY_KEY", "file")
	env.Setenv("PARLEY_LISTEN", "127.0.0.1:0")
	env.Setenv("XDG_RUNTIME_DIR", "")
	env.Values[scriptKey{}] = &script{}
	env.Defer(func() { endAll(env.WorkDir) })
	return nil
}

// scriptKey finds the script's own state.
type scriptKey struct{}

type script struct {
	server *exec.Cmd
}

// endAll ends the cores that the script started, by the process ids in their
// locks.
func endAll(work string) {
	locks, _ := filepath.Glob(filepath.Join(work, "*", "profiles", "*", "lock"))
	for _, lock := range locks {
		b, err := os.ReadFile(lock)
		if err != nil {
			continue
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
		if err != nil || !isCore(pid, work) {
			continue
		}
		_ = syscall.Kill(pid, syscall.SIGTERM)
		if !gone(pid, work) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
			gone(pid, work)
		}
	}
}

// isCore says whether a process is a core of the script with this folder. One that
// was killed leaves its number in its lock, which the system may have given to the
// core of another script since.
func isCore(pid int, work string) bool {
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil || !strings.HasPrefix(exe, binaries) {
		return false
	}
	env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	return err == nil && strings.Contains("\x00"+string(env), "\x00PARLEY_HOME="+work+"/")
}

func gone(pid int, work string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return poll(ctx, func() bool { return !isCore(pid, work) }) == nil
}

// poll asks again and again until done.
func poll(ctx context.Context, done func() bool) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}

// person sets the environment to that of one person: NAME, or NAME:PROFILE.
func person(ts *testscript.TestScript, who string) {
	name, profile, _ := strings.Cut(who, ":")
	ts.Setenv("PARLEY_HOME", ts.MkAbs(name))
	ts.Setenv("PARLEY_PROFILE", profile)
}

// cmdAs: as NAME ARGS... runs parley as one person.
func cmdAs(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: as NAME ARGS...")
	}
	person(ts, args[0])
	err := ts.Exec("parley", args[1:]...)
	if neg {
		if err == nil {
			ts.Fatalf("parley %s succeeded", strings.Join(args[1:], " "))
		}
		return
	}
	ts.Check(err)
}

const password = "correct horse battery"

// cmdJoin: join NAME... makes accounts of these names.
func cmdJoin(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: join NAME...")
	}
	for _, name := range args {
		ts.Setenv("PASSWORD", password)
		person(ts, name)
		user, _, _ := strings.Cut(name, ":")
		ts.Check(ts.Exec("sh", "-c", `echo "$PASSWORD" | parley login --register `+user+`@$DIR`))
	}
}

// cmdBefriend: befriend A B makes two people contacts, linked with each other.
func cmdBefriend(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: befriend A B")
	}
	a, b := args[0], args[1]
	cmdAs(ts, false, []string{a, "contacts", "add", b, "hello"})
	cmdEventually(ts, false, []string{b, "^" + a + " .*asks you", "contacts"})
	cmdAs(ts, false, []string{b, "contacts", "accept", a})
	cmdEventually(ts, false, []string{a, "^" + b + " .*online \\(", "contacts"})
	cmdEventually(ts, false, []string{b, "^" + a + " .*online \\(", "contacts"})
}

// cmdEventually: eventually NAME REGEXP ARGS... runs parley as one person until
// its output matches, for at most a minute.
func cmdEventually(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: eventually NAME REGEXP ARGS...")
	}
	re, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	person(ts, args[0])
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var out []byte
	err = poll(ctx, func() bool {
		// Not ts.Exec, which would log every try.
		cmd := exec.Command(filepath.Join(binaries, "parley"), args[2:]...)
		for _, name := range []string{"PARLEY_HOME", "PARLEY_PROFILE", "PARLEY_KEY", "PARLEY_LISTEN", "PARLEY_PLUGINS", "XDG_RUNTIME_DIR", "PATH", "HOME"} {
			cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
		}
		out, _ = cmd.CombinedOutput() // a failure is not what is waited for
		return re.Match(out)
	})
	if err != nil {
		ts.Fatalf("parley %s as %s never printed %q; last:\n%s", strings.Join(args[2:], " "), args[0], args[1], out)
	}
}

// cmdServer: server start|stop|kill.
func cmdServer(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: server start|stop|kill")
	}
	s := ts.Value(scriptKey{}).(*script)
	switch args[0] {
	case "start":
		startServer(ts, s, args[1:])
	case "stop":
		ts.Check(s.server.Process.Signal(syscall.SIGTERM))
		ts.Check(s.server.Wait())
		s.server = nil
	case "kill":
		ts.Check(s.server.Process.Kill())
		_ = s.server.Wait()
		s.server = nil
	default:
		ts.Fatalf("usage: server start|stop|kill")
	}
}

func startServer(ts *testscript.TestScript, s *script, args []string) {
	log, err := os.OpenFile(ts.MkAbs("server.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	ts.Check(err)
	defer func() { _ = log.Close() }()
	address := ts.Getenv("DIR")
	args = append([]string{"serve", "--listen", address, "--data", ts.MkAbs("server")}, args...)
	s.server = exec.Command(filepath.Join(binaries, "parley-server"), args...)
	s.server.Stdout, s.server.Stderr = log, log
	s.server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	ts.Check(s.server.Start())
	server := s.server
	ts.Defer(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err = poll(ctx, func() bool {
		c, err := net.Dial("tcp", address)
		if err != nil {
			return false
		}
		_ = c.Close()
		return true
	})
	if err != nil {
		ts.Fatalf("server does not answer:\n%s", ts.ReadFile("server.log"))
	}
}

// jsonOf runs parley with --json and gives the objects it printed.
func jsonOf(ts *testscript.TestScript, who string, args ...string) []map[string]any {
	person(ts, who)
	ts.Check(ts.Exec("parley", append(args, "--json")...))
	var objects []map[string]any
	decoder := json.NewDecoder(strings.NewReader(ts.ReadFile("stdout")))
	for decoder.More() {
		var o map[string]any
		ts.Check(decoder.Decode(&o))
		objects = append(objects, o)
	}
	return objects
}

// cmdKillCore: killcore NAME ends a core with SIGKILL.
func cmdKillCore(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: killcore NAME")
	}
	pid := int(jsonOf(ts, args[0], "status")[0]["pid"].(float64))
	ts.Check(syscall.Kill(pid, syscall.SIGKILL))
	cmdEventually(ts, false, []string{args[0], "is not running", "status"})
}

// cmdKillPlugin: killplugin NAME PLUGIN ends a plugin's process with SIGKILL.
func cmdKillPlugin(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: killplugin NAME PLUGIN")
	}
	for _, p := range jsonOf(ts, args[0], "plugins") {
		if p["name"] == args[1] {
			pid, ok := p["pid"].(float64)
			if !ok {
				ts.Fatalf("plugin %s does not run: %v", args[1], p)
			}
			ts.Check(syscall.Kill(int(pid), syscall.SIGKILL))
			return
		}
	}
	ts.Fatalf("no plugin %s", args[1])
}

// canMount says whether this machine lets tests mount a small file system.
func canMount() bool {
	folder, err := os.MkdirTemp("", "pm")
	if err != nil {
		return false
	}
	defer func() { _ = os.Remove(folder) }()
	if syscall.Mount("tmpfs", folder, "tmpfs", 0, "size=1m") != nil {
		return false
	}
	return syscall.Unmount(folder, 0) == nil
}

// cmdSmallDisk: smalldisk NAME MEGABYTES mounts a small disk as a new folder.
func cmdSmallDisk(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: smalldisk NAME MEGABYTES")
	}
	folder := ts.MkAbs(args[0])
	ts.Check(os.Mkdir(folder, 0o700))
	ts.Check(syscall.Mount("tmpfs", folder, "tmpfs", 0, "size="+args[1]+"m,mode=700"))
	ts.Defer(func() {
		endAll(filepath.Dir(folder)) // its locks cannot be found afterwards
		_ = syscall.Unmount(folder, syscall.MNT_DETACH)
	})
}

// cmdReadOnly: readonly NAME makes a folder one that nobody can write.
func cmdReadOnly(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: readonly NAME")
	}
	folder := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(folder, 0o700))
	ts.Check(syscall.Mount(folder, folder, "", syscall.MS_BIND, ""))
	ts.Defer(func() { _ = syscall.Unmount(folder, syscall.MNT_DETACH) })
	ts.Check(syscall.Mount("", folder, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
}

// cmdLatest: latest NAME WHO VAR puts the id of the latest message of NAME's
// chat with WHO into VAR.
func cmdLatest(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: latest NAME WHO VAR")
	}
	page := jsonOf(ts, args[0], "history", args[1], "-n", "1")
	if len(page) != 1 {
		ts.Fatalf("no messages with %s", args[1])
	}
	ts.Setenv(args[2], page[0]["id"].(string))
}

// cmdOffered: offered NAME FILE waits for the offer of a file, and sets BLOB to
// its short id.
func cmdOffered(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: offered NAME FILE")
	}
	cmdEventually(ts, false, []string{args[0], regexp.QuoteMeta(args[1]) + "/? .*offered; ", "file", "list"})
	for _, b := range jsonOf(ts, args[0], "file", "list") {
		if b["name"] == args[1] && b["state"] == "offered" {
			id := b["id"].(string)
			ts.Setenv("BLOB", id[len(id)-8:])
			return
		}
	}
	ts.Fatalf("the offer of %s is gone", args[1])
}

// cmdVanishes: vanishes PATTERN waits until no file matches.
func cmdVanishes(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: vanishes PATTERN")
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var files []string
	err := poll(ctx, func() bool {
		var err error
		files, err = filepath.Glob(ts.MkAbs(args[0]))
		ts.Check(err)
		return len(files) == 0
	})
	if err != nil {
		ts.Fatalf("%q are still there", files)
	}
}

// cmdFill: fill FILE writes a file until the disk is full.
func cmdFill(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: fill FILE")
	}
	f, err := os.OpenFile(ts.MkAbs(args[0]), os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
	ts.Check(err)
	defer func() { _ = f.Close() }()
	for size := 1 << 20; size > 0; size /= 2 { // to the last byte
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
	}
	if !errors.Is(err, syscall.ENOSPC) {
		ts.Fatalf("filling the disk ended with %v", err)
	}
}

// cmdOccupy: occupy VAR listens on a free port until the script ends and puts
// its address into VAR.
func cmdOccupy(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: occupy VAR")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { _ = l.Close() })
	ts.Setenv(args[0], l.Addr().String())
}

// cmdCorrupt: corrupt PATTERN overwrites the middle of the files.
func cmdCorrupt(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: corrupt PATTERN")
	}
	files, err := filepath.Glob(ts.MkAbs(args[0]))
	ts.Check(err)
	if len(files) == 0 {
		ts.Check(errors.New("no file matches " + args[0]))
	}
	for _, path := range files {
		info, err := os.Stat(path)
		ts.Check(err)
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		ts.Check(err)
		for at := info.Size() / 4; at < info.Size(); at += 8192 {
			_, err = f.WriteAt([]byte("this is not what was here before, is it?"), at)
			ts.Check(err)
		}
		ts.Check(f.Close())
	}
}
