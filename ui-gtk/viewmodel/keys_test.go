package viewmodel

import (
	"testing"
)

func TestNoKeysDoTwoThings(t *testing.T) {
	does := map[string]string{}
	commands := map[KeyCommand]bool{}
	for _, g := range Shortcuts {
		for _, s := range g.Shortcuts {
			commands[s.Command] = true
			for _, k := range s.Keys {
				if does[k] != "" {
					t.Errorf("%s does %q and %q", k, does[k], s.Text)
				}
				does[k] = s.Text
			}
		}
	}
	for c := CommandSwitch; c <= CommandCloseChat; c++ {
		if !commands[c] {
			t.Errorf("no keys do command %d", c)
		}
	}
	if KeysOf(CommandPreferences) != "Ctrl+," {
		t.Errorf("preferences: %q", KeysOf(CommandPreferences))
	}
}

func TestKeysGoThroughTheChats(t *testing.T) {
	core := newFakeCore()
	for i, with := range []string{"a", "b", "c", "d"} {
		chat := chatOf(with, with, int64(10-i), "hello")
		chat.Unread = map[string]uint32{"b": 1, "c": 2, "d": 3}[with]
		chat.Muted = with == "b"
		core.chats = append(core.chats, chat)
	}
	w := openWindow(t, core)
	c := w.session.Chats
	for _, x := range []struct{ what, got, want string }{
		{"after a", c.Beside("a", 1), "b"},
		{"after the last", c.Beside("d", 1), "a"},
		{"before the first", c.Beside("a", -1), "d"},
		{"first, of none", c.Beside("", 1), "a"},
		{"last, of none", c.Beside("", -1), "d"},
		{"unread after a", c.NextUnread("a"), "c"},
		{"unread after d", c.NextUnread("d"), "c"},
		{"unread after c", c.NextUnread("c"), "d"},
		{"unread, of none", c.NextUnread(""), "c"},
		{"the second", c.Nth(2), "b"},
		{"the ninth", c.Nth(9), ""},
	} {
		if x.got != x.want {
			t.Errorf("%s: %q, not %q", x.what, x.got, x.want)
		}
	}
	none := openWindow(t, newFakeCore()).session.Chats
	if none.Beside("", 1) != "" || none.NextUnread("") != "" || none.Nth(1) != "" {
		t.Error("there is a chat without any")
	}
}
