package main

import (
	"strings"

	tea "charm.land/bubbletea/v2"

	"github.com/parley-chat/parley/core/client"
)

// suggestion is what may be put into a line, and what it is called.
type suggestion struct{ text, name string }

// completer gives what the end of a text may become, and what of it that replaces.
type completer func(text string) (replaces string, items []suggestion)

// completion is what Tab offers, one after the other.
type completion struct {
	items []suggestion
	shown int    // index of the one that stands in the line
	text  string // of the line up to the cursor, with that one
}

// offered is what a completer found for a text.
type offered struct {
	text     string
	replaces string
	items    []suggestion
}

// beforeCursor is the text of the cursor's line up to it.
func (m *lineModel) beforeCursor() string {
	lines := strings.Split(m.area.Value(), "\n")
	line := []rune(lines[min(m.area.Line(), len(lines)-1)])
	return string(line[:min(m.area.Column(), len(line))])
}

// tab puts the first that is offered for the end of the text into the line, or the next.
func (m *lineModel) tab(step int) tea.Cmd {
	text := m.beforeCursor()
	if o := &m.offer; len(o.items) > 0 && o.text == text {
		was := o.items[o.shown].text
		o.shown = (o.shown + step + len(o.items)) % len(o.items)
		m.exchange(was, o.items[o.shown].text)
		return nil
	}
	if m.complete == nil || step < 0 {
		return nil
	}
	complete := m.complete
	return func() tea.Msg {
		replaces, items := complete(text)
		return offered{text, replaces, items}
	}
}

// take puts the first of what was found into the line, if that is still the same.
func (m *lineModel) take(o offered) {
	if len(o.items) == 0 || m.beforeCursor() != o.text {
		return
	}
	m.offer = completion{items: o.items}
	m.exchange(o.replaces, o.items[0].text)
}

// exchange puts a text for another that stands before the cursor.
func (m *lineModel) exchange(old, text string) {
	for range old {
		_ = m.edit(tea.KeyPressMsg{Code: tea.KeyBackspace})
	}
	m.area.InsertString(text)
	m.offer.text = m.beforeCursor()
}

// offerRow shows what Tab offers; "" when it offers nothing.
func (m *lineModel) offerRow() string {
	if len(m.offer.items) == 0 || m.offer.text != m.beforeCursor() {
		return ""
	}
	var parts []string
	// The one that stands in the line is always to be seen.
	for i := range m.offer.items {
		item := m.offer.items[(m.offer.shown+i)%len(m.offer.items)]
		parts = append(parts, strings.TrimSpace(item.text+" "+client.PrintableLine(item.name)))
	}
	return "Tab: " + strings.Join(parts, "  ")
}
