package poll

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/parley-chat/parley/plugins/sdk"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// What is kept, as annotations on the poll's message:
//
//	org.example.poll/vote#<turn>     by a voter: a keptVote
//	org.example.poll/closed#<part>   by the poll's author: a keptClosing
//
// Every turn is kept and not the last one only, because a closing may name an
// earlier one.
const (
	voteKind   = "org.example.poll/vote#"
	closedKind = "org.example.poll/closed#"

	votersPerPart = 50 // of the longest user ids fit the 4 KiB of an annotation
)

type keptVote struct {
	Packet string `json:"packet"`
	Option int    `json:"option"`
}

type keptClosing struct {
	Packet string                `json:"packet"`
	Turns  map[packet.UserID]int `json:"turns"`
}

// ballot is one vote of one person.
type ballot struct {
	turn   int
	option int
	packet string // its id
}

// closing is what somebody's closing says, and in how many parts it is kept.
type closing struct {
	packet string
	turns  map[packet.UserID]int
	parts  int
}

// tally is all that was answered to a poll.
type tally struct {
	ballots  map[packet.UserID][]ballot // by turn, ascending
	closings map[packet.UserID]closing
	closed   bool
	turns    map[packet.UserID]int // when closed: the votes that count
}

// state is a poll as it is stored.
type state struct {
	tally
	id       packet.PacketID
	author   packet.UserID
	own      bool
	question Question
}

// read gives a poll of the chat, nil when there is none.
func (p *Plugin) read(ctx context.Context, chat packet.ChatID, id packet.PacketID) (*state, error) {
	list, err := p.core.Messages(ctx, chat, id)
	if err != nil || len(list) == 0 || list[0].Deleted {
		return nil, err
	}
	m := &list[0]
	s := &state{id: id, author: m.Author, own: m.Own}
	if s.question, err = DecodeQuestion(m.Data); err != nil {
		return nil, fmt.Errorf("poll %s: %w", id, err)
	}
	if s.tally, err = p.answers(ctx, chat, id); err != nil {
		return nil, err
	}
	s.closeBy(m.Author)
	return s, nil
}

// answers gives what was answered to a poll, which need not have come yet.
func (p *Plugin) answers(ctx context.Context, chat packet.ChatID, poll packet.PacketID) (tally, error) {
	list, err := p.core.Annotations(ctx, chat, "", poll)
	if err != nil {
		return tally{}, err
	}
	t := tally{ballots: map[packet.UserID][]ballot{}, closings: map[packet.UserID]closing{}}
	for _, a := range list {
		var n int
		if _, err := fmt.Sscanf(a.Kind, voteKind+"%d", &n); err == nil {
			var v keptVote
			if err := json.Unmarshal(a.Value, &v); err != nil {
				return t, fmt.Errorf("vote of %s on %s: %w", a.Author, poll, err)
			}
			t.add(a.Author, ballot{turn: n, option: v.Option, packet: v.Packet})
		} else if _, err := fmt.Sscanf(a.Kind, closedKind+"%d", &n); err == nil {
			var part keptClosing
			if err := json.Unmarshal(a.Value, &part); err != nil {
				return t, fmt.Errorf("closing of %s by %s: %w", poll, a.Author, err)
			}
			c := t.closings[a.Author]
			if c.turns == nil {
				c.turns = map[packet.UserID]int{}
			}
			maps.Copy(c.turns, part.Turns)
			t.closings[a.Author] = closing{packet: part.Packet, turns: c.turns, parts: c.parts + 1}
		}
	}
	return t, nil
}

// add adds a vote and says whether it counts for its turn: of two with one turn,
// cast on two devices at once, the one with the later id does.
func (t *tally) add(user packet.UserID, b ballot) bool {
	if t.ballots == nil {
		t.ballots = map[packet.UserID][]ballot{}
	}
	list := t.ballots[user]
	i, there := slices.BinarySearchFunc(list, b.turn, func(x ballot, turn int) int { return x.turn - turn })
	switch {
	case !there:
		t.ballots[user] = slices.Insert(list, i, b)
	case list[i].packet > b.packet:
		return false
	default:
		list[i] = b
	}
	return true
}

// closeBy closes the poll if its author said so.
func (t *tally) closeBy(author packet.UserID) {
	if c, ok := t.closings[author]; ok {
		t.closed, t.turns = true, c.turns
	}
}

// last gives a person's latest vote.
func (t *tally) last(user packet.UserID) (ballot, bool) {
	list := t.ballots[user]
	if len(list) == 0 {
		return ballot{}, false
	}
	return list[len(list)-1], true
}

// latest gives the votes that count.
func (t *tally) latest() map[packet.UserID]ballot {
	counted := map[packet.UserID]ballot{}
	for user, list := range t.ballots {
		for _, b := range list {
			if !t.closed || b.turn == t.turns[user] {
				counted[user] = b
			}
		}
	}
	return counted
}

// shownVoters are named beside an answer; of others only the number is said.
const shownVoters = 8

// draw draws the card of a poll: the answers, who chose which, and the buttons.
func draw(q Question, t tally, own bool) *pluginpb.Card {
	voters := make([][]string, len(q.Options))
	votes := 0
	for user, b := range t.latest() {
		if b.option < len(voters) { // may have come before its poll, and be for nothing
			voters[b.option] = append(voters[b.option], string(user))
			votes++
		}
	}
	var body strings.Builder
	for i, o := range q.Options {
		fmt.Fprintf(&body, "%s: %d%s\n", o, len(voters[i]), names(voters[i]))
	}
	card := &pluginpb.Card{Title: q.Text}
	ending := "votes"
	if votes == 1 {
		ending = "vote"
	}
	if t.closed {
		fmt.Fprintf(&body, "Closed with %d %s", votes, ending)
		card.Body = body.String()
		return card
	}
	fmt.Fprintf(&body, "%d %s", votes, ending)
	card.Body = body.String()
	for i, o := range q.Options {
		card.Buttons = append(card.Buttons, &pluginpb.Button{Label: o, Action: "vote", Args: map[string]string{"option": fmt.Sprint(i + 1)}})
	}
	if own {
		card.Buttons = append(card.Buttons, &pluginpb.Button{Label: "Close the poll", Action: "close"})
	}
	return card
}

func names(users []string) string {
	if len(users) == 0 {
		return ""
	}
	slices.Sort(users)
	shown := strings.Join(users[:min(len(users), shownVoters)], ", ")
	if more := len(users) - shownVoters; more > 0 {
		shown += fmt.Sprintf(" and %d more", more)
	}
	return " (" + shown + ")"
}

// drawing is the effect that shows the poll as it stands.
func (s *state) drawing() sdk.Effect {
	return sdk.SetCard{ID: s.id, Card: draw(s.question, s.tally, s.own)}
}
