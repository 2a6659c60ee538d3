package text_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/parley-chat/parley/plugins/sdk"
	"github.com/parley-chat/parley/plugins/sdk/plugintest"
	"github.com/parley-chat/parley/plugins/text"
	"github.com/parley-chat/parley/protocol/packet"
)

func TestMentions(t *testing.T) {
	var many []string
	for i := range 60 {
		many = append(many, fmt.Sprintf("@user%d", i))
	}
	for _, c := range []struct{ body, want string }{
		{"", ""}, {"no one", ""}, {"@", ""}, {"@bob", "bob"}, {"ask @bob.", "bob"}, {"@bob, @carol: tea?", "bob carol"}, {"@Bob", "bob"},
		{"(@bob)", "bob"}, {"@bob@carol", "bob"}, {"bob@example.org", ""}, {"a.b@example.org", ""}, {"茶@bob", "bob"}, {"é@bob", ""}, {"茶 @bob！", "bob"},
		{"@bob @bob", "bob"}, {"@first.last_1", "first.last_1"}, {"@_x", ""}, {"line\n@bob", "bob"}, {"@@bob", ""}, {"@" + strings.Repeat("x", 65), ""},
		{"\xff@bob", "bob"}, {strings.Join(many, " "), strings.ReplaceAll(strings.Join(many[:50], " "), "@", "")},
	} {
		var got []string
		for _, u := range text.Mentions(c.body) {
			got = append(got, string(u))
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%.40q mentions %q, want %q", c.body, s, c.want)
		}
	}
}

func mentioned(h *plugintest.Host, m packet.PacketID) string {
	var all []string
	for _, a := range h.Annotations(m) {
		all = append(all, a.Kind+" by "+string(a.Author)+" "+string(a.Value))
	}
	return strings.Join(all, "; ")
}

func TestMentionsAreNoted(t *testing.T) {
	net := plugintest.NewNetwork(t)
	alice, bob, carol := net.Host(config("alice")), net.Host(config("bob")), net.Host(config("carol"))
	chat := net.Chat(alice, bob, carol)
	m := send(t, alice, chat, "@bob, where is @carol?")
	want := func(what string) {
		t.Helper()
		for _, h := range []*plugintest.Host{alice, bob, carol} {
			if got := mentioned(h, m); got != what {
				t.Errorf("%s notes %q, want %q", h.User(), got, what)
			}
		}
	}
	want(`mention by alice ["bob","carol"]`)
	for _, c := range []struct{ body, what string }{{"where is @carol?", `mention by alice ["carol"]`}, {"never mind", ""}, {"but @bob", `mention by alice ["bob"]`}} {
		if _, err := alice.Invoke(plugintest.Call{Action: "edit", Chat: chat, Message: m, Text: c.body}); err != nil {
			t.Fatal(err)
		}
		want(c.what)
	}
	if _, err := alice.Invoke(plugintest.Call{Action: "delete", Chat: chat, Message: m}); err != nil {
		t.Fatal(err)
	}
	want("")
	// An edit that comes before its text.
	late := textPacket(t, bob, chat, "alice", "@bob")
	bob.Receive([]sdk.Packet{editPacket(t, bob, "alice", late, "@carol", 1), late}...)
	if got := mentioned(bob, late.ID); got != `mention by alice ["carol"]` {
		t.Errorf("bob notes %q", got)
	}
	// Of two people nobody needs to be named.
	direct := net.Chat(alice, bob)
	if m := send(t, alice, direct, "@bob"); mentioned(bob, m) != "" {
		t.Errorf("in a direct chat bob notes %q", mentioned(bob, m))
	}
}
