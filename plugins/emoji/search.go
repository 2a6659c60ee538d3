package emoji

import (
	"cmp"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxQuery is the most bytes of a query that count.
const maxQuery = 200

// A rank says how well an emoji fits a word; the lowest is the best. Of those
// whose name or shortcode begins with it, a shorter one is better: so a rank is one
// of these times rankStep, and for rankBegins what is left of the name more.
const (
	rankExact    = iota // its name or a shortcode
	rankBoth            // its name begins with it, and it is a keyword: in Chinese, no part of a longer word
	rankBegins          // its name or a shortcode begins with it
	rankKeyword         // a keyword
	rankNameWord        // a word of its name begins with it
	rankWord            // a keyword begins with it
	rankName            // its name has it
	rankInside          // a keyword has it
	noRank

	rankStep = 256
)

// hit is a line of data that fits.
type hit struct {
	rank int
	line int // where it begins
}

// search gives the emoji that fit all words of a text, in English, Chinese or
// shortcodes; the best first, those alike in the order of
// data, at most limit.
func search(text string, limit int) []entry {
	query := strings.ToLower(strings.Trim(strings.Join(strings.Fields(text), " "), ": "))
	if len(query) > maxQuery {
		query = strings.ToValidUTF8(query[:maxQuery], "")
	}
	if query == "" || strings.ContainsAny(query, ":|") {
		return nil
	}
	terms := strings.Split(query, " ")
	longest := slices.MaxFunc(terms, func(a, b string) int { return cmp.Compare(len(a), len(b)) })
	var hits []hit
	for at := 0; ; {
		// What has the longest word somewhere is looked at more closely.
		i := strings.Index(data[at:], longest)
		if i < 0 {
			break
		}
		start := strings.LastIndexByte(data[:at+i], '\n') + 1
		end := start + strings.IndexByte(data[start:], '\n')
		if rank := rankOf(data[start:end], query, terms); rank < noRank*rankStep {
			hits = append(hits, hit{rank, start})
		}
		at = end
	}
	slices.SortFunc(hits, func(a, b hit) int { return cmp.Or(a.rank-b.rank, a.line-b.line) })
	found := make([]entry, 0, min(len(hits), limit))
	for _, h := range hits[:min(len(hits), limit)] {
		found = append(found, parse(lineAt(h.line)))
	}
	return found
}

// rankOf ranks a line: as well as the whole query fits, or else as badly as the
// worst of its words, and then behind all that one word is enough for.
func rankOf(line, query string, terms []string) int {
	if strings.HasPrefix(line, ">") {
		return noRank * rankStep
	}
	e := parse(line)
	rank := e.rank(query)
	if rank < noRank*rankStep || len(terms) == 1 {
		return rank
	}
	for i, term := range terms {
		r := e.rank(term)
		if r == noRank*rankStep {
			return r
		}
		if i == 0 || r > rank {
			rank = r
		}
	}
	return rank
}

func (e *entry) rank(word string) int {
	best := codeRank(e.codes, word)
	for l := range languages {
		name, keyword := nameRank(e.names[l], word), wordRank(e.words[l], word)
		if name/rankStep == rankBegins && keyword == rankKeyword && word[0] >= utf8.RuneSelf {
			name = rankBoth * rankStep
		}
		best = min(best, name, rankStep*keyword)
	}
	return best
}

// beginning is the rank of a name that begins with something, and has this many
// bytes more.
func beginning(more int) int { return rankBegins*rankStep + min(more, rankStep-1) }

// codeRank ranks a word among shortcodes, ":a_b:c:".
func codeRank(codes, word string) int {
	best := noRank * rankStep
	for from := 0; ; from++ {
		i := strings.Index(codes[from:], word)
		if i < 0 {
			return best
		}
		from += i
		before := codes[from-1]
		switch {
		case before == ':' && codes[from+len(word)] == ':':
			return rankExact * rankStep
		case before == ':':
			best = min(best, beginning(strings.IndexByte(codes[from+len(word):], ':')))
		case before == '_' || before == '-':
			best = min(best, rankNameWord*rankStep)
		}
	}
}

// nameRank ranks a word in a name.
func nameRank(name, word string) int {
	if len(name) == len(word) && strings.EqualFold(name, word) {
		return rankExact * rankStep
	}
	best := noRank * rankStep
	// What stands behind a kind is a name by itself: "flag: Japan".
	if _, own, ok := strings.Cut(name, ": "); ok && len(own) == len(word) && strings.EqualFold(own, word) {
		return rankExact * rankStep
	}
	for i := 0; i+len(word) <= len(name); i++ {
		if !utf8.RuneStart(name[i]) || lower(name[i]) != word[0] || !strings.EqualFold(name[i:i+len(word)], word) {
			continue
		}
		switch {
		case i == 0:
			return beginning(len(name) - len(word))
		case begins(name, i):
			best = rankNameWord * rankStep
		case word[0] >= utf8.RuneSelf:
			best = min(best, rankName*rankStep) // Chinese has no spaces
		}
	}
	return best
}

func lower(b byte) byte {
	if b >= 'A' && b <= 'Z' {
		return b + 'a' - 'A'
	}
	return b
}

// begins says whether a word begins at i of a name.
func begins(name string, i int) bool {
	switch name[i-1] {
	case ' ', '-', '(', ':', '"':
		return true
	}
	before, _ := utf8.DecodeLastRuneInString(name[:i])
	return before == '“' || before == '’'
}

// wordRank ranks a word among keywords, "|a|b c|".
func wordRank(words, word string) int {
	best := noRank
	for from := 0; from < len(words); from++ {
		i := strings.Index(words[from:], word)
		if i < 0 {
			return best
		}
		from += i
		before, after := words[max(from-1, 0)], words[min(from+len(word), len(words)-1)]
		switch {
		case before == '|' && after == '|':
			return rankKeyword
		case before == '|':
			best = min(best, rankWord)
		case before == ' ' || before == '-' || word[0] >= utf8.RuneSelf:
			best = min(best, rankInside)
		}
	}
	return best
}
