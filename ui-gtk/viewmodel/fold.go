package viewmodel

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// fold makes text that differs in case, width and diacritics alone the same.
func fold(s string) string {
	ascii := true
	for i := 0; i < len(s) && ascii; i++ {
		ascii = s[i] < 0x80
	}
	if ascii {
		return strings.ToLower(s)
	}
	return strings.Map(foldRune, norm.NFKD.String(s))
}

// foldRune folds one character of a decomposed text, and drops a mark.
func foldRune(r rune) rune {
	if unicode.Is(unicode.Mn, r) {
		return -1
	}
	return unicode.ToLower(r)
}
