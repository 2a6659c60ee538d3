package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/parley-chat/parley/bench/process"
)

// used is what processes have used.
type used struct {
	cpu      time.Duration // of all
	switches int64         // how often a thread of them went to sleep
	resident []int64       // bytes, of each
}

func usage(pids []int) (used, error) {
	var u used
	for _, pid := range pids {
		cpu, err := cpuTime(pid)
		if err != nil {
			return used{}, fmt.Errorf("processor time of process %d: %w", pid, err)
		}
		u.cpu += cpu
		n, err := switches(pid)
		if err != nil {
			return used{}, fmt.Errorf("wake-ups of process %d: %w", pid, err)
		}
		u.switches += n
		p, err := process.UsageOf(pid)
		if err != nil {
			return used{}, err
		}
		u.resident = append(u.resident, p.Resident)
	}
	return u, nil
}

// cpuTime is exact where /proc/<pid>/stat counts in hundredths of a second. The
// clock's number is made as clock_getcpuclockid(3) does.
func cpuTime(pid int) (time.Duration, error) {
	const scheduler = 2
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|scheduler), &t); err != nil { //nolint:gosec // process ids are small
		return 0, err
	}
	return time.Duration(t.Nano()), nil
}

// switches counts the voluntary context switches of all threads.
func switches(pid int) (int64, error) {
	paths, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil {
		return 0, err
	}
	total := int64(0)
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			continue // it ended
		}
		if err != nil {
			return 0, err
		}
		_, rest, _ := strings.Cut(string(b), "\nvoluntary_ctxt_switches:")
		var n int64
		if _, err := fmt.Sscan(rest, &n); err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
