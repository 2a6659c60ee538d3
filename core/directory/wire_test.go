package directory_test

import (
	"context"
	"net"
	"sync"
	"time"
)

// wire is a device's network. It can be cut in each direction: what is sent then
// is kept and comes when the wire is whole again, as TCP would send it again, and
// nobody hears of connections that are closed meanwhile.
type wire struct {
	mu      sync.Mutex // guards all below
	changed *sync.Cond
	out, in bool // cut
	dead    bool // the device is gone
	conns   map[*wireConn]struct{}
}

func newWire() *wire {
	w := &wire{conns: map[*wireConn]struct{}{}}
	w.changed = sync.NewCond(&w.mu)
	return w
}

func (w *wire) isCut() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.out || w.in
}

func (w *wire) set(out, in bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.out, w.in = out, in
	for c := range w.conns {
		c.flush()
	}
	w.changed.Broadcast()
}

// drop breaks all connections that the other side can hear of.
func (w *wire) drop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.conns {
		if !w.out {
			_ = c.Conn.Close()
		}
	}
}

// kill is drop for good: the device is gone.
func (w *wire) kill() {
	w.mu.Lock()
	w.dead = true
	w.mu.Unlock()
	w.drop()
}

// close frees what is left.
func (w *wire) close() {
	w.kill()
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.conns {
		_ = c.Conn.Close()
		delete(w.conns, c)
	}
}

// dial does not get through a wire that is cut.
func (w *wire) dial(ctx context.Context, network, address string) (net.Conn, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	stop := context.AfterFunc(ctx, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.changed.Broadcast()
	})
	defer stop()
	for w.out || w.in || w.dead {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		w.changed.Wait()
	}
	raw, err := (&net.Dialer{}).DialContext(ctx, network, address) // loopback: it does not take long
	if err != nil {
		return nil, err
	}
	c := &wireConn{Conn: raw, wire: w}
	w.conns[c] = struct{}{}
	return c, nil
}

// wireConn is a connection over a wire. wire.mu guards its fields.
type wireConn struct {
	net.Conn
	wire    *wire
	pending []byte // written while the wire was cut
	closed  bool
}

func (c *wireConn) Write(b []byte) (int, error) {
	c.wire.mu.Lock()
	defer c.wire.mu.Unlock()
	switch {
	case c.closed:
		return 0, net.ErrClosed
	case c.wire.out:
		c.pending = append(c.pending, b...)
		return len(b), nil
	}
	return c.Conn.Write(b) // small, and the other side reads
}

func (c *wireConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.wire.mu.Lock()
	defer c.wire.mu.Unlock()
	for c.wire.in && !c.closed && !c.wire.dead {
		c.wire.changed.Wait()
	}
	if c.closed {
		return 0, net.ErrClosed
	}
	return n, err
}

func (c *wireConn) Close() error {
	c.wire.mu.Lock()
	defer c.wire.mu.Unlock()
	c.closed = true
	c.wire.changed.Broadcast()
	if c.wire.out {
		return c.Conn.SetReadDeadline(time.Now()) // so that its reader ends
	}
	delete(c.wire.conns, c)
	return c.Conn.Close()
}

// flush sends what waited. To be called with wire.mu held.
func (c *wireConn) flush() {
	if c.wire.out {
		return
	}
	if len(c.pending) > 0 {
		_, _ = c.Conn.Write(c.pending)
		c.pending = nil
	}
	if c.closed {
		delete(c.wire.conns, c)
		_ = c.Conn.Close()
	}
}
