package emoji

import (
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxCode     = 64 // bytes of a shortcode; the longest has 50
	fullColon   = "："
	slackTone   = ":skin-tone-" // ":thumbsup::skin-tone-3:", from 2 to 6
	minComplete = 2             // ASCII characters after which completion begins
)

// emojiOf gives the emoji that a shortcode without its colons stands for, in the
// tone unless the code names one: "thumbsup_tone3", "handshake_tone1-5".
func emojiOf(code string, t tone) (string, bool) {
	if e, ok := findCode(code); ok {
		return e.in(t, newest), true
	}
	base, tones, ok := strings.Cut(code, "_tone")
	if !ok {
		return "", false
	}
	first, second, pair := strings.Cut(tones, "-")
	a, b := toneNumber(first), toneNumber(first)
	if pair {
		b = toneNumber(second)
	}
	e, ok := findCode(base)
	if !ok || a == 0 || b == 0 {
		return "", false
	}
	single, two, _, _ := e.patterns()
	switch {
	case a == b && single != "":
		return fill(single, a, a), true
	case a != b && two != "":
		return fill(two, a, b), true
	}
	return "", false
}

func toneNumber(s string) tone {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n >= len(toneNames) {
		return 0
	}
	return tone(n)
}

// replace puts emoji for the shortcodes in a text. One that is written "\:smile:"
// loses its backslash instead; in `code` and in words with "://" all stays, and
// so does what stands behind a letter or a digit, such as the minutes of 12:00:01.
// It also gives the emoji that it put there, each once.
func replace(text string, t tone) (replaced string, put []string) {
	var out strings.Builder
	done := 0 // text before this is in out
	tick := nextTick(text, 0)
	for i := 0; i < len(text); {
		switch {
		case text[i] == '`' && i == tick.open:
			i = tick.end
			tick = nextTick(text, i)
		case strings.HasPrefix(text[i:], "://"):
			for i < len(text) && !isSpace(text[i]) {
				i++
			}
			if tick.open < i && tick.open >= 0 {
				tick = nextTick(text, i)
			}
		case text[i] != ':' || !mayBegin(text, i, done):
			i++
		default:
			emoji, n := codeAt(text[i:], t)
			if n == 0 {
				i++
				continue
			}
			if i > 0 && text[i-1] == '\\' {
				out.WriteString(text[done : i-1])
				emoji = text[i : i+n]
			} else {
				out.WriteString(text[done:i])
				if len(put) < maxRecent && !slices.Contains(put, emoji) {
					put = append(put, emoji)
				}
			}
			out.WriteString(emoji)
			i += n
			done = i
		}
	}
	if done == 0 {
		return text, nil
	}
	out.WriteString(text[done:])
	return out.String(), put
}

// code is a stretch of text between backticks; open is -1 when there is none.
type code struct{ open, end int }

// nextTick finds the next stretch of code: between two equally long rows of
// backticks.
func nextTick(text string, from int) code {
	for from < len(text) {
		i := strings.IndexByte(text[from:], '`')
		if i < 0 {
			break
		}
		open := from + i
		n := len(text[open:]) - len(strings.TrimLeft(text[open:], "`"))
		for at := open + n; at < len(text); {
			j := strings.IndexByte(text[at:], '`')
			if j < 0 {
				break
			}
			m := len(text[at+j:]) - len(strings.TrimLeft(text[at+j:], "`"))
			at += j + m
			if m == n {
				return code{open, at}
			}
		}
		from = open + n
	}
	return code{-1, -1}
}

func isSpace(b byte) bool { return b == ' ' || b == '\n' || b == '\t' || b == '\r' }

// mayBegin says whether a shortcode may begin with the colon at i; what stands
// before done has been replaced.
func mayBegin(text string, i, done int) bool {
	if i == 0 || i == done {
		return true
	}
	before, _ := utf8.DecodeLastRuneInString(text[:i])
	return before > unicode.MaxASCII || before != ':' && before != '_' && before != '/' && !unicode.IsLetter(before) && !unicode.IsDigit(before)
}

// codeAt gives the emoji of the shortcode that a text begins with, and its length.
func codeAt(text string, t tone) (emoji string, n int) {
	name, _, ok := strings.Cut(text[1:min(len(text), maxCode)], ":")
	if !ok || name == "" {
		return "", 0
	}
	emoji, ok = emojiOf(name, t)
	if !ok {
		return "", 0
	}
	n = len(name) + 2
	if n < len(text) && text[n] < utf8.RuneSelf && (unicode.IsLetter(rune(text[n])) || unicode.IsDigit(rune(text[n]))) {
		return "", 0
	}
	if tail, ok := strings.CutPrefix(text[n:], slackTone); ok && len(tail) >= 2 && tail[1] == ':' {
		if tail[0] >= '2' && tail[0] <= '6' {
			number := int(tail[0] - '0')
			if toned, ok := emojiOf(name+"_tone"+strconv.Itoa(number-1), t); ok {
				return toned, n + len(slackTone) + 2
			}
		}
	}
	return emoji, n
}

// complete finds the shortcode that is being written at the end of a text: where
// it begins, and the emoji it may become.
func complete(text string, limit int) (start int, found []entry) {
	tail := text[max(0, len(text)-maxCode):]
	base := len(text) - len(tail)
	i, colon := strings.LastIndex(tail, ":"), 1
	if j := strings.LastIndex(tail, fullColon); j > i {
		i, colon = j, len(fullColon)
	}
	if i < 0 {
		return len(text), nil
	}
	start = base + i
	word := tail[i+colon:]
	if !mayBegin(text, start, -1) || start > 0 && text[start-1] == '\\' || nextTickCovers(text, start) || tooShort(word) {
		return len(text), nil
	}
	if found = search(word, limit); len(found) == 0 {
		return len(text), nil
	}
	return start, found
}

// nextTickCovers says whether code that has begun before i goes on there.
func nextTickCovers(text string, i int) bool { return strings.Count(text[:i], "`")%2 == 1 }

// tooShort says whether a word is not enough to offer anything for, or is none.
func tooShort(word string) bool {
	if strings.ContainsFunc(word, func(r rune) bool { return unicode.IsSpace(r) || r <= unicode.MaxASCII && notInCode(unicode.ToLower(r)) }) {
		return true
	}
	first, _ := utf8.DecodeRuneInString(word)
	return word == "" || first <= unicode.MaxASCII && len(word) < minComplete
}
