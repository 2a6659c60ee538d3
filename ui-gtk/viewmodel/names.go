package viewmodel

import (
	"hash/fnv"
	"strings"
	"unicode"

	"github.com/parley-chat/parley/core/client"
)

// Bounds of what others wrote, in characters, where one line of it is shown.
const (
	maxShownName = 100
	maxShownLine = 200
)

// maxMarks is how many marks may stand above and below one letter: enough for any
// script, and too few to reach into the lines around.
const maxMarks = 4

// maxJoined is how many characters may be joined to one picture, as families are: a
// longer one cannot be broken, and makes what it stands in as wide as it is.
const maxJoined = 5

// joiner joins the character before it to the one after.
const joiner = '\u200d'

// tidy makes what somebody else wrote fit to be shown on one line: harmless (see
// client.PrintableLine), at most so many characters, without towers of marks and endless
// joined pictures.
func tidy(s string, most int) string {
	s = client.PrintableLine(firstRunes(s, most))
	marks, joined := 0, 0
	var before rune
	return strings.Map(func(r rune) rune {
		switch {
		case r == joiner:
			if joined++; joined > maxJoined {
				return -1
			}
		case unicode.In(r, unicode.Mn, unicode.Me):
			if marks++; marks > maxMarks {
				return -1
			}
		default:
			marks = 0
			if before != joiner {
				joined = 0
			}
		}
		before = r
		return r
	}, s)
}

// tidyName is tidy for a name, and empty for one that nobody can see.
func tidyName(s string) string {
	s = tidy(s, maxShownName)
	if !strings.ContainsFunc(s, seen) {
		return ""
	}
	return s
}

// seen says whether a character leaves a trace on the screen by itself.
func seen(r rune) bool {
	switch r {
	case '\u115f', '\u1160', '\u2800', '\u3164', '\uffa0': // fillers, which count as letters
		return false
	}
	return unicode.IsGraphic(r) && !unicode.IsSpace(r) && !unicode.In(r, unicode.Mn, unicode.Me)
}

// firstRunes cuts a text that is only shown in part.
func firstRunes(s string, n int) string {
	for i := range s {
		if n--; n < 0 {
			return s[:i]
		}
	}
	return s
}

// AvatarColours is how many colours there are behind initials.
const AvatarColours = 8

// AvatarLook gives what stands for a person or chat without a picture: the first
// letter of the name, and which of the colours, from 1, the id has.
func AvatarLook(id, name string) (initial string, colour int) {
	h := fnv.New32a()
	_, _ = h.Write([]byte(id)) // never fails
	colour = int(h.Sum32()%AvatarColours) + 1
	name = tidyName(name)
	for _, r := range name {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return strings.ToUpper(string(r)), colour
		}
	}
	for _, r := range name {
		if seen(r) && r != unicode.ReplacementChar {
			return string(r), colour
		}
	}
	return "?", colour
}
