package identity

import (
	"crypto/ed25519"
	"slices"
	"sync"

	"github.com/parley-chat/parley/protocol/packet"
)

// Person is what the book knows of one user.
type Person struct {
	// Keys are trusted: a link or signature of one is this user's.
	Keys []ed25519.PublicKey
	// Linkable says that links with this user are wanted (a contact, or a member of
	// a common group, who is not blocked and whose keys have not changed).
	Linkable bool
	// Blocked says that nothing of this user is taken.
	Blocked bool
}

// Book says whose a device key is. The roster fills it; conn and chatlog ask
// it. It is safe for concurrent use.
type Book struct {
	mu      sync.RWMutex // guards both maps
	people  map[packet.UserID]Person
	devices map[packet.DeviceID]owner
}

type owner struct {
	user packet.UserID
	key  ed25519.PublicKey
}

// NewBook makes an empty book.
func NewBook() *Book {
	return &Book{people: map[packet.UserID]Person{}, devices: map[packet.DeviceID]owner{}}
}

// Set replaces what is known of user.
func (b *Book) Set(user packet.UserID, p Person) {
	p.Keys = slices.Clone(p.Keys)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.remove(user)
	b.people[user] = p
	for _, key := range p.Keys {
		b.devices[packet.DeviceIDOf(key)] = owner{user, key}
	}
}

// Remove forgets user.
func (b *Book) Remove(user packet.UserID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.remove(user)
}

func (b *Book) remove(user packet.UserID) {
	for _, key := range b.people[user].Keys {
		if id := packet.DeviceIDOf(key); b.devices[id].user == user {
			delete(b.devices, id)
		}
	}
	delete(b.people, user)
}

// Person gives what is known of user; the zero Person when nothing is.
func (b *Book) Person(user packet.UserID) Person {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.people[user]
}

// Device says whose a device is, and its key.
func (b *Book) Device(id packet.DeviceID) (packet.UserID, ed25519.PublicKey, bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	o, ok := b.devices[id]
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
