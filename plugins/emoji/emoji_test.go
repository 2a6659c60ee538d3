package emoji_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"

	"github.com/parley-chat/parley/plugins/emoji"
	"github.com/parley-chat/parley/plugins/sdk"
	"github.com/parley-chat/parley/plugins/sdk/plugintest"
	"github.com/parley-chat/parley/protocol/packet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func config(user packet.UserID) plugintest.Config {
	return plugintest.Config{New: func() sdk.Plugin { return emoji.New() }, User: user, Bundled: true}
}

// people gives people in one chat: two in a direct one.
func people(t *testing.T, users ...packet.UserID) (hosts []*plugintest.Host, chat packet.ChatID) {
	t.Helper()
	net := plugintest.NewNetwork(t)
	for _, user := range users {
		hosts = append(hosts, net.Host(config(user)))
	}
	return hosts, net.Chat(hosts...)
}

// message puts a message of another plugin into everybody's store.
func message(chat packet.ChatID, author packet.UserID, hosts ...*plugintest.Host) packet.PacketID {
	id := packet.NewPacketID()
	for _, h := range hosts {
		h.Put(plugintest.Message{Plugin: "file", Message: sdk.Message{ID: id, Chat: chat, Author: author, Kind: "image", SentAt: time.Now()}})
	}
	return id
}

func react(t *testing.T, h *plugintest.Host, chat packet.ChatID, m packet.PacketID, action, text string) {
	t.Helper()
	if _, err := h.Invoke(plugintest.Call{Action: action, Chat: chat, Message: m, Text: text}); err != nil {
		t.Fatalf("%s %s: %v", action, text, err)
	}
}

// reactions gives what a host shows on a message: "alice 👍, bob ❤️".
func reactions(h *plugintest.Host, m packet.PacketID) string {
	var all []string
	for _, a := range h.Annotations(m) {
		if e, ok := strings.CutPrefix(a.Kind, emoji.KindPrefix); ok {
			all = append(all, string(a.Author)+" "+e)
		}
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

func want(t *testing.T, hosts []*plugintest.Host, m packet.PacketID, reacted string) {
	t.Helper()
	for _, h := range hosts {
		if got := reactions(h, m); got != reacted {
			t.Errorf("%s sees %q, want %q", h.User(), got, reacted)
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

// ask invokes an action that answers JSON.
func ask(t *testing.T, h *plugintest.Host, action, text string, args map[string]string, into any) {
	t.Helper()
	result, err := h.Invoke(plugintest.Call{Action: action, Text: text, Args: args})
	if err != nil {
		t.Fatalf("%s: %v", action, err)
	}
	if err := json.Unmarshal(result.Value, into); err != nil {
		t.Fatalf("%s: %q: %v", action, result.Value, err)
	}
}

func TestReact(t *testing.T) {
	hosts, chat := people(t, "alice", "bob")
	alice, bob := hosts[0], hosts[1]
	m := message(chat, "alice", hosts...)
	react(t, bob, chat, m, "react", "👍")
	react(t, bob, chat, m, "react", ":tada:")
	react(t, alice, chat, m, "react", "❤") // as keyboards give it
	want(t, hosts, m, "alice ❤️, bob 🎉, bob 👍")

	sent := len(bob.Sent())
	react(t, bob, chat, m, "react", "👍")
	if len(bob.Sent()) != sent {
		t.Error("the same reaction was sent twice")
	}
	react(t, bob, chat, m, "unreact", "👍")
	react(t, bob, chat, m, "unreact", "👍")
	react(t, alice, chat, m, "unreact", "❤️")
	want(t, hosts, m, "bob 🎉")
	react(t, bob, chat, m, "react", "👍")
	want(t, hosts, m, "bob 🎉, bob 👍")

	for _, a := range alice.Annotations(m) {
		var when emoji.When
		if !strings.HasPrefix(a.Kind, emoji.KindPrefix) {
			continue
		}
		if err := json.Unmarshal(a.Value, &when); err != nil || time.Since(time.UnixMicro(when.At)).Abs() > time.Hour {
			t.Errorf("value %q (%v)", a.Value, err)
		}
	}
}

// Its author hears of a reaction to a message, of one that is taken back nobody does.
func TestAuthorIsTold(t *testing.T) {
	hosts, chat := people(t, "alice", "bob", "carol")
	m := message(chat, "alice", hosts...)
	react(t, hosts[1], chat, m, "react", "👍")
	react(t, hosts[0], chat, m, "react", "🎉")
	react(t, hosts[1], chat, m, "unreact", "👍")
	told := hosts[0].Published()
	if len(told) != 1 || told[0].Name != "emoji.reaction" || told[0].User != "bob" || told[0].Chat != chat ||
		string(told[0].Data) != fmt.Sprintf(`{"message":%q,"emoji":"👍"}`, m) {
		t.Errorf("alice was told %+v", told)
	}
	if len(hosts[1].Published())+len(hosts[2].Published()) > 0 {
		t.Error("others were told too")
	}
}

func TestReactErrors(t *testing.T) {
	hosts, chat := people(t, "alice", "bob")
	h := hosts[0]
	elsewhere := message(h.Chat("carol"), "carol", h)
	deleted := packet.NewPacketID()
	h.Put(plugintest.Message{Plugin: "text", Message: sdk.Message{ID: deleted, Chat: chat, Author: "bob", Kind: "text", Deleted: true}})
	m := message(chat, "bob", h)
	for _, c := range []struct {
		name, text string
		message    packet.PacketID
		code       codes.Code
		says       string
	}{
		{"no emoji", "hello", m, codes.InvalidArgument, "not one emoji"},
		{"two", "👍👍", m, codes.InvalidArgument, "not one emoji"},
		{"nothing", "", m, codes.InvalidArgument, "not one emoji"},
		{"unknown shortcode", ":nonsense_xyz:", m, codes.NotFound, "search"},
		{"no message", "👍", packet.PacketID{}, codes.InvalidArgument, "no message"},
		{"unknown message", "👍", packet.NewPacketID(), codes.NotFound, "no message"},
		{"message of another chat", "👍", elsewhere, codes.NotFound, "no message"},
		{"deleted", "👍", deleted, codes.FailedPrecondition, "deleted"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := h.Invoke(plugintest.Call{Action: "react", Chat: chat, Message: c.message, Text: c.text})
			if code(err) != c.code || !strings.Contains(fmt.Sprint(err), c.says) {
				t.Errorf("got %v", err)
			}
		})
	}
	if len(h.Sent()) > 0 {
		t.Error("something was sent")
	}
}

func TestTooManyReactions(t *testing.T) {
	hosts, chat := people(t, "alice", "bob")
	m := message(chat, "bob", hosts...)
	for i := range emoji.MaxReactions {
		react(t, hosts[0], chat, m, "react", string(rune(0x1f600+i)))
	}
	_, err := hosts[0].Invoke(plugintest.Call{Action: "react", Chat: chat, Message: m, Text: "👍"})
	if code(err) != codes.ResourceExhausted {
		t.Errorf("one too many: %v", err)
	}
	react(t, hosts[0], chat, m, "unreact", "😀")
	react(t, hosts[0], chat, m, "react", "👍")
	if got := reactions(hosts[1], m); strings.Count(got, "alice") != emoji.MaxReactions || !strings.Contains(got, "👍") || strings.Contains(got, "😀") {
		t.Errorf("bob sees %s", got)
	}
}

// content makes a packet's content.
func content(t testing.TB, r emoji.Reaction) []byte {
	t.Helper()
	b, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A peer that keeps to no rule gets nowhere, and costs little.
func TestFlood(t *testing.T) {
	h := plugintest.New(t, config("alice"))
	chat := h.Chat("bob")
	m := message(chat, "alice", h)
	var packets []sdk.Packet
	for i := range 300 {
		packets = append(packets, h.Packet(chat, "bob", emoji.TypeReaction, content(t, emoji.Reaction{
			Message: m, Emoji: string(rune(0x1f400 + i%100)), Revision: uint32(i), Remove: i%3 == 0, //nolint:gosec // small
		})))
	}
	for _, o := range h.Receive(packets...) {
		if o.Err != nil || o.Refused != "" {
			t.Fatalf("%+v", o)
		}
	}
	size := 0
	for _, a := range h.Annotations(m) {
		size += len(a.Kind) + len(a.Value)
	}
	if shown := strings.Count(reactions(h, m), "bob"); shown != emoji.MaxReactions || size > 4<<10 {
		t.Errorf("%d are shown, %d bytes are kept", shown, size)
	}
	if kept := len(packets) - len(h.Dropped()); kept > 32 {
		t.Errorf("the content of %d packets stays in the log", kept)
	}
}

func TestReceiveRefuses(t *testing.T) {
	h := plugintest.New(t, config("alice"))
	chat := h.Chat("bob")
	m := message(chat, "alice", h)
	for name, b := range map[string][]byte{
		"malformed":      []byte("\xff\xff"),
		"message id":     []byte("\x12\x04👍"),
		"emoji":          content(t, emoji.Reaction{Message: m, Emoji: "hello"}),
		"one emoji":      content(t, emoji.Reaction{Message: m, Emoji: "👍👍"}),
		"not one emoji":  content(t, emoji.Reaction{Message: m}),
		"at most":        make([]byte, 5<<10),
		"is not one":     content(t, emoji.Reaction{Message: m, Emoji: "\xf0\x9f"}),
		"that is not on": content(t, emoji.Reaction{Message: m, Emoji: strings.Repeat("👍‍", 20) + "👍"}),
	} {
		if got := h.Receive(h.Packet(chat, "bob", emoji.TypeReaction, b))[0]; got.Err != nil || !strings.Contains(got.Refused, name) {
			t.Errorf("%s: %+v", name, got)
		}
	}
	ephemeral := h.Packet(chat, "bob", emoji.TypeReaction, content(t, emoji.Reaction{Message: m, Emoji: "👍"}))
	ephemeral.Ephemeral = true
	if got := h.Receive(ephemeral)[0]; !strings.Contains(got.Refused, "wrong way") {
		t.Errorf("ephemeral: %+v", got)
	}
	if got := reactions(h, m); got != "" {
		t.Errorf("reactions: %s", got)
	}
}

func TestPickerAnswers(t *testing.T) {
	h := plugintest.New(t, config("alice"))
	var got struct {
		Version    float64
		Categories []emoji.Category
	}
	ask(t, h, "categories", "", nil, &got)
	if len(got.Categories) != 9 || got.Version != 17 || got.Categories[0].Name != "Smileys & emotion" {
		t.Errorf("%+v", got)
	}
	for _, c := range got.Categories {
		for _, tone := range []string{"none", "medium", "dark"} {
			for _, language := range []string{"en", "zh-Hans"} {
				var list struct{ Items []emoji.Item }
				ask(t, h, "list", "", map[string]string{"category": c.ID, "tone": tone, "language": language}, &list)
				if len(list.Items) != c.Count || list.Items[0].Code == "" {
					t.Errorf("%s: %d of %d", c.ID, len(list.Items), c.Count)
				}
			}
		}
	}
}
