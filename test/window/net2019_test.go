package window

import (
	"context"
	"strings"
	"testing"

	"github.com/parley-chat/parley/test/net2019/original"
	"github.com/parley-chat/parley/test/ui"
	"github.com/parley-chat/parley/test/ui/atspi"
	"github.com/parley-chat/parley/test/ui/desktop"
	"github.com/parley-chat/parley/ui-gtk/texts"
)

// Ids of 2019: anna's, and those of two who have the original.
const (
	anna2019 = "2017000001"
	wang2019 = "2017000002"
	li2019   = "2017000003"
)

// world2019 is anna, with a window, and two people with the original, who meet at a
// server of 2019.
type world2019 struct {
	*world
	t        *testing.T
	server   *original.Server
	wang, li *original.Client
}

func newWorld2019(t *testing.T, cfg desktop.Config) *world2019 {
	t.Helper()
	w := &world2019{world: newWorld(t, cfg), t: t}
	server, err := original.Serve(t.Context(), original.ServerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	w.server = server
	w.wang, w.li = w.original(wang2019), w.original(li2019)
	return w
}

// original starts the client of 2019, and logs it in.
func (w *world2019) original(id string) *original.Client {
	w.t.Helper()
	c, err := original.Start(w.t.Context(), original.Config{ID: id, Directory: w.server.Addr(), Folder: w.t.TempDir()})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(c.Close)
	if err := c.LogIn(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	return c
}

// hears waits until a client has been told a text in a chat with anna, or others.
func (w *world2019) hears(c *original.Client, chat, text string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	if err := c.Await(ctx, "hears "+text, func() bool { return c.Heard(chat, anna2019, text) }); err != nil {
		w.t.Fatal(err)
	}
}

// account opens the preferences where 2019 is switched on and off.
func (p *person) account() ui.Element {
	p.t.Helper()
	prefs := p.preferences("Account")
	p.app.Resize(prefs, 760, 1000) // all of it
	return prefs
}

// fieldRefused waits until an entry says what is wrong with it.
func (p *person) fieldRefused(field ui.Element, part string) {
	p.t.Helper()
	p.screen.Until(field.Name()+" says that "+part, func() bool { return strings.Contains(field.Description(), part) })
}

// TestNet2019: anna switches it on, after it was said what it means, and talks with
// people who have the original, as far as it goes.
func TestNet2019(t *testing.T) {
	t.Parallel()
	w := newWorld2019(t, desktop.Config{Height: 1040})
	anna := w.anna
	anna.open()
	anna.opened()
	w.logIn()
	w.add()
	w.talk()
	w.asked()
	w.group()
	w.logOut()
}

// logIn: what is wrong stands beside its field; at last she is logged in.
func (w *world2019) logIn() {
	anna := w.anna
	prefs := anna.account()
	on := prefs.Find(atspi.ToggleButton, "Talk with people of 2019")
	on.Click()
	anna.app.FindFunc(atspi.Label, "what it means", func(s string) bool { return strings.Contains(s, "Nothing proves who somebody is") })
	anna.shot("net2019-explained")
	anna.app.Find(atspi.PushButton, "Cancel").Click()
	anna.screen.Until("it is off", func() bool { return !on.Is(atspi.Checked) })
	on.Click()
	anna.app.Find(atspi.PushButton, "Go on").Click()
	id := prefs.Find(atspi.Text, "Your id")
	id.SetText("12345")
	submit := prefs.Find(atspi.PushButton, "Log in with 2019")
	submit.Click()
	anna.fieldRefused(id, "ten digits")
	anna.shot("net2019-problem")
	id.SetText(anna2019)
	submit.Click() // at her directory, which does not serve it
	prefs.FindFunc(atspi.Alert, "that it does not", func(s string) bool { return strings.HasPrefix(s, "Your directory does not serve people of 2019") })
	prefs.Find(atspi.ComboBox, "Log in at").Choose("a server of 2019")
	server, password := prefs.Find(atspi.Text, "Server"), prefs.Find(atspi.PasswordText, "Password of the server")
	submit.Click()
	anna.fieldRefused(server, "address of the server")
	server.SetText("127.0.0.1:1")
	password.SetText("wrong")
	submit.Click()
	anna.fieldRefused(server, "cannot be reached")
	server.SetText(w.server.Addr())
	submit.Click()
	anna.fieldRefused(password, "refused "+anna2019)
	password.SetText(original.Word)
	submit.Click()
	prefs.FindFunc(atspi.Label, "that she is logged in", func(s string) bool { return strings.HasPrefix(s, "Logged in at ") && strings.HasSuffix(s, anna2019) })
	anna.shot("net2019-on")
	anna.app.Activate(prefs)
	anna.screen.Keys("Escape")
}

// add: a contact of 2019 is there at once, and the first chat says what it is.
func (w *world2019) add() {
	anna := w.anna
	anna.app.Activate(anna.window)
	anna.screen.Keys("ctrl+n")
	add := anna.app.Window("Add a contact")
	who := add.Find(atspi.Text, "User id or link")
	who.SetText("net2019:20170")
	add.Find(atspi.Label, "Not encrypted")
	send := add.Find(atspi.PushButton, "Add")
	send.Click()
	anna.fieldRefused(who, "ten digits")
	who.SetText("net2019:" + wang2019)
	anna.shot("net2019-add")
	send.Click()
	add.FindFunc(atspi.Alert, "that it is done", func(s string) bool { return strings.HasSuffix(s, "Nothing that you say to each other is encrypted.") })
	anna.app.Activate(add)
	anna.screen.Keys("Escape")
	anna.openChat(wang2019 + " (2019), not encrypted")
	anna.app.FindFunc(atspi.Label, "what such a chat is", func(s string) bool { return strings.Contains(s, "one tick") })
	anna.shot("net2019-first-chat")
	anna.app.Find(atspi.PushButton, "I understand").Click()
	anna.window.FindFunc(atspi.PushButton, "of the person", func(s string) bool { return strings.HasSuffix(s, "Not encrypted") })
	anna.window.Find(atspi.Icon, "Not encrypted") // in the list
}

// talk: both hear each other, and what cannot be said is not offered.
func (w *world2019) talk() {
	anna, chat := w.anna, original.ChatOf(anna2019, wang2019)
	anna.window.FindFunc(atspi.PushButton, "of wang, who is there", func(s string) bool { return strings.HasPrefix(s, wang2019+" (2019), Online") })
	anna.write("hello 你好 🙂")
	w.hears(w.wang, chat, "hello 你好 🙂")
	mine := anna.message("You: hello 你好 🙂", "Sent")
	if err := w.wang.Say(chat, "收到了_good"); err != nil {
		w.t.Fatal(err)
	}
	anna.message("收到了_good")
	mine.Focus()
	mine.Find(atspi.PushButton, "Message menu").Click()
	anna.window.Find(atspi.PushButton, "Details")
	for _, not := range []string{"Reply", "React", "Edit", "Delete for everyone"} {
		if len(anna.window.All(atspi.PushButton, not)) > 0 {
			w.t.Errorf("the menu offers %s", not)
		}
	}
	anna.screen.Keys("Escape")
	if err := w.wang.Call(chat); err != nil {
		w.t.Fatal(err)
	}
	anna.window.FindFunc(atspi.Alert, "that a call was declined", func(s string) bool { return strings.Contains(s, "wanted a video call. It was declined") })
	anna.shot("net2019-chat")
}

// asked: who has the original asks as they do, and is accepted.
func (w *world2019) asked() {
	anna := w.anna
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	chat, err := w.li.Add(ctx, anna2019)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.li.Say(chat, "it is Li"); err != nil {
		w.t.Fatal(err)
	}
	accept := anna.window.Find(atspi.PushButton, "Accept the request of "+li2019+" (2019)")
	anna.window.Find(atspi.Label, "Not encrypted; nothing proves who it is")
	anna.shot("net2019-request")
	accept.Click()
	anna.window.Gone(atspi.PushButton, "Accept the request of "+li2019+" (2019)")
	anna.openChat(li2019 + " (2019), not encrypted")
	anna.message("it is Li")
	anna.write("I see")
	w.hears(w.li, chat, "I see")
}

// group: she makes one, and its page says what it is.
func (w *world2019) group() {
	anna, chat := w.anna, original.ChatOf(anna2019, wang2019, li2019)
	anna.app.Activate(anna.window)
	anna.screen.Keys("ctrl+g")
	form := anna.app.Window("New group")
	for _, id := range []string{wang2019, li2019} {
		form.Find(atspi.CheckBox, id+" (2019)").Click()
	}
	form.Find(atspi.Label, "Not encrypted")
	anna.shot("net2019-new-group")
	form.Find(atspi.PushButton, "Create the group").Click()
	header := anna.window.FindFunc(atspi.PushButton, "of the group", func(s string) bool { return strings.Contains(s, "3 members") && strings.HasSuffix(s, "Not encrypted") })
	anna.write("hello both")
	for _, c := range []*original.Client{w.wang, w.li} {
		w.hears(c, chat, "hello both")
	}
	anna.message("You: hello both", "Sent")
	header.Click()
	page := anna.app.Window("About the group")
	page.Find(atspi.Label, "Not encrypted")
	page.Find(atspi.ListItem, wang2019+" (2019)")
	anna.shot("net2019-group-page")
	anna.app.Activate(page)
	anna.screen.Keys("Escape")
}

// logOut: switched off, the server does not know her any more.
func (w *world2019) logOut() {
	anna := w.anna
	anna.app.Activate(anna.window)
	prefs := anna.account()
	on := prefs.Find(atspi.ToggleButton, "Talk with people of 2019")
	on.Click()
	prefs.Find(atspi.Label, "Switched off")
	anna.screen.Until("the server was told", func() bool {
		where, err := w.wang.Where(w.t.Context(), anna2019)
		if err != nil {
			w.t.Fatal(err)
		}
		return where == ""
	})
	on.Click() // it was explained
	prefs.Find(atspi.Text, "Your id")
}

// TestNet2019Pages keeps a picture of what 2019 adds to the window, light and dark, in
// both languages.
func TestNet2019Pages(t *testing.T) {
	t.Parallel()
	w := newWorld2019(t, desktop.Config{Width: 1100, Height: 1040})
	w.anna.open()
	w.logIn()
	w.add()
	w.talk()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := w.li.Add(ctx, anna2019); err != nil {
		t.Fatal(err)
	}
	w.anna.window.Find(atspi.PushButton, "Accept the request of "+li2019+" (2019)")
	w.anna.leave()
	for _, language := range []string{"en", "zh-Hans"} {
		for _, theme := range []string{"light", "dark"} {
			s := &scene{world: w.world, t: t, look: look{theme, language}}
			w.draw(s)
		}
	}
}

func (w *world2019) draw(s *scene) {
	p := w.anna
	p.words = texts.New(s.look.language)
	s.begin(p)
	p.openChat(wang2019 + " (2019)")
	p.app.FindFunc(atspi.Label, "what such a chat is", func(name string) bool {
		return strings.HasPrefix(name, strings.SplitN(p.tr("It is with people who use the chat program of 2019. Everybody on the way, in your network or theirs, can read what is written here, change it, and write in anybody's name. An open red lock marks such chats."), ".", 2)[0])
	})
	s.shot("open-chat-explained")
	p.app.Find(atspi.PushButton, p.tr("I understand")).Click()
	p.message("收到了_good")
	s.shot("open-chat")
	p.window.FindFunc(atspi.PushButton, "of the person", func(name string) bool { return strings.HasSuffix(name, p.tr("Not encrypted")) }).Click()
	p.app.Window(p.tr("Contact page"))
	s.shot("open-person")
	s.escape(p.tr("Contact page"))
	p.screen.Keys("ctrl+n")
	p.app.Window(p.tr("Add a contact")).Find(atspi.Text, p.tr("User id or link")).SetText("net2019:2017000009")
	s.shot("open-add")
	s.escape(p.tr("Add a contact"))
	prefs := p.preferences("Account")
	p.app.Resize(prefs, 760, 1000)
	prefs.Find(atspi.Text, p.tr("Your id"))
	s.shot("open-preferences")
	s.escape(p.tr("Preferences"))
	p.leave()
}
