package viewmodel

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// fakeGroups is a group plugin.
type fakeGroups struct {
	core   *fakeCore
	infos  map[string]*Group // by chat; the core's lock guards it
	fail   error             // of what changes something
	done   []string          // what was asked for
	create string            // the chat of the next group
	reads  chan struct{}     // holds what is asked of a group, once for each that it gives; nil: nothing is held
	most   int               // how many were held at once
	held   int
}

// groupCore is a core with a group plugin, in which bob and carol are contacts.
func groupCore() (*fakeCore, *fakeGroups) {
	core := newFakeCore()
	g := &fakeGroups{core: core, infos: map[string]*Group{}}
	core.plugins = []*controlpb.Plugin{{
		Name: "group", State: controlpb.PluginState_PLUGIN_STATE_RUNNING,
		Manifest: &pluginpb.Manifest{Actions: []*pluginpb.Action{{Name: "create", Places: []pluginpb.Place{pluginpb.Place_PLACE_HIDDEN}}}},
	}}
	core.contacts = []*controlpb.Contact{
		{User: "bob", Name: "Bob", State: controlpb.ContactState_CONTACT_STATE_CONTACT, Online: true},
		{User: "carol", Name: "Carol", State: controlpb.ContactState_CONTACT_STATE_CONTACT},
		{User: "dave", Name: "Dave D.", State: controlpb.ContactState_CONTACT_STATE_ACQUAINTANCE, Online: true},
		{User: "eve", Name: "Eve", State: controlpb.ContactState_CONTACT_STATE_INCOMING},
	}
	core.invoke = g.invoke
	return core, g
}

func (g *fakeGroups) invoke(_ context.Context, r *controlpb.InvokeRequest, _ func(*pluginpb.InvokeUpdate)) (*controlpb.InvokeResult, error) {
	req := r.GetRequest()
	if r.GetPlugin() != groupPlugin {
		return &controlpb.InvokeResult{}, nil
	}
	if req.GetAction() == "info" && g.reads != nil {
		g.hold(1)
		<-g.reads
		g.hold(-1)
	}
	g.core.mu.Lock()
	defer g.core.mu.Unlock()
	switch req.GetAction() {
	case "info":
		x := g.infos[req.GetChat()]
		if x == nil {
			return nil, status.Error(codes.NotFound, "there is no such group")
		}
		b, err := json.Marshal(x)
		return &controlpb.InvokeResult{Result: b}, err
	case "get-picture":
		return &controlpb.InvokeResult{Result: []byte("picture of " + req.GetChat())}, nil
	}
	args := fmt.Sprint(req.GetArgs()["users"], req.GetArgs()["user"], req.GetArgs()["role"], req.GetArgs()["history"])
	g.done = append(g.done, strings.Join([]string{req.GetAction(), req.GetChat(), req.GetText(), args, strings.Join(req.GetPaths(), " ")}, "|"))
	if g.fail != nil {
		return nil, g.fail
	}
	if req.GetAction() == "create" {
		return &controlpb.InvokeResult{Result: fmt.Appendf(nil, `{"chat":%q}`, g.create)}, nil
	}
	return &controlpb.InvokeResult{}, nil
}

func (g *fakeGroups) hold(by int) {
	g.core.mu.Lock()
	defer g.core.mu.Unlock()
	g.held += by
	g.most = max(g.most, g.held)
}

func (g *fakeGroups) holds() (now, most int) {
	g.core.mu.Lock()
	defer g.core.mu.Unlock()
	return g.held, g.most
}

// put makes a group as the core and the plugin know it.
func (g *fakeGroups) put(chat, title string, role Role, people ...GroupPerson) {
	var members []string
	for _, p := range people {
		members = append(members, p.User)
	}
	g.core.chats = append(g.core.chats, &controlpb.Chat{Id: chat, Kind: "group", Title: title, Members: members})
	g.infos[chat] = &Group{Title: title, Role: role, By: "bob", History: HistoryFromJoin, People: people}
}

// changed tells that something of a group is otherwise.
func (g *fakeGroups) changed(chat, data string, change func(*Group)) {
	g.core.tell(func() {
		x := *g.infos[chat]
		change(&x)
		g.infos[chat] = &x
	}, &controlpb.Event{Event: &controlpb.Event_PluginEvent{PluginEvent: &controlpb.PluginEvent{
		Plugin: "group", Name: "group.changed", Chat: chat, Data: []byte(data),
	}}})
}

func (g *fakeGroups) asked() []string {
	g.core.mu.Lock()
	defer g.core.mu.Unlock()
	return slices.Clone(g.done)
}

func person(user string, role Role) GroupPerson {
	return GroupPerson{User: user, Role: role, By: "bob"}
}

// TestManyGroups: they are read side by side, but not all at once, and what changed
// meanwhile is read again.
func TestManyGroups(t *testing.T) {
	core, g := groupCore()
	const many = 50
	for i := range many {
		g.put(fmt.Sprint("g", i), fmt.Sprint("Group ", i), RoleMember, person("alice", RoleMember), person("bob", RoleOwner))
	}
	g.reads = make(chan struct{})
	t.Cleanup(func() { close(g.reads) })
	w := openWindow(t, core)
	w.until("they are read side by side", func() bool {
		now, _ := g.holds()
		return now == maxAsking
	})
	asked := ""
	for chat := range w.session.Groups.asking {
		asked = chat
	}
	g.changed(asked, "", func(x *Group) { x.Title = "Newer" })
	w.until("it waits to be read again", func() bool { return slices.Contains(w.session.Groups.queue, asked) })
	if n := len(w.session.Groups.queue); n != many-maxAsking+1 {
		t.Errorf("%d wait", n)
	}
	for left := many + 1; left > 0; left-- {
		g.reads <- struct{}{}
		w.until("the next is read", func() bool { return len(w.session.Groups.queue)+len(w.session.Groups.asking) == left-1 })
	}
	if _, most := g.holds(); most != maxAsking {
		t.Errorf("%d were read at once", most)
	}
	for i := range many {
		if x := w.session.Groups.Get(fmt.Sprint("g", i)); x == nil {
			t.Errorf("group %d is not known", i)
		}
	}
	if x := w.session.Groups.Get(asked); x.Title != "Newer" {
		t.Errorf("%+v", x)
	}
}

// TestInvitation: a group that one is asked to join is no chat until one has.
func TestInvitation(t *testing.T) {
	core, g := groupCore()
	g.put("g", "Choir", RoleInvited, person("bob", RoleOwner), person("carol", RoleMember), person("alice", RoleInvited), person("dave", RoleInvited))
	core.chats[0].Unread = 3
	w := openWindow(t, core)
	s := w.session
	p := LoadPreferences(t.TempDir() + "/x")
	n := NewNotifier(s, p)
	var notes, gone []string
	n.Notes.Observe(func(x Note) { notes = append(notes, x.Key+"|"+x.Title+"|"+x.Body) })
	n.Gone.Observe(func(key string) { gone = append(gone, key) })
	w.until("the invitation is there", func() bool { return s.Groups.Invitations.Len() == 1 })
	r := s.Groups.Invitations.At(0)
	if r.Title != "Choir" || r.Line != "Bob invites you.\nIn it: Carol" {
		t.Errorf("%+v", r)
	}
	if s.Chats.Rows.Len() != 0 || s.Chats.Unread.Get() != 0 {
		t.Errorf("%d chats, %d unread", s.Chats.Rows.Len(), s.Chats.Unread.Get())
	}
	if len(notes) > 0 {
		t.Errorf("what was there at the start is told: %q", notes)
	}
	// What is said in it disturbs nobody.
	core.add(mentions(&controlpb.Message{Id: fakeID(1), Chat: "g", Author: "bob", Body: "@alice hello", Kind: "text", Plugin: "text"}, "alice"))
	c := s.Conversation
	c.Open("g", nil)
	w.until("the chat is read", func() bool { return c.loaded && c.Rows.Len() == 1 })
	if h := c.Header.Get(); !h.Invited || h.Away != "Bob invites you to this group." || h.Title != "Choir" || h.Line != "2 members · 1 online" {
		t.Errorf("%+v", h)
	}
	core.tell(func() { core.chats[0].Draft = "heard" }, &controlpb.Event{Event: &controlpb.Event_Chat{Chat: core.chats[0]}})
	w.until("what is said is heard of", func() bool { return s.Chats.Get("g").GetDraft() == "heard" })
	if len(notes) > 0 {
		t.Errorf("told: %q", notes)
	}

	joined := false
	s.Groups.Join("g", func() { joined = true })
	w.until("the plugin is asked", func() bool { return slices.Equal(g.asked(), []string{"accept|g|||"}) })
	g.changed("g", `{"by":"alice","role":"member"}`, func(x *Group) { x.Role, x.People[2].Role = RoleMember, RoleMember })
	w.until("it is a chat", func() bool { return s.Chats.Rows.Len() == 1 && s.Groups.Invitations.Len() == 0 && joined })
	if h := c.Header.Get(); h.Away != "" || h.Line != "3 members · 1 online" || s.Chats.Unread.Get() != 3 {
		t.Errorf("%+v, %d unread", h, s.Chats.Unread.Get())
	}

	// Another one comes while the window is there.
	g.put("h", "Hikers", RoleInvited, person("carol", RoleOwner), person("alice", RoleInvited))
	core.tell(func() { g.infos["h"].By = "carol" },
		&controlpb.Event{Event: &controlpb.Event_Chat{Chat: core.chats[1]}})
	g.changed("h", `{"invited":true}`, func(*Group) {})
	w.until("it is told", func() bool { return len(notes) == 1 })
	if notes[0] != "h|Carol invites you to a group|Hikers" {
		t.Errorf("%q", notes)
	}
	s.Groups.Decline("h")
	core.tell(func() { core.chats = core.chats[:1] }, &controlpb.Event{Event: &controlpb.Event_ChatRemoved{ChatRemoved: "h"}})
	w.until("it is gone", func() bool { return s.Groups.Invitations.Len() == 0 && slices.Equal(gone, []string{"h"}) })

	choices := func() (list []MenuChoice) {
		for _, item := range c.Menu(c.Rows.At(0).Key) {
			list = append(list, item.Choice)
		}
		return list
	}
	if !slices.Contains(choices(), ChooseReply) {
		t.Errorf("a member is offered %v", choices())
	}
	g.changed("g", `{"role":""}`, func(x *Group) { x.Role = RoleNone })
	w.until("one is in it no more", func() bool { return c.Header.Get().Away == "You are not in this group any more." })
	if h := c.Header.Get(); h.Line != "Not a member" || c.MayReact() {
		t.Errorf("%+v", h)
	}
	if got := choices(); !slices.Equal(got, []MenuChoice{ChooseCopy, ChooseForward, ChooseDetails}) {
		t.Errorf("who was removed is offered %v", got)
	}
	var failures []string
	defer s.Failures.Observe(func(text string) { failures = append(failures, text) })()
	c.React(c.Rows.At(0).Key, "👍", true)
	if !slices.Equal(failures, []string{"You are not in this group any more."}) || len(core.asks("react")) > 0 {
		t.Errorf("a reaction of who was removed says %q", failures)
	}
}

// TestDeclined: a group that one declined to join is gone, as if nobody had asked; one
// that one left is there.
func TestDeclined(t *testing.T) {
	core, g := groupCore()
	g.put("g", "Choir", RoleInvited, person("bob", RoleOwner), person("alice", RoleInvited))
	g.put("h", "Hikers", RoleMember, person("bob", RoleOwner), person("alice", RoleMember))
	core.chats[0].Unread = 2
	w := openWindow(t, core)
	s := w.session
	w.until("the invitation is there", func() bool { return s.Groups.Invitations.Len() == 1 && s.Groups.Get("h") != nil })
	g.changed("g", `{}`, func(x *Group) { x.Role, x.Declined, x.People = RoleNone, true, x.People[:1] })
	w.until("it is declined", func() bool { return s.Groups.Get("g").Declined })
	g.changed("h", `{}`, func(x *Group) { x.Role, x.People = RoleNone, x.People[:1] })
	w.until("the other is left", func() bool { return s.Groups.Get("h").Role == RoleNone })
	if s.Groups.Invitations.Len() != 0 || s.Chats.Rows.Len() != 1 || s.Chats.Rows.At(0).Title != "Hikers" || s.Chats.Unread.Get() != 0 {
		t.Errorf("%d invitations, chats %+v, %d unread", s.Groups.Invitations.Len(), s.Chats.Rows.Rows(), s.Chats.Unread.Get())
	}
	// Asked again, it is an invitation again.
	g.changed("g", `{}`, func(x *Group) {
		x.Role, x.Declined, x.People = RoleInvited, false, append(x.People, person("alice", RoleInvited))
	})
	w.until("it is an invitation again", func() bool { return s.Groups.Invitations.Len() == 1 })
}

// TestGroupIsReadAgain: what changes while it is read is read once more; a picture
// only when it is another.
func TestGroupIsReadAgain(t *testing.T) {
	core, g := groupCore()
	g.put("g", "Choir", RoleAdmin, person("bob", RoleOwner), person("alice", RoleAdmin))
	w := openWindow(t, core)
	s := w.session
	w.until("it is known", func() bool { return s.Groups.Get("g") != nil })
	if s.Groups.Get("g").Picture != nil || len(core.asks("get-picture")) > 0 {
		t.Error("there is a picture")
	}
	g.changed("g", `{}`, func(x *Group) { x.PictureID = "1" })
	w.until("there is a picture", func() bool { row, _ := s.Chats.Row("g"); return string(row.Avatar()) == "picture of g" })
	g.changed("g", `{}`, func(x *Group) { x.Title = "Old choir" })
	g.changed("g", `{}`, func(x *Group) { x.Title = "New choir" })
	w.until("the last one counts", func() bool { return s.Groups.Get("g").Title == "New choir" && len(s.Groups.queue) == 0 })
	if n := len(core.asks("get-picture")); n != 1 {
		t.Errorf("the picture was read %d times", n)
	}
	// And after a loss of the core all of it.
	core.tell(func() { g.infos["g"].Title = "Newest choir" })
	w.stop()
	w.until("the loss", func() bool { return s.Link.Get().State == Lost })
	w.serve()
	w.until("it is read again", func() bool { return s.Groups.Get("g").Title == "Newest choir" })
	// A chat of which the plugin knows nothing is a chat nevertheless.
	x := &controlpb.Chat{Id: "x", Kind: "group", Title: "Strange"}
	core.tell(func() { core.chats = append(core.chats, x) }, &controlpb.Event{Event: &controlpb.Event_Chat{Chat: x}})
	w.until("it is there", func() bool { row, ok := s.Chats.Row("x"); return ok && row.Title == "Strange" })
}

func memberLines(p *GroupPage) []string {
	var list []string
	for _, m := range p.Members.Rows() {
		may := ""
		for i, on := range []bool{m.MayPromote, m.MayDismiss, m.MayHandOver, m.MayRemove} {
			if on {
				may += string("PDHR"[i])
			}
		}
		list = append(list, strings.Join([]string{m.Name, m.Line, m.Badge, may}, "|"))
	}
	return list
}

// TestGroupPage: who one is says what one may do.
func TestGroupPage(t *testing.T) {
	for role, want := range map[Role][]string{
		RoleOwner:  {"Alice|You|Owner|", "Bob|bob|Admin|DHR", "Carol|carol||PHR", "Dave D.|Invited by Bob|Invited|R"},
		RoleAdmin:  {"Bob|bob|Owner|", "Alice|You|Admin|", "Carol|carol|Admin|DR", "Dave D.|dave||PR"},
		RoleMember: {"Bob|bob|Owner|", "Alice|You||", "Carol|carol||", "Dave D.|dave||"},
		RoleNone:   {"Bob|bob|Owner|", "Carol|carol||"},
	} {
		t.Run("as "+string(role), func(t *testing.T) {
			core, g := groupCore()
			people := map[Role][]GroupPerson{
				RoleOwner:  {person("alice", RoleOwner), person("bob", RoleAdmin), person("carol", RoleMember), person("dave", RoleInvited)},
				RoleAdmin:  {person("bob", RoleOwner), person("alice", RoleAdmin), person("carol", RoleAdmin), person("dave", RoleMember)},
				RoleMember: {person("bob", RoleOwner), person("alice", RoleMember), person("carol", RoleMember), person("dave", RoleMember)},
				RoleNone:   {person("bob", RoleOwner), person("carol", RoleMember)},
			}[role]
			g.put("g", "Choir", role, people...)
			w := openWindow(t, core)
			p := w.session.OpenGroup("g")
			defer p.Close()
			w.until("it is there", func() bool { return p.Members.Len() == len(want) })
			if got := memberLines(p); !slices.Equal(got, want) {
				t.Errorf("%q, want %q", got, want)
			}
			if v := p.View.Get(); v.May != (role == RoleOwner || role == RoleAdmin) {
				t.Errorf("%+v", v)
			}
			p.Find("caro")
			if p.Members.Len() != 1 {
				t.Errorf("found %q", memberLines(p))
			}
		})
	}
}

// TestGroupOrders: what is asked for is what the plugin understands, and what it
// refuses is said.
func TestGroupOrders(t *testing.T) {
	core, g := groupCore()
	g.put("g", "Choir", RoleOwner, person("alice", RoleOwner), person("bob", RoleMember))
	w := openWindow(t, core)
	s := w.session
	problem := "?"
	done := func(p string) { problem = p }
	s.Groups.Rename("g", " Big choir ", done)
	w.until("it is done", func() bool { return problem == "" })
	s.Groups.Describe("g", "We sing", done)
	s.Groups.SetPicture("g", "/a.png", done)
	s.Groups.SetPicture("g", "", done)
	s.Groups.Invite("g", []string{"carol", "dave"}, done)
	s.Groups.SetRole("g", "bob", RoleAdmin)
	s.Groups.Remove("g", "bob")
	s.Groups.SetHistory("g", HistoryAll)
	s.Groups.Leave("g")
	want := []string{
		"describe|g|We sing||", "history|g|all||", "invite|g||carol,dave|", "leave|g|||", "picture|g|||", "picture|g|||/a.png",
		"remove|g||bob|", "rename|g|Big choir||", "role|g||bobadmin|",
	}
	w.until("the plugin is asked", func() bool { return len(g.asked()) == len(want) })
	got := g.asked()
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	core.tell(func() { g.fail = status.Error(codes.PermissionDenied, "only an admin can") })
	s.Groups.Rename("g", "x", done)
	w.until("why not is said", func() bool { return problem == "only an admin can" })
	asked := len(g.asked())
	for _, test := range []struct {
		change func(string)
		text   string
		want   string
	}{
		{func(x string) { s.Groups.Rename("g", x, done) }, " \t ", "Give the group a name."},
		{func(x string) { s.Groups.Rename("g", x, done) }, strings.Repeat("合", 43), "The name is too long. Shorten it."},
		{func(x string) { s.Groups.Describe("g", x, done) }, strings.Repeat("合", 683), "The description is too long. Shorten it."},
	} {
		if test.change(test.text); problem != test.want || len(g.asked()) != asked {
			t.Errorf("%.20q: %q", test.text, problem)
		}
	}
	failed := ""
	s.Failures.Observe(func(x string) { failed = x })
	s.Groups.Leave("g")
	w.until("why not is said", func() bool { return failed == "only an admin can" })
}

// TestInvitees: who is in the group is not offered, also when that changes meanwhile.
func TestInvitees(t *testing.T) {
	core, g := groupCore()
	g.put("g", "Choir", RoleOwner, person("alice", RoleOwner), person("bob", RoleMember))
	w := openWindow(t, core)
	s := w.session
	w.until("the group is known", func() bool { return s.Groups.Get("g") != nil })
	p := s.PickInvitees("g")
	defer p.Close()
	offered := func() (list []string) {
		for _, r := range p.Rows.Rows() {
			list = append(list, r.Contact.GetUser())
		}
		return list
	}
	if got := offered(); !slices.Equal(got, []string{"carol"}) {
		t.Errorf("%q are offered", got)
	}
	p.Choose("carol", true)
	g.changed("g", `{}`, func(x *Group) { x.People = []GroupPerson{person("alice", RoleOwner), person("carol", RoleInvited)} })
	w.until("bob is gone, and carol invited by another", func() bool { return slices.Equal(offered(), []string{"bob"}) })
	if got := p.Chosen.Get(); len(got) != 0 {
		t.Errorf("%q are chosen", got)
	}
}

func TestNewGroup(t *testing.T) {
	core, g := groupCore()
	w := openWindow(t, core)
	s := w.session
	n := s.NewGroup()
	defer n.Close()
	names := func() (list []string) {
		for _, r := range n.People.Rows.Rows() {
			list = append(list, fmt.Sprint(r.Name, " ", r.Chosen))
		}
		return list
	}
	if got := names(); !slices.Equal(got, []string{"Bob false", "Carol false"}) { // contacts alone
		t.Errorf("%q", got)
	}
	n.People.Find("CAR")
	n.People.Choose("carol", true)
	n.People.Choose("carol", true)
	n.People.Find("")
	n.People.Choose("bob", true)
	if got := names(); !slices.Equal(got, []string{"Bob true", "Carol true"}) || !slices.Equal(n.People.Chosen.Get(), []string{"carol", "bob"}) {
		t.Errorf("%q, %q", got, n.People.Chosen.Get())
	}
	for _, title := range []string{"", " \u2800 ", strings.Repeat("x", 129)} {
		n.Create(title, "", HistoryFromJoin)
		if n.State.Get().TitleProblem == "" {
			t.Errorf("%q is taken", title)
		}
	}
	n.Typed()
	made := ""
	n.Made.Observe(func(chat string) { made = chat })
	core.tell(func() { g.fail = status.Error(codes.FailedPrecondition, "bob is not among your contacts") })
	n.Create("Choir", "", HistoryFromJoin)
	n.Create("Choir", "", HistoryFromJoin) // one is on its way
	w.until("why not is said", func() bool { return n.State.Get().Problem == "bob is not among your contacts" })
	core.tell(func() { g.fail, g.create = nil, "new" })
	n.Create(" Choir ", "/p.png", HistoryAll)
	w.until("it is made", func() bool { return made == "new" })
	if got := g.asked()[1:]; !slices.Equal(got, []string{"create||Choir|carol,boball|", "picture|new|||/p.png"}) {
		t.Errorf("%q", got)
	}
	if asks := core.asks("create"); string(asks[0].GetInvocation()) == string(asks[1].GetInvocation()) {
		t.Error("what was refused is asked for again by the same id")
	}
}

func TestGroupEvents(t *testing.T) {
	core, _ := groupCore()
	w := openWindow(t, core)
	for data, want := range map[string]string{
		`{"by":"bob","facts":[{"what":"created","title":"Choir\u202e"},{"what":"invited","user":"alice"},{"what":"invited","user":"carol"},{"what":"invited","user":"zoe"}]}`: "Bob created the group “Choir\uFFFD” · Bob invited you, Carol and zoe",
		`{"by":"alice","facts":[{"what":"joined"}]}`:                                                                                                                 "You joined",
		`{"by":"bob","facts":[{"what":"left"}]}`:                                                                                                                     "Bob left",
		`{"by":"bob","facts":[{"what":"declined"}]}`:                                                                                                                 "Bob declined the invitation",
		`{"by":"bob","facts":[{"what":"removed","user":"carol"}]}`:                                                                                                   "Bob removed Carol",
		`{"by":"bob","facts":[{"what":"withdrawn","user":"alice"}]}`:                                                                                                 "Bob withdrew the invitation to you",
		`{"by":"bob","facts":[{"what":"role","user":"carol","role":"owner"}]}`:                                                                                       "Bob made Carol the owner",
		`{"by":"bob","facts":[{"what":"role","user":"alice","role":"admin"}]}`:                                                                                       "Bob made you an admin",
		`{"by":"bob","facts":[{"what":"role","user":"carol","role":"member"}]}`:                                                                                      "Bob took the admin role from Carol",
		`{"by":"bob","facts":[{"what":"title","title":"X"},{"what":"description"}]}`:                                                                                 "Bob named the group “X” · Bob changed the description",
		`{"by":"bob","facts":[{"what":"picture"}]}`:                                                                                                                  "Bob changed the picture",
		`{"by":"bob","facts":[{"what":"picture","removed":true}]}`:                                                                                                   "Bob removed the picture",
		`{"by":"bob","facts":[{"what":"history","history":"all"}]}`:                                                                                                  "Bob shares what is written from now on with people invited later, too",
		`{"by":"bob","facts":[{"what":"history","history":"from-join"}]}`:                                                                                            "Bob no longer shares what is written from now on with people invited later",
		`{"by":"bob","facts":[{"what":"role","user":"bob","role":"member"}]}`:                                                                                        "Bob gave up being an admin",
		`{"by":"alice","facts":[{"what":"role","user":"alice","role":"member"}]}`:                                                                                    "You gave up being an admin",
		`{"by":"bob","facts":[{"what":"left","owner":"carol"}]}`:                                                                                                     "Bob left, and the owner is now: Carol",
		`{"by":"bob","facts":[{"what":"left","owner":"alice"}]}`:                                                                                                     "Bob left, and the owner is now: you",
		`{"by":"alice","facts":[{"what":"joined","owner":"alice"}]}`:                                                                                                 "You joined, as the owner",
		`{"by":"bob","facts":[{"what":"more"}]}`:                                                                                                                     "Bob did more besides",
		`{"by":"carol","facts":[{"what":"removed","user":"zoe","void":true}],"meanwhile":{"by":"bob","facts":[{"what":"removed","user":"carol"}]}}`:                  "Carol removed zoe (does not count, because meanwhile: Bob removed Carol)",
		`{"by":"carol","facts":[{"what":"title","title":"A","void":true}],"meanwhile":{"by":"alice","facts":[{"what":"title","title":"B"}]}}`:                        "Carol named the group “A” (does not count, because meanwhile: You named the group “B”)",
		`{"by":"carol","facts":[{"what":"title","title":"A","void":true},{"what":"description","void":true}],"meanwhile":{"by":"bob","facts":[{"what":"left"}]}}`:    "Carol named the group “A” · Carol changed the description (does not count, because meanwhile: Bob left)",
		`{"by":"carol","facts":[{"what":"invited","user":"zoe","void":true},{"what":"invited","user":"bob"}]}`:                                                       "Carol invited zoe (does not count) · Carol invited Bob",
		`{"by":"carol","facts":[{"what":"left","void":true}],"meanwhile":{"by":"bob","facts":[{"what":"left"}],"meanwhile":{"by":"bob","facts":[{"what":"left"}]}}}`: "Carol left (does not count, because meanwhile: Bob left)",
		`{"by":"bob","facts":[{"what":"forged"}]}`:                                                                                                                   "Bob tried to change the group without the right to, and nothing came of it",
		`{"by":"bob","facts":[{"what":"danced"}]}`:                                                                                                                   "Bob did something that this version of Parley does not know",
		`{"by":"bob"}`: "in English", `what?`: "in English", ``: "in English",
	} {
		m := &controlpb.Message{Plugin: "group", Kind: "group.event", Body: "in English", Data: []byte(data)}
		if got := w.session.groupEvent(m); got != want {
			t.Errorf("%s\nsays %q\nwant %q", data, got, want)
		}
	}
	m := said("b", "bob", 1, "hello")
	if got := w.session.groupEvent(m); got != "" {
		t.Errorf("a text says %q", got)
	}
	m.Plugin, m.Kind, m.Data = "other", "group.event", []byte(`{"by":"bob","facts":[{"what":"left"}]}`)
	if got := w.session.groupEvent(m); got != "" {
		t.Errorf("another plugin's says %q", got)
	}
}

// TestGroupConversation: events stand by themselves, and have no menu.
func TestGroupConversation(t *testing.T) {
	core, g := groupCore()
	g.put("g", "Choir", RoleMember, person("bob", RoleOwner), person("alice", RoleMember), person("dave", RoleMember))
	event := said("g", "bob", 2, "x")
	event.Plugin, event.Kind, event.Data = "group", "group.event", []byte(`{"by":"bob","facts":[{"what":"description"}]}`)
	core.messages = []*controlpb.Message{mentions(said("g", "bob", 1, "hello @alice, @dave"), "alice"), event, said("g", "bob", 3, "y"), said("g", "dave", 4, "z")}
	core.chats[0].Last = event
	w := openWindow(t, core)
	c := w.session.Conversation
	c.Open("g", nil)
	w.until("the chat is read", func() bool { return c.loaded && w.session.Groups.Get("g") != nil })
	r := c.Rows.At(1)
	if r.Event != "Bob changed the description" || c.Menu(r.Key) != nil || !strings.HasPrefix(r.Label, r.Event) {
		t.Errorf("%+v", r)
	}
	if !c.Rows.At(0).Last || !c.Rows.At(2).First || c.Rows.At(3).Author != "Dave D." || c.Rows.At(3).Colour == 0 {
		t.Error("messages are grouped with an event")
	}
	if row, _ := w.session.Chats.Row("g"); row.Line != "Bob changed the description" {
		t.Errorf("the list says %q", row.Line)
	}
	spans := c.Rows.At(0).Content.Text.Blocks[0].Spans
	if len(spans) != 3 || spans[1].Text != "@alice" || spans[1].Mention != "alice" || spans[2].Mention != "" {
		t.Errorf("%+v", spans)
	}
	// What is on its way says nothing of whom it mentions; when it is there, it does.
	core.add(said("g", "alice", 5, "hello @bob"))
	w.until("it is there", func() bool { return c.Rows.Len() == 5 })
	core.tell(nil, &controlpb.Event{Event: &controlpb.Event_MessageChanged{MessageChanged: mentions(said("g", "alice", 5, "hello @bob"), "bob")}})
	w.until("bob is marked", func() bool {
		spans := c.Rows.At(4).Content.Text.Blocks[0].Spans
		return len(spans) == 2 && spans[1].Mention == "bob"
	})
	// Those who are no contacts are in no list of them.
	for _, x := range w.session.Contacts.Rows.Rows() {
		if x.Contact.GetUser() == "dave" {
			t.Error("dave is listed as a contact")
		}
	}
	core.tell(nil, &controlpb.Event{Event: &controlpb.Event_Contact{Contact: &controlpb.Contact{
		User: "dave", Name: "David", State: controlpb.ContactState_CONTACT_STATE_ACQUAINTANCE,
	}}})
	w.until("he is called otherwise", func() bool { return c.Rows.At(3).Author == "David" })
	if w.session.Contacts.Rows.Index("dave") >= 0 {
		t.Error("dave is listed as a contact")
	}
	if v := w.session.OpenPerson("dave").View.Get(); v.Known || v.Standing != "in a group with you" {
		t.Errorf("%+v", v)
	}
}

// mentions adds to a message what the text plugin does when it mentions somebody.
func mentions(m *controlpb.Message, user string) *controlpb.Message {
	m.Annotations = append(m.Annotations, &controlpb.Annotation{Kind: "mention", Author: m.GetAuthor(), Value: []byte(`["` + user + `"]`)})
	return m
}

// TestMentions: the annotation says who is mentioned, and only the author's own.
func TestMentions(t *testing.T) {
	for name, c := range map[string]struct {
		author, value string
		want          []string
	}{
		"two": {"bob", `["alice","a.b"]`, []string{"alice", "a.b"}}, "none": {"bob", `[]`, nil}, "no list": {"bob", `{"x":1}`, nil},
		"broken": {"bob", `["ali`, nil}, "somebody else's": {"eve", `["alice"]`, nil},
		"too many": {"bob", "[" + strings.Repeat(`"x",`, 1000) + `"alice"]`, slices.Repeat([]string{"x"}, maxMentions)},
	} {
		m := said("g", "bob", 1, "@alice")
		m.Annotations = []*controlpb.Annotation{{Kind: "mention", Author: c.author, Value: []byte(c.value)}}
		if got := mentioned(m); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q", name, got)
		}
	}
	known := []string{"bob", "a.b", "al_"}
	for text, want := range map[string]string{
		"hi @bob, and @a.b.": "hi [@bob], and [@a.b].", "@bob@bob": "[@bob]@bob", "@zoe @bob": "@zoe [@bob]", "": "", "none": "none", "@BOB": "[@BOB]", "你好@bob。": "你好[@bob]。", "@al_!": "[@al_]!", "@bobx": "@bobx", "x@bob": "x@bob",
	} {
		got := ""
		for _, s := range markMentions([]Span{{Text: text}}, known) {
			if s.Mention != "" {
				got += "[" + s.Text + "]"
			} else {
				got += s.Text
			}
		}
		if got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
	for _, s := range markMentions([]Span{{Text: "@bob", Code: true}, {Text: "@bob", Link: "x"}}, known) {
		if s.Mention != "" {
			t.Errorf("%+v", s)
		}
	}
}

// TestCompleteMention: members are offered, by id and by each word of their names.
func TestCompleteMention(t *testing.T) {
	core, g := groupCore()
	g.put("g", "Choir", RoleMember, person("bob", RoleOwner), person("alice", RoleMember), person("dave", RoleMember))
	core.chats = append(core.chats, &controlpb.Chat{Id: "b", Kind: "direct", Members: []string{"alice", "bob"}})
	w := openWindow(t, core)
	c := w.session.Conversation
	c.Open("g", nil)
	x := c.Composer
	var replaced []Replacement
	x.Replace.Observe(func(r Replacement) { replaced = append(replaced, r) })
	offered := func(line string) string {
		x.Before("", true)
		x.Before(line, true)
		var list []string
		for _, i := range x.Completion.Get().Items {
			list = append(list, i.User)
		}
		return strings.Join(list, " ")
	}
	for line, want := range map[string]string{
		"@": "bob dave", "hi @": "bob dave", "hi @B": "bob", "hi @d.": "dave", "@dave": "dave", "hi @bob ": "", "x@": "", "hi @zz": "", "@alice": "",
	} {
		if got := offered(line); got != want {
			t.Errorf("%q offers %q, want %q", line, got, want)
		}
	}
	offered("hi @d")
	x.TakeSelected()
	if !slices.Equal(replaced, []Replacement{{Chars: 2, Text: "@dave "}}) {
		t.Errorf("%+v", replaced)
	}
	x.Before("hi @dave ", true)
	x.Before("hi @d", true)
	x.Before("hi @d", false) // the cursor follows what was typed
	if len(x.Completion.Get().Items) == 0 {
		t.Error("nothing is offered")
	}
	c.Open("b", nil)
	if got := offered("@"); got != "" {
		t.Errorf("in a direct chat %q is offered", got)
	}
}

// TestMentionIsTold: also where a chat is muted, and until it is read.
func TestMentionIsTold(t *testing.T) {
	core, g := groupCore()
	g.put("g", "Choir", RoleMember, person("bob", RoleOwner), person("alice", RoleMember))
	core.chats[0].Muted = true
	w := openWindow(t, core)
	w.until("it is known", func() bool { return w.session.Groups.Get("g") != nil })
	n := NewNotifier(w.session, LoadPreferences(t.TempDir()+"/x"))
	var notes, gone []string
	n.Notes.Observe(func(x Note) { notes = append(notes, x.Title+"|"+x.Body) })
	n.Gone.Observe(func(key string) { gone = append(gone, key) })
	chat := func(unread uint32) *controlpb.Event {
		return &controlpb.Event{Event: &controlpb.Event_Chat{Chat: &controlpb.Chat{
			Id: "g", Kind: "group", Title: "Choir", Members: []string{"alice", "bob"}, Muted: true, Unread: unread,
		}}}
	}
	core.add(said("g", "bob", 1, "not for her"))
	core.add(mentions(said("g", "bob", 2, "but this, @alice"), "alice"))
	w.until("it is told", func() bool { return len(notes) > 0 })
	core.tell(nil, chat(2))
	w.until("it is unread", func() bool { return w.session.Chats.Get("g").GetUnread() == 2 })
	if !slices.Equal(notes, []string{"Bob mentions you in Choir|Bob: but this, @alice"}) || len(gone) > 0 {
		t.Errorf("%q, and gone %q", notes, gone)
	}
	core.tell(nil, chat(0))
	w.until("it is read", func() bool { return len(gone) == 1 })
}
