package group

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/parley-chat/parley/plugins/sdk"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// Version of the plugin.
const Version = "0.1.0"

const (
	// TypeChange is the one packet type.
	TypeChange packet.Type = "group.change"
	// KindEvent is the kind of the messages that tell what was changed. Their data
	// is JSON: see Event.
	KindEvent = "group.event"
	// EventChanged is published when something of a group changed. Its data is
	// JSON: see Changed.
	EventChanged = "group.changed"
)

// Names of actions.
const (
	actionCreate     = "create"
	actionInvite     = "invite"
	actionAccept     = "accept"
	actionDecline    = "decline"
	actionLeave      = "leave"
	actionRemove     = "remove"
	actionRole       = "role"
	actionRename     = "rename"
	actionDescribe   = "describe"
	actionPicture    = "picture"
	actionGetPicture = "get-picture"
	actionHistory    = "history"
	actionInfo       = "info"
	actionList       = "list"
)

// core is what the feature needs of its host.
type core interface {
	Apply(ctx context.Context, effects ...sdk.Effect) error
	Contacts(ctx context.Context) ([]sdk.Contact, error)
	People(ctx context.Context) ([]sdk.Contact, error)
	Chats(ctx context.Context, chat packet.ChatID) ([]sdk.Chat, error)
	Heads(ctx context.Context, chat packet.ChatID) ([]*pluginpb.Cutoff, error)
	Values(ctx context.Context, prefix string, limit int) ([]sdk.Value, error)
	Log() *slog.Logger
}

// Plugin is the feature.
type Plugin struct {
	core core
	self packet.UserID
	ctx  context.Context // ends what the plugin does by itself
	end  context.CancelFunc
	work sync.WaitGroup

	// JoinAfter says how long to wait before changes that were made apart are
	// joined, by how many people stand above this account. A field for tests.
	JoinAfter func(above int) time.Duration

	mu    sync.Mutex // guards all below
	chats map[packet.ChatID]*chat
}

// New makes the feature; Start gives it its host.
func New() *Plugin {
	return &Plugin{chats: map[packet.ChatID]*chat{}, JoinAfter: joinAfter}
}

// joinAfter lets those who stand highest go first, and not two at once.
func joinAfter(above int) time.Duration {
	return time.Second + 3*time.Second*time.Duration(min(above, 20)) + rand.N(2*time.Second) //nolint:gosec // not a secret
}

// Manifest says what the plugin is.
func (p *Plugin) Manifest() *pluginpb.Manifest {
	hidden := []pluginpb.Place{pluginpb.Place_PLACE_HIDDEN}
	actions := []*pluginpb.Action{}
	for _, a := range []struct{ name, label string }{
		{actionCreate, "New group"}, {actionInvite, "Invite"}, {actionAccept, "Join"}, {actionDecline, "Decline"}, {actionLeave, "Leave group"},
		{actionRemove, "Remove"}, {actionRole, "Change role"}, {actionRename, "Rename group"}, {actionDescribe, "Describe group"},
		{actionPicture, "Change picture"}, {actionGetPicture, "Picture"}, {actionHistory, "What joiners see"},
		{actionInfo, "About the group"}, {actionList, "Groups"},
	} {
		actions = append(actions, &pluginpb.Action{Name: a.name, Label: a.label, Places: hidden})
	}
	return &pluginpb.Manifest{
		Name: "group", Version: Version, ApiVersion: sdk.APIVersion, Summary: "Groups with roles, invitations, a name and a picture",
		PacketTypes: []*pluginpb.PacketType{
			{Name: string(TypeChange), MaxContent: MaxContent, OpensChat: true}, {Name: string(TypeCreate), MaxContent: maxCreate},
		},
		MessageKinds: []*pluginpb.MessageKind{{Name: KindEvent, Presentation: pluginpb.Presentation_PRESENTATION_TEXT}},
		Capabilities: []pluginpb.Capability{pluginpb.Capability_CAPABILITY_MEMBERS, pluginpb.Capability_CAPABILITY_FILES},
		Actions:      actions,
	}
}

// Start goes on with what was left to do.
func (p *Plugin) Start(ctx context.Context, host sdk.Host, info sdk.StartInfo) error {
	p.core, p.self = host, info.User
	p.ctx, p.end = context.WithCancel(ctx)
	return p.resume(ctx)
}

// Stop ends what the plugin does by itself.
func (p *Plugin) Stop(context.Context) error {
	if p.end != nil {
		p.end()
	}
	p.work.Wait()
	return nil
}

// chat gives what is known of a chat here, perhaps not read yet.
func (p *Plugin) chat(id packet.ChatID) *chat {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.chats[id]
	if c == nil {
		c = newChat(id)
		p.chats[id] = c
	}
	return c
}

// Invoke does what a person asked for.
func (p *Plugin) Invoke(ctx context.Context, call sdk.Invocation, _ sdk.Updates) (sdk.Result, error) {
	do := map[string]func(context.Context, *sdk.Invocation) (sdk.Result, error){
		actionCreate: p.create, actionList: p.list, actionInfo: p.info, actionInvite: p.invite, actionAccept: p.accept, actionDecline: p.decline,
		actionLeave: p.leave, actionRemove: p.remove, actionRole: p.role, actionRename: p.rename, actionDescribe: p.describe,
		actionPicture: p.picture, actionGetPicture: p.getPicture, actionHistory: p.history,
	}[call.Action]
	switch {
	case do == nil:
		return sdk.Result{}, sdk.Errorf(codes.NotFound, "the group plugin has no action %q", call.Action)
	case call.Action != actionCreate && call.Action != actionList && call.Chat.Kind() != packet.Group:
		return sdk.Result{}, sdk.Errorf(codes.InvalidArgument, "%q is no group: groups are listed by `parley group list`", call.Chat).Because("NO_GROUP")
	}
	return do(ctx, &call)
}
