package conn

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"
)

// maxVisitors bounds the memory that addresses of strangers take (about 200
// bytes each).
const maxVisitors = 4096

// gate counts connections of strangers: how many are in their handshake, in all
// and from one place, and how fast they come from one place. A place is an IPv4
// address or an IPv6 /64, which is what one customer of a provider gets.
type gate struct {
	limits Limits

	mu       sync.Mutex // guards all below
	active   int
	visitors map[netip.Prefix]*visitor
}

type visitor struct {
	active int
	rate   *rate.Limiter
}

func newGate(limits Limits) *gate {
	return &gate{limits: limits, visitors: map[netip.Prefix]*visitor{}}
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

// enter lets a connection from a in, or says why not. Each that was let in
// leaves.
func (g *gate) enter(a netip.Addr) (leave func(), err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	place := placeOf(a)
	v := g.visitors[place]
	if v == nil {
		g.makeRoom()
		v = &visitor{rate: rate.NewLimiter(rate.Limit(g.limits.AcceptsPerSecond), g.limits.AcceptBurst)}
		g.visitors[place] = v
	}
	switch {
	case v.active >= g.limits.HandshakesPerIP:
		return nil, fmt.Errorf("%d handshakes with %s: %w", v.active, place, errTooManyHere)
	case !v.rate.Allow():
		return nil, fmt.Errorf("connections from %s come too fast: %w", place, errTooManyHere)
	case g.active >= g.limits.Handshakes:
		return nil, fmt.Errorf("%d handshakes in all: %w", g.active, errTooManyHere)
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

// makeRoom drops visitors when there are many: those who could come in at full
// burst again anyhow, then any who are not in a handshake, until there is room
// for so many more that the search costs little on each.
func (g *gate) makeRoom() {
	if len(g.visitors) < maxVisitors {
		return
	}
	now := time.Now()
	for place, v := range g.visitors {
		if v.active == 0 && v.rate.TokensAt(now) >= float64(g.limits.AcceptBurst) {
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

// budget bounds frames and their bytes. Who waits is served in order, so a large
// frame is not starved by small ones.
type budget struct{ frames, bytes *semaphore.Weighted }

func newBudget(frames, bytes int) budget {
	return budget{semaphore.NewWeighted(int64(frames)), semaphore.NewWeighted(int64(bytes))}
}

// take waits until a frame of size bytes fits. Give it back with put.
func (b budget) take(ctx context.Context, size int) error {
	if err := b.frames.Acquire(ctx, 1); err != nil {
		return err
	}
	if err := b.bytes.Acquire(ctx, int64(size)); err != nil {
		b.frames.Release(1)
		return err
	}
	return nil
}

// tryTake is take without waiting.
func (b budget) tryTake(size int) bool {
	if !b.frames.TryAcquire(1) {
		return false
	}
	if !b.bytes.TryAcquire(int64(size)) {
		b.frames.Release(1)
		return false
	}
	return true
}

func (b budget) put(size int) {
	b.bytes.Release(int64(size))
	b.frames.Release(1)
}
