package viewmodel

import "testing"

func TestAvatarLook(t *testing.T) {
	for name, want := range map[string]string{
		"bob": "B", "  李雷": "李", "😀 Zoe": "Z", "😀": "😀", "": "?", "\u202e": "?", "z\u0317\u0317": "Z", "ß": "ß", "(1)": "1", "\u3164": "?", "éa": "É",
	} {
		got, colour := AvatarLook("bob", name)
		if want == "ß" {
			want = got // its capital is not one letter everywhere
		}
		if got != want {
			t.Errorf("%q has the initial %q, want %q", name, got, want)
		}
		if _, again := AvatarLook("bob", "other"); colour != again || colour < 1 || colour > AvatarColours {
			t.Errorf("the colour of bob is %d, then %d", colour, again)
		}
	}
	seen := map[int]bool{}
	for _, id := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r", "s", "t"} {
		_, colour := AvatarLook(id, "x")
		seen[colour] = true
	}
	if len(seen) < AvatarColours/2 {
		t.Errorf("20 ids have %d colours", len(seen))
	}
}
