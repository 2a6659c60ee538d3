// Package emoji is the feature of emoji: reactions to messages of any kind, what
// a picker shows (categories, search in English and Chinese, skin tones, those
// used last), and shortcodes. Reactions travel in the packet of
// emojipb/emoji.proto; front ends find them on the message, as annotations of the
// kinds KindOf gives.
//
// Reactions are the same for everyone in whatever order packets come, also before
// the message: marks says how.
package emoji

import (
	"context"
	"sync"

	"google.golang.org/grpc/codes"

	"github.com/parley-chat/parley/plugins/sdk"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// Version of the plugin.
const Version = "0.1.0"

// TypeReaction is the type of the only packet.
const TypeReaction packet.Type = "reaction"

// Names of actions, settings and events.
const (
	actionCategories = "categories"
	actionList       = "list"
	actionSearch     = "search"
	actionComplete   = "complete"
	actionReplace    = "replace"
	actionVariants   = "variants"
	actionRecents    = "recents"
	actionUsed       = "used"
	actionFavourite  = "favourite"
	actionReact      = "react"
	actionUnreact    = "unreact"

	settingTone = "skin-tone"

	eventReaction = "emoji.reaction"
)

// maxContent leaves room for fields that later versions add.
const maxContent = 4 << 10

// core is what the feature needs of its host.
type core interface {
	Messages(ctx context.Context, chat packet.ChatID, ids ...packet.PacketID) ([]sdk.Message, error)
	Annotations(ctx context.Context, chat packet.ChatID, kind string, messages ...packet.PacketID) ([]sdk.Annotation, error)
	Values(ctx context.Context, prefix string, limit int) ([]sdk.Value, error)
	Setting(name string) string
}

// Plugin is the feature.
type Plugin struct {
	core core
	user packet.UserID

	mu     sync.Mutex // guards all below
	habits habits
}

// New makes the feature; Start gives it its host.
func New() *Plugin { return &Plugin{} }

// Manifest says what the plugin is.
func (p *Plugin) Manifest() *pluginpb.Manifest {
	hidden := func(name, label string) *pluginpb.Action {
		return &pluginpb.Action{Name: name, Label: label, Places: []pluginpb.Place{pluginpb.Place_PLACE_HIDDEN}}
	}
	return &pluginpb.Manifest{
		Name: "emoji", Version: Version, ApiVersion: sdk.APIVersion, Summary: "Emoji, and reactions to messages",
		PacketTypes: []*pluginpb.PacketType{{Name: string(TypeReaction), MaxContent: maxContent}},
		// Any message can be reacted to, and its author is told.
		Capabilities: []pluginpb.Capability{pluginpb.Capability_CAPABILITY_HISTORY},
		Actions: []*pluginpb.Action{
			hidden(actionReact, "React"), hidden(actionUnreact, "Take the reaction back"),
			hidden(actionCategories, "Categories of emoji"), hidden(actionList, "Emoji of a category"),
			hidden(actionSearch, "Search emoji"), hidden(actionVariants, "Skin tones of an emoji"),
			hidden(actionComplete, "Complete a shortcode"), hidden(actionReplace, "Replace shortcodes"),
			hidden(actionRecents, "Recent emoji"), hidden(actionUsed, "Note the use of an emoji"), hidden(actionFavourite, "Favourite emoji"),
		},
		Settings: []*pluginpb.Setting{{
			Name: settingTone, Type: pluginpb.SettingType_SETTING_TYPE_CHOICE, Label: "Skin tone", DefaultValue: toneNames[0],
			Choices: toneNames, Description: "Of emoji with people and hands",
		}},
	}
}

// Start reads which emoji were used.
func (p *Plugin) Start(ctx context.Context, host sdk.Host, info sdk.StartInfo) error {
	p.core, p.user = host, info.User
	return p.loadHabits(ctx)
}

// Handle handles a packet.
func (p *Plugin) Handle(ctx context.Context, k sdk.Packet) ([]sdk.Effect, error) {
	switch {
	case k.Ephemeral:
		return nil, sdk.Refuse("a packet of type %s was sent in the wrong way", k.Type)
	case k.Type == TypeReaction:
		return p.handleReaction(ctx, k)
	}
	return nil, sdk.Refuse("packets of type %.70q are not for the emoji plugin", k.Type)
}

// Invoke does what a person asked for.
func (p *Plugin) Invoke(ctx context.Context, call sdk.Invocation, _ sdk.Updates) (sdk.Result, error) {
	switch call.Action {
	case actionReact, actionUnreact:
		return p.react(ctx, call, call.Action == actionUnreact)
	case actionUsed:
		return p.noteUse(call)
	case actionFavourite:
		return p.star(call)
	case actionReplace:
		return p.replace(call)
	}
	answer, ok := map[string]func(sdk.Invocation, options) (any, error){
		actionCategories: p.categories, actionList: p.list, actionSearch: p.search, actionVariants: p.variants,
		actionComplete: p.complete, actionRecents: p.recents,
	}[call.Action]
	if !ok {
		return sdk.Result{}, sdk.Errorf(codes.NotFound, "the emoji plugin has no action %q", call.Action)
	}
	o, err := p.options(call)
	if err != nil {
		return sdk.Result{}, err
	}
	value, err := answer(call, o)
	if err != nil {
		return sdk.Result{}, err
	}
	return result(value)
}
