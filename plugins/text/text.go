// Package text is the feature of text messages: sending, replies, edits,
// deletion for everybody or for oneself, and typing notices. Its packets are
// told in textpb/text.proto. What "delivered" and "read" mean is the core's.
//
// What members see converges whatever the order in which packets come: edits
// are counted by revision, and an edit or deletion that comes before its message
// (from another device of its author's) is kept until that comes.
package text

import (
	"context"
	"encoding/json"
	"slices"
	"sync"

	"google.golang.org/grpc/codes"

	"github.com/parley-chat/parley/plugins/sdk"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// Version of the plugin.
const Version = "0.1.0"

// Packet types, and the one message kind.
const (
	TypeText   packet.Type = "text"
	TypeEdit   packet.Type = "text.edit"
	TypeDelete packet.Type = "text.delete"
	TypeTyping packet.Type = "text.typing"

	Kind = "text"
)

// Names of actions and settings.
const (
	actionSend        = "send"
	actionEdit        = "edit"
	actionDelete      = "delete"
	actionDeleteForMe = "delete-for-me"
	actionTyping      = "typing"

	settingTyping = "typing"
)

// Room for fields that later versions add to a text.
const (
	maxTextContent  = 2 * MaxBody
	maxSmallContent = 4 << 10
)

// core is what the feature needs of its host.
type core interface {
	Messages(ctx context.Context, chat packet.ChatID, ids ...packet.PacketID) ([]sdk.Message, error)
	Values(ctx context.Context, prefix string, limit int) ([]sdk.Value, error)
	Setting(name string) string
}

// Plugin is the feature.
type Plugin struct {
	core core

	mu     sync.Mutex // guards all below
	early  map[string]struct{}
	typing typing
}

// New makes the feature; Start gives it its host.
func New() *Plugin {
	return &Plugin{early: map[string]struct{}{}, typing: newTyping()}
}

// Manifest says what the plugin is.
func (p *Plugin) Manifest() *pluginpb.Manifest {
	menu := []pluginpb.Place{pluginpb.Place_PLACE_MESSAGE_MENU}
	hidden := []pluginpb.Place{pluginpb.Place_PLACE_HIDDEN}
	kinds := []string{Kind}
	return &pluginpb.Manifest{
		Name: "text", Version: Version, ApiVersion: sdk.APIVersion, Summary: "Text messages with replies, edits and deletion",
		PacketTypes: []*pluginpb.PacketType{
			{Name: string(TypeText), MaxContent: maxTextContent},
			{Name: string(TypeEdit), MaxContent: maxTextContent},
			{Name: string(TypeDelete), MaxContent: maxSmallContent},
			{Name: string(TypeTyping), MaxContent: maxSmallContent},
		},
		MessageKinds: []*pluginpb.MessageKind{{Name: Kind, Presentation: pluginpb.Presentation_PRESENTATION_TEXT, Notifies: true}},
		Actions: []*pluginpb.Action{
			{Name: actionSend, Label: "Send", Places: hidden},
			{Name: actionEdit, Label: "Edit", Icon: "document-edit-symbolic", Places: menu, MessageKinds: kinds},
			{Name: actionDelete, Label: "Delete for everyone", Icon: "user-trash-symbolic", Places: menu, MessageKinds: kinds},
			{Name: actionDeleteForMe, Label: "Delete for me", Icon: "edit-delete-symbolic", Places: menu, MessageKinds: kinds},
			{Name: actionTyping, Label: "Typing", Places: hidden},
		},
		Settings: []*pluginpb.Setting{{
			Name: settingTyping, Type: pluginpb.SettingType_SETTING_TYPE_BOOL, Label: "Typing notices", DefaultValue: "true",
			Description: "Show others when you are typing, and see when they are",
		}},
	}
}

// Start reads what waits for its message.
func (p *Plugin) Start(ctx context.Context, host sdk.Host, _ sdk.StartInfo) error {
	p.core = host
	return p.loadEarly(ctx)
}

// Handle handles a packet.
func (p *Plugin) Handle(ctx context.Context, k sdk.Packet) ([]sdk.Effect, error) {
	if k.Ephemeral != (k.Type == TypeTyping) {
		return nil, sdk.Refuse("a packet of type %s was sent in the wrong way", k.Type)
	}
	switch k.Type {
	case TypeText:
		return p.handleText(ctx, k)
	case TypeEdit:
		return p.handleEdit(ctx, k)
	case TypeDelete:
		return p.handleDelete(ctx, k)
	case TypeTyping:
		return p.handleTyping(k)
	}
	return nil, sdk.Refuse("packets of type %.70q are not for the text plugin", k.Type)
}

// Invoke does what a person asked for.
func (p *Plugin) Invoke(ctx context.Context, call sdk.Invocation, _ sdk.Updates) (sdk.Result, error) {
	if call.Chat == "" {
		return sdk.Result{}, sdk.Errorf(codes.InvalidArgument, "no chat was given to %s in", call.Action)
	}
	switch call.Action {
	case actionSend:
		return p.send(call)
	case actionEdit:
		return p.edit(ctx, call)
	case actionDelete:
		return p.delete(ctx, call)
	case actionDeleteForMe:
		return p.deleteForMe(ctx, call)
	case actionTyping:
		return p.sendTyping(call)
	}
	return sdk.Result{}, sdk.Errorf(codes.NotFound, "the text plugin has no action %q", call.Action)
}

func (p *Plugin) handleText(ctx context.Context, k sdk.Packet) ([]sdk.Effect, error) {
	t, err := decodeIn(k.Chat, k.Content)
	if err != nil {
		return nil, sdk.Refuse("%v", err)
	}
	effects := []sdk.Effect{sdk.AddMessage{ID: k.ID, Chat: k.Chat, Kind: Kind, Body: t.Body, ReplyTo: t.ReplyTo}}
	effects = append(effects, mentions(k.Chat, k.ID, t.Body)...)
	late, err := p.applyEarly(ctx, k)
	if err != nil {
		return nil, err
	}
	effects = append(effects, late...)
	if p.stoppedTyping(k.Chat, k.Author) {
		effects = append(effects, typingEvent(k.Chat, k.Author, false))
	}
	return effects, nil
}

func (p *Plugin) send(call sdk.Invocation) (sdk.Result, error) {
	if err := CheckBody(call.Text); err != nil {
		return sdk.Result{}, outOfBounds(err)
	}
	content, err := Text{Body: call.Text, ReplyTo: call.Message}.encodeIn(call.Chat)
	if err != nil {
		return sdk.Result{}, err
	}
	p.sentText(call.Chat)
	return done(call.ID, append([]sdk.Effect{
		sdk.SendPacket{ID: call.ID, Chat: call.Chat, Type: TypeText, Content: content},
		sdk.AddMessage{ID: call.ID, Chat: call.Chat, Kind: Kind, Body: call.Text, ReplyTo: call.Message},
	}, mentions(call.Chat, call.ID, call.Text)...)...)
}

// done is a result that names the message.
func done(message packet.PacketID, effects ...sdk.Effect) (sdk.Result, error) {
	value, err := json.Marshal(struct {
		ID string `json:"id"`
	}{message.String()})
	return sdk.Result{Effects: effects, Value: value}, err
}

// find gives a text message, or nil.
func (p *Plugin) find(ctx context.Context, chat packet.ChatID, id packet.PacketID) (*sdk.Message, error) {
	list, err := p.core.Messages(ctx, chat, id)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return &list[0], nil
}

// findOf gives the text message that somebody means by the id of its packet: somebody else
// may have given a packet the same one. When he has none it is that with this id, nil if
// there is none.
func (p *Plugin) findOf(ctx context.Context, author packet.UserID, chat packet.ChatID, id packet.PacketID) (*sdk.Message, error) {
	list, err := p.core.Messages(ctx, chat, id)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return &list[max(0, slices.IndexFunc(list, func(m sdk.Message) bool { return m.Author == author }))], nil
}

// mine gives the message an action was asked on.
func (p *Plugin) mine(ctx context.Context, call sdk.Invocation) (*sdk.Message, error) {
	if call.Message.IsZero() {
		return nil, sdk.Errorf(codes.InvalidArgument, "no message was given to %s", call.Action)
	}
	m, err := p.find(ctx, call.Chat, call.Message)
	if err == nil && m == nil {
		err = sdk.Errorf(codes.NotFound, "there is no text message %s in this chat", call.Message).Because("NO_MESSAGE")
	}
	return m, err
}
