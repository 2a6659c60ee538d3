package emoji

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// shown gives what a search finds.
func shown(text string, limit int) []string {
	var list []string
	for _, e := range search(text, limit) {
		list = append(list, e.emoji)
	}
	return list
}

func TestSearch(t *testing.T) {
	for _, c := range []struct {
		text  string
		first string // what it begins with
		has   string
	}{
		{"grinning face", "😀", ""},
		{"Grinning FACE", "😀", ""},
		{"thumbsup", "👍", ""},
		{":thumbsup:", "👍", ""},
		{"+1", "👍", ""},
		{"heart", "❤️", "💔"},
		{"hea", "❤️", "😍"}, // what is shortest comes first
		{"smi", "😄", "😃"},
		{"Thumbs", "👍👎", ""},
		{"dog", "🐶🐕", "🌭"},
		{"tada", "🎉", ""},
		{"germany", "🇩🇪", ""},
		{"de", "🇩🇪", ""},
		{"cote d'ivoire", "🇨🇮", ""},
		{"côte", "🇨🇮", ""},
		{"turkiye", "🇹🇷", ""},
		{"cat heart", "😻", ""},
		{"heart cat", "😻", ""},
		{"<3", "❤️", ""},
		{"atm", "🏧", ""},
		{"笑", "", "😀"},
		{"红心", "❤️", ""},
		{"狗", "", "🐶"},
		{"德国", "🇩🇪", ""},
		{"  握手 ", "🤝", ""},
		{"拇指", "", "👍"},
		{"大笑 脸", "", "😄"},
		{"火", "🔥", "🌋"}, // and not those whose names begin with a longer word
		{"日本", "🇯🇵", "🗾"},
		{"japan", "🗾🇯🇵", ""},
		{"笑臉", "", "😄"}, // in traditional characters
		{"紅髮", "", "👨‍🦰"},
	} {
		t.Run(c.text, func(t *testing.T) {
			got := shown(c.text, 100)
			if !strings.HasPrefix(strings.Join(got, ""), c.first) {
				t.Errorf("got %v, want %s first", got, c.first)
			}
			if c.has != "" && !slices.Contains(got, c.has) {
				t.Errorf("got %v without %s", got, c.has)
			}
		})
	}
	for _, nothing := range []string{"", " ", "::", ":", "|", "face|", "\t", "zzzz", "heart zzzz", "\xff\xfe", "smileys-emotion"} {
		if got := shown(nothing, 10); len(got) > 0 {
			t.Errorf("%.20q finds %v", nothing, got)
		}
	}
	if got := shown("face", 7); len(got) != 7 {
		t.Errorf("7 were asked for, %d came", len(got))
	}
}

// Each emoji is found by its own names, among the first.
func TestEachIsFoundByItsName(t *testing.T) {
	for _, e := range all(t) {
		for l := range languages {
			name := strings.ReplaceAll(strings.ToLower(e.names[l]), ":", "")
			if got := shown(name, 15); !slices.Contains(got, e.emoji) {
				t.Errorf("%q finds %v, not %s", name, got, e.emoji)
			}
		}
	}
}

func FuzzSearch(f *testing.F) {
	for _, s := range []string{"heart", "笑脸", "+1", "<3", ":de:", "a b c", "\xe7"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, e := range search(text, 20) {
			if _, ok := find(e.emoji); !ok {
				t.Fatalf("%q finds %+v", text, e)
			}
		}
		start, _ := complete(text, 5)
		if start < 0 || start > len(text) || !utf8.ValidString(text[start:]) && utf8.ValidString(text) {
			t.Fatalf("complete(%q) begins at %d", text, start)
		}
		if got, _ := replace(text, 3); !utf8.ValidString(got) && utf8.ValidString(text) {
			t.Fatalf("replace(%q) is %q", text, got)
		}
	})
}

func BenchmarkSearch(b *testing.B) {
	for _, text := range []string{"heart", "e", "笑", "woman hands dark", "zzzz"} {
		b.Run(text, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				search(text, 60)
			}
		})
	}
}
