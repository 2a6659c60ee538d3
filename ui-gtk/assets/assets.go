// Package assets is what the window carries with it: translations, style sheets
// and icons.
package assets

import "embed"

// Translations are the gettext catalogues, named by language: "translations/zh-Hans.po".
//
//go:embed translations/*.po
var Translations embed.FS
