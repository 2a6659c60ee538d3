package process

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// ticks is USER_HZ, the unit of /proc/<pid>/stat, which is 100 on every Linux
// that Go runs on.
const ticks = 100

// Usage is what a process has of the machine.
type Usage struct {
	Resident int64         // bytes in memory now
	Peak     int64         // the most there were
	CPU      time.Duration // used since the start, by all threads
}

// Usage of the process alone, without its children.
func (p *Process) Usage() (Usage, error) { return UsageOf(p.PID()) }

// UsageOf a process.
func UsageOf(pid int) (Usage, error) {
	_, u, err := namedUsageOf(pid)
	return u, err
}

// namedUsageOf gives the name of the program, too, which had that memory.
func namedUsageOf(pid int) (name string, u Usage, err error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return "", Usage{}, err
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", Usage{}, err
	}
	first, _, _ := strings.Cut(string(status), "\n")
	u, err = parseUsage(string(status), string(stat))
	return strings.TrimPrefix(first, "Name:\t"), u, err
}

func parseUsage(status, stat string) (Usage, error) {
	var u Usage
	for name, bytes := range map[string]*int64{"VmRSS:": &u.Resident, "VmHWM:": &u.Peak} {
		_, rest, _ := strings.Cut("\n"+status, "\n"+name)
		var kib int64
		if _, err := fmt.Sscanf(rest, "%d kB", &kib); err != nil {
			return Usage{}, fmt.Errorf("%s of a process: %w", name, err)
		}
		*bytes = kib << 10
	}
	// The program's name stands in parentheses, and may have any of them in it.
	fields := strings.Fields(stat[strings.LastIndex(stat, ")")+1:])
	const utime, stime = 11, 12 // counted from the field after the name
	if len(fields) <= stime {
		return Usage{}, fmt.Errorf("processor time of a process: %d fields", len(fields))
	}
	for _, field := range []string{fields[utime], fields[stime]} {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return Usage{}, fmt.Errorf("processor time of a process: %w", err)
		}
		u.CPU += time.Duration(n) * time.Second / ticks
	}
	return u, nil
}
