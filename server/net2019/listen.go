package net2019

import (
	"errors"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// How soon a client that has vanished without a sign is noticed: the protocol says
// nothing while it is idle.
const (
	quietFor   = 30 * time.Second // until it is asked whether it is there
	askedEvery = 10 * time.Second
	askedTimes = 3
	vanished   = quietFor + askedTimes*askedEvery
)

// ListenConfig is for the listener of a Service.
func ListenConfig() *net.ListenConfig {
	return &net.ListenConfig{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: quietFor, Interval: askedEvery, Count: askedTimes},
		Control: func(_, _ string, c syscall.RawConn) error {
			var set error
			// Of a reply under way, which would be tried for a quarter of an hour. What is
			// accepted inherits it.
			err := c.Control(func(fd uintptr) {
				set = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(vanished.Milliseconds()))
			})
			return errors.Join(err, set)
		},
	}
}
