// Package limit says how often somebody may do something.
package limit

import (
	"container/list"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Limit is a token bucket: Burst at once, then one more each Every. A Burst of
// 0 means no limit.
type Limit struct {
	Burst int
	Every time.Duration
}

// Bucket is one token bucket. It keeps the time at which it is full again, so
// that an idle one costs nothing.
type Bucket struct{ full time.Time }

// Take takes n tokens. When there are too few it takes none and says how long
// until there are.
func (b *Bucket) Take(l Limit, n int, now time.Time) (wait time.Duration) {
	if l.Burst == 0 {
		return 0
	}
	if b.full.Before(now) {
		b.full = now
	}
	full := b.full.Add(time.Duration(n) * l.Every)
	if wait = full.Sub(now) - time.Duration(max(l.Burst, n))*l.Every; wait > 0 {
		return wait
	}
	b.full = full
	return 0
}

// maxBuckets bounds what a Limiter remembers. Beyond it the one that was used
// longest ago is forgotten; it is full again for all but the slowest limits.
const maxBuckets = 50_000

// Limiter holds a token bucket for each key. It is safe for concurrent use.
type Limiter struct {
	limit Limit
	now   func() time.Time

	mu      sync.Mutex // guards the two below
	buckets map[string]*list.Element
	used    list.List // of *keyed, longest unused first

	refused atomic.Uint64
}

type keyed struct {
	key string
	Bucket
}

// New makes a limiter.
func New(l Limit) *Limiter {
	return &Limiter{limit: l, now: time.Now, buckets: map[string]*list.Element{}}
}

// Take takes a token of key's bucket, or says how long until there is one.
func (l *Limiter) Take(key string) (wait time.Duration) {
	if l.limit.Burst == 0 {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.buckets[key]
	if e == nil {
		if len(l.buckets) >= maxBuckets {
			oldest := l.used.Front()
			delete(l.buckets, l.used.Remove(oldest).(*keyed).key)
		}
		e = l.used.PushBack(&keyed{key: key})
		l.buckets[key] = e
	} else {
		l.used.MoveToBack(e)
	}
	if wait = e.Value.(*keyed).Take(l.limit, 1, l.now()); wait > 0 {
		l.refused.Add(1)
	}
	return wait
}

// GiveBack undoes a Take.
func (l *Limiter) GiveBack(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.buckets[key]; e != nil {
		b := e.Value.(*keyed)
		b.full = b.full.Add(-l.limit.Every)
	}
}

// Refused counts what was refused.
func (l *Limiter) Refused() uint64 { return l.refused.Load() }

// Network is what counts as one address: an IPv4 address, or the 64 bits of
// IPv6 that one customer has.
func Network(addr netip.Addr) string {
	addr = addr.Unmap().WithZone("")
	if addr.Is6() {
		if p, err := addr.Prefix(64); err == nil {
			return p.String()
		}
	}
	return addr.String()
}
