package net2019

import (
	"path"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxName      = 255 // bytes of a file's name on most disks
	maxExtension = 16
	nameless     = "file"
)

// SafeName makes a name for a file of the path by which its sender calls it: what
// is behind the last slash of either kind, without control and format characters,
// at most 255 bytes, and never "", "." or "..". A name that it gave it gives again.
func SafeName(sent string) string {
	name := sent[strings.LastIndexAny(sent, `/\`)+1:]
	name = strings.TrimSpace(strings.Map(func(r rune) rune {
		if r == utf8.RuneError || unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co, unicode.Cs) && r != zeroWidthJoiner {
			return -1
		}
		return r
	}, name))
	if len(name) > maxName {
		extension := path.Ext(name)
		if len(extension) > maxExtension {
			extension = ""
		}
		end := maxName - len(extension)
		for !utf8.RuneStart(name[end]) {
			end--
		}
		name = strings.TrimSpace(name[:end]) + extension
	}
	if strings.Trim(name, ".") == "" {
		return nameless
	}
	return name
}

// zeroWidthJoiner is in many emoji, and in names of several languages.
const zeroWidthJoiner = '\u200d'
