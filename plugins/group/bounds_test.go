package group

import (
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	"github.com/parley-chat/parley/protocol/packet"
)

// However much some make, it is not at the cost of others.
func TestBoundsAreEachAuthors(t *testing.T) {
	c := newChat("abcdefghijklmnopqrstuvwxyz")
	wait := func(author packet.UserID, n int) (taken int) {
		for range n {
			if !c.roomFor(author) {
				break
			}
			id := ChangeID{}
			binary.BigEndian.PutUint64(id[:], uint64(len(c.waiting)))
			c.waiting[id] = Signed{ID: id, Author: author}
			taken++
		}
		return taken
	}
	for i := range maxWaiting / maxWaitingOfAuthor {
		if got := wait(packet.UserID(fmt.Sprint("mallory", i)), maxWaitingOfAuthor+1); got != maxWaitingOfAuthor {
			t.Errorf("%d of one author wait", got)
		}
	}
	if c.roomFor("mallory0") {
		t.Error("there is room for one more of who made them")
	}
	if got := wait("alice", maxWaiting); got != minWaitingOfAuthor {
		t.Errorf("%d of alice's may wait then", got)
	}

	g := NewGraph(c.id)
	g.nodes, g.by["mallory"] = make([]node, maxChanges), maxChanges
	change := func(author packet.UserID) *Signed {
		return &Signed{Author: author, Change: Change{Parents: []ChangeID{{}}}}
	}
	owner := Person{Role: RoleOwner}
	if err := g.admit(change("mallory"), owner); !errors.Is(err, ErrFull) {
		t.Errorf("mallory's change gives %v", err)
	}
	if err := g.admit(change("alice"), owner); err != nil {
		t.Errorf("alice's change gives %v", err)
	}
	if g.by["alice"] = minByMember; !errors.Is(g.admit(change("alice"), owner), ErrFull) {
		t.Error("there is no end to alice's changes")
	}
}
