package window

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/parley-chat/parley/bench/people"
	"github.com/parley-chat/parley/bench/process"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/pluginpb"
	"github.com/parley-chat/parley/test/ui"
	"github.com/parley-chat/parley/test/ui/atspi"
	"github.com/parley-chat/parley/test/ui/desktop"
	"github.com/parley-chat/parley/ui-gtk/texts"
)

// pollProgram builds examples/poll, once.
var pollProgram = sync.OnceValues(func() (string, error) {
	folder, err := filepath.Abs("../../bin/examples")
	if err != nil {
		return "", err
	}
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", folder+"/", "./parley-plugin-poll")
	build.Dir, build.Env = "../../examples/poll", append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the poll: %w\n%s", err, out)
	}
	return filepath.Join(folder, "parley-plugin-poll"), nil
})

// dropIn puts the poll into somebody's plugin folder.
func (p *person) dropIn() {
	p.t.Helper()
	program, err := pollProgram()
	if err != nil {
		p.t.Fatal(err)
	}
	b, err := os.ReadFile(program)
	if err != nil {
		p.t.Fatal(err)
	}
	folder := filepath.Join(p.Home, "plugins")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, filepath.Base(program)), b, 0o700); err != nil { //nolint:gosec // a program
		p.t.Fatal(err)
	}
}

// call sets what others see of somebody.
func (p *person) call(name string) {
	p.t.Helper()
	if _, err := p.Client.SetProfile(p.t.Context(), &controlpb.SetProfileRequest{DisplayName: name, SetDisplayName: true}); err != nil {
		p.t.Fatal(err)
	}
}

// TestPages keeps a picture of every page, light and dark, in both languages. That
// each page is there is what it proves; how it looks is for people to judge.
func TestPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t, desktop.Config{Width: 1100, Height: 790})
	s := newScene(w)
	for _, language := range []string{"en", "zh-Hans"} {
		for _, theme := range []string{"light", "dark"} {
			s.look = look{theme, language}
			s.draw()
		}
	}
}

// look is how windows are drawn.
type look struct{ theme, language string }

// scene is people with something to show.
type scene struct {
	*world
	t                  *testing.T
	look               look
	alone, locked, new *person
	marta              *person
	picture            string // a file
}

func newScene(w *world) *scene {
	t := w.anna.t
	s := &scene{world: w, t: t, picture: filepath.Join(t.TempDir(), "Huangshan.png")}
	if err := os.WriteFile(s.picture, picture(t), 0o600); err != nil {
		t.Fatal(err)
	}
	w.anna.call("Anna 安娜")
	w.bob.call("林小雨 Lin Xiaoyu")
	s.alone = w.add("noel")
	s.locked = s.lock("dora")
	s.new = &person{Person: &people.Person{Name: "new", Home: t.TempDir()}, t: t}
	t.Cleanup(func() { endBelow(t, s.new.Home) })
	s.contacts()
	s.talk()
	s.groups()
	for _, p := range []*person{s.alone, s.locked, s.new} {
		p.screen = w.anna.screen
	}
	return s
}

// lock gives somebody an account that needs a passphrase.
func (s *scene) lock(name string) *person {
	p := &person{Person: s.people.Known(name), t: s.t}
	start := func() *process.Process {
		core, err := process.Start(process.Config{
			Program: "parley", Args: []string{"daemon", "--listen", "127.0.0.1:0"},
			Env: []string{"PARLEY_HOME=" + p.Home, "PARLEY_PROFILE=", "PARLEY_KEY=", "PARLEY_PLUGINS=", "DBUS_SESSION_BUS_ADDRESS=" + s.anna.screen.Desktop.Bus},
		})
		if err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(core.Kill)
		p.connect()
		return core
	}
	core := start()
	st, err := s.anna.Client.GetStatus(s.t.Context(), &controlpb.GetStatusRequest{})
	if err != nil {
		s.t.Fatal(err)
	}
	_, err = p.Client.LogIn(s.t.Context(), &controlpb.LogInRequest{
		Directory: st.GetDirectory().GetAddress(), User: name, Password: password, Register: true, Passphrase: "five words that nobody knows",
	})
	if err != nil {
		s.t.Fatal(err)
	}
	core.Kill()
	start()
	return p
}

// contacts are people in the list, who said something, and those who ask.
func (s *scene) contacts() {
	ctx := s.t.Context()
	for _, x := range []struct{ id, name, says string }{
		{"marta", "Marta Nowak", "See you at the station at nine, bring the tickets please, and the map"},
		{"wang.wei", "王伟", "新的图标已经上传了 🎨"},
		{"ahmed", "Ahmed El-Sayed", "مرحبا"},
		{"tomas", "Tomás", "jajaja 😂😂"},
	} {
		p := s.add(x.id)
		p.call(x.name)
		if err := people.Befriend(ctx, s.anna.Person, p.Person); err != nil {
			s.t.Fatal(err)
		}
		p.say(s.anna, x.says)
		if x.id == "marta" {
			s.marta = p
		}
		if x.id == "wang.wei" {
			p.say(s.anna, "你看到了吗？")
		}
	}
	eve := s.add("eve")
	eve.call("Jürgen Schäfer")
	if _, err := eve.Client.RequestContact(ctx, &controlpb.RequestContactRequest{User: "anna", Greeting: "Hello Anna, we met at the conference in Kraków. 我们在会议上见过面。"}); err != nil {
		s.t.Fatal(err)
	}
	zoe := s.add("zoe")
	if _, err := s.anna.Client.RequestContact(ctx, &controlpb.RequestContactRequest{User: zoe.Name}); err != nil {
		s.t.Fatal(err)
	}
}

// talk is a lively chat of anna and bob.
func (s *scene) talk() {
	t, chat := s.t, string(s.anna.ChatWith(s.bob.Person))
	for _, p := range []*person{s.anna, s.bob} {
		p.dropIn()
		p.until("the poll is found", func(ctx context.Context) (bool, error) {
			_, err := p.Client.SetPlugin(ctx, &controlpb.SetPluginRequest{Name: "poll", Enabled: true})
			return err == nil, nil //nolint:nilerr // not yet
		})
	}
	downloads := t.TempDir()
	for _, p := range []*person{s.anna, s.bob} {
		p.set("file", "download-folder", downloads)
		p.set("file", "auto-accept", "off")
	}
	write := func(name string, size int) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	s.anna.set("file", "auto-accept", "contacts")
	s.bob.send(s.anna, "", s.picture)
	s.bob.send(s.anna, "", write("notes of the meeting.txt", 1200))
	s.received(2)
	s.anna.set("file", "auto-accept", "off")
	s.bob.say(s.anna, "早上好！你看到昨天的照片了吗？🌄")
	question := s.bob.invoke("text", &pluginpb.InvokeRequest{Action: "send", Chat: chat, Text: "Is the light *amazing*, or was it edited? See https://example.org/huangshan"})
	s.until("the question has arrived", question)
	s.anna.invoke("text", &pluginpb.InvokeRequest{Action: "send", Chat: chat, Message: question, Text: "太美了 😍 Straight from the camera. I run `convert -auto-level` on mine:\n```\nfor f in *.jpg; do\n  convert -auto-level $f\ndone\n```"})
	s.anna.invoke("text", &pluginpb.InvokeRequest{Action: "send", Chat: chat, Text: "❤️"})
	gone := write("gone before it was fetched.zip", 300_000)
	s.bob.send(s.anna, "", gone)
	s.bob.send(s.anna, "The whole trip", write("holiday film 2026.mkv", 40<<20))
	s.bob.invoke("poll", &pluginpb.InvokeRequest{Action: "poll", Chat: chat, Text: "Lunch? | 面条 Noodles | Rice"})
	if err := os.Remove(gone); err != nil {
		t.Fatal(err)
	}
}

// The groups: one that anna is in, and one that she is asked to join.
const (
	hikers = "周末徒步 Sunday hikers 🥾"
	club   = "Book club"
)

// groups makes them, with a lively chat in the first.
func (s *scene) groups() {
	ctx := s.t.Context()
	if err := people.Befriend(ctx, s.bob.Person, s.marta.Person); err != nil {
		s.t.Fatal(err)
	}
	ask := func(p *person, chat, action, text string, args map[string]string, paths ...string) {
		p.invoke("group", &pluginpb.InvokeRequest{Chat: chat, Action: action, Text: text, Args: args, Paths: paths})
	}
	ask(s.bob, "", "create", hikers, map[string]string{"users": "anna,marta"})
	chat := s.bob.group(hikers)
	ask(s.bob, chat, "picture", "", nil, s.picture)
	ask(s.bob, chat, "describe", "Every second Sunday, whatever the weather. 每隔一周的周日，风雨无阻。", nil)
	for _, p := range []*person{s.anna, s.marta} {
		p.group(hikers)
		ask(p, chat, "accept", "", nil)
	}
	ask(s.bob, chat, "role", "", map[string]string{"user": "anna", "role": "admin"})
	say := func(p *person, text string) []byte {
		return p.invoke("text", &pluginpb.InvokeRequest{Chat: chat, Action: "send", Text: text})
	}
	say(s.bob, "Sunday at nine? @anna brings the map, @marta the tea 🫖")
	say(s.bob, "天气预报说是晴天")
	tea := say(s.marta, "With pleasure! I have a new thermos.")
	for _, p := range []*person{s.anna, s.bob} {
		p.until("the tea is there", func(ctx context.Context) (bool, error) {
			r, err := p.Client.ListMessages(ctx, &controlpb.ListMessagesRequest{Chat: chat, Limit: 50})
			return slices.ContainsFunc(r.GetMessages(), func(m *controlpb.Message) bool { return string(m.GetId()) == string(tea) }), err
		})
		p.invoke("emoji", &pluginpb.InvokeRequest{Chat: chat, Message: tea, Action: "react", Text: "❤️"})
	}
	s.bob.invoke("emoji", &pluginpb.InvokeRequest{Chat: chat, Message: tea, Action: "react", Text: "🫖"})
	say(s.anna, "@bob 好的，明天见！")
	ask(s.marta, "", "create", club, map[string]string{"users": "anna"})
	s.anna.group(club)
}

// group is a group, its page, and what makes one.
func (s *scene) group() {
	p := s.anna
	p.openChat(hikers)
	p.message("With pleasure!")
	s.shot("group")
	p.app.Activate(p.window)
	p.composer().Focus()
	p.screen.Type("@")
	p.window.Find(atspi.List, p.tr("Completions"))
	s.shot("group-mention")
	p.screen.Keys("Escape")
	p.composer().SetText("")
	page := p.groupPage(hikers)
	page.Find(atspi.ToggleButton, fmt.Sprintf(p.tr("More about %s"), "Marta Nowak"))
	s.shot("group-page")
	page.Find(atspi.PushButton, p.tr("Edit")).Click()
	page.Find(atspi.Text, p.tr("Name of the group"))
	s.shot("group-edit")
	page.Find(atspi.PushButton, p.tr("Invite people")).Click()
	p.app.Window(p.tr("Invite people"))
	s.shot("group-invite")
	s.escape(p.tr("Invite people"))
	page.Find(atspi.PushButton, p.tr("Cancel")).Click() // Escape would put away the form first
	page.Find(atspi.PushButton, p.tr("Edit"))
	s.escape(p.tr("About the group"))
	p.screen.Keys("ctrl+g")
	form := p.app.Window(p.tr("New group"))
	form.Find(atspi.Text, p.tr("Name of the group")).SetText("Kino")
	form.Find(atspi.CheckBox, "Tomás").Click()
	s.shot("group-new")
	s.escape(p.tr("New group"))

	p.screen.Keys("ctrl+e")
	p.window.Find(atspi.PushButton, map[string]string{"en": "grinning face", "zh-Hans": "嘿嘿"}[s.look.language])
	p.screen.Keys("Down")
	s.shot("emoji")
	p.screen.Keys("Escape")
	p.app.Activate(p.window)
	p.composer().Focus()
	p.screen.Type("See you :smil")
	p.window.Find(atspi.List, p.tr("Completions"))
	s.shot("emoji-completion")
	p.screen.Keys("Escape")
	p.composer().SetText("")
}

// until waits until anna has a message.
func (s *scene) until(what string, id []byte) {
	s.anna.until(what, func(ctx context.Context) (bool, error) {
		r, err := s.anna.Client.ListMessages(ctx, &controlpb.ListMessagesRequest{Chat: string(s.anna.ChatWith(s.bob.Person)), Limit: 50})
		for _, m := range r.GetMessages() {
			if string(m.GetId()) == string(id) {
				return true, nil
			}
		}
		return false, err
	})
}

// received waits until anna has so many of bob's files.
func (s *scene) received(n int) {
	s.anna.until("the files have arrived", func(ctx context.Context) (bool, error) {
		r, err := s.anna.Client.ListMessages(ctx, &controlpb.ListMessagesRequest{Chat: string(s.anna.ChatWith(s.bob.Person)), Limit: 50})
		have := 0
		for _, m := range r.GetMessages() {
			if strings.Contains(string(m.GetData()), `"state":"received"`) {
				have++
			}
		}
		return have >= n, err
	})
}

// shot keeps the picture of a page.
func (s *scene) shot(page string) {
	s.t.Helper()
	s.anna.shot(page + "-" + s.look.theme + "-" + s.look.language)
}

// begin opens somebody's window in the present look.
func (s *scene) begin(p *person) {
	s.t.Helper()
	p.words = texts.New(s.look.language)
	p.prefer(fmt.Sprintf(`{"theme": %q, "language": %q, "width": 1080, "height": 720}`, s.look.theme, s.look.language))
	p.open()
}

func (s *scene) draw() {
	s.begin(s.new)
	s.new.window.Find(atspi.PushButton, s.new.tr("Create account"))
	s.shot("welcome")
	s.new.window.Find(atspi.PushButton, s.new.tr("Create account")).Click()
	s.new.window.Find(atspi.Alert, s.new.tr("Say where: a name like directory.example.org, which somebody gave you."))
	s.shot("welcome-error")
	s.new.window.Find(atspi.RadioButton, s.new.tr("Log in")).Click()
	s.new.window.Find(atspi.PushButton, s.new.tr("Log in"))
	s.shot("welcome-log-in")
	s.new.leave()

	s.begin(s.locked)
	s.locked.window.Find(atspi.PushButton, s.locked.tr("Unlock"))
	s.shot("locked")
	s.locked.leave()

	s.begin(s.alone)
	s.alone.window.Find(atspi.Label, s.alone.tr("No chats yet"))
	s.alone.window.Gone(atspi.Label, s.alone.tr("Choose a chat"))
	s.shot("empty")
	s.alone.leave()

	s.begin(s.anna)
	s.chat()
	s.group()
	s.dialogs()
	s.settings()
	s.fold()
	s.lose()
	s.anna.leave()
}

// escape closes what was opened last.
func (s *scene) escape(title string) {
	s.t.Helper()
	dialog := s.anna.app.Window(title)
	s.anna.app.Activate(dialog)
	s.anna.screen.Keys("Escape")
	s.anna.screen.Until(title+" is closed", func() bool { return !dialog.Is(atspi.Showing) })
	s.anna.app.Activate(s.anna.window)
}

// chat is the main window, and what belongs to a chat.
func (s *scene) chat() {
	p := s.anna
	p.window.Find(atspi.Heading, p.tr("Contact requests"))
	s.shot("chats")
	p.openChat("林小雨 Lin Xiaoyu")
	if s.look == (look{"light", "en"}) { // later all is read
		p.message("notes of the meeting.txt")
		s.shot("chat-unread")
	}
	p.screen.Keys("ctrl+End")
	p.message("Lunch?")
	s.shot("chat")
	p.composer().SetText("see you there")
	p.screen.Copy(map[string][]byte{"image/png": picture(s.t)})
	p.composer().Focus()
	p.screen.Keys("ctrl+v")
	p.window.FindFunc(atspi.PushButton, "to take it back", func(name string) bool { return strings.Contains(name, ".png") })
	s.shot("paste")
	p.window.FindFunc(atspi.PushButton, "to take it back", func(name string) bool { return strings.Contains(name, ".png") }).Click()
	p.composer().SetText("")
	message := p.message("Lunch?")
	message.Focus()
	message.Find(atspi.PushButton, p.tr("Message menu")).Click()
	p.window.Find(atspi.PushButton, p.tr("Details"))
	s.shot("message-menu")
	p.window.Find(atspi.PushButton, p.tr("Details")).Click()
	p.app.Window(p.tr("Details"))
	p.window.Gone(atspi.PushButton, p.tr("Details"))
	s.shot("details")
	s.escape(p.tr("Details"))
	p.screen.Keys("ctrl+f")
	p.window.Find(atspi.Text, p.tr("Search in this chat")).SetText("camera")
	p.window.FindFunc(atspi.StatusBar, "how many were found", func(name string) bool { return strings.Contains(name, "1") })
	s.shot("find")
	p.screen.Keys("Escape")
	p.screen.Keys("ctrl+End")
	s.files()
	p.screen.Keys("ctrl+shift+f")
	p.screen.Type("light")
	p.window.Find(atspi.ListBox, p.tr("Messages that were found")).FindFunc(atspi.ListItem, "that was found", func(string) bool { return true })
	s.shot("search")
	p.screen.Keys("Escape")
	p.screen.Keys("Escape")
}

// files are those that are under way and those that cannot be had, from the first
// look on.
func (s *scene) files() {
	p := s.anna
	const film, gone = "holiday film 2026.mkv", "gone before it was fetched.zip"
	if s.look == (look{"light", "en"}) {
		p.set("", "files.download-limit", "64")
		p.window.Find(atspi.PushButton, p.tr("Download")+": "+film).Click()
		p.window.Find(atspi.PushButton, p.tr("Pause")+": "+film).Click()
		p.window.Find(atspi.PushButton, p.tr("Download")+": "+gone).Click()
	}
	p.window.Find(atspi.PushButton, p.tr("Resume")+": "+film)
	p.window.Gone(atspi.PushButton, p.tr("Download")+": "+gone)
	s.shot("files")
}

// dialogs are the windows above it.
func (s *scene) dialogs() {
	p := s.anna
	p.screen.Keys("ctrl+n")
	p.app.Window(p.tr("Add a contact"))
	s.shot("add-contact")
	s.escape(p.tr("Add a contact"))
	p.window.Find(atspi.ToggleButton, p.tr("Main menu")).Click()
	p.window.Find(atspi.PushButton, p.tr("My profile"))
	s.shot("main-menu")
	p.window.Find(atspi.PushButton, p.tr("My profile")).Click()
	p.app.Window(p.tr("My profile"))
	s.shot("profile")
	p.app.Window(p.tr("My profile")).Find(atspi.PushButton, p.tr("Copy the link")).Click()
	p.window.Find(atspi.Alert, p.tr("The link was copied.")) // goes by itself
	s.escape(p.tr("My profile"))
	s.shot("toast")
	p.openChat("林小雨 Lin Xiaoyu")
	p.window.FindFunc(atspi.PushButton, "of the person", func(name string) bool { return strings.HasPrefix(name, "林小雨 Lin Xiaoyu, ") }).Click()
	p.app.Window(p.tr("Contact page"))
	s.shot("person")
	s.escape(p.tr("Contact page"))
	p.screen.Keys("ctrl+question")
	p.app.Window(p.tr("Keyboard shortcuts"))
	s.shot("shortcuts")
	s.escape(p.tr("Keyboard shortcuts"))
	p.window.Find(atspi.ToggleButton, p.tr("Main menu")).Click()
	p.window.Find(atspi.PushButton, p.tr("About Parley")).Click()
	p.app.Window(p.tr("About Parley"))
	s.shot("about")
	s.escape(p.tr("About Parley"))
}

// settings are the preferences, each page.
func (s *scene) settings() {
	p := s.anna
	var prefs ui.Element
	for _, page := range []string{"Account", "Appearance", "Notifications", "Files", "Privacy", "Plugins", "Network"} {
		prefs = p.preferences(page)
		s.shot("preferences-" + strings.ToLower(page))
	}
	prefs.Find(atspi.PushButton, p.tr("Examine")).Click()
	prefs.Find(atspi.Label, p.tr("Directory reachable"))
	s.shot("doctor")
	s.escape(p.tr("Preferences"))
}

// fold is the window when it is narrow.
func (s *scene) fold() {
	p := s.anna
	p.app.Resize(p.window, 480, 700)
	p.window.Find(atspi.PushButton, p.tr("Back to the chats"))
	s.shot("narrow-chat")
	p.window.Find(atspi.PushButton, p.tr("Back to the chats")).Click()
	p.window.Gone(atspi.PushButton, p.tr("Back to the chats"))
	s.shot("narrow-list")
	p.app.Resize(p.window, 1080, 720)
}

// lose is the window without its core.
func (s *scene) lose() {
	p := s.anna
	p.openChat("林小雨 Lin Xiaoyu")
	p.message("Lunch?")
	core := p.core()
	back := p.cutOff()
	if err := syscall.Kill(core, syscall.SIGKILL); err != nil {
		s.t.Fatal(err)
	}
	p.window.Find(atspi.Alert, p.tr("Parley has stopped in the background, and is being started again. What you write stays here."))
	s.shot("core-lost")
	back()
	p.connect()
	p.window.Gone(atspi.Alert, p.tr("Parley has stopped in the background, and is being started again. What you write stays here."))
}
