package server

import (
	"net"
	"net/netip"
	"sync"
)

// crowd is the connections of all listeners: a bounded number, in all and from one
// address.
type crowd struct {
	max, maxEach int

	mu   sync.Mutex // guards both
	all  int
	each map[netip.Addr]int
}

func newCrowd(most, mostEach int) *crowd {
	return &crowd{max: most, maxEach: mostEach, each: map[netip.Addr]int{}}
}

func (c *crowd) enter(from netip.Addr) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all >= c.max || c.each[from] >= c.maxEach {
		return false
	}
	c.all++
	c.each[from]++
	return true
}

func (c *crowd) leave(from netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all--
	if c.each[from]--; c.each[from] == 0 {
		delete(c.each, from)
	}
}

// gate is a listener that lets in as many as the crowd may be. One too many is
// closed at once.
type gate struct {
	net.Listener
	crowd *crowd
}

// Accept implements net.Listener.
func (g *gate) Accept() (net.Conn, error) {
	for {
		conn, err := g.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from := addrOf(conn)
		if g.crowd.enter(from) {
			return &gated{Conn: conn, leave: sync.OnceFunc(func() { g.crowd.leave(from) })}, nil
		}
		_ = conn.Close()
	}
}

// addrOf is what counts as one address: all of IPv4, half of IPv6.
func addrOf(conn net.Conn) netip.Addr {
	tcp, ok := conn.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	addr := tcp.AddrPort().Addr().Unmap().WithZone("")
	if addr.Is6() {
		if p, err := addr.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return addr
}

type gated struct {
	net.Conn
	leave func()
}

// Close implements net.Conn.
func (c *gated) Close() error {
	c.leave()
	return c.Conn.Close()
}
