package assets

import (
	"io/fs"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Least contrast that WCAG 2.1 asks for at level AA: of text, and of what is large
// or no text but must be seen.
const (
	text    = 4.5
	graphic = 3.0
)

// stands is what the style sheets put upon what.
var stands = []struct {
	front []string
	back  []string
	least float64
}{
	{[]string{"text", "dim", "link", "danger", "ok", "warn"}, []string{"bg", "surface", "sidebar", "hover", "other-bubble", "other-quote"}, text},
	{[]string{"text", "dim", "danger"}, []string{"selected", "field", "code"}, text},
	{[]string{"accent-text"}, []string{"accent", "accent-hover"}, text},
	{[]string{"own-text", "own-dim"}, []string{"own-bubble", "own-bubble-end", "own-quote"}, text},
	{[]string{"read"}, []string{"own-bubble", "own-bubble-end"}, graphic},
	{[]string{"pill-text"}, []string{"pill", "pill-muted"}, text},
	{[]string{"chip-text"}, []string{"chip"}, text},
	{[]string{"danger-text"}, []string{"danger-bg"}, text},
	{[]string{"text", "link"}, []string{"warn-bg"}, text},
	{[]string{"toast-text"}, []string{"toast"}, text},
	{[]string{"focus"}, []string{"bg", "surface", "sidebar", "field", "hover", "selected", "chip", "code", "other-bubble", "other-quote", "warn-bg"}, graphic},
	{[]string{"outline", "accent"}, []string{"surface", "sidebar", "bg"}, graphic},
	{[]string{"online", "offline"}, []string{"surface", "sidebar"}, 2.5}, // the presence is also told in words
	{[]string{"author-1", "author-2", "author-3", "author-4", "author-5", "author-6", "author-7", "author-8"}, []string{"other-bubble"}, text},
	{[]string{"text"}, []string{"mention"}, text},
	{[]string{"avatar-text"}, []string{"avatar-1", "avatar-2", "avatar-3", "avatar-4", "avatar-5", "avatar-6", "avatar-7", "avatar-8"}, 4.0},
}

func TestContrast(t *testing.T) {
	for _, look := range []string{"light", "dark"} {
		colors := palette(t, look)
		for _, s := range stands {
			for _, front := range s.front {
				for _, back := range s.back {
					f, ok := colors[front]
					b, ok2 := colors[back]
					if !ok || !ok2 {
						t.Fatalf("%s: there is no %s or no %s", look, front, back)
					}
					if c := contrast(f, b); c < s.least {
						t.Errorf("%s: %s on %s has the contrast %.2f, not %.1f", look, front, back, c, s.least)
					}
				}
			}
		}
	}
}

// TestPalettesAreAlike: what one look names, the other names as well.
func TestPalettesAreAlike(t *testing.T) {
	light, dark := names(t, "light"), names(t, "dark")
	if !slices.Equal(light, dark) {
		t.Errorf("light has %v\ndark has %v", light, dark)
	}
}

var (
	defined = regexp.MustCompile(`@define-color ([a-z0-9-]+) (.+?);`)
	comment = regexp.MustCompile(`(?s)/\*.*?\*/`)
	used    = regexp.MustCompile(`@([a-z][a-z0-9_-]*)`)
	literal = regexp.MustCompile(`#[0-9a-fA-F]{3,8}\b|\brgba?\(|\b(?:color|background|background-color|border|border-color|fill): *(?:white|black|red|green|blue|gray|grey)\b`)
	pixels  = regexp.MustCompile(`font-size: *[0-9.]+(?:px|pt)|font: *[^;]*[0-9](?:px|pt)`)
)

// TestStyleSheets: they take all colours from the palettes, and sizes of text
// relative to what the person set.
func TestStyleSheets(t *testing.T) {
	known := names(t, "light")
	sheets, err := fs.Glob(styles, "style/*.css")
	if err != nil || len(sheets) == 0 {
		t.Fatal(sheets, err)
	}
	for _, sheet := range sheets {
		b, err := styles.ReadFile(sheet)
		if err != nil {
			t.Fatal(err)
		}
		css := comment.ReplaceAllString(string(b), "")
		for _, m := range used.FindAllStringSubmatch(css, -1) {
			if !slices.Contains(known, m[1]) && m[1] != "keyframes" {
				t.Errorf("%s: no palette has the colour %s", sheet, m[1])
			}
		}
		for _, m := range literal.FindAllString(css, -1) {
			t.Errorf("%s: %q is a colour of its own", sheet, m)
		}
		for _, m := range pixels.FindAllString(css, -1) {
			t.Errorf("%s: %q does not follow the size of text", sheet, m)
		}
		if strings.Count(css, "{") != strings.Count(css, "}") {
			t.Errorf("%s: a brace is missing", sheet)
		}
	}
}

func names(t *testing.T, look string) []string {
	t.Helper()
	var list []string
	b, err := styles.ReadFile("style/palette/" + look + ".css")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range defined.FindAllStringSubmatch(string(b), -1) {
		list = append(list, m[1])
	}
	slices.Sort(list)
	return list
}

// palette gives the opaque colours of a look.
func palette(t *testing.T, look string) map[string][3]float64 {
	t.Helper()
	b, err := styles.ReadFile("style/palette/" + look + ".css")
	if err != nil {
		t.Fatal(err)
	}
	colors := map[string][3]float64{}
	for _, m := range defined.FindAllStringSubmatch(string(b), -1) {
		n, err := strconv.ParseUint(strings.TrimPrefix(m[2], "#"), 16, 32)
		if err != nil || len(m[2]) != 7 {
			continue
		}
		colors[m[1]] = [3]float64{float64(n >> 16), float64(n >> 8 & 255), float64(n & 255)}
	}
	return colors
}

// contrast is WCAG 2.1's contrast ratio, 1 to 21.
func contrast(a, b [3]float64) float64 {
	x, y := luminance(a), luminance(b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

func luminance(c [3]float64) float64 {
	var l [3]float64
	for i, v := range c {
		v /= 255
		if v <= 0.03928 {
			l[i] = v / 12.92
		} else {
			l[i] = math.Pow((v+0.055)/1.055, 2.4)
		}
	}
	return 0.2126*l[0] + 0.7152*l[1] + 0.0722*l[2]
}
