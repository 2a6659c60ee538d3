package host

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// limits bound what a plugin may use that did not come with the installation.
// The kernel keeps those of each process; what all its processes use together is
// looked at with every ping, since control groups cannot be counted on.
type limits struct {
	memory   uint64 // bytes of private memory of each process
	tasks    uint64 // processes and threads in its sandbox
	files    uint64 // open in each process
	scratch  int64  // bytes of the sandbox's /tmp, and as many of /dev/shm
	resident int64  // bytes of all its processes together
}

func (l limits) withDefaults() limits {
	if l.memory == 0 {
		l.memory = 2 << 30
	}
	if l.tasks == 0 {
		l.tasks = 512
	}
	if l.files == 0 {
		l.files = 4096
	}
	if l.scratch == 0 {
		l.scratch = 64 << 20
	}
	if l.resident == 0 {
		l.resident = 2 << 30
	}
	return l
}

// firstToGo makes the kernel, when it has no memory left, end a plugin before
// the core and before what else the user runs.
const firstToGo = "500"

// impose sets the limits on a process and what it will start.
func (l limits) impose(pid int) error {
	err := errors.Join(
		lower(pid, unix.RLIMIT_DATA, l.memory),
		lower(pid, unix.RLIMIT_NOFILE, l.files),
		lower(pid, unix.RLIMIT_CORE, 0),                                                // its memory is not for the disk
		os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid), []byte(firstToGo), 0), //nolint:gosec // a file of the kernel's
	)
	if err != nil {
		return fmt.Errorf("limit plugin: %w", err)
	}
	return nil
}

// lower sets a limit that is not below it already.
func lower(pid, resource int, most uint64) error {
	var now unix.Rlimit
	if err := unix.Prlimit(pid, resource, nil, &now); err != nil {
		return fmt.Errorf("read limit %d: %w", resource, err)
	}
	limit := unix.Rlimit{Cur: min(now.Cur, most), Max: min(now.Max, most)}
	if err := unix.Prlimit(pid, resource, &limit, nil); err != nil {
		return fmt.Errorf("set limit %d: %w", resource, err)
	}
	return nil
}

// imposeTasks bounds the processes of a sandbox. The kernel counts them for each
// user in a user namespace, so a limit harms nobody else only where the sandbox
// has a namespace of its own; before Linux 5.14 it was one count for all.
func (l limits) imposeTasks(inside int) error {
	outer, err1 := os.Readlink("/proc/self/ns/user")
	inner, err2 := os.Readlink(fmt.Sprintf("/proc/%d/ns/user", inside))
	if err := errors.Join(err1, err2); err != nil {
		return fmt.Errorf("user namespace of a plugin: %w", err)
	}
	if outer == inner || !countsByNamespace() {
		return nil
	}
	return lower(inside, unix.RLIMIT_NPROC, l.tasks)
}

func countsByNamespace() bool {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return false
	}
	var major, minor int
	if n, err := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &major, &minor); n != 2 || err != nil {
		return false
	}
	return major > 5 || major == 5 && minor >= 14
}

// barrier keeps a sandbox from running its plugin until its limits are set.
type barrier struct {
	open  *os.File // a byte lets it go on
	facts *os.File // says which process is the first inside
}

// Descriptors of a confined plugin's process.
const (
	fdPlugin  = 3
	fdBarrier = 4
	fdFacts   = 5
)

// barrierTimeout is how long a sandbox may take to be set up.
const barrierTimeout = 10 * time.Second

// newBarrier makes one and the two files that the sandbox gets of it.
func newBarrier() (b *barrier, wait, facts *os.File, err error) {
	b = &barrier{}
	if wait, b.open, err = os.Pipe(); err != nil {
		return nil, nil, nil, fmt.Errorf("make pipes for plugin: %w", err)
	}
	if b.facts, facts, err = os.Pipe(); err != nil {
		closeAll(wait, b.open)
		return nil, nil, nil, fmt.Errorf("make pipes for plugin: %w", err)
	}
	return b, wait, facts, nil
}

// pass limits the sandbox that started as pid and lets it go on.
func (b *barrier) pass(pid int, l limits) error {
	if err := l.impose(pid); err != nil {
		return err
	}
	_ = b.facts.SetReadDeadline(time.Now().Add(barrierTimeout))
	var said struct {
		Inside int `json:"child-pid"`
	}
	// A sandbox that says nothing has failed, and says why where plugins do.
	if json.NewDecoder(b.facts).Decode(&said) == nil && said.Inside > 0 {
		if err := errors.Join(l.impose(said.Inside), l.imposeTasks(said.Inside)); err != nil {
			return err
		}
	}
	_, _ = b.open.Write([]byte{1}) // nobody reads when it is gone
	return nil
}

func (b *barrier) close() {
	if b != nil {
		closeAll(b.open, b.facts)
	}
}

// excess says what a plugin's processes use too much of, if anything.
func (l limits) excess(u usage, pid int) error {
	_, resident := u.of(pid)
	n := u.count(pid)
	switch {
	case resident > l.resident:
		return fmt.Errorf("it uses %d MB of memory, more than the %d MB it may use", resident/1e6, l.resident/1e6)
	case n > int(l.tasks): //nolint:gosec // a small number
		return fmt.Errorf("it runs %d processes, more than the %d it may run", n, l.tasks)
	}
	return nil
}

// barrierArguments are for bubblewrap.
func barrierArguments() []string {
	return []string{"--block-fd", strconv.Itoa(fdBarrier), "--info-fd", strconv.Itoa(fdFacts)}
}
