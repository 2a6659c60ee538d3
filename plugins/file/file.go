// Package file is the feature of files, pictures and folders: offers with
// captions and thumbnails, and what becomes of them. Its packets are told in
// filepb/file.proto, what front ends draw in Data. The content itself is a blob,
// which the core moves.
//
// Nothing is fetched before its person accepts it, by hand or by a setting. What
// became of an offer each recipient tells the chat, so that its author sees it
// on the message as the annotation "file.state". That there is nothing to fetch
// any more its author tells likewise, so that those who were away learn of it.
//
// Each device of a person decides for itself, since each has a disk of its own: the
// state in Data is that of this device. What another device of the same person said
// is on the message as the annotation by that person, and the offer stays to be
// had here too. Of two devices that say different things the later one counts.
package file

import (
	"context"
	"encoding/json"
	"strconv"
	"sync"

	"github.com/adrg/xdg"
	"google.golang.org/grpc/codes"

	"github.com/parley-chat/parley/plugins/sdk"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// Version of the plugin.
const Version = "0.1.0"

// Packet types, and message kinds.
const (
	TypeFile   packet.Type = "file"
	TypeImage  packet.Type = "image"
	TypeState  packet.Type = "file.state"
	TypeDelete packet.Type = "file.delete"

	KindFile  = "file"
	KindImage = "image"
)

// Names of actions and settings.
const (
	actionSend        = "send"
	actionAccept      = "accept"
	actionDecline     = "decline"
	actionPause       = "pause"
	actionResume      = "resume"
	actionCancel      = "cancel"
	actionRetry       = "retry"
	actionDelete      = "delete"
	actionDeleteForMe = "delete-for-me"

	settingAccept  = "auto-accept"
	settingLargest = "auto-accept-mib"
	settingFolder  = "download-folder"
	settingStrip   = "strip-metadata"

	acceptOff      = "off"
	acceptContacts = "contacts"
	acceptEveryone = "everyone"
)

// Room for fields that later versions add.
const (
	maxOfferContent = 64 << 10
	maxSmallContent = 4 << 10
)

// core is what the feature needs of its host.
type core interface {
	Messages(ctx context.Context, chat packet.ChatID, ids ...packet.PacketID) ([]sdk.Message, error)
	Values(ctx context.Context, prefix string, limit int) ([]sdk.Value, error)
	Contacts(ctx context.Context) ([]sdk.Contact, error)
	PrepareBlob(ctx context.Context, path string) (sdk.Blob, error)
	Blobs(ctx context.Context, ids ...packet.BlobID) ([]sdk.Blob, error)
	Setting(name string) string
}

// Plugin is the feature.
type Plugin struct {
	core   core
	copies copies

	mu    sync.Mutex // guards all below
	early map[string]struct{}
	// auto has what was accepted by the setting and is not settled.
	auto map[packet.UserID]map[packet.BlobID]struct{}
}

// New makes the feature; Start gives it its host.
func New() *Plugin {
	return &Plugin{early: map[string]struct{}{}, auto: map[packet.UserID]map[packet.BlobID]struct{}{}}
}

// Manifest says what the plugin is.
func (p *Plugin) Manifest() *pluginpb.Manifest {
	menu := []pluginpb.Place{pluginpb.Place_PLACE_MESSAGE_MENU}
	kinds := []string{KindFile, KindImage}
	onMessage := func(name, label, icon string) *pluginpb.Action {
		return &pluginpb.Action{Name: name, Label: label, Icon: icon, Places: menu, MessageKinds: kinds}
	}
	return &pluginpb.Manifest{
		Name: "file", Version: Version, ApiVersion: sdk.APIVersion, Summary: "Files, pictures and folders of any size",
		PacketTypes: []*pluginpb.PacketType{
			{Name: string(TypeFile), MaxContent: maxOfferContent},
			{Name: string(TypeImage), MaxContent: maxOfferContent},
			{Name: string(TypeState), MaxContent: maxSmallContent},
			{Name: string(TypeDelete), MaxContent: maxSmallContent},
		},
		Capabilities: []pluginpb.Capability{pluginpb.Capability_CAPABILITY_FILES},
		MessageKinds: []*pluginpb.MessageKind{
			{Name: KindFile, Presentation: pluginpb.Presentation_PRESENTATION_FILE, Notifies: true},
			{Name: KindImage, Presentation: pluginpb.Presentation_PRESENTATION_IMAGE, Notifies: true},
		},
		Actions: []*pluginpb.Action{
			{Name: actionSend, Label: "Send a file", Icon: "mail-attachment-symbolic", Places: []pluginpb.Place{pluginpb.Place_PLACE_COMPOSER}},
			onMessage(actionAccept, "Download", "folder-download-symbolic"),
			onMessage(actionDecline, "Decline", "window-close-symbolic"),
			onMessage(actionPause, "Pause", "media-playback-pause-symbolic"),
			onMessage(actionResume, "Resume", "media-playback-start-symbolic"),
			onMessage(actionCancel, "Cancel", "process-stop-symbolic"),
			onMessage(actionRetry, "Try again", "view-refresh-symbolic"),
			onMessage(actionDelete, "Delete for everyone", "user-trash-symbolic"),
			onMessage(actionDeleteForMe, "Delete for me", "edit-delete-symbolic"),
		},
		Settings: settings(),
	}
}

func settings() []*pluginpb.Setting {
	return []*pluginpb.Setting{
		{
			Name: settingAccept, Type: pluginpb.SettingType_SETTING_TYPE_CHOICE, Label: "Download by itself", DefaultValue: acceptOff,
			Choices:     []string{acceptOff, acceptContacts, acceptEveryone},
			Description: "Whose files are downloaded without asking: nobody's, those of contacts, those of everyone in your chats",
		},
		{
			Name: settingLargest, Type: pluginpb.SettingType_SETTING_TYPE_INT, Label: "Largest download by itself, in MiB", DefaultValue: "100",
			Min: 1, Max: packet.MaxBlob >> 20, Description: "What is larger waits until you accept it",
		},
		{
			Name: settingFolder, Type: pluginpb.SettingType_SETTING_TYPE_FOLDER, Label: "Download folder", DefaultValue: xdg.UserDirs.Download,
			Description: "Where what you accept is put",
		},
		{
			Name: settingStrip, Type: pluginpb.SettingType_SETTING_TYPE_BOOL, Label: "Remove the location from pictures", DefaultValue: "true",
			Description: "Send GIF, PNG, JPEG and WebP pictures without what says where, when and with what they were made",
		},
	}
}

// Start reads what waits for its message, and removes copies of what is not sent.
func (p *Plugin) Start(ctx context.Context, host sdk.Host, info sdk.StartInfo) error {
	p.core = host
	p.copies = copies{folder: info.DataFolder}
	if err := p.loadEarly(ctx); err != nil {
		return err
	}
	left := p.copies.list()
	if len(left) > 0 {
		go p.tidy(ctx, left, host.Log())
	}
	return nil
}

// Handle handles a packet.
func (p *Plugin) Handle(ctx context.Context, k sdk.Packet) ([]sdk.Effect, error) {
	if k.Ephemeral {
		return nil, sdk.Refuse("a packet of type %s was sent in the wrong way", k.Type)
	}
	switch k.Type {
	case TypeFile, TypeImage:
		return p.handleOffer(ctx, k)
	case TypeState:
		return p.handleState(ctx, k)
	case TypeDelete:
		return p.handleDelete(ctx, k)
	}
	return nil, sdk.Refuse("packets of type %.70q are not for the file plugin", k.Type)
}

// Invoke does what a person asked for.
func (p *Plugin) Invoke(ctx context.Context, call sdk.Invocation, updates sdk.Updates) (sdk.Result, error) {
	if call.Action == actionSend {
		return p.send(ctx, call, updates)
	}
	orders := map[string]func(sdk.Invocation, *target) (sdk.Result, error){
		actionAccept: p.accept, actionRetry: p.accept, actionDecline: p.decline, actionCancel: p.cancel,
		actionPause:  steer(pluginpb.BlobOrder_BLOB_ORDER_PAUSE),
		actionResume: steer(pluginpb.BlobOrder_BLOB_ORDER_RESUME),
		actionDelete: p.delete, actionDeleteForMe: p.deleteForMe,
	}
	order, ok := orders[call.Action]
	if !ok {
		return sdk.Result{}, sdk.Errorf(codes.NotFound, "the file plugin has no action %q", call.Action)
	}
	t, err := p.target(ctx, call)
	if err != nil {
		return sdk.Result{}, err
	}
	return order(call, t)
}

// done is a result that names the messages.
func done(ids []packet.PacketID, effects ...sdk.Effect) (sdk.Result, error) {
	value := struct {
		ID  string   `json:"id"`
		IDs []string `json:"ids"`
	}{ID: ids[0].String()}
	for _, id := range ids {
		value.IDs = append(value.IDs, id.String())
	}
	b, err := json.Marshal(value)
	return sdk.Result{Effects: effects, Value: b}, err
}

// find gives a message of this plugin's, or nil.
func (p *Plugin) find(ctx context.Context, chat packet.ChatID, id packet.PacketID) (*sdk.Message, error) {
	list, err := p.core.Messages(ctx, chat, id)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return &list[0], nil
}

// blob gives the blob as it is here, or nil.
func (p *Plugin) blob(ctx context.Context, id packet.BlobID) (*sdk.Blob, error) {
	list, err := p.core.Blobs(ctx, id)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return &list[0], nil
}

// largest is the most bytes that are fetched without asking.
func (p *Plugin) largest() uint64 {
	n, err := strconv.ParseUint(p.core.Setting(settingLargest), 10, 32)
	if err != nil {
		return 0
	}
	return n << 20
}
