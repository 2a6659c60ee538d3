package net2019

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/packet"
)

var texts = []string{"hi", "你好，世界", "👩‍👩‍👧‍👦 family", "a_b_c_", "_", "1", strings.Repeat("很长 ", 1500), "tail\n"}

// TestTwoCores: two accounts meet at a server of 2019, in both directions, and after
// a restart of one.
func TestTwoCores(t *testing.T) {
	server := serveFake(t)
	alice, bob := newNode(t, "alice", nil), newNode(t, "bob", nil)
	alice.logIn(server, aliceN)
	bob.logIn(server, bobN)
	chat := chatOf(t, aliceN, bobN).ID()

	alice.add(bobN)
	bob.until("a request", func() bool {
		return bob.contact(aliceN).GetState() == controlpb.ContactState_CONTACT_STATE_INCOMING
	})
	first := alice.say(chat, "before you know me")
	alice.until("sent", func() bool { return alice.isSent(chat, first) })
	if got := bob.said(chat, aliceN); len(got) != 0 {
		t.Errorf("shown before the request was answered: %q", got)
	}
	if err := bob.Answer(t.Context(), packet.UserID(aliceN.Name()), true); err != nil {
		t.Fatal(err)
	}
	bob.until("the first text", func() bool { return slices.Equal(bob.said(chat, aliceN), []string{"before you know me"}) })
	for _, text := range texts {
		alice.say(chat, text)
	}
	last := bob.say(chat, "from bob")
	want := "before you know me" + strings.Join(texts, "")
	bob.until("all texts", func() bool { return strings.Join(bob.said(chat, aliceN), "") == want })
	alice.until("bob's", func() bool { return slices.Equal(alice.said(chat, bobN), []string{"from bob"}) })
	bob.until("sent", func() bool { return bob.isSent(chat, last) })

	bob.stop()
	alice.until("offline", func() bool { c := alice.contact(bobN); return !c.GetLinked() && !c.GetOnline() })
	later := alice.say(chat, "while you were away")
	if got := alice.sent(chat, later); !slices.Equal(got, []controlpb.Delivery{controlpb.Delivery_DELIVERY_QUEUED}) {
		t.Errorf("to somebody who is away: %v", got)
	}
	bob.begin()
	bob.until("what was written meanwhile", func() bool {
		got := bob.said(chat, aliceN)
		return got[len(got)-1] == "while you were away"
	})
	alice.until("sent", func() bool { return alice.isSent(chat, later) })
	if got := strings.Join(bob.said(chat, aliceN), ""); got != want+"while you were away" {
		t.Errorf("something came twice or is lost: %.200q ... of %d bytes, not %d", got, len(got), len(want)+len("while you were away"))
	}
}

// TestOriginalDials: a client of the original connects, asks, and writes at once.
func TestOriginalDials(t *testing.T) {
	server := serveFake(t)
	alice := newNode(t, "alice", nil)
	alice.logIn(server, aliceN)
	chat := chatOf(t, aliceN, carolN)
	o := dialAs(t, carolN, alice.port(), chat)
	o.send(3, "")
	var all []byte
	for _, text := range []string{"你好", "a_b", "👋🏽"} {
		all = append(all, o.bytes(0, text, 0)...)
	}
	o.raw(all[:7]) // in the middle of the first
	o.raw(all[7:])
	alice.until("a request", func() bool {
		return alice.contact(carolN).GetState() == controlpb.ContactState_CONTACT_STATE_INCOMING
	})
	if _, err := alice.trySay(chat.ID(), "no"); !errors.Is(err, ErrCannot) {
		t.Errorf("wrote to somebody who was not answered: %v", err)
	}
	if err := alice.Answer(t.Context(), packet.UserID(carolN.Name()), true); err != nil {
		t.Fatal(err)
	}
	alice.until("the texts", func() bool { return slices.Equal(alice.said(chat.ID(), carolN), []string{"你好", "a_b", "👋🏽"}) })
	id := alice.say(chat.ID(), "welcome_back")
	if kind, sender, content := o.receive(); kind != "0" || sender != string(aliceN) || content != "welcome_back" {
		t.Errorf("got %s of %s: %q", kind, sender, content)
	}
	alice.until("sent", func() bool { return alice.isSent(chat.ID(), id) })
	long := strings.Repeat("字", 2000)
	alice.say(chat.ID(), long)
	got := ""
	for len(got) < len(long) {
		_, _, content := o.receive()
		got += content
	}
	if got != long {
		t.Error("a long text came otherwise")
	}
	// A call is declined, and told.
	notices := bus.Subscribe(alice.bus, bus.Noticed, 16)
	defer notices.Close()
	o.send(9, "")
	if kind, _, content := o.receive(); kind != "10" || content != "n" {
		t.Errorf("a call is answered %s %q", kind, content)
	}
	if n, err := notices.Next(t.Context()); err != nil || n.Subject != "contact:"+carolN.Name() || !strings.Contains(n.Text, "video call") {
		t.Errorf("%+v, %v", n, err)
	}
	// A farewell, of either number: offline, and everything stays.
	o.send(7, "")
	o.closed()
	alice.until("offline", func() bool { return !alice.linked(carolN) })
	if got := alice.said(chat.ID(), carolN); len(got) != 3 {
		t.Errorf("a farewell took the history: %q", got)
	}
}

// TestOriginalIsDialed: the account adds a client of the original.
func TestOriginalIsDialed(t *testing.T) {
	server := serveFake(t)
	server.split = true
	alice := newNode(t, "alice", nil)
	alice.logIn(server, aliceN)
	chat := chatOf(t, aliceN, bobN)
	l := server.listen(bobN, chat)
	alice.add(bobN)
	o := l.accept()
	if kind, sender, content := o.receive(); kind != "3" || sender != string(aliceN) || content != "" {
		t.Fatalf("asked with %s of %s: %q", kind, sender, content)
	}
	o.send(0, "hello")
	alice.until("hello", func() bool { return slices.Equal(alice.said(chat.ID(), bobN), []string{"hello"}) })
	// The connection is lost without a farewell: it is made again, and the doubt told.
	_ = o.Close()
	o = l.accept()
	if kind, _, _ := o.receive(); kind != "3" {
		t.Errorf("dialed again with %s", kind)
	}
	alice.until("a doubt", func() bool { return strings.Contains(alice.contact(bobN).GetTrouble(), "delete you and add you again") })
	o.send(0, "still here")
	alice.until("no doubt", func() bool { return alice.contact(bobN).GetTrouble() == "" })
	// Log-out says farewell, because the original notices nothing else.
	if err := alice.LogOut(t.Context()); err != nil {
		t.Fatal(err)
	}
	if kind, _, _ := o.receive(); kind != "8" {
		t.Errorf("log-out says %s", kind)
	}
	o.closed()
	if s := alice.Status(); s.GetOn() || s.GetPort() != 0 || s.GetId() != string(aliceN) {
		t.Errorf("after the log-out: %v", s)
	}
	if err := alice.Request(t.Context(), packet.UserID(carolN.Name()), ""); !errors.Is(err, ErrOff) {
		t.Errorf("a contact added while it is off: %v", err)
	}
}

// TestSimultaneousDialing: both dial at once, and what either says arrives once.
func TestSimultaneousDialing(t *testing.T) {
	server := serveFake(t)
	alice := newNode(t, "alice", nil)
	alice.logIn(server, aliceN)
	chat := chatOf(t, aliceN, bobN)
	l := server.listen(bobN, chat)
	alice.add(bobN)
	dialed := l.accept()
	dialed.receive()
	other := dialAs(t, bobN, alice.port(), chat)
	other.send(3, "")
	other.send(0, "on the one I dialed")
	alice.until("the first", func() bool { return len(alice.said(chat.ID(), bobN)) == 1 })
	dialed.send(0, "on the one you dialed")
	alice.until("the second", func() bool { return len(alice.said(chat.ID(), bobN)) == 2 })
	// bob's id is the smaller: his connection is the one that is written to.
	alice.say(chat.ID(), "which one?")
	if _, _, content := other.receive(); content != "which one?" {
		t.Errorf("got %q", content)
	}
	other.send(8, "")
	other.closed()
	alice.say(chat.ID(), "and now?")
	if _, _, content := dialed.receive(); content != "and now?" {
		t.Errorf("got %q", content)
	}
}

// TestLogInFails: why is said, and what was before goes on.
func TestLogInFails(t *testing.T) {
	server := serveFake(t)
	alice := newNode(t, "alice", nil)
	logIn := func(req *controlpb.LogInNet2019Request) error {
		_, err := alice.LogIn(t.Context(), req)
		return err
	}
	if err := logIn(&controlpb.LogInNet2019Request{Server: server.address(), Password: word}); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "ten digits") {
		t.Errorf("without an id: %v", err)
	}
	alice.logIn(server, aliceN)
	for _, tt := range []struct {
		name string
		req  *controlpb.LogInNet2019Request
		kind error
	}{
		{"wrong password", &controlpb.LogInNet2019Request{Server: server.address(), Password: "other"}, ErrRefused},
		{"nobody there", &controlpb.LogInNet2019Request{Server: "127.0.0.1:1", Password: word}, ErrUnreachable},
		{"short id", &controlpb.LogInNet2019Request{Id: "123", Server: server.address(), Password: word}, ErrInvalid},
		{"no password", &controlpb.LogInNet2019Request{Server: server.address()}, ErrInvalid},
		{"low port", &controlpb.LogInNet2019Request{Server: server.address(), Password: word, Port: 80}, ErrInvalid},
		{"no directory", &controlpb.LogInNet2019Request{}, ErrUnreachable},
		{"bad server", &controlpb.LogInNet2019Request{Server: "a b:1", Password: word}, ErrInvalid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := logIn(tt.req); !errors.Is(err, tt.kind) {
				t.Errorf("%v", err)
			}
			alice.until("back where it was", func() bool {
				s := alice.Status()
				return s.GetLoggedIn() && s.GetId() == string(aliceN) && s.GetServer() == server.address()
			})
		})
	}
}

// TestServerGoes: the session is made again, and the setting survives a restart.
func TestServerGoes(t *testing.T) {
	server := serveFake(t)
	alice := newNode(t, "alice", nil)
	alice.logIn(server, aliceN)
	server.leave() // for as long as it takes to be seen
	alice.until("logged out", func() bool { return !alice.Status().GetLoggedIn() })
	server.back()
	alice.until("logged in again", func() bool { return alice.Status().GetLoggedIn() && alice.Status().GetError() == "" })
	alice.restart()
	alice.until("logged in after a restart", func() bool { return alice.Status().GetLoggedIn() })
}

// TestNative: by way of the account's own directory.
func TestNative(t *testing.T) {
	alice := newNode(t, "alice", nil)
	chat := chatOf(t, aliceN, bobN)
	server := serveFake(t)
	l := server.listen(bobN, chat)
	alice.directory.connected = true
	alice.directory.places = placesOf(t, server, bobN)
	if s, err := alice.LogIn(t.Context(), &controlpb.LogInNet2019Request{Id: aliceN.Name()}); err != nil || !s.GetLoggedIn() {
		t.Fatalf("%v, %v", s, err)
	}
	alice.add(bobN)
	o := l.accept()
	if kind, _, _ := o.receive(); kind != "3" {
		t.Errorf("asked with %s", kind)
	}
	alice.until("linked", func() bool { return alice.linked(bobN) })
	bus.Publish(alice.bus, bus.DirectoryChanged, bus.DirectoryState{})
	alice.until("told", func() bool { return !alice.Status().GetLoggedIn() && alice.Status().GetError() != "" })
	if !alice.linked(bobN) {
		t.Error("a link needs no directory")
	}
}

// TestBlocked: who is blocked is hung up on, and cannot come again.
func TestBlocked(t *testing.T) {
	server := serveFake(t)
	alice := newNode(t, "alice", nil)
	alice.logIn(server, aliceN)
	chat := chatOf(t, aliceN, bobN)
	o := dialAs(t, bobN, alice.port(), chat)
	o.send(3, "")
	alice.until("a request", func() bool { return alice.contact(bobN) != nil })
	if err := alice.Block(t.Context(), packet.UserID(bobN.Name()), true); err != nil {
		t.Fatal(err)
	}
	o.closed()
	again := dialAs(t, bobN, alice.port(), chat)
	again.send(3, "")
	again.closed()
	if c := alice.contact(bobN); c.GetState() != controlpb.ContactState_CONTACT_STATE_BLOCKED || c.GetLinked() {
		t.Errorf("%v", c)
	}
	if err := alice.Block(t.Context(), packet.UserID(bobN.Name()), false); err != nil {
		t.Fatal(err)
	}
	if c := alice.contact(bobN); c != nil {
		t.Errorf("after unblocking somebody who was no contact: %v", c)
	}
}

// TestRemove: the other side hears a farewell, and the history goes only if asked.
func TestRemove(t *testing.T) {
	server := serveFake(t)
	alice := newNode(t, "alice", nil)
	alice.logIn(server, aliceN)
	chat := chatOf(t, aliceN, bobN)
	l := server.listen(bobN, chat)
	for i, erase := range []bool{false, true} {
		alice.add(bobN)
		o := l.accept()
		o.receive()
		o.send(0, "x")
		alice.until("x", func() bool { return len(alice.said(chat.ID(), bobN)) == i+1 })
		if err := alice.Remove(t.Context(), packet.UserID(bobN.Name()), erase); err != nil {
			t.Fatal(err)
		}
		if kind, _, _ := o.receive(); kind != "8" {
			t.Errorf("removed with %s", kind)
		}
		o.closed()
		var err error
		_ = alice.store.View(t.Context(), func(tx store.ReadTx) error {
			_, err = tx.Chat(chat.ID())
			return nil
		})
		if notFound(err) != erase {
			t.Errorf("erase %t: the chat: %v", erase, err)
		}
	}
}

// TestAnotherID: with another id of one's own, chats are others.
func TestAnotherID(t *testing.T) {
	server := serveFake(t)
	alice := newNode(t, "alice", nil)
	alice.logIn(server, aliceN)
	alice.add(bobN)
	alice.logIn(server, carolN)
	if c := alice.contact(bobN); c.GetChat() != string(chatOf(t, carolN, bobN).ID()) {
		t.Errorf("the chat with bob is %s", c.GetChat())
	}
	if _, err := alice.trySay(chatOf(t, aliceN, bobN).ID(), "x"); !errors.Is(err, ErrCannot) {
		t.Errorf("wrote as somebody else: %v", err)
	}
}

// TestSelfIsNobodyElse: an account whose user id is somebody's ten digits does not
// write in their name, nor they in the account's.
func TestSelfIsNobodyElse(t *testing.T) {
	server := serveFake(t)
	alice := newNode(t, packet.UserID(bobN), nil)
	alice.logIn(server, aliceN)
	chat := chatOf(t, aliceN, bobN)
	o := dialAs(t, bobN, alice.port(), chat)
	o.send(3, "")
	alice.until("a request", func() bool { return alice.contact(bobN) != nil })
	if err := alice.Answer(t.Context(), packet.UserID(bobN.Name()), true); err != nil {
		t.Fatal(err)
	}
	o.send(0, "I am you")
	alice.until("a text", func() bool { return len(alice.said(chat.ID(), bobN)) == 1 })
	_ = alice.store.View(t.Context(), func(tx store.ReadTx) error {
		entries, err := tx.Entries(logOf(chat.ID(), bobN), 1, 1, 1, 0, false)
		if err != nil || len(entries) != 1 || entries[0].Packet.Header.Author == alice.user {
			t.Errorf("%+v, %v", entries, err)
		}
		return nil
	})
}
