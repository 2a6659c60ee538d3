package conn

import (
	"bufio"
	"net"
	"sync"
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
	through bool    // nothing is held back any more
	paced   *pacing // nil: never held back
}

func newBulk(c *net.TCPConn, paced bool) *bulk {
	b := &bulk{in: bufio.NewReaderSize(c, bulkBuffer), out: bufio.NewWriterSize(c, bulkBuffer)}
	tuneBulk(c)
	if paced {
		b.paced = &pacing{socket: c}
	}
	return b
}

func (b *bulk) write(p []byte) (int, error) {
	if b.paced != nil {
		b.paced.wrote()
	}
	n, err := b.out.Write(p)
	if err == nil && b.through {
		err = b.out.Flush()
	}
	return n, err
}

// pacing has a pacer look at a connection while something is sent on it. What is
// written may take long to be sent, so that is not left to who writes.
type pacing struct {
	socket *net.TCPConn

	mu     sync.Mutex // guards all below
	pacer  pacer
	timer  *time.Timer // nil: nothing is sent
	recent bool        // something was written since the last look
	over   bool        // this system does not tell, or the connection is closed
}

// wrote says that something is written.
func (p *pacing) wrote() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.recent = true
	if p.timer == nil && !p.over {
		p.pacer.rest()
		p.timer = time.AfterFunc(pacerEvery, p.look)
	}
}

func (p *pacing) look() {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, unsent, ok := sampleOf(p.socket)
	if !ok || !p.recent && unsent == 0 {
		p.timer, p.over = nil, !ok
		return
	}
	p.recent = false
	s.at = time.Now()
	if rate, changed := p.pacer.next(s); changed {
		setPace(p.socket, rate)
	}
	p.timer.Reset(pacerEvery)
}
