package emoji

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// tone is a skin tone; zero is none.
type tone int

// toneNames are the values of the setting, by their number.
var toneNames = []string{"none", "light", "medium-light", "medium", "medium-dark", "dark"}

// toneOf gives a tone by its name.
func toneOf(name string) (tone, bool) {
	for i, n := range toneNames {
		if n == name {
			return tone(i), true
		}
	}
	return 0, false
}

func (t tone) String() string {
	if t == 0 {
		return ""
	}
	return string(lightTone + rune(t) - 1)
}

// kinds says how many tones at once the emoji can have: 0, 1, or 2 when there are
// pairs of tones.
func (e *entry) kinds() int {
	switch {
	case e.tones == "":
		return 0
	case strings.Contains(e.tones, " "):
		return 2
	}
	return 1
}

// patterns gives how the emoji is written in a tone and in a pair of tones, in
// which "1" and "2" stand for them, and the versions times ten they came with; ""
// when there is no such one.
func (e *entry) patterns() (single, pair string, singleVersion, pairVersion int) {
	one, two, _ := strings.Cut(e.tones, " ")
	read := func(field string) (version int, pattern string) {
		number, pattern, _ := strings.Cut(field, "=")
		version, _ = strconv.Atoi(number) // made by us
		return version, pattern
	}
	if one != "" {
		if singleVersion, single = read(one); single == "" {
			single = DefaultPattern(e.emoji)
		}
	}
	if two != "" {
		pairVersion, pair = read(two)
	}
	return single, pair, singleVersion, pairVersion
}

// DefaultPattern is how most emoji are written in a skin tone: it stands, as "1",
// behind the first code point.
func DefaultPattern(emoji string) string {
	_, n := utf8.DecodeRuneInString(emoji)
	return emoji[:n] + "1" + strings.TrimPrefix(emoji[n:], string(emojiStyle))
}

// patternOf gives the pattern of an emoji and the tones that stand for "1" and "2".
func patternOf(s string) (pattern string, tones []tone) {
	pattern = strings.Map(func(r rune) rune {
		if !isTone(r) {
			return r
		}
		t := tone(r-lightTone) + 1
		for i, known := range tones {
			if known == t {
				return rune('1' + i)
			}
		}
		tones = append(tones, t)
		return rune('0' + len(tones))
	}, s)
	return pattern, tones
}

func fill(pattern string, first, second tone) string {
	return strings.NewReplacer("1", first.String(), "2", second.String()).Replace(pattern)
}

// in gives the emoji in a tone, if it has any, of a version that is not above
// limit.
func (e *entry) in(t tone, limit int) string {
	if t == 0 || e.tones == "" {
		return e.emoji
	}
	single, _, version, _ := e.patterns()
	if version > limit {
		return e.emoji
	}
	return fill(single, t, t)
}

// variants gives the emoji without tone, in each tone and in each pair of tones.
func (e *entry) variants(limit int) []string {
	all := []string{e.emoji}
	single, pair, singleVersion, pairVersion := e.patterns()
	last := tone(len(toneNames) - 1)
	for t := tone(1); t <= last && single != "" && singleVersion <= limit; t++ {
		all = append(all, fill(single, t, t))
	}
	for a := tone(1); a <= last && pair != "" && pairVersion <= limit; a++ {
		for b := tone(1); b <= last; b++ {
			if a != b {
				all = append(all, fill(pair, a, b))
			}
		}
	}
	return all
}
