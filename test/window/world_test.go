// Package window tests Parley's window as people use it: real windows of two people,
// each on a screen that nobody sees, found and used as a screen reader does, in front
// of real cores and a real directory.
package window

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parley-chat/parley/bench/people"
	"github.com/parley-chat/parley/bench/process"
	"github.com/parley-chat/parley/core/client"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/pluginpb"
	"github.com/parley-chat/parley/test/ui"
	"github.com/parley-chat/parley/test/ui/atspi"
	"github.com/parley-chat/parley/test/ui/desktop"
	"github.com/parley-chat/parley/ui-gtk/texts"
)

func TestMain(m *testing.M) {
	if out, err := exec.Command("make", "--no-print-directory", "-C", "../..", "build").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the programs: %v\n%s", err, out)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// patience is how long a test waits for what other people's cores do.
const patience = time.Minute

// screenshots is where pictures are laid for people to look at.
const screenshots = "../../build/screenshots"

// world is two people who are contacts.
type world struct {
	people    *people.World
	anna, bob *person
}

// newWorld makes it, with a screen for anna; the test is skipped where there can be
// none.
func newWorld(t *testing.T, cfg desktop.Config) *world {
	t.Helper()
	screen := newScreen(t, cfg)
	all, anna, bob, err := people.NewPair(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(all.Close)
	t.Cleanup(func() { endBelow(t, anna.Home) }) // the core that a window started, once hers was lost
	return &world{people: all, anna: &person{Person: anna, t: t, screen: screen}, bob: &person{Person: bob, t: t}}
}

// add gives somebody an account and a core.
func (w *world) add(name string) *person {
	w.anna.t.Helper()
	p, err := w.people.Add(w.anna.t.Context(), name)
	if err != nil {
		w.anna.t.Fatal(err)
	}
	return &person{Person: p, t: w.anna.t}
}

// newScreen makes a screen on which nothing moves by itself.
func newScreen(t *testing.T, cfg desktop.Config) *ui.Driver {
	t.Helper()
	d := ui.New(t, cfg)
	folder := filepath.Join(d.Desktop.Home, ".config", "gtk-3.0")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	const still = "[Settings]\ngtk-enable-animations=0\ngtk-cursor-blink=0\n"
	if err := os.WriteFile(filepath.Join(folder, "settings.ini"), []byte(still), 0o600); err != nil {
		t.Fatal(err)
	}
	return d
}

// person is somebody with a core, and perhaps a window.
type person struct {
	*people.Person
	t      *testing.T
	screen *ui.Driver
	app    *ui.App
	window ui.Element
	words  *texts.Texts // of the window's language; nil for English
}

// tr says a sentence in the window's language.
func (p *person) tr(sentence string) string {
	if p.words == nil {
		return sentence
	}
	return p.words.T(sentence)
}

// newcomer is somebody with a screen, who has never started Parley. What the window
// starts for them ends with the test.
func newcomer(t *testing.T, name string) *person {
	t.Helper()
	screen := newScreen(t, desktop.Config{})
	home, err := os.MkdirTemp("", "pw") // short: sockets lie below it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(home) })
	p := &person{Person: &people.Person{Name: name, Home: home}, t: t, screen: screen}
	t.Cleanup(func() {
		if p.Client != nil {
			_ = p.Client.Close()
		}
		endBelow(t, home)
	})
	return p
}

// endBelow ends the cores and directories whose files are below a folder.
func endBelow(t *testing.T, home string) {
	t.Helper()
	if err := process.EndAll("PARLEY_HOME=" + home); err != nil {
		t.Error(err)
	}
}

// open starts the person's window and gives it the keyboard.
func (p *person) open(env ...string) ui.Element {
	p.t.Helper()
	if p.screen == nil {
		p.screen = newScreen(p.t, desktop.Config{})
	}
	p.app = p.screen.Start(process.Config{Program: "parley-gtk", Env: append([]string{
		"PARLEY_HOME=" + p.Home, "PARLEY_PROFILE=", "PARLEY_KEY=file", "PARLEY_PLUGINS=", "PARLEY_LISTEN=127.0.0.1:0", "LANG=C.UTF-8",
	}, env...)})
	p.window = p.app.Window("Parley")
	p.app.Activate(p.window)
	return p.window
}

// opened waits until the window shows the chats of its account, or that there are none:
// before, it takes no keys for what is done with them.
func (p *person) opened() {
	p.t.Helper()
	p.window.Find(atspi.ToggleButton, p.tr("Add"))
}

// leave ends the person's window.
func (p *person) leave() {
	p.t.Helper()
	_ = p.app.Stop() // by a signal
}

// connect connects to the core that the window has started.
func (p *person) connect() {
	p.t.Helper()
	p.until("the core answers", func(ctx context.Context) (bool, error) {
		c, err := client.Connect(ctx, p.Folders())
		if errors.Is(err, client.ErrNotRunning) {
			return false, nil
		}
		if err == nil && p.Client != nil {
			_ = p.Client.Close() // of the core before
		}
		p.Client = c
		return err == nil, err
	})
}

// until waits for something at the core.
func (p *person) until(what string, done func(context.Context) (bool, error)) {
	p.t.Helper()
	if err := people.Until(p.t.Context(), what, done); err != nil {
		p.t.Fatal(err)
	}
}

// core is the process id of the core that runs.
func (p *person) core() int {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	st, err := p.Client.GetStatus(ctx, &controlpb.GetStatusRequest{})
	if err != nil {
		p.t.Fatal(err)
	}
	return int(st.GetProcessId())
}

// invoke has a plugin do something, and gives the id of the first packet that it sent.
func (p *person) invoke(plugin string, req *pluginpb.InvokeRequest) []byte {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	req.Invocation = client.NewInvocation()
	result, err := p.Client.InvokeAction(ctx, plugin, req, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	if sent := result.GetSent(); len(sent) > 0 {
		return sent[0]
	}
	return nil
}

// send sends files from the person's core, without a window.
func (p *person) send(other *person, caption string, paths ...string) {
	p.t.Helper()
	p.invoke("file", &pluginpb.InvokeRequest{Action: "send", Chat: string(p.ChatWith(other.Person)), Text: caption, Paths: paths})
}

// say sends a text from the person's core, without a window.
func (p *person) say(other *person, text string) {
	p.t.Helper()
	if err := p.Send(p.t.Context(), p.ChatWith(other.Person), text); err != nil {
		p.t.Fatal(err)
	}
}

// set sets a setting of the core, or of a plugin.
func (p *person) set(plugin, name, value string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	if _, err := p.Client.SetSetting(ctx, &controlpb.SetSettingRequest{Plugin: plugin, Name: name, Value: value}); err != nil {
		p.t.Fatal(err)
	}
}

// setting reads a setting at the core.
func (p *person) setting(plugin, name string) string {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	s, err := p.Client.GetSettings(ctx, &controlpb.GetSettingsRequest{Plugin: plugin})
	if err != nil {
		p.t.Fatal(err)
	}
	return s.GetValues()[name]
}

// prefer writes the window's own preferences before it is started.
func (p *person) prefer(json string) {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.Home, "window.json"), []byte(json), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// preferences opens the preferences at a page.
func (p *person) preferences(page string) ui.Element {
	p.t.Helper()
	p.app.Activate(p.window)
	p.screen.Keys("ctrl+comma")
	x := p.app.Window(p.tr("Preferences"))
	x.Find(atspi.ListItem, p.tr(page)).Select()
	return x
}

// message waits for a message in the chat that is shown whose label has all parts:
// who wrote it, what, when, and how far it is.
func (p *person) message(parts ...string) ui.Element {
	p.t.Helper()
	return p.window.Find(atspi.ListBox, p.tr("Messages")).FindFunc(atspi.ListItem, fmt.Sprintf("with all of %q", parts), func(name string) bool {
		return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(name, part) })
	})
}

// messages are those that are drawn whose labels have a part.
func (p *person) messages(part string) []ui.Element {
	p.t.Helper()
	return p.window.Find(atspi.ListBox, p.tr("Messages")).AllFunc(atspi.ListItem, func(name string) bool { return strings.Contains(name, part) })
}

// composer is where one writes.
func (p *person) composer() ui.Element {
	p.t.Helper()
	return p.window.Find(atspi.Text, p.tr("Write a message"))
}

// write types a message and sends it.
func (p *person) write(text string) {
	p.t.Helper()
	composer := p.composer()
	p.app.Activate(p.window)
	composer.Focus()
	p.screen.Until("the composer has the keyboard", func() bool { return composer.Is(atspi.Focused) })
	p.screen.Type(text)
	p.screen.Until("it is written", func() bool { return composer.Text() == text })
	p.screen.Keys("Return")
}

// menu opens the menu of a message and chooses from it.
func (p *person) menu(message ui.Element, item string) {
	p.t.Helper()
	message.Focus() // it is there for who is at the message
	message.Find(atspi.PushButton, p.tr("Message menu")).Click()
	p.window.Find(atspi.PushButton, p.tr(item)).Click()
}

// shot keeps a picture of the screen, once it is still, for people to look at.
func (p *person) shot(name string) {
	p.t.Helper()
	const enough = 6 // looks that are the same
	var last uint64
	same := 0
	p.screen.Until("the screen is still", func() bool {
		now, err := p.screen.Desktop.Fingerprint()
		if err != nil {
			p.t.Fatal(err)
		}
		if same++; last != now {
			same = 0
		}
		last = now
		return same == enough
	})
	p.screen.SaveScreenshot(filepath.Join(screenshots, name+".png"))
}
