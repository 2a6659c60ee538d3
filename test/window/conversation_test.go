package window

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parley-chat/parley/bench/people"
	"github.com/parley-chat/parley/core/client"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/pluginpb"
	"github.com/parley-chat/parley/test/ui"
	"github.com/parley-chat/parley/test/ui/atspi"
	"github.com/parley-chat/parley/test/ui/desktop"
)

// message waits for a message that a screen reader would read out like this.
func message(in ui.Element, begins, ends string) ui.Element {
	return in.FindFunc(atspi.ListItem, begins+"…"+ends, func(name string) bool {
		return strings.HasPrefix(name, begins) && strings.HasSuffix(name, ends)
	})
}

// draft reads what the core keeps of a chat that is not sent.
func (p *person) draft(chat string) string {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	list, err := p.Client.ListChats(ctx, &controlpb.ListChatsRequest{Id: chat})
	if err != nil || len(list.GetChats()) != 1 {
		p.t.Fatalf("the chat: %v, %v", list, err)
	}
	return list.GetChats()[0].GetDraft()
}

// chatWith opens a chat, and gives where one writes in it. The list may move while
// the window is new.
func (p *person) chatWith(window ui.Element, name string) ui.Element {
	p.t.Helper()
	starts := func(s string) bool { return strings.HasPrefix(s, name) }
	p.screen.Until("the chat with "+name+" is open", func() bool {
		if len(window.All(atspi.Text, "Write a message")) > 0 {
			return true
		}
		window.FindFunc(atspi.ListItem, "of "+name, starts).ClickMouse(desktop.Left)
		return false
	})
	return window.Find(atspi.Text, "Write a message")
}

// TestConversation: two people write to each other, with the keyboard alone, in
// letters of two scripts; one answers, edits and leaves something unsent.
func TestConversation(t *testing.T) {
	t.Parallel()
	w := newWorld(t, desktop.Config{})
	window := w.anna.open()
	field := w.anna.chatWith(window, "bob")
	w.anna.app.Activate(window)
	field.Focus()

	w.anna.screen.Type("hello bob")
	w.anna.screen.Keys("Return")
	message(window, "You: hello bob, ", ", Delivered")
	w.anna.screen.Until("the field is empty", func() bool { return field.Text() == "" })

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	chat := w.bob.ChatWith(w.anna.Person)
	if err := w.bob.Send(ctx, chat, "你好 **anna**"); err != nil {
		t.Fatal(err)
	}
	message(window, "bob: 你好 **anna**, ", "")

	// Shift+Enter is a new line, Enter sends, Up edits what was sent last.
	w.anna.screen.Type("one")
	w.anna.screen.Keys("shift+Return")
	w.anna.screen.Type("twoo")
	w.anna.screen.Keys("Return")
	message(window, "You: one twoo, ", ", Delivered")
	w.anna.screen.Keys("Up")
	w.anna.screen.Until("what was sent is in the field", func() bool { return field.Text() == "one\ntwoo" })
	w.anna.screen.Keys("BackSpace", "Return")
	message(window, "You: one two, ", ", edited, Delivered")

	// A search goes to what it finds.
	w.anna.screen.Keys("ctrl+f")
	w.anna.screen.Type("hello")
	window.Find(atspi.StatusBar, "1 of 1")
	w.anna.screen.Keys("Escape")

	// The menu of a message, by the keyboard.
	message(window, "bob: 你好", "").Focus()
	w.anna.screen.Keys("Menu")
	window.Find(atspi.PushButton, "Reply").Click()
	window.Find(atspi.PushButton, "Cancel") // of what is answered, above the text
	w.anna.screen.Type("hi")
	w.anna.screen.Keys("Return")
	message(window, "You: hi, ", ", Delivered")
	window.Find(atspi.PushButton, "Go to the message that was answered: 你好 **anna**")
	w.anna.shot("conversation")

	// What is not sent is there again after the window was closed.
	w.anna.screen.Type("not yet")
	w.anna.screen.Until("it is the draft", func() bool { return w.anna.draft(string(chat)) == "not yet" })
	w.anna.app.Kill()
	window = w.anna.open()
	field = w.anna.chatWith(window, "bob")
	w.anna.screen.Until("the draft is back", func() bool { return field.Text() == "not yet" })
}

// TestPicture: a picture is seen small before it is fetched, and large afterwards.
func TestPicture(t *testing.T) {
	t.Parallel()
	w := newWorld(t, desktop.Config{})
	path := filepath.Join(t.TempDir(), "sun.png")
	img := image.NewRGBA(image.Rect(0, 0, 1200, 800))
	draw.Draw(img, img.Bounds(), image.NewUniform(color.RGBA{0xff, 0xa0, 0, 0xff}), image.Point{}, draw.Src)
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := w.anna.Client.SetSetting(ctx, &controlpb.SetSettingRequest{Plugin: "file", Name: "download-folder", Value: t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.bob.Client.InvokeAction(ctx, "file", &pluginpb.InvokeRequest{
		Invocation: client.NewInvocation(), Action: "send", Chat: string(w.bob.ChatWith(w.anna.Person)), Paths: []string{path},
	}, nil); err != nil {
		t.Fatal(err)
	}
	window := w.anna.open()
	w.anna.chatWith(window, "bob")
	window.Find(atspi.PushButton, "Decline: sun.png")
	small := window.Find(atspi.Image, "Picture: sun.png")
	if size := small.Placed().Size(); size != image.Pt(450, 300) {
		t.Errorf("it is drawn as large as %v", size)
	}
	window.Find(atspi.PushButton, "Download: sun.png").Click()
	window.Gone(atspi.PushButton, "Download: sun.png")
	w.anna.has(w.bob, "it has arrived", received("sun.png"))
	window.Gone(atspi.PushButton, "Cancel: sun.png")
	window.Find(atspi.Image, "Picture: sun.png").ClickMouse(desktop.Left)
	viewer := w.anna.app.Window("sun.png")
	viewer.Find(atspi.Image, "sun.png")
	if !viewer.Find(atspi.PushButton, "Save as (Ctrl+S)").Is(atspi.Sensitive) {
		t.Error("what is shown large is not the picture itself")
	}
	w.anna.shot("picture")
	viewer.Find(atspi.PushButton, "Close").Click()
	w.anna.screen.Until("it is closed", func() bool { return !viewer.Is(atspi.Showing) })
}

// TestShortChatAfterLong: where a short chat leaves room, the chat before leaves
// nothing behind.
func TestShortChatAfterLong(t *testing.T) {
	t.Parallel()
	w := newWorld(t, desktop.Config{})
	carol := w.add("carol")
	if err := people.Befriend(t.Context(), w.anna.Person, carol.Person); err != nil {
		t.Fatal(err)
	}
	for i := range 30 {
		w.bob.say(w.anna, fmt.Sprint("number ", i))
	}
	for i := range 7 {
		carol.say(w.anna, fmt.Sprint("letter ", i))
	}
	w.anna.prefer(`{"theme": "light"}`)
	w.anna.open()
	w.anna.openChat("bob")
	w.anna.message("number 0") // else it goes to what is unread after the end
	w.anna.app.Activate(w.anna.window)
	w.anna.screen.Keys("ctrl+End")
	w.anna.message("number 29")
	w.anna.openChat("carol")
	first := w.anna.message("letter 0")
	w.anna.shot("chat-short")
	list := first.Placed()
	above := image.Rect(list.Min.X+20, list.Min.Y-110, list.Min.X+21, list.Min.Y-60)
	w.anna.screen.Until("what is above the messages is light", func() bool {
		img := w.anna.screen.Screenshot()
		for y := above.Min.Y; y < above.Max.Y; y++ {
			if c := img.RGBAAt(above.Min.X, y); c.R < 0xd0 || c.G < 0xd0 || c.B < 0xd0 {
				return false
			}
		}
		return true
	})
}
