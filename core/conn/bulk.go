package conn

import (
	"bufio"
	"net"
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
}

func newBulk(c net.Conn) *bulk {
	return &bulk{in: bufio.NewReaderSize(c, bulkBuffer), out: bufio.NewWriterSize(c, bulkBuffer)}
}

func (b *bulk) write(p []byte) (int, error) {
	n, err := b.out.Write(p)
	if err == nil && b.through {
		err = b.out.Flush()
	}
	return n, err
}
