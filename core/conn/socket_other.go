//go:build !linux

package conn

import (
	"net"
	"time"
)

// setUserTimeout does nothing here: write deadlines and pings notice the same.
func setUserTimeout(*net.TCPConn, time.Duration) {}
