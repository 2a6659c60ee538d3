package host

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// The topics of plugin.proto.
const (
	topicPresence = "presence"
	topicLink     = "link"
	topicMessage  = "message"
	topicSettings = "settings"
)

// queueLength bounds what waits between the bus and a plugin's desk. It is
// emptied at once; what overflows it is found in the store.
const queueLength = 1024

// occurrence is something on the bus that concerns a plugin.
type occurrence struct {
	stored  *bus.Stored
	event   *pluginpb.Event
	message *bus.MessageRef
}

// subscription is what a plugin listens for.
type subscription struct {
	plugin string
	queue  *bus.Queue[occurrence]
	types  []packet.Type
	topics []string
	bytes  atomic.Int64 // of EPHEMERAL packets in the queue
}

// subscribe has the plugin hear of what it owns and wants; the caller holds
// Host.mu.
func (p *plugin) subscribe(svc *service) {
	types := p.types()
	p.mu.Lock()
	var topics []string
	if types != nil || p.allowed() && p.conflict == "" && p.checked {
		topics = p.manifest.GetTopics()
	}
	old := p.subscription
	if old != nil && slices.Equal(old.types, types) && slices.Equal(old.topics, topics) {
		p.mu.Unlock()
		return
	}
	p.subscription = nil
	var sub *subscription
	if len(types)+len(topics) > 0 {
		sub = &subscription{plugin: p.name, queue: bus.NewQueue[occurrence](queueLength), types: types, topics: topics}
		p.subscription = sub
	}
	p.mu.Unlock()
	if old != nil {
		old.queue.Close()
	}
	if sub == nil {
		return
	}
	sub.feed(p.host.cfg.Bus)
	svc.wg.Go(func() { p.listen(svc.ctx, sub) })
}

func (p *plugin) unsubscribe() {
	p.mu.Lock()
	sub := p.subscription
	p.subscription = nil
	p.mu.Unlock()
	if sub != nil {
		sub.queue.Close()
	}
}

func (s *subscription) feed(b *bus.Bus) {
	for _, t := range s.types {
		bus.Feed(b, bus.PacketStored(t), s.queue, func(v bus.Stored) (occurrence, bool) {
			if v.Ephemeral != nil {
				size := int64(len(v.Ephemeral.Content))
				if s.bytes.Add(size) > maxLiveBytes {
					s.bytes.Add(-size)
					return occurrence{}, false
				}
			}
			return occurrence{stored: &v}, true
		})
	}
	bus.Feed(b, bus.BlobChanged, s.queue, func(v bus.BlobRef) (occurrence, bool) {
		return occurrence{stored: &bus.Stored{Chat: v.Chat}}, v.Settled && v.Plugin == s.plugin
	})
	if slices.Contains(s.topics, topicPresence) {
		bus.Feed(b, bus.PresenceChanged, s.queue, func(v bus.Presence) (occurrence, bool) {
			return occurrence{event: &pluginpb.Event{Topic: topicPresence, Event: &pluginpb.Event_Presence{
				Presence: &pluginpb.Presence{User: string(v.User), Online: v.Online},
			}}}, true
		})
	}
	if slices.Contains(s.topics, topicLink) {
		link := func(up bool) func(bus.Link) (occurrence, bool) {
			return func(v bus.Link) (occurrence, bool) {
				return occurrence{event: &pluginpb.Event{Topic: topicLink, Event: &pluginpb.Event_Link{
					Link: &pluginpb.Link{User: string(v.User), Up: up},
				}}}, true
			}
		}
		bus.Feed(b, bus.LinkUp, s.queue, link(true))
		bus.Feed(b, bus.LinkDown, s.queue, link(false))
	}
	if slices.Contains(s.topics, topicMessage) {
		bus.Feed(b, bus.MessageAdded, s.queue, func(v bus.MessageRef) (occurrence, bool) {
			return occurrence{message: &v}, true
		})
	}
}

// listen puts on the plugin's desk what the bus says, until the subscription
// ends.
func (p *plugin) listen(ctx context.Context, sub *subscription) {
	p.catchUp(ctx, sub)
	for {
		o, err := sub.queue.Next(ctx)
		switch {
		case errors.Is(err, bus.ErrLagged):
			p.catchUp(ctx, sub)
		case err != nil:
			return
		case o.stored != nil:
			p.hear(*o.stored, sub)
		case o.message != nil:
			p.hearMessage(ctx, *o.message)
		case o.event != nil:
			p.hearEvent("", o.event, false)
		}
	}
}

// catchUp finds out from the store what there is to handle.
func (p *plugin) catchUp(ctx context.Context, sub *subscription) {
	if len(sub.types) == 0 {
		return
	}
	for {
		var chats []packet.ChatID
		err := p.host.cfg.Store.View(ctx, func(tx store.ReadTx) (err error) {
			if chats, err = tx.UnhandledChats(sub.types); err != nil {
				return err
			}
			ended, err := tx.UntoldBlobs(p.name, queueLength)
			for i := range ended {
				chats = append(chats, ended[i].Chat)
			}
			return err
		})
		if err == nil {
			for _, chat := range chats {
				p.desk.mark(chat)
			}
			if len(chats) > 0 {
				p.need()
			}
			return
		}
		if ctx.Err() != nil {
			return
		}
		p.log.Error("looking for unhandled packets failed", "error", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(p.host.cfg.timing.storeRetry):
		}
	}
}

func (p *plugin) hear(s bus.Stored, sub *subscription) {
	if s.Ephemeral == nil {
		p.desk.mark(s.Chat)
		p.need()
		return
	}
	sub.bytes.Add(-int64(len(s.Ephemeral.Content)))
	p.mu.Lock()
	able := p.runnable()
	p.mu.Unlock()
	if !able {
		return
	}
	if !p.desk.add(s.Chat, liveItem{packet: s.Ephemeral}) {
		p.log.Debug("dropped an ephemeral packet: the plugin is busy", "type", s.Ephemeral.Header.Type)
		return
	}
	p.need()
}

// hearMessage hands on a message the plugin may read. The plugin is started for
// it: it said that it wants to see each.
func (p *plugin) hearMessage(ctx context.Context, ref bus.MessageRef) {
	var m store.Message
	err := p.host.cfg.Store.View(ctx, func(tx store.ReadTx) (err error) {
		m, err = tx.Message(ref.ID)
		return err
	})
	if err != nil || m.Deleted {
		return
	}
	if w := p.powers(); m.Plugin != p.name && !w.can(pluginpb.Capability_CAPABILITY_HISTORY) {
		return
	}
	p.hearEvent(m.Chat, &pluginpb.Event{Topic: topicMessage, Event: &pluginpb.Event_Message{Message: messageToProto(&m)}}, true)
}

// hearEvent lays an event on the desk. Presence and links matter only to a
// plugin that runs; it reads the present state when it starts.
func (p *plugin) hearEvent(chat packet.ChatID, e *pluginpb.Event, start bool) {
	p.mu.Lock()
	able := p.runnable() && (start || p.session != nil)
	p.mu.Unlock()
	if !able {
		return
	}
	if !p.desk.add(chat, liveItem{event: e}) {
		p.log.Warn("dropped an event: the plugin is busy", "topic", e.GetTopic())
		return
	}
	if start {
		p.need()
	}
}

func messageToProto(m *store.Message) *pluginpb.Message {
	pb := &pluginpb.Message{
		Id: m.ID[:], Chat: string(m.Chat), Author: string(m.Author), Kind: m.Kind, Body: m.Body, Data: m.Data,
		SentAt: m.SentAt, Edited: m.Edited, Deleted: m.Deleted, Own: m.Own,
	}
	if !m.ReplyTo.IsZero() {
		pb.ReplyTo = m.ReplyTo[:]
	}
	return pb
}
