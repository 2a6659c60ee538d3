package group

import (
	"cmp"
	"maps"
	"slices"

	"github.com/parley-chat/parley/protocol/packet"
)

const (
	// MaxPeople is how many people a group has at most, invited ones included.
	MaxPeople = 500
	// maxAllCutoffs is what a member list can hold. Of logs of people who went
	// when there are more, nothing counts.
	maxAllCutoffs = 4000
)

// Person is somebody in a group.
type Person struct {
	User packet.UserID
	Role Role
	// By invited this person, or is this person for the creator.
	By packet.UserID
	// rank orders people of one role: who has it longer stands above.
	rank int
}

type logID struct {
	user   packet.UserID
	device packet.DeviceID
	epoch  uint64
}

// State is what a set of changes comes to. States share their maps: one that is
// to be changed is begun with next.
type State struct {
	Title       string
	Description string
	History     History
	// Picture is the change that has the present picture; zero for none.
	Picture ChangeID

	people  map[packet.UserID]Person
	cutoffs map[logID]uint64
	ranks   int

	founded               bool
	ownPeople, ownCutoffs bool // the map is this state's alone
}

// next gives a state that begins as this one.
func (s *State) next() *State {
	n := *s
	n.ownPeople, n.ownCutoffs = false, false
	return &n
}

func own[K comparable, V any](m map[K]V, mine *bool) map[K]V {
	if !*mine {
		*mine = true
		if m = maps.Clone(m); m == nil {
			m = map[K]V{}
		}
	}
	return m
}

// Person gives somebody; his role is RoleNone if he is not in the group.
func (s *State) Person(user packet.UserID) Person { return s.people[user] }

// People gives all, those who stand above first.
func (s *State) People() []Person {
	return slices.SortedFunc(maps.Values(s.people), func(a, b Person) int { return a.compare(b) })
}

// Members gives the users of all, ascending.
func (s *State) Members() []packet.UserID { return slices.Sorted(maps.Keys(s.people)) }

// Invited gives those who have not answered, ascending.
func (s *State) Invited() []packet.UserID {
	var users []packet.UserID
	for user, p := range s.people {
		if p.Role == RoleInvited {
			users = append(users, user)
		}
	}
	slices.Sort(users)
	return users
}

// compare is less than 0 when p stands above o. Nobody stands below all.
func (p Person) compare(o Person) int {
	level := func(r Role) int {
		if r == RoleNone {
			return int(RoleInvited) + 1
		}
		return int(r)
	}
	return cmp.Or(cmp.Compare(level(p.Role), level(o.Role)), cmp.Compare(p.rank, o.rank), cmp.Compare(p.User, o.User))
}

func (p Person) leads() bool { return p.Role == RoleOwner || p.Role == RoleAdmin }

// in: has accepted.
func (p Person) in() bool { return p.leads() || p.Role == RoleMember }

// May says whether author has the right to do o now.
func (s *State) May(author packet.UserID, o *Operation) bool {
	p := s.people[author]
	switch o.Verb {
	case VerbCreate:
		return !s.founded
	case VerbNone:
		return p.in()
	case VerbAccept, VerbLeave:
		return p.Role != RoleNone
	case VerbRemove:
		return p.leads() && o.User != author && p.compare(s.people[o.User]) < 0
	case VerbSetRole:
		return p.leads() && s.mayAppoint(p, o)
	}
	return p.leads()
}

func (s *State) mayAppoint(p Person, o *Operation) bool {
	of := s.people[o.User]
	switch {
	case o.Role == RoleOwner:
		return p.Role == RoleOwner
	case o.User == p.User:
		return o.Role == RoleMember && p.Role == RoleAdmin // steps back
	case o.Role == RoleMember:
		return p.compare(of) < 0
	}
	return of.Role != RoleOwner // an admin: nothing to do
}

// apply does one operation of the change id, which is by author, if it has the
// right and there is something to do; lost are those who lost rights by it.
func (s *State) apply(id ChangeID, author packet.UserID, o *Operation) (did bool, lost []packet.UserID) {
	if !s.May(author, o) {
		return false, nil
	}
	switch o.Verb {
	case VerbCreate:
		s.founded, s.Title, s.History = true, o.Text, o.History
		s.put(Person{User: author, Role: RoleOwner, By: author})
		return true, nil
	case VerbInvite:
		return s.invite(author, o), nil
	case VerbAccept:
		p := s.people[author]
		if p.Role != RoleInvited {
			return false, nil
		}
		p.Role = RoleMember
		if people := s.People(); !people[0].in() {
			p.Role = RoleOwner // all others went before anybody came
		}
		s.put(p)
		return true, nil
	case VerbLeave:
		return s.leave(author, o)
	case VerbRemove:
		if s.people[o.User].Role == RoleNone {
			return false, nil
		}
		s.drop(o.User, o.Cutoffs)
		return true, []packet.UserID{o.User}
	case VerbSetRole:
		return s.setRole(author, o)
	}
	return s.describe(id, o), nil
}

// perform is apply, and notes what became of the operation, the k-th of its change.
func (s *State) perform(id ChangeID, author packet.UserID, k int, o *Operation, out *outcome) (lost []packet.UserID) {
	before := s.people[author].Role
	_, lost = s.apply(id, author, o)
	switch {
	case o.Verb == VerbLeave && before == RoleOwner, o.Verb == VerbAccept && before == RoleInvited && s.people[author].Role == RoleOwner:
		out.owner = s.owner()
	}
	out.judge(s, id, author, k, o)
	return lost
}

// owner gives who is it; empty when everybody left.
func (s *State) owner() packet.UserID {
	for user := range s.people {
		if s.people[user].Role == RoleOwner {
			return user
		}
	}
	return ""
}

// says: the state is so as an operation makes it.
func (s *State) says(id ChangeID, author packet.UserID, o *Operation) bool {
	switch o.Verb {
	case VerbCreate:
		return s.founded && s.Title == o.Text && s.History == o.History
	case VerbInvite:
		return s.people[o.User].Role != RoleNone
	case VerbAccept:
		return s.people[author].in()
	case VerbLeave:
		return s.people[author].Role == RoleNone
	case VerbRemove:
		return s.people[o.User].Role == RoleNone
	case VerbSetRole:
		return s.people[o.User].Role == o.Role
	case VerbSetTitle:
		return s.Title == o.Text
	case VerbSetDescription:
		return s.Description == o.Text
	case VerbSetPicture:
		return s.Picture == id || len(o.Picture) == 0 && s.Picture == (ChangeID{})
	case VerbSetHistory:
		return s.History == o.History
	}
	return true
}

// describe does the operations on facts.
func (s *State) describe(id ChangeID, o *Operation) bool {
	switch o.Verb {
	case VerbSetTitle:
		s.Title = o.Text
	case VerbSetDescription:
		s.Description = o.Text
	case VerbSetPicture:
		s.Picture = id
		if len(o.Picture) == 0 {
			s.Picture = ChangeID{}
		}
	case VerbSetHistory:
		s.History = o.History
	case VerbIntroduce:
	default:
		return false
	}
	return true
}

func (s *State) put(p Person) {
	s.people = own(s.people, &s.ownPeople)
	s.ranks++
	p.rank = s.ranks
	s.people[p.User] = p
}

func (s *State) invite(author packet.UserID, o *Operation) bool {
	if s.people[o.User].Role != RoleNone || len(s.people) >= MaxPeople {
		return false
	}
	s.put(Person{User: o.User, Role: RoleInvited, By: author})
	return true
}

// leave: the most senior of the others follows an owner.
func (s *State) leave(author packet.UserID, o *Operation) (bool, []packet.UserID) {
	was := s.people[author].Role
	s.drop(author, o.Cutoffs)
	if was != RoleOwner {
		return true, []packet.UserID{author}
	}
	if rest := s.People(); len(rest) > 0 && rest[0].in() {
		heir := rest[0]
		heir.Role = RoleOwner
		s.put(heir)
	}
	return true, []packet.UserID{author}
}

func (s *State) drop(user packet.UserID, cutoffs []Cutoff) {
	s.people = own(s.people, &s.ownPeople)
	delete(s.people, user)
	if len(cutoffs) == 0 {
		return
	}
	s.cutoffs = own(s.cutoffs, &s.ownCutoffs)
	for _, c := range cutoffs {
		log := logID{user, c.Device, c.Epoch}
		if number, there := s.cutoffs[log]; (there || len(s.cutoffs) < maxAllCutoffs) && c.Number >= number {
			s.cutoffs[log] = c.Number
		}
	}
}

func (s *State) setRole(author packet.UserID, o *Operation) (bool, []packet.UserID) {
	p := s.people[o.User]
	switch {
	case !p.in() || p.Role == o.Role:
		return false, nil
	case o.Role == RoleOwner:
		old := s.people[author]
		old.Role = RoleAdmin
		s.put(old)
		p.Role = RoleOwner
		s.put(p)
		return true, []packet.UserID{author}
	case p.Role == RoleOwner:
		return false, nil
	}
	before := p.Role
	p.Role = o.Role
	s.put(p)
	if before == RoleAdmin {
		return true, []packet.UserID{o.User}
	}
	return true, nil
}

// cutoff is one of a list.
type cutoff struct {
	User packet.UserID
	Cutoff
}

// cutoffsOfState gives the cutoffs of all who ever went, in a fixed order.
func cutoffsOfState(s *State) []cutoff {
	out := make([]cutoff, 0, len(s.cutoffs))
	for log, number := range s.cutoffs {
		out = append(out, cutoff{log.user, Cutoff{log.device, log.epoch, number}})
	}
	slices.SortFunc(out, func(a, b cutoff) int {
		return cmp.Or(cmp.Compare(a.User, b.User), a.Device.Compare(b.Device), cmp.Compare(a.Epoch, b.Epoch))
	})
	return out
}
