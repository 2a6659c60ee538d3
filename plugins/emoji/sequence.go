package emoji

import (
	"errors"
	"slices"
	"strings"
	"unicode/utf8"
)

// MaxEmoji is the most bytes one emoji may have; the longest of Unicode 17 has 35.
const MaxEmoji = 55

// ErrNoEmoji is given for what is not one emoji.
var ErrNoEmoji = errors.New("that is not one emoji")

// Code points that emoji are joined with.
const (
	joiner      = '\u200d'
	textStyle   = '\ufe0e'
	emojiStyle  = '\ufe0f'
	keycap      = '\u20e3'
	lightTone   = '\U0001f3fb'
	darkTone    = '\U0001f3ff'
	firstFlag   = '\U0001f1e6'
	lastFlag    = '\U0001f1ff'
	firstTag    = '\U000e0020'
	lastTag     = '\U000e007e'
	endOfTags   = '\U000e007f'
	styleLength = len(string(emojiStyle))
)

// span is a range of code points, both ends included.
type span struct{ first, last rune }

func in(table []span, r rune) bool {
	_, found := slices.BinarySearchFunc(table, r, func(s span, r rune) int {
		switch {
		case s.last < r:
			return -1
		case s.first > r:
			return 1
		}
		return 0
	})
	return found
}

func isTone(r rune) bool { return r >= lightTone && r <= darkTone }
func isFlag(r rune) bool { return r >= firstFlag && r <= lastFlag }
func isTag(r rune) bool  { return r >= firstTag && r <= lastTag }
func isKey(r rune) bool  { return r >= '0' && r <= '9' || r == '#' || r == '*' }

// Canonical gives the one spelling of an emoji that all versions of Parley agree
// on: with U+FE0F behind each part that is drawn as text without it, and nowhere
// else, as emoji-test.txt of Unicode has them ("fully-qualified").
//
// What one emoji is, the grammar of UTS #51 says with tables that never change,
// not the list of those that are known: so one that is newer than this program is
// taken too, and taken by all. Error: ErrNoEmoji.
func Canonical(s string) (string, error) {
	if len(s) == 0 || len(s) > 2*MaxEmoji || !utf8.ValidString(s) {
		return "", ErrNoEmoji
	}
	rest := []rune(strings.NewReplacer(string(textStyle), "", string(emojiStyle), "").Replace(s))
	var out strings.Builder
	for {
		n := part(&out, rest)
		rest = rest[n:]
		switch {
		case n == 0:
			return "", ErrNoEmoji
		case len(rest) == 0 && out.Len() <= MaxEmoji:
			return out.String(), nil
		case len(rest) == 0 || rest[0] != joiner:
			return "", ErrNoEmoji
		}
		out.WriteRune(joiner)
		rest = rest[1:]
		if len(rest) > 0 && !in(pictographic, rest[0]) {
			return "", ErrNoEmoji // keycaps and flags are not joined
		}
	}
}

// part writes the first emoji of those that are joined, and says how many code
// points it has; none if there is none.
func part(out *strings.Builder, s []rune) int {
	at := func(i int) rune {
		if i < len(s) {
			return s[i]
		}
		return 0
	}
	n := 1
	switch first := at(0); {
	case isKey(first) && at(1) == keycap:
		out.WriteString(string(first) + string(emojiStyle) + string(keycap))
		if len(s) > 2 {
			return 0
		}
		return 2
	case isFlag(first) && isFlag(at(1)):
		out.WriteString(string(s[:2]))
		if len(s) > 2 {
			return 0
		}
		return 2
	case !in(pictographic, first):
		return 0
	case isTone(at(1)):
		out.WriteString(string(s[:2]))
		n = 2
	default:
		out.WriteRune(first)
		if in(textual, first) {
			out.WriteRune(emojiStyle)
		}
	}
	if !isTag(at(n)) {
		return n
	}
	for isTag(at(n)) {
		out.WriteRune(s[n])
		n++
	}
	if at(n) != endOfTags {
		return 0
	}
	out.WriteRune(endOfTags)
	return n + 1
}

// withoutTones gives the emoji as it is without skin tones.
func withoutTones(s string) string {
	if !strings.ContainsFunc(s, isTone) {
		return s
	}
	plain, err := Canonical(strings.Map(func(r rune) rune {
		if isTone(r) {
			return -1
		}
		return r
	}, s))
	if err != nil {
		return s
	}
	return plain
}
