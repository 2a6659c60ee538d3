// Package assets is what the window carries with it: translations, style sheets
// and icons.
package assets

import "embed"

// Translations are the gettext catalogues: a folder for each language, named by its
// BCP 47 tag, with a file for each part of the window.
//
//go:embed translations/*/*.po
var Translations embed.FS
