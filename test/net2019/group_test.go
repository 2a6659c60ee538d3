package net2019

import (
	"slices"
	"testing"

	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/test/net2019/original"
)

// mixed is a group of two originals, a and d, and two people, bob and carol, whose
// ids lie between theirs.
type mixed struct {
	*world
	a, d       *original.Client
	bob, carol *someone
	chat, name string // as originals call it, and as cores do
}

func newMixed(t *testing.T) *mixed {
	t.Helper()
	g := &mixed{world: newWorld(t), chat: original.ChatOf(one, two, three, four)}
	g.name = "net2019:" + g.chat
	g.serve()
	g.a, g.d = g.loggedIn(one, nil), g.loggedIn(four, nil)
	g.bob, g.carol = g.person("bob", two), g.person("carol", three)
	for _, p := range []*someone{g.bob, g.carol} {
		p.switchOn("", false)
		p.add(one)
		p.linked(one)
	}
	_, err := g.a.Group(g.soon(), two, three, four)
	must(t, err)
	g.joined()
	return g
}

// joined waits until all are in the group.
func (g *mixed) joined() {
	g.t.Helper()
	for _, c := range []*original.Client{g.a, g.d} {
		g.await(c, "connected with all", func() bool { return c.Connected(g.chat) == 3 })
	}
	for _, p := range []*someone{g.bob, g.carol} {
		g.until(p.name+" has the group", func() bool { return p.hasChat(g.name) })
	}
}

func (p *someone) hasChat(id string) bool {
	p.t.Helper()
	resp, err := p.client.ListChats(p.soon(), &controlpb.ListChatsRequest{})
	must(p.t, err)
	return slices.ContainsFunc(resp.GetChats(), func(c *controlpb.Chat) bool { return c.GetId() == id && c.GetKind() == "net2019" })
}

// everybody has each say something that all hear.
func (g *mixed) everybody(about string) {
	t := g.t
	t.Helper()
	text := func(id string) string { return about + " of " + id }
	must(t, g.a.Say(g.chat, text(one)))
	g.bob.send(g.name, text(two))
	g.carol.send(g.name, text(three))
	must(t, g.d.Say(g.chat, text(four)))
	for _, id := range []string{one, two, three, four} {
		for _, c := range []*original.Client{g.a, g.d} {
			g.hears(c, g.chat, id, text(id))
		}
		for _, p := range []*someone{g.bob, g.carol} {
			if p.id != id {
				p.hears(g.name, id, text(id))
			}
		}
	}
	for _, p := range []*someone{g.bob, g.carol} {
		p.sent(g.name, text(p.id))
	}
}

// Two originals and two people are in one group, whoever starts it, and of each
// pair only one dials.
func TestMixedGroup(t *testing.T) {
	t.Parallel()
	g := newMixed(t)
	g.everybody("hello 大家 _")
	links := g.d.Links()
	for _, l := range links {
		f, want := l.Frames()[0], original.GroupAccept
		if f.Sender == one {
			want = original.GroupRequest
		}
		if l.Dialed() || f.Chat != g.chat || f.Kind != want {
			t.Errorf("%s heard %+v first", four, f)
		}
	}
	if len(links) != 3 {
		t.Errorf("%d connections are with %s, want one of each", len(links), four)
	}

	// One leaves: that ends the group for the other original, and not for people.
	g.d.Leave(g.chat)
	g.await(g.a, "left", func() bool { return !slices.Contains(g.a.Chats(), g.chat) })
	g.bob.send(g.name, "still here")
	g.carol.hears(g.name, two, "still here")

	// Anybody starts it again.
	got, err := g.carol.client.CreateNet2019Group(g.soon(), &controlpb.CreateNet2019GroupRequest{Users: []string{nameOf(one), nameOf(two), nameOf(four)}})
	must(t, err)
	if got.GetId() != g.name {
		t.Errorf("the same people are another chat, %s", got.GetId())
	}
	g.joined()
	g.everybody("again")
	for _, text := range []string{"hello 大家 _ of " + one, "still here"} {
		if n := count(g.carol.messages(g.name), text); n != 1 {
			t.Errorf("%q is there %d times", text, n)
		}
	}

	// A person leaves, which ends it for both originals.
	_, err = g.carol.client.LeaveNet2019Group(g.soon(), &controlpb.LeaveNet2019GroupRequest{Chat: g.name})
	must(t, err)
	for _, c := range []*original.Client{g.a, g.d} {
		g.await(c, "left", func() bool { return !slices.Contains(c.Chats(), g.chat) })
	}
}
