package blob

import (
	"math/rand/v2"
	"time"

	"github.com/parley-chat/parley/protocol/packet"
)

// giver is a source as the others of the same blob see it. Guarded by the
// target's mu once it gives.
type giver struct {
	source
	have []packet.Range // pieces that it has; empty means all
	pace time.Duration  // that its last piece took; 0 while none has come
	ends bool           // it gives its word, and then no more
}

func (g *giver) has(piece uint64) bool { return hasPiece(g.have, piece) }

func hasPiece(have []packet.Range, i uint64) bool {
	if len(have) == 0 {
		return true
	}
	for _, r := range have {
		if r.First <= i && i <= r.Last {
			return true
		}
	}
	return false
}

// claim is what one source is to give, [next, end), in that order. No piece is in
// two claims, and only who has the claim on a piece may write it. Guarded by the
// target's mu.
type claim struct {
	by        *giver
	next, end uint64
	since     time.Time // that next is the one to come
}

// span gives what of a claim is to come.
func (t *target) span(c *claim) (next, end uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return c.next, c.end
}

func (c *claim) count() uint64 { return c.end - c.next }

// claim gives a source the next pieces that are missing, nobody is giving and it
// has. When there are none such, it takes over what a
// slower one is not likely to give sooner. nil when there is nothing to do.
func (t *target) claim(g *giver) *claim {
	t.mu.Lock()
	defer t.mu.Unlock()
	first, rare, ok := t.pick(g)
	if !ok {
		return t.rob(g)
	}
	c := &claim{by: g, next: first, end: first, since: t.s.cfg.Now()}
	most := uint64(maxRun)
	if t.group {
		most = 2
		if g.pace > 0 {
			most = max(2, min(uint64(groupRun/g.pace), maxRun)) //nolint:gosec // neither is negative
		}
	}
	for n := t.places(); c.end < n && c.count() < most && t.free(g, c.end, rare); c.end++ {
		t.claimed.set(c.end, true)
	}
	t.claims = append(t.claims, c)
	return c
}

// idle says whether there is nothing that a source could do now.
func (t *target) idle(g *giver) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, _, ok := t.pick(g)
	return !ok && t.victim(g) == nil
}

// places is how many pieces have a place already: of a folder only those with its
// index, until that is complete.
func (t *target) places() uint64 {
	if t.sink == nil && t.head != nil {
		return t.headPieces()
	}
	return t.ledger.n
}

// free says whether a source may be asked for a piece: a rare one only if nobody
// but the author is known to have it.
func (t *target) free(g *giver, piece uint64, rare bool) bool {
	return !t.claimed.has(piece) && !t.ledger.has(piece) && g.has(piece) && !(rare && t.elsewhere(piece))
}

// pick gives the first piece for a source. In a group its members begin each run
// anywhere, and want from the author what no other source has: so they have
// something for each other soon, and the author gives each piece about once rather
// than to everybody.
func (t *target) pick(g *giver) (first uint64, rare, ok bool) {
	n := t.places()
	from := uint64(0)
	if t.group && n > 0 && t.head == nil {
		from = rand.Uint64N(n) //nolint:gosec // any will do
	}
	if g.author && t.group {
		if first, ok = t.search(g, from, n, true); ok {
			return first, true, true
		}
	}
	first, ok = t.search(g, from, n, false)
	return first, false, ok
}

// search looks from a piece on, and then before it.
func (t *target) search(g *giver, from, n uint64, rare bool) (uint64, bool) {
	for _, part := range [2][2]uint64{{from, n}, {0, from}} {
		for i := t.ledger.nextMissing(part[0]); i < part[1]; i = t.ledger.nextMissing(i + 1) {
			if t.free(g, i, rare) {
				return i, true
			}
		}
	}
	return 0, false
}

// elsewhere says whether somebody but the author is known to have a piece.
func (t *target) elsewhere(piece uint64) bool {
	for _, other := range t.givers {
		if !other.author && other.has(piece) {
			return true
		}
	}
	return false
}

// slow is how long a piece may take before a source that has nothing else to do
// tries it, in times of Config.retry.
const slow = 6

// victim gives the claim of another source of which something is to be taken over:
// the one with most to come, or one that is slow with its last piece.
func (t *target) victim(g *giver) *claim {
	var most *claim
	for _, c := range t.claims {
		if c.by == g || c.count() == 0 {
			continue
		}
		took := t.s.cfg.Now().Sub(c.since)
		if c.count() == 1 && (took < slow*t.s.cfg.retry || took < 2*g.pace) {
			continue
		}
		// What is taken over must be had from g.
		if !g.has(c.end-1) || !g.has(c.half()) {
			continue
		}
		if most == nil || c.count() > most.count() {
			most = c
		}
	}
	return most
}

// half is where the part of a claim begins that is taken over.
func (c *claim) half() uint64 { return c.end - max(c.count()/2, 1) }

// rob takes over what victim gave; the other source goes on with the rest.
func (t *target) rob(g *giver) *claim {
	from := t.victim(g)
	if from == nil {
		return nil
	}
	now := t.s.cfg.Now()
	c := &claim{by: g, next: from.half(), end: from.end, since: now}
	for i := c.next; i < c.end; i++ {
		if !g.has(i) { // only the part up to here
			c.next = i + 1
		}
	}
	if from.end = c.next; from.count() == 0 {
		// It took as long as that, and no piece came: it does not take it back at once.
		from.by.pace = max(from.by.pace, now.Sub(from.since))
	}
	t.claims = append(t.claims, c)
	return c
}

// came notes that the next piece of a claim is settled: it is here, or broken. The
// caller holds mu, and has since that was so: else another source could take over
// what is here.
func (t *target) came(c *claim) {
	now := t.s.cfg.Now()
	c.by.pace = now.Sub(c.since)
	t.claimed.set(c.next, false)
	c.next, c.since = c.next+1, now
}

// unclaim gives back what is left of a claim.
func (t *target) unclaim(c *claim) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for ; c.next < c.end; c.end-- {
		t.claimed.set(c.end-1, false)
	}
	for i := range t.claims {
		if t.claims[i] == c {
			t.claims = append(t.claims[:i], t.claims[i+1:]...)
			return
		}
	}
}

// holds says whether a piece is the next of a claim still; the caller holds mu.
func (c *claim) holds(piece uint64) bool { return c.next == piece && piece < c.end }

// holds says whether a piece is the next of a claim still.
func (t *target) holds(c *claim, piece uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return c.holds(piece)
}
