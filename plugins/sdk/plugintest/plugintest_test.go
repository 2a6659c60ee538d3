package plugintest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"

	"github.com/parley-chat/parley/plugins/sdk"
	"github.com/parley-chat/parley/plugins/sdk/plugintest"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const vote = "org.example.poll/vote"

// poll is a plugin whose effects a test chooses.
type poll struct {
	host     sdk.Host
	handle   func(ctx context.Context, p *poll, k sdk.Packet) ([]sdk.Effect, error)
	invoke   func(ctx context.Context, p *poll, call sdk.Invocation) (sdk.Result, error)
	manifest func(*pluginpb.Manifest)
}

func (p *poll) Manifest() *pluginpb.Manifest {
	m := &pluginpb.Manifest{
		Name: "poll", Version: "1.0.0",
		PacketTypes:  []*pluginpb.PacketType{{Name: vote, MaxContent: 1000}},
		MessageKinds: []*pluginpb.MessageKind{{Name: vote, Presentation: pluginpb.Presentation_PRESENTATION_CARD}},
		Actions:      []*pluginpb.Action{{Name: "do", Label: "Do"}},
	}
	if p.manifest != nil {
		p.manifest(m)
	}
	return m
}

func (p *poll) Start(_ context.Context, host sdk.Host, _ sdk.StartInfo) error {
	p.host = host
	return nil
}

func (p *poll) Handle(ctx context.Context, k sdk.Packet) ([]sdk.Effect, error) {
	if p.handle == nil {
		return []sdk.Effect{sdk.AddMessage{ID: k.ID, Chat: k.Chat, Kind: vote, Body: string(k.Content)}}, nil
	}
	return p.handle(ctx, p, k)
}

func (p *poll) Invoke(ctx context.Context, call sdk.Invocation, _ sdk.Updates) (sdk.Result, error) {
	return p.invoke(ctx, p, call)
}

func host(t *testing.T, p *poll) (*plugintest.Host, packet.ChatID) {
	h := plugintest.New(t, plugintest.Config{New: func() sdk.Plugin { return p }})
	return h, h.Chat("bob")
}

// Each rule that the real core keeps is kept here too: none of these effects is
// applied, nor the good one beside it.
func TestRefusedEffects(t *testing.T) {
	id := packet.NewPacketID()
	foreign, bobs := packet.NewPacketID(), packet.NewPacketID()
	for _, c := range []struct {
		name   string
		effect func(chat packet.ChatID) sdk.Effect
		says   string
	}{
		{"undeclared kind", func(chat packet.ChatID) sdk.Effect {
			return sdk.AddMessage{ID: id, Chat: chat, Kind: "org.example.poll/other", Local: true}
		}, "not declared"},
		{"undeclared type", func(chat packet.ChatID) sdk.Effect {
			return sdk.SendPacket{Chat: chat, Type: "text"}
		}, "not declared"},
		{"message of no packet", func(chat packet.ChatID) sdk.Effect {
			return sdk.AddMessage{ID: id, Chat: chat, Kind: vote}
		}, "local is not set"},
		{"message without id", func(chat packet.ChatID) sdk.Effect {
			return sdk.AddMessage{Chat: chat, Kind: vote, Local: true}
		}, "UUID"},
		{"body", func(chat packet.ChatID) sdk.Effect {
			return sdk.AddMessage{ID: id, Chat: chat, Kind: vote, Local: true, Body: strings.Repeat("x", 64<<10+1)}
		}, "at most 65536"},
		{"unknown chat", func(packet.ChatID) sdk.Effect {
			return sdk.SendPacket{Chat: "alice-zoe", Type: vote}
		}, "not found"},
		{"to of a reliable packet", func(chat packet.ChatID) sdk.Effect {
			return sdk.SendPacket{Chat: chat, Type: vote, To: []packet.UserID{"bob"}}
		}, "ephemeral"},
		{"another plugin's message", func(packet.ChatID) sdk.Effect {
			return sdk.ChangeMessage{ID: foreign, Body: "mine"}
		}, "made by the plugin text"},
		{"another plugin's message, deleted", func(packet.ChatID) sdk.Effect {
			return sdk.DeleteMessage{ID: foreign, Local: true}
		}, "made by the plugin text"},
		{"another author's message", func(packet.ChatID) sdk.Effect {
			return sdk.ChangeMessage{ID: bobs, Body: "mine"}
		}, "is by bob"},
		{"another author's message, deleted", func(packet.ChatID) sdk.Effect {
			return sdk.DeleteMessage{ID: bobs}
		}, "is by bob"},
		{"annotation kind", func(chat packet.ChatID) sdk.Effect {
			return sdk.Annotate{Chat: chat, Message: bobs, Kind: "reaction"}
		}, "prefix"},
		{"annotation", func(chat packet.ChatID) sdk.Effect {
			return sdk.Annotate{Chat: chat, Message: bobs, Kind: vote, Value: make([]byte, 4<<10+1)}
		}, "at most 4096"},
		{"key", func(packet.ChatID) sdk.Effect { return sdk.PutValue{Value: []byte("x")} }, "empty"},
		{"value", func(packet.ChatID) sdk.Effect { return sdk.PutValue{Key: "k", Value: make([]byte, 256<<10+1)} }, "at most"},
		{"event", func(packet.ChatID) sdk.Effect { return sdk.PublishEvent{Name: "ringing"} }, "poll.<event>"},
		{"members", func(packet.ChatID) sdk.Effect { return sdk.SetMembers{Chat: packet.NewGroupChat(), Version: 1} }, "CAPABILITY_MEMBERS"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, chat := host(t, &poll{handle: func(_ context.Context, _ *poll, k sdk.Packet) ([]sdk.Effect, error) {
				return []sdk.Effect{sdk.PutValue{Key: "good", Value: []byte("x")}, c.effect(k.Chat)}, nil
			}})
			h.Put(plugintest.Message{Plugin: "text", Message: sdk.Message{ID: foreign, Chat: chat, Author: "carol", Body: "hers"}})
			h.Put(plugintest.Message{Plugin: "poll", Message: sdk.Message{ID: bobs, Chat: chat, Author: "bob", Kind: vote, Body: "his"}})
			before := len(h.Messages(chat))
			got := h.Receive(h.Packet(chat, "carol", vote, nil))[0]
			if got.Err == nil || !strings.Contains(got.Err.Error(), c.says) {
				t.Errorf("got %+v, want one that says %q", got, c.says)
			}
			if len(h.Values()) > 0 || len(h.Sent()) > 0 || len(h.Messages(chat)) != before {
				t.Error("something was applied")
			}
			for _, m := range h.Messages(chat) {
				if m.Body == "mine" || m.Deleted {
					t.Errorf("message %+v", m)
				}
			}
		})
	}
}

func TestEffects(t *testing.T) {
	h, chat := host(t, &poll{invoke: func(_ context.Context, _ *poll, call sdk.Invocation) (sdk.Result, error) {
		local := packet.NewPacketID()
		return sdk.Result{Value: []byte("ok"), Effects: []sdk.Effect{
			sdk.AddMessage{ID: call.ID, Chat: call.Chat, Kind: vote, Body: "sent"}, // before its packet: sends it
			sdk.SendPacket{ID: call.ID, Chat: call.Chat, Type: vote, Content: []byte("sent")},
			sdk.AddMessage{ID: local, Chat: call.Chat, Kind: vote, Body: "local", Local: true},
			sdk.Annotate{Chat: call.Chat, Message: call.ID, Kind: vote, Value: []byte("yes")},
			sdk.ChangeMessage{ID: local, Body: "changed"},
			sdk.ChangeMessage{ID: packet.NewPacketID(), Body: "unknown"},
			sdk.PublishEvent{Name: "poll.closed", Chat: call.Chat},
			sdk.PutValue{Key: "a", Value: []byte("1")},
			sdk.PutValue{Key: "b", Value: []byte("1")},
			sdk.PutValue{Key: "a"},
		}}, nil
	}})
	id := packet.NewPacketID()
	for range 2 { // the second time gives the first result
		r, err := h.Invoke(plugintest.Call{ID: id, Action: "do", Chat: chat})
		if err != nil || string(r.Value) != "ok" || len(r.Sent) != 1 || r.Sent[0] != id {
			t.Fatalf("result %+v (%v)", r, err)
		}
	}
	list := h.Messages(chat)
	if len(list) != 2 || list[0].Body != "sent" || list[0].Author != "alice" || list[1].Body != "changed" || !list[1].Local {
		t.Errorf("messages %+v", list)
	}
	if a := h.Annotations(id); len(a) != 1 || a[0].Author != "alice" || string(a[0].Value) != "yes" {
		t.Errorf("annotations %+v", a)
	}
	if v := h.Values(); len(v) != 1 || string(v["b"]) != "1" {
		t.Errorf("values %v", v)
	}
	if len(h.Sent()) != 1 || len(h.Published()) != 1 {
		t.Errorf("%d packets, %d events", len(h.Sent()), len(h.Published()))
	}
}

func TestRefusals(t *testing.T) {
	h, chat := host(t, &poll{handle: func(context.Context, *poll, sdk.Packet) ([]sdk.Effect, error) {
		return nil, sdk.Refuse("no such poll")
	}})
	got := h.Receive(h.Packet(chat, "bob", vote, nil), h.Packet(chat, "bob", vote, make([]byte, 1001)))
	if got[0].Refused != "no such poll" || !strings.Contains(got[1].Refused, "at most 1000") {
		t.Errorf("got %+v", got)
	}
}

func TestFailureIsTriedThreeTimes(t *testing.T) {
	tries := map[string]int{}
	h, chat := host(t, &poll{handle: func(_ context.Context, _ *poll, k sdk.Packet) ([]sdk.Effect, error) {
		tries[string(k.Content)]++
		if string(k.Content) == "bad" || string(k.Content) == "shaky" && tries["shaky"] < 3 {
			return nil, errors.New("no disk")
		}
		return nil, nil
	}})
	of := func(content string) sdk.Packet { return h.Packet(chat, "bob", vote, []byte(content)) }
	// "bad" is tried behind "good" first, which does not count.
	got := h.Receive(of("good"), of("bad"), of("shaky"), of("last"))
	if got[0].Err != nil || got[1].Err == nil || got[2].Err != nil || got[3].Err != nil || tries["bad"] != 4 || tries["last"] != 1 {
		t.Errorf("outcomes %+v, tries %v", got, tries)
	}
}

func TestQueriesSeeOwnThingsOnly(t *testing.T) {
	for _, history := range []bool{false, true} {
		p := &poll{manifest: func(m *pluginpb.Manifest) {
			if history {
				m.Capabilities = []pluginpb.Capability{pluginpb.Capability_CAPABILITY_HISTORY}
			}
		}}
		h, chat := host(t, p)
		other := h.Chat("carol")
		ids := []packet.PacketID{packet.NewPacketID(), packet.NewPacketID(), packet.NewPacketID()}
		h.Put(plugintest.Message{Plugin: "poll", Message: sdk.Message{ID: ids[0], Chat: chat, Author: "bob"}})
		h.Put(plugintest.Message{Plugin: "text", Message: sdk.Message{ID: ids[1], Chat: chat, Author: "bob"}})
		h.Put(plugintest.Message{Plugin: "poll", Message: sdk.Message{ID: ids[2], Chat: other, Author: "bob"}})
		h.AddContact(sdk.Contact{User: "bob", Name: "Bob", Online: true})
		want := 1
		if history {
			want = 2
		}
		if got, err := p.host.Messages(t.Context(), chat, ids...); err != nil || len(got) != want {
			t.Errorf("history %t: %d messages (%v)", history, len(got), err)
		}
		page, err := p.host.MessagesBefore(t.Context(), chat, packet.PacketID{}, 1)
		if err != nil || len(page) != 1 || page[0].ID != ids[want-1] {
			t.Errorf("history %t: page %+v (%v)", history, page, err)
		}
		if got, err := p.host.Contacts(t.Context()); err != nil || len(got) != 1 || got[0].Name != "Bob" {
			t.Errorf("contacts %+v (%v)", got, err)
		}
		if got, err := p.host.Chats(t.Context(), ""); err != nil || len(got) != 2 {
			t.Errorf("chats %+v (%v)", got, err)
		}
		if _, err := p.host.Chats(t.Context(), "alice-zoe"); err == nil {
			t.Error("an unknown chat was found")
		}
		if err := p.host.Apply(t.Context(), sdk.PutValue{Key: "b", Value: []byte("2")}, sdk.PutValue{Key: "a", Value: []byte("1")}); err != nil {
			t.Error(err)
		}
		if err := p.host.Apply(t.Context(), sdk.PublishEvent{Name: "ringing"}); err == nil {
			t.Error("an undeclared event was applied")
		}
		if got, err := p.host.Values(t.Context(), "", 1); err != nil || len(got) != 1 || got[0].Key != "a" {
			t.Errorf("values %+v (%v)", got, err)
		}
	}
}

func TestNetwork(t *testing.T) {
	net := plugintest.NewNetwork(t)
	host := func(user packet.UserID) *plugintest.Host {
		return net.Host(plugintest.Config{User: user, New: func() sdk.Plugin {
			return &poll{invoke: func(_ context.Context, _ *poll, call sdk.Invocation) (sdk.Result, error) {
				s := sdk.SendPacket{Chat: call.Chat, Type: vote, Content: []byte(call.Text), Ephemeral: call.Text == "wave"}
				if call.Args["to"] != "" {
					s.To = []packet.UserID{packet.UserID(call.Args["to"])}
				}
				return sdk.Result{Effects: []sdk.Effect{s}}, nil
			}, handle: func(_ context.Context, _ *poll, k sdk.Packet) ([]sdk.Effect, error) {
				return []sdk.Effect{sdk.PublishEvent{Name: "poll.got", User: k.Author, Data: k.Content}}, nil
			}}
		}})
	}
	alice, bob, carol := host("alice"), host("bob"), host("carol")
	chat := net.Chat(alice, bob, carol)
	do := func(text, to string) {
		t.Helper()
		if _, err := alice.Invoke(plugintest.Call{Action: "do", Chat: chat, Text: text, Args: map[string]string{"to": to}}); err != nil {
			t.Fatal(err)
		}
	}
	got := func(h *plugintest.Host) string {
		var all []string
		for _, e := range h.Published() {
			all = append(all, string(e.Data))
		}
		return strings.Join(all, " ")
	}
	do("one", "")
	do("wave", "carol")
	bob.SetOnline(false)
	do("two", "")
	do("wave", "")
	if got(bob) != "one" {
		t.Errorf("offline, bob got %q", got(bob))
	}
	bob.SetOnline(true)
	if got(alice) != "" || got(bob) != "one two" || got(carol) != "one wave two wave" {
		t.Errorf("alice got %q, bob %q, carol %q", got(alice), got(bob), got(carol))
	}
}

func TestRestartKeepsWhatIsStored(t *testing.T) {
	h, chat := host(t, &poll{})
	h.Receive(h.Packet(chat, "bob", vote, []byte("yes")))
	h.Restart()
	h.Receive(h.Packet(chat, "bob", vote, []byte("no")))
	if list := h.Messages(chat); len(list) != 2 || list[0].Body != "yes" || list[1].Body != "no" {
		t.Errorf("messages %+v", list)
	}
}

// A plugin that wants its own packets gets them in turn with those of others,
// and may draw a card whoever wrote the message.
func TestOwnPacketsAndCards(t *testing.T) {
	net := plugintest.NewNetwork(t)
	host := func(user packet.UserID) *plugintest.Host {
		return net.Host(plugintest.Config{User: user, New: func() sdk.Plugin {
			return &poll{invoke: func(_ context.Context, _ *poll, call sdk.Invocation) (sdk.Result, error) {
				return sdk.Result{Effects: []sdk.Effect{
					sdk.SendPacket{ID: call.ID, Chat: call.Chat, Type: vote, Content: call.Message[:], Handle: true},
				}}, nil
			}, handle: func(_ context.Context, _ *poll, k sdk.Packet) ([]sdk.Effect, error) {
				of := packet.PacketID(k.Content)
				if of.IsZero() {
					return []sdk.Effect{sdk.AddMessage{ID: k.ID, Chat: k.Chat, Kind: vote, Body: "asked"}}, nil
				}
				return []sdk.Effect{sdk.SetCard{ID: of, Card: &pluginpb.Card{Body: "answered by " + string(k.Author)}}}, nil
			}}
		}})
	}
	alice, bob := host("alice"), host("bob")
	chat := net.Chat(alice, bob)
	asked, err := alice.Invoke(plugintest.Call{Action: "do", Chat: chat})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bob.Invoke(plugintest.Call{Action: "do", Chat: chat, Message: asked.ID}); err != nil {
		t.Fatal(err)
	}
	for _, h := range []*plugintest.Host{alice, bob} {
		if m, _ := h.Message(asked.ID); m.Body != "asked" || m.Author != "alice" || m.Card.GetBody() != "answered by bob" {
			t.Errorf("%s has %+v", h.User(), m)
		}
	}
}

// A group's members get what lets them know of it, those who are taken out
// what takes them out, and what is sent apart comes when all are together again.
func TestGroups(t *testing.T) {
	net := plugintest.NewNetwork(t)
	const change = "poll.change"
	host := func(user packet.UserID) *plugintest.Host {
		return net.Host(plugintest.Config{User: user, Bundled: true, New: func() sdk.Plugin {
			return &poll{manifest: func(m *pluginpb.Manifest) {
				m.PacketTypes = append(m.PacketTypes, &pluginpb.PacketType{Name: change, OpensChat: true})
				m.Capabilities = []pluginpb.Capability{pluginpb.Capability_CAPABILITY_MEMBERS}
			}, invoke: func(_ context.Context, _ *poll, call sdk.Invocation) (sdk.Result, error) {
				kind := packet.Type(change)
				if call.Text == "vote" {
					kind = vote
				}
				return sdk.Result{Effects: []sdk.Effect{sdk.SendPacket{ID: call.ID, Chat: call.Chat, Type: kind, Content: []byte(call.Text), Handle: true}}}, nil
			}, handle: func(_ context.Context, _ *poll, k sdk.Packet) ([]sdk.Effect, error) {
				effects := []sdk.Effect{sdk.PublishEvent{Name: "poll.got", Chat: k.Chat, Data: fmt.Appendf(nil, "%s:%s/%d", k.Author, k.Content, k.Number)}}
				if k.Type == vote {
					return effects, nil
				}
				// "<version> <members>"
				words := strings.Fields(string(k.Content))
				set := sdk.SetMembers{Chat: k.Chat, Version: uint64(len(words[0])), Title: words[0]}
				for _, user := range words[1:] {
					set.Members = append(set.Members, packet.UserID(user))
				}
				return append(effects, set), nil
			}}
		}})
	}
	alice, bob, carol := host("alice"), host("bob"), host("carol")
	chat := packet.NewGroupChat()
	do := func(h *plugintest.Host, text string) {
		t.Helper()
		if _, err := h.Invoke(plugintest.Call{Action: "do", Chat: chat, Text: text}); err != nil {
			t.Fatal(err)
		}
	}
	got := func(h *plugintest.Host) string {
		var all []string
		for _, e := range h.Published() {
			all = append(all, string(e.Data))
		}
		return strings.Join(all, ", ")
	}
	if _, err := alice.Invoke(plugintest.Call{Action: "do", Chat: chat, Text: "v alice"}); err == nil {
		t.Error("sent to a chat that is not there")
	}
	alice.Receive(alice.Packet(chat, "bob", change, []byte("v bob alice"))) // opens it
	bob.SetOnline(false)
	do(alice, "vv alice bob carol")
	do(alice, "vote")
	if s := got(carol); s != "bob:v bob alice/1, alice:vv alice bob carol/1, alice:vote/2" {
		t.Errorf("carol got %s", s)
	}
	if s := got(bob); s != "bob:v bob alice/1" {
		t.Errorf("bob got %s while offline", s)
	}
	bob.SetOnline(true)
	do(bob, "vvv alice bob")
	do(bob, "vote")
	if s := got(carol); !strings.HasSuffix(s, "alice:vote/2, bob:vvv alice bob/1") {
		t.Errorf("carol got %s", s)
	}
	if s := got(alice); !strings.HasSuffix(s, "bob:vvv alice bob/1, bob:vote/2") {
		t.Errorf("alice got %s", s)
	}
	// A list that comes late; one that says something else.
	do(alice, "v alice bob")
	lists := alice.Lists(chat)
	if len(lists) != 3 || lists[2].GetTitle() != "vvv" || !slices.Equal(lists[0].GetMembers(), []string{"alice", "bob"}) {
		t.Errorf("lists %v", lists)
	}
	outcome := alice.Receive(alice.Packet(chat, "bob", change, []byte("v alice carol")))
	if err := outcome[0].Err; err == nil || !strings.Contains(err.Error(), "something else") {
		t.Errorf("another list of one version: %v", err)
	}
}

func TestHeads(t *testing.T) {
	var heads []*pluginpb.Cutoff
	h, chat := host(t, &poll{invoke: func(ctx context.Context, p *poll, call sdk.Invocation) (_ sdk.Result, err error) {
		heads, err = p.host.Heads(ctx, call.Chat)
		return sdk.Result{Effects: []sdk.Effect{sdk.SendPacket{Chat: call.Chat, Type: vote}}}, err
	}})
	one, two, three := h.Packet(chat, "bob", vote, nil), h.Packet(chat, "bob", vote, nil), h.Packet(chat, "bob", vote, nil)
	h.Receive(one, three)
	for i, want := range []string{"bob/1", "alice/1 bob/3"} {
		if _, err := h.Invoke(plugintest.Call{Action: "do", Chat: chat}); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, head := range heads {
			got = append(got, fmt.Sprintf("%s/%d", head.GetUser(), head.GetNumber()))
		}
		slices.Sort(got)
		if s := strings.Join(got, " "); s != want {
			t.Errorf("heads %s, not %s", s, want)
		}
		if i == 0 {
			h.Receive(two)
		}
	}
	var refused *sdk.Error
	if _, err := h.Invoke(plugintest.Call{Action: "do", Chat: "alice-zoe"}); !errors.As(err, &refused) || refused.Code != codes.NotFound {
		t.Errorf("heads of no chat: %v", err)
	}
}
