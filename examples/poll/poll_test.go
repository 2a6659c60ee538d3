package poll_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"

	"example.org/poll"
	"github.com/parley-chat/parley/plugins/sdk"
	"github.com/parley-chat/parley/plugins/sdk/plugintest"
	"github.com/parley-chat/parley/protocol/packet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func config(user packet.UserID) plugintest.Config {
	return plugintest.Config{New: func() sdk.Plugin { return poll.New() }, User: user}
}

// people are several in one chat.
type people struct {
	t    *testing.T
	all  []*plugintest.Host
	chat packet.ChatID
}

func newPeople(t *testing.T, names ...packet.UserID) *people {
	t.Helper()
	net := plugintest.NewNetwork(t)
	p := &people{t: t}
	for _, name := range names {
		p.all = append(p.all, net.Host(config(name)))
	}
	p.chat = net.Chat(p.all...)
	return p
}

func (p *people) ask(h *plugintest.Host, text string) packet.PacketID {
	p.t.Helper()
	r, err := h.Invoke(plugintest.Call{Action: "poll", Chat: p.chat, Text: text})
	if err != nil {
		p.t.Fatal(err)
	}
	return r.ID
}

func (p *people) vote(h *plugintest.Host, id packet.PacketID, option string) {
	p.t.Helper()
	if _, err := h.Invoke(plugintest.Call{Action: "vote", Chat: p.chat, Message: id, Args: map[string]string{"option": option}}); err != nil {
		p.t.Fatalf("%s votes %s: %v", h.User(), option, err)
	}
}

func card(t *testing.T, h *plugintest.Host, id packet.PacketID) string {
	t.Helper()
	m, ok := h.Message(id)
	if !ok || m.Card == nil {
		t.Fatalf("%s has no card of %s: %+v", h.User(), id, m)
	}
	return m.Card.GetBody()
}

// want checks what everybody's card says.
func (p *people) want(id packet.PacketID, lines ...string) {
	p.t.Helper()
	for _, h := range p.all {
		if got := card(p.t, h, id); got != strings.Join(lines, "\n") {
			p.t.Errorf("%s sees %q, want %q", h.User(), got, lines)
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

func TestPollInAGroup(t *testing.T) {
	p := newPeople(t, "alice", "bob", "carol")
	alice, bob, carol := p.all[0], p.all[1], p.all[2]
	id := p.ask(alice, "Lunch? | Noodles | Rice")
	p.want(id, "Noodles: 0", "Rice: 0", "0 votes")
	m, _ := bob.Message(id)
	if m.Card.GetTitle() != "Lunch?" || len(m.Card.GetButtons()) != 2 || m.Body != "Lunch?\n1. Noodles\n2. Rice" || m.Author != "alice" {
		t.Errorf("bob has %+v", m)
	}
	p.vote(bob, id, "1")
	p.want(id, "Noodles: 1 (bob)", "Rice: 0", "1 vote")
	p.vote(alice, id, "Rice")
	p.vote(carol, id, "noodles")
	p.want(id, "Noodles: 2 (bob, carol)", "Rice: 1 (alice)", "3 votes")

	// A change of mind moves the vote; the same answer again is no vote.
	p.vote(carol, id, "2")
	sent := len(carol.Sent())
	p.vote(carol, id, "2")
	if len(carol.Sent()) != sent {
		t.Error("the same answer was sent again")
	}
	p.want(id, "Noodles: 1 (bob)", "Rice: 2 (alice, carol)", "3 votes")

	if _, err := bob.Invoke(plugintest.Call{Action: "close", Chat: p.chat, Message: id}); code(err) != codes.PermissionDenied {
		t.Errorf("bob closes alice's poll: %v", err)
	}
	if _, err := alice.Invoke(plugintest.Call{Action: "close", Chat: p.chat, Message: id}); err != nil {
		t.Fatal(err)
	}
	p.want(id, "Noodles: 1 (bob)", "Rice: 2 (alice, carol)", "Closed with 3 votes")
	if _, err := bob.Invoke(plugintest.Call{Action: "vote", Chat: p.chat, Message: id, Text: "Rice"}); code(err) != codes.FailedPrecondition {
		t.Errorf("a vote after the closing: %v", err)
	}
	if m, _ := alice.Message(id); len(m.Card.GetButtons()) > 0 {
		t.Errorf("a closed poll has buttons: %v", m.Card)
	}
}

func TestDirectChatOfflineAndRestart(t *testing.T) {
	p := newPeople(t, "alice", "bob")
	alice, bob := p.all[0], p.all[1]
	bob.SetOnline(false)
	id := p.ask(alice, "Tea? | Yes | No |")
	p.vote(alice, id, "Yes")
	alice.Restart()
	bob.SetOnline(true)
	bob.Restart()
	p.vote(bob, id, "No")
	p.want(id, "Yes: 1 (alice)", "No: 1 (bob)", "2 votes")
}

// What somebody does and does again at once counts in that order.
func TestVoteAndCloseAtOnce(t *testing.T) {
	h := plugintest.New(t, config("alice"))
	chat := h.Chat("bob")
	r, err := h.Invoke(plugintest.Call{Action: "poll", Chat: chat, Text: "Tea? | Yes | No"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []plugintest.Call{
		{Action: "vote", Text: "Yes"}, {Action: "vote", Text: "No"}, {Action: "close"},
	} {
		c.Chat, c.Message = chat, r.ID
		if _, err := h.InvokeContext(t.Context(), c); err != nil { // does not wait for Handle
			t.Fatal(err)
		}
	}
	h.Receive() // waits
	if got := card(t, h, r.ID); got != "Yes: 0\nNo: 1 (alice)\nClosed with 1 vote" {
		t.Errorf("alice sees %q", got)
	}
}

func TestWhatCannotBeAsked(t *testing.T) {
	h := plugintest.New(t, config("alice"))
	chat := h.Chat("bob")
	for _, c := range []struct{ text, says string }{
		{"", "question is empty"},
		{"Lunch?", "0 options"},
		{"Lunch? | Noodles", "1 options"},
		{"Lunch? | Noodles | ", "1 options"},
		{"Lunch? | Noodles | | Rice", "option 2 is empty"},
		{"Lunch? | Noodles | noodles", "twice"},
		{"Lunch?" + strings.Repeat(" | x", 11), "11 options"},
		{strings.Repeat("x", 201) + " | a | b", "at most 200"},
		{"Lunch? | " + strings.Repeat("x", 65) + " | b", "at most 64"},
		{"Lunch?\nNow | a | b", "more than one line"},
	} {
		_, err := h.Invoke(plugintest.Call{Action: "poll", Chat: chat, Text: c.text})
		if code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "/poll Lunch?") {
			t.Errorf("%q: %v", c.text, err)
		}
	}
	if len(h.Sent()) > 0 {
		t.Error("something was sent")
	}
	r, err := h.Invoke(plugintest.Call{Action: "poll", Chat: chat, Text: "Tea? | Yes | No"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		message packet.PacketID
		option  string
		want    codes.Code
	}{
		{r.ID, "3", codes.InvalidArgument},
		{r.ID, "", codes.InvalidArgument},
		{packet.PacketID{}, "1", codes.InvalidArgument},
		{packet.NewPacketID(), "1", codes.NotFound},
	} {
		if _, err := h.Invoke(plugintest.Call{Action: "vote", Chat: chat, Message: c.message, Text: c.option}); code(err) != c.want {
			t.Errorf("vote %q on %s: %v", c.option, c.message, err)
		}
	}
	for i := range poll.MaxVotes {
		if _, err := h.Invoke(plugintest.Call{Action: "vote", Chat: chat, Message: r.ID, Text: fmt.Sprint(1 + i%2)}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := h.Invoke(plugintest.Call{Action: "vote", Chat: chat, Message: r.ID, Text: "1"}); code(err) != codes.FailedPrecondition {
		t.Errorf("one vote too many: %v", err)
	}
}

// packets makes those of a poll with votes, changed ones, from two devices too,
// and two closings: by its author with one vote too late to count, and by
// somebody else.
func packets(h *plugintest.Host, chat packet.ChatID) (id packet.PacketID, all []sdk.Packet) {
	make1 := func(author packet.UserID, of packet.Type, format string, args ...any) sdk.Packet {
		return h.Packet(chat, author, of, fmt.Appendf(nil, format, args...))
	}
	question := make1("bob", poll.TypePoll, `{"question":"Lunch?","options":["Noodles","Rice"]}`)
	all = append(all, question)
	for _, v := range []struct {
		by           packet.UserID
		option, turn int
	}{{"bob", 0, 1}, {"carol", 0, 1}, {"carol", 1, 2}, {"dave", 1, 1}, {"dave", 0, 1}, {"erin", 0, 1}, {"erin", 1, 2}} {
		all = append(all, make1(v.by, poll.TypeVote, `{"poll":"%s","option":%d,"turn":%d}`, question.ID, v.option, v.turn))
	}
	return question.ID, append(all,
		make1("bob", poll.TypeClose, `{"poll":"%s","turns":{"bob":1,"carol":2,"dave":1,"erin":1}}`, question.ID),
		make1("bob", poll.TypeClose, `{"poll":"%s","turns":{}}`, question.ID), // of another device, at once: the first counts
		make1("carol", poll.TypeClose, `{"poll":"%s","turns":{"carol":1}}`, question.ID),
	)
}

// Whatever the order in which packets come, and however often, in batches or one
// by one, with a crash between: the end is the same.
func TestAnyOrderGivesTheSameEnd(t *testing.T) {
	h := plugintest.New(t, config("alice"))
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 4))
		chat := h.Chat("bob", "carol", "dave", "erin")
		id, all := packets(h, chat)
		r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		all = append(all, all[:r.IntN(len(all))]...) // again
		for len(all) > 0 {
			n := 1 + r.IntN(len(all))
			for _, o := range h.Receive(all[:n]...) {
				if o.Err != nil {
					t.Fatalf("seed %d: %v", seed, o.Err)
				}
			}
			all = all[n:]
			if r.IntN(10) == 0 {
				h.Restart()
			}
		}
		const want = "Noodles: 3 (bob, dave, erin)\nRice: 1 (carol)\nClosed with 4 votes"
		if got := card(t, h, id); got != want {
			t.Fatalf("seed %d: %q, want %q", seed, got, want)
		}
	}
}

func TestClosingOfManyVotes(t *testing.T) {
	h := plugintest.New(t, config("alice"))
	var all []packet.UserID
	for i := range 120 {
		all = append(all, packet.UserID(fmt.Sprintf("%s%03d", strings.Repeat("u", 61), i)))
	}
	chat := h.Chat(all...)
	r, err := h.Invoke(plugintest.Call{Action: "poll", Chat: chat, Text: "Tea? | Yes | No"})
	if err != nil {
		t.Fatal(err)
	}
	var votes []sdk.Packet
	for _, user := range all {
		votes = append(votes, h.Packet(chat, user, poll.TypeVote, fmt.Appendf(nil, `{"poll":"%s","option":1,"turn":1}`, r.ID)))
	}
	h.Receive(votes...)
	if _, err := h.Invoke(plugintest.Call{Action: "close", Chat: chat, Message: r.ID}); err != nil {
		t.Fatal(err)
	}
	late := h.Packet(chat, all[0], poll.TypeVote, fmt.Appendf(nil, `{"poll":"%s","option":0,"turn":2}`, r.ID))
	h.Receive(late)
	if got := card(t, h, r.ID); !strings.HasPrefix(got, "Yes: 0\nNo: 120 (") || !strings.HasSuffix(got, "and 112 more)\nClosed with 120 votes") {
		t.Errorf("alice sees %q", got)
	}
}

func TestRefusals(t *testing.T) {
	h := plugintest.New(t, config("alice"))
	chat := h.Chat("bob")
	r, err := h.Invoke(plugintest.Call{Action: "poll", Chat: chat, Text: "Tea? | Yes | No"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		of            packet.Type
		content, says string
	}{
		{poll.TypePoll, "\xff", "cannot be read"},
		{poll.TypePoll, `{"question":"x","options":["a"]}`, "1 options"},
		{poll.TypeVote, `{"poll":"` + r.ID.String() + `","option":2,"turn":1}`, "option 3 of 2"},
		{poll.TypeVote, `{"poll":"` + r.ID.String() + `","option":-1,"turn":1}`, "option -1"},
		{poll.TypeVote, `{"poll":"` + r.ID.String() + `","option":1,"turn":21}`, "vote 21"},
		{poll.TypeVote, `{"poll":"x","option":1,"turn":1}`, "no poll"},
		{poll.TypeClose, `{"poll":"` + r.ID.String() + `","turns":{}}`, "only alice"},
		{poll.TypeClose, `{"poll":"` + r.ID.String() + `","turns":{"A b":1}}`, "no user"},
	} {
		if got := h.Receive(h.Packet(chat, "bob", c.of, []byte(c.content)))[0]; got.Err != nil || !strings.Contains(got.Refused, c.says) {
			t.Errorf("%s %s: %+v", c.of, c.content, got)
		}
	}
	if got := card(t, h, r.ID); got != "Yes: 0\nNo: 0\n0 votes" {
		t.Errorf("alice sees %q", got)
	}
}
