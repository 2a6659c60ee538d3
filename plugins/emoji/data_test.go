package emoji

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// all gives all entries.
func all(t testing.TB) []entry {
	t.Helper()
	var entries []entry
	for _, c := range categories {
		entries = append(entries, entriesOf(c.id)...)
	}
	if len(entries) < 1900 {
		t.Fatalf("there are %d emoji", len(entries))
	}
	return entries
}

func TestData(t *testing.T) {
	if lines := strings.Count(data, "\n"); lines != len(all(t))+len(categories) || !strings.HasSuffix(data, "\n") || strings.Contains(data, "\r") {
		t.Errorf("%d lines for %d emoji in %d categories", lines, len(all(t)), len(categories))
	}
	seen := map[string]bool{}
	highest := 0
	for _, e := range all(t) {
		if canonical, err := Canonical(e.emoji); err != nil || canonical != e.emoji {
			t.Errorf("%q is spelled %q (%v)", e.emoji, canonical, err)
		}
		if seen[e.emoji] || e.version == 0 || e.names[english] == "" || len(e.codes) < 3 || !utf8.ValidString(e.words[chinese]) {
			t.Errorf("%+v", e)
		}
		seen[e.emoji] = true
		if found, ok := find(e.emoji); !ok || found != e {
			t.Errorf("%s is not found: %+v", e.emoji, found)
		}
		highest = max(highest, e.version)
		for code := range strings.SplitSeq(strings.Trim(e.codes, ":"), ":") {
			if found, ok := findCode(code); !ok || found != e {
				t.Errorf(":%s: finds %s, not %s", code, found.emoji, e.emoji)
			}
			if len(code)+2 > maxCode {
				t.Errorf("%s is longer than %d", code, maxCode)
			}
		}
	}
	if highest != newest {
		t.Errorf("newest is %d, the data has %d", newest, highest)
	}
	for _, c := range categories {
		if _, ok := find(c.icon); !ok || c.names[chinese] == "" {
			t.Errorf("%+v", c)
		}
	}
}

func TestEveryToneIsFoundAgain(t *testing.T) {
	seen := map[string]string{}
	kinds := map[int]int{}
	for _, e := range all(t) {
		list := e.variants(newest)
		kinds[e.kinds()]++
		if want := []int{1, 6, 26}[e.kinds()]; len(list) != want {
			t.Errorf("%s has %d variants, not %d", e.emoji, len(list), want)
		}
		for i, v := range list {
			if canonical, err := Canonical(v); err != nil || canonical != v {
				t.Errorf("%q of %s is spelled %q (%v)", v, e.emoji, canonical, err)
			}
			if seen[v] != "" {
				t.Errorf("%s is of %s and of %s", v, seen[v], e.emoji)
			}
			seen[v] = e.emoji
			if found, ok := find(v); !ok || found != e {
				t.Errorf("variant %d of %s, %s, finds %s", i, e.emoji, v, found.emoji)
			}
		}
	}
	if kinds[1] < 280 || kinds[2] < 15 {
		t.Errorf("tones: %v", kinds)
	}
	for _, c := range []struct{ emoji, tone, want string }{
		{"👍", "medium", "👍🏽"}, {"🕵️", "dark", "🕵🏿"}, {"🕵️‍♂️", "light", "🕵🏻‍♂️"}, {"🧑‍🤝‍🧑", "dark", "🧑🏿‍🤝‍🧑🏿"}, {"😀", "dark", "😀"}, {"👍", "none", "👍"},
	} {
		e, _ := find(c.emoji)
		tone, ok := toneOf(c.tone)
		if got := e.in(tone, newest); !ok || got != c.want {
			t.Errorf("%s in %s is %q, not %q", c.emoji, c.tone, got, c.want)
		}
	}
	shake, _ := find("🤝")
	if got := shake.variants(newest)[7]; got != "🫱🏻‍🫲🏽" {
		t.Errorf("the second pair of handshakes is %s", got)
	}
	if got := shake.variants(130); len(got) != 1 {
		t.Errorf("before version 14 there were %d handshakes", len(got))
	}
}

func TestFindsNothingElse(t *testing.T) {
	for _, s := range []string{"", "x", "\t", "👍\t", ">", "1", "\n", "🏽", "10"} {
		if e, ok := find(s); ok {
			t.Errorf("%q finds %s", s, e.emoji)
		}
	}
	for _, code := range []string{"", ":", "THUMBSUP", "thumbs", "x y", "smile:grin", "|", "\t", "笑"} {
		if e, ok := findCode(code); ok {
			t.Errorf(":%s: finds %s", code, e.emoji)
		}
	}
}
