package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestPackageDocs: each package says in one place what it is.
func TestPackageDocs(t *testing.T) {
	for _, p := range packages(t) {
		files := slices.Concat(p.GoFiles, p.CgoFiles)
		if len(files) == 0 {
			files = p.TestGoFiles // a package of tests alone
		}
		if len(files) == 0 {
			files = p.XTestGoFiles
		}
		var documented []string
		generated := 0
		for _, name := range files {
			file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.ParseComments|parser.PackageClauseOnly)
			if err != nil {
				t.Error(err)
				continue
			}
			if ast.IsGenerated(file) {
				generated++
				continue
			}
			if file.Doc == nil {
				continue
			}
			documented = append(documented, name)
			want := "Package " + strings.TrimSuffix(p.Name, "_test") + " "
			if p.Name == "main" {
				want = "Command " + filepath.Base(p.Dir) + " "
			}
			if text := file.Doc.Text(); !strings.HasPrefix(text, want) && (p.Name != "main" || !strings.HasPrefix(text, "Command parley-plugin-")) {
				t.Errorf("%s/%s: the package doc begins %.30q, it should begin %q", p.path(), name, text, want)
			}
		}
		switch {
		case generated == len(files): // the .proto file says it
		case len(documented) == 0:
			t.Errorf("%s has no package doc: say in one file, above the package clause, what it is", p.path())
		case len(documented) > 1:
			t.Errorf("%s has package docs in %v: keep one, and a blank line between other comments and the package clause", p.path(), documented)
		}
	}
}
