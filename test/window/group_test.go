package window

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/parley-chat/parley/bench/people"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/pluginpb"
	"github.com/parley-chat/parley/test/ui"
	"github.com/parley-chat/parley/test/ui/atspi"
	"github.com/parley-chat/parley/test/ui/desktop"
)

// group waits until somebody's core has a group of a title, and gives its id.
func (p *person) group(title string) (chat string) {
	p.t.Helper()
	p.until("the group is there", func(ctx context.Context) (bool, error) {
		r, err := p.Client.ListChats(ctx, &controlpb.ListChatsRequest{})
		for _, c := range r.GetChats() {
			if c.GetKind() == "group" && c.GetTitle() == title {
				chat = c.GetId()
				return true, nil
			}
		}
		return false, err
	})
	return chat
}

// hasMembers waits until a group has these members, as somebody's core knows it.
func (p *person) hasMembers(chat string, members ...string) {
	p.t.Helper()
	p.until("the members are these", func(ctx context.Context) (bool, error) {
		r, err := p.Client.ListChats(ctx, &controlpb.ListChatsRequest{})
		for _, c := range r.GetChats() {
			if c.GetId() == chat {
				now := slices.Sorted(slices.Values(c.GetMembers()))
				return slices.Equal(now, members), nil
			}
		}
		return false, err
	})
}

// begins finds something whose name begins so.
func begins(in ui.Element, role atspi.Role, with string) ui.Element {
	return in.FindFunc(role, "that begins with "+with, func(name string) bool { return strings.HasPrefix(name, with) })
}

// groupPage opens the page of the group that is shown.
func (p *person) groupPage(title string) ui.Element {
	p.t.Helper()
	p.app.Activate(p.window)
	begins(p.window, atspi.PushButton, title+", ").Click()
	return p.app.Window(p.tr("About the group"))
}

// TestGroup: a group of three, made, joined, led and left in windows.
func TestGroup(t *testing.T) {
	t.Parallel()
	w := newWorld(t, desktop.Config{})
	carol := w.add("carol")
	if err := people.Befriend(t.Context(), w.anna.Person, carol.Person); err != nil {
		t.Fatal(err)
	}
	for _, p := range []*person{w.anna, w.bob} {
		p.prefer(`{"theme": "light"}`)
		p.open()
	}
	chat := makeGroup(w.anna)
	joinGroup(w.bob, carol, chat)
	talkInGroup(w.anna, w.bob, carol, chat)
	leadGroup(w.anna, w.bob, carol, chat)
	leaveGroup(w.anna, w.bob, chat)
}

// makeGroup makes it with the keyboard.
func makeGroup(p *person) string {
	p.opened()
	p.app.Activate(p.window)
	p.screen.Keys("ctrl+g")
	form := p.app.Window("New group")
	p.app.Activate(form)
	form.Find(atspi.PushButton, "Create the group").Click()
	form.Find(atspi.Alert, "Give the group a name.")
	name := form.Find(atspi.Text, "Name of the group")
	p.screen.Until("the name has the keyboard", func() bool { return name.Is(atspi.Focused) })
	p.screen.Type("Hikers")
	for _, other := range []string{"bob", "carol"} {
		form.Find(atspi.Text, "Search a contact").SetText(other[:2])
		choice := form.Find(atspi.CheckBox, other)
		choice.Click()
		p.screen.Until(other+" is chosen", func() bool { return choice.Is(atspi.Checked) })
	}
	form.Find(atspi.Label, "2 people chosen: bob and carol")
	p.shot("group-new")
	form.Find(atspi.PushButton, "Create the group").Click()
	p.message("You created the group “Hikers”", "You invited bob and carol")
	begins(p.window, atspi.PushButton, "Hikers, 1 member")
	return p.group("Hikers")
}

// joinGroup: bob is asked in his window, and carol on the command line.
func joinGroup(bob, carol *person, chat string) {
	bob.window.Find(atspi.Heading, "Invitations")
	bob.window.Find(atspi.Label, "anna invites you.")
	bob.shot("group-invitation")
	bob.window.Find(atspi.PushButton, "Join Hikers").Click()
	begins(bob.window, atspi.ListItem, "Hikers").Select()
	bob.message("You joined")
	bob.window.Gone(atspi.Heading, "Invitations")
	carol.group("Hikers")
	carol.invoke("group", &pluginpb.InvokeRequest{Action: "accept", Chat: chat})
	bob.message("carol joined")
}

// talkInGroup: mentions, authors, who typed, who has read, and reactions.
func talkInGroup(anna, bob, carol *person, chat string) {
	anna.message("carol joined")
	anna.app.Activate(anna.window)
	anna.composer().Focus()
	anna.screen.Type("Sunday, @c")
	list := anna.window.Find(atspi.List, "Completions")
	list.Find(atspi.PushButton, "carol")
	anna.shot("group-mention")
	anna.screen.Keys("Tab")
	anna.screen.Until("carol is mentioned", func() bool { return anna.composer().Text() == "Sunday, @carol " })
	anna.screen.Type("and @bo")
	list.Find(atspi.PushButton, "bob")
	anna.screen.Keys("Return", "Return")
	bob.message("anna: Sunday, @carol and @bob").Find(atspi.PushButton, "anna")
	carol.invoke("text", &pluginpb.InvokeRequest{Action: "typing", Chat: chat, Args: map[string]string{"typing": "true"}})
	anna.window.Find(atspi.StatusBar, "carol is typing…")
	carol.invoke("text", &pluginpb.InvokeRequest{Action: "send", Chat: chat, Text: "I bring tea"})
	message := anna.message("carol: I bring tea")

	message.Focus()
	message.Find(atspi.PushButton, "Message menu").Click()
	anna.window.Find(atspi.PushButton, "thumbs up").Click()
	bob.message("carol: I bring tea").Find(atspi.PushButton, "👍 anna").Click()
	message.Find(atspi.PushButton, "👍 You, bob")

	own := anna.message("You: Sunday, @carol and @bob")
	anna.menu(own, "Details")
	details := anna.app.Window("Details")
	details.Find(atspi.ListItem, "bob, Read")
	details.Find(atspi.ListItem, "carol, Delivered")
	anna.shot("group-details")
	anna.app.Activate(details)
	anna.screen.Keys("Escape")
	anna.shot("group-chat")
}

// leadGroup: an admin is appointed, who leads; and somebody is taken out.
func leadGroup(anna, bob, carol *person, chat string) {
	page := anna.groupPage("Hikers")
	begins(page.Find(atspi.List, "Members"), atspi.ListItem, "carol")
	page.Find(atspi.ToggleButton, "More about bob").Click()
	page.Find(atspi.PushButton, "Make an admin").Click()
	begins(page, atspi.ListItem, "bob, Admin")
	anna.shot("group-page")
	bob.message("anna made you an admin")

	theirs := bob.groupPage("Hikers")
	bob.app.Activate(theirs)
	theirs.Find(atspi.PushButton, "Edit").Click()
	name := theirs.Find(atspi.Text, "Name of the group")
	bob.screen.Until("the name has the keyboard", func() bool { return name.Is(atspi.Focused) })
	name.SetText("Sunday hikers")
	theirs.Find(atspi.Text, "Description").SetText("Whatever the weather")
	bob.shot("group-edit")
	theirs.Find(atspi.PushButton, "Save").Click()
	page.Find(atspi.Label, "Whatever the weather")
	page.Find(atspi.Label, "Sunday hikers")
	begins(bob.window, atspi.PushButton, "Sunday hikers, 3 members")
	anna.message("bob named the group “Sunday hikers”")

	page.Find(atspi.ToggleButton, "More about carol").Click()
	page.Find(atspi.PushButton, "Remove from the group…").Click()
	anna.app.Find(atspi.Label, "Remove carol from the group?")
	anna.app.Find(atspi.PushButton, "Remove").Click()
	for _, p := range []*person{anna, bob} {
		p.hasMembers(chat, "anna", "bob")
	}
	bob.message("anna removed carol")
	page.Find(atspi.PushButton, "Invite people").Click()
	invite := anna.app.Window("Invite people")
	invite.Find(atspi.CheckBox, "carol").Click()
	anna.shot("group-invite")
	invite.Find(atspi.PushButton, "Invite").Click()
	begins(page, atspi.ListItem, "carol, Invited by you, Invited")
	anna.app.Activate(page)
	anna.screen.Keys("Escape")
	bob.app.Activate(theirs)
	bob.screen.Keys("Escape")
}

// leaveGroup: the owner leaves, and who was an admin owns it.
func leaveGroup(anna, bob *person, chat string) {
	page := anna.groupPage("Sunday hikers")
	page.Find(atspi.PushButton, "Leave the group…").Click()
	anna.app.Find(atspi.Label, "Leave Sunday hikers?")
	anna.app.Find(atspi.PushButton, "Leave group").Click()
	anna.window.Find(atspi.Label, "You are not in this group any more.")
	anna.shot("group-left")
	bob.message("anna left")
	theirs := bob.groupPage("Sunday hikers")
	begins(theirs, atspi.ListItem, "bob, You, Owner")
	bob.hasMembers(chat, "bob", "carol")
	removeChat(anna)
}

// removeChat: who is not in a group any more has it out of sight.
func removeChat(anna *person) {
	anna.window.Find(atspi.ToggleButton, "Chat menu").Click()
	anna.window.Find(atspi.PushButton, "Remove chat…").Click()
	anna.app.Find(atspi.Label, "Remove the chat “Sunday hikers”?")
	anna.shot("group-remove-chat")
	anna.app.Find(atspi.PushButton, "Remove chat").Click()
	anna.screen.Until("the chat is out of the list", func() bool {
		return len(anna.window.AllFunc(atspi.ListItem, func(name string) bool { return strings.HasPrefix(name, "Sunday hikers") })) == 0
	})
	anna.shot("group-removed")
}
