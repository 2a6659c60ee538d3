package emoji

import (
	"context"
	"encoding/json"
	"math"
	"slices"

	"google.golang.org/grpc/codes"

	"github.com/parley-chat/parley/plugins/emoji/emojipb"
	"github.com/parley-chat/parley/plugins/sdk"
	"github.com/parley-chat/parley/protocol/packet"
)

// Annotations: KindOf an emoji is there while its author's reaction is, its value
// is the JSON of When. marksKind is the plugin's own.
const (
	KindPrefix = "reaction#"
	marksKind  = "reaction"
)

// KindOf gives the kind of the annotation for an emoji in its canonical spelling.
func KindOf(emoji string) string { return KindPrefix + emoji }

// When is the value of a reaction.
type When struct {
	// At is Unix time in microseconds, by the author's clock.
	At int64 `json:"at"`
}

// Event is the data of the event "emoji.reaction": somebody reacted to a message
// of this account's.
type Event struct {
	Message string `json:"message"`
	Emoji   string `json:"emoji"`
}

func (p *Plugin) handleReaction(ctx context.Context, k sdk.Packet) ([]sdk.Effect, error) {
	r, err := DecodeReaction(k.Content)
	if err != nil {
		return nil, sdk.Refuse("%v", err)
	}
	before, err := p.marksOf(ctx, k.Chat, r.Message, k.Author)
	if err != nil {
		return nil, err
	}
	now, dropped := before.take(markOf(r, k.ID, k.SentAt))
	effects := drop(dropped)
	if slices.ContainsFunc(dropped, func(m *emojipb.Mark) bool { return string(m.GetPacket()) == string(k.ID[:]) }) {
		return effects, nil // it came too late
	}
	value, err := now.value()
	if err != nil {
		return nil, err
	}
	effects = append(effects, sdk.Annotate{Chat: k.Chat, Message: r.Message, Kind: marksKind, Value: value})
	changed, added, err := redraw(k.Chat, r.Message, before.shown(), now.shown())
	if err != nil {
		return nil, err
	}
	effects = append(effects, changed...)
	if k.Own || !slices.Contains(added, r.Emoji) {
		return effects, nil
	}
	told, err := p.tell(ctx, k, r)
	return append(effects, told...), err
}

// redraw makes annotations follow marks. added are the emoji that were not there.
func redraw(chat packet.ChatID, message packet.PacketID, before, now marks) (effects []sdk.Effect, added []string, err error) {
	for _, m := range before {
		if now.index(m.GetEmoji()) < 0 {
			effects = append(effects, sdk.RemoveAnnotation{Chat: chat, Message: message, Kind: KindOf(m.GetEmoji())})
		}
	}
	for _, m := range now {
		i := before.index(m.GetEmoji())
		if i >= 0 && before[i].GetAt() == m.GetAt() {
			continue
		}
		value, err := json.Marshal(When{m.GetAt()})
		if err != nil {
			return nil, nil, err
		}
		effects = append(effects, sdk.Annotate{Chat: chat, Message: message, Kind: KindOf(m.GetEmoji()), Value: value})
		if i < 0 {
			added = append(added, m.GetEmoji())
		}
	}
	return effects, added, nil
}

// tell tells front ends that somebody reacted to one's own message.
func (p *Plugin) tell(ctx context.Context, k sdk.Packet, r Reaction) ([]sdk.Effect, error) {
	list, err := p.core.Messages(ctx, k.Chat, r.Message)
	if err != nil || len(list) == 0 || !list[0].Own || list[0].Deleted {
		return nil, err
	}
	data, err := json.Marshal(Event{Message: r.Message.String(), Emoji: r.Emoji})
	return []sdk.Effect{sdk.PublishEvent{Name: eventReaction, Chat: k.Chat, User: k.Author, Data: data}}, err
}

// marksOf reads what counts of an author's reactions to a message.
func (p *Plugin) marksOf(ctx context.Context, chat packet.ChatID, message packet.PacketID, author packet.UserID) (marks, error) {
	list, err := p.core.Annotations(ctx, chat, marksKind, message)
	if err != nil {
		return nil, err
	}
	for _, a := range list {
		if a.Author == author {
			return readMarks(a.Value), nil
		}
	}
	return nil, nil
}

// react sends a reaction, or that it is taken back. What it changes here
// handleReaction does, in turn with what comes from one's other devices.
func (p *Plugin) react(ctx context.Context, call sdk.Invocation, remove bool) (sdk.Result, error) {
	emoji, err := p.emojiIn(call)
	if err != nil {
		return sdk.Result{}, err
	}
	if err := p.checkMessage(ctx, call); err != nil {
		return sdk.Result{}, err
	}
	known, err := p.marksOf(ctx, call.Chat, call.Message, p.user)
	if err != nil {
		return sdk.Result{}, err
	}
	value, err := json.Marshal(struct {
		Emoji string `json:"emoji"`
	}{emoji})
	if err != nil {
		return sdk.Result{}, err
	}
	shown := known.shown()
	there := shown.index(emoji) >= 0
	switch {
	case there != remove:
		return sdk.Result{Value: value}, nil // it is as it is to be
	case !remove && len(shown) >= MaxReactions:
		return sdk.Result{}, sdk.Errorf(codes.ResourceExhausted, "there are %d reactions of yours on this message, the most that one person can have: take one back first", MaxReactions).Because("REACTIONS_FULL", "limit", MaxReactions)
	case known.revision() == math.MaxUint32:
		return sdk.Result{}, sdk.Errorf(codes.FailedPrecondition, "your reactions to this message were changed too often to change again").Because("CHANGED_TOO_OFTEN")
	}
	content, err := Reaction{Message: call.Message, Emoji: emoji, Remove: remove, Revision: known.revision() + 1}.Encode()
	if err != nil {
		return sdk.Result{}, err
	}
	effects := []sdk.Effect{sdk.SendPacket{ID: call.ID, Chat: call.Chat, Type: TypeReaction, Content: content, Handle: true}}
	if !remove {
		effects = append(effects, p.use(emoji)...)
	}
	return sdk.Result{Effects: effects, Value: value}, nil
}

// checkMessage says why one cannot react to a message.
func (p *Plugin) checkMessage(ctx context.Context, call sdk.Invocation) error {
	if call.Chat == "" || call.Message.IsZero() {
		return sdk.Errorf(codes.InvalidArgument, "no message was given to %s to", call.Action)
	}
	list, err := p.core.Messages(ctx, call.Chat, call.Message)
	switch {
	case err != nil:
		return err
	case len(list) == 0:
		return sdk.Errorf(codes.NotFound, "there is no message %s in this chat", call.Message).Because("NO_MESSAGE")
	case list[0].Deleted:
		return sdk.Errorf(codes.FailedPrecondition, "the message was deleted: there is nothing to react to").Because("DELETED")
	}
	return nil
}
