// Package gate bounds connections of strangers, of whom nothing is known yet but
// where they come from.
package gate

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// ErrTooMany is why somebody is not let in.
var ErrTooMany = errors.New("too many connections from there")

// Limits of a Gate. A place is an IPv4 address or an IPv6 /64, which is what one
// customer of a provider gets.
type Limits struct {
	Total     int     // connections at once
	PerPlace  int     // the same from one place
	PerSecond float64 // new ones from one place, in the long run
	Burst     int     // and at once
}

// maxVisitors bounds the memory that addresses of strangers take (about 200
// bytes each).
const maxVisitors = 4096

// Gate counts connections of strangers: how many are in their handshake, in all
// and from one place, and how fast they come from one place. It is safe for
// concurrent use.
type Gate struct {
	limits Limits

	mu       sync.Mutex // guards all below
	active   int
	visitors map[netip.Prefix]*visitor
}

type visitor struct {
	active int
	rate   *rate.Limiter
}

// New makes a gate through which nobody has come yet.
func New(limits Limits) *Gate {
	return &Gate{limits: limits, visitors: map[netip.Prefix]*visitor{}}
}

func placeOf(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits) // no error: bits fit
	return p
}

// Enter lets a connection from a in, or says why not with ErrTooMany. Each that was
// let in leaves, at least once.
func (g *Gate) Enter(a netip.Addr) (leave func(), err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	place := placeOf(a)
	v := g.visitors[place]
	if v == nil {
		g.makeRoom()
		v = &visitor{rate: rate.NewLimiter(rate.Limit(g.limits.PerSecond), g.limits.Burst)}
		g.visitors[place] = v
	}
	switch {
	case v.active >= g.limits.PerPlace:
		return nil, fmt.Errorf("%d handshakes with %s: %w", v.active, place, ErrTooMany)
	case !v.rate.Allow():
		return nil, fmt.Errorf("connections from %s come too fast: %w", place, ErrTooMany)
	case g.active >= g.limits.Total:
		return nil, fmt.Errorf("%d handshakes in all: %w", g.active, ErrTooMany)
	}
	v.active++
	g.active++
	return sync.OnceFunc(func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		v.active--
		g.active--
	}), nil
}

// Active says how many are in.
func (g *Gate) Active() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.active
}

// makeRoom drops visitors when there are many: those who could come in at full
// burst again anyhow, then any who are not in a handshake, until there is room
// for so many more that the search costs little on each.
func (g *Gate) makeRoom() {
	if len(g.visitors) < maxVisitors {
		return
	}
	now := time.Now()
	for place, v := range g.visitors {
		if v.active == 0 && v.rate.TokensAt(now) >= float64(g.limits.Burst) {
			delete(g.visitors, place)
		}
	}
	for place, v := range g.visitors {
		if len(g.visitors) <= maxVisitors*3/4 {
			return
		}
		if v.active == 0 {
			delete(g.visitors, place) // a random one
		}
	}
}
