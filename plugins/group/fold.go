package group

import (
	"cmp"
	"container/heap"
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
	took     map[packet.UserID][]int // whose rights others took
	excluded []bool
	// contested are changes, by their ids, by which somebody gives up rights that others took
	// from him by changes apart from them. They are excluded until it is known whether
	// those count.
	contested []int
	cause     map[int]deed // by what those that are excluded are

	last pass // that which counts
}

// pass is what comes of going through all that is not excluded.
type pass struct {
	state    *State
	losses   []loss
	outcomes map[int]outcome // of those of which not all counts, or that have an heir
	facts    map[Verb][]deed // that counted, in order, by what of the group they set
}

// loss is an operation that counted and by which somebody lost rights.
type loss struct {
	deed
	user packet.UserID
}

// fold gives what a set of changes makes of base.
func fold(base *State, nodes []node, set []int) *folding {
	if len(set) == 0 {
		return &folding{last: pass{state: base}}
	}
	f := &folding{base: base, nodes: nodes, set: set, local: make(map[int]int, len(set)), by: map[packet.UserID][]int{}, took: map[packet.UserID][]int{}}
	f.children, f.degree, f.excluded, f.cause = make([][]int, len(set)), make([]int, len(set)), make([]bool, len(set)), map[int]deed{}
	for i, n := range set {
		f.local[n] = i
		f.by[nodes[n].author] = append(f.by[nodes[n].author], i)
		for _, user := range nodes[n].took {
			f.took[user] = append(f.took[user], i)
		}
		for _, p := range nodes[n].parents {
			if j, ok := f.local[p]; ok { // else it is behind base
				f.children[j] = append(f.children[j], i)
				f.degree[i]++
			}
		}
	}
	f.excludeOwn()
	f.settle()
	for _, i := range f.contested {
		if f.taken(i) {
			continue
		}
		f.excluded[i] = false
		delete(f.cause, i)
		f.settle()
	}
	return f
}

// settle applies what is not excluded, and excludes what that excludes: what was
// excluded stays so, which ends this.
func (f *folding) settle() {
	for f.last = f.once(); f.exclude(f.last.losses); {
		f.last = f.once()
	}
}

// taken says whether the author of a change lost rights by another apart from it.
func (f *folding) taken(i int) bool {
	author := f.at(i).author
	var apart func(int) bool
	for _, l := range f.last.losses {
		if l.user != author || l.at == i {
			continue
		}
		if apart == nil {
			apart = f.apartFrom(i)
		}
		if apart(l.at) {
			f.cause[i] = l.deed
			return true
		}
	}
	return false
}

func (f *folding) at(i int) *node { return &f.nodes[f.set[i]] }

// once applies what is not excluded, in order.
func (f *folding) once() pass {
	p := pass{state: f.base.next(), outcomes: map[int]outcome{}, facts: map[Verb][]deed{}}
	degree := slices.Clone(f.degree)
	ready := readyChanges{f: f, of: map[packet.UserID]*byID{}}
	for i, d := range degree {
		if d == 0 {
			ready.add(i)
		}
	}
	for len(ready.of) > 0 {
		i := ready.take(p.state)
		for _, child := range f.children[i] {
			if degree[child]--; degree[child] == 0 {
				ready.add(child)
			}
		}
		f.apply(&p, i)
	}
	return p
}

// apply applies one change, unless it is excluded.
func (f *folding) apply(p *pass, i int) {
	n := f.at(i)
	var out outcome
	for k := range n.operations {
		o := &n.operations[k]
		if f.excluded[i] {
			out.judge(p.state, n.id, n.author, k, o)
			continue
		}
		for _, user := range p.state.perform(n.id, n.author, k, o, &out) {
			p.losses = append(p.losses, loss{deed{i, k}, user})
		}
		if o.setsFact() && p.state.May(n.author, o) {
			p.facts[o.Verb] = append(p.facts[o.Verb], deed{i, k})
		}
	}
	if !out.none() {
		p.outcomes[i] = out
	}
}

// readyChanges are those that could be next. However many one author has, he stands
// in one place.
type readyChanges struct {
	f  *folding
	of map[packet.UserID]*byID
}

func (r *readyChanges) add(i int) {
	author := r.f.at(i).author
	if r.of[author] == nil {
		r.of[author] = &byID{f: r.f}
	}
	heap.Push(r.of[author], i)
}

// take takes the next: that of the author who stands highest, then the one with the
// lower id.
func (r *readyChanges) take(state *State) int {
	var best *byID
	var by Person
	for author, its := range r.of {
		p := state.people[author]
		if best == nil || cmp.Or(p.compare(by), r.f.at(its.set[0]).id.compare(r.f.at(best.set[0]).id)) < 0 {
			best, by = its, p
		}
	}
	i := heap.Pop(best).(int)
	if best.Len() == 0 {
		delete(r.of, r.f.at(i).author)
	}
	return i
}

// byID is a heap of changes, places in set.
type byID struct {
	f   *folding
	set []int
}

func (h *byID) Len() int           { return len(h.set) }
func (h *byID) Less(i, j int) bool { return h.f.at(h.set[i]).id.compare(h.f.at(h.set[j]).id) < 0 }
func (h *byID) Swap(i, j int)      { h.set[i], h.set[j] = h.set[j], h.set[i] }
func (h *byID) Push(i any)         { h.set = append(h.set, i.(int)) }

func (h *byID) Pop() any {
	last := len(h.set) - 1
	i := h.set[last]
	h.set = h.set[:last]
	return i
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
				f.excluded[i], f.cause[i], found = true, l.deed, true
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
// one, that counts on which more others built. But who left when others, apart from
// that, had taken his rights from him may have signed it afterwards, to take back what he
// had done: it counts only if that of the others does not.
func (f *folding) excludeOwn() {
	for author, its := range f.by {
		gaveUp := slices.DeleteFunc(slices.Clone(its), func(i int) bool { return f.givesUpBy(i) < 0 })
		if len(gaveUp) == 0 {
			continue
		}
		slices.SortFunc(gaveUp, f.byID)
		var standing, contested []int
		for _, i := range gaveUp {
			if f.isContested(i, author) {
				contested = append(contested, i)
			} else {
				standing = f.stand(standing, i)
			}
		}
		for _, i := range standing {
			apart := f.apartFrom(i)
			for _, j := range its {
				if j != i && apart(j) {
					f.excluded[j], f.cause[j] = true, deed{i, f.givesUpBy(i)}
				}
			}
		}
		for _, i := range contested {
			if !f.excluded[i] {
				f.excluded[i] = true
				f.contested = append(f.contested, i)
			}
		}
	}
	slices.SortFunc(f.contested, f.byID)
}

func (f *folding) byID(i, j int) int { return f.at(i).id.compare(f.at(j).id) }

// stand adds one of somebody's changes that give up a right to those that stand, unless one
// of them stands over it.
func (f *folding) stand(standing []int, i int) []int {
	apart := f.apartFrom(i)
	if at := slices.IndexFunc(standing, func(j int) bool { return apart(j) && !f.standsOver(i, j) }); at >= 0 {
		j := standing[at]
		f.excluded[i], f.cause[i] = true, deed{j, f.givesUpBy(j)}
		return standing
	}
	kept := standing[:0]
	for _, j := range standing {
		if apart(j) {
			f.excluded[j], f.cause[j] = true, deed{i, f.givesUpBy(i)}
		} else {
			kept = append(kept, j)
		}
	}
	return append(kept, i)
}

// givesUpBy is by which of its operations a change gives up rights; less than 0 if by none.
func (f *folding) givesUpBy(i int) int {
	return slices.IndexFunc(f.at(i).operations, func(o Operation) bool {
		return o.Verb == VerbLeave || o.Verb == VerbSetRole && o.Role == RoleOwner
	})
}

// isContested says whether others took the author's rights apart from the change by which he
// gave them up. From the owner nobody takes them: what he gave up stays so.
func (f *folding) isContested(i int, author packet.UserID) bool {
	if f.at(i).owner {
		return false
	}
	var apart func(int) bool
	for _, j := range f.took[author] {
		if apart == nil {
			apart = f.apartFrom(i)
		}
		if apart(j) {
			return true
		}
	}
	return false
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
