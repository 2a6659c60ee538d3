package process

import (
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func shell(t *testing.T, script string) *Process {
	t.Helper()
	p, err := Start(Config{Program: "/bin/sh", Args: []string{"-c", script}, Env: []string{"WORD=parley"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return p
}

func patient(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func TestAwait(t *testing.T) {
	p := shell(t, `echo "not listening on 1"; echo "listening on $WORD"; exec sleep 600`)
	for range 2 { // what was said already is found too
		if got, err := p.Await(patient(t), "listening on "); err != nil || got != "parley" {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Await(ctx, "nonsense"); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "not listening") {
		t.Errorf("got %v, want what it said instead", err)
	}
}

func TestAwaitEnd(t *testing.T) {
	p := shell(t, `echo cannot listen >&2; exit 3`)
	if _, err := p.Await(patient(t), "listening"); err == nil || !strings.Contains(err.Error(), "cannot listen") {
		t.Errorf("got %v, want what it said", err)
	}
	if err := p.Stop(); err == nil || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("Stop of a process that failed: %v", err)
	}
}

func TestStop(t *testing.T) {
	p := shell(t, `trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.01; done`)
	if _, err := p.Await(patient(t), "up"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := p.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := p.Await(patient(t), "by"); err != nil || got != "e" {
		t.Errorf("the last words: %q, %v", got, err)
	}
	p.Kill()
}

func TestOutputIsBounded(t *testing.T) {
	o := output{more: make(chan struct{})}
	for range 10 * kept / 10 {
		_, _ = o.Write([]byte("123456789\n"))
	}
	_, _ = o.Write([]byte("last word\n"))
	if n := len(o.said); n > 2*kept {
		t.Errorf("%d bytes are kept", n)
	}
	if got, ok, _ := o.find(func(line string) bool { return strings.HasPrefix(line, "last ") }); !ok || got != "last word" {
		t.Errorf("got %q, %v", got, ok)
	}
}

func TestPrograms(t *testing.T) {
	if _, err := Start(Config{Program: "parley-nonsense"}); err == nil || !strings.Contains(err.Error(), "make build") {
		t.Errorf("a program that is not built: %v", err)
	}
	if _, err := Start(Config{Program: "/does/not/exist"}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a program that is not there: %v", err)
	}
}

func TestUsage(t *testing.T) {
	// Not exec sleep: in the middle of it a process has next to no memory.
	p := shell(t, `i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; echo done; kill -STOP $$`)
	if _, err := p.Await(patient(t), "done"); err != nil {
		t.Fatal(err)
	}
	u, err := p.Usage()
	if err != nil || u.Resident < 100<<10 || u.Peak < u.Resident || u.CPU <= 0 {
		t.Errorf("got %+v, %v", u, err)
	}
	p.Kill()
	if _, err := p.Usage(); err == nil {
		t.Error("a process that is gone has a usage")
	}
}

func TestEnded(t *testing.T) {
	p := shell(t, `(i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done); echo done`)
	if err := p.Ended(patient(t)); err != nil {
		t.Fatal(err)
	}
	if got := p.Spent(); got < 10*time.Millisecond {
		t.Errorf("its child's work is missing: %v", got)
	}
	if err := shell(t, `echo oh no; exit 3`).Ended(patient(t)); err == nil || !strings.Contains(err.Error(), "oh no") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("got %v, want what it said and its status", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := shell(t, `exec sleep 600`).Ended(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// TestFamily: a child's memory is its own, and not its parent's.
func TestFamily(t *testing.T) {
	p := shell(t, `(head -c 30000000 /dev/zero; echo done >&2; exec sleep 600) | tail -c 29000000`)
	f := Watch(p.PID())
	if _, err := p.Await(patient(t), "done"); err != nil {
		t.Fatal(err)
	}
	got := f.Peaks()
	family := members(p.PID())
	for pid := range family {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	if got["tail"] < 25<<20 || got["sh"] < 100<<10 || got["sh"] > 20<<20 {
		t.Errorf("the peaks are %v", got)
	}
	if len(family) != 3 || family[p.PID()] != "sh" {
		t.Errorf("the family is %v, want a shell, tail and a child of the shell", family)
	}
	p.Kill()
	if n := Members(p.PID()); n != 0 {
		t.Errorf("%d processes of one that is gone", n)
	}
}

// TestDescends: a child may have a lower number than its parent, and what was read
// of processes that came and went meanwhile may make no sense.
func TestDescends(t *testing.T) {
	parents := map[int]int{32760: 1, 32767: 32760, 301: 32767, 302: 301, 400: 1, 500: 501, 501: 500}
	for pid, want := range map[int]bool{32760: true, 32767: true, 301: true, 302: true, 400: false, 500: false, 1: false, 7: false} {
		if got := descends(pid, 32760, parents); got != want {
			t.Errorf("%d: %v, want %v", pid, got, want)
		}
	}
}

// TestEndAll: those that have the entry end, also when nobody knows them any more, and
// the others stay.
func TestEndAll(t *testing.T) {
	start := func(entry, script string) *Process {
		t.Helper()
		p, err := Start(Config{Program: "/bin/sh", Args: []string{"-c", script}, Env: []string{entry}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.Kill)
		if _, err := p.Await(patient(t), "ready"); err != nil {
			t.Fatal(err)
		}
		return p
	}
	const stays = "sleep 600 & echo ready; wait"
	entry := "WORLD=" + t.TempDir()
	one, spared, other := start(entry, stays), start(entry, "echo ready; exec sleep 600"), start(entry+"2", stays)
	orphan, err := start(entry, "setsid sleep 600 >/dev/null 2>&1 & echo child $!; echo ready").Await(patient(t), "child")
	if err != nil {
		t.Fatal(err)
	}
	cmdline := func() string {
		b, _ := os.ReadFile("/proc/" + orphan + "/cmdline") // nothing: it has ended
		return string(b)
	}
	for ctx := patient(t); !strings.HasPrefix(cmdline(), "sleep"); time.Sleep(time.Millisecond) {
		if ctx.Err() != nil {
			t.Fatalf("the orphan is %q", cmdline())
		}
	}
	if err := EndAll(entry, spared); err != nil {
		t.Fatal(err)
	}
	if now := cmdline(); now != "" {
		t.Errorf("the orphan is left: %q", now)
	}
	if err := one.Ended(patient(t)); err == nil {
		t.Error("it ended by itself")
	}
	for name, p := range map[string]*Process{"spared": spared, "another one": other} {
		select {
		case <-p.Exited():
			t.Errorf("who is %s ended: %v", name, p.Stop())
		default:
		}
	}
	if err := errors.Join(EndAll(entry), EndAll(entry+"2")); err != nil {
		t.Error(err)
	}
}

func TestParseUsage(t *testing.T) {
	const status = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n"
	const stat = "7 (a) b) c) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0\n"
	got, err := parseUsage(status, stat)
	if want := (Usage{Resident: 1 << 20, Peak: 2 << 20, CPU: 2 * time.Second}); err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	for _, bad := range [][2]string{{"", stat}, {status, "7 (x) S"}, {status, strings.Replace(stat, "150", "x", 1)}} {
		if got, err := parseUsage(bad[0], bad[1]); err == nil {
			t.Errorf("%q: got %+v", bad, got)
		}
	}
}
