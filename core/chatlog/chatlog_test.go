package chatlog

import (
	"slices"
	"testing"
	"time"

	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/packet"
)

const (
	direct = packet.ChatID("alice-bob")
	group  = packet.ChatID("abcdefghijklmnopqrstuvwxyz")
)

func pair(t *testing.T) (n *network, alice, bob *node) {
	n = newNetwork(t, 1, "alice", "bob")
	alice, bob = n.nodes[0], n.nodes[1]
	n.chat(direct, alice, bob)
	return n, alice, bob
}

func trio(t *testing.T) (n *network, alice, bob, carol *node) {
	n = newNetwork(t, 1, "alice", "bob", "carol")
	n.chat(group, n.nodes...)
	return n, n.nodes[0], n.nodes[1], n.nodes[2]
}

func (n *network) expect(chat packet.ChatID, want []string, nodes ...*node) {
	n.t.Helper()
	if got := n.same(chat, nodes...); !slices.Equal(got, want) {
		n.t.Errorf("they show %q, want %q", got, want)
	}
	n.noNotices()
}

func TestDirectChat(t *testing.T) {
	n, alice, bob := pair(t)
	first := alice.write(direct, "written before there is a link")
	if got := alice.states(first); got != "bob queued" {
		t.Errorf("state is %q", got)
	}
	n.connect(alice, bob)
	n.quiet(time.Minute)
	second := bob.write(direct, "answer")
	n.quiet(time.Minute)
	n.expect(direct, []string{"alice: written before there is a link", "bob: answer"}, alice, bob)
	if got := alice.states(first) + ", " + bob.states(second); got != "bob delivered, alice delivered" {
		t.Errorf("states are %q", got)
	}
}

func TestCatchUpFromAnother(t *testing.T) {
	n, alice, bob, carol := trio(t)
	w := n.connect(alice, bob)
	for _, text := range []string{"1", "2", "3"} {
		alice.write(group, text)
	}
	n.quiet(time.Minute)
	n.cut(w)
	n.connect(bob, carol)
	n.quiet(time.Minute)
	n.expect(group, []string{"alice: 1", "alice: 2", "alice: 3"}, alice, bob, carol)
}

func TestRelayedWhileLinked(t *testing.T) {
	n, alice, bob, carol := trio(t)
	n.connect(alice, bob)
	n.connect(bob, carol)
	n.quiet(time.Minute)
	alice.write(group, "over bob")
	n.quiet(time.Minute)
	carol.write(group, "and back")
	n.quiet(time.Minute)
	n.expect(group, []string{"alice: over bob", "carol: and back"}, alice, bob, carol)
}

func TestRestart(t *testing.T) {
	n, alice, bob := pair(t)
	n.connect(alice, bob)
	alice.write(direct, "one")
	n.quiet(time.Minute)
	alice.restart()
	alice.write(direct, "two")
	bob.restart()
	bob.write(direct, "three")
	n.connect(alice, bob)
	n.quiet(time.Minute)
	if got := n.same(direct, alice, bob); len(got) != 3 {
		t.Errorf("they show %q", got)
	}
	n.noNotices()
	if epochs, _ := ownLogs(t, alice); epochs != 1 {
		t.Errorf("a restart began a new epoch: %d logs", epochs)
	}
}

// ownLogs counts a node's own logs in the direct chat.
func ownLogs(t *testing.T, d *node) (logs int, heads []packet.LogVector) {
	t.Helper()
	must(t, d.store.View(t.Context(), func(tx store.ReadTx) error {
		all, err := tx.Heads(direct)
		for _, h := range all {
			if h.Device == d.id.Device() {
				logs++
				heads = append(heads, h.LogVector)
			}
		}
		return err
	}))
	return logs, heads
}
