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

// drawText makes the widgets of a text. menu opens the message's menu.
func (p *Pane) drawText(t viewmodel.Text, menu func(*gdk.Event) bool) []gtk.IWidget {
	var list []gtk.IWidget
	for _, b := range t.Blocks {
		l := widget.Label("", "body")
		l.SetMaxWidthChars(textChars)
		l.SetSelectable(true)
		l.SetTrackVisitedLinks(false)
		l.SetMarkup(p.markup(l, b.Spans))
		l.SetLineWrapMode(pango.WRAP_WORD_CHAR)
		narrow(l, b.Spans)
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

// narrow says how narrow a text may become. Without, GTK finds out how wide it is at
// least by breaking it at each letter, which takes longer than all else about it.
func narrow(l *gtk.Label, spans []viewmodel.Span) {
	n := 0
	for _, x := range spans {
		n += utf8.RuneCountInString(x.Text)
	}
	if n <= fewChars {
		l.SetLineWrap(false)
		return
	}
	// GTK makes a label as wide as so many letters of the usual width, so that what is
	// written in narrow ones has room beside it: half of them keeps on the safe side.
	l.SetWidthChars(min(leastChars, n/2))
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
