package net2019

import (
	"net/netip"
	"sync"

	"golang.org/x/time/rate"
)

// Bounds of connections that others make.
const (
	maxUnknown   = 64   // of which the first frame has not come, in all
	maxFromOne   = 16   // of these from one address
	maxStrangers = 64   // links with people who are no contacts
	maxLinks     = 2048 // in all
	perSecond    = 10   // new ones from one address
	burst        = 40
	maxVisitors  = 4096 // addresses that are remembered
)

// gate counts connections of which nobody knows yet who they are. A place is an
// IPv4 address or an IPv6 /64.
type gate struct {
	mu       sync.Mutex // guards all below
	active   int
	visitors map[netip.Prefix]*visitor
}

type visitor struct {
	active int
	rate   *rate.Limiter
}

func newGate() *gate { return &gate{visitors: map[netip.Prefix]*visitor{}} }

// enter lets a connection in; who was let in leaves, at least once.
func (g *gate) enter(a netip.Addr) (leave func(), ok bool) {
	a = a.Unmap().WithZone("")
	bits := 32
	if a.Is6() {
		bits = 64
	}
	where, _ := a.Prefix(bits) // no error: bits fit
	g.mu.Lock()
	defer g.mu.Unlock()
	v := g.visitors[where]
	if v == nil {
		if len(g.visitors) >= maxVisitors {
			g.forget()
		}
		v = &visitor{rate: rate.NewLimiter(perSecond, burst)}
		g.visitors[where] = v
	}
	if g.active >= maxUnknown || v.active >= maxFromOne || !v.rate.Allow() {
		return nil, false
	}
	v.active++
	g.active++
	return sync.OnceFunc(func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		v.active--
		g.active--
	}), true
}

// forget drops three of four who are not there now.
func (g *gate) forget() {
	for where, v := range g.visitors {
		if len(g.visitors) <= maxVisitors/4 {
			return
		}
		if v.active == 0 {
			delete(g.visitors, where)
		}
	}
}
