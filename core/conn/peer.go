package conn

import (
	"context"
	"crypto/ed25519"
	"errors"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/protocol/packet"
)

// errOutdated ends a round of dials whose endpoints are no longer the right ones.
var errOutdated = errors.New("endpoints or links changed")

// peer is a user with whom links are wanted. Its goroutine (run) dials when
// there is somebody to reach and no link.
type peer struct {
	m    *Manager
	user packet.UserID
	stop context.CancelFunc
	kick chan struct{} // room for one: look at the plan again

	// The rest is guarded by Manager.mu.
	presence bus.Presence
	heard    bus.Endpoint                     // where the peer said it listens, when it came to us
	worked   bus.Endpoint                     // the last that led to a link
	owners   map[bus.Endpoint]packet.DeviceID // whom an endpoint led to
	failures int
	next     time.Time // not to dial before
	distant  bool      // wanted for common groups alone: there may be hundreds
	restart  bool      // dials under way are worth nothing
	fresh    *rate.Limiter

	moves *rate.Limiter // rounds given up for other endpoints
}

func newPeer(m *Manager, user packet.UserID, stop context.CancelFunc) *peer {
	return &peer{
		m: m, user: user, stop: stop, kick: make(chan struct{}, 1), owners: map[bus.Endpoint]packet.DeviceID{},
		// A contact whose presence flickers does not get around the backoff.
		fresh: rate.NewLimiter(rate.Every(3*time.Second), 5),
		// And one whose endpoints do gets no more dials by it.
		moves: rate.NewLimiter(rate.Every(2*time.Second), 5),
	}
}

func (p *peer) wake() {
	select {
	case p.kick <- struct{}{}:
	default:
	}
}

// plan is what to do about a peer now.
type plan struct {
	endpoints []bus.Endpoint // none: nothing to dial
	wait      time.Duration  // before dialing
	distant   bool
	delay     time.Duration // of a distant one, see turns.go
	restart   bool
}

func (p *peer) plan() plan {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	restart := p.restart
	p.restart = false
	if !p.presence.Online || !p.missingLocked() {
		return plan{restart: restart}
	}
	var endpoints []bus.Endpoint
	for _, e := range append(slices.Clone(p.presence.Endpoints), p.heard) {
		if owner, known := p.owners[e]; !known || !p.m.linkedLocked(owner) {
			endpoints = append(endpoints, e)
		}
	}
	var delay time.Duration
	if p.distant && p.failures == 0 {
		delay = p.m.delayLocked()
	}
	return plan{
		endpoints: candidates(endpoints, p.worked, p.m.endpoints, p.m.addresses, p.m.config.Limits.Endpoints),
		wait:      max(time.Until(p.next), p.m.penaltyLocked(p.user)),
		distant:   p.distant,
		delay:     delay,
		restart:   restart,
	}
}

// missingLocked says whether a device of the user that the directory knows is
// not linked.
func (p *peer) missingLocked() bool {
	self := p.m.config.Identity.Device()
	for _, key := range p.m.config.Book.Person(p.user).Keys {
		id := packet.DeviceIDOf(key)
		listed := len(p.presence.Keys) == 0 || slices.ContainsFunc(p.presence.Keys, func(k ed25519.PublicKey) bool { return k.Equal(key) })
		if id != self && listed && !p.m.linkedLocked(id) {
			return true
		}
	}
	return false
}

// run dials until ctx ends.
func (p *peer) run(ctx context.Context) {
	for ctx.Err() == nil {
		now := p.plan()
		if len(now.endpoints) > 0 && now.wait <= 0 {
			p.round(ctx, now)
			continue
		}
		p.sleep(ctx, now)
	}
}

func (p *peer) sleep(ctx context.Context, now plan) {
	var due <-chan time.Time
	if len(now.endpoints) > 0 {
		timer := time.NewTimer(now.wait)
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-ctx.Done():
	case <-p.kick:
	case <-due:
	}
}

// round tries all endpoints, until the plan is another.
func (p *peer) round(ctx context.Context, plan plan) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	endpoints := plan.endpoints
	done := make(chan error, 1)
	go func() {
		if plan.distant {
			if err := p.m.awaitTurn(ctx, plan.delay); err != nil {
				done <- err
				return
			}
		}
		done <- p.m.dialAll(ctx, p.user, endpoints)
	}()
	for {
		select {
		case err := <-done:
			p.finished(err)
			return
		case <-p.kick:
			if now := p.plan(); now.restart || len(now.endpoints) == 0 || !slices.Equal(now.endpoints, endpoints) && p.moves.Allow() {
				cancel(errOutdated)
				err := <-done
				p.m.log.Debug("dials given up", "user", p.user, "cause", context.Cause(ctx), "err", err)
				return
			}
		}
	}
}

// finished counts a round.
func (p *peer) finished(err error) {
	if err == nil {
		return
	}
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	wait := p.failedLocked()
	if errors.Is(err, ErrVersion) {
		wait = p.m.timing.mismatch
		p.next = time.Now().Add(wait)
	}
	p.m.log.Debug("peer not reached", "user", p.user, "again", wait, "err", err)
}

func (p *peer) failedLocked() time.Duration {
	wait := backoff(p.failures, p.m.timing.backoffFirst, p.m.timing.backoffMost)
	p.failures = min(p.failures+1, 30)
	p.next = time.Now().Add(wait)
	return wait
}

// freshLocked forgets failures: something changed, so that it may work now.
func (p *peer) freshLocked() {
	if p.fresh.Allow() {
		p.failures, p.next = 0, time.Time{}
	}
}

// presenceLocked takes a new presence.
func (p *peer) presenceLocked(presence bus.Presence) {
	p.presence = presence
	for e := range p.owners {
		if e != p.heard && !slices.Contains(presence.Endpoints, e) {
			delete(p.owners, e)
		}
	}
	p.freshLocked()
}

// linkedLocked learns from a new link.
func (p *peer) linkedLocked(l *link) {
	delete(p.m.mismatched, p.user)
	if a, ok := addrPort(l.endpoint); ok {
		e := endpointOf(a)
		if l.dialed {
			p.worked = e
		} else {
			delete(p.owners, p.heard)
			p.heard = e
		}
		p.owners[e] = l.info.Device
	}
	p.wake()
}

// unlinkedLocked has the peer dialed again after its link went down: soon when
// the link had been good, and later each time when not.
func (p *peer) unlinkedLocked(l *link, cause error) {
	if time.Since(l.info.Since) >= p.m.timing.stable {
		p.failures = 0
	}
	p.failedLocked()
	if errors.Is(cause, ErrVersion) {
		p.next = time.Now().Add(p.m.timing.mismatch)
	}
	p.wake()
}

// belongs notes whose an endpoint is.
func (m *Manager) belongs(user packet.UserID, e bus.Endpoint, device packet.DeviceID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p := m.peers[user]; p != nil {
		p.owners[e] = device
	}
}

// review holds a user's links and dials against what is known of the user now.
// presence is nil where nothing new is known of it.
func (m *Manager) review(ctx context.Context, user packet.UserID, presence *bus.Presence) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stopping {
		return
	}
	person := m.config.Book.Person(user)
	wanted := person.Linkable && !person.Blocked
	for _, l := range m.links {
		if l.info.User == user && m.mayLink(l.info.Key) != nil {
			l.close(errUntrusted, &packet.Bye{Reason: packet.ByeRefused, Text: refusedText})
		}
	}
	m.closeStreamsLocked(func(s *stream) bool { return s.link.User != user || m.mayLink(s.link.Key) == nil })
	p := m.peers[user]
	if !wanted {
		if p != nil {
			p.stop()
			delete(m.peers, user)
		}
		return
	}
	if p == nil {
		ctx, stop := context.WithCancel(ctx)
		p = newPeer(m, user, stop)
		m.peers[user] = p
		m.wg.Go(func() { p.run(ctx) })
	}
	p.distant = person.GroupsOnly
	if presence != nil {
		p.presenceLocked(*presence)
	}
	p.wake()
}

// setNetwork takes what is known of this host's addresses; changed says whether
// others reach it elsewhere now.
func (m *Manager) setNetwork(listen netip.AddrPort, addresses []netip.Prefix) (endpoints []bus.Endpoint, changed bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	endpoints = ownEndpoints(listen, addresses, m.observed)
	changed = !slices.Equal(endpoints, m.endpoints)
	m.addresses, m.endpoints = addresses, endpoints
	return slices.Clone(endpoints), changed
}
