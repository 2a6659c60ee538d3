package roster

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/packet"
)

const none = store.ContactState(0)

// into brings alice to a state with bob, through what people and the directory
// really do, and forgets what was sent on the way.
func into(w *world, alice, bob *node, state store.ContactState) {
	w.t.Helper()
	switch state {
	case store.ContactOutgoing:
		alice.request("bob", "hello")
	case store.ContactIncoming:
		bob.request("alice", "hello")
	case store.ContactAccepted:
		w.friends(alice, bob)
	case store.ContactLeft:
		w.friends(alice, bob)
		bob.must(bob.roster.Remove(bob.t.Context(), "alice", true))
	case store.ContactBlocked:
		alice.must(alice.roster.Block(alice.t.Context(), "bob", true))
	}
	alice.wantState("bob", state)
	alice.dir.set(func(d *fakeDirectory) { d.delivers = nil })
}

// What people do, in every state.
func TestActions(t *testing.T) {
	const (
		outgoing, incoming = store.ContactOutgoing, store.ContactIncoming
		accepted, blocked  = store.ContactAccepted, store.ContactBlocked
		left               = store.ContactLeft
		request            = packet.TypeRequest
		accept, leave      = packet.TypeAccept, packet.TypeLeave
	)
	ask := func(n *node) error { return n.roster.Request(n.t.Context(), "bob", "it is me") }
	answer := func(yes bool) func(n *node) error {
		return func(n *node) error { return n.roster.Answer(n.t.Context(), "bob", yes) }
	}
	remove := func(erase bool) func(n *node) error {
		return func(n *node) error { return n.roster.Remove(n.t.Context(), "bob", erase) }
	}
	block := func(yes bool) func(n *node) error {
		return func(n *node) error { return n.roster.Block(n.t.Context(), "bob", yes) }
	}
	tests := []struct {
		name string
		do   func(*node) error
		from store.ContactState
		to   store.ContactState
		sent packet.Type
		err  error
		chat bool
	}{
		{"request", ask, none, outgoing, request, nil, false},
		{"request", ask, outgoing, outgoing, request, nil, false},
		{"request", ask, incoming, accepted, accept, nil, true},
		{"request", ask, accepted, accepted, "", ErrContact, true},
		{"request", ask, left, outgoing, request, nil, true},
		{"request", ask, blocked, blocked, "", ErrBlocked, false},

		{"accept", answer(true), none, none, "", store.ErrNotFound, false},
		{"accept", answer(true), outgoing, outgoing, "", store.ErrNotFound, false},
		{"accept", answer(true), incoming, accepted, accept, nil, true},
		{"accept", answer(true), accepted, accepted, "", nil, true},
		{"accept", answer(true), left, left, "", store.ErrNotFound, true},
		{"accept", answer(true), blocked, blocked, "", store.ErrNotFound, false},

		{"decline", answer(false), none, none, "", store.ErrNotFound, false},
		{"decline", answer(false), outgoing, outgoing, "", store.ErrNotFound, false},
		{"decline", answer(false), incoming, none, "", nil, false},
		{"decline", answer(false), accepted, accepted, "", store.ErrNotFound, true},

		{"remove", remove(false), none, none, "", nil, false},
		{"remove", remove(false), outgoing, none, leave, nil, false},
		{"remove", remove(false), incoming, none, "", nil, false},
		{"remove", remove(false), accepted, none, leave, nil, true},
		{"remove", remove(false), left, none, "", nil, true},
		{"remove", remove(false), blocked, blocked, "", nil, false},
		{"erase", remove(true), none, none, "", nil, false},
		{"erase", remove(true), accepted, none, leave, nil, false},
		{"erase", remove(true), left, none, "", nil, false},

		{"block", block(true), none, blocked, "", nil, false},
		{"block", block(true), outgoing, blocked, "", nil, false},
		{"block", block(true), incoming, blocked, "", nil, false},
		{"block", block(true), accepted, blocked, "", nil, true},
		{"block", block(true), left, blocked, "", nil, true},
		{"block", block(true), blocked, blocked, "", nil, false},
		{"unblock", block(false), none, none, "", nil, false},
		{"unblock", block(false), accepted, accepted, "", nil, true},
		{"unblock", block(false), blocked, none, "", nil, false},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%s in %s", tt.name, stateOf(tt.from)), func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				alice, bob := w.join("alice"), w.join("bob")
				into(w, alice, bob, tt.from)
				if err := tt.do(alice); !errors.Is(err, tt.err) {
					t.Errorf("error %v, want %v", err, tt.err)
				}
				synctest.Wait()
				alice.wantState("bob", tt.to)
				var sent packet.Type
				if len(alice.dir.delivers) > 0 {
					sent = alice.dir.delivers[0]
				}
				if sent != tt.sent || len(alice.dir.delivers) > 1 {
					t.Errorf("sent %v, want %q", alice.dir.delivers, tt.sent)
				}
				if got := alice.hasChat("bob"); got != tt.chat {
					t.Errorf("chat: %v, want %v", got, tt.chat)
				}
				checkBook(t, alice, "bob", tt.to)
				// All of it is what a restart finds.
				alice.restart()
				alice.wantState("bob", tt.to)
				checkBook(t, alice, "bob", tt.to)
			})
		})
	}
}

// checkBook checks what others are told of a person in a state, with its keys
// as they were.
func checkBook(t *testing.T, n *node, user packet.UserID, state store.ContactState) {
	t.Helper()
	p := n.book.Person(user)
	linkable := state == store.ContactAccepted || state == store.ContactOutgoing
	if p.Linkable != linkable || p.Blocked != (state == store.ContactBlocked) {
		t.Errorf("book in %s: linkable %v, blocked %v", stateOf(state), p.Linkable, p.Blocked)
	}
	contacts, blocked := n.roster.Lists()
	if slices.Contains(contacts, user) != linkable || slices.Contains(blocked, user) != p.Blocked {
		t.Errorf("lists in %s: %v and %v", stateOf(state), contacts, blocked)
	}
}

// What others send, in every state.
func TestPackets(t *testing.T) {
	tests := []struct {
		packet packet.Type
		from   store.ContactState
		to     store.ContactState
		sent   packet.Type
	}{
		{packet.TypeRequest, none, store.ContactIncoming, ""},
		{packet.TypeRequest, store.ContactOutgoing, store.ContactAccepted, packet.TypeAccept},
		{packet.TypeRequest, store.ContactIncoming, store.ContactIncoming, ""},
		{packet.TypeRequest, store.ContactAccepted, store.ContactAccepted, packet.TypeAccept},
		{packet.TypeRequest, store.ContactLeft, store.ContactIncoming, ""},
		{packet.TypeRequest, store.ContactBlocked, store.ContactBlocked, ""},

		{packet.TypeAccept, none, none, ""},
		{packet.TypeAccept, store.ContactOutgoing, store.ContactAccepted, ""},
		{packet.TypeAccept, store.ContactIncoming, store.ContactIncoming, ""},
		{packet.TypeAccept, store.ContactAccepted, store.ContactAccepted, ""},
		{packet.TypeAccept, store.ContactLeft, store.ContactLeft, ""},
		{packet.TypeAccept, store.ContactBlocked, store.ContactBlocked, ""},

		{packet.TypeLeave, none, none, ""},
		{packet.TypeLeave, store.ContactOutgoing, store.ContactLeft, ""},
		{packet.TypeLeave, store.ContactIncoming, none, ""},
		{packet.TypeLeave, store.ContactAccepted, store.ContactLeft, ""},
		{packet.TypeLeave, store.ContactLeft, store.ContactLeft, ""},
		{packet.TypeLeave, store.ContactBlocked, store.ContactBlocked, ""},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%s in %s", tt.packet, stateOf(tt.from)), func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				alice, bob := w.join("alice"), w.join("bob")
				into(w, alice, bob, tt.from)
				bob.disconnect() // or he would answer
				content := ""
				if tt.packet == packet.TypeRequest {
					content = "please"
				}
				alice.deliver("bob", bob.seal("alice", tt.packet, content, 1<<60), bob.id.Key())
				alice.wantState("bob", tt.to)
				var want []packet.Type
				if tt.sent != "" {
					want = []packet.Type{tt.sent}
				}
				if !slices.Equal(alice.dir.delivers, want) {
					t.Errorf("sent %v, want %v", alice.dir.delivers, want)
				}
				if alice.boxed() != 0 {
					t.Error("the directory was not told that the packet was taken")
				}
				if tt.to == store.ContactIncoming && alice.contact("bob").GetGreeting() != content && tt.packet == packet.TypeRequest {
					t.Errorf("greeting %q", alice.contact("bob").GetGreeting())
				}
				if tt.to == store.ContactLeft && tt.from != store.ContactLeft && !alice.links.closedFor("bob") {
					t.Error("links were not closed")
				}
				checkBook(t, alice, "bob", tt.to)
			})
		})
	}
}

func TestRequestIsShown(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		alice, bob := w.join("alice"), w.join("bob")
		changes := bus.Subscribe(bob.bus, bus.ContactChanged, 10)
		defer changes.Close()
		w.hub.account("alice").profile.DisplayName = "Alice \u202eLiddell\n"
		alice.request("bob", "  hello Bob, 你好 ")
		c := bob.contact("alice")
		if c.GetGreeting() != "  hello Bob, 你好 " || c.GetDisplayName() != "Alice Liddell" || c.GetName() != "Alice Liddell" || c.GetChat() != "" {
			t.Errorf("contact %v", c)
		}
		if change, ok := changes.TryNext(); !ok || change.User != "alice" {
			t.Error("nobody was told")
		}
		if number := alice.contact("bob").GetSafetyNumber(); number == "" || number != c.GetSafetyNumber() {
			t.Errorf("safety numbers %q and %q", number, c.GetSafetyNumber())
		}
	})
}

func TestAccepted(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		alice, bob := w.join("alice"), w.join("bob")
		chats := bus.Subscribe(alice.bus, bus.ChatChanged, 10)
		defer chats.Close()
		w.friends(alice, bob)
		for _, n := range []*node{alice, bob} {
			other := packet.UserID("bob")
			if n == bob {
				other = "alice"
			}
			c := n.contact(other)
			if !n.hasChat(other) || c.GetChat() != "alice-bob" || !c.GetOnline() || c.GetLinked() {
				t.Errorf("contact %v", c)
			}
		}
		if change, ok := chats.TryNext(); !ok || change.Chat != "alice-bob" || change.Removed {
			t.Errorf("chat change %v %v", change, ok)
		}
		if alice.value("outbox/bob") != nil || bob.value("outbox/alice") != nil {
			t.Error("something waits in an outbox")
		}
	})
}

func TestCrossingRequests(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		alice, bob := w.join("alice"), w.join("bob")
		alice.disconnect()
		bob.disconnect()
		alice.request("bob", "a")
		bob.request("alice", "b")
		alice.connect()
		bob.connect()
		alice.wantState("bob", store.ContactAccepted)
		bob.wantState("alice", store.ContactAccepted)
		if !alice.hasChat("bob") || !bob.hasChat("alice") {
			t.Error("no chat")
		}
		if len(alice.dir.delivers)+len(bob.dir.delivers) > 4 {
			t.Errorf("they go on: %v and %v", alice.dir.delivers, bob.dir.delivers)
		}
	})
}

func TestLeftAndAskedAgain(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		alice, bob := w.join("alice"), w.join("bob")
		w.friends(alice, bob)
		alice.must(alice.roster.Rename(t.Context(), "bob", "Bobby"))
		bob.must(bob.roster.Remove(t.Context(), "alice", false))
		alice.wantState("bob", store.ContactLeft)
		if c := alice.contact("bob"); c.GetOnline() || c.GetChat() == "" {
			t.Errorf("contact that left: %v", c)
		}
		bob.request("alice", "again?")
		alice.wantState("bob", store.ContactIncoming)
		// Declined, the history is still somebody's.
		alice.answer("bob", false)
		alice.wantState("bob", store.ContactLeft)
		bob.wantState("alice", store.ContactOutgoing)
		bob.request("alice", "please")
		alice.answer("bob", true)
		alice.wantState("bob", store.ContactAccepted)
		bob.wantState("alice", store.ContactAccepted)
		if name := alice.roster.Name("bob"); name != "Bobby" {
			t.Errorf("the nickname became %q", name)
		}
	})
}

func TestBlockIsSilentAndComplete(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		alice, bob := w.join("alice"), w.join("bob")
		w.friends(alice, bob)
		alice.linkUp(bob)
		alice.must(alice.roster.Block(t.Context(), "bob", true))
		if !alice.links.closedFor("bob") {
			t.Error("the link was not closed")
		}
		bob.wantState("alice", store.ContactAccepted)
		if bob.contact("alice").GetOnline() {
			t.Error("bob sees alice online")
		}
		if len(alice.links.sent) > 0 {
			t.Errorf("sent %v", alice.links.sent)
		}
		// Whatever comes by either way is not taken.
		bob.must(bob.roster.Remove(t.Context(), "alice", false))
		alice.deliver("bob", bob.seal("alice", packet.TypeRequest, "let me in", 1<<60), bob.id.Key())
		alice.wantState("bob", store.ContactBlocked)
		if g := alice.contact("bob").GetGreeting(); g == "let me in" {
			t.Error("the greeting of someone blocked was kept")
		}
		alice.linkUp(bob)
		if alice.contact("bob").GetLinked() {
			t.Error("a link of someone blocked stays")
		}
		alice.must(alice.roster.Block(t.Context(), "bob", false))
		alice.wantState("bob", store.ContactAccepted)
	})
}

// What was not sent when somebody was blocked is sent when it is lifted.
func TestBlockHoldsBack(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		alice, bob := w.join("alice"), w.join("bob")
		alice.disconnect()
		alice.request("bob", "hello")
		alice.must(alice.roster.Block(t.Context(), "bob", true))
		alice.connect()
		bob.wantState("alice", none)
		alice.must(alice.roster.Block(t.Context(), "bob", false))
		bob.wantState("alice", store.ContactIncoming)
	})
}

func TestBadRequests(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		alice := w.join("alice")
		w.join("bob")
		for name, tt := range map[string]struct {
			user, greeting string
			want           error
		}{
			"oneself":           {"alice", "hello", ErrInvalid},
			"nobody":            {"nobody", "hello", ErrNoUser},
			"no user id":        {"Bob!", "hello", ErrInvalid},
			"empty":             {"", "hello", ErrInvalid},
			"long greeting":     {"bob", strings.Repeat("x", 1001), ErrInvalid},
			"greeting not text": {"bob", "\xff", ErrInvalid},
		} {
			err := alice.roster.Request(t.Context(), packet.UserID(tt.user), tt.greeting)
			if !errors.Is(err, tt.want) {
				t.Errorf("%s: %v, want %v", name, err, tt.want)
			}
		}
		if contacts, err := alice.roster.Contacts(t.Context()); err != nil || len(contacts) > 0 {
			t.Errorf("contacts %v, %v", contacts, err)
		}
		alice.request("bob", strings.Repeat("x", 1000))
	})
}

func TestRename(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		alice, bob := w.join("alice"), w.join("bob")
		w.hub.account("bob").profile.DisplayName = "Bob B."
		w.friends(alice, bob)
		title := func() (title string) {
			alice.must(alice.store.View(t.Context(), func(tx store.ReadTx) error {
				chat, err := tx.Chat("alice-bob")
				title = chat.Title
				return err
			}))
			return title
		}
		for _, tt := range []struct{ nickname, want string }{{"Bobby", "Bobby"}, {"", "Bob B."}} {
			alice.must(alice.roster.Rename(t.Context(), "bob", tt.nickname))
			if got := alice.roster.Name("bob"); got != tt.want || title() != tt.want || alice.contact("bob").GetName() != tt.want {
				t.Errorf("nickname %q: name %q, title %q, want %q", tt.nickname, got, title(), tt.want)
			}
		}
		for _, bad := range []string{strings.Repeat("ü", 65), "a\nb", "\xff", " a", "x\u202ey"} {
			if err := alice.roster.Rename(t.Context(), "bob", bad); !errors.Is(err, ErrInvalid) {
				t.Errorf("nickname %q: %v", bad, err)
			}
		}
		if err := alice.roster.Rename(t.Context(), "carol", "C"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("a stranger: %v", err)
		}
		if alice.roster.Name("carol") != "carol" {
			t.Errorf("a stranger is called %q", alice.roster.Name("carol"))
		}
	})
}
