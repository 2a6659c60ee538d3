package chatlog

import (
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/identity"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/core/store/storetest"
	"github.com/parley-chat/parley/protocol/packet"
)

// scene is a network in which up to five people write while everything goes
// wrong that can. What happens comes from the seed of the network.
type scene struct {
	*network
	chats []packet.ChatID
	// restores: stores are put back from backups. members: several people, at times
	// apart, remove others and invite them again, and change who may have what is
	// written. strangers: not all know each other's keys.
	restores, members, strangers bool

	// liar is one more member, an admin, who signs what he likes with one number and
	// gives it to whom he likes. He is no node: nobody hears from him otherwise.
	liar *node
	lies []*packet.Header
	told map[uint64]uint64 // the last number of each of his logs

	backups map[*node]*storetest.Fake
	last    store.Membership // of the group, in the end
	written []*line
	unknown [][2]*node // who does not know whose key yet
}

// line is something that was written.
type line struct {
	packet.Header
	by    *node
	after packet.PacketID // the last one its author saw
}

func newScene(n *network, seed uint64, lies bool) *scene {
	sc := &scene{network: n, chats: []packet.ChatID{direct}, backups: map[*node]*storetest.Fake{}, told: map[uint64]uint64{}}
	if lies {
		last := len(n.nodes) - 1
		sc.liar, n.nodes = n.nodes[last], n.nodes[:last]
	}
	for _, d := range n.nodes {
		d.skew = sc.someSkew()
		d.acquainted()
	}
	if lies {
		sc.chats = []packet.ChatID{group, direct}
		sc.members = true
		n.found(seed%2 == 0, n.nodes[1:]...)
		n.nodes[0].change(change{Op: "invite", User: sc.liar.user})
		n.nodes[0].change(change{Op: "promote", User: sc.liar.user})
		n.nodes[0].host()
	} else if len(n.nodes) > 2 {
		sc.chats = []packet.ChatID{group, direct}
		sc.restores, sc.members, sc.strangers = seed%3 == 0, seed%3 == 1, seed%5 == 2
		if sc.members {
			n.found(seed%2 == 0, n.nodes[1:2+sc.rng.IntN(len(n.nodes)-1)]...)
		} else {
			first := store.Membership{Version: 1}
			for _, d := range n.nodes {
				first.Members = append(first.Members, d.user)
			}
			n.allLists[1] = first
			n.chat(group, n.nodes...)
		}
	} else {
		sc.restores = seed%3 == 0
	}
	n.chat(direct, n.nodes[:2]...)
	if sc.strangers {
		sc.estrange()
	}
	return sc
}

// someSkew is how wrong a clock goes: up to two hours.
func (sc *scene) someSkew() time.Duration {
	return time.Duration(sc.rng.IntN(4*3600)-2*3600) * time.Second
}

// acquainted makes everybody a contact, who may thus open chats.
func (d *node) acquainted() {
	d.update(func(tx store.Tx) error {
		for _, other := range d.n.nodes {
			if err := tx.PutContact(store.Contact{User: other.user, State: store.ContactAccepted}); err != nil {
				return err
			}
		}
		return nil
	})
}

// estrange has some people not know each other, so that they have no link and
// cannot verify what the other wrote.
func (sc *scene) estrange() {
	for i, a := range sc.nodes[1:] {
		for _, b := range sc.nodes[1:][i+1:] {
			if sc.rng.IntN(3) == 0 {
				sc.unknown = append(sc.unknown, [2]*node{a, b})
				a.book.Remove(b.user)
				b.book.Remove(a.user)
			}
		}
	}
}

// meet has the last of those who do not know each other learn of each other.
func (sc *scene) meet() {
	last := len(sc.unknown) - 1
	a, b := sc.unknown[last][0], sc.unknown[last][1]
	sc.unknown = sc.unknown[:last]
	for _, d := range []*node{a, b} {
		other := a
		if d == a {
			other = b
		}
		d.book.Set(other.user, identity.Person{Keys: []ed25519.PublicKey{other.id.Key()}, Linkable: true})
		bus.Publish(d.bus, bus.ContactChanged, bus.ContactChange{User: other.user})
	}
}

func (sc *scene) strange(a, b *node) bool {
	return slices.Contains(sc.unknown, [2]*node{a, b}) || slices.Contains(sc.unknown, [2]*node{b, a})
}

// changeOften is in how many of 200 steps somebody tries to change the members.
const changeOften = 16

// step lets one thing happen.
func (sc *scene) step() {
	sc.now = sc.now.Add(time.Duration(sc.rng.IntN(3000)) * time.Millisecond)
	d := sc.nodes[sc.rng.IntN(len(sc.nodes))]
	switch p := sc.rng.IntN(200); {
	case p < 40:
		sc.say(d, sc.chats[sc.rng.IntN(len(sc.chats))])
	case p < 54:
		other := sc.nodes[sc.rng.IntN(len(sc.nodes))]
		if other != d && sc.wire(d, other) == nil && !sc.strange(d, other) {
			sc.connect(d, other)
		}
	case p < 59:
		if len(sc.wires) > 0 {
			sc.cut(sc.wires[sc.rng.IntN(len(sc.wires))])
		}
	case p < 60:
		sc.partition()
	case p < 62:
		sc.crash(d)
	case p < 64 && sc.restores:
		sc.restore(d)
	case p >= 200-changeOften && sc.members:
		sc.changeMembers()
	case p < 67 && len(sc.unknown) > 0:
		sc.meet()
	case p < 120:
		d.work()
		d.host()
	default:
		sc.traffic()
	}
}

// say has d write a line, if it may.
func (sc *scene) say(d *node, chat packet.ChatID) {
	c, ok := d.chat(chat)
	if !ok || !slices.Contains(c.Members, d.user) {
		return
	}
	id := d.write(chat, fmt.Sprint("line ", sc.ids+1))
	must(sc.t, d.store.View(sc.t.Context(), func(tx store.ReadTx) error {
		e, err := tx.EntryByID(id)
		if err != nil {
			return err
		}
		h := e.Packet.Header
		sc.written = append(sc.written, &line{Header: h, by: d, after: c.Last})
		now, err := tx.Membership(chat, c.Membership)
		for _, cut := range now.Cutoffs {
			if cut.Log == h.Key().Log {
				sc.t.Errorf("%s writes on in a log whose end the members know", d.user)
			}
		}
		return err
	}))
}

func (d *node) chat(id packet.ChatID) (c store.Chat, ok bool) {
	must(d.n.t, d.store.View(d.n.t.Context(), func(tx store.ReadTx) (err error) {
		c, err = tx.Chat(id)
		if ok = !isNotFound(err); !ok {
			return nil
		}
		return err
	}))
	return c, ok
}

// partition cuts every wire between two halves.
func (sc *scene) partition() {
	half := 1 + sc.rng.IntN(len(sc.nodes)-1)
	for _, w := range slices.Clone(sc.wires) {
		if (slices.Index(sc.nodes, w.ends[0]) < half) != (slices.Index(sc.nodes, w.ends[1]) < half) {
			sc.cut(w)
		}
	}
}

// crash ends a process, at times with the power of its machine, and starts it
// again, at times with another clock.
func (sc *scene) crash(d *node) {
	if sc.rng.IntN(2) == 0 {
		d.store = d.store.Crash(sc.t, sc.rng)
	}
	if sc.rng.IntN(2) == 0 {
		d.skew = sc.someSkew()
	}
	d.restart()
}

// restore puts a backup back, or makes one.
func (sc *scene) restore(d *node) {
	if sc.backups[d] != nil && sc.rng.IntN(2) > 0 {
		d.store = sc.backups[d]
		sc.now = sc.now.Add(time.Hour)
		d.restart()
	}
	sc.backups[d] = d.store.Copy(sc.t)
}

// sendList sends a version of the group's members, as the group plugin will.
func (d *node) sendList(m store.Membership) {
	content, err := json.Marshal(m)
	must(d.n.t, err)
	d.update(func(tx store.Tx) error {
		_, err := d.svc.Append(tx, Draft{Chat: group, Type: typeList, Content: content})
		return err
	})
	d.svc.appended(group)
}

// traffic moves something on a wire.
func (sc *scene) traffic() {
	if len(sc.wires) == 0 {
		return
	}
	w := sc.wires[sc.rng.IntN(len(sc.wires))]
	to := sc.rng.IntN(2)
	sc.pump(w, 1-to)
	way := w.ways[to]
	if len(way) > 0 && sc.rng.IntN(8) == 0 { // a packet once more
		if f := way[sc.rng.IntN(len(way))]; isPacket(f) {
			sc.hand(w, to, f)
		}
	}
	if len(way) > 1 && sc.rng.IntN(8) == 0 { // packets change places
		if i := sc.rng.IntN(len(way) - 1); isPacket(way[i]) && isPacket(way[i+1]) {
			way[i], way[i+1] = way[i+1], way[i]
		}
	}
	for range sc.rng.IntN(4) {
		if len(w.ways[to]) > 0 && isPacket(w.ways[to][0]) && sc.rng.IntN(20) == 0 {
			w.ways[to] = w.ways[to][1:] // the receiver had no room
			continue
		}
		sc.deliver(w, to)
	}
}

func isPacket(f packet.Frame) bool {
	_, ok := f.(*packet.Packet)
	return ok
}
