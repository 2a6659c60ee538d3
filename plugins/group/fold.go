package group

import (
	"slices"

	"github.com/parley-chat/parley/protocol/packet"
)

// folding goes through a set of changes of which none is missing between base
// and them.
type folding struct {
	base  *State
	nodes []node
	set   []int       // ascending places in nodes
	local map[int]int // place in nodes -> in set

	children [][]int // all in places of set
	degree   []int   // how many parents are in set
	by       map[packet.UserID][]int
	excluded []bool
}

// loss is a change that counted and by which somebody lost rights.
type loss struct {
	at   int
	user packet.UserID
}

// fold gives what a set of changes makes of base.
func fold(base *State, nodes []node, set []int) *State {
	if len(set) == 0 {
		return base
	}
	f := &folding{base: base, nodes: nodes, set: set, local: make(map[int]int, len(set)), by: map[packet.UserID][]int{}}
	f.children, f.degree, f.excluded = make([][]int, len(set)), make([]int, len(set)), make([]bool, len(set))
	for i, n := range set {
		f.local[n] = i
		f.by[nodes[n].author] = append(f.by[nodes[n].author], i)
		for _, p := range nodes[n].parents {
			if j, ok := f.local[p]; ok { // else it is behind base
				f.children[j] = append(f.children[j], i)
				f.degree[i]++
			}
		}
	}
	f.excludeOwn()
	// What was excluded stays so, which ends this.
	for {
		state, losses := f.once()
		if !f.exclude(losses) {
			return state
		}
	}
}

func (f *folding) at(i int) *node { return &f.nodes[f.set[i]] }

// once applies what is not excluded, in order.
func (f *folding) once() (*State, []loss) {
	state := f.base.next()
	degree := slices.Clone(f.degree)
	var ready []int
	for i, d := range degree {
		if d == 0 {
			ready = append(ready, i)
		}
	}
	var losses []loss
	for len(ready) > 0 {
		best := 0
		for k := 1; k < len(ready); k++ {
			if f.before(state, ready[k], ready[best]) {
				best = k
			}
		}
		i := ready[best]
		ready[best] = ready[len(ready)-1]
		ready = ready[:len(ready)-1]
		for _, child := range f.children[i] {
			if degree[child]--; degree[child] == 0 {
				ready = append(ready, child)
			}
		}
		if f.excluded[i] {
			continue
		}
		n := f.at(i)
		for k := range n.operations {
			_, lost := state.apply(n.id, n.author, &n.operations[k])
			for _, user := range lost {
				losses = append(losses, loss{i, user})
			}
		}
	}
	return state, losses
}

// before says which of two changes that could be next is.
func (f *folding) before(state *State, i, j int) bool {
	a, b := f.at(i), f.at(j)
	if a.author != b.author {
		if c := state.people[a.author].compare(state.people[b.author]); c != 0 {
			return c < 0
		}
	}
	return a.id.compare(b.id) < 0
}

// exclude excludes what people did apart from the changes by which they lost
// rights; it says whether there was any.
func (f *folding) exclude(losses []loss) bool {
	found := false
	for _, l := range losses {
		var apart func(int) bool
		for _, i := range f.by[l.user] {
			if i == l.at || f.excluded[i] {
				continue
			}
			if apart == nil {
				apart = f.apartFrom(l.at)
			}
			if apart(i) {
				f.excluded[i], found = true, true
			}
		}
	}
	return found
}

// apartFrom tells which changes are neither ancestors nor descendants of one.
func (f *folding) apartFrom(i int) func(int) bool {
	related := f.descendants(i)
	visit := []int{f.set[i]}
	for len(visit) > 0 {
		n := visit[len(visit)-1]
		visit = visit[:len(visit)-1]
		for _, p := range f.nodes[n].parents {
			if j, ok := f.local[p]; ok && !related[j] {
				related[j] = true
				visit = append(visit, p)
			}
		}
	}
	return func(j int) bool { return !related[j] }
}

// descendants marks a change and all that builds on it.
func (f *folding) descendants(i int) []bool {
	marked := make([]bool, len(f.set))
	marked[i] = true
	visit := []int{i}
	for len(visit) > 0 {
		n := visit[len(visit)-1]
		visit = visit[:len(visit)-1]
		for _, child := range f.children[n] {
			if !marked[child] {
				marked[child] = true
				visit = append(visit, child)
			}
		}
	}
	return marked
}

// excludeOwn: who gave up a right has signed so, and does not undo it with a
// change that does not know of it. Of two of his own apart that each give up
// one, that counts on which more others built.
func (f *folding) excludeOwn() {
	for i := range f.set {
		if !f.givesUp(i) || len(f.by[f.at(i).author]) == 1 {
			continue
		}
		apart := f.apartFrom(i)
		for _, j := range f.by[f.at(i).author] {
			if j != i && apart(j) && (!f.givesUp(j) || f.standsOver(i, j)) {
				f.excluded[j] = true
			}
		}
	}
}

func (f *folding) givesUp(i int) bool {
	return slices.ContainsFunc(f.at(i).operations, func(o Operation) bool {
		return o.Verb == VerbLeave || o.Verb == VerbSetRole && o.Role == RoleOwner
	})
}

func (f *folding) standsOver(i, j int) bool {
	a, b := f.descendants(i), f.descendants(j)
	onA, onB := map[packet.UserID]bool{}, map[packet.UserID]bool{}
	for k := range f.set {
		switch author := f.at(k).author; {
		case author == f.at(i).author:
		case a[k] && !b[k]:
			onA[author] = true
		case b[k] && !a[k]:
			onB[author] = true
		}
	}
	if len(onA) != len(onB) {
		return len(onA) > len(onB)
	}
	return f.at(i).id.compare(f.at(j).id) < 0
}
