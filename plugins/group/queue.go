package group

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/parley-chat/parley/plugins/sdk"
	"github.com/parley-chat/parley/protocol/packet"
)

// What does not fit into the answer to a packet, or is none of its author's to change, is
// applied afterwards: queued lists and messages, and then the messages whose changes had
// turned. As long as not all of that is done, notes among the plugin's values say
// so, one for each change that left something to do; after a crash all is done anew.

// sizeOf is about how large the effects of a change are.
func sizeOf(e sdk.Effect) int {
	switch e := e.(type) {
	case sdk.SetMembers:
		size := 100 + len(e.Title) + 110*len(e.Cutoffs) + 110*len(e.Vouched)
		for _, user := range e.Members {
			size += len(user) + 2
		}
		return size
	case sdk.AddMessage:
		return 200 + len(e.Body) + len(e.Data)
	case sdk.ChangeMessage:
		return 200 + len(e.Body) + len(e.Data)
	}
	return 0
}

// fitting is how many of effects fit into one answer; one at least.
func fitting(effects []sdk.Effect) int {
	size := 0
	for i, e := range effects {
		if size += sizeOf(e); i >= maxAtOnce || size > maxAtOnceBytes && i > 0 {
			return i
		}
	}
	return len(effects)
}

// atOnce gives as many effects as fit into the answer to a change, the newest first, and has the
// rest applied afterwards, and what is told of the changes that turned; the caller holds c.mu.
func (p *Plugin) atOnce(c *chat, effects []sdk.Effect, by ChangeID, turned []ChangeID) []sdk.Effect {
	slices.Reverse(effects)
	n := fitting(effects)
	if n == len(effects) && len(turned) == 0 {
		return effects
	}
	c.queue = append(c.queue, effects[n:]...)
	for _, id := range turned {
		c.turned[id] = struct{}{}
	}
	note := queuedPrefix + string(c.id) + "/" + by.String()
	c.notes = append(c.notes, note)
	p.applyQueued(c)
	return append(effects[:n:n], sdk.PutValue{Key: note, Value: []byte{1}})
}

// noted gives of which chat a note is.
func noted(key string) packet.ChatID {
	chat, _, _ := strings.Cut(strings.TrimPrefix(key, queuedPrefix), "/")
	return packet.ChatID(chat)
}

// applyQueued has what is left to do done, beside Handle; the caller holds c.mu. Lists are
// for ever, messages have their places, what is told of a change follows from which changes
// there are, and none of it says anything that Handle reads, so it does not matter when.
func (p *Plugin) applyQueued(c *chat) {
	if c.setting {
		return
	}
	c.setting = true
	p.work.Go(func() {
		for {
			if c.onlyTurned() && !p.pause(p.ctx, turnedAfter) {
				return
			}
			t := c.next()
			if len(t.effects) == 0 {
				return
			}
			if t.note != "" {
				p.committed(t.note)
			}
			if err := p.core.Apply(p.ctx, t.effects...); err != nil {
				c.undone(&t)
				if !p.pause(p.ctx, 5*time.Second) {
					return
				}
				p.core.Log().Warn("what follows from changes of a group could not be kept yet", "chat", c.id, "error", err)
			}
		}
	})
}

// turnedAfter is for how long messages of changes that turned wait: where many come one after the
// other, which were made apart, each may have all before it turn once more.
const turnedAfter = 500 * time.Millisecond

// onlyTurned: nothing is left to do but to change messages.
func (c *chat) onlyTurned() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.queue) == 0 && len(c.turned) > 0
}

// task is a part of what is left to do.
type task struct {
	effects []sdk.Effect
	note    string // after which it is done
	turned  []ChangeID
	queue   []sdk.Effect
	notes   []string
}

// next takes a part of what is left to do. Without effects nothing is, and
// somebody else does what will be.
func (c *chat) next() (t task) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.queue); n > 0 {
		n = fitting(c.queue)
		t.queue, c.queue = c.queue[:n:n], c.queue[n:]
		t.effects = t.queue
		return t
	}
	if n := len(c.notes); n > 0 {
		t.note = c.notes[n-1]
	}
	size := 0
	for id := range c.turned {
		t.turned = append(t.turned, id)
		delete(c.turned, id)
		if event, ok := c.event(id); ok {
			e := event.changed(&c.graph.nodes[c.graph.index[id]])
			t.effects, size = append(t.effects, e), size+sizeOf(e)
		}
		if len(t.effects) >= maxAtOnce || size > maxAtOnceBytes {
			break
		}
	}
	if len(t.effects) > 0 {
		return t
	}
	n := min(len(c.notes), maxAtOnce)
	t.notes, c.notes = c.notes[:n:n], c.notes[n:]
	for _, key := range t.notes {
		t.effects = append(t.effects, sdk.PutValue{Key: key})
	}
	c.setting = n > 0
	return t
}

// undone puts back what could not be done.
func (c *chat) undone(t *task) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queue = append(t.queue, c.queue...)
	c.notes = append(t.notes, c.notes...)
	for _, id := range t.turned {
		c.turned[id] = struct{}{}
	}
}

// committedWithin is how long it is waited for the answer of a handled change.
const committedWithin = 30 * time.Second

// committed waits until it is noted that something is left to do: Handle's answer, which says
// so and adds what is to be changed, may be committed later than what is done beside it. Should
// the note come later still, all is done once more at the next start.
func (p *Plugin) committed(note string) {
	waited := time.Duration(0)
	for wait := time.Millisecond; waited < committedWithin; wait = min(2*wait, 100*time.Millisecond) {
		values, err := p.core.Values(p.ctx, note, 1)
		if err == nil && len(values) > 0 || !p.pause(p.ctx, wait) {
			return
		}
		waited += wait
	}
}

// pause waits; false when ctx ended.
func (p *Plugin) pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
