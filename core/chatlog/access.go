package chatlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/packet"
)

// role is what somebody is in a chat as far as this account knows.
type role int

const (
	outsider role = iota
	present       // a member now, as this account is
	// parted: a member, as this account was. He is to hear that it left, and may
	// tell that its removal was void, or that it is invited again.
	parted
	// leaving: a member once, who may have what was there when this account heard
	// that he no longer is, so that he hears of it too; and nothing after. He may
	// give what still counts, and what lets those hear of it whom he removed.
	leaving
	// guest: who told this account of a chat, or was gone when it became a member, and
	// is no member as far as is known here: that may change with what else he has. He is
	// given nothing.
	guest
)

// role gives what user is in a chat.
func (s *Service) role(tx store.ReadTx, c *store.Chat, user packet.UserID) (role, error) {
	self, other := isMember(c, s.self), isMember(c, user)
	switch {
	case c.ID.Kind() == packet.Net2019:
		return outsider, nil
	case c.ID.Kind() == packet.Direct && user != s.self && s.cfg.Book.Person(user).GroupsOnly:
		return outsider, nil // no contact, or no more: the link is for common groups alone
	case self && other:
		return present, nil
	case c.ID.Kind() != packet.Group:
		return outsider, nil
	case other:
		return parted, nil
	}
	if self {
		there, err := hasValue(tx, keyFarewell(c.ID, user))
		if err != nil || there {
			return leaving, err
		}
	}
	there, err := hasValue(tx, keyOpened(c.ID, user))
	if err != nil || there {
		return guest, err
	}
	return outsider, nil
}

func hasValue(tx store.ReadTx, key string) (bool, error) {
	_, err := tx.Value(namespace, key)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

func isMember(c *store.Chat, user packet.UserID) bool {
	_, ok := slices.BinarySearch(c.Members, user)
	return ok
}

// access says what of a chat somebody may have. It is good as long as the
// transaction it was made in, for one goroutine.
type access struct {
	s      *Service
	tx     store.ReadTx
	chat   store.Chat
	user   packet.UserID
	role   role
	limits map[packet.Log]uint64 // of who is leaving, the last numbers
	under  map[uint64]giving     // how what was written under versions of the list that are known is given
}

// access gives nil when user may have nothing of the chat, or it is not there.
func (s *Service) access(tx store.ReadTx, chat packet.ChatID, user packet.UserID) (*access, error) {
	c, err := tx.Chat(chat)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	r, err := s.role(tx, &c, user)
	if err != nil || r == outsider {
		return nil, err
	}
	a := &access{s: s, tx: tx, chat: c, user: user, role: r, under: map[uint64]giving{}}
	if r == leaving {
		b, err := tx.Value(namespace, keyFarewell(chat, user))
		if err != nil {
			return nil, err
		}
		a.limits = decodeFarewell(chat, b)
	}
	return a, nil
}

// last is the last number of a log that may be given.
func (a *access) last(log packet.Log) uint64 {
	if a.role == leaving {
		return a.limits[log]
	}
	return noLimit
}

// giving is how an entry is given.
type giving int

const (
	nothing giving = iota // not now
	bare                  // without content
	whole
)

// of says how an entry is given: whole if it was written to whom it is given, or
// to all who would ever be members. A present member gets the others without
// content, so that no gap remains in the logs.
func (a *access) of(h *packet.Header) (giving, error) {
	if a.chat.ID.Kind() == packet.Direct || a.s.kindOf(h.Type, a.chat.ID) == changes {
		return whole, nil // of who is leaving: what says so
	}
	is, known := a.under[h.Membership]
	if known {
		return is, nil
	}
	l, err := a.s.list(a.tx, a.chat.ID, h.Membership)
	if err != nil || l == nil {
		return nothing, err
	}
	switch {
	case l.has(a.user), l.all && (a.role == present || a.role == parted):
		is = whole
	case a.role == leaving && l.all:
		is = nothing // he may be a member again, who may have it, and not know it from here
	default:
		is = bare
	}
	a.under[h.Membership] = is
	return is, nil
}

// give adds an entry to frames as it may be given.
func (a *access) give(frames []packet.Frame, p *packet.Packet) ([]packet.Frame, error) {
	g, err := a.of(&p.Header)
	switch {
	case err != nil || g == nothing:
		return frames, err
	case g == bare:
		without := *p
		without.Content = nil
		p = &without
	}
	return append(frames, p), nil
}

// A farewell is for each log its device, epoch and last number: 20, 8 and 8
// bytes, big endian.
const farewellSize = len(packet.DeviceID{}) + 16

func decodeFarewell(chat packet.ChatID, b []byte) map[packet.Log]uint64 {
	limits := make(map[packet.Log]uint64, len(b)/farewellSize)
	for ; len(b) >= farewellSize; b = b[farewellSize:] {
		log := packet.Log{Chat: chat, Device: packet.DeviceID(b[:20]), Epoch: binary.BigEndian.Uint64(b[20:])}
		limits[log] = binary.BigEndian.Uint64(b[28:])
	}
	return limits
}

// farewell gives what user, who is no member any more, may have of what is here
// now: each log up to the last entry that was written to him.
func (s *Service) farewell(tx store.ReadTx, c *store.Chat, heads []store.Head, user packet.UserID) ([]byte, error) {
	a := &access{s: s, tx: tx, chat: *c, user: user, role: leaving, under: map[uint64]giving{}}
	b := make([]byte, 0, len(heads)*farewellSize)
	for _, head := range heads {
		key := packet.EntryKey{Log: packet.Log{Chat: c.ID, Device: head.Device, Epoch: head.Epoch}, Number: head.Upto}
		for ; key.Number > 0 && key.Number+turnEntries > head.Upto; key.Number-- {
			e, err := tx.Entry(key)
			if errors.Is(err, store.ErrNotFound) {
				continue
			}
			if err != nil {
				return nil, err
			}
			if g, err := a.of(&e.Packet.Header); err != nil || g == whole {
				if err != nil {
					return nil, err
				}
				break
			}
		}
		b = append(b, key.Device[:]...)
		b = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, key.Epoch), key.Number)
	}
	return b, nil
}

// review notes, once for each present list of a group, what follows from its
// being the present one, before anything is written under it: what those who are
// gone may still have, and that logs are not gone on with whose end it names.
func (s *Service) review(tx store.Tx, c *store.Chat) error {
	if c.ID.Kind() != packet.Group || c.Membership == 0 {
		return nil
	}
	before, err := number(tx, keyPresent(c.ID))
	if err != nil || before == c.Membership {
		return err
	}
	now, err := s.list(tx, c.ID, c.Membership)
	if err != nil || now == nil {
		return err
	}
	was, err := s.list(tx, c.ID, before)
	if err != nil {
		return err
	}
	fresh, err := s.freshLists(tx, c.ID)
	if err != nil {
		return err
	}
	gone, err := s.gone(tx, c.ID, was, now, fresh)
	if err != nil {
		return err
	}
	if now.has(s.self) {
		err = errors.Join(dropUsers(tx, prefixFarewell(c.ID), now), s.endLogs(tx, c.ID, now))
	}
	if now.has(s.self) && was != nil && was.has(s.self) {
		err = errors.Join(err, s.farewells(tx, c, gone))
	} else {
		err = errors.Join(err, s.keepGuests(tx, c.ID, gone))
	}
	if err = errors.Join(err, dropUsers(tx, prefixOpened(c.ID), now)); err != nil {
		return fmt.Errorf("member list %d of chat %s: %w", c.Membership, c.ID, err)
	}
	return putNumber(tx, keyPresent(c.ID), c.Membership)
}

// gone gives those who were members by the list that was the present one, which may
// be nil, or believe to be by one that came now, and are none.
func (s *Service) gone(tx store.ReadTx, chat packet.ChatID, was, now *list, fresh []uint64) ([]packet.UserID, error) {
	gone := map[packet.UserID]struct{}{}
	note := func(l *list) {
		for _, user := range l.members {
			if !now.has(user) && user != s.self {
				gone[user] = struct{}{}
			}
		}
	}
	if was != nil {
		note(was)
	}
	for _, v := range fresh {
		l, err := s.list(tx, chat, v)
		if err != nil {
			return nil, err
		}
		if l != nil {
			note(l)
		}
	}
	return slices.Sorted(maps.Keys(gone)), nil
}

// keepGuests makes guests of those who were gone when this account became a member, or
// are gone together with it, those who are linked first: more may come of them, as
// that they are members again. There is still room for who tells of the chat later.
func (s *Service) keepGuests(tx store.Tx, chat packet.ChatID, gone []packet.UserID) error {
	there, err := tx.Values(namespace, prefixOpened(chat), maxGuests)
	if err != nil {
		return err
	}
	linked := map[packet.UserID]int{}
	s.mu.Lock()
	for _, l := range s.links {
		linked[l.User] = 1
	}
	s.mu.Unlock()
	slices.SortStableFunc(gone, func(a, b packet.UserID) int { return linked[b] - linked[a] })
	for _, user := range gone[:min(len(gone), max(maxGuests/2-len(there), 0))] {
		if err := tx.PutValue(namespace, keyOpened(chat, user), []byte{1}); err != nil {
			return err
		}
	}
	return nil
}

// freshLists gives the versions that came since it was asked last.
func (s *Service) freshLists(tx store.Tx, chat packet.ChatID) (fresh []uint64, err error) {
	versions, err := tx.Versions(chat)
	if err != nil {
		return nil, err
	}
	b, err := tx.Value(namespace, keyReviewed(chat))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	all := make([]byte, 0, 8*len(versions))
	for _, v := range versions { // both ascend
		all = binary.BigEndian.AppendUint64(all, v)
		for len(b) >= 8 && binary.BigEndian.Uint64(b) < v {
			b = b[8:]
		}
		if len(b) < 8 || binary.BigEndian.Uint64(b) != v {
			fresh = append(fresh, v)
		}
	}
	return fresh, tx.PutValue(namespace, keyReviewed(chat), all)
}

// farewells notes what those who are gone may still have.
func (s *Service) farewells(tx store.Tx, c *store.Chat, gone []packet.UserID) error {
	if len(gone) == 0 {
		return nil
	}
	heads, err := tx.Heads(c.ID)
	if err != nil {
		return err
	}
	for _, user := range gone {
		b, err := s.farewell(tx, c, heads, user)
		if err != nil {
			return err
		}
		if err := tx.PutValue(namespace, keyFarewell(c.ID, user), b); err != nil {
			return err
		}
	}
	return nil
}

// endLogs begins new logs when the present list names the ends of those in use:
// this account was no member, and what it wrote then does not count.
func (s *Service) endLogs(tx store.Tx, chat packet.ChatID, now *list) error {
	for _, k := range []kind{talk, changes} {
		epoch, err := presentEpoch(tx, chat, k)
		if err != nil {
			return err
		}
		if log := (packet.Log{Chat: chat, Device: s.device, Epoch: epoch}); epoch == 0 || now.limit(log, s.self) == noLimit {
			continue
		}
		if _, err := s.beginEpoch(tx, chat, k); err != nil {
			return err
		}
	}
	return nil
}

// dropUsers removes the values of users, whose ids follow prefix, that are in l.
func dropUsers(tx store.Tx, prefix string, l *list) error {
	values, err := tx.Values(namespace, prefix, 0)
	if err != nil {
		return err
	}
	for _, v := range values {
		if !l.has(packet.UserID(v.Key[len(prefix):])) {
			continue
		}
		if err := tx.PutValue(namespace, v.Key, nil); err != nil {
			return err
		}
	}
	return nil
}
