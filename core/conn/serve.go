package conn

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/protocol/packet"
)

// eventQueue is how many events of the bus may wait; when more come, everybody
// is looked at anew.
const eventQueue = 1024

// Listen takes the port, so that its errors (ErrPortInUse) are known before
// anything else is started. Serve does it where it was not called. Idempotent.
func (m *Manager) Listen(ctx context.Context) error {
	m.mu.Lock()
	l, address := m.listener, m.address
	m.mu.Unlock()
	if l != nil {
		return nil
	}
	l, err := m.config.Transport.Listen(ctx, address)
	if errors.Is(err, ErrPortInUse) && address != m.config.Listen {
		// Any free port was wanted, and the one found before is somebody else's now.
		l, err = m.config.Transport.Listen(ctx, m.config.Listen)
	}
	if err != nil {
		return err
	}
	m.mu.Lock()
	if m.listener != nil { // somebody was quicker
		m.mu.Unlock()
		return l.Close()
	}
	m.listener = l
	m.address = withPort(m.config.Listen, l.Addr().Port())
	m.mu.Unlock()
	m.log.Info("listening for peers", "address", l.Addr())
	m.learnAddresses()
	return nil
}

// withPort has a restarted Serve listen where others know this device.
func withPort(address string, port uint16) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}

// Close gives up the port of a manager that was not served. Serve does so itself
// at its end.
func (m *Manager) Close() error {
	m.mu.Lock()
	l := m.listener
	if m.serving {
		l = nil
	} else {
		m.listener, m.endpoints = nil, nil
	}
	m.mu.Unlock()
	if l == nil {
		return nil
	}
	return l.Close()
}

// Serve runs the manager until ctx ends: then it says good-bye on all links and
// returns when every goroutine has ended. It may be called again.
func (m *Manager) Serve(ctx context.Context) error {
	if err := m.begin(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	m.mu.Lock()
	listener := m.listener
	m.mu.Unlock()

	events := m.subscribe()
	m.wg.Go(func() {
		if err := m.acceptAll(ctx, listener); err != nil {
			cancel(err)
		}
	})
	m.wg.Go(func() { m.watchEvents(ctx, events) })
	m.wg.Go(func() { m.config.Network.Watch(ctx, m.networkChanged) })
	m.wg.Go(func() { m.watchNetwork(ctx) })

	<-ctx.Done()
	m.shutDown(listener)
	events.Drain()
	return context.Cause(ctx)
}

func (m *Manager) begin(ctx context.Context) error {
	m.mu.Lock()
	serving := m.serving
	m.serving, m.stopping = true, false
	m.mu.Unlock()
	if serving {
		return ErrServing
	}
	if err := m.Listen(ctx); err != nil {
		m.mu.Lock()
		m.serving = false
		m.mu.Unlock()
		return err
	}
	return nil
}

// shutDown ends everything and waits for it.
func (m *Manager) shutDown(listener Listener) {
	m.mu.Lock()
	m.stopping = true
	for _, l := range m.links {
		l.close(errStopping, &packet.Bye{Reason: packet.ByeShutdown, Text: "shutting down"})
	}
	m.closeStreamsLocked(func(*stream) bool { return false })
	for user, p := range m.peers {
		p.stop()
		delete(m.peers, user)
	}
	m.mu.Unlock()
	if err := listener.Close(); err != nil {
		m.log.Warn("cannot stop listening", "err", err)
	}
	m.wg.Wait()
	m.mu.Lock()
	m.listener, m.endpoints, m.serving = nil, nil, false
	m.mu.Unlock()
}

// event is what the manager hears on the bus.
type event struct {
	user     packet.UserID
	presence *bus.Presence
	state    *bus.DirectoryState
}

func (m *Manager) subscribe() *bus.Queue[event] {
	q := bus.NewQueue[event](eventQueue)
	bus.Feed(m.config.Bus, bus.PresenceChanged, q, func(p bus.Presence) (event, bool) {
		return event{user: p.User, presence: &p}, true
	})
	bus.Feed(m.config.Bus, bus.ContactChanged, q, func(c bus.ContactChange) (event, bool) {
		return event{user: c.User}, c.User != ""
	})
	bus.Feed(m.config.Bus, bus.DirectoryChanged, q, func(s bus.DirectoryState) (event, bool) {
		return event{state: &s}, s.Observed != ""
	})
	return q
}

// watchEvents looks at everybody once, then at those of whom the bus tells.
func (m *Manager) watchEvents(ctx context.Context, events *bus.Queue[event]) {
	m.reviewAll(ctx)
	for {
		e, err := events.Next(ctx)
		switch {
		case errors.Is(err, bus.ErrLagged):
			m.reviewAll(ctx)
		case err != nil:
			return
		case e.state != nil:
			m.observe(e.state.Observed)
		case e.presence != nil:
			m.review(ctx, e.user, e.presence)
		default:
			m.reviewUser(ctx, e.user)
		}
	}
}

func (m *Manager) reviewUser(ctx context.Context, user packet.UserID) {
	if p, ok := m.config.Locate(user); ok {
		m.review(ctx, user, &p)
	} else {
		m.review(ctx, user, nil)
	}
}

// reviewAll looks at everybody who is or was wanted.
func (m *Manager) reviewAll(ctx context.Context) {
	users := map[packet.UserID]bool{}
	for _, user := range m.config.Book.Linkable() {
		users[user] = true
	}
	m.mu.Lock()
	for user := range m.peers {
		users[user] = true
	}
	for _, l := range m.links {
		users[l.info.User] = true
	}
	m.mu.Unlock()
	for user := range users {
		m.reviewUser(ctx, user)
	}
}

// observe takes this host's address as the directory sees it.
func (m *Manager) observe(address string) {
	a := parseObserved(address)
	m.mu.Lock()
	changed := m.observed != a
	m.observed = a
	m.mu.Unlock()
	if changed {
		m.networkChanged()
	}
}

// networkChanged has watchNetwork look.
func (m *Manager) networkChanged() {
	select {
	case m.network <- struct{}{}:
	default:
	}
}

// sleepCheck is how often the clocks are compared, and by how much they differ
// when the host was asleep.
const sleepCheck = 5 * time.Second

// watchNetwork draws the consequences of changes of the network, several at
// once, and of the host having been asleep.
func (m *Manager) watchNetwork(ctx context.Context) {
	m.config.EndpointsChanged(m.Endpoints())
	tick := time.NewTicker(sleepCheck)
	defer tick.Stop()
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			// The monotonic clock stands still while a host sleeps.
			slept := now.Round(0).Sub(last.Round(0)) - now.Sub(last)
			last = now
			if slept < sleepCheck {
				continue
			}
			m.log.Info("the host was asleep", "for", slept)
		case <-m.network:
			if !m.settleDown(ctx) {
				return
			}
			m.log.Info("the network changed")
		}
		if endpoints, changed := m.learnAddresses(); changed {
			m.config.EndpointsChanged(endpoints)
		}
		m.Wake()
		m.config.Woken()
	}
}

// settleDown waits until no change of the network came for a moment, but not
// long: an interface that flickers must not keep others from being noticed.
func (m *Manager) settleDown(ctx context.Context) bool {
	for range 5 {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(m.timing.settleDown):
			return true
		case <-m.network:
		}
	}
	return true
}

// learnAddresses computes anew where others reach this device.
func (m *Manager) learnAddresses() (endpoints []bus.Endpoint, changed bool) {
	addresses, err := m.config.Network.Addresses()
	if err != nil {
		m.log.Warn("cannot learn this host's addresses", "err", err)
	}
	m.mu.Lock()
	var listen netip.AddrPort
	if m.listener != nil {
		listen = m.listener.Addr()
	}
	m.mu.Unlock()
	return m.setNetwork(listen, addresses)
}
