package server

import (
	"net"
	"net/netip"
	"sync"
)

// gate is a listener that lets in a bounded number of connections, in all and
// from one address. One too many is closed at once.
type gate struct {
	net.Listener
	max, maxEach int

	mu   sync.Mutex // guards both
	all  int
	each map[netip.Addr]int
}

func newGate(l net.Listener, most, mostEach int) *gate {
	return &gate{Listener: l, max: most, maxEach: mostEach, each: map[netip.Addr]int{}}
}

// Accept implements net.Listener.
func (g *gate) Accept() (net.Conn, error) {
	for {
		conn, err := g.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from := addrOf(conn)
		if g.enter(from) {
			return &gated{Conn: conn, leave: sync.OnceFunc(func() { g.leave(from) })}, nil
		}
		_ = conn.Close()
	}
}

func (g *gate) enter(from netip.Addr) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.all >= g.max || g.each[from] >= g.maxEach {
		return false
	}
	g.all++
	g.each[from]++
	return true
}

func (g *gate) leave(from netip.Addr) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.all--
	if g.each[from]--; g.each[from] == 0 {
		delete(g.each, from)
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
