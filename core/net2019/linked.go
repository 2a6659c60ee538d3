package net2019

import (
	"context"
	"fmt"
	"strings"

	"github.com/parley-chat/parley/core/store"
	wire "github.com/parley-chat/parley/protocol/packet/net2019"
)

// keyLinked is the prefix of values that say with whom this account was connected
// in private without a farewell since, each followed by an id. A client of the
// original does not notice when this program ends without one, so that it must be
// known when it starts again.
const keyLinked = "linked/"

// readLinked fills the memory from the store. Before Serve only.
func (s *Service) readLinked(tx store.ReadTx) error {
	values, err := tx.Values(namespace, keyLinked, 0)
	if err != nil {
		return err
	}
	for _, v := range values {
		id, err := wire.ParseID(strings.TrimPrefix(v.Key, keyLinked))
		if err != nil {
			return fmt.Errorf("read %s: %w", v.Key, err)
		}
		s.linked[id] = true
	}
	return nil
}

// noteLinked notes that a private connection is there, or that a farewell was said.
func (s *Service) noteLinked(id wire.ID, linked bool) {
	s.mu.Lock()
	same := s.linked[id] == linked
	if linked {
		s.linked[id] = true
	} else {
		delete(s.linked, id)
	}
	s.mu.Unlock()
	if same {
		return
	}
	err := s.cfg.Store.Update(context.Background(), store.Lazy, func(tx store.Tx) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		var value []byte // the latest counts, whoever comes first
		if s.linked[id] {
			value = []byte{1}
		}
		return tx.PutValue(namespace, keyLinked+string(id), value)
	})
	if err != nil {
		s.cfg.Log.Error("whether somebody of 2019 is connected cannot be noted", "peer", id.Name(), "error", err)
	}
}

// lastLinked are those who were connected when the program ended without a farewell.
func (s *Service) lastLinked() map[wire.ID]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	lost := map[wire.ID]bool{}
	for id := range s.linked {
		lost[id] = true
	}
	return lost
}

// parted notes that a farewell was said on a link. Where it is in doubt whether the
// other side reads that link, it does not count.
func (l *link) parted() {
	if l.chat.Group() {
		return
	}
	l.run.mu.Lock()
	p := l.run.pairs[pairKey{l.chat.ID(), l.peer}]
	doubt := p != nil && p.doubt
	l.run.mu.Unlock()
	if !doubt {
		l.run.s.noteLinked(l.peer, false)
	}
}
