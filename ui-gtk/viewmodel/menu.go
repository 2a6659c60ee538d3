package viewmodel

import (
	"context"
	"maps"

	"github.com/parley-chat/parley/core/client"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// MenuChoice is what an item of a message's menu does.
type MenuChoice int

// Choices. Those that need a dialog or the clipboard the window does, the others
// Choose.
const (
	ChooseReply MenuChoice = iota
	ChooseEdit
	ChooseCopy    // the window
	ChooseForward // the window asks where to, then calls Forward
	ChooseDetails // the window
	ChooseRetry
	ChooseDiscard
	ChooseReact  // the window offers reactions, then calls React
	ChooseAction // of a plugin
)

// MenuItem is an item of a message's menu.
type MenuItem struct {
	Choice      MenuChoice
	Label, Icon string
	// Danger: it takes something away.
	Danger bool
	// Question is asked before it is done, and Consequence says what comes of it; empty
	// where nothing is asked.
	Question, Consequence string
	action                PluginAction
}

// limited says whether the chat is one of 2019, where there are texts, pictures and
// files, and nothing more.
func (c *Conversation) limited() bool { return IsNet2019(c.chat) }

// silent says whether nothing that others hear of can be done with what is there: the
// chat is limited, or one is not in it.
func (c *Conversation) silent() bool { return c.limited() || c.Header.Get().Away != "" }

// Menu gives what can be done with a message.
func (c *Conversation) Menu(key string) []MenuItem {
	r := c.Row(key)
	if r == nil || r.Event != "" {
		return nil
	}
	t := c.session.Texts()
	var items []MenuItem
	add := func(choice MenuChoice, label, icon string) {
		items = append(items, MenuItem{Choice: choice, Label: label, Icon: icon})
	}
	m := r.Message
	if r.Unsent {
		if r.State == Failed {
			add(ChooseRetry, t.T("Try again"), "view-refresh-symbolic")
		}
		add(ChooseCopy, t.T("Copy"), "edit-copy-symbolic")
		if r.State == Failed {
			items = append(items, MenuItem{Choice: ChooseDiscard, Label: t.T("Discard"), Icon: "user-trash-symbolic", Danger: true})
		}
		return items
	}
	if !m.GetDeleted() {
		if !c.silent() {
			add(ChooseReply, t.T("Reply"), "mail-reply-sender-symbolic")
		}
		if c.session.Emojis.Available.Get() && !c.silent() {
			add(ChooseReact, t.T("React"), "face-smile-symbolic")
		}
		if r.State == Failed && editable(r) && c.Header.Get().Away == "" {
			add(ChooseRetry, t.T("Send again"), "view-refresh-symbolic")
		}
		if editable(r) && !c.silent() {
			add(ChooseEdit, t.T("Edit"), "document-edit-symbolic")
		}
		add(ChooseCopy, t.T("Copy"), "edit-copy-symbolic")
		if r.File == nil || r.File.Path != "" {
			add(ChooseForward, t.T("Forward"), "mail-forward-symbolic")
		}
	}
	add(ChooseDetails, t.T("Details"), "dialog-information-symbolic")
	if m.GetDeleted() {
		return items
	}
	for _, a := range c.session.Plugins.Actions(pluginpb.Place_PLACE_MESSAGE_MENU, m.GetKind()) {
		if !fits(a, r) || c.silent() && a.Plugin == textPlugin && a.Action.GetName() == "delete" {
			continue
		}
		item := MenuItem{Choice: ChooseAction, Label: c.session.Label(a.Action.GetLabel()), Icon: a.Action.GetIcon(), action: a}
		switch a.Action.GetName() {
		case "delete":
			item.Danger, item.Question = true, t.T("Delete this message for everybody?")
			item.Consequence = t.T("It goes from this computer and, as soon as they hear of it, from those of the others. It cannot be brought back.")
		case "delete-for-me":
			item.Danger, item.Question = true, t.T("Delete this message for you?")
			item.Consequence = t.T("It goes from this computer and cannot be brought back. Others keep it.")
		}
		items = append(items, item)
	}
	return items
}

// fits says whether an action makes sense on a message: what Parley's own plugins
// offer is known here; others' is offered always.
func fits(a PluginAction, r *MessageRow) bool {
	if a.Plugin != textPlugin && a.Plugin != filePlugin {
		return true
	}
	if a.Plugin != r.Message.GetPlugin() {
		return false
	}
	switch name := a.Action.GetName(); name {
	case "delete":
		return r.Message.GetOwn()
	case "delete-for-me":
		return true
	case "edit": // is there already
		return false
	default:
		if r.File == nil {
			return a.Plugin == textPlugin
		}
		for _, o := range r.File.Orders {
			if string(o) == name {
				return true
			}
		}
		return false
	}
}

// Choose does what an item of a message's menu says, if that is not the window's.
func (c *Conversation) Choose(key string, item MenuItem) {
	r := c.Row(key)
	if r == nil {
		return
	}
	switch item.Choice {
	case ChooseReply:
		c.Composer.Reply(key)
	case ChooseEdit:
		c.Composer.Edit(key)
	case ChooseRetry:
		c.Retry(key)
	case ChooseDiscard:
		if o := c.session.outbox.get(r.Message.GetId()); o != nil && o.problem != "" {
			c.session.outbox.drop(o)
			c.session.outbox.changed(c.chat)
		}
	case ChooseAction:
		c.invoke(r.Message, item.action.Plugin, item.action.Action.GetName(), nil)
	}
}

// Retry sends again what failed.
func (c *Conversation) Retry(key string) {
	r := c.Row(key)
	if r == nil || r.State != Failed {
		return
	}
	if o := c.session.outbox.get(r.Message.GetId()); o != nil {
		c.session.outbox.retry(o)
		return
	}
	if editable(r) {
		body := r.Message.GetBody()
		c.session.outbox.send(&outgoing{plugin: textPlugin, req: &pluginpb.InvokeRequest{Action: "send", Chat: c.chat, Text: body}, text: body, shown: true})
		c.JumpToEnd()
	}
}

// Press does what a button of a card says.
func (c *Conversation) Press(key string, b *pluginpb.Button) {
	if r := c.Row(key); r != nil {
		c.invoke(r.Message, r.Message.GetPlugin(), b.GetAction(), b.GetArgs())
	}
}

// Order does something with the file of a message.
func (c *Conversation) Order(key string, o Order) {
	if r := c.Row(key); r != nil {
		c.invoke(r.Message, filePlugin, string(o), nil)
	}
}

// RunHere has a plugin do something with the chat.
func (c *Conversation) RunHere(a PluginAction) {
	c.invoke(&controlpb.Message{Chat: c.chat}, a.Plugin, a.Action.GetName(), nil)
}

func (c *Conversation) invoke(m *controlpb.Message, plugin, action string, args map[string]string) {
	req := &pluginpb.InvokeRequest{Invocation: client.NewInvocation(), Action: action, Chat: m.GetChat(), Message: m.GetId(), Args: maps.Clone(args)}
	c.session.callFor(0, func(ctx context.Context, core Core) error {
		_, err := core.InvokeAction(ctx, plugin, req, nil)
		return err
	}, func(err error) {
		if err != nil {
			c.session.Failures.emit(c.session.Sentence(err))
		}
	})
}

// Forward sends a message to another chat: a file as a file, all else as text.
func (c *Conversation) Forward(key, chat string) {
	r := c.Row(key)
	if r == nil || r.Message.GetDeleted() {
		return
	}
	if r.File != nil {
		if r.File.Path != "" {
			req := &pluginpb.InvokeRequest{Action: "send", Chat: chat, Paths: []string{r.File.Path}}
			c.session.outbox.send(&outgoing{plugin: filePlugin, req: req, shown: true})
		}
		return
	}
	body := r.Message.GetBody()
	c.session.outbox.send(&outgoing{plugin: textPlugin, req: &pluginpb.InvokeRequest{Action: "send", Chat: chat, Text: body}, text: body, shown: true})
}
