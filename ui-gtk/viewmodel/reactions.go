package viewmodel

import (
	"cmp"
	"context"
	"encoding/json"
	"reflect"
	"slices"
	"strings"

	"github.com/parley-chat/parley/core/client"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// reactionKind is what the kinds of annotations begin with that are reactions; the
// emoji follows.
const reactionKind = "reaction#"

// Bounds of what is shown of reactions.
const (
	maxReactions = 20 // different ones on a message
	maxReactors  = 20 // names on one
	maxReaction  = 12 // characters of one
)

// Reactions are those on one message, the first first.
type Reactions struct {
	List []Reaction
	// More is how many others there are that are not in List.
	More  int
	label string
}

// Reaction is one emoji on a message.
type Reaction struct {
	Emoji string
	// Text is Emoji, harmless to show.
	Text  string
	Count int
	// Own: one of them is one's own.
	Own bool
	// Who says it all, for who points at it or cannot see it.
	Who string
}

// RowKey implements Row.
func (r Reaction) RowKey() string { return r.Emoji }

// Same implements Row.
func (r Reaction) Same(o Reaction) bool { return r == o }

type reactors struct {
	emoji string
	first int64
	own   bool
	who   []reactor
}

type reactor struct {
	user string
	at   int64
}

// reactions gives those on a message, or nil; was is its row before, or nil.
func (c *Conversation) reactions(m *controlpb.Message, was *MessageRow) *Reactions {
	if len(m.GetAnnotations()) == 0 {
		return nil
	}
	var groups []*reactors
	byEmoji := map[string]*reactors{}
	for _, a := range m.GetAnnotations() {
		emoji, is := strings.CutPrefix(a.GetKind(), reactionKind)
		if !is || !strings.ContainsFunc(emoji, seen) {
			continue
		}
		var value struct {
			At int64 `json:"at"`
		}
		_ = json.Unmarshal(a.GetValue(), &value) // what has no time comes first
		g := byEmoji[emoji]
		if g == nil {
			g = &reactors{emoji: emoji, first: value.At}
			byEmoji[emoji] = g
			groups = append(groups, g)
		}
		g.first = min(g.first, value.At)
		g.own = g.own || a.GetAuthor() == c.session.User()
		g.who = append(g.who, reactor{a.GetAuthor(), value.At})
	}
	if len(groups) == 0 {
		return nil
	}
	slices.SortFunc(groups, func(a, b *reactors) int {
		return cmp.Or(cmp.Compare(a.first, b.first), strings.Compare(a.emoji, b.emoji))
	})
	r := &Reactions{More: max(0, len(groups)-maxReactions)}
	var labels []string
	for _, g := range groups[:min(len(groups), maxReactions)] {
		x := Reaction{Emoji: g.emoji, Text: tidy(g.emoji, maxReaction), Count: len(g.who), Own: g.own, Who: c.reacted(g)}
		labels = append(labels, x.Who)
		r.List = append(r.List, x)
	}
	r.label = strings.Join(labels, ", ")
	if was != nil && reflect.DeepEqual(was.Reactions, r) {
		return was.Reactions
	}
	return r
}

// reacted says who reacted with an emoji.
func (c *Conversation) reacted(g *reactors) string {
	t := c.session.Texts()
	slices.SortFunc(g.who, func(a, b reactor) int { return cmp.Or(cmp.Compare(a.at, b.at), strings.Compare(a.user, b.user)) })
	names := make([]string, 0, maxReactors)
	for _, x := range g.who[:min(len(g.who), maxReactors)] {
		if x.user == c.session.User() {
			names = append(names, t.T("You"))
		} else {
			names = append(names, c.session.Contacts.Name(x.user))
		}
	}
	who := strings.Join(names, t.T(", "))
	if more := len(g.who) - len(names); more > 0 {
		// Translators: names, and "3 others".
		who = t.F("%[1]s and %[2]s", who, t.N("%d other", "%d others", more))
	}
	// Translators: an emoji, and who reacted with it.
	return t.F("%[1]s %[2]s", tidy(g.emoji, maxReaction), who)
}

// React puts a reaction of one's own on a message, or with on false takes it back.
func (c *Conversation) React(key, emoji string, on bool) {
	r := c.Row(key)
	if r == nil || r.Unsent {
		return
	}
	if away := c.Header.Get().Away; away != "" {
		c.session.Failures.emit(away)
		return
	}
	action := "react"
	if !on {
		action = "unreact"
	}
	req := &pluginpb.InvokeRequest{Invocation: client.NewInvocation(), Action: action, Chat: r.Message.GetChat(), Message: r.Message.GetId(), Text: emoji}
	e := c.session.Emojis
	c.session.call(func(ctx context.Context, core Core) error {
		_, err := core.InvokeAction(ctx, emojiPlugin, req, nil)
		return err
	}, func(err error) {
		if err != nil {
			c.session.Failures.emit(c.session.Sentence(err))
			return
		}
		if on && e.asked {
			e.readQuick()
		}
	})
}

// MayReact says whether reactions can be put on messages here.
func (c *Conversation) MayReact() bool { return c.session.Emojis.Available.Get() && !c.silent() }

// Toggle reacts to a message, or takes that back when one did.
func (c *Conversation) Toggle(key, emoji string) {
	if r := c.Row(key); r != nil {
		c.React(key, emoji, !r.Reactions.own(emoji))
	}
}

// own says whether one reacted with an emoji oneself.
func (r *Reactions) own(emoji string) bool {
	return r != nil && slices.ContainsFunc(r.List, func(x Reaction) bool { return x.Emoji == emoji && x.Own })
}
