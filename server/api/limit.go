package api

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

// Limits of what one address or account may do.
type Limits struct {
	Register       Limit // accounts made from one address
	LogInAddress   Limit // log-ins that failed, from one address
	LogInAccount   Limit // log-ins that failed, to one account, from devices it does not know
	ChangePassword Limit // wrong passwords, of one account
	SetProfile     Limit // of one account
	LookUp         Limit // of one account
	Deliver        Limit // of one account
	Session        Limit // sessions begun, of one account
	// Message slows a session down instead of refusing; long lists count as
	// several.
	Message Limit
}

// DefaultLimits are generous to people and not to programs that guess.
func DefaultLimits() Limits {
	return Limits{
		Register:       Limit{20, time.Minute},
		LogInAddress:   Limit{30, 3 * time.Second},
		LogInAccount:   Limit{10, 30 * time.Second},
		ChangePassword: Limit{10, 30 * time.Second},
		SetProfile:     Limit{20, 5 * time.Second},
		LookUp:         Limit{200, 2 * time.Second},
		Deliver:        Limit{60, 10 * time.Second},
		Session:        Limit{30, 2 * time.Second},
		Message:        Limit{200, 20 * time.Millisecond},
	}
}

// bucket is one token bucket. It keeps the time at which it is full again, so
// that an idle one costs nothing.
type bucket struct{ full time.Time }

// take takes n tokens. When there are too few it takes none and says how long
// until there are.
func (b *bucket) take(l Limit, n int, now time.Time) (wait time.Duration) {
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

// maxBuckets bounds what a limiter remembers. Beyond it the one that was used
// longest ago is forgotten; it is full again for all but the slowest limits.
const maxBuckets = 50_000

// limiter holds a token bucket for each key.
type limiter struct {
	limit Limit
	now   func() time.Time

	mu      sync.Mutex // guards the two below
	buckets map[string]*list.Element
	used    list.List // of *keyed, longest unused first

	refused atomic.Uint64
}

type keyed struct {
	key string
	bucket
}

func newLimiter(l Limit) *limiter {
	return &limiter{limit: l, now: time.Now, buckets: map[string]*list.Element{}}
}

// take takes a token of key's bucket, or says how long until there is one.
func (l *limiter) take(key string) (wait time.Duration) {
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
	if wait = e.Value.(*keyed).take(l.limit, 1, l.now()); wait > 0 {
		l.refused.Add(1)
	}
	return wait
}

// giveBack undoes a take.
func (l *limiter) giveBack(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.buckets[key]; e != nil {
		b := e.Value.(*keyed)
		b.full = b.full.Add(-l.limit.Every)
	}
}

// network is what counts as one address: an IPv4 address, or the 64 bits of
// IPv6 that one customer has.
func network(addr netip.Addr) string {
	addr = addr.Unmap().WithZone("")
	if addr.Is6() {
		if p, err := addr.Prefix(64); err == nil {
			return p.String()
		}
	}
	return addr.String()
}
