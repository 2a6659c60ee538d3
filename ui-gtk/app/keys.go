package app

import (
	"strings"

	"github.com/gotk3/gotk3/gdk"
	"github.com/gotk3/gotk3/glib"
	"github.com/gotk3/gotk3/gtk"

	"github.com/parley-chat/parley/ui-gtk/gtkx"
	"github.com/parley-chat/parley/ui-gtk/viewmodel"
)

// chord is a key with those that are held.
type chord struct {
	key  uint // in small letters
	held gdk.ModifierType
}

// held are the keys that count when they are held.
const heldKeys = gdk.CONTROL_MASK | gdk.SHIFT_MASK | gdk.MOD1_MASK | gdk.SUPER_MASK

// namedKeys are keys whose names are not what they write.
var namedKeys = map[string]uint{
	"PgUp": gdk.KEY_Page_Up, "PgDn": gdk.KEY_Page_Down, "Tab": gdk.KEY_Tab, "Esc": gdk.KEY_Escape, "Enter": gdk.KEY_Return,
	"Up": gdk.KEY_Up, "End": gdk.KEY_End, "F1": gdk.KEY_F1,
	",": gdk.KEY_comma, "?": gdk.KEY_question, "/": gdk.KEY_slash,
}

// pressed is what a command is given: which of its keys it was.
type pressed struct {
	command viewmodel.KeyCommand
	digit   int
}

// keys is the table of keys, by chord.
var keys = func() map[chord]pressed {
	table := map[chord]pressed{}
	for _, g := range viewmodel.Shortcuts {
		for _, s := range g.Shortcuts {
			if s.Command == viewmodel.CommandNone {
				continue
			}
			for _, name := range s.Keys {
				parts := strings.Split(name, "+")
				var held gdk.ModifierType
				for _, p := range parts[:len(parts)-1] {
					held |= map[string]gdk.ModifierType{"Ctrl": gdk.CONTROL_MASK, "Shift": gdk.SHIFT_MASK, "Alt": gdk.MOD1_MASK}[p]
				}
				last := parts[len(parts)-1]
				if last == "1…9" {
					for digit := 1; digit <= 9; digit++ {
						table[chord{gdk.KEY_0 + uint(digit), held}] = pressed{s.Command, digit}
						table[chord{gdk.KEY_KP_0 + uint(digit), held}] = pressed{s.Command, digit}
					}
					continue
				}
				key, ok := namedKeys[last]
				if !ok {
					key = gdk.KeyvalToLower(gdk.UnicodeToKeyval([]rune(last)[0]))
				}
				table[chord{key, held}] = pressed{command: s.Command}
			}
		}
	}
	return table
}()

// connectKeys has the window take the keys of the table. Those that close something
// are left to what has the focus first: it may have something to close.
func (w *Window) connectKeys() {
	take := func(e *gdk.Event, closing bool) bool {
		p, ok := keys[chordOf(gdk.EventKeyNewFromEvent(e))]
		if !ok || (p.command == viewmodel.CommandCloseChat) != closing {
			return false
		}
		return w.command(p)
	}
	w.native.Connect("key-press-event", func(_ *gtk.Window, e *gdk.Event) bool {
		w.pressed()
		return take(e, false)
	})
	w.native.ConnectAfter("key-press-event", func(_ *gtk.Window, e *gdk.Event) bool {
		return take(e, true) || w.session.Stage() == viewmodel.Opened && w.chats.Type(e)
	})
}

// pressed tells the session that a key was pressed, and when that is on the screen:
// what waits until GTK has nothing to do runs after the frame whose time has come.
func (w *Window) pressed() {
	w.session.Pressed()
	if w.painting {
		return
	}
	w.painting = true
	w.native.AddTickCallback(func(*gtk.Widget, *gdk.FrameClock) bool {
		glib.IdleAdd(func() {
			w.painting = false
			w.session.Painted()
		})
		return false
	})
}

func chordOf(e *gdk.EventKey) chord {
	c := chord{key: gtkx.ShortcutKey(e), held: gdk.ModifierType(e.State()) & heldKeys} //nolint:gosec // bits of the keyboard
	if c.key == gdk.KEY_question || c.key == gdk.KEY_slash {
		c.held &^= gdk.SHIFT_MASK // which some keyboards need to write it
	}
	return c
}

// command does what keys are for, and says whether it could be done.
func (w *Window) command(p pressed) bool {
	chats, open := w.session.Chats, w.session.Panes.Chat.Get()
	switch p.command {
	case viewmodel.CommandPreferences:
		w.ShowPreferences("")
	case viewmodel.CommandShortcuts:
		w.showShortcuts()
	case viewmodel.CommandCloseWindow:
		w.native.Close()
	case viewmodel.CommandQuit:
		w.app.quit()
	default:
		if w.session.Stage() != viewmodel.Opened {
			return false
		}
		switch p.command {
		case viewmodel.CommandSwitch:
			w.search(viewmodel.SearchPeople)
		case viewmodel.CommandSearchAll:
			w.search(viewmodel.SearchMessages)
		case viewmodel.CommandAddContact:
			w.ShowAddContact("")
		case viewmodel.CommandNewGroup:
			w.ShowNewGroup()
		case viewmodel.CommandNextChat:
			return w.goTo(chats.Beside(open, 1))
		case viewmodel.CommandPreviousChat:
			return w.goTo(chats.Beside(open, -1))
		case viewmodel.CommandNextUnread:
			w.goTo(chats.NextUnread(open)) // and else Ctrl+Tab does nothing
		case viewmodel.CommandNthChat:
			return w.goTo(chats.Nth(p.digit))
		case viewmodel.CommandCloseChat:
			return w.leave()
		default:
			return false
		}
	}
	return true
}

// search shows the search field, which is in the list of chats.
func (w *Window) search(mode viewmodel.SearchMode) {
	if !w.session.Panes.Layout.Get().Side {
		w.OpenChat("", nil)
	}
	w.sidebar.Search(mode)
}

// goTo opens a chat, if there is one.
func (w *Window) goTo(chat string) bool {
	if chat == "" {
		return false
	}
	w.OpenChat(chat, nil)
	return true
}

// leave closes what is open: the search in the chat, what is being answered or
// edited, the search for people, and at last the chat.
func (w *Window) leave() bool {
	if c := w.session.Conversation; c.Finding.Get().Open {
		c.OpenFind(false)
		return true
	} else if c.Composer.Cancel() {
		return true
	}
	if w.session.Search.State.Get().Mode != viewmodel.SearchOff {
		w.session.Search.Close()
		return true
	}
	if w.session.Panes.Chat.Get() == "" {
		return false
	}
	w.OpenChat("", nil)
	return true
}
