package sdk

import (
	"fmt"
	"time"

	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// The core has checked what it sends; what is checked here again is only what
// would make a wrong Go value.

func idBytes(id packet.PacketID) []byte {
	if id.IsZero() {
		return nil
	}
	return id[:]
}

func blobBytes(id packet.BlobID) []byte { return idBytes(packet.PacketID(id)) }

// optionalID takes 16 bytes or none.
func optionalID(b []byte) (packet.PacketID, error) {
	if len(b) == 0 {
		return packet.PacketID{}, nil
	}
	return packet.PacketIDFromBytes(b)
}

func fromUsers(users []packet.UserID) []string {
	var out []string
	for _, u := range users {
		out = append(out, string(u))
	}
	return out
}

func toUsers(users []string) []packet.UserID {
	var out []packet.UserID
	for _, u := range users {
		out = append(out, packet.UserID(u))
	}
	return out
}

func keyProtos(keys []DeviceKey) []*pluginpb.DeviceKey {
	var out []*pluginpb.DeviceKey
	for _, k := range keys {
		out = append(out, &pluginpb.DeviceKey{User: string(k.User), Key: k.Key})
	}
	return out
}

// effectProtos gives effects as they are sent; nil ones are left out.
func effectProtos(effects []Effect) ([]*pluginpb.Effect, error) {
	var out []*pluginpb.Effect
	for _, e := range effects {
		if e == nil {
			continue
		}
		pb := e.proto()
		if err := encodable(pb); err != nil {
			return nil, err
		}
		out = append(out, pb)
	}
	return out, nil
}

func packetFromProto(pb *pluginpb.Packet) (Packet, error) {
	id, err := packet.PacketIDFromBytes(pb.GetId())
	if err != nil {
		return Packet{}, fmt.Errorf("packet from the core: %w", err)
	}
	p := Packet{
		ID: id, Chat: packet.ChatID(pb.GetChat()), Type: packet.Type(pb.GetType()), Author: packet.UserID(pb.GetAuthor()),
		SentAt: time.UnixMicro(pb.GetSentAt()), Ephemeral: pb.GetEphemeral(), Content: pb.GetContent(), Own: pb.GetOwn(),
		Epoch: pb.GetEpoch(), Number: pb.GetNumber(),
	}
	copy(p.Device[:], pb.GetDevice())
	return p, nil
}

// eventFromProto gives false for an event this version does not know.
func eventFromProto(chat string, pb *pluginpb.Event) (Event, bool, error) {
	e := Event{Chat: packet.ChatID(chat)}
	switch event := pb.GetEvent().(type) {
	case *pluginpb.Event_Presence:
		e.Presence = &Presence{User: packet.UserID(event.Presence.GetUser()), Online: event.Presence.GetOnline()}
	case *pluginpb.Event_Link:
		e.Link = &Link{User: packet.UserID(event.Link.GetUser()), Up: event.Link.GetUp()}
	case *pluginpb.Event_Message:
		m, err := messageFromProto(event.Message)
		if err != nil {
			return Event{}, false, err
		}
		e.Message = &m
	case *pluginpb.Event_Settings:
		e.Settings = event.Settings.GetSettings()
		if e.Settings == nil {
			e.Settings = map[string]string{}
		}
	case *pluginpb.Event_Blob:
		b, err := blobFromProto(event.Blob)
		if err != nil {
			return Event{}, false, err
		}
		e.Blob = &b
	default:
		return Event{}, false, nil
	}
	return e, true, nil
}

func invocationFromProto(pb *pluginpb.InvokeRequest) (Invocation, error) {
	id, err := packet.PacketIDFromBytes(pb.GetInvocation())
	if err != nil {
		return Invocation{}, fmt.Errorf("invocation of %s: %w", pb.GetAction(), err)
	}
	message, err := optionalID(pb.GetMessage())
	if err != nil {
		return Invocation{}, fmt.Errorf("invocation of %s: message: %w", pb.GetAction(), err)
	}
	return Invocation{
		ID: id, Action: pb.GetAction(), Chat: packet.ChatID(pb.GetChat()), Message: message,
		Text: pb.GetText(), Args: pb.GetArgs(), Paths: pb.GetPaths(),
	}, nil
}

func messageFromProto(pb *pluginpb.Message) (Message, error) {
	id, err := packet.PacketIDFromBytes(pb.GetId())
	if err != nil {
		return Message{}, fmt.Errorf("message from the core: %w", err)
	}
	replyTo, err := optionalID(pb.GetReplyTo())
	if err != nil {
		return Message{}, fmt.Errorf("message %s from the core: reply to: %w", id, err)
	}
	return Message{
		ID: id, Chat: packet.ChatID(pb.GetChat()), Author: packet.UserID(pb.GetAuthor()), Kind: pb.GetKind(), Body: pb.GetBody(),
		ReplyTo: replyTo, Data: pb.GetData(), SentAt: time.UnixMicro(pb.GetSentAt()), Edited: pb.GetEdited(), Deleted: pb.GetDeleted(), Own: pb.GetOwn(),
	}, nil
}

func annotationFromProto(pb *pluginpb.Annotation) (Annotation, error) {
	id, err := packet.PacketIDFromBytes(pb.GetMessage())
	if err != nil {
		return Annotation{}, fmt.Errorf("annotation from the core: %w", err)
	}
	return Annotation{
		Chat: packet.ChatID(pb.GetChat()), Message: id, Kind: pb.GetKind(), Author: packet.UserID(pb.GetAuthor()), Value: pb.GetValue(),
	}, nil
}

func blobFromProto(pb *pluginpb.Blob) (Blob, error) {
	id, err := packet.BlobIDFromBytes(pb.GetId())
	if err != nil {
		return Blob{}, fmt.Errorf("blob from the core: %w", err)
	}
	message, err := optionalID(pb.GetMessage())
	if err != nil {
		return Blob{}, fmt.Errorf("blob %s from the core: message: %w", id, err)
	}
	b := Blob{
		ID: id, Chat: packet.ChatID(pb.GetChat()), Message: message, Own: pb.GetOwn(), State: pb.GetState(), Reason: pb.GetReason(),
		Name: pb.GetName(), Size: pb.GetSize(), Folder: pb.GetFolder(), Files: pb.GetFiles(), Path: pb.GetPath(), Root: pb.GetRoot(),
		LeftOutCount: pb.GetLeftOutCount(),
	}
	for _, l := range pb.GetLeftOut() {
		b.LeftOut = append(b.LeftOut, LeftOut{Path: l.GetPath(), Why: l.GetWhy()})
	}
	return b, nil
}
