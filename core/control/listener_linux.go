package control

import (
	"fmt"
	"log/slog"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// ownListener lets in processes of this user (or root) only, whatever the
// permissions of the folders became.
type ownListener struct {
	*net.UnixListener
	log *slog.Logger
}

// Accept gives the next connection of this user's.
func (l *ownListener) Accept() (net.Conn, error) {
	for {
		c, err := l.AcceptUnix()
		if err != nil {
			return nil, err
		}
		uid, err := peerUID(c)
		if err == nil && (uid == os.Getuid() || uid == 0) {
			return c, nil
		}
		l.log.Warn("control connection refused", "uid", uid, "error", err)
		_ = c.Close()
	}
}

func peerUID(c *net.UnixConn) (int, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return -1, fmt.Errorf("control connection: %w", err)
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return -1, fmt.Errorf("control connection: %w", err)
	}
	if credErr != nil {
		return -1, fmt.Errorf("control connection: %w", credErr)
	}
	return int(cred.Uid), nil
}
