package blob

import (
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxName is the length of a name in bytes that common file systems take.
const maxName = 255

// reserved names mean devices on some systems, whatever their extension.
var reserved = []string{
	"CON", "PRN", "AUX", "NUL", "COM1", "COM2", "COM3", "COM4", "COM5", "COM6", "COM7", "COM8", "COM9",
	"LPT1", "LPT2", "LPT3", "LPT4", "LPT5", "LPT6", "LPT7", "LPT8", "LPT9",
}

// SafeName makes what a peer calls a file a name that can be given to a file
// here: one component, without control and direction characters, not hidden, not
// reserved, of at most 255 bytes.
func SafeName(name string) string {
	name = strings.Map(func(r rune) rune {
		switch {
		case r == '/' || r == '\\' || r == ':' || r == utf8.RuneError, unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co):
			return '_'
		}
		return r
	}, strings.ToValidUTF8(name, "_"))
	name = strings.TrimRight(strings.TrimSpace(name), ". ")
	if strings.HasPrefix(name, ".") {
		name = "_" + name[1:]
	}
	stem, _, _ := strings.Cut(name, ".")
	if slices.Contains(reserved, strings.ToUpper(strings.TrimSpace(stem))) {
		name = "_" + name
	}
	if name == "" {
		name = "unnamed"
	}
	return shorten(name, maxName)
}

// shorten cuts a name to at most limit bytes, keeping a short extension.
func shorten(name string, limit int) string {
	if len(name) <= limit {
		return name
	}
	ext := extension(name)
	return cutRunes(strings.TrimSuffix(name, ext), limit-len(ext)) + ext
}

// extension gives what a name ends in, ".txt", unless that is too long to be one,
// or all of the name.
func extension(name string) string {
	if ext := filepath.Ext(name); len(ext) <= 20 && ext != name {
		return ext
	}
	return ""
}

// cutRunes cuts s to at most limit bytes, between two characters.
func cutRunes(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}

// numbered gives the n-th name to try: "notes.txt", "notes (2).txt"...
func numbered(name string, n int) string {
	if n == 1 {
		return name
	}
	ext := extension(name)
	if stem := strings.TrimSuffix(name, ext); strings.HasSuffix(stem, ".tar") {
		ext = ".tar" + ext
	}
	mark := " (" + strconv.Itoa(n) + ")"
	return cutRunes(strings.TrimSuffix(name, ext), maxName-len(mark)-len(ext)) + mark + ext
}
