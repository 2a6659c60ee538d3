package blob

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/zeebo/blake3"

	"github.com/parley-chat/parley/internal/failure"
	"github.com/parley-chat/parley/protocol/packet"
)

const (
	// maxSources bounds from how many a blob comes at once.
	maxSources = 4
	// look is how often it is looked whether a source that had nothing to do has
	// something now, in times of Config.retry; and a group is told of what came.
	look = 2
	// rest is how long one that failed is left alone while others give, in times of
	// Config.retry, unless it tells of the blob.
	rest = 60
)

// gathering has all pieces of a blob come, from several sources at once. It is for
// one goroutine, which starts one for each source.
type gathering struct {
	s       *Service
	f       *fetch
	t       *target
	sources []source              // who may have it, the author first
	known   map[uint64]*candidate // by link
	active  int
	results chan result
	told    uint64 // pieces that were here when the group was last told
}

// candidate is a source that was met.
type candidate struct {
	giver  *giver
	active bool
	told   bool      // while it was active: it has more, or gives again
	idle   bool      // it ended because there was nothing to do for it
	until  time.Time // after it failed: when it is tried again
	failed error
}

type result struct {
	c   *candidate
	err error
}

// gather has all pieces come.
func (s *Service) gather(f *fetch, t *target) error {
	ctx, cancel := context.WithCancel(f.ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	g := &gathering{s: s, f: f, t: t, known: map[uint64]*candidate{}, results: make(chan result, maxSources)}
	g.listen()
	done, _ := t.ledger.done()
	s.waits(&t.b, waiting{}, done)
	tick := time.NewTicker(look * s.cfg.retry)
	defer tick.Stop()
	for {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if t.complete() && (g.active == 0 || !g.manifestComes()) {
			return nil
		}
		g.start(ctx, &wg)
		if g.active == 0 {
			return g.failure()
		}
		select {
		case r := <-g.results:
			if err := g.ended(r); err != nil {
				return err
			}
		case <-f.wake:
			g.listen()
		case <-tick.C:
			g.tell(ctx)
		case <-ctx.Done():
		}
	}
}

// complete says whether all pieces are here.
func (t *target) complete() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, all := t.ledger.done()
	return all && t.sink != nil
}

// manifestComes says whether the author is about to give its word, or to end having
// given it: it does so at the end.
func (g *gathering) manifestComes() bool {
	g.t.mu.Lock()
	defer g.t.mu.Unlock()
	lacks := len(g.t.b.Manifest) == 0
	for _, c := range g.known {
		if c.active && c.giver.author && (lacks || c.giver.ends) {
			return true
		}
	}
	return false
}

// start has those give who may and for whom there is something to do, the author
// first.
func (g *gathering) start(ctx context.Context, wg *sync.WaitGroup) {
	now := g.s.cfg.Now()
	for _, src := range g.sources {
		c := g.known[src.link.ID]
		if c == nil {
			c = &candidate{giver: &giver{source: src}}
			g.known[src.link.ID] = c
		}
		if g.active == maxSources {
			return
		}
		if c.active || now.Before(c.until) || c.idle && g.t.idle(c.giver) {
			continue
		}
		c.active, c.idle = true, false
		g.active++
		wg.Go(func() {
			g.results <- result{c, g.f.from(ctx, g.t, c.giver)}
		})
	}
}

// ended notes how a source ended. An error ends all of it.
func (g *gathering) ended(r result) error {
	told := r.c.told
	g.active--
	r.c.active, r.c.told, r.c.failed = false, false, r.err
	r.c.idle = r.err == nil && !told
	if r.err == nil {
		return nil
	}
	r.c.until = g.s.cfg.Now().Add(rest * g.s.cfg.retry)
	if _, over := final(&g.t.b, r.err); over || errors.Is(r.err, errNoRoom) {
		return r.err
	}
	if told {
		r.c.until = time.Time{} // what ended it may have been said before
	}
	return nil
}

// listen looks who is there now, and has those be asked again at once who told of
// the blob.
func (g *gathering) listen() {
	g.sources = g.f.sources(&g.t.b)
	g.s.mu.Lock()
	heard := g.f.heard
	g.f.heard = map[uint64]struct{}{}
	g.s.mu.Unlock()
	for link := range heard {
		if c := g.known[link]; c != nil {
			c.told, c.until, c.idle = c.active, time.Time{}, false
		}
	}
}

// tell lets a group know that more is here than it was told of.
func (g *gathering) tell(ctx context.Context) {
	here := g.t.ledger.count()
	if !g.t.group || here == g.told {
		return
	}
	g.t.mu.Lock()
	b := g.t.b
	g.t.mu.Unlock()
	g.told = here
	g.s.announce(ctx, &b)
}

// failure says why nobody gives any more: what the author says counts first.
func (g *gathering) failure() error {
	err := errNoSource // those that are there have nothing that is missing
	for _, c := range g.known {
		if c.failed != nil && (err == errNoSource || c.giver.author) { //nolint:errorlint // the one from above
			err = c.failed
		}
	}
	return err
}

// from has pieces come from one source until it has none that are missing.
func (f *fetch) from(ctx context.Context, t *target, src *giver) error {
	user := src.link.User
	if err := f.s.slots.enter(ctx, user, func() {
		done, _ := t.ledger.done()
		f.s.waits(&t.b, waiting{"others come first", failure.Because("FILE_TURN")}, done)
	}); err != nil {
		return err
	}
	defer f.s.slots.leave(user)
	st, err := f.s.takeStream(ctx, src.link)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = st.conn.Close() })
	x := &exchange{s: f.s, t: t, st: st, src: src, buffer: make([]byte, chunk), hash: blake3.New()}
	err = x.run(ctx)
	f.s.giveBack(st, !stop() || err != nil && !errors.As(err, new(*endError)))
	f.s.left(&t.b, user)
	if !src.author && (errors.Is(err, errCorrupt) || errors.Is(err, errLied)) {
		// Not the author's fault.
		return &endError{src.source, packet.BlobEnd{Code: packet.BlobNotHere, Text: "what comes is not what the author signed"}}
	}
	return err
}
