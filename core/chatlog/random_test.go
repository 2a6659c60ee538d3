package chatlog

import (
	"flag"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/core/store/storetest"
	"github.com/parley-chat/parley/protocol/packet"
)

var seeds = flag.Int("seeds", 60, "how many random networks are tried")

// keptSeeds once failed.
var keptSeeds = []uint64{48, 204, 549, 1377, 2103, 2313}

func TestRandomNetworks(t *testing.T) {
	try := func(seed uint64) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { randomNetwork(t, seed) })
	}
	for _, seed := range keptSeeds {
		try(seed)
	}
	for seed := range *seeds {
		try(uint64(seed))
	}
}

// randomNetwork lets up to five people write while links come and go, frames are
// lost with them, come twice or out of order, processes restart and stores are
// restored. In the end all are linked, and must show the same.
func randomNetwork(t *testing.T, seed uint64) {
	users := []packet.UserID{"alice", "bob", "carol", "dave", "erin"}
	n := newNetwork(t, seed, users[:2+seed%4]...)
	for _, d := range n.nodes {
		d.skew = time.Duration(n.rng.IntN(7200)-3600) * time.Second
	}
	chat := group
	if len(n.nodes) == 2 {
		chat = direct
	}
	n.chat(chat, n.nodes...)
	restores := seed%3 == 0
	backups := map[*node]*storetest.Fake{}
	written := map[string]bool{}
	for range 300 {
		n.step(chat, restores, backups, written)
	}
	// The last store of each is the one that stays; what only a thrown away one
	// knew is gone.
	for _, w := range slices.Clone(n.wires) {
		n.cut(w)
	}
	for i, a := range n.nodes {
		for _, b := range n.nodes[i+1:] {
			n.connect(a, b)
		}
	}
	n.quiet(time.Hour)
	lines := n.same(chat, n.nodes...)
	if !restores {
		if len(lines) != len(written) {
			t.Errorf("%d lines were written and %d are shown", len(written), len(lines))
		}
	}
	if !restores || len(n.nodes) == 2 {
		n.noNotices() // in a group a fork can be met before it is found
	}
	seen := map[string]bool{}
	for _, line := range lines {
		if seen[line] {
			t.Errorf("%q is shown twice", line)
		}
		seen[line] = true
		if !written[line] {
			t.Errorf("%q was never written", line)
		}
	}
	for _, d := range n.nodes {
		n.leftovers(d, chat, restores)
	}
}

// leftovers checks that nothing is wanted, claimed or kept back at the end.
func (n *network) leftovers(d *node, chat packet.ChatID, restores bool) {
	n.t.Helper()
	for _, l := range d.svc.links {
		if len(l.audits)+len(l.wants)+len(l.serve) > 0 {
			n.t.Errorf("%s still has %d audits, %d wants, %d to serve", d.user, len(l.audits), len(l.wants), len(l.serve))
		}
	}
	if restores {
		return // what only a store knew that is gone leaves gaps
	}
	must(n.t, d.store.View(n.t.Context(), func(tx store.ReadTx) error {
		heads, err := tx.Heads(chat)
		for _, h := range heads {
			if len(h.Beyond) > 0 {
				n.t.Errorf("%s has a gap in %s's log: %+v", d.user, h.Author, h.LogVector)
			}
		}
		return err
	}))
}

func (n *network) step(chat packet.ChatID, restores bool, backups map[*node]*storetest.Fake, written map[string]bool) {
	n.now = n.now.Add(time.Duration(n.rng.IntN(3000)) * time.Millisecond)
	d := n.nodes[n.rng.IntN(len(n.nodes))]
	switch p := n.rng.IntN(100); {
	case p < 20:
		text := fmt.Sprint("line ", n.ids+1)
		d.write(chat, text)
		written[string(d.user)+": "+text] = true
	case p < 27:
		other := n.nodes[n.rng.IntN(len(n.nodes))]
		if other != d && n.wire(d, other) == nil {
			n.connect(d, other)
		}
	case p < 30:
		if len(n.wires) > 0 {
			n.cut(n.wires[n.rng.IntN(len(n.wires))])
		}
	case p < 31:
		d.restart()
	case p < 32 && restores:
		if backups[d] == nil || n.rng.IntN(2) == 0 {
			backups[d] = d.store.Copy(n.t)
			return
		}
		d.store = backups[d]
		backups[d] = d.store.Copy(n.t)
		n.now = n.now.Add(time.Hour)
		d.restart()
	case p < 60:
		d.work()
		d.host()
	default:
		n.traffic()
	}
}

// traffic moves something on a wire.
func (n *network) traffic() {
	if len(n.wires) == 0 {
		return
	}
	w := n.wires[n.rng.IntN(len(n.wires))]
	to := n.rng.IntN(2)
	n.pump(w, 1-to)
	way := w.ways[to]
	if len(way) > 0 && n.rng.IntN(8) == 0 { // a packet once more
		if f := way[n.rng.IntN(len(way))]; isPacket(f) {
			n.hand(w, to, f)
		}
	}
	if len(way) > 1 && n.rng.IntN(8) == 0 { // packets change places
		if i := n.rng.IntN(len(way) - 1); isPacket(way[i]) && isPacket(way[i+1]) {
			way[i], way[i+1] = way[i+1], way[i]
		}
	}
	for range n.rng.IntN(4) {
		if len(w.ways[to]) > 0 && isPacket(w.ways[to][0]) && n.rng.IntN(20) == 0 {
			w.ways[to] = w.ways[to][1:] // the receiver had no room
			continue
		}
		n.deliver(w, to)
	}
}

func isPacket(f packet.Frame) bool {
	_, ok := f.(*packet.Packet)
	return ok
}
