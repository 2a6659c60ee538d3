package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

const (
	maxAnswer  = 3 << 20 // bytes of one answer to a plugin
	maxIDs     = 256
	maxPage    = 100
	maxValues  = 1000
	maxLogText = 1 << 10
	storePage  = 200 // messages read at once while looking for a plugin's own
)

// requestError is a failure of a request of the plugin's.
type requestError struct {
	code codes.Code
	text string
}

func (e *requestError) Error() string { return e.text }

func invalid(format string, args ...any) error {
	return &requestError{codes.InvalidArgument, fmt.Sprintf(format, args...)}
}

func tooMuch(what string) error {
	return &requestError{codes.ResourceExhausted, fmt.Sprintf("%s are more than %d bytes: ask for fewer", what, maxAnswer)}
}

// serveRequests answers the plugin's requests, one after the other, so that an
// Apply sees the one before.
func (p *plugin) serveRequests(ctx context.Context, sess *session) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case r := <-sess.asked:
			response := p.serveRequest(ctx, r)
			sess.served()
			if sess.respond(response) != nil {
				return nil //nolint:nilerr // the session is over
			}
		}
	}
}

func (p *plugin) serveRequest(ctx context.Context, r *pluginpb.HostRequest) *pluginpb.HostResponse {
	ctx, cancel := context.WithTimeout(ctx, p.host.cfg.timing.request)
	defer cancel()
	response := &pluginpb.HostResponse{Id: r.GetId()}
	var err error
	switch q := r.GetRequest().(type) {
	case *pluginpb.HostRequest_Apply:
		err = p.serveApply(ctx, q.Apply)
		response.Answer = &pluginpb.HostResponse_Apply{Apply: &pluginpb.ApplyResponse{}}
	case *pluginpb.HostRequest_QueryMessages:
		var m *pluginpb.Messages
		m, err = p.queryMessages(ctx, q.QueryMessages)
		response.Answer = &pluginpb.HostResponse_Messages{Messages: m}
	case *pluginpb.HostRequest_QueryAnnotations:
		var a *pluginpb.Annotations
		a, err = p.queryAnnotations(ctx, q.QueryAnnotations)
		response.Answer = &pluginpb.HostResponse_Annotations{Annotations: a}
	case *pluginpb.HostRequest_QueryContacts:
		var c *pluginpb.Contacts
		c, err = p.queryContacts(ctx, q.QueryContacts.GetMembers())
		response.Answer = &pluginpb.HostResponse_Contacts{Contacts: c}
	case *pluginpb.HostRequest_QueryChats:
		var c *pluginpb.Chats
		c, err = p.queryChats(ctx, q.QueryChats)
		response.Answer = &pluginpb.HostResponse_Chats{Chats: c}
	case *pluginpb.HostRequest_QueryValues:
		var v *pluginpb.Values
		v, err = p.queryValues(ctx, q.QueryValues)
		response.Answer = &pluginpb.HostResponse_Values{Values: v}
	case *pluginpb.HostRequest_PrepareBlob:
		var b *pluginpb.Blobs
		b, err = p.prepareBlob(ctx, q.PrepareBlob)
		response.Answer = &pluginpb.HostResponse_Blobs{Blobs: b}
	case *pluginpb.HostRequest_QueryBlobs:
		var b *pluginpb.Blobs
		b, err = p.queryBlobs(ctx, q.QueryBlobs)
		response.Answer = &pluginpb.HostResponse_Blobs{Blobs: b}
	default:
		err = &requestError{codes.Unimplemented, fmt.Sprintf("no such request in API %d", apiVersion)}
	}
	if err != nil {
		response.Answer = &pluginpb.HostResponse_Error{Error: p.requestFailed(err)}
	}
	return response
}

func (p *plugin) requestFailed(err error) *pluginpb.Error {
	var told *requestError
	var wrong *answerError
	code, text := codes.Unavailable, "the request could not be served now"
	switch {
	case errors.As(err, &told):
		code, text = told.code, told.text
	case errors.As(err, &wrong):
		code, text = codes.InvalidArgument, wrong.Error()
	case errors.Is(err, store.ErrNotFound):
		code, text = codes.NotFound, err.Error()
	default:
		p.log.Warn("request of a plugin failed", "error", err)
	}
	return &pluginpb.Error{Code: int32(code), Message: text} //nolint:gosec // a small number
}

func (p *plugin) serveApply(ctx context.Context, q *pluginpb.ApplyRequest) error {
	if err := checkEffects(p.powers(), "apply", q.GetEffects()); err != nil {
		return err
	}
	_, err := p.applyEffects(ctx, store.Synced, "apply", q.GetEffects(), nil, nil)
	return err
}

// log takes a line for the core's log; it has no answer.
func (s *session) log(r *pluginpb.LogRequest) error {
	level := slog.LevelInfo
	switch r.GetLevel() {
	case pluginpb.Level_LEVEL_DEBUG:
		level = slog.LevelDebug
	case pluginpb.Level_LEVEL_WARN:
		level = slog.LevelWarn
	case pluginpb.Level_LEVEL_ERROR:
		level = slog.LevelError
	}
	text := r.GetText()
	s.run.lines.request(level, text[:min(len(text), maxLogText)])
	return nil
}

func idsOf(field string, raw [][]byte) ([]packet.PacketID, error) {
	if len(raw) > maxIDs {
		return nil, invalid("%s: %d, at most %d are allowed", field, len(raw), maxIDs)
	}
	ids := make([]packet.PacketID, len(raw))
	for i, b := range raw {
		id, err := packet.PacketIDFromBytes(b)
		if err != nil {
			return nil, invalid("%s: an id has 16 bytes", field)
		}
		ids[i] = id
	}
	return ids, nil
}

func (p *plugin) queryMessages(ctx context.Context, q *pluginpb.QueryMessages) (*pluginpb.Messages, error) {
	chat, err := packet.ParseChatID(q.GetChat())
	if err != nil {
		return nil, invalid("query_messages.chat: %.140q is not a chat id", q.GetChat())
	}
	ids, err := idsOf("query_messages.ids", q.GetIds())
	if err != nil {
		return nil, err
	}
	all := p.powers().can(pluginpb.Capability_CAPABILITY_HISTORY)
	mine := func(m *store.Message) bool { return m.Chat == chat && (all || m.Plugin == p.name) }
	answer := &pluginpb.Messages{}
	err = p.host.cfg.Store.View(ctx, func(tx store.ReadTx) error {
		answer.Messages = nil
		if len(ids) > 0 {
			return messagesByID(tx, ids, mine, answer)
		}
		return messagePage(ctx, tx, chat, q, mine, answer)
	})
	return answer, err
}

func messagesByID(tx store.ReadTx, ids []packet.PacketID, mine func(*store.Message) bool, answer *pluginpb.Messages) error {
	size := 0
	for _, id := range ids {
		list, err := store.MessagesOf(tx, id)
		if err != nil {
			return err
		}
		for i := range list {
			if !mine(&list[i]) {
				continue
			}
			pb := messageToProto(&list[i])
			if size += sizeIn(pb); size > maxAnswer {
				return tooMuch("these messages")
			}
			answer.Messages = append(answer.Messages, pb)
		}
	}
	return nil
}

// messagePage gives a page, newest first; a shorter one than asked for when it
// would be too large.
func messagePage(ctx context.Context, tx store.ReadTx, chat packet.ChatID, q *pluginpb.QueryMessages, mine func(*store.Message) bool, answer *pluginpb.Messages) error {
	limit := int(q.GetLimit())
	if limit == 0 || limit > maxPage {
		limit = maxPage
	}
	page := store.Page{Limit: storePage}
	if len(q.GetBefore()) > 0 {
		id, err := packet.PacketIDFromBytes(q.GetBefore())
		if err != nil {
			return invalid("query_messages.before: an id has 16 bytes")
		}
		m, err := tx.Message(id)
		if err != nil {
			return err
		}
		if m.Chat != chat {
			return invalid("query_messages.before is in another chat")
		}
		page.Before = &m.Order
	}
	for size := 0; ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		list, more, err := tx.Messages(chat, page)
		if err != nil {
			return err
		}
		for i := len(list) - 1; i >= 0; i-- {
			if !mine(&list[i]) {
				continue
			}
			pb := messageToProto(&list[i])
			if size += sizeIn(pb); size > maxAnswer && len(answer.Messages) > 0 {
				return nil
			}
			if answer.Messages = append(answer.Messages, pb); len(answer.Messages) == limit {
				return nil
			}
		}
		if !more || len(list) == 0 {
			return nil
		}
		page.Before = &list[0].Order
	}
}

func (p *plugin) queryAnnotations(ctx context.Context, q *pluginpb.QueryAnnotations) (*pluginpb.Annotations, error) {
	chat, err := packet.ParseChatID(q.GetChat())
	if err != nil {
		return nil, invalid("query_annotations.chat: %.140q is not a chat id", q.GetChat())
	}
	ids, err := idsOf("query_annotations.messages", q.GetMessages())
	if err != nil {
		return nil, err
	}
	all := p.powers().can(pluginpb.Capability_CAPABILITY_HISTORY)
	var list []store.Annotation
	err = p.host.cfg.Store.View(ctx, func(tx store.ReadTx) (err error) {
		list, err = tx.Annotations(ids)
		return err
	})
	if err != nil {
		return nil, err
	}
	answer, size := &pluginpb.Annotations{}, 0
	for i := range list {
		a := &list[i]
		if a.Chat != chat || q.GetKind() != "" && a.Kind != q.GetKind() || !all && a.Plugin != p.name {
			continue
		}
		pb := &pluginpb.Annotation{Chat: string(a.Chat), Message: a.Message[:], Kind: a.Kind, Author: string(a.Author), Value: a.Value}
		if size += sizeIn(pb); size > maxAnswer {
			return nil, tooMuch("these annotations")
		}
		answer.Annotations = append(answer.Annotations, pb)
	}
	return answer, nil
}

func (p *plugin) queryContacts(ctx context.Context, members bool) (*pluginpb.Contacts, error) {
	var list []store.Contact
	err := p.host.cfg.Store.View(ctx, func(tx store.ReadTx) (err error) {
		list, err = tx.Contacts()
		return err
	})
	if err != nil {
		return nil, err
	}
	answer, size := &pluginpb.Contacts{}, 0
	for i := range list {
		c := &list[i]
		if c.State != store.ContactAccepted && !(members && c.State == store.ContactAcquaintance) {
			continue
		}
		name := c.Nickname
		if name == "" {
			name = c.DisplayName
		}
		pb := &pluginpb.Contact{User: string(c.User), Name: name, Online: p.host.cfg.People.Online(c.User), Member: c.State != store.ContactAccepted}
		for _, d := range c.Devices {
			if d.Pinned {
				pb.Keys = append(pb.Keys, d.Key)
			}
		}
		if size += sizeIn(pb); size > maxAnswer {
			return nil, tooMuch("the contacts")
		}
		answer.Contacts = append(answer.Contacts, pb)
	}
	if members {
		self := &pluginpb.Contact{User: string(p.host.cfg.User), Name: p.host.cfg.People.DisplayName(), Online: true, Member: true}
		for _, key := range p.host.cfg.People.Keys() {
			self.Keys = append(self.Keys, key)
		}
		answer.Contacts = append(answer.Contacts, self)
	}
	return answer, nil
}

func (p *plugin) queryChats(ctx context.Context, q *pluginpb.QueryChats) (*pluginpb.Chats, error) {
	answer := &pluginpb.Chats{}
	err := p.host.cfg.Store.View(ctx, func(tx store.ReadTx) error {
		answer.Chats = nil
		list, err := chatsAsked(tx, q.GetChat())
		if err != nil {
			return err
		}
		size := 0
		for i := range list {
			pb := &pluginpb.Chat{Id: string(list[i].ID), Title: list[i].Title, Membership: list[i].Membership}
			for _, user := range list[i].Members {
				pb.Members = append(pb.Members, string(user))
			}
			if q.GetHeads() {
				heads, err := tx.Heads(list[i].ID)
				if err != nil {
					return err
				}
				for _, h := range heads {
					pb.Heads = append(pb.Heads, &pluginpb.Cutoff{User: string(h.Author), Device: h.Device[:], Epoch: h.Epoch, Number: h.Upto})
				}
			}
			if size += sizeIn(pb); size > maxAnswer {
				return tooMuch("the chats")
			}
			answer.Chats = append(answer.Chats, pb)
		}
		return nil
	})
	return answer, err
}

// chatsAsked gives one chat, or all.
func chatsAsked(tx store.ReadTx, chat string) ([]store.Chat, error) {
	if chat == "" {
		return tx.Chats()
	}
	id, err := packet.ParseChatID(chat)
	if err != nil {
		return nil, invalid("query_chats.chat: %.140q is not a chat id", chat)
	}
	c, err := tx.Chat(id)
	return []store.Chat{c}, err
}

func (p *plugin) queryValues(ctx context.Context, q *pluginpb.QueryValues) (*pluginpb.Values, error) {
	if len(q.GetPrefix()) > maxKey {
		return nil, invalid("query_values.prefix: %d bytes, at most %d are allowed", len(q.GetPrefix()), maxKey)
	}
	limit := int(q.GetLimit())
	if limit == 0 || limit > maxValues {
		limit = maxValues
	}
	answer := &pluginpb.Values{}
	err := p.host.cfg.Store.View(ctx, func(tx store.ReadTx) error {
		// Values may be large: they are read in growing numbers, so that too many
		// are noticed before all are in memory.
		for n := min(8, limit); ; n = min(2*n, limit) {
			list, err := tx.Values(privateSpace(p.name), q.GetPrefix(), n)
			if err != nil {
				return err
			}
			answer.Values = make([]*pluginpb.PutValue, len(list))
			for i, v := range list {
				answer.Values[i] = &pluginpb.PutValue{Key: v.Key, Value: v.Bytes}
			}
			if proto.Size(answer) > maxAnswer {
				return tooMuch("these values")
			}
			if len(list) < n || n == limit {
				return nil
			}
		}
	})
	return answer, err
}
