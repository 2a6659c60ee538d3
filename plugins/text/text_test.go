package text_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"

	"github.com/parley-chat/parley/plugins/sdk"
	"github.com/parley-chat/parley/plugins/sdk/plugintest"
	"github.com/parley-chat/parley/plugins/text"
	"github.com/parley-chat/parley/protocol/packet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func config(user packet.UserID) plugintest.Config {
	return plugintest.Config{New: func() sdk.Plugin { return text.New() }, User: user, Bundled: true}
}

// pair gives two people who chat.
func pair(t *testing.T) (alice, bob *plugintest.Host, chat packet.ChatID) {
	t.Helper()
	net := plugintest.NewNetwork(t)
	alice, bob = net.Host(config("alice")), net.Host(config("bob"))
	return alice, bob, net.Chat(alice, bob)
}

func send(t *testing.T, h *plugintest.Host, chat packet.ChatID, body string) packet.PacketID {
	t.Helper()
	result, err := h.Invoke(plugintest.Call{Action: "send", Chat: chat, Text: body})
	if err != nil {
		t.Fatalf("send: %v", err)
	}
	return idOf(t, result)
}

func idOf(t *testing.T, r plugintest.Result) packet.PacketID {
	t.Helper()
	var value struct{ ID string }
	if err := json.Unmarshal(r.Value, &value); err != nil {
		t.Fatalf("result %q: %v", r.Value, err)
	}
	id, err := packet.ParsePacketID(value.ID)
	if err != nil {
		t.Fatalf("result %q: %v", r.Value, err)
	}
	return id
}

// bodies gives what each host shows: bodies, with "*" if edited and "-" if
// deleted.
func bodies(h *plugintest.Host, chat packet.ChatID) string {
	var shown []string
	for _, m := range h.Messages(chat) {
		s := m.Body
		if m.Edited {
			s += "*"
		}
		if m.Deleted {
			s += "-"
		}
		shown = append(shown, s)
	}
	return strings.Join(shown, "|")
}

func wantBoth(t *testing.T, alice, bob *plugintest.Host, chat packet.ChatID, want string) {
	t.Helper()
	for _, h := range []*plugintest.Host{alice, bob} {
		if got := bodies(h, chat); got != want {
			t.Errorf("%s sees %q, want %q", h.User(), got, want)
		}
	}
}

func code(err error) codes.Code {
	var e *sdk.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return codes.OK
}

func TestChat(t *testing.T) {
	alice, bob, chat := pair(t)
	first := send(t, alice, chat, "Tea?")
	reply, err := bob.Invoke(plugintest.Call{Action: "send", Chat: chat, Text: "Yes, 茶", Message: first})
	if err != nil {
		t.Fatal(err)
	}
	wantBoth(t, alice, bob, chat, "Tea?|Yes, 茶")
	got, ok := alice.Message(idOf(t, reply))
	if !ok || got.ReplyTo != first || got.Author != "bob" || got.Own {
		t.Errorf("alice has the reply as %+v", got)
	}
	if reply.ID != idOf(t, reply) {
		t.Errorf("the message is %s, the invocation was %s", idOf(t, reply), reply.ID)
	}
}

func TestSendChecksTheBody(t *testing.T) {
	h := plugintest.New(t, config("alice"))
	chat := h.Chat("bob")
	for _, c := range []struct{ name, body, says string }{
		{"empty", "", "empty"},
		{"blank", " \t\n\u2003", "empty"},
		{"too long", strings.Repeat("x", text.MaxBody+1), "64 KiB"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := h.Invoke(plugintest.Call{Action: "send", Chat: chat, Text: c.body})
			if code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v", err)
			}
		})
	}
	if len(h.Sent()) > 0 || len(h.Messages(chat)) > 0 {
		t.Error("something was sent")
	}
	// What is odd is kept as it is: front ends neutralise it.
	odd := "a\u202eb\x00\x1b[31m" + strings.Repeat("y", text.MaxBody-11)
	if id := send(t, h, chat, odd); h.Messages(chat)[0].Body != odd {
		t.Errorf("message %s was changed", id)
	}
}

func TestBodyThatIsNotUTF8(t *testing.T) {
	if err := text.CheckBody("caf\xe9"); !errors.Is(err, text.ErrUTF8) {
		t.Errorf("got %v", err)
	}
}

func TestReceiveRefuses(t *testing.T) {
	h := plugintest.New(t, config("alice"))
	chat := h.Chat("bob")
	content := func(b []byte, err error) []byte {
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	m := packet.NewPacketID()
	for _, c := range []struct {
		name, kind string
		content    []byte
		says       string
	}{
		{"garbage", "text", []byte("\xff\xff"), "malformed"},
		{"no body", "text", nil, "empty"},
		{"not UTF-8", "text", content(text.Text{Body: "caf\xe9"}.Encode()), "UTF-8"},
		{"too long", "text", content(text.Text{Body: strings.Repeat("x", text.MaxBody+1)}.Encode()), "64 KiB"},
		{"far too long", "text", make([]byte, 200<<10), "at most"},
		{"bad reply", "text", []byte("\x0a\x01x\x12\x02ab"), "message id"},
		{"edit of nothing", "text.edit", []byte("\x12\x01x"), "message id"},
		{"empty edit", "text.edit", content(text.Edit{Message: m}.Encode()), "empty"},
		{"delete of nothing", "text.delete", nil, "message id"},
		{"typing that is kept", "text.typing", nil, "wrong way"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := h.Receive(h.Packet(chat, "bob", packet.Type(c.kind), c.content))[0]
			if got.Err != nil || !strings.Contains(got.Refused, c.says) {
				t.Errorf("got %+v", got)
			}
		})
	}
	if got := h.Messages(chat); len(got) > 0 {
		t.Errorf("messages were made: %+v", got)
	}
}

func TestEdit(t *testing.T) {
	alice, bob, chat := pair(t)
	m := send(t, alice, chat, "Teh?")
	for _, body := range []string{"Tee?", "Tea?"} {
		r, err := alice.Invoke(plugintest.Call{Action: "edit", Chat: chat, Message: m, Text: body})
		if err != nil || idOf(t, r) != m {
			t.Fatalf("edit: %v, %s", err, r.Value)
		}
	}
	wantBoth(t, alice, bob, chat, "Tea?*")
	// The same text again is no edit.
	sent := len(alice.Sent())
	if _, err := alice.Invoke(plugintest.Call{Action: "edit", Chat: chat, Message: m, Text: "Tea?"}); err != nil || len(alice.Sent()) != sent {
		t.Errorf("an edit to the same text was sent (%v)", err)
	}
}

func TestEditInOneBatch(t *testing.T) {
	h := plugintest.New(t, config("alice"))
	chat := h.Chat("bob")
	m := textPacket(t, h, chat, "bob", "Teh?")
	h.Receive(m, editPacket(t, h, "bob", m, "Tea?", 1), textPacket(t, h, chat, "bob", "With milk"))
	if got := bodies(h, chat); got != "Tea?*|With milk" {
		t.Errorf("got %q", got)
	}
}

func textPacket(t *testing.T, h *plugintest.Host, chat packet.ChatID, author packet.UserID, body string) sdk.Packet {
	t.Helper()
	b, err := text.Text{Body: body}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return h.Packet(chat, author, text.TypeText, b)
}

func editPacket(t *testing.T, h *plugintest.Host, author packet.UserID, of sdk.Packet, body string, revision uint32) sdk.Packet {
	t.Helper()
	b, err := text.Edit{Message: of.ID, Body: body, Revision: revision}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return h.Packet(of.Chat, author, text.TypeEdit, b)
}

func deletePacket(t *testing.T, h *plugintest.Host, author packet.UserID, of sdk.Packet) sdk.Packet {
	t.Helper()
	b, err := text.Delete{Message: of.ID}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return h.Packet(of.Chat, author, text.TypeDelete, b)
}

// Whatever the order in which an author's devices deliver, the end is the same.
func TestChangesInAnyOrder(t *testing.T) {
	h := plugintest.New(t, config("alice"))
	for _, c := range []struct {
		name string
		// order of: m message, 1 and 2 edits, d deletion
		order, want string
	}{
		{"in order", "m12", "two*"},
		{"edits swapped", "m21", "two*"},
		{"edit first", "1m2", "two*"},
		{"all edits first", "12m", "two*"},
		{"all edits first, swapped", "21m", "two*"},
		{"deleted", "m12d", "-"},
		{"edited after deletion", "md12", "-"},
		{"deleted before it came", "dm", "-"},
		{"deleted and edited before it came", "1d2m", "-"},
		{"everything twice", "12mm12", "two*"},
	} {
		for _, how := range []string{"one by one", "in one batch"} {
			t.Run(c.name+" "+how, func(t *testing.T) {
				chat := h.Chat("bob", packet.UserID(strings.ToLower(strings.NewReplacer(" ", "", ",", "").Replace(c.name+how))))
				m := textPacket(t, h, chat, "bob", "zero")
				of := map[rune]sdk.Packet{
					'm': m, '1': editPacket(t, h, "bob", m, "one", 1), '2': editPacket(t, h, "bob", m, "two", 2), 'd': deletePacket(t, h, "bob", m),
				}
				var packets []sdk.Packet
				for _, r := range c.order {
					packets = append(packets, of[r])
				}
				if how == "in one batch" {
					h.Receive(packets...)
				} else {
					for _, p := range packets {
						h.Receive(p)
					}
				}
				if got := bodies(h, chat); got != c.want {
					t.Errorf("got %q, want %q", got, c.want)
				}
			})
		}
	}
	if left := h.Values(); len(left) > 0 {
		t.Errorf("%d values are left", len(left))
	}
}

func TestEarlyChangeSurvivesRestart(t *testing.T) {
	h := plugintest.New(t, config("alice"))
	chat := h.Chat("bob")
	m := textPacket(t, h, chat, "bob", "Teh?")
	h.Receive(editPacket(t, h, "bob", m, "Tea?", 1))
	h.Restart()
	h.Receive(m)
	if got := bodies(h, chat); got != "Tea?*" {
		t.Errorf("got %q", got)
	}
}

func TestEarlyChangesAreBounded(t *testing.T) {
	h := plugintest.New(t, config("alice"))
	chat := h.Chat("bob")
	for range 200 {
		h.Receive(editPacket(t, h, "bob", textPacket(t, h, chat, "bob", "x"), strings.Repeat("e", text.MaxBody), 1))
	}
	size := 0
	for _, v := range h.Values() {
		size += len(v)
	}
	if size > 3<<20 || len(h.Values()) == 0 {
		t.Errorf("%d values of %d bytes are kept", len(h.Values()), size)
	}
}

func TestOnlyTheAuthorChanges(t *testing.T) {
	alice, bob, chat := pair(t)
	m := send(t, alice, chat, "Mine")
	for _, action := range []string{"edit", "delete"} {
		if _, err := bob.Invoke(plugintest.Call{Action: action, Chat: chat, Message: m, Text: "Yours"}); code(err) != codes.PermissionDenied {
			t.Errorf("%s: %v", action, err)
		}
	}
	// And one who does not keep to it gets nowhere, early or late.
	of := sdk.Packet{ID: m, Chat: chat}
	for _, p := range []sdk.Packet{editPacket(t, alice, "bob", of, "Yours", 9), deletePacket(t, alice, "bob", of)} {
		if got := alice.Receive(p)[0]; !strings.Contains(got.Refused, "author") {
			t.Errorf("%s: %+v", p.Type, got)
		}
	}
	group := alice.Chat("bob", "carol")
	late := textPacket(t, alice, group, "carol", "Hers")
	alice.Receive(deletePacket(t, alice, "bob", late), editPacket(t, alice, "bob", late, "His", 1), late)
	if got := bodies(alice, group); got != "Hers" {
		t.Errorf("got %q", got)
	}
	wantBoth(t, alice, bob, chat, "Mine")
}

func TestDelete(t *testing.T) {
	alice, bob, chat := pair(t)
	m := send(t, alice, chat, "Oops")
	if _, err := alice.Invoke(plugintest.Call{Action: "delete", Chat: chat, Message: m}); err != nil {
		t.Fatal(err)
	}
	wantBoth(t, alice, bob, chat, "-")
	sent := len(alice.Sent())
	if _, err := alice.Invoke(plugintest.Call{Action: "delete", Chat: chat, Message: m}); err != nil || len(alice.Sent()) != sent {
		t.Errorf("deleting twice: %v, %d packets more", err, len(alice.Sent())-sent)
	}
	if _, err := alice.Invoke(plugintest.Call{Action: "edit", Chat: chat, Message: m, Text: "x"}); code(err) != codes.FailedPrecondition {
		t.Errorf("edit of a deleted message: %v", err)
	}
}

// What an edit replaced, and what a deletion took back, does not stay in anybody's log.
func TestNothingReplacedIsKept(t *testing.T) {
	alice, bob, chat := pair(t)
	m := send(t, alice, chat, "secret")
	var edits []packet.PacketID
	for _, body := range []string{"still secret", "harmless"} {
		id := packet.NewPacketID()
		if _, err := alice.Invoke(plugintest.Call{ID: id, Action: "edit", Chat: chat, Message: m, Text: body}); err != nil {
			t.Fatal(err)
		}
		edits = append(edits, id)
	}
	wantBoth(t, alice, bob, chat, "harmless*")
	for _, h := range []*plugintest.Host{alice, bob} {
		if got := h.Dropped(); !slices.Equal(got, edits[:1]) {
			t.Errorf("after two edits %v is dropped, not %v", got, edits[:1])
		}
	}
	if _, err := alice.Invoke(plugintest.Call{Action: "delete", Chat: chat, Message: m}); err != nil {
		t.Fatal(err)
	}
	wantBoth(t, alice, bob, chat, "-")
	for _, h := range []*plugintest.Host{alice, bob} {
		if got := h.Dropped(); !slices.Equal(got, edits) {
			t.Errorf("after the deletion %v is dropped, not %v", got, edits)
		}
	}
}

func TestDeleteForMe(t *testing.T) {
	alice, bob, chat := pair(t)
	m := send(t, alice, chat, "Seen")
	if _, err := bob.Invoke(plugintest.Call{Action: "delete-for-me", Chat: chat, Message: m}); err != nil {
		t.Fatal(err)
	}
	if a, b := bodies(alice, chat), bodies(bob, chat); a != "Seen" || b != "-" {
		t.Errorf("alice sees %q, bob %q", a, b)
	}
	// An edit does not bring it back.
	if _, err := alice.Invoke(plugintest.Call{Action: "edit", Chat: chat, Message: m, Text: "Again"}); err != nil {
		t.Fatal(err)
	}
	if a, b := bodies(alice, chat), bodies(bob, chat); a != "Again*" || b != "-" {
		t.Errorf("alice sees %q, bob %q", a, b)
	}
}

func TestUnknownMessage(t *testing.T) {
	h := plugintest.New(t, config("alice"))
	chat, other := h.Chat("bob"), h.Chat("carol")
	elsewhere := send(t, h, other, "Elsewhere")
	for _, action := range []string{"edit", "delete", "delete-for-me"} {
		for _, c := range []struct {
			name string
			m    packet.PacketID
			code codes.Code
		}{{"unknown", packet.NewPacketID(), codes.NotFound}, {"in another chat", elsewhere, codes.NotFound}, {"none", packet.PacketID{}, codes.InvalidArgument}} {
			t.Run(action+" "+c.name, func(t *testing.T) {
				if _, err := h.Invoke(plugintest.Call{Action: action, Chat: chat, Message: c.m, Text: "x"}); code(err) != c.code {
					t.Errorf("got %v", err)
				}
			})
		}
	}
	if _, err := h.Invoke(plugintest.Call{Action: "send", Text: "x"}); code(err) != codes.InvalidArgument {
		t.Errorf("send without a chat: %v", err)
	}
}

func TestRepeatedSendIsOneMessage(t *testing.T) {
	alice, bob, chat := pair(t)
	id := packet.NewPacketID()
	for range 2 {
		if _, err := alice.Invoke(plugintest.Call{ID: id, Action: "send", Chat: chat, Text: "Once"}); err != nil {
			t.Fatal(err)
		}
	}
	wantBoth(t, alice, bob, chat, "Once")
}

func TestOwnOtherDevice(t *testing.T) {
	net := plugintest.NewNetwork(t)
	desk, phone, bob := net.Host(config("alice")), net.Host(config("alice")), net.Host(config("bob"))
	chat := net.Chat(desk, phone, bob)
	m := send(t, desk, chat, "From the desk")
	if _, err := phone.Invoke(plugintest.Call{Action: "edit", Chat: chat, Message: m, Text: "From the phone"}); err != nil {
		t.Fatal(err)
	}
	for _, h := range []*plugintest.Host{desk, phone, bob} {
		if got := bodies(h, chat); got != "From the phone*" {
			t.Errorf("%s sees %q", h.User(), got)
		}
	}
}

// notices gives the typing events a host published.
func notices(h *plugintest.Host) string {
	var all []string
	for _, e := range h.Published() {
		all = append(all, e.Name+" "+string(e.User)+" "+string(e.Data))
	}
	return strings.Join(all, ", ")
}

func TestTyping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		alice, bob, chat := pair(t)
		typing := func(h *plugintest.Host, on string) {
			t.Helper()
			if _, err := h.Invoke(plugintest.Call{Action: "typing", Chat: chat, Args: map[string]string{"typing": on}}); err != nil {
				t.Fatal(err)
			}
		}
		const on, off = `typing alice {"typing":true}`, `typing alice {"typing":false}`
		want := func(all ...string) {
			t.Helper()
			if got := notices(bob); got != strings.Join(all, ", ") {
				t.Fatalf("bob was told %q, want %q", got, all)
			}
		}
		typing(alice, "false") // nothing to take back
		want()
		for range 4 { // 0 s, 1 s, 2 s, 3 s
			typing(alice, "true")
			time.Sleep(time.Second)
		}
		want(on, on)
		typing(alice, "false")
		typing(alice, "false")
		want(on, on, off)
		typing(alice, "true")
		send(t, alice, chat, "Done")
		want(on, on, off, on, off)
		typing(alice, "true") // a text begins a new count
		want(on, on, off, on, off, on)
		time.Sleep(10 * time.Second)
		send(t, alice, chat, "Later") // the notice has faded long ago
		want(on, on, off, on, off, on)
		if notices(alice) != "" {
			t.Errorf("alice was told %q", notices(alice))
		}
		bob.SetOnline(false)
		typing(alice, "true")
		bob.SetOnline(true)
		want(on, on, off, on, off, on)
	})
}

func TestTypingSwitchedOff(t *testing.T) {
	alice, bob, chat := pair(t)
	bob.Set("typing", "false")
	typing := func(h *plugintest.Host) {
		if _, err := h.Invoke(plugintest.Call{Action: "typing", Chat: chat}); err != nil {
			t.Fatal(err)
		}
	}
	typing(alice)
	typing(bob)
	if len(bob.Published()) > 0 || len(bob.Sent()) > 0 || len(alice.Published()) > 0 {
		t.Errorf("bob was told %q and sent %d packets", notices(bob), len(bob.Sent()))
	}
	bob.Set("typing", "")
	typing(bob)
	if notices(alice) == "" {
		t.Error("switched on again, bob's typing is not shown")
	}
}

func TestCatchUp(t *testing.T) {
	alice, bob, chat := pair(t)
	bob.SetOnline(false)
	var want []string
	for i := range 600 {
		body := "line " + string(rune('a'+i%26))
		send(t, alice, chat, body)
		want = append(want, body)
	}
	bob.SetOnline(true)
	wantBoth(t, alice, bob, chat, strings.Join(want, "|"))
}

func TestCancelledSendDoesNothing(t *testing.T) {
	h := plugintest.New(t, config("alice"))
	chat := h.Chat("bob")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := h.InvokeContext(ctx, plugintest.Call{Action: "send", Chat: chat, Text: "x"})
	if n := len(h.Messages(chat)); (err == nil) != (n == 1) {
		t.Errorf("error %v, %d messages", err, n)
	}
}
