package words_test

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/parley-chat/parley/core/store/internal/words"
)

func TestIndex(t *testing.T) {
	for _, test := range []struct {
		text         string
		words, grams []string
	}{
		{"Hello, hello World!", []string{"hello", "world"}, nil},
		{"你好世界", nil, []string{"你", "好", "你好", "世", "好世", "界", "世界"}},
		{"你,好", nil, []string{"你", "好"}},
		{"用Go写", []string{"go"}, []string{"用", "写"}},
		{"Ünïcödé ﬁne ２０２６", []string{"unicode", "fine", "2026"}, nil},
		{"e\u0301 \u0301x", []string{"e", "x"}, nil},
		{"ガ", nil, []string{"ガ"}},
		{"ｶﾞ", nil, []string{"ガ"}},
		{strings.Repeat("x", 100), []string{strings.Repeat("x", 32)}, nil},
		{"\xff\xfe a\x00b", []string{"a", "b"}, nil},
		{`"*^-:`, nil, nil},
	} {
		gotWords, gotGrams := words.Index(test.text)
		if !slices.Equal(gotWords, test.words) || !slices.Equal(gotGrams, test.grams) {
			t.Errorf("Index(%q) = %q, %q", test.text, gotWords, gotGrams)
		}
	}
}

func TestPrefix(t *testing.T) {
	for _, test := range []struct {
		word  string
		n     int
		want  string
		whole bool
	}{{"hello", 3, "hel", false}, {"hel", 3, "hel", true}, {"éa", 1, "é", false}, {"", 1, "", true}} {
		if got, whole := words.Prefix(test.word, test.n); got != test.want || whole != test.whole {
			t.Errorf("Prefix(%q, %d) = %q, %v", test.word, test.n, got, whole)
		}
	}
}

// FuzzIndex checks what the database's index relies on: tokens are clean, and
// whatever a text holds finds it.
func FuzzIndex(f *testing.F) {
	for _, seed := range []string{"Hello wörld", "今天天气很好 ok", "\xff\x00\"*", "e\u0301\u200d😀", "ﷺ İstanbul ǅ", "\u0345a"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		longer, grams := words.Index(text)
		for _, token := range append(slices.Clone(longer), grams...) {
			if token == "" || !utf8.ValidString(token) || strings.ContainsAny(token, " \"*^\x00\t\n\ue001\ue002") {
				t.Errorf("token %q of %q", token, text)
			}
		}
		if len(text) > words.MaxQuery {
			return
		}
		query := words.Parse(text)
		if query.Empty() != (len(longer)+len(grams) == 0) {
			t.Errorf("%q is an empty query: %v, of %d tokens", text, query.Empty(), len(longer)+len(grams))
		}
		if !query.Empty() && !query.Match(text) {
			t.Errorf("%q does not find itself", text)
		}
		prefixes, tokens, _ := query.Lookups(1 << 20)
		for _, p := range prefixes {
			if !slices.Contains(longer, p) {
				t.Errorf("%q looks up %q", text, p)
			}
		}
		for _, g := range tokens {
			if !slices.Contains(grams, g) {
				t.Errorf("%q looks up %q", text, g)
			}
		}
	})
}
