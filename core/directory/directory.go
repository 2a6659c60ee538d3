// Package directory is the client of the directory: it registers and logs in,
// keeps a session while the core runs, and publishes what the session says.
//
// Nothing that a directory sends is taken on trust: it is bounded, validated,
// and about people that were asked about. Whose key is whose, and whether a
// packet is signed, the roster decides.
//
// Without a connection the presences stay as they were last known: links that
// live do not need the directory.
package directory

import (
	"context"
	"crypto/x509"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/identity"
	"github.com/parley-chat/parley/internal/failure"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/packet/net2019"
)

// Config of a Client. All fields but Pin and Roots are needed.
type Config struct {
	Address  string // see Target
	Pin      string // see Target; without it an authority must vouch for the directory
	Identity *identity.Identity
	Bus      *bus.Bus
	Log      *slog.Logger
	Agent    string // at most packet.MaxAgent bytes
	// Contacts gives whose presence is wanted and may be told, and who is blocked.
	Contacts func() (contacts, blocked []packet.UserID)
	// Endpoints gives where this device listens.
	Endpoints func() []bus.Endpoint
	// Roots are the authorities that may vouch; nil means the system's.
	Roots *x509.CertPool

	dialer dialer                // nil: TCP
	timing *timing               // nil: as it should be
	alive  func(netip.Addr) bool // nil: see addressAlive
}

func (c *Config) target() Target {
	return Target{
		Address: c.Address, Pin: c.Pin, Identity: c.Identity, Agent: c.Agent, Roots: c.Roots, dialer: c.dialer, timeout: c.timing.dial,
	}
}

// Client is a device's side of the directory. It is safe for concurrent use.
type Client struct {
	cfg     Config
	refresh chan struct{} // filled when contacts or endpoints have changed
	wake    chan struct{} // filled when it is worth trying now

	// returns is owned by Serve; a session's receiver has it while it runs.
	returns returns

	// order is held while a state or presence changes and the change is
	// published, so that the last event is the last word. Taken before mu.
	order sync.Mutex

	mu       sync.Mutex // guards all below
	state    bus.DirectoryState
	session  *session // nil: not connected
	presence map[packet.UserID]known
	watched  map[packet.UserID]struct{} // contacts as last sent
	net2019  net2019Wish
	located  map[net2019.ID]uint64 // revision of what was last said of each
}

// known is what was last heard of a contact.
type known struct {
	bus.Presence
	revision uint64 // within the session that is on now
}

// New makes a client. It connects when it is served.
func New(cfg Config) *Client {
	if cfg.timing == nil {
		t := defaultTiming()
		cfg.timing = &t
	}
	if cfg.alive == nil {
		cfg.alive = addressAlive
	}
	return &Client{
		cfg:      cfg,
		returns:  newReturns(*cfg.timing),
		refresh:  make(chan struct{}, 1),
		wake:     make(chan struct{}, 1),
		presence: map[packet.UserID]known{},
		watched:  map[packet.UserID]struct{}{},
		located:  map[net2019.ID]uint64{},
		state: bus.DirectoryState{Err: &Error{
			Kind: ErrUnreachable, Text: "The directory has not been reached yet.", Why: failure.Because("DIRECTORY_NOT_YET"),
		}},
	}
}

// Serve keeps a session with the directory until ctx ends.
func (c *Client) Serve(ctx context.Context) error {
	for {
		began := time.Now()
		err := c.connect(ctx)
		if ctx.Err() != nil {
			c.setState(bus.DirectoryState{Err: &Error{Kind: ErrUnreachable, Text: "The connection to the directory was closed.", Why: failure.Because("DIRECTORY_LOST")}})
			return ctx.Err()
		}
		c.report(err)
		if err := c.pause(ctx, c.returns.next(began, time.Now(), err)); err != nil {
			return err
		}
	}
}

func (c *Client) report(err error) {
	if c.setState(bus.DirectoryState{Err: err}) {
		c.cfg.Log.Info("not connected to the directory", "error", err)
	}
}

// pause waits, or less when Wake is called.
func (c *Client) pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
	case <-c.wake:
	}
	return nil
}

// State of the session.
func (c *Client) State() bus.DirectoryState {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// Presence gives what is known of a contact, also while there is no session.
func (c *Client) Presence(user packet.UserID) (bus.Presence, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k, ok := c.presence[user]
	return k.Presence, ok
}

// Refresh has contacts and endpoints read anew and sent, if they have changed.
// It never blocks; many calls at once are one.
func (c *Client) Refresh() { fill(c.refresh) }

// Wake says that the network or the clock has jumped: a lost session is tried
// anew at once, and so is one whose connection cannot live any more; one that
// seems to live is probed. It never blocks.
func (c *Client) Wake() { fill(c.wake) }

func fill(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// setState publishes a state that differs from the one before.
func (c *Client) setState(s bus.DirectoryState) (changed bool) {
	c.order.Lock()
	defer c.order.Unlock()
	c.mu.Lock()
	before := c.state
	c.state = s
	c.mu.Unlock()
	text := func(err error) string {
		if err == nil {
			return ""
		}
		return err.Error()
	}
	if s.Connected == before.Connected && s.Observed == before.Observed && text(s.Err) == text(before.Err) {
		return false
	}
	bus.Publish(c.cfg.Bus, bus.DirectoryChanged, s)
	return true
}

// current gives the session, or says why there is none.
func (c *Client) current() (*session, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session != nil {
		return c.session, nil
	}
	text, why := "There is no connection to the directory now.", failure.Because("DIRECTORY_LOST")
	if c.state.Err != nil {
		text, why = c.state.Err.Error(), failure.Reason(c.state.Err)
	}
	return nil, &Error{Kind: ErrUnreachable, Text: text, Why: why, cause: c.state.Err}
}

// setPresence takes what the directory says of a contact.
func (c *Client) setPresence(p bus.Presence, revision uint64) {
	c.order.Lock()
	defer c.order.Unlock()
	c.mu.Lock()
	before, had := c.presence[p.User]
	_, asked := c.watched[p.User]
	if !asked || had && revision < before.revision {
		c.mu.Unlock()
		return
	}
	c.presence[p.User] = known{p, revision}
	c.mu.Unlock()
	if !had || !samePresence(before.Presence, p) {
		bus.Publish(c.cfg.Bus, bus.PresenceChanged, p)
	}
}

// setWatched takes over the contacts that are sent. Those who are no contacts
// any more are forgotten, and offline for all who listen.
func (c *Client) setWatched(contacts []packet.UserID) {
	c.order.Lock()
	defer c.order.Unlock()
	watched := make(map[packet.UserID]struct{}, len(contacts))
	for _, user := range contacts {
		watched[user] = struct{}{}
	}
	var gone []packet.UserID
	c.mu.Lock()
	c.watched = watched
	for user, k := range c.presence {
		if _, ok := watched[user]; ok {
			continue
		}
		delete(c.presence, user)
		if k.Online {
			gone = append(gone, user)
		}
	}
	c.mu.Unlock()
	for _, user := range gone {
		bus.Publish(c.cfg.Bus, bus.PresenceChanged, bus.Presence{User: user})
	}
}

// forgetRevisions: those of another session say nothing.
func (c *Client) forgetRevisions() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for user, k := range c.presence {
		k.revision = 0
		c.presence[user] = k
	}
	c.located = map[net2019.ID]uint64{}
}
