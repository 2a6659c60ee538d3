package chatlog

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/packet"
)

// The liar's logs.
const (
	lyingTalk uint64 = iota + 1
	lyingChanges
)

// lying is who lies, "" for nobody.
func (sc *scene) lying() packet.UserID {
	if sc.liar == nil {
		return ""
	}
	return sc.liar.user
}

// lie has the liar sign a line or a change, often with a number that he gave to
// another already, and give it to some of those to whom it is written.
func (sc *scene) lie() {
	d := sc.nodes[sc.rng.IntN(len(sc.nodes))]
	under := sc.listOf(d.user, sc.liar.user)
	if under == 0 {
		return
	}
	sc.ids++
	h := packet.Header{
		ID: packet.PacketID{1, 15: byte(sc.ids), 14: byte(sc.ids >> 8)}, Chat: group, Author: sc.liar.user, Device: sc.liar.id.Device(),
		Membership: under, SentAt: sc.now.UnixMicro(), Depth: 1 + sc.rng.Uint64N(50), Epoch: lyingTalk,
	}
	content := fmt.Sprint("lie ", sc.ids)
	if c, may := sc.lyingChange(d); may && sc.rng.IntN(2) == 0 {
		h.Type, h.Epoch = typeMembers, lyingChanges
		b, err := json.Marshal(c)
		must(sc.t, err)
		content = string(b)
	}
	last := sc.told[h.Epoch]
	if h.Number = last + 1; last > 0 && sc.rng.IntN(2) == 0 {
		h.Number = 1 + sc.rng.Uint64N(last)
	}
	sc.told[h.Epoch] = max(last, h.Number)
	p := forge(sc.t, sc.liar.id, h, content)
	sc.lies = append(sc.lies, &p.Header)
	sc.whisper(sc.liar, d, p)
	if other := sc.nodes[sc.rng.IntN(len(sc.nodes))]; slices.Contains(sc.allLists[under].Members, other.user) {
		sc.whisper(sc.liar, other, p)
	}
}

// lyingChange is something that an admin may do, by what d knows; he may not if he is
// none by that, which would be forged.
func (sc *scene) lyingChange(d *node) (c change, may bool) {
	g := d.dag()
	c = change{Parents: g.heads(), User: sc.nodes[sc.rng.IntN(len(sc.nodes))].user, Op: "invite"}
	if g.people().members[c.User] && sc.rng.IntN(3) > 0 {
		c.Op, c.Cutoffs = "remove", d.ends(c.User, 0)
	}
	return c, slices.Contains(g.people().senior, sc.lying())
}

// listOf is one of the latest lists under which people write that two are in, 0
// when there is none.
func (sc *scene) listOf(users ...packet.UserID) uint64 {
	var versions []uint64
	for _, v := range slices.Backward(slices.Sorted(maps.Keys(sc.allLists))) {
		m := sc.allLists[v]
		if len(versions) < 3 && !m.Merged && !slices.ContainsFunc(users, func(user packet.UserID) bool { return !slices.Contains(m.Members, user) }) {
			versions = append(versions, v)
		}
	}
	if len(versions) == 0 {
		return 0
	}
	return versions[sc.rng.IntN(len(versions))]
}

// whisper gives a packet to one, of whom its author hears nothing.
func (n *network) whisper(from, to *node, p *packet.Packet) {
	n.links += 2 // as connect does
	link := bus.Link{ID: n.links, User: from.user, Device: from.id.Device(), Key: from.id.Key()}
	bus.Publish(to.bus, bus.LinkUp, link)
	bus.Publish(to.bus, bus.PacketReceived, bus.Received{Link: link, Packet: p})
	bus.Publish(to.bus, bus.LinkDown, link)
}

// alike checks that what the liar said, and that counts, is shown by all to whom
// it was written or by none.
func (sc *scene) alike() {
	sc.t.Helper()
	for _, h := range sc.lies {
		if h.Type == typeMembers || !sc.counts(&line{Header: *h}) {
			continue
		}
		var shown, not []string
		for _, d := range sc.present(group) {
			if !slices.Contains(sc.allLists[h.Membership].Members, d.user) {
				continue
			}
			must(sc.t, d.store.View(sc.t.Context(), func(tx store.ReadTx) error {
				e, err := tx.EntryByID(h.ID)
				if err != nil && !isNotFound(err) {
					return err
				}
				switch _, err := tx.Message(h.ID); {
				case err == nil:
					shown = append(shown, string(d.user))
				case isNotFound(err):
					not = append(not, fmt.Sprint(d.user, " (in state ", e.State, ")"))
				default:
					return err
				}
				return nil
			}))
		}
		if len(shown) > 0 && len(not) > 0 {
			sc.t.Errorf("%v show the lie %s, and %v do not", shown, h.Key(), not)
		}
	}
}
