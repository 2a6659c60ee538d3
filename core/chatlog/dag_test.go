package chatlog

import (
	"cmp"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/packet"
)

// A small plugin of groups: changes of the members form a graph, as several make
// them at once while apart, and the members are what comes of all that are known.

// change is one change, the content of a packet of typeMembers.
type change struct {
	Parents []string
	Op      string // create, invite, remove, promote, leave, history
	User    packet.UserID
	Cutoffs []store.Cutoff
	All     bool // of create and history: who is invited later may have what is written from then on

	id     string
	author packet.UserID
}

func changeOf(p *packet.Packet) (*change, error) {
	c := &change{author: p.Header.Author}
	if err := json.Unmarshal(p.Content, c); err != nil {
		return nil, err
	}
	hash := packet.HashOf(fmt.Appendf(nil, "%s %s %s", p.Header.Author, p.Header.ID, p.Content))
	c.id = hex.EncodeToString(hash[:16])
	return c, nil
}

// dag is a set of changes with all their parents.
type dag map[string]*change

// heads are the changes that are no other's parents.
func (g dag) heads() []string {
	heads := maps.Clone(g)
	for _, c := range g {
		for _, p := range c.Parents {
			delete(heads, p)
		}
	}
	return slices.Sorted(maps.Keys(heads))
}

// rooted gives the changes with which is all that is before them.
func (g dag) rooted() dag {
	found := dag{}
	for grew := true; grew; {
		grew = false
		for id, c := range g {
			if found[id] == nil && !slices.ContainsFunc(c.Parents, func(id string) bool { return found[id] == nil }) {
				found[id], grew = c, true
			}
		}
	}
	return found
}

// closure is a change and all before it.
func (g dag) closure(id string) dag {
	found := dag{}
	todo := []string{id}
	for len(todo) > 0 {
		id, todo = todo[0], todo[1:]
		if found[id] == nil {
			found[id] = g[id]
			todo = append(todo, g[id].Parents...)
		}
	}
	return found
}

func (g dag) version() uint64 {
	hash := packet.HashOf([]byte(strings.Join(g.heads(), " ")))
	v := uint64(len(g)) << 40
	for i, b := range hash[:5] {
		v |= uint64(b) << (32 - 8*i)
	}
	return v
}

// people is what comes of changes.
type people struct {
	members map[packet.UserID]bool
	senior  []packet.UserID // the owner, and admins as they were appointed
	cutoffs map[packet.Log]store.Cutoff
	all     bool
}

func (p *people) rank(user packet.UserID) int {
	if i := slices.Index(p.senior, user); i >= 0 {
		return i
	}
	return len(p.senior)
}

// people works out what comes of the changes: one after the other behind its
// parents, of those that are ready that of the most senior author first. What its
// author had no right to do is passed over.
func (g dag) people() *people {
	p := &people{members: map[packet.UserID]bool{}, cutoffs: map[packet.Log]store.Cutoff{}}
	done := dag{}
	for len(done) < len(g) {
		var ready []*change
		for id, c := range g {
			if done[id] == nil && !slices.ContainsFunc(c.Parents, func(id string) bool { return done[id] == nil }) {
				ready = append(ready, c)
			}
		}
		next := slices.MinFunc(ready, func(a, b *change) int {
			return cmp.Or(cmp.Compare(p.rank(a.author), p.rank(b.author)), cmp.Compare(a.id, b.id))
		})
		done[next.id] = next
		p.apply(next)
	}
	return p
}

func (p *people) apply(c *change) {
	if c.Op == "create" {
		p.members[c.author], p.senior, p.all = true, []packet.UserID{c.author}, c.All
		return
	}
	admin := slices.Contains(p.senior, c.author)
	switch {
	case !p.members[c.author]:
	case c.Op == "invite" && admin:
		p.members[c.User] = true
	case c.Op == "promote" && p.rank(c.author) == 0 && p.members[c.User] && !slices.Contains(p.senior, c.User):
		p.senior = append(p.senior, c.User)
	case c.Op == "history" && admin:
		p.all = c.All
	case c.Op == "remove" && admin && p.rank(c.User) > 0, c.Op == "leave" && c.User == c.author && p.rank(c.User) > 0:
		delete(p.members, c.User)
		p.senior = slices.DeleteFunc(p.senior, func(user packet.UserID) bool { return user == c.User })
		for _, cut := range c.Cutoffs {
			if cut.User == c.User {
				cut.Number = max(cut.Number, p.cutoffs[cut.Log].Number)
				p.cutoffs[cut.Log] = cut
			}
		}
	}
}

// list is the member list of a set of changes.
func (g dag) list() store.Membership {
	p := g.people()
	m := store.Membership{
		Version: g.version(), Members: slices.Sorted(maps.Keys(p.members)), Cutoffs: slices.Collect(maps.Values(p.cutoffs)), Merged: len(g.heads()) > 1,
	}
	slices.SortFunc(m.Cutoffs, func(a, b store.Cutoff) int { return compareLogs(a.Log, b.Log) })
	if p.all {
		m.History = store.HistoryAll
	}
	return m
}

const changesOf = "changes" // a namespace: what a node's plugin keeps

// known gives the changes that a node has with all that is before them.
func (n *network) known(tx store.ReadTx) (dag, error) {
	values, err := tx.Values(changesOf, "", 0)
	if err != nil {
		return nil, err
	}
	g := dag{}
	for _, v := range values {
		g[v.Key] = n.changes[v.Key]
	}
	return g.rooted(), nil
}

func (d *node) dag() (g dag) {
	d.n.t.Helper()
	must(d.n.t, d.store.View(d.n.t.Context(), func(tx store.ReadTx) (err error) {
		g, err = d.n.known(tx)
		return err
	}))
	return g
}

// handleChange takes a change, and sets the lists that follow from it.
func (d *node) handleChange(tx store.Tx, p *packet.Packet) error {
	c, err := changeOf(p)
	if err != nil {
		return err
	}
	d.n.changes[c.id] = c
	before, err := d.n.known(tx)
	if err != nil {
		return err
	}
	if err := tx.PutValue(changesOf, c.id, []byte{1}); err != nil {
		return err
	}
	g, err := d.n.known(tx)
	if err != nil {
		return err
	}
	for _, id := range slices.Sorted(maps.Keys(g)) {
		if err == nil && before[id] == nil {
			err = d.setList(tx, g.closure(id))
		}
	}
	if err == nil && len(g.heads()) > 1 {
		err = d.setList(tx, g)
	}
	return err
}

func (d *node) setList(tx store.Tx, g dag) error {
	m := g.list()
	d.n.allLists[m.Version] = m
	return tx.PutMembership(group, m)
}

// change has a node make a change.
func (d *node) change(c change) {
	d.n.t.Helper()
	c.Parents = d.dag().heads()
	content, err := json.Marshal(c)
	must(d.n.t, err)
	d.n.made++
	id := packet.PacketID{2, 14: byte(d.n.made >> 8), 15: byte(d.n.made)} // not random, because of what follows from it
	d.update(func(tx store.Tx) error {
		p, err := d.svc.Append(tx, Draft{ID: id, Chat: group, Type: typeMembers, Content: content})
		if err != nil {
			return err
		}
		return tx.SetEntryState(p.Header.Key(), store.EntryNew, 0, "") // handled in turn
	})
	d.svc.appended(group)
}

// found has the first node make the group, and everybody else invited.
func (n *network) found(all bool, users ...*node) {
	n.t.Helper()
	owner := n.nodes[0]
	first := store.Membership{Version: 1, Members: []packet.UserID{owner.user}}
	n.allLists[1] = first
	owner.join(group, first)
	owner.change(change{Op: "create", All: all})
	owner.host()
	for _, d := range users {
		owner.change(change{Op: "invite", User: d.user})
		owner.host()
		n.connect(owner, d)
	}
	n.quiet(0)
	for _, w := range slices.Clone(n.wires) {
		n.cut(w)
	}
}

// changeMembers has somebody who may change the members.
func (sc *scene) changeMembers() {
	d := sc.nodes[sc.rng.IntN(len(sc.nodes))]
	p := d.dag().people()
	people := sc.nodes
	if sc.liar != nil {
		people = append(slices.Clone(people), sc.liar)
	}
	other := people[sc.rng.IntN(len(people))]
	if c, ok := d.chat(group); !ok || !slices.Contains(c.Members, d.user) || !p.members[d.user] {
		return
	}
	admin := slices.Contains(p.senior, d.user)
	switch roll := sc.rng.IntN(10); {
	case other == d && roll < 3 && p.rank(d.user) > 0:
		d.change(change{Op: "leave", User: d.user, Cutoffs: d.ends(d.user, 8)})
	case admin && other == d && roll >= 7:
		d.change(change{Op: "history", All: !p.all})
	case !admin || other == d:
	case !p.members[other.user]:
		d.change(change{Op: "invite", User: other.user})
	case p.rank(d.user) == 0 && !slices.Contains(p.senior, other.user) && roll < 5:
		d.change(change{Op: "promote", User: other.user})
	case p.rank(other.user) > 0:
		d.change(change{Op: "remove", User: other.user, Cutoffs: d.ends(other.user, 0)})
	}
}

// ends gives cutoffs of all of a user's logs, more behind what is here.
func (d *node) ends(user packet.UserID, more uint64) (cutoffs []store.Cutoff) {
	must(d.n.t, d.store.View(d.n.t.Context(), func(tx store.ReadTx) error {
		heads, err := tx.Heads(group)
		for _, h := range heads {
			if h.Author == user {
				log := packet.Log{Chat: group, Device: h.Device, Epoch: h.Epoch}
				cutoffs = append(cutoffs, store.Cutoff{User: user, EntryKey: packet.EntryKey{Log: log, Number: h.Upto + more}})
			}
		}
		return err
	}))
	return cutoffs
}

// truth is what all changes come to that some of these people have.
func (sc *scene) truth(nodes []*node) store.Membership {
	if !sc.members {
		return sc.allLists[1]
	}
	g := dag{}
	lies := map[uint64][]*change{} // by number: those behind a gap are not handled
	for _, d := range nodes {
		must(sc.t, d.store.View(sc.t.Context(), func(tx store.ReadTx) error {
			heads, err := tx.Heads(group)
			for _, h := range heads {
				entries, err := tx.Entries(packet.Log{Chat: group, Device: h.Device, Epoch: h.Epoch}, 1, noLimit, 1000, 1<<20, false)
				if err != nil {
					return err
				}
				twins, err := tx.Twins(packet.EntryKey{Log: packet.Log{Chat: group, Device: h.Device, Epoch: h.Epoch}}, noLimit, 1000, 1<<20)
				if err != nil {
					return err
				}
				entries = append(entries, twins...)
				for i := range entries {
					if p := &entries[i].Packet; p.Header.Type == typeMembers {
						c, err := changeOf(p)
						if err != nil {
							return err
						}
						if c.author == sc.lying() {
							lies[p.Header.Number] = append(lies[p.Header.Number], c)
							continue
						}
						g[c.id] = c
					}
				}
			}
			return err
		}))
	}
	for number := uint64(1); lies[number] != nil; number++ {
		for _, c := range lies[number] {
			g[c.id] = c
		}
	}
	return g.rooted().list()
}

// agree checks that all members know the same changes, and have the list that
// comes of them; and that who is none any more knows it.
func (sc *scene) agree() {
	sc.t.Helper()
	truth := sc.truth(sc.nodes)
	for _, d := range sc.nodes {
		c, ok := d.chat(group)
		if !ok {
			if slices.Contains(truth.Members, d.user) {
				sc.t.Errorf("%s has not heard of the group", d.user)
			}
			continue
		}
		member := slices.Contains(truth.Members, d.user)
		switch {
		case member && c.Membership != sc.version(truth.Members):
			sc.t.Errorf("%s has the list %d of %v, others have %d of %v", d.user, c.Membership, c.Members, sc.version(truth.Members), truth.Members)
		case member && !slices.Equal(c.Members, truth.Members):
			sc.t.Errorf("%s has the members %v, not %v", d.user, c.Members, truth.Members)
		case !member && slices.Contains(c.Members, d.user):
			sc.t.Errorf("%s does not know that it is no member any more", d.user)
		}
		if member {
			must(sc.t, d.store.View(sc.t.Context(), func(tx store.ReadTx) error {
				m, err := tx.Membership(group, c.Membership)
				if !slices.Equal(m.Cutoffs, truth.Cutoffs) {
					sc.t.Errorf("%s has the cutoffs %v, not %v", d.user, m.Cutoffs, truth.Cutoffs)
				}
				return err
			}))
		}
	}
}

// version is the highest present list among members.
func (sc *scene) version(members []packet.UserID) (v uint64) {
	for _, user := range members {
		if user == sc.lying() {
			continue
		}
		c, _ := sc.node(user).chat(group)
		v = max(v, c.Membership)
	}
	return v
}

// private checks that nobody has what was not written to him.
func (sc *scene) private() {
	sc.t.Helper()
	for _, l := range sc.written {
		for _, d := range sc.nodes {
			if sc.mayHave(d, l) {
				continue
			}
			must(sc.t, d.store.View(sc.t.Context(), func(tx store.ReadTx) error {
				e, err := tx.EntryByID(l.ID)
				if isNotFound(err) {
					return nil
				}
				if len(e.Packet.Content) > 0 {
					sc.t.Errorf("%s has line %s, which was written to %v", d.user, l.Key(), sc.allLists[l.Membership].Members)
				}
				if _, err := tx.Message(l.ID); !isNotFound(err) {
					sc.t.Errorf("%s shows line %s, which was written to %v", d.user, l.Key(), sc.allLists[l.Membership].Members)
				}
				return err
			}))
		}
	}
}

// mayHave says whether a line was written to somebody, or to whoever joins later.
func (sc *scene) mayHave(d *node, l *line) bool {
	under := sc.allLists[l.Membership]
	return l.Chat == direct || under.History == store.HistoryAll || slices.Contains(under.Members, d.user)
}
