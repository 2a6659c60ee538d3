package window

import (
	"cmp"
	"context"
	"strings"
	"testing"

	"github.com/parley-chat/parley/core/client"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/pluginpb"
	"github.com/parley-chat/parley/test/ui"
	"github.com/parley-chat/parley/test/ui/atspi"
	"github.com/parley-chat/parley/test/ui/desktop"
)

// has waits until somebody's core has a message that fits, and gives its id.
func (p *person) has(other *person, what string, fits func(*controlpb.Message) bool) (id []byte) {
	p.t.Helper()
	p.until(what, func(ctx context.Context) (bool, error) {
		r, err := p.Client.ListMessages(ctx, &controlpb.ListMessagesRequest{Chat: string(p.ChatWith(other.Person)), Limit: 50})
		for _, m := range r.GetMessages() {
			if fits(m) {
				id = m.GetId()
				return true, nil
			}
		}
		return false, err
	})
	return id
}

func says(body string) func(*controlpb.Message) bool {
	return func(m *controlpb.Message) bool { return m.GetBody() == body }
}

// received says whether a file has arrived.
func received(name string) func(*controlpb.Message) bool {
	return func(m *controlpb.Message) bool {
		return strings.Contains(m.GetBody(), name) && strings.Contains(string(m.GetData()), `"state":"received"`)
	}
}

// reacts says whether somebody's reactions on a message are these.
func reacts(body, author, emoji string) func(*controlpb.Message) bool {
	return func(m *controlpb.Message) bool {
		own := ""
		for _, a := range m.GetAnnotations() {
			if e, ok := strings.CutPrefix(a.GetKind(), "reaction#"); ok && a.GetAuthor() == author {
				own += e
			}
		}
		return m.GetBody() == body && own == emoji
	}
}

// found waits until an emoji is the first of those that were found in the picker, which
// Enter takes. Until then those are there that fit what was typed before.
func (p *person) found(emoji string) {
	p.t.Helper()
	begins(p.window, atspi.Label, emoji+"   :")
}

// TestEmoji: emoji are picked with the keyboard and the mouse, completed while one
// types, replaced when it is sent, and put on messages.
func TestEmoji(t *testing.T) {
	t.Parallel()
	w := newWorld(t, desktop.Config{})
	w.anna.prefer(`{"theme": "light"}`)
	w.anna.open()
	w.anna.openChat("bob")
	pick(w.anna)
	complete(w.anna, w.bob)
	react(w.anna, w.bob)
}

// pick opens the picker, goes through it with keys, and searches in two languages.
func pick(p *person) {
	composer := p.composer()
	picker := func() ui.Element {
		p.app.Activate(p.window)
		p.screen.Keys("ctrl+e")
		p.window.Find(atspi.PushButton, "grinning face")
		return p.window.Find(atspi.Text, "Search an emoji")
	}
	search := picker()
	p.screen.Until("the search has the keyboard", func() bool { return search.Is(atspi.Focused) })
	p.shot("emoji-picker")
	p.screen.Keys("Down", "Right", "Right", "Down", "Left", "Return")
	p.screen.Until("the one in the second row and column is written", func() bool { return composer.Text() == "🫠" })
	p.window.Gone(atspi.Text, "Search an emoji")
	p.screen.Until("the composer has the keyboard", func() bool { return composer.Is(atspi.Focused) })

	search = picker()
	p.window.Find(atspi.PushButton, "melting face") // is among those that were used
	search.SetText("猫")
	p.window.Gone(atspi.PushButton, "grinning face")
	p.window.Find(atspi.PushButton, "cat").Click()
	p.screen.Until("it is written", func() bool { return composer.Text() == "🫠🐈" || composer.Text() == "🫠🐱" })
	cat := strings.TrimPrefix(composer.Text(), "🫠")
	p.until("it is among those that were used", func(ctx context.Context) (bool, error) {
		r, err := p.Client.InvokeAction(ctx, "emoji", &pluginpb.InvokeRequest{
			Invocation: client.NewInvocation(), Action: "recents", Args: map[string]string{"language": "en", "tone": "none"},
		}, nil)
		return strings.Contains(string(r.GetResult()), cat), err
	})

	// All of them can be reached, and are not all there at once.
	picker()
	p.window.Find(atspi.PushButton, "cat") // now all is drawn anew that was used
	if n := len(p.window.AllFunc(atspi.PushButton, func(name string) bool { return name != "" })); n > 250 {
		p.t.Errorf("%d buttons", n)
	}
	// The keyboard stays where it is when they are drawn anew.
	p.screen.Keys("Down", "Menu")
	p.window.Find(atspi.PushButton, "Add to favourites").Click()
	p.window.Find(atspi.Label, "Favourites")
	p.screen.Keys("End")
	p.window.Find(atspi.PushButton, "flag: Wales")
	p.screen.Type("thumbs up")
	p.screen.Until("what is typed is searched for", func() bool { return p.window.Find(atspi.Text, "Search an emoji").Text() == "thumbs up" })
	p.found("thumbs up")
	thumb := p.window.Find(atspi.PushButton, "thumbs up")
	thumb.ClickMouse(desktop.Right)
	tone := p.window.Find(atspi.PushButton, "thumbs up, medium")
	p.shot("emoji-tones")
	tone.Click()
	p.screen.Until("it is written", func() bool { return strings.HasSuffix(composer.Text(), "👍🏽") })

	picker()
	p.screen.Keys("Escape")
	p.window.Gone(atspi.Text, "Search an emoji")
	composer.SetText("")
}

// complete types shortcodes.
func complete(p, other *person) {
	composer := p.composer()
	composer.Focus()
	p.screen.Type("well :smil")
	list := p.window.Find(atspi.List, "Completions")
	first := func() (name string) {
		list.AllFunc(atspi.PushButton, func(it string) bool {
			name = cmp.Or(name, it)
			return false
		})
		return name
	}
	p.screen.Until("it is told which", func() bool { now := composer.Description(); return now != "" && now == first() })
	p.shot("emoji-completion")
	p.screen.Until("another is selected", func() bool {
		if now := composer.Description(); now != "" && now != first() {
			return true
		}
		p.screen.Keys("Down") // what fits the last letter may have come after it, with the first one selected
		return false
	})
	p.screen.Keys("Up", "Tab")
	p.screen.Until("it is written", func() bool {
		return strings.HasPrefix(composer.Text(), "well ") && !strings.Contains(composer.Text(), ":")
	})
	p.window.Gone(atspi.List, "Completions")

	// Who wants none of it types on.
	composer.SetText("")
	composer.Focus()
	p.screen.Type("at :smil")
	p.window.Find(atspi.List, "Completions")
	p.screen.Keys("Escape")
	p.window.Gone(atspi.List, "Completions")
	p.screen.Type("e: 12:30")
	p.screen.Keys("Return")
	other.has(p, "it arrives with an emoji", says("at 😄 12:30"))
}

// react puts reactions on messages, with the mouse and with the keyboard.
func react(p, other *person) {
	other.say(p, "lunch?")
	message := p.message("lunch?")
	message.Focus()
	message.Find(atspi.PushButton, "Message menu").Click()
	p.window.Find(atspi.PushButton, "red heart").Click()
	other.has(p, "it has arrived", reacts("lunch?", "anna", "❤️"))
	chip := message.Find(atspi.PushButton, "❤️ You")
	chip.Focus()
	p.screen.Until("it has the keyboard", func() bool { return chip.Is(atspi.Focused) })
	other.invoke("emoji", &pluginpb.InvokeRequest{
		Action: "react", Chat: string(other.ChatWith(p.Person)), Message: other.has(p, "it is there", says("lunch?")), Text: "❤️",
	})
	both := message.Find(atspi.PushButton, "❤️ You, bob")
	if label := message.Name(); !strings.Contains(label, "❤️ You, bob") {
		p.t.Errorf("the message is called %q", label)
	}
	if name := chip.Name(); name != "❤️ You, bob" || !chip.Is(atspi.Focused) {
		p.t.Errorf("the reaction had the keyboard; now it is called %q, and has it: %v", name, chip.Is(atspi.Focused))
	}
	p.shot("emoji-reactions")
	both.ClickMouse(desktop.Left)
	message.Find(atspi.PushButton, "❤️ bob")
	other.has(p, "it is taken back", reacts("lunch?", "anna", ""))

	// With the keyboard alone: from the composer to the message, its menu, and all
	// emoji.
	message.Focus()
	p.screen.Until("the message has the keyboard", func() bool { return message.Is(atspi.Focused) })
	p.screen.Keys("Return")
	p.window.Find(atspi.PushButton, "Other reactions").Focus()
	p.screen.Keys("Return")
	search := p.window.Find(atspi.Text, "Search an emoji")
	p.screen.Until("the search has the keyboard", func() bool { return search.Is(atspi.Focused) })
	p.screen.Type("noodle")
	p.found("steaming bowl")
	p.screen.Keys("Return")
	message.Find(atspi.PushButton, "🍜 You")
	message.Find(atspi.PushButton, "React").Click()
	p.window.Find(atspi.PushButton, "Other reactions")
	p.shot("emoji-quick")
	p.screen.Keys("Escape")
}
