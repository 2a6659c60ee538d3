package group

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/parley-chat/parley/plugins/sdk"
	"github.com/parley-chat/parley/protocol/packet"
)

// resume goes on, after a start, with lists and messages that were not all there, and
// with joining what was changed apart.
func (p *Plugin) resume(ctx context.Context) error {
	queued, err := p.core.Values(ctx, queuedPrefix, 0)
	if err != nil {
		return fmt.Errorf("read in which groups something was left to do: %w", err)
	}
	notes := map[packet.ChatID][]string{}
	for _, v := range queued {
		notes[noted(v.Key)] = append(notes[noted(v.Key)], v.Key)
	}
	for chat, keys := range notes {
		c := p.chat(chat)
		c.notes = keys // nobody else has it yet
		p.work.Go(func() { p.redo(c) })
	}
	summaries, err := p.summaries(ctx)
	if err != nil {
		return err
	}
	for i := range summaries {
		if summaries[i].Split {
			c := p.chat(summaries[i].Chat)
			c.mu.Lock()
			p.join(c)
			c.mu.Unlock()
		}
	}
	return nil
}

// redo sets the lists of all changes of a chat, and makes their messages: what is there
// already stays as it is, but for what is told of changes that may have turned.
func (p *Plugin) redo(c *chat) {
	for {
		c.mu.Lock()
		done, err := p.reload(p.ctx, c)
		if err == nil {
			for i := range done {
				c.queue = append(c.queue, c.admittedEffects(&done[i])...)
			}
			for _, id := range c.graph.Apart() {
				c.turned[id] = struct{}{}
			}
			c.queue = append(c.queue, listEffect(c.id, c.graph.Known(), nil))
			p.applyQueued(c)
		}
		c.mu.Unlock()
		if err == nil {
			return
		}
		p.core.Log().Warn("a group could not be read yet", "chat", c.id, "error", err)
		if !p.pause(p.ctx, 5*time.Second) {
			return
		}
	}
}

func (p *Plugin) summaries(ctx context.Context) ([]Summary, error) {
	values, err := p.core.Values(ctx, summaryPrefix, 0)
	if err != nil {
		return nil, fmt.Errorf("read the groups: %w", err)
	}
	list := make([]Summary, len(values))
	for i, v := range values {
		if err := json.Unmarshal(v.Value, &list[i]); err != nil {
			return nil, fmt.Errorf("kept group %s: %w", v.Key, err)
		}
	}
	return list, nil
}

// join joins what was changed apart, unless somebody else does so first: as long as
// it is not, everybody writes under one of several lists, and those who are in another
// only do not see it. The caller holds c.mu.
func (p *Plugin) join(c *chat) {
	if c.joining {
		return
	}
	c.joining = true
	p.work.Go(func() {
		for p.lull(c) {
			id, content := p.joint(c)
			if content == nil {
				return
			}
			err := p.core.Apply(p.ctx, sdk.SendPacket{ID: id, Chat: c.id, Type: TypeChange, Content: content, Handle: true})
			if err != nil {
				p.core.Log().Warn("changes of a group could not be joined yet", "chat", c.id, "error", err)
			}
		}
	})
}

// maxLulls is how many times its length a lull is waited for.
const maxLulls = 10

// lull waits for this account's turn to join, and until nothing changed for as long
// as that, but not for ever; false when the plugin ends. When many join a group at
// once each sees only some of the others for a while, and were each to join what
// it sees, that would be as many changes again, made apart in their turn.
func (p *Plugin) lull(c *chat) bool {
	delay, before := p.joinDelay(c)
	for range maxLulls {
		if !p.pause(p.ctx, delay) {
			return false
		}
		next, now := p.joinDelay(c)
		if now == before || now == 0 {
			break
		}
		delay, before = next, now
	}
	return true
}

// joinDelay is how long to wait, and how many changes there are; 0 when they are
// joined, or cannot be read.
func (p *Plugin) joinDelay(c *chat) (delay time.Duration, changes int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = p.load(p.ctx, c) // joint tells of an error
	above := 0
	for _, other := range c.graph.Known().State.People() {
		if other.User == p.self {
			break
		}
		above++
	}
	if c.graph.Split() {
		changes = c.graph.Len()
	}
	return p.JoinAfter(above), changes
}

// joint gives the change that joins all others, or none when there is nothing to
// do.
func (p *Plugin) joint(c *chat) (packet.PacketID, []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := p.load(p.ctx, c)
	if err != nil {
		p.core.Log().Warn("a group could not be read", "chat", c.id, "error", err)
	}
	parents, state := c.graph.Parents()
	if err != nil || !c.graph.Split() || !state.Person(p.self).in() || !c.graph.Known().State.Person(p.self).in() {
		c.joining = false
		return packet.PacketID{}, nil
	}
	content, err := Change{Parents: parents}.Encode()
	if err != nil {
		p.core.Log().Error("changes of a group cannot be joined", "chat", c.id, "error", err)
		c.joining = false
		return packet.PacketID{}, nil
	}
	return packet.NewPacketID(), content
}
