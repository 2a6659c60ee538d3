package viewmodel

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/pluginpb"
	"github.com/parley-chat/parley/ui-gtk/texts"
)

// TestLastLines: what is said below a chat's title.
func TestLastLines(t *testing.T) {
	blob := func(folder bool) []*controlpb.Blob {
		return []*controlpb.Blob{{Blob: &pluginpb.Blob{Folder: folder}}}
	}
	for _, test := range []struct {
		name  string
		last  *controlpb.Message
		group bool
		sign  Sign
		want  string
	}{
		{name: "no message", want: "No messages yet"},
		{name: "text", last: &controlpb.Message{Author: "bob", Body: "hello\n there"}, want: "hello there"},
		{name: "own", last: &controlpb.Message{Author: "alice", Own: true, Body: "hi"}, want: "You: hi"},
		{name: "in a group", group: true, last: &controlpb.Message{Author: "bob", Body: "hi"}, want: "Bob: hi"},
		{name: "of a stranger", group: true, last: &controlpb.Message{Author: "eve", Body: "hi"}, want: "eve: hi"},
		{name: "deleted", last: &controlpb.Message{Author: "bob", Body: "secret", Deleted: true}, want: "Message deleted"},
		{
			name: "picture", sign: SignPicture, want: "Picture",
			last: &controlpb.Message{Author: "bob", Body: "IMG_2031.jpg", Presentation: pluginpb.Presentation_PRESENTATION_IMAGE},
		},
		{
			name: "picture with words", sign: SignPicture, want: "the two of us",
			last: &controlpb.Message{Author: "bob", Body: "IMG_2031.jpg\nthe two of us", Presentation: pluginpb.Presentation_PRESENTATION_IMAGE},
		},
		{
			name: "own file", sign: SignFile, want: "You: File report.pdf",
			last: &controlpb.Message{Own: true, Body: "report.pdf", Presentation: pluginpb.Presentation_PRESENTATION_FILE, Blobs: blob(false)},
		},
		{
			name: "folder", sign: SignFolder, want: "Folder photos",
			last: &controlpb.Message{Author: "bob", Body: "photos", Presentation: pluginpb.Presentation_PRESENTATION_FILE, Blobs: blob(true)},
		},
		{
			name: "hostile file name", sign: SignFile, want: "File exe.\uFFFDgpj",
			last: &controlpb.Message{Author: "bob", Body: "exe.\u202Egpj", Presentation: pluginpb.Presentation_PRESENTATION_FILE},
		},
		{
			name: "card", sign: SignCard, want: "Lunch?",
			last: &controlpb.Message{Author: "bob", Body: "poll", Card: &pluginpb.Card{Title: "Lunch?"}, Presentation: pluginpb.Presentation_PRESENTATION_CARD},
		},
		{
			name: "call", sign: SignCall, want: "Missed call",
			last: &controlpb.Message{Author: "bob", Body: "Missed call", Presentation: pluginpb.Presentation_PRESENTATION_CALL},
		},
		{
			name: "voice", sign: SignVoice, want: "Voice message",
			last: &controlpb.Message{Author: "bob", Body: "a1b2.opus", Presentation: pluginpb.Presentation_PRESENTATION_AUDIO},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			core := newFakeCore()
			core.contacts = []*controlpb.Contact{{User: "bob", Name: "Bob", Chat: "x"}}
			chat := &controlpb.Chat{Id: "x", Kind: "direct", Members: []string{"alice", "bob"}, Last: test.last}
			if test.group {
				chat.Kind = "group"
			}
			core.chats = []*controlpb.Chat{chat}
			w := openWindow(t, core)
			row := w.session.Chats.Rows.At(0)
			if row.Line != test.want || row.Sign != test.sign {
				t.Errorf("%q %q, want %q %q", row.Sign, row.Line, test.sign, test.want)
			}
		})
	}
}

// TestChangedKeysAreSeen: that something is to be decided is said in the list.
func TestChangedKeysAreSeen(t *testing.T) {
	core := newFakeCore()
	core.contacts = []*controlpb.Contact{{User: "bob", Chat: "b", KeyChanged: true}}
	core.chats = []*controlpb.Chat{chatOf("b", "bob", 2, "hello")}
	w := openWindow(t, core)
	if r := w.session.Chats.Rows.At(0); r.Sign != SignWarning || r.Line != "The safety number has changed" {
		t.Errorf("%q %q", r.Sign, r.Line)
	}
}

// TestDrafts: what is written and not sent is shown, but in the chat that is open.
func TestDrafts(t *testing.T) {
	core := newFakeCore()
	b, c := chatOf("b", "bob", 2, "hello"), chatOf("c", "carol", 1, "hi")
	b.Draft = "I was\nabout to"
	core.chats = []*controlpb.Chat{b, c}
	w := openWindow(t, core)
	line := func() string { return w.session.Chats.Rows.At(0).Line }
	if !w.session.Chats.Rows.At(0).Draft || line() != "I was about to" {
		t.Errorf("the draft is shown as %q", line())
	}
	w.session.Chats.SetCurrent("b")
	if w.session.Chats.Rows.At(0).Draft || line() != "hello" {
		t.Errorf("of the open chat %q is shown", line())
	}
	w.session.Chats.SetCurrent("c")
	if !w.session.Chats.Rows.At(0).Draft {
		t.Error("after leaving the chat, its draft is not shown")
	}
}

// TestTimesFollowTheDay: what was today's is yesterday's after midnight.
func TestTimesFollowTheDay(t *testing.T) {
	now := newClock()
	core := newFakeCore()
	core.chats = []*controlpb.Chat{chatOf("b", "bob", now.now.Add(-time.Hour).UnixMicro(), "hello")}
	w := openWindow(t, core, now.use)
	if when := w.session.Chats.Rows.At(0).When; when != "11:00" {
		t.Errorf("sent %q", when)
	}
	changed := 0
	defer w.session.Chats.Rows.Observe(func(steps []Change[ChatRow]) { changed += len(steps) })()
	changed = 0
	now.pass(11 * time.Hour)
	if changed != 0 {
		t.Errorf("before midnight %d rows changed", changed)
	}
	now.pass(2 * time.Hour)
	if when := w.session.Chats.Rows.At(0).When; when != "Yesterday" || changed != 1 {
		t.Errorf("after midnight: %q, %d changes", when, changed)
	}
}

// TestUnreadIsCounted over what is not muted, through changes and removals.
func TestUnreadIsCounted(t *testing.T) {
	core := newFakeCore()
	chat := func(id string, unread uint32, muted bool) *controlpb.Chat {
		return &controlpb.Chat{Id: id, Kind: "direct", Members: []string{"alice", id}, Unread: unread, Muted: muted}
	}
	core.chats = []*controlpb.Chat{chat("b", 3, false), chat("c", 5, true), chat("d", 1, false)}
	w := openWindow(t, core)
	if n := w.session.Chats.Unread.Get(); n != 4 {
		t.Errorf("%d unread", n)
	}
	core.tell(nil, &controlpb.Event{Event: &controlpb.Event_Chat{Chat: chat("c", 5, false)}},
		&controlpb.Event{Event: &controlpb.Event_ChatRemoved{ChatRemoved: "d"}},
		&controlpb.Event{Event: &controlpb.Event_Chat{Chat: chat("b", 0, false)}})
	w.until("5 are unread", func() bool { return w.session.Chats.Unread.Get() == 5 })
}

// TestGroupLinesFollowNames: who is renamed is so in the last lines of groups.
func TestGroupLinesFollowNames(t *testing.T) {
	core := newFakeCore()
	core.contacts = []*controlpb.Contact{{User: "bob", Name: "Bob"}}
	core.chats = []*controlpb.Chat{{Id: "g", Kind: "group", Title: "Team", Last: &controlpb.Message{Author: "bob", Body: "hi"}}}
	w := openWindow(t, core)
	core.tell(nil, &controlpb.Event{Event: &controlpb.Event_Contact{Contact: &controlpb.Contact{User: "bob", Name: "Robert"}}})
	w.until("Robert says it", func() bool { return w.session.Chats.Rows.At(0).Line == "Robert: hi" })
}

// TestContactOfAChatGoes: a chat whose other one is no contact any more says so.
func TestContactOfAChatGoes(t *testing.T) {
	core := newFakeCore()
	core.contacts = []*controlpb.Contact{{User: "bob", Name: "Bob", Chat: "b", State: controlpb.ContactState_CONTACT_STATE_CONTACT, Online: true}}
	core.chats = []*controlpb.Chat{chatOf("b", "bob", 1, "hi")}
	w := openWindow(t, core)
	if p := w.session.Chats.Rows.At(0).Presence(); p != Online {
		t.Errorf("presence %v", p)
	}
	core.tell(nil, &controlpb.Event{Event: &controlpb.Event_ContactRemoved{ContactRemoved: "bob"}})
	w.until("he is called by his id and not shown as online", func() bool {
		r := w.session.Chats.Rows.At(0)
		return r.Title == "bob" && r.Presence() == PresenceNone
	})
}

// TestHostileNames: no name of others breaks the line it stands on.
func TestHostileNames(t *testing.T) {
	for name, want := range map[string]string{
		"bidi \u202Eevil":                      "bidi \uFFFDevil",
		"lines\nof\ttext":                      "lines of text",
		"z" + strings.Repeat("\u0317", 500):    "z" + strings.Repeat("\u0317", maxMarks),
		strings.Repeat("x", 100_000):           strings.Repeat("x", maxShownName),
		"":                                     "bob",
		" \u200b\u2060\u3164":                  "bob",
		strings.Repeat("\u0317", 9):            "bob",
		"李雷 👩‍👩‍👧":                             "李雷 👩‍👩‍👧",
		strings.Repeat("\U0001F469\u200d", 12): strings.Repeat(strings.Repeat("\U0001F469\u200d", maxJoined)+"\U0001F469", 2),
		"<b>bold</b> & \"quoted\" %s %[1]d \\": "<b>bold</b> & \"quoted\" %s %[1]d \\",
	} {
		core := newFakeCore()
		core.contacts = []*controlpb.Contact{{User: "bob", Name: name, Chat: "b"}}
		core.chats = []*controlpb.Chat{chatOf("b", "bob", 1, "hi")}
		w := openWindow(t, core)
		if got := w.session.Chats.Rows.At(0).Title; got != want || !utf8.ValidString(got) {
			t.Errorf("%.40q is shown as %.80q, want %.80q", name, got, want)
		}
	}
}

func TestSpokenRow(t *testing.T) {
	core := newFakeCore()
	core.contacts = []*controlpb.Contact{{User: "bob", Name: "Bob", Chat: "b", State: controlpb.ContactState_CONTACT_STATE_CONTACT, Online: true}}
	b := chatOf("b", "bob", 0, "hi")
	b.Unread, b.Muted, b.Pinned = 2, true, true
	core.chats = []*controlpb.Chat{b}
	w := openWindow(t, core)
	if got := w.session.Chats.Spoken(w.session.Chats.Rows.At(0)); got != "Bob, online, pinned, muted, 2 unread messages, hi" {
		t.Errorf("it is read as %q", got)
	}
	w.session.cfg.Texts.Use("zh-Hans")
	w.session.Chats.Relabel()
	if got := w.session.Chats.Spoken(w.session.Chats.Rows.At(0)); got != "Bob, 在线, 已置顶, 已静音, 2 条未读消息, hi" {
		t.Errorf("in Chinese it is read as %q", got)
	}
}

// TestChatRequests: what a person asks for reaches the core.
func TestChatRequests(t *testing.T) {
	core := newFakeCore()
	core.chats = []*controlpb.Chat{chatOf("b", "bob", 1, "hi")}
	w := openWindow(t, core)
	w.session.Chats.MarkRead("b")
	w.session.Chats.Pin("b", true)
	w.until("both came", func() bool {
		read, set := taken[*controlpb.MarkReadRequest](core), taken[*controlpb.SetChatRequest](core)
		return len(read) == 1 && read[0].GetChat() == "b" && len(read[0].GetMessage()) == 0 &&
			len(set) == 1 && set[0].GetPinned() && set[0].Muted == nil
	})
}

// TestRequestsStandApart: who asks and who was asked are lists of their own.
func TestRequestsStandApart(t *testing.T) {
	in, out := controlpb.ContactState_CONTACT_STATE_INCOMING, controlpb.ContactState_CONTACT_STATE_OUTGOING
	core := newFakeCore()
	core.contacts = []*controlpb.Contact{{User: "bob", State: in, Name: "Bob"}, {User: "carol", State: out}, {User: "dave", State: controlpb.ContactState_CONTACT_STATE_CONTACT}}
	w := openWindow(t, core)
	c := w.session.Contacts
	names := func(l *List[ContactRow]) string {
		var s []string
		for _, r := range l.Rows() {
			s = append(s, r.Name)
		}
		return strings.Join(s, " ")
	}
	if names(&c.Incoming) != "Bob" || names(&c.Outgoing) != "carol" || names(&c.Rows) != "Bob carol dave" {
		t.Errorf("incoming %q, outgoing %q, all %q", names(&c.Incoming), names(&c.Outgoing), names(&c.Rows))
	}
	core.tell(nil, &controlpb.Event{Event: &controlpb.Event_Contact{Contact: &controlpb.Contact{User: "bob", State: controlpb.ContactState_CONTACT_STATE_CONTACT}}},
		&controlpb.Event{Event: &controlpb.Event_Contact{Contact: &controlpb.Contact{User: "erin", State: in}}},
		&controlpb.Event{Event: &controlpb.Event_ContactRemoved{ContactRemoved: "carol"}})
	w.until("only Erin waits", func() bool {
		return names(&c.Incoming) == "erin" && names(&c.Outgoing) == "" && names(&c.Rows) == "erin bob dave"
	})
}

// crowd is a session of so many contacts and chats, without a core.
func crowd(n int) *Session {
	s := NewSession(Config{Loop: NewQueue(func() {}), Texts: texts.New("en")})
	s.Status.set(&controlpb.Status{State: controlpb.AccountState_ACCOUNT_STATE_OPEN, User: "alice"})
	contacts := make([]*controlpb.Contact, n)
	chats := make([]*controlpb.Chat, n)
	for i := range n {
		user := fmt.Sprintf("user%05d", i)
		contacts[i] = &controlpb.Contact{
			User: user, Name: fmt.Sprintf("Person %05d 人", i), State: controlpb.ContactState_CONTACT_STATE_CONTACT,
			Chat: "chat" + user, Avatar: make([]byte, 1000),
		}
		chats[i] = chatOf("chat"+user, user, int64(i+1), "the last line of this chat")
	}
	s.Contacts.load(contacts)
	s.Chats.load(chats)
	return s
}

// BenchmarkMessageAmongMany: what one message costs the list of chats, drawn in a
// part of 100 rows.
func BenchmarkMessageAmongMany(b *testing.B) {
	for _, n := range []int{100, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := crowd(n)
			part := NewPart(&s.Chats.Rows, 100)
			defer part.Close()
			at := int64(n)
			for i := 0; b.Loop(); i++ {
				at++
				user := fmt.Sprintf("user%05d", i*7919%n)
				s.handle([]*controlpb.Event{{Event: &controlpb.Event_Chat{Chat: chatOf("chat"+user, user, at, "news")}}})
			}
			if top := part.Rows.At(0).Chat.GetLast().GetSentAt(); top != at {
				b.Fatalf("on top is what was sent at %d, not at %d", top, at)
			}
		})
	}
}

// BenchmarkPresenceAmongMany: what one person who comes or goes costs.
func BenchmarkPresenceAmongMany(b *testing.B) {
	s := crowd(10_000)
	part := NewPart(&s.Chats.Rows, 100)
	defer part.Close()
	for i := 0; b.Loop(); i++ {
		x := s.Contacts.Get(fmt.Sprintf("user%05d", i%10_000))
		s.handle([]*controlpb.Event{{Event: &controlpb.Event_Contact{Contact: &controlpb.Contact{
			User: x.GetUser(), Name: x.GetName(), State: x.GetState(), Chat: x.GetChat(), Online: !x.GetOnline(), Avatar: x.GetAvatar(),
		}}}})
	}
}

// BenchmarkLoadMany: what reading all anew costs.
func BenchmarkLoadMany(b *testing.B) {
	for b.Loop() {
		s := crowd(10_000)
		if s.Chats.Rows.Len() != 10_000 || !slices.IsSortedFunc(s.Contacts.Rows.Rows(), func(a, b ContactRow) int { return strings.Compare(a.folded, b.folded) }) {
			b.Fatal("the lists are not there")
		}
	}
}

// TestRemoveChat: only the chat of a group that one is not in can be removed.
func TestRemoveChat(t *testing.T) {
	core := newFakeCore()
	core.chats = []*controlpb.Chat{
		chatOf("b", "bob", 1, "hi"),
		{Id: "in", Kind: "group", Members: []string{"alice", "bob"}},
		{Id: "out", Kind: "group", Members: []string{"bob"}},
		{Id: "new", Kind: "group"},
	}
	w := openWindow(t, core)
	for id, want := range map[string]bool{"b": false, "in": false, "out": true, "new": false, "none": false} {
		if got := w.session.Chats.Removable(id); got != want {
			t.Errorf("%s: %v", id, got)
		}
	}
	w.session.Chats.Remove("out")
	w.until("it came", func() bool {
		asked := taken[*controlpb.RemoveChatRequest](core)
		return len(asked) == 1 && asked[0].GetId() == "out"
	})
	core.tell(nil, &controlpb.Event{Event: &controlpb.Event_ChatRemoved{ChatRemoved: "out"}})
	w.until("it is gone", func() bool { _, ok := w.session.Chats.Row("out"); return !ok })
}
