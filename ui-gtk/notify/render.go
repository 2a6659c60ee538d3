package notify

import (
	"html"
	"image"
	"image/color"
	"strings"
	"unicode"

	"github.com/godbus/dbus/v5"
)

const (
	// maxTitle and maxBody are how many characters of each are told.
	maxTitle = 100
	maxBody  = 300
	// maxPicture is the longest side of a picture.
	maxPicture = 256
)

// Keys of actions. inlineReply is KDE's, which others have taken over.
const (
	open        = "default"
	reply       = "reply"
	inlineReply = "inline-reply"
	markRead    = "mark-read"
)

// rendered is a message in the words of the specification.
type rendered struct {
	summary, body string
	actions       []string // key, label, key, label...
	hints         map[string]dbus.Variant
}

func (r rendered) keys() []string {
	var keys []string
	for i := 0; i < len(r.actions); i += 2 {
		keys = append(keys, r.actions[i])
	}
	return keys
}

// urgencies of the specification.
const (
	normal   = byte(1)
	critical = byte(2)
)

// render says how a daemon with some capabilities is to show a message. A locked
// screen shows that there is something, and what cannot be read from it.
func (cfg Config) render(m Message, texts Texts, can map[string]bool, locked bool) rendered {
	r := rendered{hints: map[string]dbus.Variant{
		"desktop-entry": dbus.MakeVariant(cfg.DesktopEntry),
		"category":      dbus.MakeVariant("im.received"),
		"urgency":       dbus.MakeVariant(normal),
	}}
	if m.Urgent {
		r.hints["urgency"] = dbus.MakeVariant(critical)
	}
	if m.Silent {
		r.hints["suppress-sound"] = dbus.MakeVariant(true)
	} else {
		r.hints["sound-name"] = dbus.MakeVariant("message-new-instant")
	}
	if can["actions"] {
		r.actions = []string{open, texts.Open}
	}
	if locked {
		r.summary, r.body = cfg.App, texts.Hidden
		return r
	}
	r.summary, r.body = clean(m.Title, maxTitle), clean(m.Body, maxBody)
	if can["body-markup"] {
		r.body = html.EscapeString(r.body)
	}
	if can["actions"] && !m.NoReply {
		key := reply
		if can[inlineReply] {
			key = inlineReply
			r.hints["x-kde-reply-placeholder-text"] = dbus.MakeVariant(texts.ReplyHint)
		}
		r.actions = append(r.actions, key, texts.Reply, markRead, texts.MarkRead)
	}
	if data, ok := imageData(m.Picture); ok {
		r.hints["image-data"] = dbus.MakeVariant(data)
	}
	return r
}

// clean makes text from elsewhere harmless: the first characters of it, without those
// that steer a terminal or turn the direction in which others are read.
func clean(text string, most int) string {
	var b strings.Builder
	n := 0
	for _, c := range text {
		if unicode.Is(unicode.Bidi_Control, c) || c == unicode.ReplacementChar {
			continue
		}
		if unicode.IsControl(c) && c != '\n' {
			c = ' '
		}
		if n == most {
			return strings.TrimSpace(b.String()) + "…"
		}
		b.WriteRune(c)
		n++
	}
	return strings.TrimSpace(b.String())
}

// pixels are the specification's image-data.
type pixels struct {
	Width, Height, RowStride int32
	HasAlpha                 bool
	BitsPerSample, Channels  int32
	Data                     []byte
}

func imageData(img image.Image) (pixels, bool) {
	if img == nil {
		return pixels{}, false
	}
	b := img.Bounds()
	width, height := b.Dx(), b.Dy()
	if width <= 0 || height <= 0 || width > maxPicture || height > maxPicture {
		return pixels{}, false
	}
	data := make([]byte, 0, 4*width*height)
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			c := color.NRGBAModel.Convert(img.At(x, y)).(color.NRGBA) //nolint:forcetypeassert // that is what it gives
			data = append(data, c.R, c.G, c.B, c.A)
		}
	}
	return pixels{int32(width), int32(height), int32(4 * width), true, 8, 4, data}, true
}
