package client

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Printable makes text that somebody else wrote harmless to show: control
// characters become their pictures (but for newline and tab), and characters
// that reorder what follows them (bidirectional embeddings, overrides and
// isolates) become U+FFFD. What is stored stays as it was written.
func Printable(s string) string {
	if !strings.ContainsFunc(s, harmful) && utf8.ValidString(s) {
		return s
	}
	return strings.Map(func(r rune) rune {
		switch {
		case !harmful(r):
			return r
		case r < 0x20:
			return '\u2400' + r
		case r == 0x7f:
			return '\u2421'
		default:
			return unicode.ReplacementChar
		}
	}, s)
}

// PrintableLine is Printable on one line.
func PrintableLine(s string) string {
	return strings.Join(strings.Fields(Printable(s)), " ")
}

func harmful(r rune) bool {
	switch {
	case r == '\n' || r == '\t':
		return false
	case r < 0x20, r >= 0x7f && r < 0xa0:
		return true
	case r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069: // embeddings, overrides, isolates
		return true
	case r == 0x2028, r == 0x2029: // line and paragraph separators
		return true
	}
	return false
}
