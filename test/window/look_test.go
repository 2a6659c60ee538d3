package window

import (
	"image"
	"image/color"
	"math"
	"strings"
	"testing"

	"github.com/parley-chat/parley/test/ui"
	"github.com/parley-chat/parley/test/ui/atspi"
	"github.com/parley-chat/parley/test/ui/desktop"
)

// contrast is WCAG 2.1's contrast ratio, 1 to 21.
func contrast(a, b color.RGBA) float64 {
	x, y := luminance(a), luminance(b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

func luminance(c color.RGBA) float64 {
	part := func(v uint8) float64 {
		x := float64(v) / 255
		if x <= 0.03928 {
			return x / 12.92
		}
		return math.Pow((x+0.055)/1.055, 2.4)
	}
	return 0.2126*part(c.R) + 0.7152*part(c.G) + 0.0722*part(c.B)
}

// legible gives how much what is drawn somewhere on the screen stands out of what is
// behind it, which is the colour that most of the place has.
func (p *person) legible(at image.Rectangle) (most float64, front color.RGBA) {
	p.t.Helper()
	img := p.screen.Screenshot()
	count := map[color.RGBA]int{}
	var back color.RGBA
	each := func(do func(color.RGBA)) {
		for y := at.Min.Y; y < at.Max.Y; y++ {
			for x := at.Min.X; x < at.Max.X; x++ {
				do(img.RGBAAt(x, y))
			}
		}
	}
	each(func(c color.RGBA) {
		if count[c]++; count[c] > count[back] {
			back = c
		}
	})
	each(func(c color.RGBA) {
		if k := contrast(c, back); k > most {
			most, front = k, c
		}
	})
	return most, front
}

// standsOut waits until what is drawn somewhere has at least a contrast.
func (p *person) standsOut(what string, e ui.Element, least float64) {
	p.t.Helper()
	at := e.Placed()
	p.screen.Until(what+" can be read", func() bool {
		most, _ := p.legible(at)
		return most >= least
	})
}

// WCAG 2.1's least contrast at level AA, of text and of graphics.
const (
	ofText    = 4.5
	ofGraphic = 3.0
)

// TestLegible: what is easily lost on its background is seen, in light and in dark.
func TestLegible(t *testing.T) {
	t.Parallel()
	w := newWorld(t, desktop.Config{})
	anna := w.anna
	bodies := []string{"☺", "❤", "☙", "🌡"} // ☙ looks like an emoji's neighbour, and is none
	for _, body := range bodies {
		anna.say(w.bob, body)
	}
	for _, theme := range []string{"light", "dark"} {
		anna.prefer(`{"theme": "` + theme + `"}`)
		anna.open()
		anna.openChat("bob")
		for _, body := range bodies {
			label := anna.message("You: "+body).FindFunc(atspi.Label, body, func(s string) bool { return strings.HasPrefix(s, body) })
			anna.standsOut(body+" in "+theme, label, ofGraphic)
		}
		anna.shot("legible-" + theme)
		anna.leave()
	}
}
