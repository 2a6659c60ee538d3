package viewmodel

import "github.com/parley-chat/parley/ui-gtk/texts"

// KeyCommand is what keys do wherever one is in the window.
type KeyCommand int

// What keys do. CommandNone is for keys that one part of the window takes itself, and
// that are only told of.
const (
	CommandNone KeyCommand = iota
	CommandSwitch
	CommandSearchAll
	CommandAddContact
	CommandNewGroup
	CommandPreferences
	CommandShortcuts
	CommandCloseWindow
	CommandQuit
	CommandNextChat
	CommandPreviousChat
	CommandNextUnread
	CommandNthChat // with the digit
	CommandCloseChat
)

// Shortcut is a row of the table of keys, by which keys work and by which they are
// shown.
type Shortcut struct {
	// Keys that do it, as people write them. Of several the first is shown. "1…9"
	// stands for each digit.
	Keys    []string
	Command KeyCommand
	// Text says what they do, in English; see Texts.T.
	Text string
}

// ShortcutGroup is what belongs together.
type ShortcutGroup struct {
	Title     string
	Shortcuts []Shortcut
}

// Shortcuts are all keys of the window.
var Shortcuts = []ShortcutGroup{
	{texts.Mark("Everywhere"), []Shortcut{
		{[]string{"Ctrl+K"}, CommandSwitch, texts.Mark("Go to a person or chat")},
		{[]string{"Ctrl+Shift+F"}, CommandSearchAll, texts.Mark("Search all messages")},
		{[]string{"Ctrl+N"}, CommandAddContact, texts.Mark("Add a contact")},
		{[]string{"Ctrl+G"}, CommandNewGroup, texts.Mark("New group")},
		{[]string{"Ctrl+,"}, CommandPreferences, texts.Mark("Preferences")},
		{[]string{"Ctrl+?", "Ctrl+/", "F1"}, CommandShortcuts, texts.Mark("Keyboard shortcuts")},
		{[]string{"Ctrl+W"}, CommandCloseWindow, texts.Mark("Close the window")},
		{[]string{"Ctrl+Q"}, CommandQuit, texts.Mark("Quit")},
	}},
	{texts.Mark("Chats"), []Shortcut{
		{[]string{"Ctrl+PgDn"}, CommandNextChat, texts.Mark("Next chat")},
		{[]string{"Ctrl+PgUp"}, CommandPreviousChat, texts.Mark("Previous chat")},
		{[]string{"Ctrl+Tab"}, CommandNextUnread, texts.Mark("Next chat with something new")},
		{[]string{"Alt+1…9"}, CommandNthChat, texts.Mark("Chat by its place in the list")},
		{[]string{"Esc"}, CommandCloseChat, texts.Mark("Close what is open, then the chat")},
	}},
	{texts.Mark("In a chat"), []Shortcut{
		{[]string{"Ctrl+F"}, CommandNone, texts.Mark("Find in this chat")},
		{[]string{"Ctrl+End"}, CommandNone, texts.Mark("Go to the newest message")},
		{[]string{"PgUp"}, CommandNone, texts.Mark("Older messages")},
		{[]string{"PgDn"}, CommandNone, texts.Mark("Newer messages")},
	}},
	{texts.Mark("Writing"), []Shortcut{
		{[]string{"Enter"}, CommandNone, texts.Mark("Send")},
		{[]string{"Shift+Enter"}, CommandNone, texts.Mark("New line")},
		{[]string{"Up"}, CommandNone, texts.Mark("Edit the last message, when nothing is written")},
		{[]string{"Ctrl+U"}, CommandNone, texts.Mark("Attach a file")},
		{[]string{"Ctrl+E"}, CommandNone, texts.Mark("Choose an emoji")},
	}},
}

// KeysOf gives the keys of a command, as a menu shows them.
func KeysOf(c KeyCommand) string {
	for _, g := range Shortcuts {
		for _, s := range g.Shortcuts {
			if s.Command == c {
				return s.Keys[0]
			}
		}
	}
	return ""
}

// Beside gives the chat that many rows below a chat in the list, or above it, going
// round at the ends; empty when there is none.
func (c *Chats) Beside(chat string, by int) string {
	n := c.Rows.Len()
	if n == 0 {
		return ""
	}
	at := c.Rows.Index(chat)
	if at < 0 {
		at = 0
		if by > 0 {
			at = -1
		}
	}
	return c.Rows.At(((at+by)%n + n) % n).RowKey()
}

// NextUnread gives the next chat below a chat with something that was not read,
// going round at the end; those that are muted come last. Empty when there is none.
func (c *Chats) NextUnread(chat string) string {
	n, at := c.Rows.Len(), c.Rows.Index(chat)
	for _, muted := range []bool{false, true} {
		for i := 1; i <= n; i++ {
			row := c.Rows.At((at + i + n) % n)
			if row.RowKey() != chat && row.Chat.GetUnread() > 0 && row.Chat.GetMuted() == muted {
				return row.RowKey()
			}
		}
	}
	return ""
}

// Nth gives the chat at a place in the list, counted from 1; empty when there is
// none.
func (c *Chats) Nth(n int) string {
	if n < 1 || n > c.Rows.Len() {
		return ""
	}
	return c.Rows.At(n - 1).RowKey()
}
