package conn

import (
	"bufio"
	"net"
	"time"
)

// bulkBuffer is how much of a bulk stream goes through the kernel at a time; TLS
// by itself would make a system call for each 16 KiB.
const bulkBuffer = 256 << 10

// Flusher is a Conn of which Write may hold back: what was written has surely
// left only after Flush.
type Flusher interface{ Flush() error }

// Flush flushes a Conn that is a Flusher.
func Flush(c Conn) error {
	if f, ok := c.(Flusher); ok {
		return f.Flush()
	}
	return nil
}

// bulk buffers both directions of a connection. Its methods are for one reader
// and one writer.
type bulk struct {
	in      *bufio.Reader
	out     *bufio.Writer
	through bool // nothing is held back any more
	socket  *net.TCPConn
	pacer   *pacer // nil: never held back
}

func newBulk(c *net.TCPConn, paced bool) *bulk {
	b := &bulk{in: bufio.NewReaderSize(c, bulkBuffer), out: bufio.NewWriterSize(c, bulkBuffer), socket: c}
	tuneBulk(c)
	if paced {
		b.pacer = &pacer{}
	}
	return b
}

// pace looks, now and then, how fast the stream may send.
func (b *bulk) pace() {
	now := time.Now()
	if b.pacer == nil || !b.pacer.due(now) {
		return
	}
	s, ok := sampleOf(b.socket)
	if !ok {
		b.pacer = nil // this system does not tell
		return
	}
	s.at = now
	if rate, changed := b.pacer.next(s); changed {
		setPace(b.socket, rate)
	}
}

func (b *bulk) write(p []byte) (int, error) {
	b.pace()
	n, err := b.out.Write(p)
	if err == nil && b.through {
		err = b.out.Flush()
	}
	return n, err
}
