package conversation

import (
	"strings"
	"testing"

	"github.com/parley-chat/parley/ui-gtk/viewmodel"
)

// TestOnOneLine: only what is shorter than the room in any font is not wrapped.
func TestOnOneLine(t *testing.T) {
	const wide = 700
	for _, x := range []struct {
		text string
		room int
		want bool
	}{
		{"See you at the station at 5, by the clock", wide, true},
		{"See you at the station at 5, by the clock", 360, false},
		{"See you at the station at 5, by the clock or the fountain", wide, false},
		{"See you\nat 5", wide, false},
		{"See you\u2028at 5", wide, false},
		{"短信息，一行就够了", wide, true},
		{"这是一条很长的信息，在一行里面放不下", wide, true},
		{"这是一条很长很长的信息，在一行里面无论如何也放不下的", wide, false},
		{strings.Repeat("W", 28), wide, true},
		{strings.Repeat("W", 29), wide, false},
		{strings.Repeat("😀", 19), wide, false},
		{"a", 0, false},
	} {
		half := len(x.text) / 2
		for !strings.HasPrefix(x.text, string([]rune(x.text[:half]))) {
			half-- // not inside of a character
		}
		for _, spans := range [][]viewmodel.Span{{{Text: x.text}}, {{Text: x.text[:half], Bold: true}, {Text: x.text[half:]}}} {
			if got := onOneLine(spans, x.room); got != x.want {
				t.Errorf("%q in %d pixels, as %d spans: %v", x.text, x.room, len(spans), got)
			}
		}
	}
}
