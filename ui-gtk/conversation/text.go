package conversation

import (
	"fmt"
	"html"
	"strings"
	"unicode/utf8"

	"github.com/gotk3/gotk3/gdk"
	"github.com/gotk3/gotk3/gtk"
	"github.com/gotk3/gotk3/pango"

	"github.com/parley-chat/parley/ui-gtk/gtkx"
	"github.com/parley-chat/parley/ui-gtk/viewmodel"
	"github.com/parley-chat/parley/ui-gtk/widget"
)

// textChars is how many characters a line of a message has at most.
const textChars = 64

// drawText makes the labels of a text, for which there is so much room, in pixels; 0
// where that changes. menu opens the message's menu.
func (p *Pane) drawText(t viewmodel.Text, room int, menu func(*gdk.Event) bool) []*gtk.Label {
	list := make([]*gtk.Label, 0, len(t.Blocks))
	for _, b := range t.Blocks {
		l := widget.Label("", "body")
		l.SetMaxWidthChars(textChars)
		l.SetSelectable(true)
		l.SetTrackVisitedLinks(false)
		l.SetMarkup(p.markup(l, b.Spans))
		l.SetLineWrapMode(pango.WRAP_WORD_CHAR)
		if n := chars(b.Spans); n <= fewChars || !t.Big && b.Kind != viewmodel.CodeBlock && onOneLine(b.Spans, room) {
			l.SetLineWrap(false)
		} else {
			wrap(l, n)
		}
		switch {
		case b.Kind == viewmodel.Quoted:
			widget.Class(l, "quoted")
		case b.Kind == viewmodel.CodeBlock:
			widget.Class(l, "code", "monospace")
		case t.Big:
			widget.Class(l, "emoji")
		}
		l.Connect("activate-link", func(_ *gtk.Label, uri string) bool {
			p.openLink(uri)
			return true
		})
		l.Connect("button-press-event", func(_ *gtk.Label, e *gdk.Event) bool {
			return gdk.EventButtonNewFromEvent(e).Button() == gdk.BUTTON_SECONDARY && menu(e)
		})
		list = append(list, l)
	}
	return list
}

// Where a text is not made narrower, however narrow the window is.
const (
	fewChars   = 12 // beyond, it is wrapped
	leastChars = 20 // of a line that is wrapped
)

// chars counts the characters of a text.
func chars(spans []viewmodel.Span) int {
	n := 0
	for _, x := range spans {
		n += utf8.RuneCountInString(x.Text)
	}
	return n
}

// wrap has a text of so many characters wrapped, and says how narrow it may become.
// Without, GTK finds out how wide it is at least by breaking it at each letter, which
// takes longer than all else about it.
func wrap(l *gtk.Label, chars int) {
	l.SetLineWrap(true)
	// GTK makes a label as wide as so many letters of the usual width, so that what is
	// written in narrow ones has room beside it: half of them keeps on the safe side.
	l.SetWidthChars(min(leastChars, chars/2))
}

// What onOneLine reckons with. A line of surelyShort small letters is shorter than
// textChars whatever the letters are, so that it would not be wrapped either.
const (
	surelyShort  = 42
	letterPixels = 14 // of a small letter, with the text half as large again as usual
)

// onOneLine says whether a text is surely so short that it is on one line where there
// is so much room, in pixels. GTK lays out what might be wrapped several times, which
// is half of what a message takes; most messages are short.
func onOneLine(spans []viewmodel.Span, room int) bool {
	most := float64(min(surelyShort, room/letterPixels))
	for _, x := range spans {
		for _, c := range x.Text {
			switch {
			case c == '\n' || c == '\t' || c == '\u2028' || c == '\u2029':
				return false
			case c >= 'a' && c <= 'z' && c != 'm' && c != 'w' || c >= '0' && c <= '9' || c == ' ' || c == '.' || c == ',':
				most--
			case c < 0x500: // of an alphabet, and wider
				most -= 1.5
			default:
				most -= 2.25
			}
		}
		if most < 0 {
			return false
		}
	}
	return true
}

// markup writes spans in Pango's markup. Colours are those of the palette.
func (p *Pane) markup(l *gtk.Label, spans []viewmodel.Span) string {
	var s strings.Builder
	s.WriteString(`<span insert_hyphens="false">`) // nobody wrote them
	for _, x := range spans {
		text := html.EscapeString(x.Text)
		if x.Code {
			text = "<tt>" + text + "</tt>"
		}
		if x.Bold {
			text = "<b>" + text + "</b>"
		}
		if x.Hit {
			text = fmt.Sprintf(`<span background="%s" foreground="%s">%s</span>`, paletteColor(l, "warn-bg"), paletteColor(l, "text"), text)
		}
		if x.Mention != "" {
			text = "<b>" + text + "</b>"
			if x.Mention == p.window.Session().User() {
				text = fmt.Sprintf(`<span background="%s" foreground="%s">%s</span>`, paletteColor(l, "mention"), paletteColor(l, "text"), text)
			}
		}
		if x.Link != "" {
			text = `<a href="` + html.EscapeString(x.Link) + `">` + text + "</a>"
		}
		s.WriteString(text)
	}
	s.WriteString("</span>")
	return s.String()
}

// paletteColor gives a colour of the palette as Pango writes it.
func paletteColor(l *gtk.Label, name string) string {
	c, ok := widget.Must(l.GetStyleContext()).LookupColor(name)
	if !ok {
		return "gray"
	}
	part := func(x float64) int { return int(x*255 + 0.5) }
	return fmt.Sprintf("#%02x%02x%02x", part(c.GetRed()), part(c.GetGreen()), part(c.GetBlue()))
}

// openLink opens a link of a message, which is checked again: it may lead to
// nothing but what SafeLink lets through.
func (p *Pane) openLink(uri string) {
	safe, ok := viewmodel.SafeLink(uri)
	if !ok {
		return
	}
	p.failed(gtkx.OpenURI(p.window.Native(), safe))
}
