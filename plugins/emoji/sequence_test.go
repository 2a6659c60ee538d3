package emoji

import (
	"strings"
	"testing"

	"github.com/clipperhouse/uax29/v2/graphemes"
)

func TestCanonical(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"plain", "👍", "👍"},
		{"tone", "👍🏽", "👍🏽"},
		{"text style is made emoji style", "❤\ufe0e", "❤\ufe0f"},
		{"without style", "❤", "❤\ufe0f"},
		{"style that is not needed", "👍\ufe0f", "👍"},
		{"tone instead of style", "🕵\ufe0f🏽", "🕵🏽"},
		{"joined", "🏳\u200d🌈", "🏳\ufe0f\u200d🌈"},
		{"joined, style at the end", "🤷\u200d♂", "🤷\u200d♂\ufe0f"},
		{"family", "👨‍👩‍👧‍👦", "👨‍👩‍👧‍👦"},
		{"longest known", "🧑🏻‍❤️‍💋‍🧑🏼", "🧑🏻‍❤️‍💋‍🧑🏼"},
		{"keycap", "1\u20e3", "1\ufe0f\u20e3"},
		{"keycap with style", "#\ufe0f\u20e3", "#\ufe0f\u20e3"},
		{"flag", "🇩🇪", "🇩🇪"},
		{"flag of nobody yet", "🇦🇦", "🇦🇦"},
		{"flag of tags", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "🏴󠁧󠁢󠁥󠁮󠁧󠁿"},
		{"copyright", "©", "©\ufe0f"},
		{"one that is to come", "\U0001faff", "\U0001faff"},
		{"one to come in a tone", "\U0001fafc🏿", "\U0001fafc🏿"},
		{"a joining to come", "🐦\u200d🔥", "🐦\u200d🔥"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, err := Canonical(c.in); err != nil || got != c.want {
				t.Errorf("got %q (%v), want %q", got, err, c.want)
			}
		})
	}
	for name, s := range map[string]string{
		"nothing": "", "letter": "a", "digit": "1", "two": "👍👍", "emoji and letter": "👍a", "space": " 👍", "Chinese": "赞",
		"half a flag": "🇩", "three halves": "🇩🇪🇫", "tone alone": "🏽", "two tones": "👍🏽🏽", "joiner at the end": "👩\u200d", "joiner in front": "\u200d👩",
		"two joiners": "👩\u200d\u200d👩", "joined with a flag": "👩\u200d🇩🇪", "flag that is joined": "🇩🇪\u200d👩", "keycap that is joined": "1\u20e3\u200d👩",
		"joined with a keycap": "👩\u200d1\u20e3", "tags without end": "🏴\U000e0067", "end without tags": "🏴\U000e007f", "style alone": "\ufe0f",
		"not UTF-8": "\xf0\x9f\x91", "zero": "👍\x00", "right-to-left": "\u202e👍", "chess": "🨀", "mahjong": "🀀", "too long": strings.Repeat("👩\u200d", 10) + "👩",
		"endless": strings.Repeat("👩\u200d", 1<<16),
	} {
		if got, err := Canonical(s); err == nil {
			t.Errorf("%s: %q is taken as %q", name, s, got)
		}
	}
}

// pictographicByLibrary asks GB11 of UAX #29 whether a character is
// Extended_Pictographic: only then a joiner binds it to another.
func pictographicByLibrary(r rune) bool {
	return count(string(r)+"\u200d"+string(r)) == 1 && count(string(r)+string(r)) == 2
}

func count(s string) (n int) {
	for g := graphemes.FromString(s); g.Next(); {
		n++
	}
	return n
}

// The table is the library's, which is made by others from the same source.
func TestPictographic(t *testing.T) {
	for r := rune(0x80); r < 0x20000; r++ {
		if got, want := in(pictographic, r), pictographicByLibrary(r); got != want {
			t.Errorf("U+%X: %t, the library says %t", r, got, want)
		}
	}
}

// Whatever is taken is drawn as one, and its spelling is its own.
func FuzzCanonical(f *testing.F) {
	for _, s := range []string{"👍🏽", "❤", "👨‍👩‍👧‍👦", "1\u20e3", "🇩🇪", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "🕵️‍♂️", "\U0001faff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := Canonical(s)
		if err != nil {
			return
		}
		if again, err := Canonical(got); err != nil || again != got || len(got) > MaxEmoji {
			t.Fatalf("%q is %q is %q (%v)", s, got, again, err)
		}
		if n := count(got); n != 1 {
			t.Fatalf("%q is drawn as %d", got, n)
		}
		find(got)
	})
}

// Spellings are those of emoji-test.txt of Unicode 17, which has 3,944
// fully-qualified emoji besides components, 1,180 of them with a style.
func TestStyles(t *testing.T) {
	total, styled := 0, 0
	for _, e := range all(t) {
		for _, v := range e.variants(newest) {
			total++
			if strings.ContainsRune(v, emojiStyle) {
				styled++
			}
		}
	}
	if total != 3944 || styled != 1180 {
		t.Errorf("there are %d emoji with all tones, %d with a style", total, styled)
	}
}
