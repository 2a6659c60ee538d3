package client_test

import (
	"testing"

	"github.com/parley-chat/parley/core/client"
)

func TestPrintable(t *testing.T) {
	for _, test := range []struct{ name, in, want string }{
		{"plain", "Hello, 世界 🏴󠁧󠁢󠁥󠁮󠁧󠁿", "Hello, 世界 🏴󠁧󠁢󠁥󠁮󠁧󠁿"},
		{"newline and tab stay", "a\n\tb", "a\n\tb"},
		{"escape sequence", "\x1b[31mred\x1b[0m", "␛[31mred␛[0m"},
		{"carriage return and bell", "a\rb\a", "a␍b␇"},
		{"delete", "a\x7f", "a␡"},
		{"C1 control", "a\u009b31m", "a\uFFFD31m"},
		{"right-to-left override", "exe.\u202Egpj", "exe.\uFFFDgpj"},
		{"isolate", "\u2066x\u2069", "\uFFFDx\uFFFD"},
		{"marks of right-to-left scripts stay", "שלום\u200f!", "שלום\u200f!"},
		{"line separator", "a\u2028b", "a\uFFFDb"},
		{"invalid UTF-8", "a\xffb", "a\uFFFDb"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := client.Printable(test.in); got != test.want {
				t.Errorf("Printable(%q) = %q, want %q", test.in, got, test.want)
			}
		})
	}
	if got := client.PrintableLine(" a\n b\t\x1bc "); got != "a b ␛c" {
		t.Errorf("PrintableLine = %q", got)
	}
}
