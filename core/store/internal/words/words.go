// Package words cuts text into what a search finds it by. Words are folded:
// lower case, compatibility forms made plain, diacritics removed. Scripts
// written without spaces (Chinese, Japanese, Korean; pictographs too) are kept
// as runs, and indexed as their single characters and pairs.
package words

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Version changes whenever Index gives other tokens for some text than before:
// an index that was made by another version is made again.
const Version = 1

// maxToken is how many runes of a word are indexed. A longer word is found by
// its beginning.
const maxToken = 32

// Segment is a word, or a run of a script without spaces.
type Segment struct {
	Text string
	Run  bool
}

// Segments cuts text.
func Segments(text string) []Segment {
	folded := fold(text)
	var out []Segment
	start, run := -1, false
	flush := func(end int) {
		if start >= 0 {
			out = append(out, Segment{folded[start:end], run})
			start = -1
		}
	}
	for i, r := range folded {
		kind := classify(r)
		switch {
		case kind == other:
			flush(i)
		case start < 0:
			start, run = i, kind == spaceless
		case kind == mark:
			// belongs to what it follows
		case run != (kind == spaceless):
			flush(i)
			start, run = i, kind == spaceless
		}
	}
	flush(len(folded))
	return out
}

// Index gives what texts are found by, each once: words, found by their
// beginning, and grams, the characters and pairs of characters of runs. They
// hold letters, digits, marks and pictographs only.
func Index(texts ...string) (words, grams []string) {
	seen := map[Segment]struct{}{}
	add := func(to *[]string, s Segment) {
		if _, ok := seen[s]; !ok {
			seen[s] = struct{}{}
			*to = append(*to, s.Text)
		}
	}
	for _, text := range texts {
		for _, s := range Segments(text) {
			if !s.Run {
				add(&words, Segment{Text: cut(s.Text, maxToken)})
				continue
			}
			before := -1
			for i, r := range s.Text {
				end := i + utf8.RuneLen(r)
				add(&grams, Segment{s.Text[i:end], true})
				if before >= 0 {
					add(&grams, Segment{s.Text[before:end], true})
				}
				before = i
			}
		}
	}
	return words, grams
}

// Prefix gives the first n runes of word; whole says that there are no more.
func Prefix(word string, n int) (prefix string, whole bool) {
	prefix = cut(word, n)
	return prefix, prefix == word
}

// Query is what is looked for: every term must be there.
type Query struct {
	terms []Segment
}

// MaxQuery is how many bytes of a query are read.
const MaxQuery = 4 << 10

// Parse reads a query. Whatever is not a word in it is ignored.
func Parse(text string) Query {
	var q Query
	seen := map[Segment]struct{}{}
	for _, s := range Segments(text[:min(len(text), MaxQuery)]) {
		if _, ok := seen[s]; !ok {
			seen[s] = struct{}{}
			q.terms = append(q.terms, s)
		}
	}
	return q
}

// Empty says that there is no word in the query, which finds nothing.
func (q Query) Empty() bool { return len(q.terms) == 0 }

// Lookups says what an index is to be asked for: it must hold a word that begins
// with each of prefixes, and all grams; at most limit of each are given. exact
// says that whatever does so matches; else it is a candidate for Match.
func (q Query) Lookups(limit int) (prefixes, grams []string, exact bool) {
	exact = true
	for _, t := range q.terms {
		if !t.Run {
			prefix := cut(t.Text, maxToken)
			prefixes = append(prefixes, prefix)
			exact = exact && prefix == t.Text
			continue
		}
		_, parts := Index(t.Text)
		runes := utf8.RuneCountInString(t.Text)
		for _, p := range parts {
			if runes == 1 || utf8.RuneCountInString(p) == 2 {
				grams = append(grams, p)
			}
		}
		exact = exact && runes <= 2 // longer ones may have their pairs apart
	}
	if len(prefixes) > limit {
		prefixes, exact = prefixes[:limit], false
	}
	if len(grams) > limit {
		grams, exact = grams[:limit], false
	}
	return prefixes, grams, exact
}

// Match says whether texts together hold every term.
func (q Query) Match(texts ...string) bool {
	var words, runs []string
	for _, text := range texts {
		for _, s := range Segments(text) {
			if s.Run {
				runs = append(runs, s.Text)
			} else {
				words = append(words, s.Text)
			}
		}
	}
	slices.Sort(words)
	all := strings.Join(runs, " ") // a term has no space
	for _, t := range q.terms {
		if t.Run {
			if !strings.Contains(all, t.Text) {
				return false
			}
			continue
		}
		// What begins with a term stands right behind where the term would.
		i, _ := slices.BinarySearch(words, t.Text)
		if i == len(words) || !strings.HasPrefix(words[i], t.Text) {
			return false
		}
	}
	return len(q.terms) > 0
}

func cut(word string, runes int) string {
	n := 0
	for i := range word {
		if n == runes {
			return word[:i]
		}
		n++
	}
	return word
}

type class int

const (
	other class = iota
	letter
	mark
	spaceless
)

func classify(r rune) class {
	switch {
	case r < utf8.RuneSelf:
		if 'a' <= r && r <= 'z' || '0' <= r && r <= '9' {
			return letter
		}
		return other
	case r == utf8.RuneError:
		return other
	case unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul, unicode.Bopomofo) || r == 'ー':
		return spaceless
	case unicode.Is(unicode.So, r):
		return spaceless
	case unicode.IsLetter(r) || unicode.IsNumber(r):
		return letter
	case unicode.IsMark(r):
		return mark
	}
	return other
}

func fold(text string) string {
	ascii := true
	for i := 0; i < len(text); i++ {
		if text[i] >= utf8.RuneSelf {
			ascii = false
			break
		}
	}
	if ascii {
		return strings.ToLower(text)
	}
	text = cases.Fold().String(norm.NFKD.String(strings.ToValidUTF8(text, " ")))
	text = strings.Map(func(r rune) rune {
		if diacritic(r) {
			return -1
		}
		return r
	}, text)
	return norm.NFC.String(text)
}

// diacritic says whether people leave r out when they search. The marks of
// Indic scripts and of kana are vowels and consonants, and stay.
func diacritic(r rune) bool {
	if r < 0x300 || !unicode.Is(unicode.Mn, r) || r == 0x3099 || r == 0x309A {
		return false
	}
	return unicode.In(r, unicode.Inherited, unicode.Hebrew, unicode.Arabic)
}
