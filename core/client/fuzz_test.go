package client_test

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/parley-chat/parley/core/client"
)

// FuzzPrintable: what others wrote neither moves the cursor of a terminal nor
// turns the reading around.
func FuzzPrintable(f *testing.F) {
	for _, s := range []string{"hello\nworld\t!", "\x1b[2J", "\u202egnp.exe", "\xff\xfe", "\u0085\u2028", "a\r\nb"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := client.Printable(s)
		bad := func(r rune) bool {
			return r != '\n' && r != '\t' && unicode.IsControl(r) || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069
		}
		if !utf8.ValidString(got) || strings.ContainsFunc(got, bad) || client.Printable(got) != got {
			t.Fatalf("%q is shown as %q", s, got)
		}
		if line := client.PrintableLine(s); strings.ContainsAny(line, "\n\t") {
			t.Fatalf("%q is shown as the line %q", s, line)
		}
	})
}
