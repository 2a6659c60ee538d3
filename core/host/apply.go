package host

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// applier applies the effects of one call inside a transaction. An error of its
// methods that is not the store's is the plugin's fault and names the field; the
// caller then undoes the whole transaction.
type applier struct {
	host *Host
	powers
	tx     store.Tx
	origin *packet.Packet // the packet being handled; nil when none is
	news   *news

	sends map[packet.PacketID]*pluginpb.SendPacket // RELIABLE ones with an id, not sent yet
	sent  map[packet.PacketID]packet.Packet
}

// apply applies effects that checkEffects has passed.
func (a *applier) apply(where string, effects []*pluginpb.Effect) error {
	a.sends, a.sent = map[packet.PacketID]*pluginpb.SendPacket{}, map[packet.PacketID]packet.Packet{}
	for _, e := range effects {
		if send := e.GetSendPacket(); send != nil && !send.GetEphemeral() && len(send.GetId()) > 0 {
			a.sends[packet.PacketID(send.GetId())] = send
		}
	}
	for i, e := range effects {
		if err := a.one(e); err != nil {
			if storeFailed(err) {
				return err
			}
			return &answerError{plugin: a.plugin, field: fmt.Sprintf("%s.effects[%d]", where, i), err: err}
		}
	}
	return nil
}

func (a *applier) one(e *pluginpb.Effect) error {
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
		return a.dropContent(packet.PacketID(e.DropContent.GetId()))
	case *pluginpb.Effect_Annotate:
		return a.annotate(e.Annotate)
	case *pluginpb.Effect_RemoveAnnotation:
		return a.removeAnnotation(e.RemoveAnnotation)
	case *pluginpb.Effect_SendPacket:
		return a.sendPacket(e.SendPacket)
	case *pluginpb.Effect_SetMembers:
		return a.setMembers(e.SetMembers)
	case *pluginpb.Effect_PutValue:
		value := e.PutValue.GetValue()
		if len(value) == 0 {
			value = nil
		}
		return a.tx.PutValue(privateSpace(a.plugin), e.PutValue.GetKey(), value)
	case *pluginpb.Effect_PublishEvent:
		a.news.publish(a.plugin, e.PublishEvent)
		return nil
	case *pluginpb.Effect_ShareBlob:
		return a.shareBlob(e.ShareBlob)
	case *pluginpb.Effect_FetchBlob:
		return a.fetchBlob(e.FetchBlob)
	case *pluginpb.Effect_SteerBlob:
		return a.steerBlob(e.SteerBlob)
	}
	return errors.New("unknown effect")
}

// privateSpace is the store's namespace of a plugin's private values.
func privateSpace(plugin string) string { return "plugin:" + plugin }

// chat gives a chat, which must be there.
func (a *applier) chat(id packet.ChatID) (store.Chat, error) {
	chat, err := a.tx.Chat(id)
	if errors.Is(err, store.ErrNotFound) {
		err = fmt.Errorf("chat %s: %w", id, err)
	}
	return chat, err
}

func (a *applier) addMessage(e *pluginpb.AddMessage) error {
	id, chat := packet.PacketID(e.GetId()), packet.ChatID(e.GetChat())
	m := store.Message{
		ID: id, Chat: chat, Plugin: a.plugin, Kind: e.GetKind(), Body: e.GetBody(), Data: e.GetData(),
		Notifies: a.kind(e.GetKind()).GetNotifies(),
	}
	if len(e.GetReplyTo()) > 0 {
		m.ReplyTo = packet.PacketID(e.GetReplyTo())
	}
	card, err := encodeCard(e.GetCard())
	if err != nil {
		return err
	}
	m.Card = card
	if _, err := a.chat(chat); err != nil {
		return err
	}
	of, err := a.packetOf(id, chat)
	if e.GetHandled() != nil {
		if of, err = a.handled(id, chat, e.GetHandled()); of == nil {
			return err
		}
	}
	switch {
	case err != nil:
		return err
	case of != nil:
		h := &of.Header
		m.Author, m.SentAt, m.Order, m.Entry = h.Author, h.SentAt, h.Order(), h.Key()
		if m.ID, err = store.MessageID(a.tx, h); err != nil {
			return fmt.Errorf("add_message: %w", err)
		}
	case !e.GetLocal():
		return errors.New("add_message.id is neither the packet being handled nor one sent by this call, and local is not set")
	default:
		if err := a.placeLocal(&m); err != nil {
			return err
		}
	}
	m.Own = m.Author == a.host.cfg.User
	added, err := a.tx.AddMessage(m)
	if err != nil {
		return fmt.Errorf("add_message: %w", err)
	}
	if added {
		a.news.message(messageAdded, chat, m.ID)
	}
	return nil
}

// packetOf gives the RELIABLE packet a message may be of: the one being handled
// or one that this call sends, which is then sent now. nil when there is none.
func (a *applier) packetOf(id packet.PacketID, chat packet.ChatID) (*packet.Packet, error) {
	var of *packet.Packet
	switch send := a.sends[id]; {
	case a.origin != nil && a.origin.Header.ID == id:
		if a.origin.Header.Delivery != packet.Reliable {
			return nil, errors.New("add_message: an ephemeral packet has no place in the chat: use a new id and set local")
		}
		of = a.origin
	case send != nil:
		if err := a.sendPacket(send); err != nil {
			return nil, err
		}
		fallthrough
	default:
		p, ok := a.sent[id]
		if !ok {
			return nil, nil
		}
		of = &p
	}
	if of.Header.Chat != chat {
		return nil, fmt.Errorf("add_message.chat is %s, but its packet is in %s", chat, of.Header.Chat)
	}
	return of, nil
}

// handled gives a packet that the plugin handled before; nil when it is not there,
// or does not count.
func (a *applier) handled(id packet.PacketID, chat packet.ChatID, which *pluginpb.HandledPacket) (*packet.Packet, error) {
	entries, err := a.named(id, which)
	if err != nil {
		return nil, fmt.Errorf("add_message.handled: %w", err)
	}
	for i := range entries {
		h := &entries[i].Packet.Header
		if h.Chat != chat {
			continue
		}
		if !a.owns(h.Type) {
			return nil, fmt.Errorf("add_message.handled: packet %s is of the type %s, which is not this plugin's", id, h.Type)
		}
		if s := entries[i].State; s != store.EntryWaiting && s != store.EntryStub {
			return &entries[i].Packet, nil
		}
	}
	return nil, nil
}

// named gives the entries of the packets with an id that which names: more than one if its
// author sent the same in several chats.
func (a *applier) named(id packet.PacketID, which *pluginpb.HandledPacket) ([]store.Entry, error) {
	entries, err := a.tx.EntriesByID(id, store.MaxSameID)
	return slices.DeleteFunc(entries, func(e store.Entry) bool {
		h := &e.Packet.Header
		return string(h.Author) != which.GetAuthor() || h.ContentHash != packet.Hash(which.GetContentHash())
	}), err
}

// placeLocal puts a message of no packet behind all that is in the chat now.
func (a *applier) placeLocal(m *store.Message) error {
	if _, err := a.tx.EntryByID(m.ID); err == nil {
		return errors.New("add_message.id is that of a packet; a local message needs a new UUIDv7")
	} else if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	depth, err := a.tx.Depth(m.Chat)
	if err != nil {
		return err
	}
	m.Author, m.SentAt = a.host.cfg.User, a.host.cfg.Now().UnixMicro()
	h := packet.Header{Depth: depth, SentAt: m.SentAt}
	m.Order = h.Order()
	// No device has only zero bytes; what would be epoch and number keeps two
	// local messages of one moment apart.
	copy(m.Order[len(m.Order)-len(m.ID):], m.ID[:])
	return nil
}

func encodeCard(card *pluginpb.Card) ([]byte, error) {
	if card == nil {
		return nil, nil
	}
	// The same card gives the same bytes, so that it is seen to be the same.
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(card)
	if err != nil {
		return nil, fmt.Errorf("card: %w", err)
	}
	return b, nil
}

// ownMessage gives a message this plugin made, if it is there and not deleted;
// ok is false when there is nothing to do. anyone lifts the rule that a packet
// changes only messages of its author.
func (a *applier) ownMessage(what string, b []byte, anyone bool) (m store.Message, ok bool, err error) {
	if m, err = a.tx.Message(packet.PacketID(b)); a.origin != nil && !anyone {
		m, err = store.MessageOf(a.tx, a.origin.Header.Author, packet.PacketID(b))
	}
	switch {
	case errors.Is(err, store.ErrNotFound):
		return m, false, nil
	case err != nil:
		return m, false, err
	case m.Plugin != a.plugin:
		return m, false, fmt.Errorf("%s.id: message %s was made by the plugin %s", what, m.ID, m.Plugin)
	case a.origin != nil && !anyone && m.Author != a.origin.Header.Author:
		return m, false, fmt.Errorf("%s.id: message %s is by %s, the packet by %s", what, m.ID, m.Author, a.origin.Header.Author)
	case a.origin != nil && m.Chat != a.origin.Header.Chat:
		return m, false, fmt.Errorf("%s.id: message %s is in the chat %s, the packet in %s", what, m.ID, m.Chat, a.origin.Header.Chat)
	}
	return m, !m.Deleted, nil
}

func (a *applier) changeMessage(e *pluginpb.ChangeMessage) error {
	id := e.GetId()
	if e.GetHandled() != nil {
		if a.origin != nil {
			return errors.New("change_message.handled: a packet is being handled, whose author alone has his messages changed")
		}
		of, err := a.messageOf(packet.PacketID(id), e.GetHandled())
		if err != nil || of == (packet.PacketID{}) {
			return err
		}
		id = of[:]
	}
	m, ok, err := a.ownMessage("change_message", id, false)
	if err != nil || !ok {
		return err
	}
	card, err := encodeCard(e.GetCard())
	if err != nil || m.Body == e.GetBody() && bytes.Equal(m.Data, e.GetData()) && m.Edited == e.GetEdited() && bytes.Equal(m.Card, card) {
		return err
	}
	m.Body, m.Data, m.Edited, m.Card = e.GetBody(), e.GetData(), e.GetEdited(), card
	if err := a.tx.ChangeMessage(m); err != nil {
		return fmt.Errorf("change_message: %w", err)
	}
	a.news.message(messageChanged, m.Chat, m.ID)
	return nil
}

// messageOf gives the id of the message of a packet that the plugin handled before; zero when
// there is none.
func (a *applier) messageOf(id packet.PacketID, which *pluginpb.HandledPacket) (packet.PacketID, error) {
	entries, err := a.named(id, which)
	if err != nil {
		return packet.PacketID{}, fmt.Errorf("change_message.handled: %w", err)
	}
	for i := range entries {
		if h := &entries[i].Packet.Header; a.owns(h.Type) {
			return store.MessageID(a.tx, h)
		}
	}
	return packet.PacketID{}, nil
}

func (a *applier) setCard(e *pluginpb.SetCard) error {
	m, ok, err := a.ownMessage("set_card", e.GetId(), true)
	if err != nil || !ok {
		return err
	}
	card, err := encodeCard(e.GetCard())
	if err != nil || bytes.Equal(card, m.Card) {
		return err
	}
	m.Card = card
	if err := a.tx.ChangeMessage(m); err != nil {
		return fmt.Errorf("set_card: %w", err)
	}
	a.news.message(messageChanged, m.Chat, m.ID)
	return nil
}

func (a *applier) deleteMessage(e *pluginpb.DeleteMessage) error {
	m, ok, err := a.ownMessage("delete_message", e.GetId(), e.GetLocal())
	if err != nil || !ok {
		return err
	}
	if err := a.tx.DeleteMessage(m.ID); err != nil {
		return fmt.Errorf("delete_message: %w", err)
	}
	a.news.message(messageRemoved, m.Chat, m.ID)
	if m.Entry.Number == 0 {
		return nil
	}
	if e.GetLocal() {
		err = a.dropHere(m.Entry, m.Author)
	} else {
		err = a.tx.DropContent(m.Entry)
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("delete_message: %w", err)
	}
	return nil
}

// dropHere deletes the content of a packet for this account alone. What a member
// of a group gives without content, though he could have had it, others take for deleted
// by its author: so it is not given to them at all. What this account wrote stays as
// long as somebody may be yet to get it; in a group nobody knows how long that is.
func (a *applier) dropHere(key packet.EntryKey, author packet.UserID) error {
	direct := key.Chat.Kind() == packet.Direct
	switch {
	case author == a.host.cfg.User && !direct:
		return nil
	case author == a.host.cfg.User:
		heads, err := a.tx.PeerHeads(key.Log)
		if err != nil || !slices.ContainsFunc(heads, func(h store.PeerHead) bool { return h.Upto >= key.Number }) {
			return err
		}
	case !direct && (a.origin == nil || a.origin.Header.Key() != key):
		return a.tx.SetEntryState(key, store.EntryStub, 0, "")
	}
	return a.tx.DropContent(key)
}

// dropContent deletes the content of a packet of the plugin's.
func (a *applier) dropContent(id packet.PacketID) error {
	entry, err := a.entryOf(id)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("drop_content: %w", err)
	}
	h := &entry.Packet.Header
	handling := a.origin != nil && a.origin.Header.ID == id
	switch {
	case !a.owns(h.Type):
		return fmt.Errorf("drop_content.id: packet %s is of the type %s, which is not this plugin's", id, h.Type)
	case a.origin != nil && (h.Author != a.origin.Header.Author || h.Chat != a.origin.Header.Chat):
		return fmt.Errorf("drop_content.id: packet %s is by %s in the chat %s, the one being handled by %s in %s",
			id, h.Author, h.Chat, a.origin.Header.Author, a.origin.Header.Chat)
	case entry.State != store.EntryHandled && !handling:
		return nil
	}
	if a.origin == nil && h.Author != a.host.cfg.User {
		err = a.dropHere(h.Key(), h.Author)
	} else {
		err = a.tx.DropContent(h.Key())
	}
	if err != nil {
		return fmt.Errorf("drop_content: %w", err)
	}
	return nil
}

// entryOf finds the entry of a packet: of several with that id, which somebody may have
// copied, that of whose packet is being handled. ErrNotFound.
func (a *applier) entryOf(id packet.PacketID) (store.Entry, error) {
	first, err := a.tx.EntryByID(id)
	if err != nil || a.origin == nil || first.Packet.Header.Author == a.origin.Header.Author {
		return first, err
	}
	entries, err := a.tx.EntriesByID(id, store.MaxSameID)
	if err != nil {
		return store.Entry{}, err
	}
	for i := range entries {
		if h := &entries[i].Packet.Header; h.Author == a.origin.Header.Author && h.Chat == a.origin.Header.Chat {
			return entries[i], nil
		}
	}
	return first, nil
}

// annotated checks that this call may annotate a message; gone says that it
// cannot be: deleted, or, which is the sender's doing, in another chat than the
// packet being handled.
func (a *applier) annotated(what string, chat packet.ChatID, id packet.PacketID) (gone bool, err error) {
	if a.origin != nil && a.origin.Header.Chat != chat {
		return false, fmt.Errorf("%s.chat is %s, the packet is in %s", what, chat, a.origin.Header.Chat)
	}
	if _, err := a.chat(chat); err != nil {
		return false, err
	}
	m, err := a.tx.Message(id)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return false, nil
	case err != nil:
		return false, err
	case m.Chat != chat && a.origin != nil:
		return true, nil
	case m.Chat != chat:
		return false, fmt.Errorf("%s.chat is %s, the message is in %s", what, chat, m.Chat)
	}
	return m.Deleted, nil
}

// author is whose annotations this call makes.
func (a *applier) author() packet.UserID {
	if a.origin != nil {
		return a.origin.Header.Author
	}
	return a.host.cfg.User
}

// ownAnnotation checks that an annotation is not another plugin's.
func (a *applier) ownAnnotation(what string, id packet.PacketID, kind string) (there bool, err error) {
	list, err := a.tx.Annotations([]packet.PacketID{id})
	if err != nil {
		return false, err
	}
	i := slices.IndexFunc(list, func(x store.Annotation) bool { return x.Kind == kind && x.Author == a.author() })
	if i < 0 {
		return false, nil
	}
	if list[i].Plugin != a.plugin {
		return true, fmt.Errorf("%s.kind: %q belongs to the plugin %s", what, kind, list[i].Plugin)
	}
	return true, nil
}

func (a *applier) annotate(e *pluginpb.Annotate) error {
	chat, id := packet.ChatID(e.GetChat()), packet.PacketID(e.GetMessage())
	gone, err := a.annotated("annotate", chat, id)
	if err != nil || gone {
		return err
	}
	if _, err := a.ownAnnotation("annotate", id, e.GetKind()); err != nil {
		return err
	}
	err = a.tx.PutAnnotation(store.Annotation{
		Chat: chat, Message: id, Kind: e.GetKind(), Author: a.author(), Plugin: a.plugin, Value: e.GetValue(), Search: e.GetSearchText(),
	})
	if err != nil {
		return fmt.Errorf("annotate: %w", err)
	}
	a.news.message(messageChanged, chat, id)
	return nil
}

func (a *applier) removeAnnotation(e *pluginpb.RemoveAnnotation) error {
	chat, id := packet.ChatID(e.GetChat()), packet.PacketID(e.GetMessage())
	gone, err := a.annotated("remove_annotation", chat, id)
	if err != nil || gone {
		return err
	}
	there, err := a.ownAnnotation("remove_annotation", id, e.GetKind())
	if err != nil || !there {
		return err
	}
	if err := a.tx.DeleteAnnotation(id, e.GetKind(), a.author()); err != nil {
		return fmt.Errorf("remove_annotation: %w", err)
	}
	a.news.message(messageChanged, chat, id)
	return nil
}
