package group

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/parley-chat/parley/plugins/group/grouppb"
	"github.com/parley-chat/parley/plugins/sdk"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

const (
	// What one answer holds of lists; the rest is set a little later.
	maxLists     = 200
	maxListBytes = 1 << 20
	maxVouched   = 2000 // keys of one list
	// maxNotices is how often somebody is named in a chat for what is forged.
	maxNotices = 3
)

// Handle handles a change of somebody's, this account's too.
func (p *Plugin) Handle(ctx context.Context, k sdk.Packet) ([]sdk.Effect, error) {
	if k.Type == TypeCreate && k.Chat.Kind() == packet.Net2019 && !k.Ephemeral {
		return opened(k), nil
	}
	if k.Ephemeral || k.Type != TypeChange || k.Chat.Kind() != packet.Group {
		return nil, sdk.Refuse("a packet of type %.70s was sent in the wrong way", k.Type)
	}
	s, err := Sign(k.Chat, k.Author, k.ID, k.Content)
	if err != nil {
		return p.ignore(&s, k.Chat, err)
	}
	c := p.chat(k.Chat)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := p.load(ctx, c); err != nil {
		return nil, err
	}
	if _, waits := c.waiting[s.ID]; waits || c.graph.Has(s.ID) {
		done, err := p.again(ctx, c, &s)
		if done || err != nil {
			return nil, err
		}
	}
	effects, err := p.take(ctx, c, &s, &k)
	if _, refused := sdk.RefusalText(err); k.Author == p.self && (err == nil || refused) {
		if asked := c.handled[k.ID]; asked != nil {
			asked <- err
			delete(c.handled, k.ID)
		}
	}
	return effects, err
}

// again: the change is in memory. Either its effects are committed, and it came by
// another way; or committing them failed, and what is in memory is wrong.
func (p *Plugin) again(ctx context.Context, c *chat, s *Signed) (done bool, err error) {
	key := changeKey(c.id, s.ID)
	values, err := p.core.Values(ctx, key, 1)
	if err != nil {
		return false, err
	}
	if len(values) == 1 && values[0].Key == key {
		return true, nil
	}
	return false, p.reload(ctx, c)
}

// take takes a new change; the caller holds c.mu.
func (p *Plugin) take(ctx context.Context, c *chat, s *Signed, k *sdk.Packet) ([]sdk.Effect, error) {
	before := c.graph.Known().State.Person(p.self).Role
	list, err := c.graph.Add(*s)
	var missing *MissingError
	switch {
	case errors.As(err, &missing):
		return p.keepWaiting(ctx, c, s, k)
	case err != nil:
		return p.forged(ctx, c, s, err)
	}
	value, err := proto.Marshal(&grouppb.Known{Author: string(k.Author), Packet: k.ID[:], Content: k.Content, SentAt: k.SentAt.UnixMicro()})
	if err != nil {
		return nil, err
	}
	var lists []sdk.SetMembers
	if len(s.Parents) == 0 {
		lists = append(lists, sdk.SetMembers{
			Chat: c.id, Version: FirstVersion, Title: s.Operations[0].Text, Members: []packet.UserID{s.Author}, History: pluginpb.History_HISTORY_FROM_JOIN,
		})
	}
	lists = append(lists, listEffect(c.id, list, &s.Change))
	followers := c.follow(s.ID)
	for _, a := range followers {
		if a.err == nil {
			lists = append(lists, listEffect(c.id, a.list, &a.change.Change))
		}
	}
	if c.graph.Split() {
		lists = append(lists, listEffect(c.id, c.graph.Known(), nil))
		p.join(c)
	}
	effects := p.setLists(c, lists)
	effects = append(effects, sdk.PutValue{Key: changeKey(c.id, s.ID), Value: value})
	effects = append(effects, messageOf(k, &s.Change)...)
	effects = append(effects, p.dropped(c, followers)...)
	summary, err := p.summary(c)
	if err != nil {
		return nil, err
	}
	return append(effects, summary, p.changed(c, s, before)), nil
}

// messageOf tells what was done, in the place of the packet.
func messageOf(k *sdk.Packet, c *Change) []sdk.Effect {
	event := Event{By: k.Author, Facts: factsOf(c)}
	if len(event.Facts) == 0 {
		return nil
	}
	return []sdk.Effect{sdk.AddMessage{ID: k.ID, Chat: k.Chat, Kind: KindEvent, Body: event.sentence(), Data: mustJSON(event)}}
}

// changed tells front ends.
func (p *Plugin) changed(c *chat, s *Signed, before Role) sdk.Effect {
	now := c.graph.Known().State.Person(p.self).Role
	data := Changed{By: s.Author, Role: now.String(), Invited: before == RoleNone && now == RoleInvited, Facts: factsOf(&s.Change)}
	if len(data.Facts) > 50 {
		data.Facts = nil // an event is small; who wants to know looks
	}
	return sdk.PublishEvent{Name: EventChanged, Chat: c.id, User: s.Author, Data: mustJSON(data)}
}

// listEffect sets a version; keys are told by the list of the change that brings
// them.
func listEffect(chat packet.ChatID, l List, by *Change) sdk.SetMembers {
	set := sdk.SetMembers{
		Chat: chat, Version: l.Version, Title: l.State.Title, Members: l.State.Members(), Merged: l.Merged, History: pluginpb.History(l.State.History),
	}
	// A log may be named once: a removal that names another's log does not spoil
	// the list.
	type log struct {
		device packet.DeviceID
		epoch  uint64
	}
	at := map[log]*pluginpb.Cutoff{}
	for _, c := range cutoffsOfState(l.State) {
		if same := at[log{c.Device, c.Epoch}]; same != nil {
			same.Number = max(same.GetNumber(), c.Number)
			continue
		}
		cut := &pluginpb.Cutoff{User: string(c.User), Device: c.Device[:], Epoch: c.Epoch, Number: c.Number}
		at[log{c.Device, c.Epoch}] = cut
		set.Cutoffs = append(set.Cutoffs, cut)
	}
	if by != nil {
		set.Vouched = vouched(by)
	}
	return set
}

func sizeOf(l *sdk.SetMembers) int {
	size := 100 + len(l.Title) + 110*len(l.Cutoffs) + 110*len(l.Vouched)
	for _, user := range l.Members {
		size += len(user) + 2
	}
	return size
}

// setLists gives effects that set as many lists as fit, the newest first, and has
// the rest set afterwards; the caller holds c.mu.
func (p *Plugin) setLists(c *chat, lists []sdk.SetMembers) []sdk.Effect {
	slices.Reverse(lists)
	effects, size := []sdk.Effect{}, 0
	for i := range lists {
		if size += sizeOf(&lists[i]); len(effects) >= maxLists || size > maxListBytes && i > 0 {
			c.queue = append(c.queue, lists[i:]...)
			effects = append(effects, sdk.PutValue{Key: listsPrefix + string(c.id), Value: []byte{1}})
			p.setQueued(c)
			break
		}
		effects = append(effects, lists[i])
	}
	return effects
}

// setQueued sets what is queued, beside Handle; the caller holds c.mu. Lists are for ever
// and say nothing that Handle reads, so it does not matter when.
func (p *Plugin) setQueued(c *chat) {
	if c.setting {
		return
	}
	c.setting = true
	p.work.Go(func() {
		for {
			c.mu.Lock()
			effects, size, n := []sdk.Effect{}, 0, 0
			for n < len(c.queue) && n < maxLists && size < maxListBytes {
				effects, size, n = append(effects, c.queue[n]), size+sizeOf(&c.queue[n]), n+1
			}
			last := n == len(c.queue)
			c.mu.Unlock()
			if last {
				p.noted(c)
				effects = append(effects, sdk.PutValue{Key: listsPrefix + string(c.id)})
			}
			if err := p.core.Apply(p.ctx, effects...); err != nil {
				if !p.pause(p.ctx, 5*time.Second) {
					return
				}
				p.core.Log().Warn("member lists could not be set yet", "chat", c.id, "error", err)
				continue
			}
			c.mu.Lock()
			c.queue = c.queue[n:]
			c.setting = len(c.queue) > 0
			more := c.setting
			c.mu.Unlock()
			if !more {
				return
			}
		}
	})
}

// noted waits until it is noted that lists are missing: Handle's answer, which says
// so, may be committed later than what is done beside it. Should the note come
// later still, the lists are set once more at the next start.
func (p *Plugin) noted(c *chat) {
	for range 100 {
		values, err := p.core.Values(p.ctx, listsPrefix+string(c.id), 1)
		if err == nil && len(values) > 0 || !p.pause(p.ctx, 50*time.Millisecond) {
			return
		}
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

// keepWaiting keeps a change whose parents are not here. Its message is made now, in
// its place.
func (p *Plugin) keepWaiting(ctx context.Context, c *chat, s *Signed, k *sdk.Packet) ([]sdk.Effect, error) {
	if !c.roomFor(s.Author) {
		return p.forged(ctx, c, s, ErrFull)
	}
	var effects []sdk.Effect
	if c.graph.Len() == 0 {
		list, err := p.provisional(ctx, c, s)
		if err != nil {
			return nil, err
		}
		effects = append(effects, list...)
	}
	value, err := proto.Marshal(&grouppb.Known{Author: string(k.Author), Packet: k.ID[:], Content: k.Content, SentAt: k.SentAt.UnixMicro()})
	if err != nil {
		return nil, err
	}
	c.wait(*s)
	effects = append(effects, sdk.PutValue{Key: changeKey(c.id, s.ID), Value: value})
	return append(effects, messageOf(k, &s.Change)...), nil
}

// provisional: nothing of the group's history is here but a later change. That the
// core may ask for the rest, its author, those whom it introduces, and this account
// are members for now, by a list under which nobody writes.
func (p *Plugin) provisional(ctx context.Context, c *chat, s *Signed) ([]sdk.Effect, error) {
	chats, err := p.core.Chats(ctx, c.id)
	if err != nil {
		return nil, err
	}
	list := sdk.SetMembers{Chat: c.id, Version: FirstVersion + 1}
	for i := range chats {
		if chats[i].Membership >= 1<<versionShift {
			return nil, nil
		}
		if chats[i].Membership > 0 {
			list.Version, list.Members = chats[i].Membership+1, slices.Clone(chats[i].Members)
		}
	}
	before := len(list.Members)
	add := func(user packet.UserID) {
		if !slices.Contains(list.Members, user) && len(list.Members) < MaxPeople {
			list.Members = append(list.Members, user)
		}
	}
	add(p.self)
	add(s.Author)
	for i := range s.Operations {
		if o := &s.Operations[i]; o.Verb == VerbIntroduce {
			add(o.User)
		}
	}
	if len(list.Members) == before {
		return nil, nil
	}
	list.Merged, list.Vouched = true, vouched(&s.Change)
	return []sdk.Effect{list}, nil
}

// vouched gives the keys that a change brings.
func vouched(c *Change) []sdk.DeviceKey {
	var keys []sdk.DeviceKey
	for i := range c.Operations {
		for _, key := range c.Operations[i].Keys {
			keys = append(keys, sdk.DeviceKey{User: c.Operations[i].User, Key: key})
		}
	}
	return keys[:min(len(keys), maxVouched)]
}

// maxDropped bounds what one answer takes back of changes that waited.
const maxDropped = 20

// dropped takes back what was kept of changes that waited and turned out not to be
// taken: their messages were made when they came.
func (p *Plugin) dropped(c *chat, followers []admitted) []sdk.Effect {
	var effects []sdk.Effect
	for _, a := range followers {
		if a.err == nil || len(effects) >= 2*maxDropped {
			continue
		}
		p.core.Log().Warn("a change of a group is not taken", "chat", c.id, "author", a.change.Author, "error", a.err)
		effects = append(effects, sdk.DeleteMessage{ID: a.change.Packet, Local: true}, sdk.PutValue{Key: changeKey(c.id, a.change.ID)})
	}
	return effects
}

// forged names whoever made a change that is not taken, a few times.
func (p *Plugin) forged(ctx context.Context, c *chat, s *Signed, why error) ([]sdk.Effect, error) {
	if effects := p.dropped(c, c.follow(s.ID)); len(effects) > 0 {
		return effects, nil
	}
	if c.graph.Len() == 0 || s.Author == p.self {
		return p.ignore(s, c.id, why)
	}
	key := forgedPrefix + string(c.id) + "/" + string(s.Author)
	values, err := p.core.Values(ctx, key, 1)
	if err != nil {
		return nil, err
	}
	n := 0
	if len(values) == 1 && values[0].Key == key {
		n, _ = strconv.Atoi(string(values[0].Value)) // written by nobody but us
	}
	if n >= maxNotices {
		return p.ignore(s, c.id, why)
	}
	p.core.Log().Warn("a change of a group is not taken", "chat", c.id, "author", s.Author, "error", why)
	event := Event{By: s.Author, Facts: []Fact{{What: "forged"}}}
	return []sdk.Effect{
		sdk.PutValue{Key: key, Value: strconv.AppendInt(nil, int64(n+1), 10)},
		sdk.AddMessage{ID: s.Packet, Chat: c.id, Kind: KindEvent, Body: event.sentence(), Data: mustJSON(event)},
	}, nil
}

// ignore does nothing with a change. Another's is not refused: a refused packet cannot
// be passed on, so that who did not get it from its author would have a gap there for
// ever, and nothing that its author did afterwards, nor what others built on that.
func (p *Plugin) ignore(s *Signed, chat packet.ChatID, why error) ([]sdk.Effect, error) {
	p.core.Log().Warn("a change of a group is not taken", "chat", chat, "author", s.Author, "error", why)
	if s.Author == p.self {
		return nil, sdk.Refuse("the group does not take this change: %v", why)
	}
	return nil, nil
}

// Summary is what the list of groups shows of one, and what is kept so that it
// need not be read whole.
type Summary struct {
	Chat   packet.ChatID `json:"chat"`
	Title  string        `json:"title"`
	Role   string        `json:"role"` // this account's, "" when it is in the group no more
	People int           `json:"people"`
	By     packet.UserID `json:"by,omitempty"`    // who invited this account
	Split  bool          `json:"split,omitempty"` // changes made apart are not joined yet
}

func (p *Plugin) summary(c *chat) (sdk.Effect, error) {
	known := c.graph.Known()
	me := known.State.Person(p.self)
	b, err := json.Marshal(Summary{
		Chat: c.id, Title: known.State.Title, Role: me.Role.String(), People: len(known.State.Members()), By: me.By, Split: known.Merged,
	})
	if err != nil {
		return nil, fmt.Errorf("summary of %s: %w", c.id, err)
	}
	return sdk.PutValue{Key: summaryPrefix + string(c.id), Value: b}, nil
}
