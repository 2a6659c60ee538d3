package host

import (
	"bytes"
	"cmp"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/internal/failure"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/packet/net2019"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

func (a *applier) sendPacket(e *pluginpb.SendPacket) error {
	d := Draft{ID: packet.NewPacketID(), Chat: packet.ChatID(e.GetChat()), Type: packet.Type(e.GetType()), Content: e.GetContent()}
	if len(e.GetId()) > 0 {
		d.ID = packet.PacketID(e.GetId())
	}
	chat, err := a.chat(d.Chat)
	if err != nil {
		return fmt.Errorf("send_packet: %w", err)
	}
	if err := saidIn(d.Chat, d.Type); err != nil {
		return err
	}
	if err := a.answered(&chat); err != nil {
		return err
	}
	if e.GetEphemeral() {
		to := make([]packet.UserID, len(e.GetTo()))
		for i, user := range e.GetTo() {
			to[i] = packet.UserID(user)
		}
		a.news.emits = append(a.news.emits, emit{d, to})
		return nil
	}
	if _, done := a.sent[d.ID]; done {
		return nil // its add_message came first
	}
	delete(a.sends, d.ID)
	p, there, err := a.sentBefore(d)
	if err != nil {
		return err
	}
	if !there {
		if p, err = a.host.cfg.Outbox.Append(a.tx, d); err != nil {
			return fmt.Errorf("send_packet of type %s to %s: %w", d.Type, d.Chat, err)
		}
		// Its sender knows what it means: it is not handed in to be handled, unless
		// the plugin wants it in turn with what others send.
		state := store.EntryHandled
		if e.GetHandle() {
			state = store.EntryNew
			a.news.toHandle(d.Chat)
		}
		if err := a.tx.SetEntryState(p.Header.Key(), state, 0, ""); err != nil {
			return fmt.Errorf("send_packet: %w", err)
		}
		a.news.appendedTo(d.Chat)
	}
	a.sent[d.ID] = p
	a.news.sent = append(a.news.sent, d.ID)
	return nil
}

// saidIn refuses what the protocol of a chat has no word for. It is the one place
// that knows; plugins ask nobody before they send.
func saidIn(chat packet.ChatID, t packet.Type) error {
	if chat.Kind() != packet.Net2019 {
		return nil
	}
	if kind, ok := net2019.KindOf(t); ok && (kind == net2019.Text || kind.HasBytes()) {
		return nil
	}
	return &Refusal{
		fmt.Sprintf("The protocol of 2019 cannot say this (%s): it has texts, pictures and files, and nothing more.", t),
		failure.Because("NET2019_CANNOT_SAY"),
	}
}

// answered refuses what is said in a chat to which this account is invited and has not
// answered. Only the plugin that answers may, and what plugins do by themselves
// with what others say there goes on.
func (a *applier) answered(chat *store.Chat) error {
	if a.origin != nil || a.can(pluginpb.Capability_CAPABILITY_MEMBERS) || !slices.Contains(chat.Invited, a.host.cfg.User) {
		return nil
	}
	return &Refusal{"You are invited to this group and have not joined it: accept the invitation first.", failure.Because("NOT_JOINED", "chat", chat.ID)}
}

// sentBefore finds the packet when it was sent by an earlier call that the
// plugin does not know came through. The same id for another packet is an error.
func (a *applier) sentBefore(d Draft) (packet.Packet, bool, error) {
	e, err := a.tx.EntryByID(d.ID)
	if errors.Is(err, store.ErrNotFound) {
		return packet.Packet{}, false, nil
	}
	if err != nil {
		return packet.Packet{}, false, err
	}
	h := &e.Packet.Header
	hash := packet.HashOf(d.Content)
	if h.Author != a.host.cfg.User || h.Chat != d.Chat || h.Type != d.Type || !bytes.Equal(h.ContentHash[:], hash[:]) {
		return packet.Packet{}, false, fmt.Errorf("send_packet.id: %s is another packet: %w", d.ID, store.ErrExists)
	}
	return e.Packet, true, nil
}

func (a *applier) setMembers(e *pluginpb.SetMembers) error {
	id := packet.ChatID(e.GetChat())
	chat, err := a.tx.Chat(id)
	switch {
	case errors.Is(err, store.ErrNotFound):
		chat = store.Chat{ID: id, CreatedAt: a.host.cfg.Now().UnixMicro()}
	case err != nil:
		return err
	}
	if e.GetVersion() > chat.Membership {
		chat.Title = e.GetTitle()
		if err := a.tx.PutChat(chat); err != nil {
			return fmt.Errorf("set_members: %w", err)
		}
	}
	m := store.Membership{Version: e.GetVersion(), Merged: e.GetMerged()}
	if e.GetHistory() == pluginpb.History_HISTORY_ALL {
		m.History = store.HistoryAll
	}
	for _, user := range e.GetMembers() {
		m.Members = append(m.Members, packet.UserID(user))
	}
	slices.Sort(m.Members)
	for _, user := range e.GetInvited() {
		m.Invited = append(m.Invited, packet.UserID(user))
	}
	for _, c := range e.GetCutoffs() {
		m.Cutoffs = append(m.Cutoffs, store.Cutoff{User: packet.UserID(c.GetUser()), EntryKey: packet.EntryKey{
			Log: packet.Log{Chat: id, Device: packet.DeviceID(c.GetDevice()), Epoch: c.GetEpoch()}, Number: c.GetNumber(),
		}})
	}
	// In whatever order they are named, they say the same.
	slices.SortFunc(m.Cutoffs, func(a, b store.Cutoff) int {
		return cmp.Or(a.Device.Compare(b.Device), cmp.Compare(a.Epoch, b.Epoch))
	})
	if err := a.tx.PutMembership(id, m); err != nil {
		return fmt.Errorf("set_members: %w", err)
	}
	vouched := map[packet.UserID][]ed25519.PublicKey{}
	for _, k := range e.GetVouched() {
		user := packet.UserID(k.GetUser())
		vouched[user] = append(vouched[user], k.GetKey())
	}
	for user, keys := range vouched {
		if err := a.host.cfg.People.Vouch(a.tx, id, user, keys); err != nil {
			return fmt.Errorf("set_members: %w", err)
		}
	}
	a.news.chatChanged(bus.ChatChange{Chat: id})
	return nil
}
