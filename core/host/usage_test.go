package host

import (
	"os"
	"os/exec"
	"testing"
)

// TestUsageOf: a process and those below it, and no others.
func TestUsageOf(t *testing.T) {
	// The shell has a child, which says so and then waits for its input to end.
	cmd := exec.CommandContext(t.Context(), "sh", "-c", "(echo; read x); :")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = in.Close()
		_ = cmd.Wait()
	}()
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	u := usageOf(cmd.Process.Pid)
	if len(u) != 2 || u.count(cmd.Process.Pid) != 2 {
		t.Errorf("%v", u)
	}
	if _, resident := u.of(cmd.Process.Pid); resident <= 0 {
		t.Errorf("%d bytes", resident)
	}
	if all := readUsage(); all.count(cmd.Process.Pid) != 2 || len(all) <= len(u) {
		t.Errorf("of all: %d below, of %d", all.count(cmd.Process.Pid), len(all))
	}
	if n := usageOf(os.Getpid()).count(os.Getpid()); n < 3 {
		t.Errorf("the test has %d processes", n)
	}
	if u := usageOf(1 << 30); len(u) != 0 {
		t.Errorf("nobody has %v", u)
	}
}

func BenchmarkUsage(b *testing.B) {
	pid := os.Getpid()
	b.Run("all", func(b *testing.B) {
		for b.Loop() {
			readUsage().of(pid)
		}
	})
	b.Run("one", func(b *testing.B) {
		for b.Loop() {
			usageOf(pid).of(pid)
		}
	})
}
