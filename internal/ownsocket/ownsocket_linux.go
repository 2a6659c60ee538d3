// Package ownsocket keeps a unix socket to the user it belongs to, whatever the
// permissions of its folder became.
package ownsocket

import (
	"fmt"
	"log/slog"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// Listener lets in processes of this user (or root) only. The embedded listener
// is needed; refusals go to Log.
type Listener struct {
	*net.UnixListener
	Log *slog.Logger
}

// Accept gives the next connection of this user's.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		c, err := l.AcceptUnix()
		if err != nil {
			return nil, err
		}
		uid, err := peerUID(c)
		if err == nil && (uid == os.Getuid() || uid == 0) {
			return c, nil
		}
		l.Log.Warn("connection of another user refused", "socket", l.Addr(), "uid", uid, "error", err)
		_ = c.Close()
	}
}

// peerUID is whose process is at the other end.
func peerUID(c *net.UnixConn) (int, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return -1, fmt.Errorf("socket connection: %w", err)
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return -1, fmt.Errorf("socket connection: %w", err)
	}
	if credErr != nil {
		return -1, fmt.Errorf("socket connection: %w", credErr)
	}
	return int(cred.Uid), nil
}
