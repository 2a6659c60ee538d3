package host

import (
	"context"
	"slices"
	"time"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/internal/failure"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// news is what a transaction leads to once it is committed.
type news struct {
	messages []messageNews
	chats    []bus.ChatChange
	appended []packet.ChatID
	handle   []packet.ChatID // in which the plugin sent what it handles itself
	events   []bus.PluginEvent
	emits    []emit
	refused  []refusal
	notices  []string
	sent     []packet.PacketID
	blobs    []packet.BlobID
}

type messageChange int

const (
	messageAdded messageChange = iota
	messageChanged
	messageRemoved
)

type messageNews struct {
	change messageChange
	ref    bus.MessageRef
}

type emit struct {
	draft Draft
	to    []packet.UserID
}

type refusal struct {
	key    packet.EntryKey
	reason packet.Reason
	text   string
}

func (n *news) message(change messageChange, chat packet.ChatID, id packet.PacketID) {
	m := messageNews{change, bus.MessageRef{Chat: chat, ID: id}}
	if change == messageChanged && slices.Contains(n.messages, m) {
		return
	}
	n.messages = append(n.messages, m)
	n.chatChanged(bus.ChatChange{Chat: chat, Content: true}) // its last message, its unread counter
}

func (n *news) chatChanged(c bus.ChatChange) {
	if !slices.Contains(n.chats, c) {
		n.chats = append(n.chats, c)
	}
}

func (n *news) appendedTo(chat packet.ChatID) {
	if !slices.Contains(n.appended, chat) {
		n.appended = append(n.appended, chat)
	}
}

func (n *news) toHandle(chat packet.ChatID) {
	if !slices.Contains(n.handle, chat) {
		n.handle = append(n.handle, chat)
	}
}

func (n *news) publish(plugin string, e *pluginpb.PublishEvent) {
	n.events = append(n.events, bus.PluginEvent{
		Plugin: plugin, Name: e.GetName(), Chat: packet.ChatID(e.GetChat()), User: packet.UserID(e.GetUser()), Data: e.GetData(),
	})
}

// tell says everything, in order. Only after the commit.
func (n *news) tell(ctx context.Context, p *plugin) {
	b := p.host.cfg.Bus
	for _, m := range n.messages {
		switch m.change {
		case messageAdded:
			bus.Publish(b, bus.MessageAdded, m.ref)
		case messageChanged:
			bus.Publish(b, bus.MessageChanged, m.ref)
		case messageRemoved:
			bus.Publish(b, bus.MessageRemoved, m.ref)
		}
	}
	for _, c := range n.chats {
		bus.Publish(b, bus.ChatChanged, c)
	}
	for _, chat := range n.appended {
		bus.Publish(b, bus.EntryAppended, chat)
	}
	for _, chat := range n.handle {
		p.desk.mark(chat)
		p.need()
	}
	for _, e := range n.events {
		bus.Publish(b, bus.PluginPublished, e)
	}
	for _, r := range n.refused {
		p.host.cfg.Outbox.Refused(r.key, r.reason, r.text)
	}
	for _, text := range n.notices {
		p.log.Warn("packet set aside", "why", text)
		p.host.notice("error", p.name, text, failure.Because("PACKET_SET_ASIDE", "plugin", p.name, "why", text))
	}
	if len(n.blobs) > 0 {
		p.host.cfg.Blobs.Changed(n.blobs...)
	}
	if len(n.emits) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	for _, e := range n.emits {
		if err := p.host.cfg.Outbox.Emit(ctx, e.draft, e.to); err != nil {
			p.log.Debug("ephemeral packet not sent", "type", e.draft.Type, "error", err)
		}
	}
}
