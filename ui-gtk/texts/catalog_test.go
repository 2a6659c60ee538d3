package texts_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/parley-chat/parley/ui-gtk/assets"
	"github.com/parley-chat/parley/ui-gtk/texts"
)

// TestCatalogues: each sentence of the window is in each catalogue, with the same
// verbs, and nothing else is.
func TestCatalogues(t *testing.T) {
	said := sentences(t)
	for _, l := range texts.Languages {
		if l.Tag == "en" {
			continue
		}
		files, err := assets.Translations.ReadDir("translations/" + l.Tag)
		if err != nil {
			t.Fatal(err)
		}
		entries := map[string][]string{}
		for _, f := range files {
			b, err := assets.Translations.ReadFile("translations/" + l.Tag + "/" + f.Name())
			if err != nil {
				t.Fatal(err)
			}
			for s, translations := range parse(t, f.Name(), string(b)) {
				if _, ok := entries[s]; ok && s != "" {
					t.Errorf("%s: %q is there twice: leave it to common.po", l.Tag, s)
				}
				entries[s] = translations
			}
		}
		for _, s := range slices.Sorted(maps.Keys(said)) {
			translations, ok := entries[s]
			if !ok {
				t.Errorf("%s: not translated: %q (%s)", l.Tag, s, said[s])
				continue
			}
			for _, tr := range translations {
				if tr == "" {
					t.Errorf("%s: empty: %q", l.Tag, s)
				} else if !slices.Equal(verbs(s), verbs(tr)) {
					t.Errorf("%s: %q has the verbs %v, its translation %q has %v", l.Tag, s, verbs(s), tr, verbs(tr))
				}
			}
		}
		for s := range entries {
			if _, ok := said[s]; !ok && s != "" {
				t.Errorf("%s: nobody says %q any more", l.Tag, s)
			}
		}
	}
}

var verb = regexp.MustCompile(`%(\[\d+\])?[a-z%]`)

// verbs gives a format's verbs, sorted when they are numbered.
func verbs(s string) []string {
	v := verb.FindAllString(s, -1)
	if strings.Contains(s, "%[") {
		slices.Sort(v)
	}
	return v
}

// parse reads what the tests need of a catalogue.
func parse(t *testing.T, file, po string) map[string][]string {
	t.Helper()
	entries := map[string][]string{}
	var id string
	var field *string
	var value string
	store := func() {
		if field != nil {
			entries[id] = append(entries[id], value)
		}
	}
	for n, line := range strings.Split(po, "\n") {
		line = strings.TrimSpace(line)
		keyword, quoted, found := strings.Cut(line, ` "`)
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
			continue
		case strings.HasPrefix(line, `"`):
			keyword, quoted, found = "", line[1:], true
		}
		s, err := strconv.Unquote(`"` + quoted)
		if !found || err != nil {
			t.Fatalf("%s:%d: %s", file, n+1, line)
		}
		switch {
		case keyword == "":
			if field != nil {
				value += s
			} else {
				id += s
			}
		case keyword == "msgid":
			store()
			field, id = nil, s
			if _, ok := entries[s]; ok && s != "" {
				t.Errorf("%s:%d: %q is there twice", file, n+1, s)
			}
		case keyword == "msgid_plural":
		case strings.HasPrefix(keyword, "msgstr"):
			store()
			value = s
			field = &value
		default:
			t.Fatalf("%s:%d: %s", file, n+1, line)
		}
	}
	store()
	return entries
}

// sentences gives what the window's code says through T, F and N, and through
// Mark, with the place.
func sentences(t *testing.T) map[string]string {
	t.Helper()
	said := map[string]string{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) == 0 {
				return true
			}
			name := ""
			switch f := call.Fun.(type) {
			case *ast.SelectorExpr:
				name = f.Sel.Name
			case *ast.Ident:
				name = f.Name
			}
			switch name {
			case "T", "F", "N", "Mark":
			default:
				return true
			}
			place := fset.Position(call.Pos()).String()
			literals(call.Args[0], func(s string) { said[s] = place })
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(said) < 10 {
		t.Fatalf("only %d sentences were found", len(said))
	}
	return said
}

// literals finds the strings that an argument may be: one alone, or a choice in a
// list of them.
func literals(e ast.Expr, found func(string)) {
	ast.Inspect(e, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if s, err := strconv.Unquote(lit.Value); err == nil {
				found(s)
			}
		}
		return true
	})
}
