package hosting

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// adminSocket is where a server takes orders, in its data folder. Who listens there
// is the server.
const adminSocket = "admin.sock"

// stopTimeout is how long a server may take to say good-bye and to store all.
const stopTimeout = 20 * time.Second

// State is how a directory on this computer stands.
type State struct {
	// Known: it was started once. Running: it runs now.
	Known, Running bool
	// Address is for this computer, Others are for others in the same networks; empty
	// unless it is known.
	Address string
	Others  []string
}

// State looks how it stands.
func (h Host) State(ctx context.Context) (State, error) {
	port, err := h.port()
	if errors.Is(err, fs.ErrNotExist) {
		return State{}, nil
	} else if err != nil {
		return State{}, fmt.Errorf("the directory on this computer: %w", err)
	}
	s := State{Known: true, Address: net.JoinHostPort("localhost", strconv.Itoa(port)), Others: others(port)}
	id, err := h.server(ctx)
	s.Running = id > 0
	return s, err
}

// Stop ends it, and waits until it has ended. It stays stopped, for Resume as well,
// until Start. Nothing happens when it does not run.
func (h Host) Stop(ctx context.Context) error {
	if err := h.stop(ctx); err != nil {
		return fmt.Errorf("stop the directory on this computer: %w", err)
	}
	return nil
}

func (h Host) stop(ctx context.Context) error {
	if !h.Known() {
		return nil
	}
	if err := os.WriteFile(h.stopped(), nil, 0o600); err != nil {
		return err
	}
	id, err := h.server(ctx)
	if id <= 0 || err != nil {
		return err
	}
	p, err := os.FindProcess(id)
	if err != nil {
		return err
	}
	defer func() { _ = p.Release() }()
	// Found before it was asked again: whoever listens there is still the process that
	// p is, and not another one that was given its number since.
	if again, err := h.server(ctx); again != id || err != nil {
		return err
	}
	if err := p.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for p.Signal(syscall.Signal(0)) == nil {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("parley-server, process %d, does not end: see %s", id, h.logFile())
		}
	}
	return nil
}

// server gives the process id of the server; 0 when none runs.
func (h Host) server(ctx context.Context) (int, error) {
	// Through the folder, because the path of a socket must be short.
	folder, err := os.Open(h.data())
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	} else if err != nil {
		return 0, err
	}
	defer func() { _ = folder.Close() }()
	path := filepath.Join("/proc/self/fd", strconv.Itoa(int(folder.Fd())), adminSocket) //nolint:gosec // a small number
	c, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "unix", path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return 0, nil
	} else if err != nil {
		return 0, fmt.Errorf("ask parley-server: %w", err)
	}
	defer func() { _ = c.Close() }()
	raw, err := c.(*net.UnixConn).SyscallConn()
	if err != nil {
		return 0, err
	}
	var peer *unix.Ucred
	var asked error
	if err := raw.Control(func(fd uintptr) {
		peer, asked = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return 0, err
	}
	if asked != nil {
		return 0, asked
	}
	return int(peer.Pid), nil
}
