package window

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/test/ui"
	"github.com/parley-chat/parley/test/ui/atspi"
)

const password = "correct horse battery"

// TestTwoPeople: two people who have never met Parley start it, find each other, and
// talk.
func TestTwoPeople(t *testing.T) {
	t.Parallel()
	anna, bob := newcomer(t, "anna"), newcomer(t, "bob")
	anna.open()
	bob.open()
	firstRun(anna, bob)
	becomeContacts(anna, bob)
	chat(anna, bob)
	stopDirectory(anna, bob)
	sendPicture(anna, bob)
	sendFile(anna, bob)
	search(anna, bob)
	change(anna)
	loseCore(anna, bob)
}

// refused waits until a field says what is wrong with it, and the same is written
// beside it.
func (p *person) refused(field ui.Element, part string) {
	p.t.Helper()
	p.screen.Until(fmt.Sprintf("%q says that %s", field.Name(), part), func() bool { return strings.Contains(field.Description(), part) })
	said := field.Description()
	p.window.Find(atspi.Alert, said)
}

// fill writes into the fields of the first page.
func (p *person) fill(directory, user, pass string) {
	p.t.Helper()
	p.window.Find(atspi.Text, "Directory").SetText(directory)
	p.window.Find(atspi.Text, "User name").SetText(user)
	p.window.Find(atspi.PasswordText, "Password").SetText(pass)
}

// firstRun: anna starts a directory on her computer, and bob comes to it with an
// invite, after all the mistakes one can make.
func firstRun(anna, bob *person) {
	directory := anna.window.Find(atspi.Text, "Directory")
	anna.screen.Until("one can write at once", func() bool { return directory.Is(atspi.Focused) })
	create := anna.window.Find(atspi.PushButton, "Create account")
	create.Click()
	anna.refused(directory, "Say where")
	leave := takeUsualPort()
	anna.window.Find(atspi.PushButton, "None yet? Start a directory on this computer").Click()
	anna.screen.Until("the directory is there", func() bool { return strings.HasPrefix(directory.Text(), "localhost:") })
	leave()
	address := directory.Text()
	note := anna.window.FindFunc(atspi.Label, "the address for others", func(s string) bool { return strings.Contains(s, "invite code") }).Name()
	found := regexp.MustCompile(`invite code (\S+)\.`).FindStringSubmatch(note)
	if found == nil {
		anna.t.Fatalf("no invite in %q", note)
	}
	invite := found[1]
	anna.fill(address, "Anna Example", password)
	anna.window.Find(atspi.PushButton, "Create account").Click()
	anna.refused(anna.window.Find(atspi.Text, "User name"), "user")
	anna.fill(address, "anna", "short")
	anna.window.Find(atspi.PushButton, "Create account").Click()
	anna.refused(anna.window.Find(atspi.PasswordText, "Password"), "assword")
	anna.fill(address, "anna", password)
	anna.window.Find(atspi.Text, "Name that others see").SetText("Anna 安娜")
	anna.window.Find(atspi.PushButton, "Create account").Click()
	anna.window.Find(atspi.Label, "No chats yet")
	anna.connect()

	bob.fill(address, "anna", password)
	bob.window.Find(atspi.PushButton, "Create account").Click()
	bob.refused(bob.window.Find(atspi.Text, "Invite code"), "invite")
	bob.window.Find(atspi.Text, "Invite code").SetText("wrong-" + invite)
	bob.window.Find(atspi.PushButton, "Create account").Click()
	bob.refused(bob.window.Find(atspi.Text, "Invite code"), "not valid")
	bob.window.Find(atspi.Text, "Invite code").SetText(invite)
	bob.window.Find(atspi.PushButton, "Create account").Click()
	bob.refused(bob.window.Find(atspi.Text, "User name"), "taken")
	bob.window.Find(atspi.RadioButton, "Log in").Click()
	bob.window.Find(atspi.PasswordText, "Password").SetText("not her password")
	bob.window.Find(atspi.PushButton, "Log in").Click()
	bob.refused(bob.window.Find(atspi.PasswordText, "Password"), "wrong")
	bob.window.Find(atspi.RadioButton, "New account").Click()
	bob.fill(address, "bob", password)
	bob.app.Activate(bob.window)
	bob.window.Find(atspi.PasswordText, "Password").Focus()
	bob.screen.Keys("Return")
	bob.window.Find(atspi.Label, "No chats yet")
	bob.connect()
}

// takeUsualPort keeps a directory on this computer from taking the usual port, which
// another test's may be about to take; both would find that it is free.
func takeUsualPort() (leave func()) {
	l, err := net.Listen("tcp", ":7410") //nolint:noctx // it does not wait
	if err != nil {
		return func() {} // it is taken already
	}
	return func() { _ = l.Close() }
}

// becomeContacts: bob asks with the keyboard, anna says yes.
func becomeContacts(anna, bob *person) {
	bob.app.Activate(bob.window)
	bob.screen.Keys("ctrl+n")
	add := bob.app.Window("Add a contact")
	who := add.Find(atspi.Text, "User id or link")
	who.SetText("nobody")
	send := add.Find(atspi.PushButton, "Send the request")
	send.Click()
	bob.screen.Until("nobody is not there", func() bool { return who.Description() != "" })
	who.SetText("anna")
	add.Find(atspi.Text, "Greeting").SetText("It is Bob, from the café")
	send.Click()
	add.FindFunc(atspi.Alert, "that the request is on its way", func(s string) bool { return strings.HasSuffix(s, "once the answer is yes.") })
	bob.app.Activate(add)
	bob.screen.Keys("Escape")
	bob.window.Find(atspi.Heading, "Waiting for an answer")

	anna.window.FindFunc(atspi.Label, "the greeting", func(s string) bool { return strings.Contains(s, "from the café") })
	anna.window.Find(atspi.PushButton, "Accept the request of bob").Click()
	bob.window.Gone(atspi.Heading, "Waiting for an answer")
	bob.openChat("Anna 安娜")
}

// openChat opens a chat from the list.
func (p *person) openChat(name string) {
	p.t.Helper()
	p.window.FindFunc(atspi.ListItem, "of "+name, func(s string) bool { return strings.HasPrefix(s, name) }).Select()
	p.window.Find(atspi.ListBox, p.tr("Messages"))
}

// chat: what is written arrives, and how far it is shows.
func chat(anna, bob *person) {
	bob.write("hello 你好")
	bob.message("You: hello 你好", "Delivered")
	still := anna.core()
	anna.signal(still, syscall.SIGSTOP)
	bob.write("are you there?")
	bob.message("You: are you there?", ", Sent") // one tick: it has left, and nobody has said that it came
	anna.signal(still, syscall.SIGCONT)
	bob.message("You: are you there?", "Delivered")
	anna.openChat("bob")
	first := anna.message("bob: hello 你好")
	bob.message("You: hello 你好", "Read")

	anna.menu(first, "Reply")
	anna.write("hello yuorself")
	bob.message("Anna 安娜: hello yuorself").FindFunc(atspi.PushButton, "the quote", func(s string) bool { return strings.Contains(s, "hello 你好") })
	anna.message("You: hello yuorself", "Read") // before, there is nothing to edit
	anna.app.Activate(anna.window)
	anna.screen.Keys("Up") // edits the last one
	anna.window.Find(atspi.Label, "Editing")
	anna.screen.Until("it can be changed", func() bool { return anna.composer().Text() == "hello yuorself" })
	anna.screen.Keys("ctrl+a")
	anna.write2("hello yourself")
	bob.message("Anna 安娜: hello yourself", "edited")
	anna.message("You: hello yourself", "edited", "Read")
}

// signal sends a signal to a core.
func (p *person) signal(core int, s syscall.Signal) {
	p.t.Helper()
	if err := syscall.Kill(core, s); err != nil {
		p.t.Fatal(err)
	}
}

// stopDirectory: anna sees that her directory runs, and what to tell others of it. She
// stops it, which cuts both off, and starts it again.
func stopDirectory(anna, bob *person) {
	prefs := anna.preferences("Network")
	anna.app.Resize(prefs, 760, 780) // all of the page
	prefs.FindFunc(atspi.PushButton, "to copy the address", func(s string) bool { return s == "Copy: Address to give to others" || s == "Copy: Address" })
	prefs.Find(atspi.PushButton, "Invite code").Click()
	prefs.Find(atspi.PushButton, "Copy: Invite code")
	anna.shot("preferences-hosting")
	connected := func(p *person, want bool) {
		p.until(fmt.Sprintf("connected is %v", want), func(ctx context.Context) (bool, error) {
			st, err := p.Client.GetStatus(ctx, &controlpb.GetStatusRequest{})
			return st.GetDirectory().GetConnected() == want, err
		})
	}
	prefs.Find(atspi.PushButton, "Stop the directory on this computer").Click()
	anna.app.Find(atspi.PushButton, "Stop").Click()
	prefs.Find(atspi.Label, "It is stopped")
	prefs.Gone(atspi.PushButton, "Copy: Invite code")
	connected(anna, false)
	connected(bob, false)
	prefs.Find(atspi.PushButton, "Start a directory on this computer").Click()
	prefs.Find(atspi.Label, "It runs")
	connected(anna, true)
	connected(bob, true)
	anna.app.Activate(prefs)
	anna.screen.Keys("Escape")
}

// write2 types over what is selected in the composer, and sends it.
func (p *person) write2(text string) {
	p.t.Helper()
	p.screen.Type(text)
	p.screen.Until("it is written", func() bool { return p.composer().Text() == text })
	p.screen.Keys("Return")
}

// picture is a PNG that compresses badly enough to be one.
func picture(t *testing.T) []byte {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, 320, 200))
	for y := range 200 {
		for x := range 320 {
			img.Set(x, y, color.RGBA{R: uint8(x * 255 / 320), G: uint8(y * 255 / 200), B: uint8((x * y) >> 6), A: 255}) //nolint:gosec // of small numbers
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// sendPicture: one that was copied elsewhere is pasted, seen first, and sent.
func sendPicture(anna, bob *person) {
	bob.set("file", "auto-accept", "contacts")
	anna.screen.Copy(map[string][]byte{"image/png": picture(anna.t)})
	anna.app.Activate(anna.window)
	anna.composer().Focus()
	anna.screen.Keys("ctrl+v")
	back := func(s string) bool { return strings.HasPrefix(s, "Do not send Picture") }
	first := anna.window.FindFunc(atspi.PushButton, "to take it back", back)
	anna.screen.Keys("ctrl+v")
	anna.screen.Until("it is there twice", func() bool { return len(anna.window.AllFunc(atspi.PushButton, back)) == 2 })
	first.Click()
	anna.screen.Until("one of them is taken back", func() bool { return len(anna.window.AllFunc(atspi.PushButton, back)) == 1 })
	anna.composer().SetText("what a view")
	anna.screen.Keys("Return")
	anna.message("You: Picture", ".png", "Received")
	got := bob.message("Anna 安娜: Picture", ".png")
	got.FindFunc(atspi.Image, "the picture", func(s string) bool { return strings.HasPrefix(s, "Picture: ") })
	got.Find(atspi.Label, "what a view")
}

// sendFile: a large file is chosen with the keyboard, and fetched with a pause.
func sendFile(anna, bob *person) {
	const name = "year's report.bin"
	path := filepath.Join(anna.t.TempDir(), name)
	content := make([]byte, 3<<20)
	_, _ = rand.Read(content) // never fails
	if err := os.WriteFile(path, content, 0o600); err != nil {
		anna.t.Fatal(err)
	}
	downloads := bob.t.TempDir()
	bob.set("file", "auto-accept", "off")
	bob.set("file", "download-folder", downloads)
	bob.set("", "files.download-limit", "64")

	anna.app.Activate(anna.window)
	anna.screen.Keys("ctrl+u")
	chooser := anna.app.Window("Send files")
	anna.app.Activate(chooser)
	anna.screen.Keys("ctrl+l")
	var entry ui.Element
	anna.screen.Until("a path can be written", func() bool {
		for _, e := range chooser.AllFunc(atspi.Text, func(string) bool { return true }) {
			if e.Is(atspi.Focused) {
				entry = e
				return true
			}
		}
		return false
	})
	entry.SetText("") // where it looked last
	anna.screen.Type(path)
	anna.screen.Until("the path is written", func() bool { return entry.Text() == path })
	var asked time.Time
	anna.screen.Until("the chooser takes it", func() bool {
		if !chooser.Is(atspi.Showing) {
			return true
		}
		// GTK ignores it while it still looks what is there. One that comes after the
		// chooser has gone is the window's, which sends.
		if time.Since(asked) > 5*time.Second {
			anna.screen.Keys("Return")
			asked = time.Now()
		}
		return false
	})
	anna.window.Find(atspi.PushButton, "Do not send "+name)
	anna.app.Activate(anna.window)
	anna.composer().Focus()
	anna.screen.Keys("Return")

	offer := bob.message("Anna 安娜: " + name)
	offer.Find(atspi.PushButton, "Download: "+name).Click()
	cancel := offer.Find(atspi.PushButton, "Cancel: "+name)
	bob.app.Activate(bob.window)
	cancel.Focus()
	bob.screen.Until("the button has the keyboard", func() bool { return cancel.Is(atspi.Focused) })
	offer.Find(atspi.PushButton, "Pause: "+name).Click()
	bob.message(name, "Paused")
	offer.Find(atspi.PushButton, "Resume: "+name).Click()
	offer.Find(atspi.PushButton, "Pause: "+name)
	if !cancel.Is(atspi.Focused) { // while those beside it came and went
		bob.t.Error("the button to cancel has not the keyboard any more")
	}
	bob.set("", "files.download-limit", "0")
	offer.Find(atspi.PushButton, "Show in folder: "+name)
	anna.message("You: "+name, "Received")
	if got, err := os.ReadFile(filepath.Join(downloads, name)); err != nil || !bytes.Equal(got, content) {
		bob.t.Errorf("the file has %d bytes of %d, %v", len(got), len(content), err)
	}
}

// search: what was said is found in the chat, and from everywhere, and jumped to.
func search(anna, bob *person) {
	anna.app.Activate(anna.window)
	anna.screen.Keys("ctrl+f")
	in := anna.window.Find(atspi.Text, "Search in this chat")
	in.SetText("你好")
	anna.window.Find(atspi.StatusBar, "1 of 1")
	in.SetText("no such words")
	anna.window.Find(atspi.StatusBar, "Nothing found")
	anna.screen.Keys("Escape")
	anna.window.Gone(atspi.Text, "Search in this chat")

	const many = 120
	for i := range many {
		anna.say(bob, fmt.Sprintf("line %d", i))
	}
	bob.message("line 119")
	bob.app.Activate(bob.window)
	bob.screen.Keys("ctrl+k")
	everywhere := bob.window.FindFunc(atspi.Text, "to search everywhere", func(s string) bool { return strings.HasPrefix(s, "Search") })
	everywhere.SetText("hello yourself")
	found := bob.window.Find(atspi.ListBox, "Messages that were found")
	found.FindFunc(atspi.ListItem, "that was found", func(s string) bool { return strings.Contains(s, "hello yourself") })
	bob.screen.Until("the search has the keyboard", func() bool { return everywhere.Is(atspi.Focused) })
	bob.screen.Keys("Return")
	bob.message("Anna 安娜: hello yourself") // shows, far above the end
	if len(bob.messages("line 119")) > 0 {
		bob.t.Error("the end shows")
	}
	bob.window.Find(atspi.PushButton, "Jump to the end").Click()
	bob.message("line 119")
	bob.screen.Keys("Escape")
	bob.window.Gone(atspi.ListBox, "Messages that were found")
}

// change: language and look change while the window is open, and what is written
// stays.
func change(anna *person) {
	anna.composer().SetText("not sent yet")
	prefs := anna.preferences("Appearance")
	before := brightness(anna.window.Screenshot())
	prefs.Find(atspi.ComboBox, "Theme").Choose("Dark")
	anna.screen.Until("it is dark", func() bool { return brightness(anna.window.Screenshot()) < before/2 })
	prefs.Find(atspi.ComboBox, "Language").Choose("简体中文")
	composer := anna.window.Find(atspi.Text, "写消息")
	if got := composer.Text(); got != "not sent yet" {
		anna.t.Errorf("the composer has %q", got)
	}
	anna.window.Find(atspi.ToggleButton, "添加")
	prefs = anna.app.Window("首选项")
	prefs.Find(atspi.ComboBox, "语言").Choose("English")
	if got := anna.composer().Text(); got != "not sent yet" {
		anna.t.Errorf("the composer has %q", got)
	}
	prefs = anna.app.Window("Preferences")
	prefs.Find(atspi.ComboBox, "Theme").Choose("Light")
	anna.app.Activate(prefs)
	anna.screen.Keys("Escape")
}

func brightness(img image.Image) (sum int) {
	b := img.Bounds()
	for y := b.Min.Y; y < b.Max.Y; y += 8 {
		for x := b.Min.X; x < b.Max.X; x += 8 {
			r, g, bl, _ := img.At(x, y).RGBA()
			sum += int(r+g+bl) >> 8
		}
	}
	return sum
}

// loseCore: the core is killed under the window, and cannot be started for a while.
// A bar says so, what is written stays, and what is sent meanwhile arrives once.
func loseCore(anna, bob *person) {
	core := anna.core()
	back := anna.cutOff()
	if err := syscall.Kill(core, syscall.SIGKILL); err != nil {
		anna.t.Fatal(err)
	}
	stopped := func(s string) bool { return strings.HasPrefix(s, "Parley has stopped in the background") }
	anna.window.FindFunc(atspi.Alert, "that the core has stopped", stopped)
	if got := anna.composer().Text(); got != "not sent yet" {
		anna.t.Errorf("the composer has %q", got)
	}
	anna.app.Activate(anna.window)
	anna.composer().Focus()
	anna.screen.Keys("Return")
	anna.message("You: not sent yet", "Waiting to be sent")
	anna.write("and another")
	anna.composer().SetText("half a sentence")

	back()
	anna.screen.Until("the bar has gone", func() bool { return len(anna.window.AllFunc(atspi.Alert, stopped)) == 0 })
	bob.message("Anna 安娜: not sent yet")
	bob.message("Anna 安娜: and another")
	anna.message("You: and another", "Read")
	for _, p := range []*person{anna, bob} {
		if n := len(p.messages("not sent yet")); n != 1 {
			p.t.Errorf("%s sees the message %d times", p.Name, n)
		}
	}
	if got := anna.composer().Text(); got != "half a sentence" {
		anna.t.Errorf("the composer has %q", got)
	}
}

// cutOff keeps a core from being started, until back is called.
func (p *person) cutOff() (back func()) {
	p.t.Helper()
	run := filepath.Dir(p.Folders().Run)
	aside := run + ".aside"
	if err := os.WriteFile(aside, nil, 0o600); err != nil {
		p.t.Fatal(err)
	}
	exchange := func() { // at once: a core that is being started would make the folder
		p.t.Helper()
		if err := unix.Renameat2(unix.AT_FDCWD, run, unix.AT_FDCWD, aside, unix.RENAME_EXCHANGE); err != nil {
			p.t.Fatal(err)
		}
	}
	exchange()
	return func() {
		p.t.Helper()
		exchange()
		if err := os.Remove(aside); err != nil {
			p.t.Fatal(err)
		}
	}
}
