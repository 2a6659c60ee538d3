package group

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"google.golang.org/protobuf/proto"

	"github.com/parley-chat/parley/plugins/group/grouppb"
	"github.com/parley-chat/parley/plugins/sdk"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

const (
	// What one answer holds of lists and of messages that waited; the rest follows a
	// little later.
	maxAtOnce      = 200
	maxAtOnceBytes = 1 << 20
	maxVouched     = 2000 // keys of one list
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
	_, err = p.reload(ctx, c)
	return false, err
}

// take takes a new change; the caller holds c.mu.
func (p *Plugin) take(ctx context.Context, c *chat, s *Signed, k *sdk.Packet) ([]sdk.Effect, error) {
	before, n := c.graph.Known().State.Person(p.self).Role, c.graph.Len()
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
	var effects []sdk.Effect
	if len(s.Parents) == 0 {
		effects = append(effects, sdk.SetMembers{
			Chat: c.id, Version: FirstVersion, Title: s.Operations[0].Text, Members: []packet.UserID{s.Author}, History: pluginpb.History_HISTORY_FROM_JOIN,
		})
	}
	effects = append(effects, listEffect(c.id, list, &s.Change))
	followers := c.follow(s.ID)
	for i := range followers {
		effects = append(effects, c.admittedEffects(&followers[i])...)
	}
	if c.graph.Split() {
		effects = append(effects, listEffect(c.id, c.graph.Known(), nil))
		p.join(c)
	}
	effects = p.atOnce(c, effects, s.ID, c.graph.Turned(n))
	effects = append(effects, sdk.PutValue{Key: changeKey(c.id, s.ID), Value: value})
	effects = append(effects, c.messageOf(s)...)
	dropped, err := p.dropped(ctx, c, followers)
	if err != nil {
		return nil, err
	}
	effects = append(effects, dropped...)
	summary, err := p.summary(c)
	if err != nil {
		return nil, err
	}
	return append(effects, summary, p.changed(c, s, before)), nil
}

// messageOf tells what was done, in the place of the packet; the caller holds c.mu.
func (c *chat) messageOf(s *Signed) []sdk.Effect {
	event, ok := c.event(s.ID)
	if !ok {
		return nil
	}
	return []sdk.Effect{event.message(c.id, s)}
}

// admittedEffects gives what follows from a change that waited, and is taken now.
func (c *chat) admittedEffects(a *admitted) []sdk.Effect {
	if a.err != nil {
		return nil
	}
	return append(c.messageOf(&a.change), listEffect(c.id, a.list, &a.change.Change))
}

// changed tells front ends.
func (p *Plugin) changed(c *chat, s *Signed, before Role) sdk.Effect {
	now := c.graph.Known().State.Person(p.self).Role
	event, _ := c.event(s.ID)
	data := Changed{By: s.Author, Role: now.String(), Invited: before == RoleNone && now == RoleInvited, Facts: event.Facts}
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
		Invited: l.State.Invited(),
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

// keepWaiting keeps a change whose parents are not here. Nothing is shown of it: it may
// be forged.
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
	return append(effects, sdk.PutValue{Key: changeKey(c.id, s.ID), Value: value}), nil
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

// maxDropped bounds what one answer takes back of changes that waited: three effects
// each, beside maxAtOnce, of the 256 that an answer may have.
const maxDropped = 15

// dropped forgets changes that waited and turned out not to be taken, and names who
// forged them.
func (p *Plugin) dropped(ctx context.Context, c *chat, followers []admitted) ([]sdk.Effect, error) {
	var effects []sdk.Effect
	named := map[packet.UserID]bool{}
	n := 0
	for i := range followers {
		a := &followers[i]
		if a.err == nil || n >= maxDropped {
			continue
		}
		n++
		effects = append(effects, sdk.PutValue{Key: changeKey(c.id, a.change.ID)})
		if named[a.change.Author] || !errors.Is(a.err, ErrForged) {
			p.core.Log().Warn("a change of a group is not taken", "chat", c.id, "author", a.change.Author, "error", a.err)
			continue
		}
		named[a.change.Author] = true
		notice, err := p.name(ctx, c, &a.change, a.err)
		if err != nil {
			return nil, err
		}
		effects = append(effects, notice...)
	}
	return effects, nil
}

// forged is for a change that is not taken, nor is what waited for it.
func (p *Plugin) forged(ctx context.Context, c *chat, s *Signed, why error) ([]sdk.Effect, error) {
	followers := c.follow(s.ID)
	if s.Author == p.self {
		return p.ignore(s, c.id, why)
	}
	effects, err := p.name(ctx, c, s, why)
	if err != nil {
		return nil, err
	}
	dropped, err := p.dropped(ctx, c, followers)
	return append(effects, dropped...), err
}

// name names whoever made a change that is not taken, a few times.
func (p *Plugin) name(ctx context.Context, c *chat, s *Signed, why error) ([]sdk.Effect, error) {
	p.core.Log().Warn("a change of a group is not taken", "chat", c.id, "author", s.Author, "error", why)
	if c.graph.Len() == 0 || s.Author == p.self {
		return nil, nil
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
		return nil, nil
	}
	event := Event{By: s.Author, Facts: []Fact{{What: "forged"}}}
	return []sdk.Effect{sdk.PutValue{Key: key, Value: strconv.AppendInt(nil, int64(n+1), 10)}, event.message(c.id, s)}, nil
}

// ignore does nothing with a change. Another's is not refused: a refused packet cannot
// be passed on, so that who did not get it from its author would have a gap there for
// ever, and nothing that its author did afterwards, nor what others built on that.
func (p *Plugin) ignore(s *Signed, chat packet.ChatID, why error) ([]sdk.Effect, error) {
	p.core.Log().Warn("a change of a group is not taken", "chat", chat, "author", s.Author, "error", why)
	if s.Author == p.self {
		return nil, sdk.Refuse("the group does not take this change: %w", why)
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
	// Declined: this account was asked, never came, and is asked no more.
	Declined bool `json:"declined,omitempty"`
	// Withdrawn: it is asked no more because the invitation was taken back.
	Withdrawn bool `json:"withdrawn,omitempty"`
	// Removed: it was in the group, and others took it out.
	Removed bool `json:"removed,omitempty"`
}

func (p *Plugin) summary(c *chat) (sdk.Effect, error) {
	known := c.graph.Known()
	me := known.State.Person(p.self)
	absence := c.graph.Absence(p.self)
	b, err := json.Marshal(Summary{
		Chat: c.id, Title: known.State.Title, Role: me.Role.String(), People: len(known.State.Members()), By: me.By, Split: known.Merged,
		Declined: absence.Declined, Withdrawn: absence.Withdrawn, Removed: absence.Removed,
	})
	if err != nil {
		return nil, fmt.Errorf("summary of %s: %w", c.id, err)
	}
	return sdk.PutValue{Key: summaryPrefix + string(c.id), Value: b}, nil
}
