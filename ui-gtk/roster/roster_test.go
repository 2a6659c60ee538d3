package roster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gotk3/gotk3/gdk"
	"github.com/gotk3/gotk3/glib"
	"github.com/gotk3/gotk3/gtk"
	"google.golang.org/grpc"

	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/pluginpb"
	"github.com/parley-chat/parley/test/ui/desktop"
	"github.com/parley-chat/parley/ui-gtk/assets"
	"github.com/parley-chat/parley/ui-gtk/gtkx"
	"github.com/parley-chat/parley/ui-gtk/texts"
	"github.com/parley-chat/parley/ui-gtk/viewmodel"
)

// patience is how long a test waits for what it waits for, on a busy machine.
const patience = time.Minute

var (
	screen  *desktop.Desktop
	missing error // why there is no screen
)

// GTK has the thread of main, and the tests have the others.
func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	var err error
	screen, err = desktop.Start(desktop.Config{Width: 640, Height: 800})
	if errors.Is(err, desktop.ErrMissing) {
		missing = err
		return m.Run()
	}
	if err == nil {
		defer screen.Close()
		err = screen.Setenv()
	}
	if err == nil {
		err = gtkx.Init()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	status := make(chan int, 1)
	go func() {
		status <- m.Run()
		glib.IdleAdd(gtk.MainQuit)
	}()
	gtk.Main()
	return <-status
}

// do runs f on the GTK thread. f must not end the test.
func do[T any](f func() T) T {
	result := make(chan T, 1)
	glib.IdleAdd(func() { result <- f() })
	return <-result
}

// until waits for a condition, which is looked at on the GTK thread.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	done, late := make(chan struct{}), make(chan struct{})
	glib.TimeoutAdd(5, func() bool {
		select {
		case <-late:
			return false
		default:
		}
		if !ok() {
			return true
		}
		close(done)
		return false
	})
	select {
	case <-done:
	case <-time.After(patience):
		close(late)
		t.Fatalf("never: %s", what)
	}
}

// fakeCore is a core with people and chats.
type fakeCore struct {
	controlpb.ControlClient
	contacts []*controlpb.Contact
	chats    []*controlpb.Chat
	events   chan *controlpb.Event

	mu       sync.Mutex
	groups   map[string]*viewmodel.Group // by chat; nil without a group plugin
	answered []string                    // whose requests were accepted
}

func (f *fakeCore) Close() error { return nil }

func (f *fakeCore) InvokeAction(_ context.Context, plugin string, req *pluginpb.InvokeRequest, _ func(*pluginpb.InvokeUpdate)) (*controlpb.InvokeResult, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if g := f.groups[req.GetChat()]; plugin == "group" && req.GetAction() == "info" && g != nil {
		b, err := json.Marshal(g)
		return &controlpb.InvokeResult{Result: b}, err
	}
	return nil, errors.ErrUnsupported
}

func (f *fakeCore) AnswerContact(_ context.Context, r *controlpb.AnswerContactRequest, _ ...grpc.CallOption) (*controlpb.AnswerContactResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.GetAccept() {
		f.answered = append(f.answered, r.GetUser())
	}
	return &controlpb.AnswerContactResponse{}, nil
}

func (f *fakeCore) GetStatus(context.Context, *controlpb.GetStatusRequest, ...grpc.CallOption) (*controlpb.Status, error) {
	return &controlpb.Status{State: controlpb.AccountState_ACCOUNT_STATE_OPEN, User: "alice"}, nil
}

func (f *fakeCore) ListPlugins(context.Context, *controlpb.ListPluginsRequest, ...grpc.CallOption) (*controlpb.ListPluginsResponse, error) {
	if f.groups == nil {
		return &controlpb.ListPluginsResponse{}, nil
	}
	return &controlpb.ListPluginsResponse{Plugins: []*controlpb.Plugin{{
		Name: "group", State: controlpb.PluginState_PLUGIN_STATE_RUNNING,
		Manifest: &pluginpb.Manifest{Actions: []*pluginpb.Action{{Name: "create", Places: []pluginpb.Place{pluginpb.Place_PLACE_HIDDEN}}}},
	}}}, nil
}

func (f *fakeCore) ListContacts(context.Context, *controlpb.ListContactsRequest, ...grpc.CallOption) (*controlpb.ListContactsResponse, error) {
	return &controlpb.ListContactsResponse{Contacts: f.contacts}, nil
}

func (f *fakeCore) ListChats(context.Context, *controlpb.ListChatsRequest, ...grpc.CallOption) (*controlpb.ListChatsResponse, error) {
	return &controlpb.ListChatsResponse{Chats: f.chats}, nil
}

func (f *fakeCore) Search(context.Context, *controlpb.SearchRequest, ...grpc.CallOption) (*controlpb.SearchResponse, error) {
	return &controlpb.SearchResponse{}, nil
}

func (f *fakeCore) RequestContact(context.Context, *controlpb.RequestContactRequest, ...grpc.CallOption) (*controlpb.Contact, error) {
	return &controlpb.Contact{}, nil
}

func (f *fakeCore) Watch(ctx context.Context, _ *controlpb.WatchRequest, _ ...grpc.CallOption) (grpc.ServerStreamingClient[controlpb.Event], error) {
	return &eventStream{ctx: ctx, core: f}, nil
}

type eventStream struct {
	grpc.ClientStream
	ctx   context.Context
	core  *fakeCore
	began bool
}

func (s *eventStream) Recv() (*controlpb.Event, error) {
	if !s.began {
		s.began = true
		return &controlpb.Event{Event: &controlpb.Event_Watching{Watching: &controlpb.Watching{}}}, nil
	}
	select {
	case <-s.ctx.Done():
		return nil, io.EOF
	case e := <-s.core.events:
		return e, nil
	}
}

// fakeWindow is a window around a sidebar alone.
type fakeWindow struct {
	session *viewmodel.Session
	native  *gtk.Window
	owned   []func()
	opened  []string
	people  []string
}

func (w *fakeWindow) Session() *viewmodel.Session              { return w.session }
func (w *fakeWindow) Preferences() *viewmodel.PreferencesStore { return nil }
func (w *fakeWindow) Texts() *texts.Texts                      { return w.session.Texts() }
func (w *fakeWindow) Native() *gtk.Window                      { return w.native }
func (w *fakeWindow) OpenChat(chat string, _ []byte) {
	w.opened = append(w.opened, chat)
	w.session.Panes.Open(chat)
}
func (w *fakeWindow) ShowPerson(user string) { w.people = append(w.people, user) }
func (w *fakeWindow) ShowAddContact(string)  {}
func (w *fakeWindow) ShowGroup(string)       {}
func (w *fakeWindow) ShowNewGroup()          {}
func (w *fakeWindow) ShowPreferences(string) {}
func (w *fakeWindow) Toast(string)           {}
func (w *fakeWindow) Own(stop func())        { w.owned = append(w.owned, stop) }

// open shows a sidebar of a core, in the window's look.
func open(t *testing.T, core *fakeCore) (*fakeWindow, *Sidebar) {
	t.Helper()
	if missing != nil {
		t.Skip(missing)
	}
	core.events = make(chan *controlpb.Event)
	ctx, cancel := context.WithCancel(context.Background())
	w := &fakeWindow{}
	s := do(func() *Sidebar {
		var queue *viewmodel.Queue
		queue = viewmodel.NewQueue(func() { glib.IdleAdd(func() { queue.Run() }) })
		w.session = viewmodel.NewSession(viewmodel.Config{
			Loop: queue, Texts: texts.New("en"),
			Connect: func(context.Context) (viewmodel.Core, error) { return core, nil },
		})
		provider, _ := gtk.CssProviderNew()
		_ = provider.LoadFromData(assets.Style(false))
		screen, _ := gdk.ScreenGetDefault()
		gtk.AddProviderForScreen(screen, provider, uint(gtk.STYLE_PROVIDER_PRIORITY_APPLICATION))
		w.native, _ = gtk.WindowNew(gtk.WINDOW_TOPLEVEL)
		w.native.SetDefaultSize(300, 700)
		s := New(w)
		w.native.Add(s.box)
		w.native.ShowAll()
		return s
	})
	done := make(chan struct{})
	go func() { defer close(done); w.session.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-done
		do(func() bool {
			for _, stop := range w.owned {
				stop()
			}
			w.native.Destroy()
			return true
		})
	})
	until(t, "all is read", func() bool { return w.session.Link.Get().State == viewmodel.Connected })
	return w, s
}

func person(i int) string { return fmt.Sprintf("person%05d", i) }

// crowd is a core with n contacts, of whom person 0 wrote last.
func crowd(n int) *fakeCore {
	f := &fakeCore{}
	for i := range n {
		user := person(i)
		f.contacts = append(f.contacts, &controlpb.Contact{User: user, Name: user, State: controlpb.ContactState_CONTACT_STATE_CONTACT, Chat: user})
		f.chats = append(f.chats, chat(user, int64(n-i)))
	}
	return f
}

func chat(user string, at int64) *controlpb.Chat {
	return &controlpb.Chat{
		Id: user, Kind: "direct", Members: []string{"alice", user},
		Last: &controlpb.Message{Author: user, Body: "the last thing that was said", SentAt: at},
	}
}

// shown gives the ids of the rows that are in sight, and where the first is.
func (l *chatList) shown() (ids []string) {
	adjustment := l.scroll.GetVAdjustment()
	top, bottom := int(adjustment.GetValue()), int(adjustment.GetValue()+adjustment.GetPageSize())
	origin := l.list.GetAllocation().GetY()
	for _, r := range l.rows.All() {
		a := r.GetAllocation()
		if y := origin + a.GetY(); y >= top && y+a.GetHeight() <= bottom {
			ids = append(ids, r.id)
		}
	}
	return ids
}

// TestManyChats: of 10,000 chats few rows are widgets, wherever one scrolls to.
func TestManyChats(t *testing.T) {
	const n = 10_000
	began := time.Now()
	_, s := open(t, crowd(n))
	l := s.chats
	until(t, "the first chat is in sight", func() bool { ids := l.shown(); return len(ids) > 5 && ids[0] == person(0) })
	t.Logf("%d chats are shown after %v", n, time.Since(began))
	for _, at := range []float64{0.5, 0.51, 1, 0.2, 0} {
		began := time.Now()
		do(func() bool {
			a := l.scroll.GetVAdjustment()
			a.SetValue((a.GetUpper() - a.GetPageSize()) * at)
			return true
		})
		first := ""
		until(t, fmt.Sprintf("at %v of the list rows are in sight", at), func() bool {
			ids := l.shown()
			if len(ids) > 5 {
				first = ids[0]
			}
			return len(ids) > 5
		})
		i := 0
		if _, err := fmt.Sscanf(first, "person%d", &i); err != nil {
			t.Fatal(err)
		}
		if want := int(at * n); i < want-60 || i > want+20 {
			t.Errorf("at %v of the list, %s is the first in sight", at, first)
		}
		if rows := do(func() int { return l.rows.Len() }); rows > drawnChats {
			t.Errorf("%d rows are drawn", rows)
		}
		t.Logf("at %v: %v", at, time.Since(began))
	}
}

// TestMessageMovesOneRow: a message brings one chat to the top, and all widgets stay,
// also its own, on which a button may be held.
func TestMessageMovesOneRow(t *testing.T) {
	core := crowd(20)
	_, s := open(t, core)
	l := s.chats
	until(t, "the rows are there", func() bool { return l.rows.Len() == 20 })
	before := do(func() []*chatRow { return slices.Clone(l.rows.All()) })
	core.events <- &controlpb.Event{Event: &controlpb.Event_Chat{Chat: chat(person(7), 1000)}}
	until(t, "person 7 is on top", func() bool { return l.rows.All()[0].id == person(7) })
	for i, r := range do(func() []*chatRow { return slices.Clone(l.rows.All()) }) {
		switch {
		case i == 0 && r != before[7], i > 0 && i <= 7 && r != before[i-1], i > 7 && r != before[i]:
			t.Errorf("row %d was made anew", i)
		}
		if at := do(r.GetIndex); at != i {
			t.Errorf("row %d is drawn at %d", i, at)
		}
	}
}

// TestOpenedRow: a row opens its chat, and is selected while the chat is open.
func TestOpenedRow(t *testing.T) {
	core := crowd(5)
	w, s := open(t, core)
	l := s.chats
	until(t, "the rows are there", func() bool { return l.rows.Len() == 5 })
	do(func() bool { // as assistive technology does
		l.list.SelectRow(l.rows.All()[3].ListBoxRow)
		return true
	})
	until(t, "the chat is open", func() bool { return len(w.opened) == 1 && w.opened[0] == person(3) })
	selected := func() string {
		if row := l.list.GetSelectedRow(); row != nil {
			return l.rows.All()[row.GetIndex()].id
		}
		return ""
	}
	if id := do(selected); id != person(3) {
		t.Errorf("%q is selected", id)
	}
	core.events <- &controlpb.Event{Event: &controlpb.Event_Chat{Chat: chat(person(3), 1000)}}
	until(t, "it is selected on top too", func() bool { return l.rows.All()[0].id == person(3) && selected() == person(3) })
	if n := do(func() int { return len(w.opened) }); n != 1 {
		t.Errorf("chats were opened %d times: %q", n, w.opened)
	}
}

// TestRequestsStandAbove: requests take the room they need above the chats.
func TestRequestsStandAbove(t *testing.T) {
	core := crowd(3)
	for i := range 5 {
		core.contacts = append(core.contacts, &controlpb.Contact{
			User: fmt.Sprintf("asking%d", i), State: controlpb.ContactState_CONTACT_STATE_INCOMING,
			Greeting: "Hello, we met at the conference, and I would like to go on talking about what we spoke of there.",
		})
	}
	_, s := open(t, core)
	l := s.chats
	until(t, "the rows are there", func() bool { return l.rows.Len() == 3 && l.requests.incoming.rows.Len() == drawnRequests })
	until(t, "the chats are below the requests", func() bool {
		card := l.requests.incoming.rows.All()[drawnRequests-1].GetAllocation()
		more := l.requests.incoming.more.GetAllocation()
		return l.requests.incoming.more.IsVisible() && more.GetHeight() > 1 && card.GetHeight() > 60 &&
			more.GetY() >= card.GetY()+card.GetHeight() && l.list.GetAllocation().GetY() >= more.GetY()+more.GetHeight()
	})
}

// TestHostileNamesKeepTheLayout: whatever people call themselves, rows are as high and
// the sidebar as narrow as ever.
func TestHostileNamesKeepTheLayout(t *testing.T) {
	core := crowd(1)
	for i, name := range []string{
		strings.Repeat("W", 100_000), strings.Repeat("好", 5000), "z" + strings.Repeat("\u0310\u0317", 2000), "\u202eevil\u202c\u2066", "a\nb\nc\u2028d",
		strings.Repeat("\U0001F469\u200d", 3000), "<span size='99999'>big</span>", strings.Repeat("\u0e49", 500), "\ufdfd\ufdfd\ufdfd",
	} {
		user := fmt.Sprintf("hostile%d", i)
		core.contacts = append(core.contacts, &controlpb.Contact{
			User: user, Name: name, DisplayName: name, Nickname: name, State: controlpb.ContactState_CONTACT_STATE_CONTACT, Chat: user, Trouble: name,
		})
		c := chat(user, int64(100+i))
		c.Last.Body, c.Unread, c.Draft = name, 4_000_000_000, strings.Repeat(name, i%2)
		core.chats = append(core.chats, c)
		core.contacts = append(core.contacts, &controlpb.Contact{User: "asking" + user, Name: name, State: controlpb.ContactState_CONTACT_STATE_INCOMING, Greeting: name})
	}
	w, s := open(t, core)
	l := s.chats
	until(t, "the rows are there", func() bool { return l.rows.Len() == 10 && l.rows.All()[9].GetAllocatedHeight() > 20 })
	heights := do(func() (list []int) {
		for _, r := range l.rows.All() {
			list = append(list, r.GetAllocatedHeight())
		}
		return list
	})
	for i, h := range heights {
		if h > heights[9]+12 { // of another script's font
			t.Errorf("row %d is %d high, that of a plain name %d", i, h, heights[9])
		}
	}
	if least := do(func() int { least, _ := s.box.GetPreferredWidth(); return least }); least > 300 {
		t.Errorf("the sidebar is at least %d wide", least)
	}
	for _, user := range []string{"hostile0", "hostile2", "hostile5", "askinghostile1", "nobody"} {
		width := do(func() int {
			d := newPersonPage(w, user).dialog
			defer d.close()
			least, _ := d.native.GetPreferredWidth()
			return least
		})
		if width == 0 || width > 440 {
			t.Errorf("the page of %s is at least %d wide", user, width)
		}
	}
}

// TestAddContactDialog: what is wrong stands beside the field, and a dialog that is
// closed while the core answers harms nothing.
func TestAddContactDialog(t *testing.T) {
	w, _ := open(t, crowd(1))
	a := do(func() *addContact { return newAddContact(w, "Not An Id") })
	do(func() bool { a.ask(); return true })
	if !do(func() bool { return a.who.problem.GetVisible() && !a.greeting.problem.GetVisible() }) {
		t.Error("what is wrong with the id is not seen")
	}
	do(func() bool { a.who.entry.SetText("parley:bob?directory=here:1"); return true })
	if do(func() bool { return a.who.problem.GetVisible() }) {
		t.Error("what was wrong is seen after it was put right")
	}
	do(func() bool {
		a.ask()
		a.dialog.close()
		a.dialog.close()
		return true
	})
	until(t, "the core has answered", func() bool { return !a.model.State.Get().Busy })
}
