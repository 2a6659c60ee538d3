package emoji

import (
	"strings"
	"testing"
)

func TestReplace(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{"no colons", "no colons"},
		{":tada:", "🎉"},
		{"a :tada: b", "a 🎉 b"},
		{":tada::heart:", "🎉❤️"},
		{"Fest:tada:", "Fest:tada:"}, // behind a letter
		{"(:tada:)", "(🎉)"},
		{"好:tada:好", "好🎉好"},
		{":+1:", "👍"},
		{":-1:", "👎"},
		{":thumbsup_tone3:", "👍🏽"},
		{":thumbsup::skin-tone-6:", "👍🏿"},
		{":thumbsup::skin-tone-1:", "👍:skin-tone-1:"},
		{":handshake_tone1-5:", "🫱🏻‍🫲🏿"},
		{":handshake_tone1-6:", ":handshake_tone1-6:"},
		{":smile_tone2:", ":smile_tone2:"},
		{`\:tada:`, ":tada:"},
		{`a\:tada: b :tada:`, "a:tada: b 🎉"},
		{`\:nothing:`, `\:nothing:`},
		{"12:100:5", "12:100:5"},
		{"12:100: 5", "12:100: 5"},
		{":100:", "💯"},
		{":100:00", ":100:00"},
		{"std::heart::x", "std::heart::x"},
		{"http://x/:heart:/y :heart:", "http://x/:heart:/y ❤️"},
		{"`:heart:` :heart:", "`:heart:` ❤️"},
		{"``a`:heart:`` :heart:", "``a`:heart:`` ❤️"},
		{"```\n:heart:\n``` :heart:", "```\n:heart:\n``` ❤️"},
		{"a ` b :heart:", "a ` b ❤️"},
		{":heart", ":heart"},
		{"::", "::"},
		{":::heart:::", ":::heart:::"},
		{": heart:", ": heart:"},
		{":HEART:", ":HEART:"},
		{":nothing_xyz: :heart:", ":nothing_xyz: ❤️"},
		{"http://a`b :heart:`", "http://a`b ❤️`"},
	} {
		if got, _ := replace(c.in, 0); got != c.want {
			t.Errorf("%q becomes %q, not %q", c.in, got, c.want)
		}
	}
	if got, _ := replace(":thumbsup: :heart: :thumbsup_tone1:", 5); got != "👍🏿 ❤️ 👍🏻" {
		t.Errorf("in a tone: %q", got)
	}
	long := strings.Repeat(":`:::http://", 5000)
	if got, _ := replace(long, 0); got != long {
		t.Error("a long text without emoji was changed")
	}
}

func TestComplete(t *testing.T) {
	for _, c := range []struct {
		in    string
		start int
		first string // "" for nothing
	}{
		{":tad", 0, "🎉"},
		{"so :tad", 3, "🎉"},
		{":TAD", 0, "🎉"},
		{":ta", 0, "🌮"}, // taco is the shortest
		{":t", 0, ""},
		{":", 0, ""},
		{"tada", 0, ""},
		{"a:tad", 0, ""},
		{"12:10", 0, ""},
		{`\:tad`, 0, ""},
		{":tad a", 0, ""},
		{"`:tad", 0, ""},
		{"`x` :tad", 4, "🎉"},
		{":heart::tad", 7, ""}, // the first is no emoji yet
		{"好:红心", 3, "❤️"},
		{"好：红心", 3, "❤️"},
		{"：tad", 0, "🎉"},
		{":握", 0, "🤝"},
		{"http://x:tad", 0, ""},
		{":zzzzzz", 0, ""},
		{"(:thumbs_u", 1, "👍"},
		{":(", 0, ""},
		{":/", 0, ""},
	} {
		start, found := complete(c.in, 8)
		switch {
		case c.first == "" && len(found) > 0:
			t.Errorf("%q completes to %s", c.in, found[0].emoji)
		case c.first != "" && (len(found) == 0 || found[0].emoji != c.first || start != c.start):
			t.Errorf("%q completes from %d to %+v", c.in, start, found)
		}
	}
}
