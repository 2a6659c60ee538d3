package plugintest

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/parley-chat/parley/plugins/sdk"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// outgoing is a sent packet and who gets it.
type outgoing struct {
	packet sdk.Packet
	to     []packet.UserID
}

// applier applies the effects of one call, all or none. The caller holds the
// host's mu.
type applier struct {
	h         *Host
	origin    *sdk.Packet // the packet being handled, or nil
	undo      []func()
	sends     map[packet.PacketID]*pluginpb.SendPacket // with an id, RELIABLE
	sent      map[packet.PacketID]sdk.Packet
	out       []outgoing
	handle    []*item // what was sent and is handled here too
	published []sdk.PublishEvent
	before    map[packet.ChatID][]packet.UserID // members of the chats whose list changed
}

// apply checks and applies effects. With a result they are an Invoke's, which is
// remembered with them.
func (h *Host) apply(effects []*pluginpb.Effect, origin *sdk.Packet, result *Result) ([]packet.PacketID, error) {
	h.sending.Lock()
	defer h.sending.Unlock()
	h.mu.Lock()
	if err := checkEffects(h.manifest, h.cfg.Bundled, effects); err != nil {
		h.mu.Unlock()
		return nil, err
	}
	a := &applier{h: h, origin: origin, sends: map[packet.PacketID]*pluginpb.SendPacket{}, sent: map[packet.PacketID]sdk.Packet{}, before: map[packet.ChatID][]packet.UserID{}}
	if err := a.all(effects); err != nil {
		for _, undo := range slices.Backward(a.undo) {
			undo()
		}
		h.mu.Unlock()
		return nil, err
	}
	a.farewell()
	var ids []packet.PacketID
	for _, o := range a.out {
		h.state.sent = append(h.state.sent, o.packet)
		if !o.packet.Ephemeral {
			ids = append(ids, o.packet.ID)
		}
	}
	h.state.published = append(h.state.published, a.published...)
	early := a.welcome()
	if result != nil {
		result.Sent = ids
		h.state.invocations[result.ID] = *result
	}
	out := a.out
	if !h.online {
		for _, o := range out {
			if !o.packet.Ephemeral {
				h.unsent = append(h.unsent, o)
			}
		}
		out = nil
	}
	h.mu.Unlock()
	h.enqueue(a.handle, false)
	h.enqueue(early, true)
	h.net.carry(h, out)
	return ids, nil
}

// farewell has those whom this call took out of a list get what it sends, too.
func (a *applier) farewell() {
	for i := range a.out {
		o := &a.out[i]
		before, changed := a.before[o.packet.Chat]
		if !changed || o.packet.Ephemeral {
			continue
		}
		o.to = slices.Concat(before, a.h.state.chats[o.packet.Chat].Members)
		slices.Sort(o.to)
		o.to = slices.Compact(o.to)
	}
}

// welcome has those whom this call put into a list get what they may have, and
// gives what came before their chat was there.
func (a *applier) welcome() (early []*item) {
	s := a.h.state
	for chat, before := range a.before {
		c := s.chats[chat]
		var joined []packet.UserID
		for _, user := range c.Members {
			if !slices.Contains(before, user) {
				joined = append(joined, user)
			}
		}
		if len(joined) > 0 {
			all := s.lists[chat][c.Membership].GetHistory() == pluginpb.History_HISTORY_ALL
			for _, p := range s.logs[chat] {
				if all || opensChat(a.h.manifest, p.Type) {
					a.out = append(a.out, outgoing{p, joined})
				}
			}
		}
		a.h.early = slices.DeleteFunc(a.h.early, func(i *item) bool {
			if i.packet.Chat == chat {
				early = append(early, i)
			}
			return i.packet.Chat == chat
		})
	}
	return early
}

func (a *applier) all(effects []*pluginpb.Effect) error {
	for _, e := range effects {
		if s := e.GetSendPacket(); s != nil && !s.GetEphemeral() && len(s.GetId()) > 0 {
			a.sends[packet.PacketID(s.GetId())] = s
		}
	}
	for i, e := range effects {
		if err := a.one(e); err != nil {
			return fmt.Errorf("effects[%d]: %w", i, err)
		}
	}
	return nil
}

func (a *applier) one(e *pluginpb.Effect) error {
	s := a.h.state
	switch e := e.GetEffect().(type) {
	case *pluginpb.Effect_AddMessage:
		return a.addMessage(e.AddMessage)
	case *pluginpb.Effect_ChangeMessage:
		return a.changeMessage(e.ChangeMessage)
	case *pluginpb.Effect_SetCard:
		return a.setCard(e.SetCard)
	case *pluginpb.Effect_DeleteMessage:
		return a.deleteMessage(e.DeleteMessage)
	case *pluginpb.Effect_DropContent:
		before := a.h.state.dropped
		a.undo = append(a.undo, func() { a.h.state.dropped = before })
		a.h.state.dropped = append(slices.Clone(before), packet.PacketID(e.DropContent.GetId()))
		return nil
	case *pluginpb.Effect_Annotate:
		return a.annotate(e.Annotate)
	case *pluginpb.Effect_RemoveAnnotation:
		return a.removeAnnotation(e.RemoveAnnotation)
	case *pluginpb.Effect_SendPacket:
		return a.sendPacket(e.SendPacket)
	case *pluginpb.Effect_SetMembers:
		return a.setMembers(e.SetMembers)
	case *pluginpb.Effect_ShareBlob:
		return a.shareBlob(e.ShareBlob)
	case *pluginpb.Effect_FetchBlob:
		return a.fetchBlob(e.FetchBlob)
	case *pluginpb.Effect_SteerBlob:
		return a.steerBlob(e.SteerBlob)
	case *pluginpb.Effect_PutValue:
		if len(e.PutValue.GetValue()) == 0 {
			remove(&a.undo, s.values, e.PutValue.GetKey())
		} else {
			put(&a.undo, s.values, e.PutValue.GetKey(), e.PutValue.GetValue())
		}
	case *pluginpb.Effect_PublishEvent:
		p := e.PublishEvent
		a.published = append(a.published, sdk.PublishEvent{
			Name: p.GetName(), Chat: packet.ChatID(p.GetChat()), User: packet.UserID(p.GetUser()), Data: p.GetData(),
		})
	}
	return nil
}

func (a *applier) chatThere(chat string) error {
	if _, ok := a.h.state.chats[packet.ChatID(chat)]; !ok {
		return fmt.Errorf("chat %s: not found", chat)
	}
	return nil
}

func (a *applier) addMessage(e *pluginpb.AddMessage) error {
	id := packet.PacketID(e.GetId())
	m := &Message{Plugin: a.h.manifest.GetName(), Card: e.GetCard(), Local: e.GetLocal(), Message: sdk.Message{
		ID: id, Chat: packet.ChatID(e.GetChat()), Kind: e.GetKind(), Body: e.GetBody(), Data: e.GetData(),
	}}
	copy(m.ReplyTo[:], e.GetReplyTo())
	if err := a.chatThere(e.GetChat()); err != nil {
		return err
	}
	of, err := a.packetOf(id)
	if e.GetHandled() != nil {
		if of = a.handled(id, e); of == nil {
			return nil
		}
	}
	switch {
	case err != nil:
		return err
	case of != nil && of.Chat != m.Chat:
		return fmt.Errorf("add_message.chat is %s, but its packet is in %s", m.Chat, of.Chat)
	case of != nil:
		m.Author, m.SentAt = of.Author, of.SentAt
	case !e.GetLocal():
		return errors.New("add_message.id is neither the packet being handled nor one sent by this call, and local is not set")
	default:
		m.Author, m.SentAt = a.h.cfg.User, time.Now()
	}
	m.Own = m.Author == a.h.cfg.User
	if _, there := a.h.state.messages[id]; !there {
		put(&a.undo, a.h.state.places, id, len(a.h.state.places))
		put(&a.undo, a.h.state.messages, id, m)
	}
	return nil
}

// handled gives a packet that came before; nil when it is not there.
func (a *applier) handled(id packet.PacketID, e *pluginpb.AddMessage) *sdk.Packet {
	for _, p := range a.h.state.logs[packet.ChatID(e.GetChat())] {
		if p.ID == id && string(p.Author) == e.GetHandled().GetAuthor() && packet.HashOf(p.Content) == packet.Hash(e.GetHandled().GetContentHash()) {
			return &p
		}
	}
	return nil
}

// packetOf gives the packet a message may be of, sending it first if it is one
// of this call; nil when there is none.
func (a *applier) packetOf(id packet.PacketID) (*sdk.Packet, error) {
	if a.origin != nil && a.origin.ID == id {
		if a.origin.Ephemeral {
			return nil, errors.New("add_message: an ephemeral packet has no place in the chat: use a new id and set local")
		}
		return a.origin, nil
	}
	if send := a.sends[id]; send != nil {
		if err := a.sendPacket(send); err != nil {
			return nil, err
		}
	}
	if p, ok := a.sent[id]; ok {
		return &p, nil
	}
	return nil, nil
}

// ownMessage gives a message the plugin made that is not deleted; nil when there
// is nothing to do.
func (a *applier) ownMessage(what string, b []byte, anyone bool) (*Message, error) {
	m, ok := a.h.state.messages[packet.PacketID(b)]
	switch {
	case !ok:
		return nil, nil
	case m.Plugin != a.h.manifest.GetName():
		return nil, fmt.Errorf("%s.id: message %s was made by the plugin %s", what, m.ID, m.Plugin)
	case a.origin != nil && !anyone && m.Author != a.origin.Author:
		return nil, fmt.Errorf("%s.id: message %s is by %s, the packet by %s", what, m.ID, m.Author, a.origin.Author)
	case a.origin != nil && m.Chat != a.origin.Chat:
		return nil, fmt.Errorf("%s.id: message %s is in the chat %s, the packet in %s", what, m.ID, m.Chat, a.origin.Chat)
	case m.Deleted:
		return nil, nil
	}
	c := *m
	return &c, nil
}

func (a *applier) changeMessage(e *pluginpb.ChangeMessage) error {
	m, err := a.ownMessage("change_message", e.GetId(), false)
	switch of := e.GetHandled(); {
	case of != nil && a.origin != nil:
		return errors.New("change_message.handled: a packet is being handled, whose author alone has his messages changed")
	case err != nil || m == nil || of != nil && string(m.Author) != of.GetAuthor():
		return err
	}
	m.Body, m.Data, m.Card, m.Edited = e.GetBody(), e.GetData(), e.GetCard(), e.GetEdited()
	put(&a.undo, a.h.state.messages, m.ID, m)
	return nil
}

func (a *applier) setCard(e *pluginpb.SetCard) error {
	m, err := a.ownMessage("set_card", e.GetId(), true)
	if err != nil || m == nil {
		return err
	}
	m.Card = e.GetCard()
	put(&a.undo, a.h.state.messages, m.ID, m)
	return nil
}

func (a *applier) deleteMessage(e *pluginpb.DeleteMessage) error {
	m, err := a.ownMessage("delete_message", e.GetId(), e.GetLocal())
	if err != nil || m == nil {
		return err
	}
	m.Body, m.Data, m.Card, m.Edited, m.Deleted = "", nil, nil, false, true
	put(&a.undo, a.h.state.messages, m.ID, m)
	for key := range a.h.state.annotations {
		if key.message == m.ID {
			remove(&a.undo, a.h.state.annotations, key)
		}
	}
	return nil
}

// annotated checks that this call may annotate a message; gone says that it is
// deleted, or in another chat than the packet being handled.
func (a *applier) annotated(what, chat string, b []byte, kind string) (key annotationKey, gone bool, err error) {
	key = annotationKey{message: packet.PacketID(b), kind: kind, author: a.h.cfg.User}
	if a.origin != nil {
		key.author = a.origin.Author
		if string(a.origin.Chat) != chat {
			return key, false, fmt.Errorf("%s.chat is %s, the packet is in %s", what, chat, a.origin.Chat)
		}
	}
	if err := a.chatThere(chat); err != nil {
		return key, false, err
	}
	m, ok := a.h.state.messages[key.message]
	elsewhere := ok && string(m.Chat) != chat
	if elsewhere && a.origin == nil {
		return key, false, fmt.Errorf("%s.chat is %s, the message is in %s", what, chat, m.Chat)
	}
	if old := a.h.state.annotations[key]; old != nil && old.plugin != a.h.manifest.GetName() {
		return key, false, fmt.Errorf("%s.kind: %q belongs to the plugin %s", what, kind, old.plugin)
	}
	return key, elsewhere || ok && m.Deleted, nil
}

func (a *applier) annotate(e *pluginpb.Annotate) error {
	key, gone, err := a.annotated("annotate", e.GetChat(), e.GetMessage(), e.GetKind())
	if err != nil || gone {
		return err
	}
	put(&a.undo, a.h.state.annotations, key, &annotation{plugin: a.h.manifest.GetName(), search: e.GetSearchText(), Annotation: sdk.Annotation{
		Chat: packet.ChatID(e.GetChat()), Message: key.message, Kind: key.kind, Author: key.author, Value: e.GetValue(),
	}})
	return nil
}

func (a *applier) removeAnnotation(e *pluginpb.RemoveAnnotation) error {
	key, gone, err := a.annotated("remove_annotation", e.GetChat(), e.GetMessage(), e.GetKind())
	if err == nil && !gone {
		remove(&a.undo, a.h.state.annotations, key)
	}
	return err
}

func (a *applier) sendPacket(e *pluginpb.SendPacket) error {
	if err := a.chatThere(e.GetChat()); err != nil {
		return fmt.Errorf("send_packet: %w", err)
	}
	p := sdk.Packet{
		ID: packet.NewPacketID(), Chat: packet.ChatID(e.GetChat()), Type: packet.Type(e.GetType()), Author: a.h.cfg.User,
		SentAt: time.Now(), Ephemeral: e.GetEphemeral(), Content: e.GetContent(), Own: true,
	}
	if len(e.GetId()) > 0 {
		p.ID = packet.PacketID(e.GetId())
	}
	to := a.h.state.chats[p.Chat].Members
	if len(e.GetTo()) > 0 {
		to = nil
		for _, user := range e.GetTo() {
			to = append(to, packet.UserID(user))
		}
	}
	if !p.Ephemeral {
		if _, done := a.sent[p.ID]; done {
			return nil // its add_message came first
		}
		delete(a.sends, p.ID)
		if old, there := a.h.state.entries[p.ID]; there {
			if old.Chat != p.Chat || old.Type != p.Type || !bytes.Equal(old.Content, p.Content) {
				return fmt.Errorf("send_packet.id: %s is another packet", p.ID)
			}
			a.sent[p.ID] = old
			return nil
		}
		log := a.h.state.logs[p.Chat]
		p.Device, p.Epoch, p.Number = a.h.device, 1, 1
		for i := range log {
			if log[i].Device == p.Device {
				p.Number = max(p.Number, log[i].Number+1)
			}
		}
		put(&a.undo, a.h.state.entries, p.ID, p)
		put(&a.undo, a.h.state.logs, p.Chat, append(slices.Clip(log), p))
		a.sent[p.ID] = p
		if e.GetHandle() {
			a.handle = append(a.handle, &item{packet: &p, carried: true})
		}
	}
	a.out = append(a.out, outgoing{p, to})
	return nil
}

func (a *applier) setMembers(e *pluginpb.SetMembers) error {
	id := packet.ChatID(e.GetChat())
	list := proto.CloneOf(e)
	slices.Sort(list.GetMembers())
	slices.SortFunc(list.GetCutoffs(), func(a, b *pluginpb.Cutoff) int {
		return cmp.Or(bytes.Compare(a.GetDevice(), b.GetDevice()), cmp.Compare(a.GetEpoch(), b.GetEpoch()))
	})
	if list.GetHistory() == pluginpb.History_HISTORY_UNSPECIFIED {
		list.History = pluginpb.History_HISTORY_FROM_JOIN
	}
	if old := a.h.state.lists[id][e.GetVersion()]; old != nil {
		same := proto.CloneOf(list)
		same.Title, same.Vouched, same.Invited = old.GetTitle(), old.GetVouched(), old.GetInvited()
		if !proto.Equal(old, same) {
			return fmt.Errorf("set_members: version %d of %s is there already and says something else", e.GetVersion(), id)
		}
		return nil
	}
	if a.h.state.lists[id] == nil {
		put(&a.undo, a.h.state.lists, id, map[uint64]*pluginpb.SetMembers{})
	}
	put(&a.undo, a.h.state.lists[id], e.GetVersion(), list)
	chat := a.h.state.chats[id]
	if e.GetVersion() < chat.Membership {
		return nil
	}
	if _, changed := a.before[id]; !changed {
		a.before[id] = chat.Members
	}
	next := sdk.Chat{ID: id, Title: e.GetTitle(), Membership: e.GetVersion(), Members: fromStrings(list.GetMembers())}
	put(&a.undo, a.h.state.chats, id, next)
	return nil
}

func fromStrings(users []string) []packet.UserID {
	var out []packet.UserID
	for _, user := range users {
		out = append(out, packet.UserID(user))
	}
	return out
}
