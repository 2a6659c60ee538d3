package viewmodel

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

// drawn writes a text's parts as the tests compare them.
func drawn(t Text) string {
	var s strings.Builder
	for _, b := range t.Blocks {
		fmt.Fprintf(&s, "%s(", [...]string{"p", "quote", "code"}[b.Kind])
		for _, x := range b.Spans {
			text := x.Text
			if x.Bold {
				text = "*" + text + "*"
			}
			if x.Code && b.Kind != CodeBlock {
				text = "`" + text + "`"
			}
			if x.Link != "" {
				text = "[" + text + "](" + x.Link + ")"
			}
			if x.Hit {
				text = "!" + text + "!"
			}
			s.WriteString(text)
		}
		s.WriteString(")")
	}
	return s.String()
}

func TestParseText(t *testing.T) {
	for _, c := range []struct{ body, want string }{
		{"hello", "p(hello)"},
		{"a <b> & c", "p(a <b> & c)"},
		{"run `rm -rf` now", "p(run `rm -rf` now)"},
		{"is **amazing**, is it", "p(is *amazing*, is it)"},
		{"2 ** 3 ** 4", "p(2 ** 3 ** 4)"},
		{"`**x** https://a.b`", "p(`**x** https://a.b`)"},
		{"see https://example.org/a_(b).", "p(see [https://example.org/a_(b)](https://example.org/a_(b)).)"},
		{"(https://example.org)", "p(([https://example.org](https://example.org)))"},
		{"相册在这里：https://example.org/huangshan，很好", "p(相册在这里：[https://example.org/huangshan](https://example.org/huangshan)，很好)"},
		{"**https://a.org**", "p(**[https://a.org](https://a.org)**)"},
		{"javascript:alert(1) file:///etc/passwd ftp://a.b", "p(javascript:alert(1) file:///etc/passwd ftp://a.b)"},
		{"mailto:a@b.org and parley:add/bob", "p([mailto:a@b.org](mailto:a@b.org) and [parley:add/bob](parley:add/bob))"},
		{"> said\n> so\nyes", "quote(said\nso)p(yes)"},
		{"look\n```\n> no **quote**\nhttps://a.b\n```\nend", "p(look)code(> no **quote**\nhttps://a.b)p(end)"},
		{"```\nnever closed", "p(```\nnever closed)"},
		{"a\n\n\n\n\n\n\nb", "p(a\n\n\nb)"},
		{"x\u202ey", "p(x\uFFFDy)"},
		{"", "p()"},
	} {
		if got := drawn(ParseText(c.body, false, nil)); got != c.want {
			t.Errorf("%q is drawn as %s, not as %s", c.body, got, c.want)
		}
	}
}

func TestSafeLink(t *testing.T) {
	for _, c := range []struct{ link, want string }{
		{"https://example.org/?q=1#x", "https://example.org/?q=1#x"},
		{"HTTP://EXAMPLE.org", "http://example.org"},
		{"https://[::1]:80/x", "https://[::1]:80/x"},
		{"https://аpple.com", "https://xn--pple-43d.com"}, // a Cyrillic а
		{"https://paypal.com@evil.org/", ""},
		{"https://a.b/\u202egpj", ""},
		{"https://", ""},
		{"file:///etc/passwd", ""},
		{"javascript:alert(1)", ""},
		{"smb://host/x", ""},
		{"mailto:a@b.org?attach=/etc/passwd", ""},
		{"mailto:nobody", ""},
		{"parley:", ""},
		{"https://a.b/" + strings.Repeat("x", maxLink), ""},
	} {
		got, ok := SafeLink(c.link)
		if got != c.want || ok != (c.want != "") {
			t.Errorf("%s gives %q, %v", c.link, got, ok)
		}
	}
}

func TestFound(t *testing.T) {
	if got := drawn(ParseText("Tea, TEA and `tea` (a.b)", false, []string{"tea", "(a.b)"})); got != "p(!Tea!, !TEA! and !`tea`! !(a.b)!)" {
		t.Errorf("marked: %s", got)
	}
}

func TestEmojiAreBig(t *testing.T) {
	for body, want := range map[string]bool{
		"😀": true, "❤️": true, "👍🏽👍🏿": true, "👨‍👩‍👧‍👦": true, "🇨🇳🇩🇪": true, "😀 😀 😀": true, "😀😀😀😀😀😀": true,
		"😀😀😀😀😀😀😀": false, "😀!": false, "1": false, "": false, "\u200d": false, "️": false, "茶": false,
	} {
		if got := ParseText(body, false, nil).Big; got != want {
			t.Errorf("%q: big %v", body, got)
		}
	}
}

// TestBigEmojiAreColourful: what fonts also have as text is drawn as a picture, and what
// is whole already stays as it is.
func TestBigEmojiAreColourful(t *testing.T) {
	for body, want := range map[string]string{
		"❤": "❤\ufe0f", "❤\ufe0f": "❤\ufe0f", "☺ ☀": "☺\ufe0f ☀\ufe0f", "🌡": "🌡\ufe0f", "👩\u200d❤\u200d👨": "👩\u200d❤\ufe0f\u200d👨",
		"☝🏽": "☝🏽", "👨\u200d👩\u200d👧": "👨\u200d👩\u200d👧", "🇨🇳": "🇨🇳", "🏴\U000e0067\U000e007f": "🏴\U000e0067\U000e007f",
		"I ❤ tea": "I ❤ tea", "❤\ufe0e": "❤\ufe0e",
	} {
		text := ParseText(body, false, nil)
		if got := text.Blocks[0].Plain(); got != want {
			t.Errorf("%q is drawn as %+q, not as %+q", body, got, want)
		}
	}
}

// TestTextIsBounded: whatever somebody writes, what is drawn stays small.
func TestTextIsBounded(t *testing.T) {
	for name, body := range map[string]string{
		"one line":     strings.Repeat("x", 64<<10),
		"words":        strings.Repeat("word ", 13_000),
		"lines":        strings.Repeat("a\n", 32<<10),
		"emoji":        strings.Repeat("😀", 50_000),
		"marks":        "a" + strings.Repeat("\u0301", 30_000),
		"quotes":       strings.Repeat("> a\nb\n", 10_000),
		"code":         strings.Repeat("```\na\n```\n", 6_000),
		"links":        strings.Repeat("https://a.b ", 5_000),
		"backquotes":   strings.Repeat("`a`", 20_000),
		"stars":        strings.Repeat("**a**", 12_000),
		"unclosed":     strings.Repeat("```\n", 16_000),
		"not UTF-8":    strings.Repeat("\xff", 64<<10),
		"steers":       strings.Repeat("\u202e", 20_000),
		"only newline": strings.Repeat("\n", 64<<10),
	} {
		for _, full := range []bool{false, true} {
			text := ParseText(body, full, []string{"a"})
			runes, links, blocks, lines := 0, 0, len(text.Blocks), 0
			for _, b := range text.Blocks {
				n := utf8.RuneCountInString(b.Plain())
				if runes += n; n > blockRunes {
					t.Errorf("%s: a block of %d characters", name, n)
				}
				lines += 1 + strings.Count(b.Plain(), "\n")
				for _, s := range b.Spans {
					if s.Link != "" {
						links++
					}
				}
			}
			most, mostLines := foldedRunes, foldedLines
			if full {
				most, mostLines = fullRunes, fullLines
			}
			if runes > most || lines > mostLines+maxBlocks || links > maxLinks || blocks > maxBlocks+most/blockRunes+1 {
				t.Errorf("%s, full %v: %d characters in %d blocks and %d lines with %d links", name, full, runes, blocks, lines, links)
			}
			if !full && text.Cut || full && text.Folded {
				t.Errorf("%s, full %v: folded %v, cut %v", name, full, text.Folded, text.Cut)
			}
		}
	}
	if text := ParseText("a"+strings.Repeat("\u0301", 10), false, nil); text.Blocks[0].Plain() != "a"+strings.Repeat("\u0301", maxMarks) {
		t.Errorf("marks: %q", text.Blocks[0].Plain())
	}
	if text := ParseText("short\n\n\n", false, nil); text.Folded {
		t.Error("a short text is folded")
	}
}

func FuzzParseText(f *testing.F) {
	for _, s := range []string{"a", "> q\n```\nx\n```", "`c` **b** https://a.b/)", "\u202e\xff", "👨‍👩‍👧‍👦"} {
		f.Add(s, "a")
	}
	f.Fuzz(func(t *testing.T, body, word string) {
		var find []string
		if word != "" {
			find = []string{word}
		}
		for _, b := range ParseText(body, true, find).Blocks {
			if s := b.Plain(); !utf8.ValidString(s) || strings.ContainsRune(s, '\u202e') {
				t.Errorf("%q draws %q", body, s)
			}
		}
	})
}
