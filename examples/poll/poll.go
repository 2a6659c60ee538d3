// Package poll is a Parley plugin: somebody asks a question in a chat, and all
// press a button to answer.
//
//	/poll Lunch? | Noodles | Rice
//
// A poll is a packet and the message it makes; a vote and the closing are
// packets, kept as annotations on that message. Packets of different people come
// in any order, so nothing here depends on it: votes are counted by turn, a vote
// may come before its poll, and the closing names the votes that count. All that
// changes a card happens in Handle, one packet after the other: what is sent
// from here is handled here too (sdk.SendPacket.Handle).
package poll

import (
	"context"
	"encoding/json"
	"strings"
	"sync"

	"google.golang.org/grpc/codes"

	"github.com/parley-chat/parley/plugins/sdk"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// Version of the plugin; a build may set another.
var Version = "1.0.0"

// Packet types and the message kind. One's own begin with a domain, written
// backwards.
const (
	TypePoll  packet.Type = "org.example.poll/poll"
	TypeVote  packet.Type = "org.example.poll/vote"
	TypeClose packet.Type = "org.example.poll/close"

	Kind = "org.example.poll/poll"
)

// core is what the feature needs of its host.
type core interface {
	Messages(ctx context.Context, chat packet.ChatID, ids ...packet.PacketID) ([]sdk.Message, error)
	Annotations(ctx context.Context, chat packet.ChatID, kind string, messages ...packet.PacketID) ([]sdk.Annotation, error)
}

// Plugin is the feature.
type Plugin struct {
	core core
	me   packet.UserID

	mu   sync.Mutex                 // guards cast
	cast map[packet.PacketID]ballot // by poll: the vote cast here last, until it is in the store
}

// New makes the feature; Start gives it its host.
func New() *Plugin { return &Plugin{cast: map[packet.PacketID]ballot{}} }

// Manifest says what the plugin is.
func (p *Plugin) Manifest() *pluginpb.Manifest {
	return &pluginpb.Manifest{
		Name: "poll", Version: Version, ApiVersion: sdk.APIVersion, Summary: "Asks everybody in a chat, and counts the answers",
		PacketTypes: []*pluginpb.PacketType{
			{Name: string(TypePoll), MaxContent: 8 << 10},
			{Name: string(TypeVote), MaxContent: 1 << 10},
			{Name: string(TypeClose), MaxContent: 128 << 10},
		},
		MessageKinds: []*pluginpb.MessageKind{{Name: Kind, Presentation: pluginpb.Presentation_PRESENTATION_CARD, Notifies: true}},
		Actions: []*pluginpb.Action{
			{Name: "poll", Label: "Ask everybody: Question | Answer | Answer", Places: []pluginpb.Place{pluginpb.Place_PLACE_SLASH_COMMAND}},
			{Name: "vote", Label: "Vote", Places: []pluginpb.Place{pluginpb.Place_PLACE_HIDDEN}}, // the buttons
			{Name: "close", Label: "Close the poll", Places: []pluginpb.Place{pluginpb.Place_PLACE_MESSAGE_MENU}, MessageKinds: []string{Kind}},
		},
	}
}

// Start keeps the host.
func (p *Plugin) Start(_ context.Context, host sdk.Host, info sdk.StartInfo) error {
	p.core, p.me = host, info.User
	return nil
}

// Invoke does what a person asked for.
func (p *Plugin) Invoke(ctx context.Context, call sdk.Invocation, _ sdk.Updates) (sdk.Result, error) {
	switch {
	case call.Chat == "":
		return sdk.Result{}, sdk.Errorf(codes.InvalidArgument, "no chat was given to %s in", call.Action)
	case call.Action == "poll":
		return ask(call)
	case call.Action == "vote":
		return p.vote(ctx, call)
	case call.Action == "close":
		return p.close(ctx, call)
	}
	return sdk.Result{}, sdk.Errorf(codes.NotFound, "the poll plugin has no action %q", call.Action)
}

// ask starts a poll. The message is added at once: nobody can have voted yet.
func ask(call sdk.Invocation) (sdk.Result, error) {
	q, err := ParseQuestion(call.Text)
	if err != nil {
		return sdk.Result{}, sdk.Errorf(codes.InvalidArgument, "%w; write it like this: /poll Lunch? | Noodles | Rice", err)
	}
	content, err := json.Marshal(q)
	if err != nil {
		return sdk.Result{}, err
	}
	// The packet has the invocation's id, so that asking twice sends once.
	return done(call.ID,
		sdk.SendPacket{ID: call.ID, Chat: call.Chat, Type: TypePoll, Content: content},
		sdk.AddMessage{ID: call.ID, Chat: call.Chat, Kind: Kind, Body: q.body(), Data: content, Card: draw(q, tally{}, true)},
	)
}

func (p *Plugin) vote(ctx context.Context, call sdk.Invocation) (sdk.Result, error) {
	s, err := p.open(ctx, call)
	if err != nil {
		return sdk.Result{}, err
	}
	chosen := call.Args["option"]
	if chosen == "" {
		chosen = call.Text
	}
	option, ok := s.question.Option(chosen)
	if !ok {
		return sdk.Result{}, sdk.Errorf(codes.InvalidArgument, "%q is no answer to %q; choose one of: %s", chosen, s.question.Text, strings.Join(s.question.Options, ", "))
	}
	turn := 1
	if last, voted := s.last(p.me); voted {
		if turn = last.turn + 1; last.option == option {
			return done(s.id) // it stands already
		}
	}
	if turn > MaxVotes {
		return sdk.Result{}, sdk.Errorf(codes.FailedPrecondition, "you have voted %d times on %q: your last answer stands", MaxVotes, s.question.Text)
	}
	content, err := json.Marshal(Vote{Poll: s.id.String(), Option: option, Turn: turn})
	if err != nil {
		return sdk.Result{}, err
	}
	p.mu.Lock()
	p.cast[s.id] = ballot{turn: turn, option: option, packet: call.ID.String()}
	p.mu.Unlock()
	return done(s.id, sdk.SendPacket{ID: call.ID, Chat: call.Chat, Type: TypeVote, Content: content, Handle: true})
}

func (p *Plugin) close(ctx context.Context, call sdk.Invocation) (sdk.Result, error) {
	s, err := p.open(ctx, call)
	if err != nil {
		return sdk.Result{}, err
	}
	if !s.own {
		return sdk.Result{}, sdk.Errorf(codes.PermissionDenied, "the poll %q is %s's: only its author can close it", s.question.Text, s.author)
	}
	c := Closing{Poll: s.id.String(), Turns: map[packet.UserID]int{}}
	for user, b := range s.latest() {
		c.Turns[user] = b.turn
	}
	content, err := json.Marshal(c)
	if err != nil {
		return sdk.Result{}, err
	}
	return done(s.id, sdk.SendPacket{ID: call.ID, Chat: call.Chat, Type: TypeClose, Content: content, Handle: true})
}

// open gives the poll an action was asked on, which must be open.
func (p *Plugin) open(ctx context.Context, call sdk.Invocation) (*state, error) {
	if call.Message.IsZero() {
		return nil, sdk.Errorf(codes.InvalidArgument, "no poll was given to %s", call.Action)
	}
	s, err := p.read(ctx, call.Chat, call.Message)
	switch {
	case err != nil:
		return nil, err
	case s == nil:
		return nil, sdk.Errorf(codes.NotFound, "there is no poll %s in this chat", call.Message)
	case s.closed:
		return nil, sdk.Errorf(codes.FailedPrecondition, "the poll %q is closed", s.question.Text)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	b, cast := p.cast[s.id]
	if last, _ := s.last(p.me); cast && last.turn >= b.turn {
		delete(p.cast, s.id)
	} else if cast {
		s.add(p.me, b) // who votes and closes at once has voted
	}
	return s, nil
}

// done is a result that names the poll.
func done(poll packet.PacketID, effects ...sdk.Effect) (sdk.Result, error) {
	value, err := json.Marshal(map[string]string{"id": poll.String()})
	return sdk.Result{Effects: effects, Value: value}, err
}
