package conn

import (
	"math"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// setUserTimeout has the kernel give up a connection on which sent bytes stay
// unacknowledged, or cannot be sent, for so long.
func setUserTimeout(c *net.TCPConn, d time.Duration) {
	control(c, func(fd int) {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(d.Milliseconds()))
	})
}

// notSent is how much of a bulk stream lies in the kernel before it is sent: what
// is there when the stream ends is lost, and sent again.
const notSent = 512 << 10

// tuneBulk sets what bulk streams get. Errors are left: it works without.
func tuneBulk(c *net.TCPConn) {
	control(c, func(fd int) { _ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, notSent) })
}

func control(c *net.TCPConn, f func(fd int)) {
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) { f(int(fd)) })
}

// sampleOf asks the kernel how a connection does, and how many bytes of it are not
// sent yet; not ok when it does not tell, or the connection is closed.
func sampleOf(c *net.TCPConn) (s pacerSample, unsent uint32, ok bool) {
	control(c, func(fd int) {
		info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			return
		}
		s.roundTrip = time.Duration(info.Rtt) * time.Microsecond
		s.shortest = time.Duration(info.Min_rtt) * time.Microsecond
		s.acked = info.Bytes_acked
		unsent = info.Notsent_bytes
		ok = true
	})
	return s, unsent, ok
}

// setPace has the kernel send at most so many bytes a second; 0 is no bound.
func setPace(c *net.TCPConn, rate float64) {
	most := uint64(math.MaxUint64)
	if rate > 0 {
		most = uint64(rate)
	}
	control(c, func(fd int) { _ = unix.SetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_MAX_PACING_RATE, most) })
}
