package group

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/zeebo/blake3"

	"github.com/parley-chat/parley/protocol/packet"
)

const (
	// maxChanges of one group. When there are more, somebody may still make those up to
	// minByMember, so that nobody can use up what others need: with 500 people that is
	// below the 2^22 that versions can count.
	maxChanges  = 1 << 17
	minByMember = 1 << 11
	// maxByMember bounds the changes of somebody who is no admin, who has nothing to
	// say but that he joins or leaves.
	maxByMember = 1 << 14
	// maxForged bounds the forged changes that are remembered, so that what builds on
	// them is seen to be forged too, and does not wait.
	maxForged = 4096
	// maxChokes bounds the states that are kept.
	maxChokes = 128
)

// FirstVersion of every group's member list has the creator alone: what the first
// change is written under.
const FirstVersion = 1

const (
	versionShift = 40
	maxCount     = 22 // bits of a version that count changes
)

// Errors of Graph.Add.
var (
	// ErrForged: its author had not the right to it, by what he himself knew.
	ErrForged = errors.New("not its author's to do")
	// ErrFull: there are too many changes, of the group or of its author.
	ErrFull = errors.New("too many changes")
)

// MissingError says that a change's parents are not all here.
type MissingError struct{ Parents []ChangeID }

func (e *MissingError) Error() string {
	return fmt.Sprintf("%d of its parents are not here", len(e.Parents))
}

// Signed is a change with whose it is.
type Signed struct {
	Change
	ID      ChangeID
	Author  packet.UserID
	Packet  packet.PacketID
	Content packet.Hash // of the packet
}

// Sign names the change that a packet holds.
func Sign(chat packet.ChatID, author packet.UserID, id packet.PacketID, content []byte) (Signed, error) {
	c, err := DecodeChange(content)
	return Signed{Change: c, ID: IDOf(chat, author, id, content), Author: author, Packet: id, Content: packet.HashOf(content)}, err
}

// List is a version of the member list.
type List struct {
	Version uint64
	State   *State
	// Merged: the sum of changes made apart, under which nobody writes.
	Merged bool
}

// Graph is the history of a group: its changes and what follows from which. What
// it comes to is a function of which changes it has, and not of the order in
// which they came:
//
//   - Changes are gone through parents first; of those that could be next, the one
//     whose author stands highest by then comes first, then the one with the
//     lower id.
//   - An operation counts if its author has the right to it by then. Nobody has a
//     right over somebody who stands above him.
//   - What somebody does while, elsewhere, he is removed, leaves or loses a role
//     does not count at all: neither change knew of the other. So nobody can undo his own
//     removal by pretending not to have heard of it.
//   - A change that its author had no right to by what he knew himself (the
//     change's ancestors) is forged: it is not taken, nor is what builds on it.
//
// A Graph is not safe for concurrent use.
type Graph struct {
	chat    packet.ChatID
	nodes   []node // parents before children
	index   map[ChangeID]int
	heads   []int                 // ascending
	by      map[packet.UserID]int // of everybody
	byOther map[packet.UserID]int // of those when he was no admin
	forged  map[ChangeID]struct{} // at most maxForged that were not taken
	chokes  []choke
	known   *State
	// outcomes are those of changes of which not all counts, or that have an heir, by
	// their places in nodes; turned are those that are others than when Turned was asked last.
	outcomes map[int]outcome
	turned   map[int]struct{}
}

type node struct {
	id         ChangeID
	author     packet.UserID
	packet     packet.PacketID
	content    packet.Hash
	parents    []int
	operations []Operation
	owner      bool            // its author was the owner, by what he knew
	took       []packet.UserID // from whom it took rights, its author aside, by what he knew
	withdrawn  []packet.UserID // whose invitations it took back, by what he knew
}

// choke is a change that every other is an ancestor or a descendant of, or was when
// it came: all before it in nodes are ancestors, all behind it descendants. state
// is what all up to it comes to.
type choke struct {
	at    int
	state *State
}

// NewGraph makes the history of a chat, with nothing in it.
func NewGraph(chat packet.ChatID) *Graph {
	return &Graph{
		chat: chat, index: map[ChangeID]int{}, by: map[packet.UserID]int{}, byOther: map[packet.UserID]int{}, forged: map[ChangeID]struct{}{}, known: &State{},
		outcomes: map[int]outcome{}, turned: map[int]struct{}{},
	}
}

// Has says whether a change is here.
func (g *Graph) Has(id ChangeID) bool {
	_, ok := g.index[id]
	return ok
}

// Absence is why somebody is not in a group. Of who is in it, or is asked, nothing is set.
type Absence struct {
	// Declined: was asked perhaps, and never in it.
	Declined bool
	// Withdrawn: of such a one, others took the invitation back.
	Withdrawn bool
	// Removed: was in it, and others took him out.
	Removed bool
}

// Absence says why somebody is not in the group.
func (g *Graph) Absence(user packet.UserID) Absence {
	if g.Known().State.Person(user).Role != RoleNone {
		return Absence{}
	}
	came, takenOut := false, false
	for i := range g.nodes {
		for k := range g.nodes[i].operations {
			switch o := &g.nodes[i].operations[k]; {
			case o.Verb == VerbRemove && o.User == user:
				takenOut = true
			case g.nodes[i].author != user:
			case o.Verb == VerbCreate || o.Verb == VerbAccept:
				came, takenOut = true, false
			case o.Verb == VerbLeave:
				takenOut = false
			}
		}
	}
	return Absence{Declined: !came, Withdrawn: !came && takenOut, Removed: came && takenOut}
}

// Len is how many changes are here.
func (g *Graph) Len() int { return len(g.nodes) }

// Split says whether what is known was changed apart and not joined again.
func (g *Graph) Split() bool { return len(g.heads) > 1 }

// Parents gives the parents of a change that is to be made now, and what they
// come to, by which its author is judged.
func (g *Graph) Parents() ([]ChangeID, *State) {
	ids := g.idsOf(g.heads)
	if len(ids) <= MaxParents {
		return ids, g.known
	}
	ids = ids[:MaxParents]
	var at []int
	for _, id := range ids {
		at = append(at, g.index[id])
	}
	slices.Sort(at)
	state, _ := g.upTo(at)
	return ids, state
}

// Known is the list of all that is known.
func (g *Graph) Known() List {
	return List{Version: version(len(g.nodes), g.idsOf(g.heads)), State: g.known, Merged: len(g.heads) > 1}
}

func (g *Graph) idsOf(at []int) []ChangeID {
	ids := make([]ChangeID, len(at))
	for i, n := range at {
		ids[i] = g.nodes[n].id
	}
	return sorted(ids)
}

// version numbers a set of n changes by its heads, so that it ascends along the
// history, and everybody numbers alike.
func version(n int, heads []ChangeID) uint64 {
	if n == 0 {
		return 0
	}
	h := blake3.New()
	for i := range heads {
		_, _ = h.Write(heads[i][:]) // never fails
	}
	return uint64(n)<<versionShift | binary.BigEndian.Uint64(h.Sum(nil))>>(64-versionShift) //nolint:gosec // n is not negative
}

// Add takes a change whose parents are here, and gives the member list of it and
// its ancestors. One that is here already gives no error and no list. Errors: a
// *MissingError, and wrapped ErrForged and ErrFull.
func (g *Graph) Add(c Signed) (List, error) {
	if g.Has(c.ID) {
		return List{}, nil
	}
	list, err := g.take(&c)
	if errors.Is(err, ErrForged) && len(g.forged) < maxForged {
		g.forged[c.ID] = struct{}{}
	}
	return list, err
}

func (g *Graph) take(c *Signed) (List, error) {
	parents, err := g.parentsOf(c)
	if err != nil {
		return List{}, err
	}
	before, n := g.upTo(parents)
	by := before.Person(c.Author)
	if err := g.admit(c, by); err != nil {
		return List{}, err
	}
	j, err := judge(before, c)
	if err != nil {
		return List{}, err
	}
	g.by[c.Author]++
	if !by.leads() {
		g.byOther[c.Author]++
	}
	g.insert(c, parents, j, by.Role == RoleOwner, withdrawn(before, &c.Change))
	return List{Version: version(n+1, []ChangeID{c.ID}), State: j.after}, nil
}

// withdrawn gives whose invitations a change takes back: those of people whom it
// removes before they joined.
func withdrawn(before *State, c *Change) (users []packet.UserID) {
	for i := range c.Operations {
		if o := &c.Operations[i]; o.Verb == VerbRemove && before.Person(o.User).Role == RoleInvited {
			users = append(users, o.User)
		}
	}
	return users
}

func (g *Graph) parentsOf(c *Signed) ([]int, error) {
	var parents []int
	var missing []ChangeID
	for _, id := range c.Parents {
		if _, forged := g.forged[id]; forged {
			return nil, fmt.Errorf("it builds on one that is forged: %w", ErrForged)
		}
		if at, ok := g.index[id]; ok {
			parents = append(parents, at)
		} else {
			missing = append(missing, id)
		}
	}
	if len(missing) > 0 {
		return nil, &MissingError{missing}
	}
	slices.Sort(parents)
	return parents, nil
}

func (g *Graph) admit(c *Signed, by Person) error {
	if len(c.Parents) == 0 && ChatOf(c.Author, c.Packet) != g.chat {
		return fmt.Errorf("the group was begun by somebody else: %w", ErrForged)
	}
	if len(g.nodes) >= maxChanges && (g.by[c.Author] >= minByMember || len(g.nodes) >= 1<<maxCount-1) {
		return fmt.Errorf("the group has %d: %w", len(g.nodes), ErrFull)
	}
	if !by.leads() && g.byOther[c.Author] >= maxByMember {
		return fmt.Errorf("%s made %d: %w", c.Author, maxByMember, ErrFull)
	}
	return nil
}

// judged is what a change makes of what its author knew.
type judged struct {
	after   *State
	took    []packet.UserID // from whom else it took rights
	outcome outcome
}

// judge judges a change by what its author knew; ErrForged if he had no right to it.
func judge(before *State, c *Signed) (j judged, err error) {
	if len(c.Operations) == 0 && !before.Person(c.Author).in() {
		return judged{}, fmt.Errorf("%s is no member: %w", c.Author, ErrForged)
	}
	j.after = before.next()
	for i := range c.Operations {
		if !j.after.May(c.Author, &c.Operations[i]) {
			return judged{}, fmt.Errorf("%s had not the right: %w", c.Author, ErrForged)
		}
		for _, user := range j.after.perform(c.ID, c.Author, i, &c.Operations[i], &j.outcome) {
			if user != c.Author {
				j.took = append(j.took, user)
			}
		}
	}
	return j, nil
}

func (g *Graph) insert(c *Signed, parents []int, j judged, owner bool, withdrawn []packet.UserID) {
	at := len(g.nodes)
	operations := slices.Clone(c.Operations)
	for i := range operations {
		if o := &operations[i]; len(o.Picture) > 0 {
			o.Picture = []byte{1} // only whether there is one counts here
		}
	}
	g.nodes = append(g.nodes, node{c.ID, c.Author, c.Packet, c.Content, parents, operations, owner, j.took, withdrawn})
	g.index[c.ID] = at
	g.heads = append(slices.DeleteFunc(g.heads, func(h int) bool { return slices.Contains(parents, h) }), at)
	g.chokes = g.chokes[:g.chokesBefore(parents)]
	if len(g.heads) > 1 {
		all, from := g.compute(g.heads)
		g.known = all.last.state
		g.turn(all.outcomes(), from)
		return
	}
	g.known = j.after
	if !j.outcome.none() {
		g.outcomes[at] = j.outcome
	}
	if len(g.chokes) >= maxChokes { // keep the later half, and every second before
		kept := g.chokes[:0]
		for i, ch := range g.chokes {
			if i%2 == 0 || i >= maxChokes/2 {
				kept = append(kept, ch)
			}
		}
		g.chokes = kept
	}
	g.chokes = append(g.chokes, choke{at, j.after})
}

// chokesBefore is how many chokes are among these nodes and their ancestors: all
// before a choke are its ancestors, so one node at or behind it is enough.
func (g *Graph) chokesBefore(at []int) int {
	if len(at) == 0 {
		return 0
	}
	n, found := slices.BinarySearchFunc(g.chokes, slices.Max(at), func(c choke, at int) int { return c.at - at })
	if found {
		n++
	}
	return n
}

// upTo gives what these nodes (ascending) and their ancestors come to, and how
// many they are.
func (g *Graph) upTo(at []int) (*State, int) {
	if slices.Equal(at, g.heads) {
		return g.known, len(g.nodes)
	}
	all, from := g.compute(at)
	return all.last.state, from + 1 + len(all.set)
}

// compute is upTo without what is known, from the last choke, which is at a place.
func (g *Graph) compute(at []int) (all *folding, from int) {
	base, from := &State{}, -1
	if n := g.chokesBefore(at); n > 0 {
		base, from = g.chokes[n-1].state, g.chokes[n-1].at
	}
	return fold(base, g.nodes, g.ancestors(at, from)), from
}

// ancestors gives these nodes and their ancestors behind a place, ascending.
func (g *Graph) ancestors(at []int, from int) []int {
	seen := map[int]bool{}
	var set []int
	var visit []int
	visit = append(visit, at...)
	for len(visit) > 0 {
		n := visit[len(visit)-1]
		visit = visit[:len(visit)-1]
		if n <= from || seen[n] {
			continue
		}
		seen[n] = true
		set = append(set, n)
		visit = append(visit, g.nodes[n].parents...)
	}
	slices.Sort(set)
	return set
}
