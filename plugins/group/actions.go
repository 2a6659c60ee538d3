package group

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/parley-chat/parley/plugins/sdk"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

const (
	// leaveSlack is how many entries of its own logs a leave lets count beyond
	// those that are there when it is made: itself, and what is sent in that moment.
	leaveSlack = 8
	// handledWithin is how long an action waits for its change to be handled.
	handledWithin = 30 * time.Second
)

// Done is the result, as JSON, of the actions that change something.
type Done struct {
	Chat packet.ChatID `json:"chat"`
	// ID of the change's packet and message; empty when there was nothing to do.
	ID string `json:"id,omitempty"`
}

// change makes a change of what ops gives for the present state, and waits until it
// counts here: what a front end does next builds on it.
func (p *Plugin) change(ctx context.Context, call *sdk.Invocation, ops func(s *State) ([]Operation, error)) (sdk.Result, error) {
	c := p.chat(call.Chat)
	select {
	case c.asking <- struct{}{}:
	case <-ctx.Done():
		return sdk.Result{}, ctx.Err()
	}
	defer func() { <-c.asking }()
	content, handled, err := p.draft(ctx, c, call, ops)
	if err != nil {
		return sdk.Result{}, err
	}
	done := sdk.Result{Value: mustJSON(Done{Chat: call.Chat, ID: call.ID.String()})}
	if content == nil { // it was made by a call before that did not come through, or there is nothing to do
		if handled == nil {
			done.Value = mustJSON(Done{Chat: call.Chat})
		}
		return done, nil
	}
	defer func() {
		c.mu.Lock()
		delete(c.handled, call.ID)
		c.mu.Unlock()
	}()
	send := sdk.SendPacket{ID: call.ID, Chat: call.Chat, Type: TypeChange, Content: content, Handle: true}
	return done, p.send(ctx, c, content, handled, send)
}

// draft gives the content of a change, and where it is told that it was handled.
// No content: it was handled before (handled is set), or there is nothing to do.
func (p *Plugin) draft(ctx context.Context, c *chat, call *sdk.Invocation, ops func(s *State) ([]Operation, error)) ([]byte, chan error, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := p.load(ctx, c); err != nil {
		return nil, nil, err
	}
	handled := make(chan error, 1)
	if c.own(p.self, call.ID) {
		return nil, handled, nil
	}
	parents, state := c.graph.Parents()
	if err := p.known(c, state); err != nil {
		return nil, nil, err
	}
	operations, err := ops(state)
	if err != nil || len(operations) == 0 {
		return nil, nil, err
	}
	change := Change{Parents: parents, Operations: operations}
	if _, err := judge(state, &Signed{Change: change, Author: p.self}); err != nil {
		return nil, nil, sdk.Errorf(codes.PermissionDenied, "you have not the right to do this in the group “%s”", state.Title).Because("NO_RIGHT", "group", state.Title)
	}
	content, err := change.Encode()
	if err != nil {
		return nil, nil, outOfBounds(err)
	}
	c.handled[call.ID] = handled
	return content, handled, nil
}

// notTaken says to whoever made a change why it was refused while it was handled: his
// rights were looked at when he made it, so that something else came between.
func notTaken(err error) error {
	if errors.Is(err, ErrFull) {
		return sdk.Errorf(codes.FailedPrecondition, "no more changes can be made to this group, so many were made: begin a new one: %w", err).Because("CHANGES_FULL")
	}
	return sdk.Errorf(codes.FailedPrecondition, "%w; the group was changed at the same time: look at it again", err).Because("CHANGE_NOT_TAKEN")
}

// send commits effects that send a change, and waits until it is handled.
func (p *Plugin) send(ctx context.Context, c *chat, content []byte, handled chan error, effects ...sdk.Effect) error {
	send := effects[len(effects)-1].(sdk.SendPacket)
	ctx, cancel := context.WithTimeout(ctx, handledWithin)
	defer cancel()
	if err := p.core.Apply(ctx, effects...); err != nil {
		return err
	}
	select {
	case err := <-handled:
		if err != nil {
			return notTaken(err)
		}
	case <-ctx.Done():
		return sdk.Errorf(codes.DeadlineExceeded, "the change is on its way, but was not handled yet: look at the group again").Because("SLOW")
	}
	// Handled, and soon committed.
	key := changeKey(c.id, IDOf(c.id, p.self, send.ID, content))
	for wait := time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		values, err := p.core.Values(ctx, key, 1)
		if err != nil {
			return err
		}
		if len(values) == 1 {
			return nil
		}
		if !p.pause(ctx, wait) {
			return sdk.Errorf(codes.DeadlineExceeded, "the change is on its way, but was not kept yet: look at the group again").Because("SLOW")
		}
	}
}

// known says, for people, why this account cannot act in a group.
func (p *Plugin) known(c *chat, s *State) error {
	switch {
	case c.graph.Len() == 0 && len(c.waiting) > 0:
		return sdk.Errorf(codes.FailedPrecondition, "the group's beginning has not come yet: somebody who has it must be online first").Because("NOT_HERE_YET")
	case c.graph.Len() == 0:
		return sdk.Errorf(codes.NotFound, "there is no group %s here: groups are listed by `parley group list`", c.id).Because("NO_GROUP")
	case s.Person(p.self).Role == RoleNone:
		return sdk.Errorf(codes.FailedPrecondition, "you are not in the group “%s” any more", s.Title).Because("NOT_IN_GROUP", "group", s.Title)
	}
	return nil
}

// outOfBounds says, for people, why a change cannot be made: see Encode.
func outOfBounds(err error) error {
	e := sdk.Errorf(codes.InvalidArgument, "%w", err)
	switch {
	case errors.Is(err, ErrControl):
		return e.Because("CONTROL_CHARACTERS")
	case errors.Is(err, ErrTitle):
		return e.Because("TITLE", "limit", MaxTitle)
	case errors.Is(err, ErrDescription):
		return e.Because("DESCRIPTION", "limit", MaxDescription)
	case errors.Is(err, ErrPicture):
		return e.Because("PICTURE_TOO_LARGE", "limit", MaxPicture>>10)
	case errors.Is(err, ErrTooLarge):
		return e.Because("CHANGE_TOO_LARGE")
	}
	return e
}

func (p *Plugin) leads(s *State, what string) error {
	if s.Person(p.self).leads() {
		return nil
	}
	return sdk.Errorf(codes.PermissionDenied, "only an admin can %s: ask one of the group “%s”", what, s.Title).Because("NOT_ADMIN", "group", s.Title)
}

// usersOf reads the people an action names: in the argument "users", else in the
// text, with spaces or commas between them.
func usersOf(call *sdk.Invocation) ([]packet.UserID, error) {
	text := call.Args["users"]
	if text == "" {
		text = call.Text
	}
	var users []packet.UserID
	for _, name := range strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == ',' || r == '\n' || r == '\t' }) {
		user, err := packet.ParseUserID(name)
		if err != nil {
			return nil, sdk.Errorf(codes.InvalidArgument, "%q is no user id: write people as they are called, such as bob", name).Because("INVALID_USER", "user", name)
		}
		if !slices.Contains(users, user) {
			users = append(users, user)
		}
	}
	return users, nil
}

// invitations gives an operation for each of the users, who must be contacts.
func (p *Plugin) invitations(ctx context.Context, users []packet.UserID) ([]Operation, error) {
	contacts, err := p.core.Contacts(ctx)
	if err != nil {
		return nil, err
	}
	var operations []Operation
	for _, user := range users {
		at := slices.IndexFunc(contacts, func(c sdk.Contact) bool { return c.User == user })
		switch {
		case user == p.self:
			return nil, sdk.Errorf(codes.InvalidArgument, "you are in the group anyway: name the others").Because("IN_ANYWAY")
		case at < 0:
			return nil, sdk.Errorf(codes.FailedPrecondition, "%s is not among your contacts: add them first, with `parley contacts add %s`", user, user).Because("NO_CONTACT", "user", user)
		}
		keys := contacts[at].Keys
		operations = append(operations, Operation{Verb: VerbInvite, User: user, Keys: keys[:min(len(keys), MaxKeys)]})
	}
	return operations, nil
}

// maxIntroduced is how many bytes of a change introductions may take.
const maxIntroduced = MaxContent - 4<<10

// introductions tell those who are invited of the group's people, who stand highest
// first, as far as there is room.
func introductions(people []Person, known []sdk.Contact, invited []Operation) []Operation {
	size := 0
	cost := func(o *Operation) int { return 16 + len(o.User) + 36*len(o.Keys) }
	for i := range invited {
		size += cost(&invited[i])
	}
	var operations []Operation
	for _, person := range people {
		o := Operation{Verb: VerbIntroduce, User: person.User}
		if at := slices.IndexFunc(known, func(c sdk.Contact) bool { return c.User == person.User }); at >= 0 {
			o.Keys = known[at].Keys[:min(len(known[at].Keys), MaxKeys)]
		}
		if size += cost(&o); size > maxIntroduced || len(invited)+len(operations) >= MaxOperations {
			break
		}
		operations = append(operations, o)
	}
	return operations
}

func historyNamed(name string) (History, error) {
	switch name {
	case "", "from-join":
		return HistoryFromJoin, nil
	case "all":
		return HistoryAll, nil
	}
	return 0, sdk.Errorf(codes.InvalidArgument, "%q is none of the settings for a group's history: from-join, all", name)
}

// create begins a group. Text: its name; args: "users", "history". The chat's id is
// in the result.
func (p *Plugin) create(ctx context.Context, call *sdk.Invocation) (sdk.Result, error) {
	title := strings.TrimSpace(call.Text)
	history, err := historyNamed(call.Args["history"])
	if err != nil {
		return sdk.Result{}, err
	}
	users, err := usersOf(&sdk.Invocation{Args: call.Args})
	if err != nil {
		return sdk.Result{}, err
	}
	if len(users) >= MaxPeople {
		return sdk.Result{}, sdk.Errorf(codes.InvalidArgument, "a group has at most %d people", MaxPeople).Because("GROUP_FULL", "limit", MaxPeople)
	}
	invite, err := p.invitations(ctx, users)
	if err != nil {
		return sdk.Result{}, err
	}
	known, err := p.core.People(ctx)
	if err != nil {
		return sdk.Result{}, err
	}
	operations := append([]Operation{{Verb: VerbCreate, Text: title, History: history}}, invite...)
	operations = append(operations, introductions([]Person{{User: p.self}}, known, operations)...)
	content, err := Change{Operations: operations}.Encode()
	if err != nil {
		return sdk.Result{}, outOfBounds(err)
	}
	call.Chat = ChatOf(p.self, call.ID)
	c := p.chat(call.Chat)
	c.mu.Lock()
	err = p.load(ctx, c)
	made := c.own(p.self, call.ID)
	handled := make(chan error, 1)
	c.handled[call.ID] = handled
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.handled, call.ID)
		c.mu.Unlock()
	}()
	done := sdk.Result{Value: mustJSON(Done{Chat: call.Chat, ID: call.ID.String()})}
	if err != nil || made {
		return done, err
	}
	return done, p.send(ctx, c, content, handled,
		sdk.SetMembers{Chat: call.Chat, Version: FirstVersion, Title: title, Members: []packet.UserID{p.self}, History: pluginpb.History_HISTORY_FROM_JOIN},
		sdk.SendPacket{ID: call.ID, Chat: call.Chat, Type: TypeChange, Content: content, Handle: true})
}

// invite asks contacts to join: see usersOf. Who is in already is left out.
func (p *Plugin) invite(ctx context.Context, call *sdk.Invocation) (sdk.Result, error) {
	users, err := usersOf(call)
	if err == nil && len(users) == 0 {
		err = sdk.Errorf(codes.InvalidArgument, "nobody was named: say whom to invite").Because("NOBODY_NAMED")
	}
	if err != nil {
		return sdk.Result{}, err
	}
	all, unfit := p.invitations(ctx, users)
	known, err := p.core.People(ctx)
	if err != nil {
		return sdk.Result{}, err
	}
	return p.change(ctx, call, func(s *State) ([]Operation, error) {
		if err := cmp.Or(p.leads(s, "invite people"), unfit); err != nil {
			return nil, err
		}
		operations := slices.DeleteFunc(slices.Clone(all), func(o Operation) bool { return s.Person(o.User).Role != RoleNone })
		if len(s.people)+len(operations) > MaxPeople {
			return nil, sdk.Errorf(codes.FailedPrecondition, "a group has at most %d people; this one has %d", MaxPeople, len(s.people)).Because("GROUP_FULL", "limit", MaxPeople)
		}
		if len(operations) == 0 {
			return nil, nil
		}
		return append(operations, introductions(s.People(), known, operations)...), nil
	})
}

func (p *Plugin) accept(ctx context.Context, call *sdk.Invocation) (sdk.Result, error) {
	return p.change(ctx, call, func(s *State) ([]Operation, error) {
		if s.Person(p.self).Role != RoleInvited {
			return nil, nil // is in
		}
		return []Operation{{Verb: VerbAccept}}, nil
	})
}

func (p *Plugin) decline(ctx context.Context, call *sdk.Invocation) (sdk.Result, error) {
	heads, err := p.cutoffs(ctx, call.Chat, leaveSlack, p.self)
	if err != nil {
		return sdk.Result{}, err
	}
	return p.change(ctx, call, func(s *State) ([]Operation, error) {
		if s.Person(p.self).Role != RoleInvited {
			return nil, sdk.Errorf(codes.FailedPrecondition, "you are a member of the group “%s”: leave it instead", s.Title).Because("MEMBER_ALREADY", "group", s.Title)
		}
		return []Operation{{Verb: VerbLeave, Decline: true, Cutoffs: heads[p.self]}}, nil
	})
}

func (p *Plugin) leave(ctx context.Context, call *sdk.Invocation) (sdk.Result, error) {
	heads, err := p.cutoffs(ctx, call.Chat, leaveSlack, p.self)
	if err != nil {
		return sdk.Result{}, err
	}
	return p.change(ctx, call, func(s *State) ([]Operation, error) {
		return []Operation{{Verb: VerbLeave, Decline: s.Person(p.self).Role == RoleInvited, Cutoffs: heads[p.self]}}, nil
	})
}

// remove takes people out: see usersOf.
func (p *Plugin) remove(ctx context.Context, call *sdk.Invocation) (sdk.Result, error) {
	users, err := usersOf(call)
	if err == nil && len(users) == 0 {
		err = sdk.Errorf(codes.InvalidArgument, "nobody was named: say whom to remove").Because("NOBODY_NAMED")
	}
	if err == nil && slices.Contains(users, p.self) {
		err = sdk.Errorf(codes.InvalidArgument, "you cannot remove yourself: leave the group instead").Because("REMOVE_YOURSELF")
	}
	if err != nil {
		return sdk.Result{}, err
	}
	heads, err := p.cutoffs(ctx, call.Chat, 0, users...)
	if err != nil {
		return sdk.Result{}, err
	}
	return p.change(ctx, call, func(s *State) ([]Operation, error) {
		if err := p.leads(s, "remove people"); err != nil {
			return nil, err
		}
		var operations []Operation
		for _, user := range users {
			if err := p.standsOver(s, user, "remove"); err != nil {
				return nil, err
			}
			operations = append(operations, Operation{Verb: VerbRemove, User: user, Cutoffs: heads[user]})
		}
		return operations, nil
	})
}

// standsOver says, for people, why this account cannot act on somebody.
func (p *Plugin) standsOver(s *State, user packet.UserID, what string) error {
	me, other := s.Person(p.self), s.Person(user)
	switch {
	case other.Role == RoleNone:
		return sdk.Errorf(codes.NotFound, "%s is not in the group “%s”", user, s.Title).Because("UNKNOWN_MEMBER", "user", user, "group", s.Title)
	case other.Role == RoleOwner:
		return sdk.Errorf(codes.PermissionDenied, "%s is the group's owner, whom nobody can %s", user, what).Because("IS_OWNER", "user", user)
	case me.compare(other) > 0:
		return sdk.Errorf(codes.PermissionDenied, "%s has been an admin for longer than you: only the owner, or an admin of before, can %s them", user, what).Because("OLDER_ADMIN", "user", user)
	}
	return nil
}

// cutoffs gives how much is here of the logs of people, and more of each.
func (p *Plugin) cutoffs(ctx context.Context, chat packet.ChatID, more uint64, users ...packet.UserID) (map[packet.UserID][]Cutoff, error) {
	heads, err := p.core.Heads(ctx, chat)
	var e *sdk.Error
	if errors.As(err, &e) && e.Code == codes.NotFound {
		return nil, nil // which the action then says
	}
	if err != nil {
		return nil, err
	}
	of := map[packet.UserID][]Cutoff{}
	for _, h := range heads {
		user := packet.UserID(h.GetUser())
		if len(h.GetDevice()) == len(packet.DeviceID{}) && slices.Contains(users, user) {
			of[user] = append(of[user], Cutoff{Device: packet.DeviceID(h.GetDevice()), Epoch: h.GetEpoch(), Number: h.GetNumber() + more})
		}
	}
	for user, cuts := range of {
		slices.SortFunc(cuts, func(a, b Cutoff) int { return -compareCutoffs(a, b) }) // the latest matter most
		of[user] = cuts[:min(len(cuts), MaxCutoffs)]
	}
	return of, nil
}

// role gives somebody (args "user") a role (args "role"): owner, admin, member.
func (p *Plugin) role(ctx context.Context, call *sdk.Invocation) (sdk.Result, error) {
	users, err := usersOf(&sdk.Invocation{Text: call.Args["user"]})
	if err == nil && len(users) != 1 {
		err = sdk.Errorf(codes.InvalidArgument, "say who is to have the role").Because("NOBODY_NAMED")
	}
	role := map[string]Role{"owner": RoleOwner, "admin": RoleAdmin, "member": RoleMember}[call.Args["role"]]
	if err == nil && role == RoleNone {
		err = sdk.Errorf(codes.InvalidArgument, "%q is no role that can be given: owner, admin, member", call.Args["role"])
	}
	if err != nil {
		return sdk.Result{}, err
	}
	user := users[0]
	return p.change(ctx, call, func(s *State) ([]Operation, error) {
		me, other := s.Person(p.self), s.Person(user)
		switch {
		case other.Role == RoleNone:
			return nil, sdk.Errorf(codes.NotFound, "%s is not in the group “%s”", user, s.Title).Because("UNKNOWN_MEMBER", "user", user, "group", s.Title)
		case other.Role == RoleInvited:
			return nil, sdk.Errorf(codes.FailedPrecondition, "%s has not accepted the invitation yet", user).Because("NOT_ACCEPTED", "user", user)
		case other.Role == role:
			return nil, nil
		case role == RoleOwner && me.Role != RoleOwner:
			return nil, sdk.Errorf(codes.PermissionDenied, "only the owner can make somebody else the owner").Because("NOT_OWNER")
		case user == p.self && me.Role == RoleOwner:
			return nil, sdk.Errorf(codes.FailedPrecondition, "you are the owner: make somebody else the owner first").Because("LAST_OWNER")
		case user != p.self && role == RoleMember:
			if err := p.standsOver(s, user, "dismiss"); err != nil {
				return nil, err
			}
		}
		if err := p.leads(s, "give roles"); err != nil {
			return nil, err
		}
		return []Operation{{Verb: VerbSetRole, User: user, Role: role}}, nil
	})
}

func (p *Plugin) rename(ctx context.Context, call *sdk.Invocation) (sdk.Result, error) {
	title := strings.TrimSpace(call.Text)
	return p.change(ctx, call, func(s *State) ([]Operation, error) {
		if err := p.leads(s, "rename the group"); err != nil || title == s.Title {
			return nil, err
		}
		return []Operation{{Verb: VerbSetTitle, Text: title}}, nil
	})
}

func (p *Plugin) describe(ctx context.Context, call *sdk.Invocation) (sdk.Result, error) {
	description := strings.TrimSpace(call.Text)
	return p.change(ctx, call, func(s *State) ([]Operation, error) {
		if err := p.leads(s, "describe the group"); err != nil || description == s.Description {
			return nil, err
		}
		return []Operation{{Verb: VerbSetDescription, Text: description}}, nil
	})
}

// history says whether people invited later see what is said from now on. Text: from-join, all.
func (p *Plugin) history(ctx context.Context, call *sdk.Invocation) (sdk.Result, error) {
	name := strings.TrimSpace(call.Text)
	if name == "" {
		name = "none"
	}
	history, err := historyNamed(name)
	if err != nil {
		return sdk.Result{}, err
	}
	return p.change(ctx, call, func(s *State) ([]Operation, error) {
		if err := p.leads(s, "say what people who are invited later can read"); err != nil || history == s.History {
			return nil, err
		}
		return []Operation{{Verb: VerbSetHistory, History: history}}, nil
	})
}
