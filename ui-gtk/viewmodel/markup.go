package viewmodel

import (
	"net/url"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"github.com/parley-chat/parley/core/client"
)

// Text is what somebody wrote, in the parts in which it is drawn. It is bounded,
// whatever was written: see ParseText.
type Text struct {
	Blocks []Block
	// Big: a few emoji and nothing else.
	Big bool
	// Folded: there is more, which ParseText gives with full.
	Folded bool
	// Cut: there is more than can be drawn. Copying gives all.
	Cut bool
}

// BlockKind is what a block is.
type BlockKind int

// Kinds of blocks.
const (
	Paragraph BlockKind = iota
	Quoted              // lines that began with ">"
	CodeBlock           // between lines of ```
)

// Block is some lines, drawn as one.
type Block struct {
	Kind  BlockKind
	Spans []Span
}

// Plain gives the text of a block.
func (b Block) Plain() string {
	var s strings.Builder
	for _, x := range b.Spans {
		s.WriteString(x.Text)
	}
	return s.String()
}

// Span is a part of a line that looks alike. Its text is harmless to show.
type Span struct {
	Text string
	Bold bool
	Code bool
	// Link is where it leads when it is a link, and safe to open: see SafeLink.
	Link string
	// Mention is the member of the group whom it mentions, or empty.
	Mention string
	// Hit: it is what was searched for.
	Hit bool
}

// Bounds of what is drawn of one text. Laying out text takes time with its
// length, and what is taller than 32,767 pixels cannot be shown at all.
const (
	foldedRunes, foldedLines = 1200, 18
	fullRunes, fullLines     = 20_000, 500
	blockRunes               = 2_000 // of one block, so that none takes long
	maxBlocks                = 40
	maxLinks                 = 40
	maxLink                  = 2048
	bigEmoji                 = 6
)

// ParseText makes what is shown of a text that anybody may have written: code
// between backquotes, **bold**, quotes, links; and the words of find marked, which
// are in lower case. Without full, a long text is folded.
func ParseText(body string, full bool, find []string) Text {
	var t Text
	runes, lines := foldedRunes, foldedLines
	if full {
		runes, lines = fullRunes, fullLines
	}
	// A little more than the limit is shown whole: nobody unfolds two lines.
	body, t.Folded = cutText(body, runes, lines)
	if full && t.Folded {
		t.Folded, t.Cut = false, true
	}
	body = tame(client.Printable(body))
	if t.Big = emojiOnly(body); t.Big {
		body = colourful(body)
	}
	links := maxLinks
	for _, raw := range splitBlocks(body) {
		for _, piece := range pieces(raw.text) {
			block := Block{Kind: raw.kind}
			if raw.kind == CodeBlock {
				block.Spans = []Span{{Text: piece, Code: true}}
			} else {
				block.Spans = inline(piece, &links)
			}
			block.Spans = mark(block.Spans, find)
			t.Blocks = append(t.Blocks, block)
		}
	}
	return t
}

// cutText gives the beginning of a text, at a word's end if there is one near.
func cutText(s string, runes, lines int) (string, bool) {
	n, newlines := 0, 0
	for i, r := range s {
		n++
		if r == '\n' {
			newlines++
		}
		if n <= runes && newlines < lines {
			continue
		}
		head := strings.TrimRight(s[:i], " \t\n")
		if r != '\n' && newlines < lines {
			if at := strings.LastIndexAny(head, " \n\t"); at > len(head)-200 && at > 0 {
				head = head[:at]
			}
		}
		if strings.TrimSpace(s[i:]) == "" {
			return head, false
		}
		return head, true
	}
	return s, false
}

// tame takes marks from letters that have more than any script needs, which
// would be drawn over what stands above and below, and empty lines that come in
// masses.
func tame(s string) string {
	marks, empty := 0, 0
	return strings.Map(func(r rune) rune {
		if unicode.In(r, unicode.Mn, unicode.Me) {
			if marks++; marks > maxMarks {
				return -1
			}
			return r
		}
		marks = 0
		if r == '\n' {
			if empty++; empty > 3 {
				return -1
			}
			return r
		}
		empty = 0
		return r
	}, s)
}

type rawBlock struct {
	kind BlockKind
	text string
}

// splitBlocks finds code blocks and quotes. After maxBlocks all is one paragraph.
func splitBlocks(body string) []rawBlock {
	var blocks []rawBlock
	lines := strings.Split(body, "\n")
	add := func(kind BlockKind, line string) {
		if n := len(blocks); n > 0 && (blocks[n-1].kind == kind || n == maxBlocks) {
			blocks[n-1].text += "\n" + line
			return
		}
		blocks = append(blocks, rawBlock{kind, line})
	}
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		switch {
		case strings.HasPrefix(line, "```") && len(blocks) < maxBlocks:
			end := i + 1
			for end < len(lines) && strings.TrimRight(lines[end], " \t") != "```" {
				end++
			}
			if end == len(lines) || end == i+1 { // never closed, or nothing in it: as it was written
				add(Paragraph, line)
				continue
			}
			blocks = append(blocks, rawBlock{CodeBlock, strings.Join(lines[i+1:end], "\n")})
			i = end
		case line == ">" || strings.HasPrefix(line, "> "):
			add(Quoted, strings.TrimPrefix(strings.TrimPrefix(line, ">"), " "))
		default:
			add(Paragraph, line)
		}
	}
	// Empty lines beside a block that is drawn apart are there by that already.
	var kept []rawBlock
	for _, b := range blocks {
		if len(blocks) > 1 && b.kind == Paragraph {
			if b.text = strings.Trim(b.text, "\n"); b.text == "" {
				continue
			}
		}
		kept = append(kept, b)
	}
	return kept
}

// pieces cuts what would take long to lay out at once.
func pieces(s string) []string {
	var list []string
	for utf8.RuneCountInString(s) > blockRunes {
		head := firstRunes(s, blockRunes)
		at := strings.LastIndexAny(head, "\n ")
		if at < len(head)/2 {
			at = len(head)
			list = append(list, head)
			s = s[at:]
			continue
		}
		list = append(list, head[:at])
		s = s[at+1:]
	}
	return append(list, s)
}

// linkStart finds where a link may begin.
var linkStart = regexp.MustCompile(`(?i)\b(?:https?://|mailto:|parley:)[^\s<>"\x60\x{3000}-\x{303f}\x{ff00}-\x{ffef}\x{fffd}\x{2400}-\x{2426}]+`)

var (
	codeSpan = regexp.MustCompile("`[^`\n]+`")
	boldSpan = regexp.MustCompile(`\*\*[^*\s](?:[^*\n]*[^*\s])?\*\*`)
)

// inline finds code, links and bold in some lines.
func inline(s string, links *int) []Span {
	var spans []Span
	each(s, codeSpan, func(part string, code bool) {
		if code {
			spans = append(spans, Span{Text: part[1 : len(part)-1], Code: true})
			return
		}
		each(part, linkStart, func(part string, link bool) {
			if link && *links > 0 {
				text := trimLink(part)
				if target, ok := SafeLink(text); ok {
					*links--
					spans = append(spans, Span{Text: text, Link: target})
					part = part[len(text):]
				}
			}
			each(part, boldSpan, func(part string, bold bool) {
				if bold {
					part = part[2 : len(part)-2]
				}
				spans = append(spans, Span{Text: part, Bold: bold})
			})
		})
	})
	return spans
}

// each calls f with what a pattern finds, and with what lies between.
func each(s string, pattern *regexp.Regexp, f func(part string, found bool)) {
	from := 0
	for _, at := range pattern.FindAllStringIndex(s, -1) {
		if at[0] > from {
			f(s[from:at[0]], false)
		}
		f(s[at[0]:at[1]], true)
		from = at[1]
	}
	if from < len(s) {
		f(s[from:], false)
	}
}

// trimLink leaves out what belongs to the sentence around a link.
func trimLink(s string) string {
	for s != "" {
		r, size := utf8.DecodeLastRuneInString(s)
		switch {
		case strings.ContainsRune(".,;:!?'*…，。", r):
		case r == ')' && strings.Count(s, "(") < strings.Count(s, ")"):
		case r == ']' && strings.Count(s, "[") < strings.Count(s, "]"):
		case r == '}' && strings.Count(s, "{") < strings.Count(s, "}"):
		default:
			return s
		}
		s = s[:len(s)-size]
	}
	return s
}

// SafeLink checks something that somebody wrote as a link, and gives what may be
// opened: http, https, mailto and parley alone, with a host's name in ASCII, so
// that letters that look alike are seen, and without a user's name in it, which
// makes one host look like another.
func SafeLink(s string) (string, bool) {
	if len(s) > maxLink || client.Printable(s) != s {
		return "", false
	}
	u, err := url.Parse(s)
	if err != nil {
		return "", false
	}
	switch strings.ToLower(u.Scheme) {
	case "http", "https":
		if u.Host == "" || u.User != nil {
			return "", false
		}
		host, err := idna.Lookup.ToASCII(u.Hostname())
		if err != nil && !ipv6(u) {
			return "", false
		}
		if err == nil {
			if port := u.Port(); port != "" {
				host += ":" + port
			}
			u.Host = host
		}
	case "mailto":
		if !strings.Contains(u.Opaque, "@") || u.RawQuery != "" { // a query can attach files
			return "", false
		}
	case "parley":
		if u.Opaque == "" && u.Host == "" {
			return "", false
		}
	default:
		return "", false
	}
	return u.String(), true
}

func ipv6(u *url.URL) bool { return strings.HasPrefix(u.Host, "[") }

// mark marks the words that are searched for.
func mark(spans []Span, find []string) []Span {
	if len(find) == 0 {
		return spans
	}
	words := make([]string, len(find))
	for i, w := range find {
		words[i] = regexp.QuoteMeta(w)
	}
	pattern, err := regexp.Compile("(?i)" + strings.Join(words, "|"))
	if err != nil {
		return spans
	}
	var marked []Span
	for _, s := range spans {
		if s.Link != "" { // stays in one piece
			s.Hit = pattern.MatchString(s.Text)
			marked = append(marked, s)
			continue
		}
		each(s.Text, pattern, func(part string, hit bool) {
			x := s
			x.Text, x.Hit = part, hit
			marked = append(marked, x)
		})
	}
	return marked
}

// emojiOnly says whether a text is a few emoji, which are drawn large.
func emojiOnly(s string) bool {
	count, joined := 0, false
	flags := 0
	for _, r := range strings.TrimSpace(s) {
		switch {
		case r == 0x200d: // joins two to one
			joined = count > 0
			continue
		case lookOfEmoji(r):
			if count == 0 {
				return false
			}
			continue
		case r == ' ':
			continue
		case r >= 0x1f1e6 && r <= 0x1f1ff: // two letters are a flag
			if flags++; flags%2 == 0 {
				continue
			}
		case emoji(r):
		default:
			return false
		}
		if !joined {
			count++
		}
		joined = false
		if count > bigEmoji {
			return false
		}
	}
	return count > 0
}

// colourful has emoji drawn as pictures that fonts also have as text, such as a heart:
// it puts U+FE0F behind them, as Unicode's emoji-variation-sequences do.
func colourful(s string) string {
	runes := []rune(s)
	at := func(i int) rune {
		if i < 0 || i >= len(runes) {
			return 0
		}
		return runes[i]
	}
	const joiner, asPicture = 0x200d, 0xfe0f
	var b strings.Builder
	for i, r := range runes {
		b.WriteRune(r)
		next := at(i + 1)
		// What is made of several is left as it is where it has none by itself: fonts
		// would not find it.
		joined := r > 0xffff && (at(i-1) == joiner || next == joiner)
		if emoji(r) && !joined && !lookOfEmoji(next) && (r < 0x1f3fb || r > 0x1f3ff) {
			b.WriteRune(asPicture)
		}
	}
	return b.String()
}

// lookOfEmoji says whether a character says how the emoji before it looks.
func lookOfEmoji(r rune) bool {
	return r == 0xfe0f || r >= 0x1f3fb && r <= 0x1f3ff || r == 0x20e3 || r >= 0xe0020 && r <= 0xe007f
}

// emoji says whether a character is drawn as a picture by itself.
func emoji(r rune) bool {
	switch {
	case r >= 0x1f300 && r <= 0x1faff, r >= 0x1f000 && r <= 0x1f0ff:
		return true
	case r >= 0x2600 && r <= 0x27bf, r >= 0x2b05 && r <= 0x2b55, r >= 0x231a && r <= 0x23ff:
		return true
	}
	return false
}
