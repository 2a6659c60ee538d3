package directory

import (
	"bytes"
	"crypto/ed25519"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/parley-chat/parley/protocol/packet"
)

// view is the records in memory, with the sessions held here.
type view struct {
	// mu guards all below. A session's own mutex is taken under it, never the
	// other way round. Nothing under it reads or writes records.
	mu       sync.RWMutex
	accounts map[packet.UserID]*Account
	owners   map[string]packet.UserID // by device key
	claims   map[string]*claim        // device keys being bound
	online   map[packet.UserID]*presence
	// presenceAt is the revision of the presence bucket that online shows.
	presenceAt uint64
	kept       map[packet.UserID]map[keptKey]kept
	reserved   map[packet.UserID]int // requests being stored
	sessions   map[packet.UserID][]*Session
	invites    map[string]*Invite // by the hex hash of their codes
	// settling: the directory was opened a moment ago, see settle.
	settling bool

	held atomic.Int64 // sessions; read without mu
}

// claim keeps a device key for the user it is being bound to.
type claim struct {
	user    packet.UserID
	holders int // changes under way
}

func newView() view {
	return view{
		accounts: map[packet.UserID]*Account{},
		owners:   map[string]packet.UserID{},
		claims:   map[string]*claim{},
		online:   map[packet.UserID]*presence{},
		kept:     map[packet.UserID]map[keptKey]kept{},
		reserved: map[packet.UserID]int{},
		sessions: map[packet.UserID][]*Session{},
		invites:  map[string]*Invite{},
	}
}

// owner must be called with mu held.
func (v *view) owner(key ed25519.PublicKey) *Account {
	user, ok := v.owners[string(key)]
	if !ok {
		return nil
	}
	return v.accounts[user]
}

// claimKeys makes sure that the device keys which now has and before has not
// are nobody else's, and keeps others from binding them until release.
func (v *view) claimKeys(user packet.UserID, before, now []Device) (release func(), err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	var added []string
	for _, device := range now {
		if slices.ContainsFunc(before, func(b Device) bool { return bytes.Equal(b.Key, device.Key) }) {
			continue
		}
		key := string(device.Key)
		owner, bound := v.owners[key]
		c := v.claims[key]
		if bound && owner != user || c != nil && c.user != user {
			return nil, ErrKeyTaken
		}
		added = append(added, key)
	}
	for _, key := range added {
		if v.claims[key] == nil {
			v.claims[key] = &claim{user: user}
		}
		v.claims[key].holders++
	}
	return func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		for _, key := range added {
			if c := v.claims[key]; c.holders > 1 {
				c.holders--
			} else {
				delete(v.claims, key)
			}
		}
	}, nil
}

// setAccount replaces a user's record; nil removes it. It gives the sessions
// that must end because their device is no longer bound or the account disabled.
func (v *view) setAccount(user packet.UserID, a *Account) (revoked []*Session) {
	v.mu.Lock()
	defer v.mu.Unlock()
	old := v.accounts[user]
	if old != nil {
		for _, device := range old.Devices {
			if v.owners[string(device.Key)] == user {
				delete(v.owners, string(device.Key))
			}
		}
	}
	if a == nil {
		delete(v.accounts, user)
	} else {
		v.accounts[user] = a
		for _, device := range a.Devices {
			v.owners[string(device.Key)] = user
		}
	}
	for _, s := range v.sessions[user] {
		if a == nil || a.Disabled || !a.Has(s.key) {
			revoked = append(revoked, s)
		}
	}
	if p := v.online[user]; p != nil && !sameFace(old, a) {
		for _, watcher := range p.Contacts {
			if v.visible(user, watcher) {
				v.mark(watcher, user)
			}
		}
	}
	return revoked
}

// sameFace says whether two records look the same to others.
func sameFace(a, b *Account) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.DisplayName == b.DisplayName && bytes.Equal(a.AvatarHash, b.AvatarHash) &&
		slices.EqualFunc(a.Devices, b.Devices, func(x, y Device) bool { return bytes.Equal(x.Key, y.Key) })
}

// visible says whether watcher may see that user is online, and where: both are
// online, list each other, and neither has blocked the other. To be called with
// mu held.
func (v *view) visible(user, watcher packet.UserID) bool {
	return mutual(user, v.online[user], watcher, v.online[watcher])
}

// mark makes the sessions of watcher tell how user is now. To be called with mu
// held.
func (v *view) mark(watcher, user packet.UserID) {
	for _, s := range v.sessions[watcher] {
		s.mark(user)
	}
}
