package viewmodel

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// told is what a notifier has told.
type told struct {
	*Notifier
	preferences *PreferencesStore
	notes       []Note
	gone        []string
}

func newTold(t *testing.T, w *window) *told {
	t.Helper()
	x := &told{preferences: LoadPreferences(filepath.Join(t.TempDir(), "window.json"))}
	x.Notifier = NewNotifier(w.session, x.preferences)
	x.Notes.Observe(func(n Note) { x.notes = append(x.notes, n) })
	x.Gone.Observe(func(key string) { x.gone = append(x.gone, key) })
	// The window was loaded before; the next load is compared with it.
	x.reloaded()
	return x
}

// writes has somebody write, as the core tells it.
func writes(core *fakeCore, chat *controlpb.Chat, author, kind, body string) {
	m := &controlpb.Message{Id: []byte(body), Chat: chat.GetId(), Author: author, Own: author == "alice", Plugin: "text", Kind: kind, Body: body}
	core.tell(func() {
		chat.Last = m
		if author != "alice" {
			chat.Unread++
		}
	}, &controlpb.Event{Event: &controlpb.Event_Chat{Chat: &controlpb.Chat{
		Id: chat.GetId(), Kind: chat.GetKind(), Title: chat.GetTitle(), Members: chat.GetMembers(), Muted: chat.GetMuted(), Unread: chat.GetUnread(), Last: m,
	}}}, &controlpb.Event{Event: &controlpb.Event_MessageAdded{MessageAdded: m}})
}

// barrier makes sure that all before it was heard.
func barrier(w *window, core *fakeCore, text string) {
	heard := false
	stop := w.session.Notices.Observe(func(n *controlpb.Notice) { heard = heard || n.GetText() == text })
	defer stop()
	core.tell(nil, &controlpb.Event{Event: &controlpb.Event_Notice{Notice: &controlpb.Notice{Text: text}}})
	w.until(text, func() bool { return heard })
}

func TestNotifier(t *testing.T) {
	core := newFakeCore()
	core.contacts = []*controlpb.Contact{{User: "bob", Name: "Bob\u202e", Chat: "b", Avatar: []byte("picture")}}
	bob, muted := chatOf("b", "bob", 1, "old"), chatOf("m", "mallory", 1, "old")
	muted.Muted = true
	group := &controlpb.Chat{Id: "g", Kind: "group", Title: "Choir", Members: []string{"alice", "bob"}}
	bob.Unread = 3 // which were there at the start
	core.chats = []*controlpb.Chat{bob, muted, group}
	core.plugins = []*controlpb.Plugin{{Name: "text", Manifest: &pluginpb.Manifest{
		MessageKinds: []*pluginpb.MessageKind{{Name: "text", Notifies: true}, {Name: "quiet"}},
	}}}
	w := openWindow(t, core)
	x := newTold(t, w)
	if len(x.notes) != 0 {
		t.Fatalf("what was there is told: %+v", x.notes)
	}
	writes(core, bob, "bob", "text", "hello\u202e")
	writes(core, bob, "bob", "quiet", "not told")
	writes(core, bob, "alice", "text", "own")
	writes(core, muted, "mallory", "text", "muted")
	writes(core, bob, "bob", "text", "again")
	writes(core, group, "bob", "text", "la")
	w.until("three notes", func() bool { return len(x.notes) == 3 })
	want := []Note{
		{Key: "b", Title: "Bob\uFFFD", Body: "hello\uFFFD", Avatar: []byte("picture"), Reply: true},
		{Key: "b", Title: "Bob\uFFFD (2)", Body: "again", Avatar: []byte("picture"), Reply: true},
		{Key: "g", Title: "Choir", Body: "Bob\uFFFD: la", Avatar: []byte("picture"), Reply: true},
	}
	for i, n := range x.notes {
		if n.Key != want[i].Key || n.Title != want[i].Title || n.Body != want[i].Body || string(n.Avatar) != "picture" || !n.Reply {
			t.Errorf("note %d is %+v", i, n)
		}
	}

	// Read elsewhere: it goes away, and counting begins anew.
	core.tell(func() { bob.Unread = 0 }, &controlpb.Event{Event: &controlpb.Event_Chat{Chat: chatOf("b", "bob", 2, "again")}})
	w.until("it is gone", func() bool { return slices.Equal(x.gone, []string{"b"}) })

	// Without the content.
	if err := x.preferences.Set(func(p *Preferences) { p.NotifyContent = false }); err != nil {
		t.Fatal(err)
	}
	writes(core, bob, "bob", "text", "secret")
	w.until("a note", func() bool { return len(x.notes) == 4 })
	if n := x.notes[3]; n.Title != "Bob\uFFFD" || n.Body != "1 new message" {
		t.Errorf("%+v", n)
	}

	// The chat that is seen is not told of.
	w.session.Conversation.Open("b", nil)
	w.session.Conversation.SetFront(true)
	writes(core, bob, "bob", "text", "seen")
	barrier(w, core, "after what was seen")
	w.session.Conversation.SetFront(false)
	writes(core, bob, "bob", "text", "unseen")
	w.until("a note again", func() bool { return len(x.notes) == 5 })
	if n := x.notes[4]; n.Body != "2 new messages" { // with that before
		t.Errorf("%+v", n)
	}

	// Turned off, all of it goes away, and nothing more is told.
	if err := x.preferences.Set(func(p *Preferences) { p.Notify = false }); err != nil {
		t.Fatal(err)
	}
	if left := len(x.shown); left != 0 {
		t.Errorf("%d notes are left", left)
	}
	writes(core, bob, "bob", "text", "off")
	barrier(w, core, "after off")
	if len(x.notes) != 5 {
		t.Errorf("told although it is off: %+v", x.notes[5:])
	}
}

// TestNotifierTellsOfRequests: who asks is told of once, and not any more when it is
// answered.
func TestNotifierTellsOfRequests(t *testing.T) {
	core := newFakeCore()
	core.contacts = []*controlpb.Contact{{User: "old", Name: "Old", State: controlpb.ContactState_CONTACT_STATE_INCOMING}}
	w := openWindow(t, core)
	x := newTold(t, w)
	contact := func(state controlpb.ContactState) *controlpb.Event {
		return &controlpb.Event{Event: &controlpb.Event_Contact{Contact: &controlpb.Contact{User: "bob", Name: "Bob", State: state, Greeting: "it is me"}}}
	}
	core.tell(nil, contact(controlpb.ContactState_CONTACT_STATE_INCOMING))
	w.until("it is told of", func() bool { return len(x.notes) > 0 })
	core.tell(nil, contact(controlpb.ContactState_CONTACT_STATE_INCOMING))
	barrier(w, core, "after the second time")
	core.tell(nil, contact(controlpb.ContactState_CONTACT_STATE_CONTACT))
	w.until("it is answered", func() bool { return len(x.gone) == 1 })
	if len(x.notes) != 1 || x.notes[0].Title != "Bob asks to become a contact" || x.notes[0].Body != "it is me" || x.notes[0].Reply {
		t.Errorf("%+v", x.notes)
	}
	if chat, user := NoteChat(x.gone[0]); chat != "" || user != "bob" {
		t.Errorf("it is about chat %q, user %q", chat, user)
	}
}

// TestNotifierAfterAnInterruption: what came while there was no core is told of.
func TestNotifierAfterAnInterruption(t *testing.T) {
	core := newFakeCore()
	bob := chatOf("b", "bob", 1, "old")
	bob.Last.Chat = "b"
	core.chats = []*controlpb.Chat{bob}
	w := openWindow(t, core)
	x := newTold(t, w)
	w.stop()
	w.until("it is lost", func() bool { return w.session.Link.Get().State == Lost })
	core.tell(func() {
		missed := chatOf("b", "bob", 2, "missed")
		missed.Last.Chat, missed.Unread = "b", 2
		core.chats = []*controlpb.Chat{missed}
	})
	w.serve()
	w.until("it is told of", func() bool { return len(x.notes) == 1 })
	if n := x.notes[0]; n.Title != "bob (2)" || n.Body != "missed" {
		t.Errorf("%+v", n)
	}
}

// TestNotifierReplies: an answer is sent, and the chat is read.
func TestNotifierReplies(t *testing.T) {
	core := newFakeCore()
	bob := chatOf("b", "bob", 1, "old")
	core.chats = []*controlpb.Chat{bob}
	w := openWindow(t, core)
	x := newTold(t, w)
	writes(core, bob, "bob", "text", "question")
	w.until("it is told of", func() bool { return len(x.notes) == 1 })
	x.Reply("b", " \n")
	x.Reply("nobody", "lost")
	x.Reply("b", " answer ")
	w.until("it was sent", func() bool {
		core.mu.Lock()
		defer core.mu.Unlock()
		return len(core.invoked) == 1
	})
	core.mu.Lock()
	r := core.invoked[0]
	core.mu.Unlock()
	if r.GetPlugin() != "text" || r.GetRequest().GetChat() != "b" || r.GetRequest().GetText() != "answer" || r.GetRequest().GetAction() != "send" {
		t.Errorf("sent %v", r)
	}
	if !slices.Equal(x.gone, []string{"b"}) {
		t.Errorf("gone: %v", x.gone)
	}
}
