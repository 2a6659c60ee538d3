package window

import (
	"strings"
	"testing"

	"github.com/parley-chat/parley/bench/people"
	"github.com/parley-chat/parley/protocol/pluginpb"
	"github.com/parley-chat/parley/test/ui"
	"github.com/parley-chat/parley/test/ui/atspi"
	"github.com/parley-chat/parley/test/ui/desktop"
)

// keyboardAt is what has the keyboard in a window: its role and its name.
type keyboardAt struct {
	role atspi.Role
	name string
}

// takers are the roles of what may have it.
var takers = []atspi.Role{atspi.PushButton, atspi.ToggleButton, atspi.CheckBox, atspi.ListItem, atspi.Text, atspi.Label}

// at waits until something in a window has the keyboard, and says what.
func (p *person) at(window ui.Element) (now keyboardAt) {
	p.t.Helper()
	p.screen.Until("something has the keyboard", func() bool {
		for _, role := range takers {
			for _, x := range window.AllFunc(role, func(string) bool { return true }) {
				if x.Is(atspi.Focused) {
					now = keyboardAt{role, x.Name()}
					return true
				}
			}
		}
		return false
	})
	return now
}

// arrives waits until something has the keyboard.
func (p *person) arrives(window ui.Element, role atspi.Role, with string) {
	p.t.Helper()
	p.screen.Until("the keyboard is at "+with, func() bool {
		for _, x := range window.AllFunc(role, func(name string) bool { return strings.HasPrefix(name, with) }) {
			if x.Is(atspi.Focused) {
				return true
			}
		}
		return false
	})
}

// far is how many presses of a key a test goes for something.
const far = 40

// goes presses a key until something has the keyboard whose name begins with a text, and
// gives all that had it on the way.
func (p *person) goes(window ui.Element, key string, role atspi.Role, with string) (passed []keyboardAt) {
	p.t.Helper()
	for now := p.at(window); len(passed) < far; {
		passed = append(passed, now)
		if now.role == role && strings.HasPrefix(now.name, with) {
			return passed
		}
		p.screen.Keys(key)
		was := now
		p.screen.Until("the keyboard went on from "+was.name, func() bool {
			now = p.at(window)
			return now != was
		})
	}
	p.t.Fatalf("%d times %s does not lead to %q, but to %+v", far, key, with, passed)
	return nil
}

// closed waits until a menu with an item is open no more, and the keyboard is where it was.
func (p *person) closed(window ui.Element, item string, role atspi.Role, with string) {
	p.t.Helper()
	window.Gone(atspi.PushButton, item)
	p.arrives(window, role, with)
}

// TestMenusWithTheKeyboard: every menu is walked, chosen from and closed without a mouse.
func TestMenusWithTheKeyboard(t *testing.T) {
	t.Parallel()
	w := newWorld(t, desktop.Config{})
	anna, window := w.anna, ui.Element{}
	hikers, err := people.Group(t.Context(), "Hikers", anna.Person, w.bob.Person)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.bob.Send(t.Context(), hikers, "first of all"); err != nil {
		t.Fatal(err)
	}
	anna.prefer(`{"theme": "light"}`)
	window = anna.open()
	anna.openChat("Hikers")
	anna.message("bob: first of all")
	anna.arrives(window, atspi.Text, "Write a message")

	t.Log("the menu of a message")
	anna.goes(window, "shift+Tab", atspi.ListItem, "bob: first of all")
	anna.screen.Keys("Return")
	anna.arrives(window, atspi.PushButton, "thumbs up")
	anna.goes(window, "Down", atspi.PushButton, "Details")
	anna.shot("menu-message-keyboard")
	anna.goes(window, "Up", atspi.PushButton, "Reply")
	anna.goes(window, "Down", atspi.PushButton, "Details")
	anna.goes(window, "Tab", atspi.PushButton, "Reply") // round
	anna.screen.Keys("Escape")
	anna.closed(window, "Reply", atspi.ListItem, "bob: first of all")
	anna.screen.Keys("Return")
	anna.goes(window, "Down", atspi.PushButton, "Reply")
	anna.screen.Keys("Return")
	anna.closed(window, "Reply", atspi.Text, "Write a message")
	anna.screen.Keys("Escape") // it is not answered after all

	t.Log("the menu of the chat")
	anna.goes(window, "shift+Tab", atspi.ToggleButton, "Chat menu")
	anna.screen.Keys("Return")
	anna.arrives(window, atspi.PushButton, "About the group")
	anna.goes(window, "Down", atspi.PushButton, "Mute")
	anna.shot("menu-chat-keyboard")
	anna.screen.Keys("Escape")
	anna.closed(window, "Mute", atspi.ToggleButton, "Chat menu")
	anna.screen.Keys("space")
	anna.goes(window, "Tab", atspi.PushButton, "Mute")
	anna.screen.Keys("space")
	anna.closed(window, "Mute", atspi.ToggleButton, "Chat menu")
	window.Find(atspi.ListBox, "Chats").FindFunc(atspi.ListItem, "that is muted", func(name string) bool { return strings.Contains(name, "muted") })
	anna.screen.Keys("Return")
	anna.goes(window, "Down", atspi.PushButton, "Unmute")
	anna.screen.Keys("Escape")
	anna.closed(window, "Unmute", atspi.ToggleButton, "Chat menu")

	t.Log("the menu of a chat in the list")
	anna.screen.Keys("ctrl+k")
	anna.arrives(window, atspi.Text, "Search")
	anna.screen.Keys("Down")
	anna.arrives(window, atspi.ListItem, "Hikers")
	anna.screen.Keys("shift+F10")
	anna.arrives(window, atspi.PushButton, "Pin")
	anna.goes(window, "Down", atspi.PushButton, "Unmute")
	anna.screen.Keys("Escape")
	anna.closed(window, "Unmute", atspi.ListItem, "Hikers")

	t.Log("the menu of a member, above a page that Escape closes, too")
	page := anna.groupPage("Hikers")
	anna.app.Activate(page)
	anna.goes(page, "Tab", atspi.ToggleButton, "More about bob")
	anna.screen.Keys("Return")
	anna.arrives(page, atspi.PushButton, "Contact page")
	anna.goes(page, "Down", atspi.PushButton, "Remove from the group…")
	anna.shot("menu-member-keyboard")
	anna.screen.Keys("Escape")
	anna.closed(page, "Contact page", atspi.ToggleButton, "More about bob")
	anna.screen.Keys("Return")
	anna.goes(page, "Down", atspi.PushButton, "Make an admin")
	anna.screen.Keys("Return")
	begins(page, atspi.ListItem, "bob, Admin")
	anna.arrives(page, atspi.ToggleButton, "More about bob")
	anna.screen.Keys("Escape")
	anna.screen.Until("the page is closed", func() bool { return !page.Is(atspi.Showing) })
}

// TestChatsWithTheKeyboard: Tab goes into the list of chats and out of it, the arrows walk
// it, and only Return opens a chat, which is in sight then.
func TestChatsWithTheKeyboard(t *testing.T) {
	t.Parallel()
	w := newWorld(t, desktop.Config{})
	anna := w.anna
	var groups []string
	for _, title := range []string{"Hikers", "Readers", "Singers", "Bakers", "Sailors", "Dancers", "Painters", "Runners", "Weavers", "Players", "Cooks", "Drummers"} {
		if _, err := people.Group(t.Context(), title, anna.Person, w.bob.Person); err != nil {
			t.Fatal(err)
		}
		groups = append(groups, title)
	}
	anna.prefer(`{"theme": "light"}`)
	window := anna.open()
	last := groups[len(groups)-1]
	chats := window.Find(atspi.ListBox, "Chats")
	begins(chats, atspi.ListItem, last)
	anna.screen.Keys("ctrl+k")
	anna.arrives(window, atspi.Text, "Search")
	anna.screen.Keys("Tab")
	anna.arrives(window, atspi.ListItem, last)
	anna.goes(window, "Down", atspi.ListItem, "Dancers")
	anna.goes(window, "Up", atspi.ListItem, "Runners")
	if open := window.AllFunc(atspi.PushButton, func(name string) bool { return strings.Contains(name, " members") }); len(open) > 0 {
		t.Fatalf("walking the list has opened %q", open[0].Name())
	}
	anna.screen.Keys("Return")
	begins(window, atspi.PushButton, "Runners, 2 members")
	anna.arrives(window, atspi.Text, "Write a message")
	for _, x := range anna.goes(window, "shift+Tab", atspi.ListItem, "Runners") {
		if x.role == atspi.Text && strings.HasPrefix(x.name, "Search") {
			t.Error("the list was left out")
		}
	}
	anna.goes(window, "Down", atspi.ListItem, "Hikers")
	anna.screen.Keys("alt+1")
	begins(window, atspi.PushButton, last+", 2 members")
	anna.screen.Until("the row of the chat that is open is in sight", func() bool {
		row, all := begins(chats, atspi.ListItem, last), chats.Bounds()
		return row.Is(atspi.Selected) && row.Bounds().In(window.Bounds()) && !row.Bounds().Empty() && row.Bounds().Min.Y >= all.Min.Y
	})
}

// TestFormsWithTheKeyboard: whatever is drawn anew, hidden or gone once something was done
// with the keyboard, the keyboard is somewhere from which one goes on.
func TestFormsWithTheKeyboard(t *testing.T) {
	t.Parallel()
	w := newWorld(t, desktop.Config{})
	anna, bob := w.anna, w.bob
	hikers, err := people.Group(t.Context(), "Hikers", anna.Person, bob.Person)
	if err != nil {
		t.Fatal(err)
	}
	anna.prefer(`{"theme": "light"}`)
	window := anna.open()
	anna.openChat("Hikers")

	t.Log("the form on the page of a group")
	page := anna.groupPage("Hikers")
	anna.app.Activate(page)
	anna.goes(page, "Tab", atspi.PushButton, "Edit")
	anna.screen.Keys("Return")
	anna.arrives(page, atspi.Text, "Name of the group")
	name := page.Find(atspi.Text, "Name of the group")
	anna.screen.Keys("ctrl+a")
	anna.screen.Type("Walkers")
	anna.screen.Until("the name is written", func() bool { return name.Text() == "Walkers" })
	anna.screen.Keys("Escape")
	page.Gone(atspi.PushButton, "Save")
	anna.arrives(page, atspi.PushButton, "Edit")
	anna.screen.Keys("Return")
	anna.arrives(page, atspi.Text, "Name of the group")
	if text := name.Text(); text != "Walkers" {
		t.Errorf("after Escape, the name in the form is %q", text)
	}
	anna.goes(page, "Tab", atspi.PushButton, "Save")
	save := page.Find(atspi.PushButton, "Save")
	at := save.Placed()
	anna.screen.Until("a ring is seen on the button", func() bool {
		img, most := anna.screen.Screenshot(), 0
		for y := at.Min.Y + 3; y < at.Min.Y+9; y++ { // above the text
			bright := 0
			for x := at.Min.X + 3; x < at.Max.X-3; x++ {
				if c := img.RGBAAt(x, y); c.R > 0xe0 && c.G > 0xe0 && c.B > 0xe0 {
					bright++
				}
			}
			most = max(most, bright)
		}
		return most > at.Dx()/2
	})
	anna.shot("focus-save")
	anna.screen.Keys("Return")
	page.Find(atspi.Label, "Walkers")
	anna.arrives(page, atspi.PushButton, "Edit")
	anna.screen.Keys("Escape")
	anna.screen.Until("the page is closed", func() bool { return !page.Is(atspi.Showing) })

	t.Log("a reaction")
	id := bob.invoke("text", &pluginpb.InvokeRequest{Action: "send", Chat: string(hikers), Text: "shall we?"})
	message := anna.message("bob: shall we?")
	react := func(action, emoji string) {
		bob.invoke("emoji", &pluginpb.InvokeRequest{Action: action, Chat: string(hikers), Message: id, Text: emoji})
	}
	react("react", "👍")
	message.Find(atspi.PushButton, "👍 bob")
	anna.app.Activate(window)
	anna.composer().Focus()
	anna.goes(window, "shift+Tab", atspi.PushButton, "👍 bob")
	anna.screen.Keys("space")
	message.FindFunc(atspi.PushButton, "of anna, too", func(name string) bool { return strings.HasPrefix(name, "👍 ") && strings.Contains(name, "You") })
	anna.arrives(window, atspi.PushButton, "👍 ")
	react("react", "🫖")
	message.Find(atspi.PushButton, "🫖 bob")
	anna.arrives(window, atspi.PushButton, "👍 ")
	react("unreact", "👍")
	message.Find(atspi.PushButton, "👍 You")
	anna.arrives(window, atspi.PushButton, "👍 You")
	anna.screen.Keys("space")
	message.Gone(atspi.PushButton, "👍 You")
	anna.arrives(window, atspi.ListItem, "bob: shall we?")

	t.Log("an invitation")
	for _, title := range []string{"Readers", "Singers"} {
		bob.invoke("group", &pluginpb.InvokeRequest{Action: "create", Text: title, Args: map[string]string{"users": anna.Name}})
	}
	window.Find(atspi.PushButton, "Decline to join Singers")
	anna.goes(window, "shift+Tab", atspi.PushButton, "Decline to join Singers")
	anna.screen.Keys("Return")
	window.Gone(atspi.PushButton, "Decline to join Singers")
	anna.arrives(window, atspi.Text, "Search")
	anna.goes(window, "Tab", atspi.PushButton, "Join Readers")
	anna.screen.Keys("Return")
	begins(window, atspi.PushButton, "Readers, 2 members")
	anna.arrives(window, atspi.Text, "Write a message")

	t.Log("an invitation to the group that is shown")
	readers := anna.group("Readers")
	bob.invoke("group", &pluginpb.InvokeRequest{Action: "remove", Chat: readers, Args: map[string]string{"users": anna.Name}})
	window.Gone(atspi.Text, "Write a message")
	bob.invoke("group", &pluginpb.InvokeRequest{Action: "invite", Chat: readers, Args: map[string]string{"users": anna.Name}})
	window.Find(atspi.PushButton, "Join")
	anna.screen.Keys("ctrl+k")
	anna.goes(window, "shift+Tab", atspi.PushButton, "Join")
	anna.screen.Keys("Return")
	anna.arrives(window, atspi.Text, "Write a message")
}
