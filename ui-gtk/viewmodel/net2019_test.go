package viewmodel

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/parley-chat/parley/internal/failure"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/pluginpb"
	"github.com/parley-chat/parley/ui-gtk/texts"
)

const (
	chat2019  = "net2019:2017000001-2017000002"
	group2019 = "net2019:2017000001-2017000002-2017000003"
	wang      = "net2019:2017000002"
)

// core2019 is a core that is logged in with 2019, with a contact there, a chat and a
// group.
func core2019() *fakeCore {
	core := newFakeCore()
	core.status.Net2019 = &controlpb.Net2019Status{On: true, Id: "2017000001", Port: 2333, LoggedIn: true}
	core.contacts = []*controlpb.Contact{
		{User: wang, Name: wang, State: controlpb.ContactState_CONTACT_STATE_CONTACT, Chat: chat2019, Online: true, Path: "net2019"},
		{User: "net2019:2017000003", Name: "Li", State: controlpb.ContactState_CONTACT_STATE_CONTACT},
		{User: "bob", Name: "Bob", State: controlpb.ContactState_CONTACT_STATE_CONTACT, Chat: "b"},
		{User: "net2019:2017000004", Name: "net2019:2017000004", State: controlpb.ContactState_CONTACT_STATE_INCOMING},
	}
	core.chats = []*controlpb.Chat{
		{Id: chat2019, Kind: "net2019", Title: wang, Members: []string{"alice", wang}, Last: said(chat2019, wang, 1, "hello")},
		{Id: group2019, Kind: "net2019", Title: "2017000002, Li", Members: []string{"alice", wang, "net2019:2017000003"}, Last: said(group2019, wang, 2, "all")},
		{Id: "b", Kind: "direct", Members: []string{"alice", "bob"}, Last: said("b", "bob", 3, "hi")},
	}
	core.plugins = []*controlpb.Plugin{
		{Name: "emoji", State: controlpb.PluginState_PLUGIN_STATE_RUNNING, Manifest: &pluginpb.Manifest{
			Actions: []*pluginpb.Action{{Name: "react", Places: []pluginpb.Place{pluginpb.Place_PLACE_HIDDEN}}},
		}},
		{Name: "text", State: controlpb.PluginState_PLUGIN_STATE_RUNNING, Manifest: &pluginpb.Manifest{Actions: []*pluginpb.Action{
			{Name: "delete", Label: "Delete for everyone", Places: []pluginpb.Place{pluginpb.Place_PLACE_MESSAGE_MENU}},
			{Name: "delete-for-me", Label: "Delete for me", Places: []pluginpb.Place{pluginpb.Place_PLACE_MESSAGE_MENU}},
		}}},
	}
	core.messages = []*controlpb.Message{said(chat2019, wang, 1, "hello"), said(chat2019, "alice", 4, "mine")}
	core.messages[1].Delivery = controlpb.Delivery_DELIVERY_SENT
	return core
}

// TestNet2019Chat: it says that it is not encrypted, and offers nothing that cannot be
// said there.
func TestNet2019Chat(t *testing.T) {
	core := core2019()
	w := openWindow(t, core)
	s, c := w.session, w.session.Conversation
	row, _ := s.Chats.Row(chat2019)
	if !row.Open || row.Title != "2017000002 (2019)" || row.Line != "hello" || row.Presence() != Online || !strings.Contains(s.Chats.Spoken(row), "not encrypted") {
		t.Errorf("%+v, spoken %q", row, s.Chats.Spoken(row))
	}
	if g, _ := s.Chats.Row(group2019); !g.Open || g.Line != "2017000002 (2019): all" || g.Title != "2017000002 (2019), Li" || g.Contact != nil {
		t.Errorf("%+v", g)
	}
	if b, _ := s.Chats.Row("b"); b.Open {
		t.Error("an encrypted chat is said to be open")
	}
	core.tell(nil, &controlpb.Event{Event: &controlpb.Event_Contact{Contact: &controlpb.Contact{
		User: "net2019:2017000003", Name: "Li Na", State: controlpb.ContactState_CONTACT_STATE_CONTACT,
	}}})
	w.until("the group is called after its people", func() bool { g, _ := s.Chats.Row(group2019); return g.Title == "2017000002 (2019), Li Na" })
	c.Open(chat2019, nil)
	w.until("the chat is read", func() bool { return c.loaded && c.Rows.Len() == 2 })
	if h := c.Header.Get(); h.Lock != NotEncrypted || h.LockText != "Not encrypted" || h.User != wang || h.Line != "Online" {
		t.Errorf("%+v", h)
	}
	mine := c.Rows.At(1)
	if mine.State != Sent {
		t.Errorf("it is %v", mine.State)
	}
	labels := func(key string) (list []string) {
		for _, i := range c.Menu(key) {
			list = append(list, i.Label)
		}
		return list
	}
	if got := labels(mine.Key); !slices.Equal(got, []string{"Copy", "Forward", "Details", "Delete for me"}) {
		t.Errorf("the menu has %q", got)
	}
	c.Composer.Reply(mine.Key)
	c.Composer.Edit(mine.Key)
	if c.Composer.EditLast() || c.Composer.Look.Get().Reply != nil || c.Composer.Look.Get().Edit != nil {
		t.Error("it can be answered or edited")
	}
	var failures []string
	s.Failures.Observe(func(f string) { failures = append(failures, f) })
	c.Composer.Attach(t.TempDir())
	if len(failures) != 1 || !strings.Contains(failures[0], "folders") || len(c.Composer.Look.Get().Files) > 0 || c.Composer.Folders() {
		t.Errorf("a folder: %q", failures)
	}
	c.Composer.Typed("something")
	w.until("the draft is kept", func() bool { _, ok := core.lastAsked().(*controlpb.SetChatRequest); return ok })
	core.mu.Lock()
	for _, r := range core.invoked {
		if r.GetRequest().GetAction() == "typing" {
			t.Error("they are told that something is typed")
		}
	}
	core.mu.Unlock()

	c.Open("b", nil)
	if h := c.Header.Get(); h.Lock != Encrypted || !c.Composer.Folders() {
		t.Errorf("%+v", h)
	}
	c.Open(group2019, nil)
	if h := c.Header.Get(); h.Lock != NotEncrypted || h.User != "" || h.Line != "3 members · 1 online" {
		t.Errorf("%+v", h)
	}
	if v := s.OpenPerson(wang).View.Get(); !v.Open || !v.Known || len(v.Safety) > 0 {
		t.Errorf("%+v", v)
	}
	if r := s.Contacts.Incoming.At(0); r.RowKey() != "net2019:2017000004" {
		t.Errorf("%+v", r)
	}
}

// TestNet2019Files: how far they are is shown in both directions, and what is not
// possible there is not offered.
func TestNet2019Files(t *testing.T) {
	core := core2019()
	w := openWindow(t, core)
	c := w.session.Conversation
	c.Open(chat2019, nil)
	w.until("the chat is read", func() bool { return c.loaded })
	blob := func(s pluginpb.BlobState, done, speed uint64) *controlpb.Blob {
		return &controlpb.Blob{Blob: state(s), Done: done, Speed: speed}
	}
	shared, offered, wanted, over := pluginpb.BlobState_BLOB_STATE_SHARED, pluginpb.BlobState_BLOB_STATE_OFFERED, pluginpb.BlobState_BLOB_STATE_WANTED, pluginpb.BlobState_BLOB_STATE_DONE
	for _, x := range []struct {
		name, author, state string
		blob                *controlpb.Blob
		line                string
		fraction            float64
		orders              []Order
	}{
		{"coming", wang, "offered", blob(offered, 3_200_000, 1000), "3.20 MB of 12.8 MB · 1.00 kB/s", 0.25, []Order{OrderAccept, OrderDecline}},
		{"came", wang, "offered", blob(offered, 12_800_000, 0), "12.8 MB", -1, []Order{OrderAccept, OrderDecline}},
		{"accepted while it comes", wang, "fetching", blob(wanted, 6_400_000, 1000), "6.40 MB of 12.8 MB · 1.00 kB/s", 0.5, []Order{OrderCancel}},
		{"declined", wang, "declined", nil, "12.8 MB · Declined", -1, nil},
		{"cancelled", wang, "cancelled", nil, "12.8 MB · Cancelled", -1, nil},
		{"going", "alice", "shared", blob(shared, 6_400_000, 1000), "6.40 MB of 12.8 MB · 1.00 kB/s", 0.5, []Order{OrderCancel}},
		{"waiting", "alice", "shared", blob(shared, 0, 0), "12.8 MB", -1, []Order{OrderCancel}},
		{"went", "alice", "shared", blob(over, 12_800_000, 0), "12.8 MB", -1, nil},
	} {
		m := fileMessage(x.author, map[string]any{"state": x.state}, x.blob)
		m.Chat, m.Own = chat2019, x.author == "alice"
		f := c.transfer(m)
		if f.Line != x.line || f.Fraction != x.fraction || !slices.Equal(f.Orders, x.orders) {
			t.Errorf("%s: %q %v %v", x.name, f.Line, f.Fraction, f.Orders)
		}
	}
}

// TestNet2019LogIn: what is wrong stands beside its field, also when the core says it.
func TestNet2019LogIn(t *testing.T) {
	core := newFakeCore()
	w := openWindow(t, core)
	n := w.session.OpenNet2019()
	defer n.Close()
	view := n.View.Get
	if v := view(); v.On || v.State != "Switched off" {
		t.Errorf("%+v", v)
	}
	full := Net2019Form{ID: "net2019:2017000001", Elsewhere: true, Server: "192.0.2.7:5555", Password: "word", Port: "4000"}
	for name, x := range map[string]struct {
		change func(*Net2019Form)
		field  Net2019Field
	}{
		"no id": {func(f *Net2019Form) { f.ID = "" }, Net2019ID}, "a short id": {func(f *Net2019Form) { f.ID = "201700001" }, Net2019ID},
		"letters": {func(f *Net2019Form) { f.ID = "20170000ab" }, Net2019ID}, "no server": {func(f *Net2019Form) { f.Server = " " }, Net2019Server},
		"no password": {func(f *Net2019Form) { f.Password = "" }, Net2019Password}, "a low port": {func(f *Net2019Form) { f.Port = "80" }, Net2019Port},
		"no port": {func(f *Net2019Form) { f.Port = "many" }, Net2019Port}, "a high port": {func(f *Net2019Form) { f.Port = "70000" }, Net2019Port},
	} {
		n.Form = full
		x.change(&n.Form)
		n.LogIn()
		if v := view(); v.Field != x.field || v.Problem == "" || v.Busy != "" {
			t.Errorf("%s: %+v", name, v)
		}
		n.Typed()
		if v := view(); v.Problem != "" || v.Field != Net2019None {
			t.Errorf("%s is put right, and still said: %+v", name, v)
		}
	}
	if core.lastAsked() != nil {
		t.Errorf("the core was asked %v", core.lastAsked())
	}
	for _, x := range []struct {
		refuse error
		field  Net2019Field
		want   string
	}{
		{withReason(codes.PermissionDenied, "NET2019_SERVER_REFUSED", "x", "server", "192.0.2.7:5555", "id", "2017000001"), Net2019Password, "refused 2017000001. Check"},
		{withReason(codes.Unavailable, "NET2019_SERVER_UNREACHABLE", "x", "server", "192.0.2.7:5555"), Net2019Server, "192.0.2.7:5555 cannot be reached. Check the address"},
		{withReason(codes.AlreadyExists, "NET2019_TAKEN", "x"), Net2019ID, "Somebody is online"},
		{withReason(codes.FailedPrecondition, "NET2019_PORT", "x", "port", 4000, "why", "address already in use"), Net2019Port, "port 4000 cannot be used here (address already in use)"},
		{withReason(codes.InvalidArgument, "NET2019_PORT_INVALID", "x", "port", 3306), Net2019Port, "Port 3306 cannot"},
		{withReason(codes.InvalidArgument, "NET2019_ADDRESS", "x"), Net2019Server, "no address of a server"},
		{withReason(codes.InvalidArgument, "NET2019_PASSWORD", "x"), Net2019Password, "cannot be the password"},
		{withReason(codes.Unimplemented, "NET2019_NOT_SERVED", "x"), Net2019None, "does not serve"},
		{status.Error(codes.InvalidArgument, "said without a reason"), Net2019None, "said without a reason"},
	} {
		n.Form = full
		core.setRefuse(x.refuse)
		n.LogIn()
		if view().Busy == "" {
			t.Error("nothing says that it logs in")
		}
		w.until("it is refused", func() bool { return view().Busy == "" })
		if v := view(); v.Field != x.field || !strings.Contains(v.Problem, x.want) {
			t.Errorf("%v is %+v", x.refuse, v)
		}
	}
	core.setRefuse(nil)
	n.LogIn()
	w.until("it is taken", func() bool { return view().Busy == "" })
	want := &controlpb.LogInNet2019Request{Id: "2017000001", Server: "192.0.2.7:5555", Password: "word", Port: 4000}
	if r, ok := core.lastAsked().(*controlpb.LogInNet2019Request); !ok || r.String() != want.String() || n.Form.Password != "" {
		t.Errorf("%v; the form keeps %q", r, n.Form.Password)
	}
	stands := func(st *controlpb.Net2019Status) string {
		core.tell(nil, &controlpb.Event{Event: &controlpb.Event_Status{Status: &controlpb.Status{State: controlpb.AccountState_ACCOUNT_STATE_OPEN, User: "alice", Net2019: st}}})
		was := view().State
		w.until("it stands otherwise", func() bool { return view().State != was })
		return view().State
	}
	if s := stands(&controlpb.Net2019Status{On: true, Id: "2017000001", Server: "192.0.2.7:5555"}); s != "Logging in…" {
		t.Error(s)
	}
	if s := stands(&controlpb.Net2019Status{On: true, Id: "2017000001", Server: "192.0.2.7:5555", LoggedIn: true}); s != "Logged in at 192.0.2.7:5555 as 2017000001" || !view().On {
		t.Error(s)
	}
	if s := stands(&controlpb.Net2019Status{
		On: true, Error: "it ended the session", Reason: controlpb.ReasonOf(failure.Because("NET2019_SERVER_LOST", "server", "192.0.2.7:5555")),
	}); !strings.Contains(s, "is being made again") || !view().Trouble {
		t.Error(s)
	}
	n.Off()
	w.until("it is switched off", func() bool {
		_, ok := core.lastAsked().(*controlpb.LogOutNet2019Request)
		return ok && view().Busy == ""
	})
	n.Form = Net2019Form{ID: "2017000001", Server: "left over", Password: "too", Course: true}
	n.LogIn()
	w.until("it is taken", func() bool { return view().Busy == "" })
	if r, ok := core.lastAsked().(*controlpb.LogInNet2019Request); !ok || r.String() != (&controlpb.LogInNet2019Request{Id: "2017000001"}).String() {
		t.Errorf("at the own directory it asks for %v", r)
	}
}

// TestAddNet2019: somebody of 2019 is a contact at once, without a greeting.
func TestAddNet2019(t *testing.T) {
	core := core2019()
	w := openWindow(t, core)
	a := w.session.NewAddContact()
	for who, part := range map[string]string{"net2019:1": "ten digits", "net2019:2017000001": "yourself", "net2019:201700000a": "ten digits"} {
		a.Ask(who, "")
		if s := a.State.Get(); !strings.Contains(s.UserProblem, part) {
			t.Errorf("%s: %+v", who, s)
		}
	}
	a.Ask(" net2019:2017000009 ", "hello")
	w.until("it is done", func() bool { return a.State.Get().Done != "" })
	if r, ok := core.lastAsked().(*controlpb.RequestContactRequest); !ok || r.GetUser() != "net2019:2017000009" || r.GetGreeting() != "" {
		t.Errorf("%v", r)
	}
	if s := a.State.Get().Done; !strings.Contains(s, "Nothing that you say to each other is encrypted") {
		t.Error(s)
	}
	off := newFakeCore()
	w = openWindow(t, off)
	a = w.session.NewAddContact()
	a.Ask("net2019:2017000009", "")
	if s := a.State.Get(); !strings.Contains(s.UserProblem, "switched off") || off.lastAsked() != nil {
		t.Errorf("%+v", s)
	}
}

// TestNewNet2019Group: of people of 2019 alone.
func TestNewNet2019Group(t *testing.T) {
	core := core2019()
	w := openWindow(t, core)
	n := w.session.NewGroup()
	defer n.Close()
	made := ""
	n.Made.Observe(func(chat string) { made = chat })
	n.People.Choose(wang, true)
	n.Create("", "", HistoryFromJoin)
	if s := n.State.Get(); !strings.Contains(s.Problem, "at least two") {
		t.Errorf("%+v", s)
	}
	n.People.Choose("bob", true)
	n.Create("", "", HistoryFromJoin)
	if s := n.State.Get(); !strings.Contains(s.Problem, "with each other") {
		t.Errorf("%+v", s)
	}
	n.People.Choose("bob", false)
	n.People.Choose("net2019:2017000003", true)
	n.Create("", "", HistoryFromJoin)
	w.until("it is made", func() bool { return made == group2019 })
	if r, ok := core.lastAsked().(*controlpb.CreateNet2019GroupRequest); !ok || !slices.Equal(r.GetUsers(), []string{wang, "net2019:2017000003"}) {
		t.Errorf("%v", r)
	}
	w.session.LeaveNet2019(group2019, false)
	w.until("it is left", func() bool {
		r, ok := core.lastAsked().(*controlpb.LeaveNet2019GroupRequest)
		return ok && r.GetChat() == group2019
	})
	core.tell(func() {
		core.status = &controlpb.Status{State: controlpb.AccountState_ACCOUNT_STATE_OPEN, User: "alice"}
	},
		&controlpb.Event{Event: &controlpb.Event_Resync{Resync: &controlpb.Resync{}}})
	w.until("it is off", func() bool { return !w.session.Status.Get().GetNet2019().GetOn() })
	other := w.session.NewGroup()
	defer other.Close()
	if other.People.Rows.Len() != 1 || other.People.Rows.At(0).RowKey() != "bob" {
		t.Errorf("%d people are offered while it is off", other.People.Rows.Len())
	}
}

// TestNet2019IsSaid: what the core tells of 2019 is said in the window's words, with
// the names that the window has.
func TestNet2019IsSaid(t *testing.T) {
	core := core2019()
	w := openWindow(t, core, func(c *Config) { c.Texts = texts.New("zh-Hans") })
	if got := w.session.NoticeText(&controlpb.Notice{}); got != "" {
		t.Errorf("nothing is %q", got)
	}
	call := &controlpb.Notice{Text: "x", Reason: controlpb.ReasonOf(failure.Because("NET2019_CALL", "user", wang))}
	if got := w.session.NoticeText(call); !strings.HasPrefix(got, "2017000002 (2019) 发起了视频通话") {
		t.Error(got)
	}
	core.tell(nil, &controlpb.Event{Event: &controlpb.Event_Contact{Contact: &controlpb.Contact{
		User: wang, Name: wang, State: controlpb.ContactState_CONTACT_STATE_CONTACT, Chat: chat2019, Online: true,
		Trouble: "x", TroubleReason: controlpb.ReasonOf(failure.Because("NET2019_FIREWALL", "user", wang, "address", "192.0.2.9:2333")),
	}}})
	p := w.session.OpenPerson(wang)
	defer p.Close()
	w.until("the trouble is said", func() bool {
		return p.View.Get().Trouble == "2017000002 (2019) 在线，但无法连接到 192.0.2.9:2333：中间可能有防火墙。"
	})
}

// TestNet2019Members: whoever is in a group of 2019 has a name, and the id below it.
func TestNet2019Members(t *testing.T) {
	w := openWindow(t, core2019())
	var shown []string
	for _, r := range w.session.Net2019Members(group2019) {
		if r.RowKey() != r.User {
			t.Errorf("the key of %s is %q", r.User, r.RowKey())
		}
		shown = append(shown, r.User+"|"+r.Name+"|"+r.Line)
	}
	want := []string{"alice|Alice|net2019:2017000001", wang + "|2017000002 (2019)|" + wang, "net2019:2017000003|Li|net2019:2017000003"}
	if !slices.Equal(shown, want) {
		t.Errorf("the members are %q, want %q", shown, want)
	}
	if rows := w.session.Net2019Members("nothing"); len(rows) != 0 {
		t.Errorf("a chat that is not there has the members %v", rows)
	}
}
