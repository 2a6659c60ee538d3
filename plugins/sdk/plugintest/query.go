package plugintest

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/parley-chat/parley/plugins/sdk"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

const (
	maxIDs    = 256
	maxPage   = 100
	maxValues = 1000
)

// serve answers a request of the plugin's.
func (h *Host) serve(r *pluginpb.HostRequest) *pluginpb.HostResponse {
	if apply := r.GetApply(); apply != nil {
		if _, err := h.apply(apply.GetEffects(), nil, nil); err != nil {
			return failed(codes.InvalidArgument, "apply: %v", err)
		}
		return &pluginpb.HostResponse{Answer: &pluginpb.HostResponse_Apply{Apply: &pluginpb.ApplyResponse{}}}
	}
	if prepare := r.GetPrepareBlob(); prepare != nil {
		return h.prepareBlob(prepare.GetPath())
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch q := r.GetRequest().(type) {
	case *pluginpb.HostRequest_QueryMessages:
		return h.queryMessages(q.QueryMessages)
	case *pluginpb.HostRequest_QueryAnnotations:
		return h.queryAnnotations(q.QueryAnnotations)
	case *pluginpb.HostRequest_QueryContacts:
		answer := &pluginpb.Contacts{}
		for _, c := range h.state.contacts {
			if !c.Member || q.QueryContacts.GetMembers() {
				answer.Contacts = append(answer.Contacts, &pluginpb.Contact{User: string(c.User), Name: c.Name, Online: c.Online, Keys: c.Keys, Member: c.Member})
			}
		}
		return &pluginpb.HostResponse{Answer: &pluginpb.HostResponse_Contacts{Contacts: answer}}
	case *pluginpb.HostRequest_QueryChats:
		return h.queryChats(packet.ChatID(q.QueryChats.GetChat()), q.QueryChats.GetHeads())
	case *pluginpb.HostRequest_QueryValues:
		return h.queryValues(q.QueryValues)
	case *pluginpb.HostRequest_QueryBlobs:
		return h.queryBlobs(q.QueryBlobs)
	}
	return failed(codes.Unimplemented, "no such request in API %d", sdk.APIVersion)
}

func failed(code codes.Code, format string, args ...any) *pluginpb.HostResponse {
	return &pluginpb.HostResponse{Answer: &pluginpb.HostResponse_Error{Error: &pluginpb.Error{
		Code: int32(code), Message: fmt.Sprintf(format, args...), //nolint:gosec // a small number
	}}}
}

// mayRead says whether the plugin may read what another one made.
func (h *Host) mayRead(plugin string) bool {
	return plugin == h.manifest.GetName() || slices.Contains(h.manifest.GetCapabilities(), pluginpb.Capability_CAPABILITY_HISTORY)
}

func (h *Host) queryMessages(q *pluginpb.QueryMessages) *pluginpb.HostResponse {
	if len(q.GetIds()) > maxIDs {
		return failed(codes.InvalidArgument, "query_messages.ids: %d, at most %d are allowed", len(q.GetIds()), maxIDs)
	}
	answer := &pluginpb.Messages{}
	add := func(id packet.PacketID) {
		if m, ok := h.state.messages[id]; ok && string(m.Chat) == q.GetChat() && h.mayRead(m.Plugin) {
			answer.Messages = append(answer.Messages, messageProto(&m.Message))
		}
	}
	if len(q.GetIds()) > 0 {
		for _, id := range q.GetIds() {
			if len(id) != len(packet.PacketID{}) {
				return failed(codes.InvalidArgument, "query_messages.ids: an id has 16 bytes")
			}
			add(packet.PacketID(id))
		}
		return &pluginpb.HostResponse{Answer: &pluginpb.HostResponse_Messages{Messages: answer}}
	}
	end := len(h.state.places)
	if len(q.GetBefore()) > 0 {
		m, ok := h.state.messages[packet.PacketID(q.GetBefore())]
		if !ok || string(m.Chat) != q.GetChat() {
			return failed(codes.NotFound, "query_messages.before: not found")
		}
		end = h.state.places[m.ID]
	}
	limit := int(q.GetLimit())
	if limit == 0 || limit > maxPage {
		limit = maxPage
	}
	ids := slices.SortedFunc(maps.Keys(h.state.messages), func(a, b packet.PacketID) int { return h.state.places[b] - h.state.places[a] })
	for _, id := range ids {
		if h.state.places[id] < end && len(answer.GetMessages()) < limit {
			add(id)
		}
	}
	return &pluginpb.HostResponse{Answer: &pluginpb.HostResponse_Messages{Messages: answer}}
}

func (h *Host) queryAnnotations(q *pluginpb.QueryAnnotations) *pluginpb.HostResponse {
	if len(q.GetMessages()) > maxIDs {
		return failed(codes.InvalidArgument, "query_annotations.messages: %d, at most %d are allowed", len(q.GetMessages()), maxIDs)
	}
	answer := &pluginpb.Annotations{}
	for _, a := range h.state.sortedAnnotations() {
		asked := slices.ContainsFunc(q.GetMessages(), func(id []byte) bool { return string(id) == string(a.Message[:]) })
		if asked && string(a.Chat) == q.GetChat() && (q.GetKind() == "" || a.Kind == q.GetKind()) && h.mayRead(a.plugin) {
			answer.Annotations = append(answer.Annotations, &pluginpb.Annotation{
				Chat: string(a.Chat), Message: a.Message[:], Kind: a.Kind, Author: string(a.Author), Value: a.Value,
			})
		}
	}
	return &pluginpb.HostResponse{Answer: &pluginpb.HostResponse_Annotations{Annotations: answer}}
}

func (h *Host) queryChats(id packet.ChatID, heads bool) *pluginpb.HostResponse {
	answer := &pluginpb.Chats{}
	for _, key := range slices.Sorted(maps.Keys(h.state.chats)) {
		if c := h.state.chats[key]; id == "" || key == id {
			pb := &pluginpb.Chat{Id: string(c.ID), Title: c.Title, Membership: c.Membership}
			for _, user := range c.Members {
				pb.Members = append(pb.Members, string(user))
			}
			if heads {
				pb.Heads = h.state.heads(c.ID)
			}
			answer.Chats = append(answer.Chats, pb)
		}
	}
	if id != "" && len(answer.GetChats()) == 0 {
		return failed(codes.NotFound, "chat %s: not found", id)
	}
	return &pluginpb.HostResponse{Answer: &pluginpb.HostResponse_Chats{Chats: answer}}
}

func (h *Host) queryValues(q *pluginpb.QueryValues) *pluginpb.HostResponse {
	limit := int(q.GetLimit())
	if limit == 0 || limit > maxValues {
		limit = maxValues
	}
	answer := &pluginpb.Values{}
	for _, key := range slices.Sorted(maps.Keys(h.state.values)) {
		if strings.HasPrefix(key, q.GetPrefix()) && len(answer.GetValues()) < limit {
			answer.Values = append(answer.Values, &pluginpb.PutValue{Key: key, Value: h.state.values[key]})
		}
	}
	return &pluginpb.HostResponse{Answer: &pluginpb.HostResponse_Values{Values: answer}}
}

func packetProto(p *sdk.Packet) *pluginpb.Packet {
	pb := &pluginpb.Packet{
		Id: p.ID[:], Chat: string(p.Chat), Type: string(p.Type), Author: string(p.Author), SentAt: p.SentAt.UnixMicro(),
		Ephemeral: p.Ephemeral, Content: p.Content, Own: p.Own,
	}
	if !p.Ephemeral {
		pb.Device, pb.Epoch, pb.Number = p.Device[:], p.Epoch, p.Number
	}
	return pb
}

func messageProto(m *sdk.Message) *pluginpb.Message {
	pb := &pluginpb.Message{
		Id: m.ID[:], Chat: string(m.Chat), Author: string(m.Author), Kind: m.Kind, Body: m.Body, Data: m.Data,
		SentAt: m.SentAt.UnixMicro(), Edited: m.Edited, Deleted: m.Deleted, Own: m.Own,
	}
	if !m.ReplyTo.IsZero() {
		pb.ReplyTo = m.ReplyTo[:]
	}
	return pb
}

func eventProto(e sdk.Event) *pluginpb.Event {
	switch {
	case e.Presence != nil:
		return &pluginpb.Event{Topic: "presence", Event: &pluginpb.Event_Presence{Presence: &pluginpb.Presence{User: string(e.Presence.User), Online: e.Presence.Online}}}
	case e.Link != nil:
		return &pluginpb.Event{Topic: "link", Event: &pluginpb.Event_Link{Link: &pluginpb.Link{User: string(e.Link.User), Up: e.Link.Up}}}
	case e.Blob != nil:
		return &pluginpb.Event{Topic: "blob", Event: &pluginpb.Event_Blob{Blob: blobProto(e.Blob)}}
	case e.Message != nil:
		return &pluginpb.Event{Topic: "message", Event: &pluginpb.Event_Message{Message: messageProto(e.Message)}}
	default:
		return &pluginpb.Event{Topic: "settings", Event: &pluginpb.Event_Settings{Settings: &pluginpb.SettingsChanged{Settings: e.Settings}}}
	}
}
