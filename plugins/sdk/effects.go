package sdk

import (
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// Effect is one change a plugin asks for: one of the types of this file. The
// effects of one call are applied in order, in one transaction, or not at all;
// at most 256 a call. Each type's rules and limits stand with the message of the
// same name in plugin.proto.
type Effect interface {
	proto() *pluginpb.Effect
}

// AddMessage adds a message of one of the plugin's own kinds. ID is that of the
// packet being handled or sent by the same call, of one that Handled names, or, with
// Local, a new one. One that is there already is left as it is.
type AddMessage struct {
	ID   packet.PacketID
	Chat packet.ChatID
	Kind string
	// Body is shown, searched and quoted; at most 64 KiB.
	Body string
	// ReplyTo is the message it answers, or zero.
	ReplyTo packet.PacketID
	// Data is the plugin's own, at most 64 KiB.
	Data  []byte
	Card  *pluginpb.Card
	Local bool // seen by this account only
	// Handled is a packet that this plugin handled before, and has something to show
	// for now. Nothing is added when it is not there any more, or does not count.
	Handled *HandledPacket
}

// HandledPacket tells which of the packets with an id is meant: ids are their
// authors', who can give one twice.
type HandledPacket struct {
	Author      packet.UserID
	ContentHash packet.Hash
}

// ChangeMessage changes a message this plugin made. It fails the call when the
// packet being handled has another author than the message, and does nothing
// when the message is deleted or unknown, or is so already.
type ChangeMessage struct {
	ID     packet.PacketID
	Body   string
	Data   []byte
	Card   *pluginpb.Card
	Edited bool // shown as "edited"
	// Handled says, when no packet is being handled, which of the packets with this id is that of
	// the message: others can give the id of theirs to something else too.
	Handled *HandledPacket
}

// SetCard draws the card of a message this plugin made anew. The card shows what
// came of a message, its body what its author said: so the rule for authors does
// not hold, and a vote of one person may change the card of another's poll.
type SetCard struct {
	ID   packet.PacketID
	Card *pluginpb.Card // nil removes it
}

// DeleteMessage deletes a message this plugin made; a mark remains. The same
// rule for authors holds, but for Local: any message, for this account only.
type DeleteMessage struct {
	ID    packet.PacketID
	Local bool
}

// DropContent deletes the content of a packet of this plugin's, such as an edit
// that a later one replaced. The same rule for authors holds.
type DropContent struct {
	ID packet.PacketID
}

// Annotate sets the annotation (message, kind, author of the packet being
// handled, else this account). The message need not have come yet.
type Annotate struct {
	Chat    packet.ChatID
	Message packet.PacketID
	Kind    string
	Value   []byte // at most 4 KiB
	// SearchText makes the message findable by these words.
	SearchText string
}

// RemoveAnnotation removes an annotation if it is there.
type RemoveAnnotation struct {
	Chat    packet.ChatID
	Message packet.PacketID
	Kind    string
}

// SendPacket sends a packet of one of the plugin's own types.
type SendPacket struct {
	ID      packet.PacketID // zero for a new one
	Chat    packet.ChatID
	Type    packet.Type
	Content []byte
	// Ephemeral packets go to the links that are up and are then forgotten.
	Ephemeral bool
	// To: only to these members (Ephemeral only); empty means all.
	To []packet.UserID
	// Handle: this plugin's own Handle gets it too, once it is committed, in turn
	// with what others send (not Ephemeral). For what is computed from the packets
	// of several people: an Invoke that computed it beside Handle would not see
	// what Handle has not committed yet.
	Handle bool
}

// SetMembers adds a version of a chat's member list, the highest of which is the
// present one; for the bundled group plugin.
type SetMembers struct {
	Chat    packet.ChatID
	Version uint64
	Title   string
	Members []packet.UserID
	// Cutoffs of each log of anybody who was ever removed or left, at most 4,000.
	Cutoffs []*pluginpb.Cutoff
	// Merged: the sum of changes made apart, under which nobody writes.
	Merged bool
	// History that members may see; unspecified is FROM_JOIN.
	History pluginpb.History
	// Vouched are keys of people of the group, by the word of those who invited them.
	Vouched []DeviceKey
	// Invited are those of Members who were asked and have not answered.
	Invited []packet.UserID
}

// DeviceKey is the Ed25519 public key (32 bytes) of a device of a user.
type DeviceKey struct {
	User packet.UserID
	Key  []byte
}

// PutValue keeps a private value of the plugin; an empty one removes the key.
type PutValue struct {
	Key   string // at most 256 bytes
	Value []byte // at most 256 KiB
}

// PublishEvent tells front ends something that is not kept: "typing", or
// "<name of the plugin>.<event>".
type PublishEvent struct {
	Name string
	Chat packet.ChatID
	User packet.UserID
	Data []byte // at most 16 KiB
}

// ShareBlob lets the members of a chat fetch what PrepareBlob prepared.
type ShareBlob struct {
	Blob packet.BlobID
	Chat packet.ChatID
	// Message it belongs to: the plugin's and this account's own, such as that
	// of a packet sent by the same call.
	Message packet.PacketID
}

// FetchBlob has a blob fetched that the author of a message shared, over
// restarts, until an event "blob" says what became of it. One that is being
// fetched or is here stays as it is; one that failed or was cancelled begins anew.
type FetchBlob struct {
	Blob    packet.BlobID
	Message packet.PacketID
	// Name it is to have, at most 255 bytes; made harmless, and numbered when it
	// is taken.
	Name string
	// Folder is the value of a FOLDER setting of the plugin's, or one below its
	// data or cache folder. Made when missing.
	Folder string
	// Size the offer said: content of another size is not taken.
	Size uint64
	// Offer only notes it as to be had, so that front ends can list it; one that is
	// known stays as it is. It needs no folder.
	Offer bool
}

// SteerBlob pauses, resumes or cancels a blob. What is done or gone stays so.
type SteerBlob struct {
	Blob  packet.BlobID
	Order pluginpb.BlobOrder
	// Reason why it is cancelled, for people; at most 300 bytes.
	Reason string
}

func (e AddMessage) proto() *pluginpb.Effect {
	return &pluginpb.Effect{Effect: &pluginpb.Effect_AddMessage{AddMessage: &pluginpb.AddMessage{
		Id: idBytes(e.ID), Chat: string(e.Chat), Kind: e.Kind, Body: e.Body, ReplyTo: idBytes(e.ReplyTo), Data: e.Data, Card: e.Card, Local: e.Local,
		Handled: e.Handled.proto(),
	}}}
}

func (h *HandledPacket) proto() *pluginpb.HandledPacket {
	if h == nil {
		return nil
	}
	return &pluginpb.HandledPacket{Author: string(h.Author), ContentHash: h.ContentHash[:]}
}

func (e ChangeMessage) proto() *pluginpb.Effect {
	return &pluginpb.Effect{Effect: &pluginpb.Effect_ChangeMessage{ChangeMessage: &pluginpb.ChangeMessage{
		Id: idBytes(e.ID), Body: e.Body, Data: e.Data, Card: e.Card, Edited: e.Edited, Handled: e.Handled.proto(),
	}}}
}

func (e SetCard) proto() *pluginpb.Effect {
	return &pluginpb.Effect{Effect: &pluginpb.Effect_SetCard{SetCard: &pluginpb.SetCard{Id: idBytes(e.ID), Card: e.Card}}}
}

func (e DeleteMessage) proto() *pluginpb.Effect {
	return &pluginpb.Effect{Effect: &pluginpb.Effect_DeleteMessage{DeleteMessage: &pluginpb.DeleteMessage{Id: idBytes(e.ID), Local: e.Local}}}
}

func (e DropContent) proto() *pluginpb.Effect {
	return &pluginpb.Effect{Effect: &pluginpb.Effect_DropContent{DropContent: &pluginpb.DropContent{Id: idBytes(e.ID)}}}
}

func (e Annotate) proto() *pluginpb.Effect {
	return &pluginpb.Effect{Effect: &pluginpb.Effect_Annotate{Annotate: &pluginpb.Annotate{
		Chat: string(e.Chat), Message: idBytes(e.Message), Kind: e.Kind, Value: e.Value, SearchText: e.SearchText,
	}}}
}

func (e RemoveAnnotation) proto() *pluginpb.Effect {
	return &pluginpb.Effect{Effect: &pluginpb.Effect_RemoveAnnotation{RemoveAnnotation: &pluginpb.RemoveAnnotation{
		Chat: string(e.Chat), Message: idBytes(e.Message), Kind: e.Kind,
	}}}
}

func (e SendPacket) proto() *pluginpb.Effect {
	return &pluginpb.Effect{Effect: &pluginpb.Effect_SendPacket{SendPacket: &pluginpb.SendPacket{
		Id: idBytes(e.ID), Chat: string(e.Chat), Type: string(e.Type), Content: e.Content, Ephemeral: e.Ephemeral, To: fromUsers(e.To), Handle: e.Handle,
	}}}
}

func (e SetMembers) proto() *pluginpb.Effect {
	return &pluginpb.Effect{Effect: &pluginpb.Effect_SetMembers{SetMembers: &pluginpb.SetMembers{
		Chat: string(e.Chat), Version: e.Version, Title: e.Title, Members: fromUsers(e.Members), Cutoffs: e.Cutoffs,
		Merged: e.Merged, History: e.History, Vouched: keyProtos(e.Vouched), Invited: fromUsers(e.Invited),
	}}}
}

func (e PutValue) proto() *pluginpb.Effect {
	return &pluginpb.Effect{Effect: &pluginpb.Effect_PutValue{PutValue: &pluginpb.PutValue{Key: e.Key, Value: e.Value}}}
}

func (e PublishEvent) proto() *pluginpb.Effect {
	return &pluginpb.Effect{Effect: &pluginpb.Effect_PublishEvent{PublishEvent: &pluginpb.PublishEvent{
		Name: e.Name, Chat: string(e.Chat), User: string(e.User), Data: e.Data,
	}}}
}

func (e ShareBlob) proto() *pluginpb.Effect {
	return &pluginpb.Effect{Effect: &pluginpb.Effect_ShareBlob{ShareBlob: &pluginpb.ShareBlob{
		Blob: blobBytes(e.Blob), Chat: string(e.Chat), Message: idBytes(e.Message),
	}}}
}

func (e FetchBlob) proto() *pluginpb.Effect {
	return &pluginpb.Effect{Effect: &pluginpb.Effect_FetchBlob{FetchBlob: &pluginpb.FetchBlob{
		Blob: blobBytes(e.Blob), Message: idBytes(e.Message), Name: e.Name, Folder: e.Folder, Size: e.Size, Offer: e.Offer,
	}}}
}

func (e SteerBlob) proto() *pluginpb.Effect {
	return &pluginpb.Effect{Effect: &pluginpb.Effect_SteerBlob{SteerBlob: &pluginpb.SteerBlob{Blob: blobBytes(e.Blob), Order: e.Order, Reason: e.Reason}}}
}
