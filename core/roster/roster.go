// Package roster keeps the people of an account: who asked whom to be a
// contact, who answered, who left, who is blocked, which keys are whose, and
// who is there now. It owns three packet types, chat.request, chat.accept and
// chat.leave, the direct chats with their member lists, and the account's own
// profile; it fills the identity.Book that conn and chatlog ask.
//
// # Where a contact stands
//
//	           we Request        they accept, or ask too
//	(none) ---------------> OUTGOING ----------------> ACCEPTED
//	   |   they ask         they leave |               ^  |  they leave
//	   +------------> INCOMING ---we Answer(accept)----+  v
//	                     ^----------- they ask -------- LEFT
//
// Declining an INCOMING request forgets it and tells nobody: the asker sees a
// request without an answer, as if it had not been read. Remove tells the other
// side (chat.leave), who keeps the history. Block is silent: the blocked person
// sees somebody who is never online. A request of someone who is a contact here
// is answered with another accept, because it says that the first, or the
// other's data, was lost.
//
// # Acquaintances
//
// Who is a member of a group that this account is in too is an acquaintance, if
// no contact: listed at the directory, pinned and linked like contacts, because
// the members of a group talk with each other directly. Acquaintances come and
// go with the member lists, which the roster reads and never writes. Who shares
// no group any more stays listed until there was a link, so that who is behind
// hears that it is so. What somebody said in a group stays verifiable: keys that
// were trusted once are kept for signatures, and those for which members of a
// chat vouch. A contact, an asker or somebody who left is all that and what he
// was besides; who is blocked stays blocked.
//
// # Packets
//
// The three travel EPHEMERAL, sealed and signed, through the directory, which
// keeps them for who is offline, and over a link too if one is up. Each waits in
// the outbox, a part of the store, until the directory has it; there is one
// place a person in it, because a newer one (say, leave) makes an older one
// (say, request) pointless. One author's packets carry growing times, and one
// that is not newer than the last that was taken is ignored: so copies by two
// ways, redelivery after a crash, and replays by a hostile directory do nothing.
//
// # Keys
//
// A person's keys are pinned when they first come with a request or a look-up.
// When the directory lists others later, links are closed and nothing is sent
// until the user accepts the new safety number. A packet signed by such a key is
// held (the newest one) and takes effect if the user accepts.
//
// # Concurrency
//
// The store is the truth; each change of a person is one transaction. After its
// commit, what others need without a transaction (names, keys, who is
// linkable) is brought up to date in memory, in the order of the transactions,
// and only then it is told on the bus.
package roster

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/identity"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/directorypb"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/packet/net2019"
)

// Directory is what the roster needs of the directory's client. Errors are
// gRPC codes, wrapped or not; calls end with their ctx. UNAVAILABLE when there
// is no session.
type Directory interface {
	// LookUp gives a user's profile and keys. NOT_FOUND.
	LookUp(ctx context.Context, user packet.UserID) (*directorypb.LookUpResponse, error)
	// Deliver hands an encoded packet to a user; nil once the directory handed
	// it over or keeps it.
	Deliver(ctx context.Context, to packet.UserID, packet []byte) error
	// Took says that a delivered packet needs not come again.
	Took(ctx context.Context, delivery uint64) error
	// SetProfile publishes the account's own profile.
	SetProfile(ctx context.Context, profile *directorypb.Profile) error
	// Refresh makes the client read Lists again, soon. It must not block.
	Refresh()
	// Locate gives what is known of a contact's presence now.
	Locate(user packet.UserID) (bus.Presence, bool)
}

// Links is what the roster needs of the connection manager.
type Links interface {
	// Links gives all that are up.
	Links() []bus.Link
	// Send gives a frame to a link.
	Send(ctx context.Context, link uint64, f packet.Frame) error
	// Disconnect closes all links with a user. It must not block for long.
	Disconnect(user packet.UserID, reason packet.ByeReason, text string)
}

// Config of a Roster. All fields but Clock are needed.
type Config struct {
	Identity  *identity.Identity
	Book      *identity.Book
	Bus       *bus.Bus
	Store     store.Store
	Log       *slog.Logger
	Directory Directory
	Links     Links
	// Clock is time.Now if nil.
	Clock func() time.Time
}

// Limits of a roster.
const (
	maxPeople   = 10_000 // contacts, requests and blocked together; the directory's limit of either list
	maxNear     = 10_000 // acquaintances; the directory is given as many as fit into its list
	maxIncoming = 1_000  // requests that wait for an answer
	maxGreeting = 1_000  // bytes
	maxName     = 64     // characters
	maxAvatar   = 64 << 10
	maxDevices  = 32
	maxPacket   = packet.MaxHeader + 2<<10 // bytes of an encoded packet of the three types
)

// Deadlines of calls that leave the process.
const (
	directoryTimeout = 10 * time.Second
	linkTimeout      = 2 * time.Second
)

// maxQueued is how many packets may wait to be handled.
const maxQueued = 1024

// Roster is the people of an account. Its methods may be called concurrently,
// also before and beside Serve.
type Roster struct {
	cfg   Config
	self  packet.UserID
	clock func() time.Time

	packets *bus.Queue[incoming]
	states  *bus.Queue[stateEvent]
	authors *bus.Queue[bus.Author]
	seq     atomic.Uint64 // number of the latest transaction, taken inside it
	kick    chan struct{} // wakes serveOutbox; has room for one
	fetch   chan struct{} // wakes serveProfiles; has room for one
	depart  chan struct{} // wakes serveDepartures; has room for one
	outbox  retries       // owned by serveOutbox

	mu        sync.RWMutex // guards all below; never held during I/O or while publishing
	people    map[packet.UserID]person
	applied   map[packet.UserID]uint64 // the transaction that people shows
	online    map[packet.UserID]bool   // as the directory says
	links     map[packet.UserID]map[uint64]bus.Link
	wanted    map[packet.UserID]want // who is to be looked up
	connected bool                   // to the directory
	groups    groups
}

// person is what is kept in memory of a contact.
type person struct {
	state       store.ContactState
	nickname    string
	displayName string
	pinned      []ed25519.PublicKey
	past        []ed25519.PublicKey
	changed     bool // there are keys that are not pinned
	near        bool // shares a group with this account
}

// New reads the contacts and fills the book. Close must be called.
func New(ctx context.Context, cfg Config) (*Roster, error) {
	r := &Roster{
		cfg: cfg, self: cfg.Identity.User(), clock: cfg.Clock,
		packets: bus.NewQueue[incoming](maxQueued), states: bus.NewQueue[stateEvent](4 * maxPeople),
		authors: bus.Subscribe(cfg.Bus, bus.AuthorUnknown, maxAuthors),
		kick:    make(chan struct{}, 1), fetch: make(chan struct{}, 1),
		outbox: retries{}, wanted: map[packet.UserID]want{},
		people: map[packet.UserID]person{}, applied: map[packet.UserID]uint64{}, groups: newGroups(),
		depart: make(chan struct{}, 1), online: map[packet.UserID]bool{}, links: map[packet.UserID]map[uint64]bus.Link{},
	}
	if r.clock == nil {
		r.clock = time.Now
	}
	err := cfg.Store.View(ctx, func(tx store.ReadTx) error {
		return r.read(tx)
	})
	if err != nil {
		return nil, fmt.Errorf("read contacts: %w", err)
	}
	r.subscribe()
	return r, nil
}

// read fills memory and book from the store.
func (r *Roster) read(tx store.ReadTx) error {
	contacts, err := tx.Contacts()
	if err != nil {
		return err
	}
	for _, c := range contacts {
		if !net2019.IsName(string(c.User)) { // core/net2019 has those
			r.people[c.User] = personOf(c)
		}
	}
	past, err := r.readGroups(tx)
	if err != nil {
		return err
	}
	for user, keys := range past {
		if _, ok := r.people[user]; !ok {
			r.cfg.Book.Set(user, identity.Person{Past: keys})
		}
	}
	for user, p := range r.people {
		p.near, p.past = r.groups.near(user), past[user]
		r.people[user] = p
		r.cfg.Book.Set(user, p.book())
	}
	return nil
}

func personOf(c store.Contact) person {
	return person{
		state: c.State, nickname: c.Nickname, displayName: c.DisplayName,
		pinned: pinnedKeys(c.Devices), changed: keyChanged(c.Devices),
	}
}

// wanted says whether the two are contacts, or this account asked to be one.
func (p person) wanted() bool {
	return p.state == store.ContactAccepted || p.state == store.ContactOutgoing
}

// listed says whether the directory is asked for the person's presence and may
// tell this account's.
func (p person) listed() bool {
	return p.wanted() || p.near && p.state != store.ContactBlocked
}

func (p person) book() identity.Person {
	return identity.Person{
		Keys:       p.pinned,
		Past:       p.past,
		Linkable:   p.listed() && len(p.pinned) > 0 && !p.changed,
		GroupsOnly: !p.wanted(),
		Blocked:    p.state == store.ContactBlocked,
	}
}

func (p person) name(user packet.UserID) string {
	return nameOf(user, p.nickname, p.displayName)
}

func nameOf(user packet.UserID, nickname, displayName string) string {
	switch {
	case nickname != "":
		return nickname
	case displayName != "":
		return displayName
	default:
		return string(user)
	}
}

// Serve listens and sends until ctx ends.
func (r *Roster) Serve(ctx context.Context) error {
	r.resync()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return r.servePackets(ctx) })
	g.Go(func() error { return r.serveStates(ctx) })
	g.Go(func() error { return r.serveOutbox(ctx) })
	g.Go(func() error { return r.serveProfiles(ctx) })
	g.Go(func() error { return r.serveDepartures(ctx) })
	g.Go(func() error { return r.serveAuthors(ctx) })
	return g.Wait()
}

// Close stops listening to the bus, after Serve ended. Idempotent.
func (r *Roster) Close() error {
	r.packets.Drain()
	r.states.Drain()
	r.authors.Close()
	return nil
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// call gives a context for a call to the directory.
func call(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, directoryTimeout)
}

// ended says whether err is only that ctx ended.
func ended(ctx context.Context, err error) bool {
	return ctx.Err() != nil && errors.Is(err, ctx.Err())
}
