package viewmodel

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/parley-chat/parley/core/client"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// The group plugin's names that the window knows.
const (
	groupPlugin  = "group"
	groupChanged = "group.changed"
	groupKind    = "group.event"
	kindGroup    = "group" // of a chat
)

// Role is what somebody is in a group.
type Role string

// Roles. RoleNone: not in it, or not any more.
const (
	RoleNone    Role = ""
	RoleOwner   Role = "owner"
	RoleAdmin   Role = "admin"
	RoleMember  Role = "member"
	RoleInvited Role = "invited"
)

// leads says whether somebody of the role changes the group.
func (r Role) leads() bool { return r == RoleOwner || r == RoleAdmin }

// GroupHistory is whether who joins later may read what is written.
type GroupHistory string

// Histories.
const (
	HistoryFromJoin GroupHistory = "from-join"
	HistoryAll      GroupHistory = "all"
)

// Group is what the group plugin knows of a group.
type Group struct {
	Chat        string       `json:"chat"`
	Title       string       `json:"title"`
	Description string       `json:"description"`
	History     GroupHistory `json:"history"`
	// PictureID names the picture; empty without one.
	PictureID string `json:"picture"`
	// Role is one's own, and By who invited this account.
	Role Role   `json:"role"`
	By   string `json:"by"`
	// Declined: one was asked, and never was in it.
	Declined bool `json:"declined"`
	// Withdrawn: the invitation was taken back.
	Withdrawn bool `json:"withdrawn"`
	// People are all, who stand highest first.
	People []GroupPerson `json:"people"`
	// Picture as others sent it.
	Picture []byte `json:"-"`
}

// GroupPerson is somebody in a group.
type GroupPerson struct {
	User string `json:"user"`
	Role Role   `json:"role"`
	By   string `json:"by"`
}

// person gives the place of somebody among the people; -1 for nobody of them.
func (g *Group) person(user string) int {
	if g == nil {
		return -1
	}
	return slices.IndexFunc(g.People, func(p GroupPerson) bool { return p.User == user })
}

// Has says whether somebody is in it, or invited.
func (g *Group) Has(user string) bool { return g.person(user) >= 0 }

// members gives those who have accepted.
func (g *Group) members() []string {
	users := make([]string, 0, len(g.People))
	for _, p := range g.People {
		if p.Role != RoleInvited {
			users = append(users, p.User)
		}
	}
	return users
}

// maxGroupPeople bounds what is taken of the plugin's answer.
const maxGroupPeople = 2000

// Groups are the account's groups, as the group plugin knows them. It is asked of
// each once, and again when it says that something has changed.
type Groups struct {
	session *Session
	known   map[string]*Group
	queue   []string        // chats to be asked of, and
	asking  map[string]bool // those that are asked of now, maxAsking at most
	turn    int             // counts connections: answers of an older one are not wanted
	invited *sorted[InvitationRow]

	// Available: the plugin is there.
	Available Value[bool]
	// Invitations are groups that this account is asked to join.
	Invitations List[InvitationRow]
}

// InvitationRow is a group that one is asked to join.
type InvitationRow struct {
	Chat, Title string
	// By is who asks, and Line says that and who else is in it.
	By, Line string
	Group    *Group
	folded   string
}

// RowKey implements Row.
func (r InvitationRow) RowKey() string { return r.Chat }

// Same implements Row.
func (r InvitationRow) Same(o InvitationRow) bool { return r == o }

func newGroups(s *Session) *Groups {
	g := &Groups{session: s, known: map[string]*Group{}, asking: map[string]bool{}}
	g.invited = newSorted(&g.Invitations, func(a, b InvitationRow) int { return strings.Compare(a.folded, b.folded) })
	s.Plugins.Rows.Observe(func([]Change[PluginRow]) {
		there := s.Plugins.hidden(groupPlugin, "create")
		if there != g.Available.Get() {
			g.Available.set(there)
			if there && !s.loading {
				g.askAll()
			}
		}
	})
	s.Chats.Changed.Observe(func(chat string) {
		switch x := s.Chats.Get(chat); {
		case x == nil:
			g.forget(chat)
		case x.GetKind() == kindGroup && g.known[chat] == nil:
			g.ask(chat)
		}
	})
	s.Loaded.Observe(func(struct{}) {
		g.turn++
		g.asking, g.queue = map[string]bool{}, nil
		g.askAll()
	})
	s.Contacts.Changed.Observe(func(user string) {
		for _, r := range g.Invitations.Rows() {
			if r.Group.person(user) >= 0 {
				g.arrange(r.Chat)
			}
		}
	})
	return g
}

// Get gives a group, or nil. It must not be changed.
func (g *Groups) Get(chat string) *Group { return g.known[chat] }

// unlisted says whether a chat is left out of the list of chats: it is an
// invitation, may be one, or was one.
func (g *Groups) unlisted(chat string) bool {
	if x := g.known[chat]; x != nil {
		return x.Role == RoleInvited || x.Role == RoleNone && x.Declined
	}
	return g.Available.Get() && (g.asking[chat] || slices.Contains(g.queue, chat))
}

func (g *Groups) forget(chat string) {
	delete(g.known, chat)
	g.invited.update(nil, chat)
}

func (g *Groups) handle(batch []*controlpb.Event) {
	for _, e := range batch {
		if x := e.GetPluginEvent(); x.GetPlugin() == groupPlugin && x.GetName() == groupChanged {
			g.ask(x.GetChat())
		}
	}
}

func (g *Groups) askAll() {
	for id, x := range g.session.Chats.byID {
		if x.GetKind() == kindGroup {
			g.ask(id)
		}
	}
}

// ask has a group read soon.
func (g *Groups) ask(chat string) {
	if !g.Available.Get() || g.session.core == nil {
		return
	}
	if !slices.Contains(g.queue, chat) { // also when it is being asked: that may be old already
		g.queue = append(g.queue, chat)
	}
	g.next()
}

// maxAsking is how many groups are read side by side.
const maxAsking = 8

// next reads those that wait, as many as may be read at once. None is read twice at a
// time, so that the newer answer comes last.
func (g *Groups) next() {
	if g.session.loading {
		return // all are asked afterwards
	}
	for i := 0; i < len(g.queue) && len(g.asking) < maxAsking; {
		chat := g.queue[i]
		if g.asking[chat] {
			i++
			continue
		}
		g.queue = slices.Delete(g.queue, i, i+1)
		g.asking[chat] = true
		g.read(chat)
	}
}

// read asks of a group.
func (g *Groups) read(chat string) {
	turn := g.turn
	was := g.known[chat]
	now := &Group{}
	g.session.call(func(ctx context.Context, core Core) error {
		b, err := groupCall(ctx, core, &pluginpb.InvokeRequest{Action: "info", Chat: chat})
		if err != nil {
			return err
		}
		if err := json.Unmarshal(b, now); err != nil {
			return err
		}
		if was != nil && was.PictureID == now.PictureID {
			now.Picture = was.Picture
		} else if now.PictureID != "" {
			now.Picture, err = groupCall(ctx, core, &pluginpb.InvokeRequest{Action: "get-picture", Chat: chat})
		}
		return err
	}, func(err error) {
		if turn != g.turn {
			return
		}
		delete(g.asking, chat)
		if err == nil {
			now.Chat, now.Title, now.Description = chat, tidyName(now.Title), client.Printable(firstRunes(now.Description, 2048))
			now.People = now.People[:min(len(now.People), maxGroupPeople)]
			g.known[chat] = now
		}
		g.arrange(chat)
		g.session.Chats.arrange([]string{chat})
		g.session.Chats.Changed.emit(chat)
		g.next()
	})
}

// groupCall asks the plugin for something, and gives what it answers.
func groupCall(ctx context.Context, core Core, req *pluginpb.InvokeRequest) ([]byte, error) {
	if len(req.GetInvocation()) == 0 {
		req.Invocation = client.NewInvocation()
	}
	r, err := core.InvokeAction(ctx, groupPlugin, req, nil)
	return r.GetResult(), err
}

// arrange puts a group among the invitations, or takes it away.
func (g *Groups) arrange(chat string) {
	x := g.known[chat]
	if x == nil || x.Role != RoleInvited || g.session.Chats.Get(chat) == nil {
		g.invited.update(nil, chat)
		return
	}
	t, s := g.session.Texts(), g.session
	r := InvitationRow{Chat: chat, Title: x.Title, By: x.By, Group: x, folded: fold(x.Title)}
	if r.Title == "" {
		r.Title = t.T("Group")
	}
	r.Line = t.F("%s invites you.", s.Contacts.Name(x.By))
	var others []string
	for _, p := range x.People {
		if p.User != s.User() && p.User != x.By && p.Role != RoleInvited {
			others = append(others, s.Contacts.Name(p.User))
		}
	}
	if len(others) > 0 {
		r.Line += "\n" + t.F("In it: %s", s.some(others, maxShownPeople))
	}
	g.invited.update([]InvitationRow{r})
}

// maxShownPeople is how many people are named in one sentence.
const maxShownPeople = 5

// Named names people in a sentence, some of them where there are many.
func (s *Session) Named(users []string) string {
	names := make([]string, 0, len(users))
	for _, user := range users {
		names = append(names, s.Contacts.Name(user))
	}
	return s.some(names, maxShownPeople)
}

// some names people in a sentence, at most so many.
func (s *Session) some(names []string, most int) string {
	t := s.Texts()
	last := ""
	if len(names) > most {
		last = t.N("%d other", "%d others", len(names)-most+1)
		names = names[:most-1]
	} else if len(names) > 1 {
		last = names[len(names)-1]
		names = names[:len(names)-1]
	}
	line := strings.Join(names, t.T(", "))
	if last == "" {
		return line
	}
	return t.F("%[1]s and %[2]s", line, last)
}

// Relabel writes the invitations anew, after the language changed.
func (g *Groups) Relabel() {
	for _, r := range slices.Clone(g.Invitations.Rows()) {
		g.arrange(r.Chat)
	}
}

// do has the plugin do something with a group; done hears what is wrong, or nothing.
func (g *Groups) do(req *pluginpb.InvokeRequest, done func(problem string)) {
	g.session.callFor(0, func(ctx context.Context, core Core) error {
		_, err := groupCall(ctx, core, req)
		return err
	}, func(err error) {
		if err == nil {
			g.ask(req.GetChat()) // its event may come a little later
		}
		g.session.problem(done)(err)
	})
}

// fail shows what is wrong, where nothing else does.
func (g *Groups) fail(problem string) {
	if problem != "" {
		g.session.Failures.emit(problem)
	}
}

// Join joins a group; joined is called when that is done.
func (g *Groups) Join(chat string, joined func()) {
	g.do(&pluginpb.InvokeRequest{Action: "accept", Chat: chat}, func(problem string) {
		g.fail(problem)
		if problem == "" {
			joined()
		}
	})
}

// Decline declines to join a group.
func (g *Groups) Decline(chat string) {
	g.do(&pluginpb.InvokeRequest{Action: "decline", Chat: chat}, g.fail)
}

// Leave leaves a group.
func (g *Groups) Leave(chat string) {
	g.do(&pluginpb.InvokeRequest{Action: "leave", Chat: chat}, g.fail)
}

// Invite asks people to join a group.
func (g *Groups) Invite(chat string, users []string, done func(problem string)) {
	g.do(&pluginpb.InvokeRequest{Action: "invite", Chat: chat, Args: map[string]string{"users": strings.Join(users, ",")}}, done)
}

// Remove takes somebody out of a group.
func (g *Groups) Remove(chat, user string) {
	g.do(&pluginpb.InvokeRequest{Action: "remove", Chat: chat, Args: map[string]string{"users": user}}, g.fail)
}

// SetRole gives somebody a role in a group.
func (g *Groups) SetRole(chat, user string, role Role) {
	g.do(&pluginpb.InvokeRequest{Action: "role", Chat: chat, Args: map[string]string{"user": user, "role": string(role)}}, g.fail)
}

// Rename gives a group another title.
func (g *Groups) Rename(chat, title string, done func(problem string)) {
	title = strings.TrimSpace(title)
	if problem := titleProblem(g.session.Texts(), title); problem != "" {
		done(problem)
		return
	}
	g.do(&pluginpb.InvokeRequest{Action: "rename", Chat: chat, Text: title}, done)
}

// Describe says what a group is about.
func (g *Groups) Describe(chat, description string, done func(problem string)) {
	description = strings.TrimSpace(description)
	if len(description) > maxGroupDescription {
		done(g.session.Texts().T("The description is too long. Shorten it."))
		return
	}
	g.do(&pluginpb.InvokeRequest{Action: "describe", Chat: chat, Text: description}, done)
}

// Bounds of what is written about a group, in bytes.
const (
	maxGroupTitle       = 128
	maxGroupDescription = 2048
)

// titleProblem says why a group cannot be called so; empty when it can.
func titleProblem(t translator, title string) string {
	switch {
	case tidyName(title) == "":
		return t.T("Give the group a name.")
	case len(title) > maxGroupTitle:
		return t.T("The name is too long. Shorten it.")
	}
	return ""
}

// SetPicture makes the picture of a group of a file; an empty path removes it.
func (g *Groups) SetPicture(chat, path string, done func(problem string)) {
	req := &pluginpb.InvokeRequest{Action: "picture", Chat: chat}
	if path != "" {
		req.Paths = []string{path}
	}
	g.do(req, done)
}

// SetHistory says whether people invited later may read what is written from now on.
func (g *Groups) SetHistory(chat string, h GroupHistory) {
	g.do(&pluginpb.InvokeRequest{Action: "history", Chat: chat, Text: string(h)}, g.fail)
}

// hidden says whether an enabled plugin has an action that front ends know of.
func (p *Plugins) hidden(plugin, action string) bool {
	return slices.ContainsFunc(p.Actions(pluginpb.Place_PLACE_HIDDEN, ""), func(a PluginAction) bool {
		return a.Plugin == plugin && a.Action.GetName() == action
	})
}

// groupFact is one thing that was done to a group.
type groupFact struct {
	What    string       `json:"what"`
	User    string       `json:"user"`
	Role    Role         `json:"role"`
	Title   string       `json:"title"`
	History GroupHistory `json:"history"`
	Removed bool         `json:"removed"`
	// Owner is who is the owner since the one of before left.
	Owner string `json:"owner"`
	// Void: it does not count.
	Void bool `json:"void"`
}

// groupStory is what somebody did to a group.
type groupStory struct {
	By    string      `json:"by"`
	Facts []groupFact `json:"facts"`
	// Meanwhile is what somebody else did, for which some of it does not count.
	Meanwhile *groupStory `json:"meanwhile"`
}

// maxFacts is how many of one message are told.
const maxFacts = 8

// groupEvent tells what a message about a group says; empty for other messages.
func (s *Session) groupEvent(m *controlpb.Message) string {
	if m.GetPlugin() != groupPlugin || m.GetKind() != groupKind {
		return ""
	}
	var event groupStory
	if json.Unmarshal(m.GetData(), &event) != nil || len(event.Facts) == 0 {
		return tidy(m.GetBody(), maxShownLine)
	}
	return s.groupSentences(&event)
}

// groupSentences tells what somebody did.
func (s *Session) groupSentences(event *groupStory) string {
	t := s.Texts()
	by := t.T("You")
	if event.By != s.User() {
		by = s.Contacts.Name(event.By)
	}
	person := func(user string) string {
		if user == s.User() {
			return t.T("you")
		}
		return s.Contacts.Name(user)
	}
	why := ""
	if m := event.Meanwhile; m != nil && len(m.Facts) == 1 {
		m.Meanwhile, m.Facts[0].Void = nil, false
		why = s.groupSentences(m)
	}
	var said []string
	facts := event.Facts
	for len(facts) > 0 && len(said) < maxFacts {
		// Those of one kind about several people are one sentence.
		n := 1
		users := []string{person(facts[0].User)}
		for n < len(facts) && facts[0].User != "" && facts[n].What == facts[0].What && facts[n].Role == facts[0].Role && facts[n].Void == facts[0].Void {
			users = append(users, person(facts[n].User))
			n++
		}
		sentence := ""
		switch f := facts[0]; {
		case f.What == "role" && f.Role == RoleMember && f.User == event.By:
			sentence = t.F("%s gave up being an admin", by)
		case f.What == "left" && f.Owner != "":
			sentence = t.F("%[1]s left, and the owner is now: %[2]s", by, person(f.Owner))
		case f.What == "joined" && f.Owner != "":
			sentence = t.F("%s joined, as the owner", by)
		default:
			sentence = factSentence(t, by, s.some(users, maxShownPeople), f)
		}
		// One reason for several facts in a row is said once.
		if facts[0].Void && (n == len(facts) || len(said) == maxFacts-1 || !facts[n].Void) {
			if why == "" {
				sentence = t.F("%s (does not count)", sentence)
			} else {
				sentence = t.F("%[1]s (does not count, because meanwhile: %[2]s)", sentence, why)
			}
		}
		said = append(said, sentence)
		facts = facts[n:]
	}
	return strings.Join(said, " · ")
}

type translator interface {
	T(sentence string) string
	F(format string, args ...any) string
}

func factSentence(t translator, by, who string, f groupFact) string {
	title := tidyName(f.Title)
	switch f.What + " " + string(f.Role) {
	case "created ":
		return t.F("%[1]s created the group “%[2]s”", by, title)
	case "invited ":
		return t.F("%[1]s invited %[2]s", by, who)
	case "joined ":
		return t.F("%s joined", by)
	case "left ":
		return t.F("%s left", by)
	case "declined ":
		return t.F("%s declined the invitation", by)
	case "removed ":
		return t.F("%[1]s removed %[2]s", by, who)
	case "withdrawn ":
		return t.F("%[1]s withdrew the invitation to %[2]s", by, who)
	case "role owner":
		return t.F("%[1]s made %[2]s the owner", by, who)
	case "role admin":
		return t.F("%[1]s made %[2]s an admin", by, who)
	case "role member":
		return t.F("%[1]s took the admin role from %[2]s", by, who)
	case "title ":
		return t.F("%[1]s named the group “%[2]s”", by, title)
	case "description ":
		return t.F("%s changed the description", by)
	case "picture ":
		if f.Removed {
			return t.F("%s removed the picture", by)
		}
		return t.F("%s changed the picture", by)
	case "history ":
		if f.History == HistoryAll {
			return t.F("%s shares what is written from now on with people invited later, too", by)
		}
		return t.F("%s no longer shares what is written from now on with people invited later", by)
	case "more ":
		return t.F("%s did more besides", by)
	case "forged ":
		return t.F("%s tried to change the group without the right to, and nothing came of it", by)
	}
	return t.F("%s did something that this version of Parley does not know", by)
}

// GroupPage is the page of a group, until Close.
type GroupPage struct {
	session *Session
	chat    string
	stops   []func()
	query   string

	View    Value[GroupView]
	Members List[MemberRow]
}

// GroupView is what the page of a group shows besides its members.
type GroupView struct {
	Chat, Title, Description string
	// Line says how many are in it, and how many are there.
	Line    string
	Picture []byte
	History GroupHistory
	Role    Role
	// May: one may change the group. Only: one is the only owner of others, so that
	// leaving makes somebody else the owner.
	May           bool
	Muted, Pinned bool
}

// MemberRow is somebody in a group, and what one may do about them.
type MemberRow struct {
	User, Name string
	Role       Role
	// Badge says the role, if that is not only a member; Line what is to be said
	// below the name.
	Badge, Line string
	Presence    Presence
	Avatar      []byte
	// What one may do.
	MayPromote, MayDismiss, MayHandOver, MayRemove bool
	key                                            string
}

// RowKey implements Row.
func (r MemberRow) RowKey() string { return r.key }

// Same implements Row.
func (r MemberRow) Same(o MemberRow) bool {
	a, b := r, o
	a.Avatar, b.Avatar = nil, nil
	return fmt.Sprint(a) == fmt.Sprint(b) && string(r.Avatar) == string(o.Avatar)
}

// OpenGroup follows a group until Close.
func (s *Session) OpenGroup(chat string) *GroupPage {
	p := &GroupPage{session: s, chat: chat}
	p.stops = []func(){
		s.Chats.Changed.Observe(func(id string) {
			if id == chat {
				p.look()
			}
		}),
		s.Contacts.Changed.Observe(func(user string) {
			if s.Groups.Get(chat).person(user) >= 0 {
				p.look()
			}
		}),
	}
	s.Groups.ask(chat)
	p.look()
	return p
}

// Close stops following.
func (p *GroupPage) Close() {
	for _, stop := range p.stops {
		stop()
	}
}

// Find shows those members alone whose names or ids have something in them.
func (p *GroupPage) Find(query string) {
	p.query = fold(strings.TrimSpace(query))
	p.look()
}

func (p *GroupPage) look() {
	s := p.session
	g, x := s.Groups.Get(p.chat), s.Chats.Get(p.chat)
	if g == nil {
		g = &Group{Title: tidyName(x.GetTitle())}
	}
	v := GroupView{
		Chat: p.chat, Title: g.Title, Description: g.Description, Line: s.groupLine(x), Picture: g.Picture, History: g.History, Role: g.Role,
		May: g.Role.leads(), Muted: x.GetMuted(), Pinned: x.GetPinned(),
	}
	p.View.set(v)
	me := g.person(s.User())
	rows := make([]MemberRow, 0, len(g.People))
	for i, person := range g.People {
		r := s.member(g, me, i, person)
		if p.query == "" || strings.Contains(fold(r.Name), p.query) || strings.Contains(r.User, p.query) {
			rows = append(rows, r)
		}
	}
	p.Members.set(rows)
}

// member makes the row of the person at a place; me is one's own.
func (s *Session) member(g *Group, me, at int, p GroupPerson) MemberRow {
	t, x := s.Texts(), s.Contacts.Get(p.User)
	r := MemberRow{User: p.User, key: p.User, Name: s.Contacts.Name(p.User), Role: p.Role, Avatar: x.GetAvatar(), Presence: presenceOf(x)}
	r.Line = p.User
	if r.Line == r.Name {
		r.Line = ""
	}
	if at == me {
		r.Line, r.Avatar, r.Presence = t.T("You"), s.Status.Get().GetAvatar(), PresenceNone
	}
	switch p.Role {
	case RoleOwner:
		r.Badge = t.T("Owner")
	case RoleAdmin:
		r.Badge = t.T("Admin")
	case RoleInvited:
		r.Badge = t.T("Invited")
		switch p.By {
		case "":
		case s.User():
			r.Line = t.T("Invited by you")
		default:
			r.Line = t.F("Invited by %s", s.Contacts.Name(p.By))
		}
	}
	if me < 0 || at == me {
		return r
	}
	own := g.Role
	r.MayPromote = own.leads() && p.Role == RoleMember
	r.MayDismiss = own.leads() && p.Role == RoleAdmin && me < at
	r.MayHandOver = own == RoleOwner && (p.Role == RoleAdmin || p.Role == RoleMember)
	r.MayRemove = own.leads() && p.Role != RoleOwner && me < at
	return r
}

// groupLine says how many are in a group, and how many of the others are there.
func (s *Session) groupLine(x *controlpb.Chat) string {
	t, members := s.Texts(), x.GetMembers()
	if g := s.Groups.Get(x.GetId()); g != nil {
		if g.Role == RoleNone {
			return t.T("Not a member")
		}
		members = g.members()
	}
	online := 0
	for _, user := range members {
		if user != s.User() && presenceOf(s.Contacts.Get(user)) == Online {
			online++
		}
	}
	line := t.N("%d member", "%d members", len(members))
	if online > 0 {
		line += " · " + t.N("%d online", "%d online", online)
	}
	return line
}

// GroupLine says how many are in a group, and how many of the others are there.
func (s *Session) GroupLine(chat string) string {
	x := s.Chats.Get(chat)
	if x == nil {
		return ""
	}
	return s.groupLine(x)
}

// PeoplePicker chooses some of the contacts.
type PeoplePicker struct {
	session *Session
	without func(user string) bool
	query   string
	chosen  []string
	stop    func()

	Rows List[PickRow]
	// Chosen are those who are chosen, in the order in which they were.
	Chosen Value[[]string]
}

// PickRow is a contact who may be chosen.
type PickRow struct {
	Contact *controlpb.Contact
	Name    string
	Chosen  bool
}

// RowKey implements Row.
func (r PickRow) RowKey() string { return r.Contact.GetUser() }

// Same implements Row.
func (r PickRow) Same(o PickRow) bool {
	return r.Name == o.Name && r.Chosen == o.Chosen && (r.Contact == o.Contact || string(r.Contact.GetAvatar()) == string(o.Contact.GetAvatar()) && r.Contact.GetOnline() == o.Contact.GetOnline())
}

// PickPeople offers the contacts, without some, until Close.
func (s *Session) PickPeople(without func(user string) bool) *PeoplePicker {
	p := &PeoplePicker{session: s, without: without}
	p.stop = s.Contacts.Changed.Observe(func(string) { p.look() })
	p.look()
	return p
}

// PickInvitees offers the contacts who are not in a group, as it is at any time, until
// Close.
func (s *Session) PickInvitees(chat string) *PeoplePicker {
	p := s.PickPeople(func(user string) bool { return IsNet2019(user) || s.Groups.Get(chat).Has(user) })
	contacts := p.stop
	group := s.Chats.Changed.Observe(func(id string) {
		if id != chat {
			return
		}
		for _, user := range p.chosen {
			if p.without(user) { // somebody else was faster
				p.Choose(user, false)
			}
		}
		p.look()
	})
	p.stop = func() {
		contacts()
		group()
	}
	return p
}

// Close stops following.
func (p *PeoplePicker) Close() { p.stop() }

// Find offers those alone whose names or ids have something in them.
func (p *PeoplePicker) Find(query string) {
	p.query = fold(strings.TrimSpace(query))
	p.look()
}

// Choose chooses somebody, or no longer.
func (p *PeoplePicker) Choose(user string, on bool) {
	if slices.Contains(p.chosen, user) == on {
		return
	}
	if on {
		p.chosen = append(slices.Clone(p.chosen), user)
	} else {
		p.chosen = slices.DeleteFunc(slices.Clone(p.chosen), func(x string) bool { return x == user })
	}
	p.Chosen.set(p.chosen)
	p.look()
}

func (p *PeoplePicker) look() {
	var rows []PickRow
	for _, r := range p.session.Contacts.Rows.Rows() {
		user := r.Contact.GetUser()
		if r.Contact.GetState() != controlpb.ContactState_CONTACT_STATE_CONTACT || p.without(user) {
			continue
		}
		if p.query == "" || strings.Contains(r.folded, p.query) || strings.Contains(user, p.query) {
			rows = append(rows, PickRow{Contact: r.Contact, Name: r.Name, Chosen: slices.Contains(p.chosen, user)})
		}
	}
	p.Rows.set(rows)
}

// NewGroup makes a group.
type NewGroup struct {
	session *Session
	id      []byte // of the invocation: asked again, it makes no second group

	People *PeoplePicker
	State  Value[NewGroupState]
	// Made tells the chat of the group, when it is there.
	Made Signal[string]
}

// NewGroupState is how far making a group is.
type NewGroupState struct {
	Busy                  bool
	TitleProblem, Problem string
}

// NewGroup makes one, until Close.
func (s *Session) NewGroup() *NewGroup {
	return &NewGroup{session: s, id: client.NewInvocation(), People: s.PickPeople(func(user string) bool {
		return IsNet2019(user) && !s.Status.Get().GetNet2019().GetOn()
	})}
}

// Close stops following.
func (n *NewGroup) Close() { n.People.Close() }

// Typed forgets what was wrong, since it is being put right.
func (n *NewGroup) Typed() {
	if s := n.State.Get(); s.TitleProblem != "" || s.Problem != "" {
		n.State.set(NewGroupState{Busy: s.Busy})
	}
}

// createNet2019 makes a group of 2019, which has people and nothing else.
func (n *NewGroup) createNet2019() {
	s, t, users := n.session, n.session.Texts(), n.People.chosen
	switch {
	case n.State.Get().Busy:
		return
	case !net2019Only(users):
		n.State.set(NewGroupState{Problem: t.T("People of 2019 can only be in groups with each other. Choose only them, or none of them.")})
		return
	case len(users) == 1:
		n.State.set(NewGroupState{Problem: t.T("Choose at least two people.")})
		return
	case len(users) > maxNet2019Group:
		n.State.set(NewGroupState{Problem: t.N("A group of 2019 takes at most %d other.", "A group of 2019 takes at most %d others.", maxNet2019Group)})
		return
	}
	n.State.set(NewGroupState{Busy: true})
	var chat *controlpb.Chat
	s.call(func(ctx context.Context, core Core) (err error) {
		chat, err = core.CreateNet2019Group(ctx, &controlpb.CreateNet2019GroupRequest{Users: users})
		return err
	}, func(err error) {
		if err != nil {
			n.State.set(NewGroupState{Problem: s.Sentence(err)})
			return
		}
		n.State.set(NewGroupState{})
		n.Made.emit(chat.GetId())
	})
}

// maxNet2019Group is how many others a group of 2019 has at most.
const maxNet2019Group = 9

// net2019Only says whether all are people of 2019.
func net2019Only(users []string) bool {
	return !slices.ContainsFunc(users, func(user string) bool { return !IsNet2019(user) })
}

// Create makes the group with the people who are chosen; picture is a file, or
// empty.
func (n *NewGroup) Create(title, picture string, history GroupHistory) {
	s, t := n.session, n.session.Texts()
	title = strings.TrimSpace(title)
	if slices.ContainsFunc(n.People.chosen, IsNet2019) {
		n.createNet2019()
		return
	}
	if n.State.Get().Busy {
		return
	}
	if problem := titleProblem(t, title); problem != "" {
		n.State.set(NewGroupState{TitleProblem: problem})
		return
	}
	n.State.set(NewGroupState{Busy: true})
	req := &pluginpb.InvokeRequest{
		Invocation: n.id, Action: "create", Text: title,
		Args: map[string]string{"users": strings.Join(n.People.chosen, ","), "history": string(history)},
	}
	var made struct {
		Chat string `json:"chat"`
	}
	var pictureProblem error
	s.callFor(0, func(ctx context.Context, core Core) error {
		b, err := groupCall(ctx, core, req)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(b, &made); err != nil {
			return err
		}
		if picture != "" { // without it the group is one, too
			_, pictureProblem = groupCall(ctx, core, &pluginpb.InvokeRequest{Action: "picture", Chat: made.Chat, Paths: []string{picture}})
		}
		return nil
	}, func(err error) {
		if err != nil {
			n.id = client.NewInvocation() // the core gives a refusal for the old one again
			n.State.set(NewGroupState{Problem: s.Sentence(err)})
			return
		}
		n.State.set(NewGroupState{})
		if pictureProblem != nil {
			s.Failures.emit(s.Sentence(pictureProblem))
		}
		n.Made.emit(made.Chat)
	})
}
