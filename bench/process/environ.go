package process

import (
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// EndAll kills the processes that have an entry, such as "HOME=/x", in the environment
// that they were started with, and waits for them. It spares this process and those
// that are named.
func EndAll(entry string, spared ...*Process) error {
	for {
		entries, err := os.ReadDir("/proc")
		if err != nil {
			return err
		}
		found := false
		for _, e := range entries {
			pid, err := strconv.Atoi(e.Name())
			if err != nil || pid == os.Getpid() || slices.ContainsFunc(spared, func(p *Process) bool { return p.PID() == pid }) {
				continue
			}
			ended, err := endIf(pid, entry)
			if err != nil {
				return err
			}
			found = found || ended
		}
		if !found { // else one of them may have started another meanwhile
			return nil
		}
	}
}

// endIf kills one process, if it has the entry, and says whether it had.
func endIf(pid int, entry string) (bool, error) {
	fd, err := unix.PidfdOpen(pid, 0) // first: the number may be another one's later
	if err != nil {
		return false, nil //nolint:nilerr // it has ended
	}
	defer func() { _ = unix.Close(fd) }()
	environ, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil || !slices.Contains(strings.Split(string(environ), "\x00"), entry) {
		return false, nil //nolint:nilerr // it has ended, or is somebody else's
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil {
		if errors.Is(err, unix.ESRCH) {
			return true, nil
		}
		return false, err
	}
	ended := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}} //nolint:gosec // a small number
	for {
		n, err := unix.Poll(ended, int(stopTimeout.Milliseconds()))
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return false, err
		case n == 0:
			return false, errors.New("process " + strconv.Itoa(pid) + " was killed and does not end")
		default:
			return true, nil
		}
	}
}
