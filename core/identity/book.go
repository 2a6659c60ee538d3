package identity

import (
	"crypto/ed25519"
	"maps"
	"slices"
	"sync"

	"github.com/parley-chat/parley/protocol/packet"
)

// Person is what the book knows of one user.
type Person struct {
	// Keys are trusted: a link or signature of one is this user's.
	Keys []ed25519.PublicKey
	// Past keys were trusted once. They are good for signatures of what was said
	// in groups, and never for links; see Book.Signer.
	Past []ed25519.PublicKey
	// Linkable says that links with this user are wanted (a contact, or a member of
	// a common group, who is not blocked and whose keys have not changed).
	Linkable bool
	// GroupsOnly says that this user is no contact: links with him are for common
	// groups alone, and there is no direct chat.
	GroupsOnly bool
	// Blocked says that nothing of this user is taken.
	Blocked bool
}

// Book says whose a device key is. The roster fills it; conn, chatlog and blob
// ask it. It is safe for concurrent use.
type Book struct {
	mu      sync.RWMutex // guards all below
	people  map[packet.UserID]Person
	devices map[packet.DeviceID]owner // by trusted keys
	past    map[packet.DeviceID]owner
	vouched map[packet.ChatID]map[packet.DeviceID]owner
}

type owner struct {
	user packet.UserID
	key  ed25519.PublicKey
}

// NewBook makes an empty book.
func NewBook() *Book {
	return &Book{
		people: map[packet.UserID]Person{}, devices: map[packet.DeviceID]owner{}, past: map[packet.DeviceID]owner{},
		vouched: map[packet.ChatID]map[packet.DeviceID]owner{},
	}
}

// Set replaces what is known of user.
func (b *Book) Set(user packet.UserID, p Person) {
	p.Keys, p.Past = slices.Clone(p.Keys), slices.Clone(p.Past)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.remove(user)
	b.people[user] = p
	put(b.devices, user, p.Keys)
	put(b.past, user, p.Past)
}

func put(devices map[packet.DeviceID]owner, user packet.UserID, keys []ed25519.PublicKey) {
	for _, key := range keys {
		devices[packet.DeviceIDOf(key)] = owner{user, key}
	}
}

// Remove forgets user.
func (b *Book) Remove(user packet.UserID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.remove(user)
}

func (b *Book) remove(user packet.UserID) {
	drop := func(devices map[packet.DeviceID]owner, keys []ed25519.PublicKey) {
		for _, key := range keys {
			if id := packet.DeviceIDOf(key); devices[id].user == user {
				delete(devices, id)
			}
		}
	}
	drop(b.devices, b.people[user].Keys)
	drop(b.past, b.people[user].Past)
	delete(b.people, user)
}

// Vouch replaces the keys for which members of a chat vouch, by user; nil
// forgets them. Where two users are given one key, neither has it. changed says
// whether that made a difference.
func (b *Book) Vouch(chat packet.ChatID, keys map[packet.UserID][]ed25519.PublicKey) (changed bool) {
	devices := map[packet.DeviceID]owner{}
	twice := map[packet.DeviceID]bool{}
	for user, list := range keys {
		for _, key := range list {
			id := packet.DeviceIDOf(key)
			if o, there := devices[id]; there && o.user != user {
				twice[id] = true
			}
			devices[id] = owner{user, key}
		}
	}
	for id := range twice {
		delete(devices, id)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	same := func(x, y owner) bool { return x.user == y.user && x.key.Equal(y.key) }
	if maps.EqualFunc(b.vouched[chat], devices, same) {
		return false
	}
	if len(devices) == 0 {
		delete(b.vouched, chat)
	} else {
		b.vouched[chat] = devices
	}
	return true
}

// Owner says who has or had a device; what members of a chat say does not count.
func (b *Book) Owner(id packet.DeviceID) (packet.UserID, bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	o, ok := b.devices[id]
	if !ok {
		o, ok = b.past[id]
	}
	return o.user, ok
}

// Person gives what is known of user; the zero Person when nothing is.
func (b *Book) Person(user packet.UserID) Person {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.people[user]
}

// Device says whose a device is, and its key. Only trusted keys count.
func (b *Book) Device(id packet.DeviceID) (packet.UserID, ed25519.PublicKey, bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	o, ok := b.devices[id]
	return o.user, o.key, ok
}

// Signer says whose a device is that signed something in a chat, and its key.
// In a group, where others pass on what somebody said who may have left or got
// a new device since, these count too, in this order: keys that were trusted
// once, and those for which members of that chat vouch.
func (b *Book) Signer(chat packet.ChatID, id packet.DeviceID) (packet.UserID, ed25519.PublicKey, bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	o, ok := b.devices[id]
	if !ok && chat.Kind() == packet.Group {
		if o, ok = b.past[id]; !ok {
			o, ok = b.vouched[chat][id]
		}
	}
	return o.user, o.key, ok
}

// Linkable lists the users with whom links are wanted, in no order. Conn asks
// it at its start and when it lost events.
func (b *Book) Linkable() []packet.UserID {
	b.mu.RLock()
	defer b.mu.RUnlock()
	var users []packet.UserID
	for user, p := range b.people {
		if p.Linkable && !p.Blocked {
			users = append(users, user)
		}
	}
	return users
}
