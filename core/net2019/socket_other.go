//go:build !linux

package net2019

import (
	"net"
	"time"
)

// pending is not told by this system.
func pending(*net.TCPConn) (int, bool) { return 0, false }

func setUserTimeout(*net.TCPConn, time.Duration) {}
