package net2019

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// pending gives how many bytes that were written have not been acknowledged yet;
// not ok when the system does not tell.
func pending(c *net.TCPConn) (n int, ok bool) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, false
	}
	err = raw.Control(func(fd uintptr) {
		n, err = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ)
		ok = err == nil
	})
	return n, ok && err == nil
}

// setUserTimeout has the kernel give up a connection on which sent bytes stay
// unacknowledged for so long.
func setUserTimeout(c *net.TCPConn, d time.Duration) {
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(d.Milliseconds()))
	})
}
