//go:build !linux

package conn

import (
	"net"
	"time"
)

// setUserTimeout does nothing here: write deadlines and pings notice the same.
func setUserTimeout(*net.TCPConn, time.Duration) {}

// tuneBulk does nothing here.
func tuneBulk(*net.TCPConn) {}

// sampleOf tells nothing here: streams are not paced.
func sampleOf(*net.TCPConn) (s pacerSample, unsent uint32, ok bool) { return pacerSample{}, 0, false }

// setPace does nothing here.
func setPace(*net.TCPConn, float64) {}
