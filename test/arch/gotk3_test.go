package arch

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// broken are the calls of gotk3, at the version in go.mod, that crash, lie or leak,
// and why. Their names are enough to know them: gotk3 gives them to nothing else.
var broken = func() map[string]string {
	reasons := map[string][]string{
		"a GdkAtom is a small number, which Go's stack takes for a pointer that is wrong: use the clipboard of ui-gtk/gtkx": {
			"ClipboardGet", "ClipboardGetForDisplay", "GdkAtomIntern", "WaitIsTargetAvailable", "RequestSelectionNotification",
			"SetData", "RegisterSerializeTagset", "RegisterDeserializeTagset", "Serialize", "Deserialize",
		},
		"its finalizer frees what GTK still has: use the clipboard of ui-gtk/gtkx":              {"WaitForContents"},
		"its finalizer frees memory that is Go's: use GetPreferredWidth and GetPreferredHeight": {"GetPreferredSize"},
		"it goes through a list of strings by one byte a string, and crashes": {
			"GetURIs", "GetAuthors", "GetArtists", "GetDocumenters", "SetIcons",
			"GetAccelsForAction", "GetActionsForAccel", "ListActionDescriptions",
		},
		"its pixels are always wrong: use gtkx.NewPixels":                                 {"PixbufNewFromBytes", "PixbufNewFromBytesOnly"},
		"GTK keeps a pointer into memory that Go moves or frees: use gtkx.NewPixels":      {"PixbufNewFromData", "CreateImageSurfaceForData"},
		"what peers send is decoded in Go, not by GTK's loaders in C: use gtkx.NewPixels": {"PixbufNewFromDataOnly", "PixbufLoaderNew", "PixbufLoaderNewWithType", "PixbufNewFromFile", "PixbufNewFromFileAtSize", "PixbufNewFromFileAtScale", "PixbufAnimationNewFromFile", "ImageNewFromFile", "SetFromFile"},
		"each one leaks, and drawing makes many: make text with a label":                  {"CairoCreateLayout", "FontDescriptionFromString"},
	}
	all := map[string]string{}
	for reason, names := range reasons {
		for _, name := range names {
			all[name] = reason
		}
	}
	return all
}()

// uses gives the places in a file that use what is broken.
func uses(fset *token.FileSet, file *ast.File) map[string]string {
	gotk3 := slices.ContainsFunc(file.Imports, func(i *ast.ImportSpec) bool {
		path, _ := strconv.Unquote(i.Path.Value)
		return under(path, "github.com/gotk3/gotk3")
	})
	found := map[string]string{}
	if !gotk3 {
		return found
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok && broken[sel.Sel.Name] != "" {
			found[fmt.Sprintf("%s: %s", fset.Position(sel.Sel.Pos()), sel.Sel.Name)] = broken[sel.Sel.Name]
		}
		return true
	})
	return found
}

// TestNoBrokenGTK keeps the calls of gotk3 that were seen to break out of the window.
func TestNoBrokenGTK(t *testing.T) {
	files := 0
	for _, p := range packages(t) {
		if !under(p.path(), "ui-gtk") && !under(p.path(), "cmd/parley-gtk") && !under(p.path(), "bench") && !under(p.path(), "test") {
			continue
		}
		for _, name := range slices.Concat(p.GoFiles, p.CgoFiles, p.TestGoFiles, p.XTestGoFiles) {
			fset := token.NewFileSet()
			file, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Error(err)
				continue
			}
			files++
			for place, reason := range uses(fset, file) {
				t.Errorf("%s: %s", strings.TrimPrefix(place, repository(t)+"/"), reason)
			}
		}
	}
	if files < 10 {
		t.Errorf("looked at %d files", files)
	}
}

func TestBrokenGTKIsSeen(t *testing.T) {
	const source = `package p

import (
	"github.com/gotk3/gotk3/cairo"
	"github.com/gotk3/gotk3/gdk"
	g "github.com/gotk3/gotk3/gtk"
)

func f(about *g.AboutDialog, view *g.TextView) {
	clip, _ := g.ClipboardGet(gdk.SELECTION_CLIPBOARD)
	clip.WaitForContents(0)
	names := about.GetAuthors
	_, _ = names, view
	cairo.CreateImageSurface(0, 1, 1)
	defer cairo.CreateImageSurfaceForData(nil, 0, 0, 0, 0)
	view.SetEditable(true)
}
`
	seen := func(source string) []string {
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, "p.go", source, 0)
		if err != nil {
			t.Fatal(err)
		}
		return slices.Sorted(maps.Keys(uses(fset, file)))
	}
	want := []string{"p.go:10:15: ClipboardGet", "p.go:11:7: WaitForContents", "p.go:12:17: GetAuthors", "p.go:15:14: CreateImageSurfaceForData"}
	if got := seen(source); !slices.Equal(got, want) {
		t.Errorf("seen: %q, want %q", got, want)
	}
	// What only has such a name is no business of this.
	if got := seen(strings.ReplaceAll(source, "gotk3/gotk3", "someone/else")); len(got) > 0 {
		t.Errorf("seen without gotk3: %q", got)
	}
}
