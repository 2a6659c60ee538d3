package emoji_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/parley-chat/parley/plugins/emoji"
	"github.com/parley-chat/parley/plugins/sdk"
	"github.com/parley-chat/parley/plugins/sdk/plugintest"
	"github.com/parley-chat/parley/protocol/packet"
)

// The same for everyone: whatever the order of packets, the batches they come
// in, when the message itself comes, and when the plugin is killed.
func TestOrder(t *testing.T) {
	hosts := []*plugintest.Host{plugintest.New(t, config("alice")), plugintest.New(t, config("dora"))}
	var chat packet.ChatID
	for _, h := range hosts {
		chat = packet.DirectChat("alice", "dora") // both have it, and bob and carol write in it
		h.Chat(map[packet.UserID]packet.UserID{"alice": "dora", "dora": "alice"}[h.User()])
	}
	rapid.Check(t, func(rt *rapid.T) {
		m := packet.NewPacketID()
		var packets []sdk.Packet
		for range rapid.IntRange(1, 30).Draw(rt, "packets") {
			author := rapid.SampledFrom([]packet.UserID{"bob", "carol"}).Draw(rt, "author")
			packets = append(packets, hosts[0].Packet(chat, author, emoji.TypeReaction, content(t, emoji.Reaction{
				Message: m, Emoji: rapid.SampledFrom([]string{"👍", "❤️", "🎉"}).Draw(rt, "emoji"),
				Remove: rapid.Bool().Draw(rt, "remove"), Revision: rapid.Uint32Range(1, 4).Draw(rt, "revision"),
			})))
		}
		for i, h := range hosts {
			order := packets
			if i > 0 {
				order = rapid.Permutation(packets).Draw(rt, "order")
			}
			comes := rapid.IntRange(0, len(order)).Draw(rt, "comes")
			for len(order) > 0 {
				n := rapid.IntRange(1, len(order)).Draw(rt, "batch")
				if before := len(packets) - len(order); before <= comes && comes < before+n {
					h.Put(plugintest.Message{Plugin: "text", Message: sdk.Message{ID: m, Chat: chat, Author: "alice", Kind: "text", Body: "Tea?"}})
				}
				if rapid.IntRange(0, 20).Draw(rt, "kill") == 0 {
					h.Restart()
				}
				for _, o := range h.Receive(order[:n]...) {
					if o.Err != nil || o.Refused != "" {
						rt.Fatalf("%+v", o)
					}
				}
				order = order[n:]
			}
		}
		if one, other := reactions(hosts[0], m), reactions(hosts[1], m); one != other {
			rt.Fatalf("%s sees %q, %s %q", hosts[0].User(), one, hosts[1].User(), other)
		}
	})
}

func TestOwnOtherDevice(t *testing.T) {
	net := plugintest.NewNetwork(t)
	desk, phone, bob := net.Host(config("alice")), net.Host(config("alice")), net.Host(config("bob"))
	chat := net.Chat(desk, phone, bob)
	hosts := []*plugintest.Host{desk, phone, bob}
	m := message(chat, "bob", hosts...)
	phone.SetOnline(false)
	react(t, desk, chat, m, "react", "👍")
	react(t, phone, chat, m, "react", "🎉") // it does not know of the other
	phone.SetOnline(true)
	want(t, hosts, m, "alice 🎉, alice 👍")
	react(t, phone, chat, m, "unreact", "👍")
	want(t, hosts, m, "alice 🎉")
	if told := bob.Published(); len(told) != 2 {
		t.Errorf("bob was told %+v", told)
	}
	if told := append(desk.Published(), phone.Published()...); len(told) > 0 {
		t.Errorf("alice was told of her own reactions: %+v", told)
	}
}

// A message that was deleted has no reactions, nor does one of another chat.
func TestNoPlaceForIt(t *testing.T) {
	h := plugintest.New(t, config("alice"))
	chat, other := h.Chat("bob"), h.Chat("carol")
	deleted := packet.NewPacketID()
	h.Put(plugintest.Message{Plugin: "text", Message: sdk.Message{ID: deleted, Chat: chat, Author: "alice", Kind: "text", Deleted: true}})
	elsewhere := message(other, "alice", h)
	for name, m := range map[string]packet.PacketID{"deleted": deleted, "of another chat": elsewhere} {
		got := h.Receive(h.Packet(chat, "bob", emoji.TypeReaction, content(t, emoji.Reaction{Message: m, Emoji: "👍", Revision: 1})))[0]
		if got.Err != nil || got.Refused != "" || len(h.Annotations(m)) > 0 || len(h.Published()) > 0 {
			t.Errorf("%s: %+v, %+v", name, got, h.Annotations(m))
		}
	}
}
