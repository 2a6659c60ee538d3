package chatlog

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/packet"
)

// maxLists bounds the member lists that are kept in memory, of all chats: one of
// 200 members has some 5 kB.
const maxLists = 128

const noLimit = math.MaxInt64

// list is a version of a member list. It never changes.
type list struct {
	version uint64
	members []packet.UserID // ascending
	cutoffs map[packet.Log]store.Cutoff
	merged  bool // nobody writes under it
	all     bool // what is written under it is for whoever will be a member, too
}

func (l *list) has(user packet.UserID) bool {
	_, ok := slices.BinarySearch(l.members, user)
	return ok
}

// limit is the last number of an author's log that counts under a present list.
func (l *list) limit(log packet.Log, author packet.UserID) uint64 {
	cut, named := l.cutoffs[log]
	switch {
	case named && cut.User == author: // who is removed has no say about another's logs
		return cut.Number
	case l.has(author):
		return noLimit
	}
	return 0
}

type listKey struct {
	chat    packet.ChatID
	version uint64
}

// lists keeps the member lists that were asked for last.
type lists struct {
	mu    sync.Mutex // guards all below; taken after Service.mu, and held for nothing else
	known map[listKey]*list
	order []listKey // as they came
}

func (c *lists) get(k listKey) *list {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.known[k]
}

func (c *lists) put(k listKey, l *list) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known[k] != nil {
		return
	}
	if c.known == nil {
		c.known = map[listKey]*list{}
	}
	if len(c.order) >= maxLists {
		delete(c.known, c.order[0])
		c.order = c.order[1:]
	}
	c.known[k] = l
	c.order = append(c.order, k)
}

// forget drops those of a chat: made again, it may have others.
func (c *lists) forget(chat packet.ChatID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.order = slices.DeleteFunc(c.order, func(k listKey) bool {
		if k.chat == chat {
			delete(c.known, k)
		}
		return k.chat == chat
	})
}

// list gives a version of a chat's member list, nil when it is not known.
func (s *Service) list(tx store.ReadTx, chat packet.ChatID, version uint64) (*list, error) {
	if version == 0 {
		return nil, nil
	}
	k := listKey{chat, version}
	if l := s.lists.get(k); l != nil {
		return l, nil
	}
	l, err := readList(tx, chat, version)
	if err == nil && l != nil {
		s.lists.put(k, l)
	}
	return l, err
}

func readList(tx store.ReadTx, chat packet.ChatID, version uint64) (*list, error) {
	m, err := tx.Membership(chat, version)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("member list %d of chat %s: %w", version, chat, err)
	}
	l := &list{version: version, members: m.Members, merged: m.Merged, all: m.History == store.HistoryAll}
	if len(m.Cutoffs) > 0 {
		l.cutoffs = make(map[packet.Log]store.Cutoff, len(m.Cutoffs))
		for _, c := range m.Cutoffs {
			l.cutoffs[c.Log] = c
		}
	}
	return l, nil
}

// maxStamps is how many lists are considered to write under.
const maxStamps = 16

// stamp gives the version of the member list that this account writes under:
// the present one, unless that is the sum of changes made apart, under which
// nobody writes. Then, of the latest of those with this account, the one that has
// the fewest who are no members any more: they may have what is written under
// it. Of these it is the one with the most members, and then the highest. 0 when
// there is none.
func (s *Service) stamp(tx store.ReadTx, c *store.Chat) (uint64, error) {
	if c.ID.Kind() == packet.Direct {
		return c.Membership, nil
	}
	now, err := s.list(tx, c.ID, c.Membership)
	if err != nil || now == nil {
		return 0, err
	}
	if !now.merged {
		return now.version, nil
	}
	versions, err := tx.Versions(c.ID)
	if err != nil {
		return 0, err
	}
	var best *list
	leastGone, mostHere, seen := 0, 0, 0
	for _, v := range slices.Backward(versions) {
		l, err := s.list(tx, c.ID, v)
		if err != nil {
			return 0, err
		}
		if l == nil || l.merged || !l.has(s.self) {
			continue
		}
		here := 0
		for _, user := range l.members {
			if now.has(user) {
				here++
			}
		}
		gone := len(l.members) - here
		if best == nil || gone < leastGone || gone == leastGone && here > mostHere {
			best, leastGone, mostHere = l, gone, here
		}
		if seen++; seen == maxStamps {
			break
		}
	}
	if best == nil {
		return 0, nil
	}
	return best.version, nil
}
