// Package assets is what the window carries with it: translations, style sheets
// and icons.
package assets

import (
	"embed"
	"fmt"
	"io/fs"
	"strings"
)

// Translations are the gettext catalogues: a folder for each language, named by its
// BCP 47 tag, with a file for each part of the window.
//
//go:embed translations/*/*.po
var Translations embed.FS

// Icons are Parley's own, drawn for it; all others come from the icon theme.
//
//go:embed icons/*.svg
var Icons embed.FS

// styles are the style sheets: one for each part of the window, base.css for what
// the parts share, and palette/light.css and palette/dark.css, which alone say what
// the colours are.
//
//go:embed style/*.css style/palette/*.css
var styles embed.FS

// Style gives the whole style sheet of the window, in its light or its dark look.
func Style(dark bool) string {
	palette := "light"
	if dark {
		palette = "dark"
	}
	parts, _ := fs.Glob(styles, "style/*.css") // the pattern is well-formed
	parts = append([]string{"style/palette/" + palette + ".css", "style/base.css"}, parts...)
	var css strings.Builder
	for i, name := range parts {
		if i > 1 && name == "style/base.css" {
			continue // it comes before what may differ from it
		}
		b, err := styles.ReadFile(name)
		if err != nil {
			panic(fmt.Sprintf("%s is not in the program: %v", name, err)) // a mistake of the build
		}
		css.Write(b)
	}
	return css.String()
}
