package poll

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/parley-chat/parley/plugins/sdk"
	"github.com/parley-chat/parley/protocol/packet"
)

// Handle handles a packet: of others, and of this account's own.
func (p *Plugin) Handle(ctx context.Context, k sdk.Packet) ([]sdk.Effect, error) {
	if k.Ephemeral {
		return nil, sdk.Refuse("a packet of type %s was sent in the wrong way", k.Type)
	}
	switch k.Type {
	case TypePoll:
		return p.handlePoll(ctx, k)
	case TypeVote:
		return p.handleVote(ctx, k)
	case TypeClose:
		return p.handleClose(ctx, k)
	}
	return nil, sdk.Refuse("packets of type %.70q are not for the poll plugin", k.Type)
}

func (p *Plugin) handlePoll(ctx context.Context, k sdk.Packet) ([]sdk.Effect, error) {
	q, err := DecodeQuestion(k.Content)
	if err != nil {
		return nil, sdk.Refuse("%v", err)
	}
	t, err := p.answers(ctx, k.Chat, k.ID) // some may have come before
	if err != nil {
		return nil, err
	}
	t.closeBy(k.Author)
	return []sdk.Effect{
		sdk.AddMessage{ID: k.ID, Chat: k.Chat, Kind: Kind, Body: q.body(), Data: k.Content, Card: draw(q, t, k.Own)},
	}, nil
}

func (p *Plugin) handleVote(ctx context.Context, k sdk.Packet) ([]sdk.Effect, error) {
	poll, v, err := DecodeVote(k.Content)
	if err != nil {
		return nil, sdk.Refuse("%v", err)
	}
	s, err := p.read(ctx, k.Chat, poll)
	if err != nil {
		return nil, err
	}
	if s != nil && v.Option >= len(s.question.Options) {
		return nil, sdk.Refuse("a vote for option %d of %d", v.Option+1, len(s.question.Options))
	}
	var t *tally
	if s != nil {
		t = &s.tally
	} else {
		early, err := p.answers(ctx, k.Chat, poll)
		if err != nil {
			return nil, err
		}
		t = &early
	}
	if !t.add(k.Author, ballot{turn: v.Turn, option: v.Option, packet: k.ID.String()}) {
		return nil, nil
	}
	value, err := json.Marshal(keptVote{Packet: k.ID.String(), Option: v.Option})
	if err != nil {
		return nil, err
	}
	effects := []sdk.Effect{sdk.Annotate{Chat: k.Chat, Message: poll, Kind: fmt.Sprintf(voteKind+"%d", v.Turn), Value: value}}
	if s != nil {
		effects = append(effects, s.drawing())
	}
	return effects, nil
}

func (p *Plugin) handleClose(ctx context.Context, k sdk.Packet) ([]sdk.Effect, error) {
	poll, c, err := DecodeClosing(k.Content)
	if err != nil {
		return nil, sdk.Refuse("%v", err)
	}
	s, err := p.read(ctx, k.Chat, poll)
	if err != nil {
		return nil, err
	}
	if s != nil && s.author != k.Author {
		return nil, sdk.Refuse("only %s can close this poll", s.author)
	}
	t, err := p.answers(ctx, k.Chat, poll)
	if err != nil {
		return nil, err
	}
	before, again := t.closings[k.Author]
	if again && before.packet < k.ID.String() {
		return nil, nil // closed on two devices at once: the earlier id counts
	}
	effects, err := keepClosing(k, poll, c, before.parts)
	if err != nil || s == nil {
		return effects, err
	}
	s.closed, s.turns = true, c.Turns
	return append(effects, s.drawing()), nil
}

// keepClosing keeps a closing in parts, in place of one of so many parts.
func keepClosing(k sdk.Packet, poll packet.PacketID, c Closing, before int) (effects []sdk.Effect, err error) {
	parts := 0
	for voters := slices.Sorted(maps.Keys(c.Turns)); parts == 0 || len(voters) > 0; parts++ {
		part := keptClosing{Packet: k.ID.String(), Turns: map[packet.UserID]int{}}
		n := min(len(voters), votersPerPart)
		for _, user := range voters[:n] {
			part.Turns[user] = c.Turns[user]
		}
		voters = voters[n:]
		value, err := json.Marshal(part)
		if err != nil {
			return nil, err
		}
		effects = append(effects, sdk.Annotate{Chat: k.Chat, Message: poll, Kind: fmt.Sprintf(closedKind+"%d", parts), Value: value})
	}
	for ; parts < before; parts++ {
		effects = append(effects, sdk.RemoveAnnotation{Chat: k.Chat, Message: poll, Kind: fmt.Sprintf(closedKind+"%d", parts)})
	}
	return effects, nil
}
