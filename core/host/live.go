package host

import (
	"context"
	"errors"
	"fmt"

	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// handleLive hands in EPHEMERAL packets and events. They are tried once: what
// the plugin makes nothing of, or dies of, is gone. An error is the store's.
func (p *plugin) handleLive(ctx context.Context, sess *session, chat packet.ChatID, items []liveItem) error {
	if p.gate.Acquire(ctx, 1) != nil {
		return nil // the session ends
	}
	defer p.gate.Release(1)
	for len(items) > 0 {
		n, size := 0, 0
		for n < min(len(items), maxItems) && (n == 0 || size+items[n].size <= maxBatch) {
			size += items[n].size
			n++
		}
		batch := make([]*pluginpb.Item, n)
		for i := range batch {
			batch[i] = p.liveToProto(items[i])
		}
		outcomes, err := p.ask(ctx, sess, chat, batch)
		var refused *PluginError
		switch {
		case errors.As(err, &refused):
			p.log.Warn("plugin could not handle an event", "error", refused.Text)
			items = items[1:]
			continue
		case err != nil:
			return nil
		}
		for i, o := range outcomes {
			if err := p.applyLive(ctx, items[i], o); err != nil {
				if storeFailed(err) {
					return err
				}
				p.log.Warn("what a plugin made of an event cannot be applied", "error", err)
			}
		}
		items = items[len(outcomes):]
	}
	return nil
}

func (p *plugin) liveToProto(item liveItem) *pluginpb.Item {
	if item.packet != nil {
		return &pluginpb.Item{Item: &pluginpb.Item_Packet{Packet: p.packetToProto(item.packet)}}
	}
	return &pluginpb.Item{Item: &pluginpb.Item_Event{Event: item.event}}
}

func (p *plugin) applyLive(ctx context.Context, item liveItem, o *pluginpb.Outcome) error {
	w := p.powers()
	if err := checkOutcome(w, o); err != nil {
		return err
	}
	if o.GetRefuse() != "" {
		return fmt.Errorf("plugin %s: refused: %s", p.name, clean(o.GetRefuse()))
	}
	durability := store.Lazy
	if sends(o.GetEffects()) {
		durability = store.Synced
	}
	_, err := p.applyEffects(ctx, durability, "outcome", o.GetEffects(), item.packet, nil)
	return err
}

// applyEffects applies checked effects in a transaction of their own, together
// with what also writes, and tells of them.
func (p *plugin) applyEffects(ctx context.Context, d store.Durability, where string, effects []*pluginpb.Effect, origin *packet.Packet, also func(store.Tx, *news) error) (*news, error) {
	n := &news{}
	if len(effects) == 0 && also == nil {
		return n, nil
	}
	if also == nil && onlyTells(effects) {
		// Typing and the like need no transaction.
		for _, e := range effects {
			n.publish(p.name, e.GetPublishEvent())
		}
		n.tell(ctx, p)
		return n, nil
	}
	w := p.powers()
	err := p.host.cfg.Store.Update(ctx, d, func(tx store.Tx) error {
		*n = news{}
		a := &applier{host: p.host, powers: w, tx: tx, origin: origin, news: n}
		if err := a.apply(where, effects); err != nil {
			return err
		}
		if also == nil {
			return nil
		}
		return also(tx, n)
	})
	if err != nil {
		return nil, err
	}
	n.tell(ctx, p)
	return n, nil
}

func onlyTells(effects []*pluginpb.Effect) bool {
	for _, e := range effects {
		if e.GetPublishEvent() == nil {
			return false
		}
	}
	return true
}
