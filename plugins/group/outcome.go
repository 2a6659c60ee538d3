package group

import (
	"slices"

	"github.com/parley-chat/parley/protocol/packet"
)

// outcome is what became of a change among all that are known. Of most everything
// counts, and they have no heir.
type outcome struct {
	void []void // ascending
	// owner is who was made it by a change by which the owner left, or the first one joined.
	owner packet.UserID
}

// void is an operation that does not count: where it stands among all, it changes nothing of
// what it is to change, or another made apart is preferred to it.
type void struct {
	operation int
	by        deed // because of what; noDeed if it is not a single one
}

// deed is an operation of a change, which is a place in a graph or in a set that is folded.
type deed struct{ at, operation int }

var noDeed = deed{at: -1}

func (o outcome) none() bool { return len(o.void) == 0 && o.owner == "" }

func (o outcome) equal(other outcome) bool {
	return o.owner == other.owner && slices.Equal(o.void, other.void)
}

// voidOf gives the place in void of an operation; less than 0 if it counts.
func (o outcome) voidOf(k int) int {
	return slices.IndexFunc(o.void, func(v void) bool { return v.operation == k })
}

// judge notes the k-th operation of a change if the state is not as it says.
func (o *outcome) judge(s *State, id ChangeID, author packet.UserID, k int, op *Operation) {
	if !s.says(id, author, op) {
		o.void = append(o.void, void{k, noDeed})
	}
}

// setsFact: it sets something of which a group has one, so that the last one counts.
func (o *Operation) setsFact() bool {
	switch o.Verb {
	case VerbSetTitle, VerbSetDescription, VerbSetPicture, VerbSetHistory:
		return true
	}
	return false
}

func (o *Operation) setsSame(other *Operation) bool {
	return o.Text == other.Text && o.History == other.History && len(o.Picture) == 0 && len(other.Picture) == 0
}

// outcomes gives those of the last pass, by places in nodes.
func (f *folding) outcomes() map[int]outcome {
	f.overrule()
	all := make(map[int]outcome, len(f.last.outcomes))
	for i, out := range f.last.outcomes {
		if f.excluded[i] {
			out.void = f.excuse(i, out.void)
		}
		for k := range out.void {
			if by := &out.void[k].by; *by != noDeed {
				by.at = f.set[by.at]
			}
		}
		if !out.none() {
			all[f.set[i]] = out
		}
	}
	return all
}

// excuse says because of what operations of an excluded change are void. Who left, and was
// removed meanwhile, did leave.
func (f *folding) excuse(i int, voids []void) []void {
	by, ok := f.cause[i]
	if !ok || f.excluded[by.at] {
		return voids
	}
	verb := f.at(by.at).operations[by.operation].Verb
	kept := voids[:0]
	for _, v := range voids {
		if v.by == noDeed {
			v.by = by
		}
		if f.at(i).operations[v.operation].Verb != VerbLeave || verb != VerbRemove && verb != VerbLeave {
			kept = append(kept, v)
		}
	}
	return kept
}

// overrule notes what lost against the last of its kind, made apart from it. What was apart
// is looked at by itself: what came after all of that does not make it count.
func (f *folding) overrule() {
	var parts []int
	for _, deeds := range f.last.facts {
		if len(deeds) > 1 && parts == nil {
			parts = f.parts()
		}
		for len(deeds) > 1 {
			part := parts[deeds[0].at]
			n := slices.IndexFunc(deeds, func(d deed) bool { return parts[d.at] != part })
			if n < 0 {
				n = len(deeds)
			}
			f.overruled(deeds[:n], parts)
			deeds = deeds[n:]
		}
	}
}

// overruled notes those of deeds, all of one kind and one part, that lost against the last.
func (f *folding) overruled(deeds []deed, parts []int) {
	last := deeds[len(deeds)-1]
	if deeds[0].at == last.at {
		return
	}
	apart := f.apartWithin(last.at, parts)
	winner := &f.at(last.at).operations[last.operation]
	for _, d := range deeds {
		if d.at == last.at || !apart(d.at) || f.at(d.at).operations[d.operation].setsSame(winner) {
			continue
		}
		out := f.last.outcomes[d.at]
		if k := out.voidOf(d.operation); k >= 0 {
			continue
		}
		out.void = append(out.void, void{d.operation, last})
		slices.SortFunc(out.void, func(a, b void) int { return a.operation - b.operation })
		f.last.outcomes[d.at] = out
	}
}

// parts numbers the set: what of it is between two changes of which each other one is an ancestor
// or a descendant has one number, and so has each of those.
func (f *folding) parts() []int {
	n := len(f.set)
	latest := make([]int, n) // the latest of the parents
	for i := range f.set {
		latest[i] = -1
		for _, p := range f.nodes[f.set[i]].parents {
			if j, ok := f.local[p]; ok {
				latest[i] = max(latest[i], j)
			}
		}
	}
	least := make([]int, n+1) // of latest, of all behind
	least[n] = n
	for i := n - 1; i >= 0; i-- {
		least[i] = min(least[i+1], latest[i])
	}
	parts := make([]int, n)
	isHead, heads, part := make([]bool, n), 0, 0
	for i := range f.set {
		for _, p := range f.nodes[f.set[i]].parents {
			if j, ok := f.local[p]; ok && isHead[j] {
				isHead[j] = false
				heads--
			}
		}
		isHead[i] = true
		heads++
		if heads == 1 && least[i+1] >= i {
			part++
			parts[i] = part
			part++
		} else {
			parts[i] = part
		}
	}
	return parts
}

// apartWithin is apartFrom for changes of the same part.
func (f *folding) apartWithin(i int, parts []int) func(int) bool {
	related := map[int]bool{i: true}
	up := []int{i}
	for len(up) > 0 {
		n := f.set[up[len(up)-1]]
		up = up[:len(up)-1]
		for _, p := range f.nodes[n].parents {
			if j, ok := f.local[p]; ok && parts[j] == parts[i] && !related[j] {
				related[j] = true
				up = append(up, j)
			}
		}
	}
	down := []int{i}
	for len(down) > 0 {
		n := down[len(down)-1]
		down = down[:len(down)-1]
		for _, child := range f.children[n] {
			if parts[child] == parts[i] && !related[child] {
				related[child] = true
				down = append(down, child)
			}
		}
	}
	return func(j int) bool { return !related[j] }
}

// turn takes the outcomes of all changes behind a place, and notes which are others now.
func (g *Graph) turn(outcomes map[int]outcome, from int) {
	for at, before := range g.outcomes {
		if at <= from {
			continue
		}
		if _, there := outcomes[at]; !there {
			delete(g.outcomes, at)
			g.turned[at] = struct{}{}
		} else if !before.equal(outcomes[at]) {
			g.turned[at] = struct{}{}
		}
	}
	for at, now := range outcomes {
		if _, there := g.outcomes[at]; !there {
			g.turned[at] = struct{}{}
		}
		g.outcomes[at] = now
	}
}

// Turned gives which of the first n changes had another outcome when it was asked last.
func (g *Graph) Turned(n int) (ids []ChangeID) {
	for at := range g.turned {
		if at < n {
			ids = append(ids, g.nodes[at].id)
		}
	}
	clear(g.turned)
	return sorted(ids)
}

// Apart gives all changes that are apart from others: those whose outcomes may have turned.
func (g *Graph) Apart() (ids []ChangeID) {
	set := make([]int, len(g.nodes))
	for i := range set {
		set[i] = i
	}
	f := &folding{nodes: g.nodes, set: set, local: make(map[int]int, len(set))}
	for i := range set {
		f.local[i] = i
	}
	parts := f.parts()
	for i := range parts {
		if parts[i]%2 == 0 {
			ids = append(ids, g.nodes[i].id)
		}
	}
	return ids
}
