package viewmodel

import (
	"fmt"
	"image"
	"image/color"

	goqr "github.com/piglig/go-qr"
)

// quietZone is the white border around a QR code, in modules, that its standard
// asks for.
const quietZone = 4

// QR draws a text as a QR code of about so many pixels a side: as many as give each
// module the same whole number of them.
func QR(text string, side int) (*image.Gray, error) {
	code, err := goqr.EncodeText(text, goqr.Medium)
	if err != nil {
		return nil, fmt.Errorf("draw a QR code of %d bytes: %w", len(text), err)
	}
	modules := code.Size() + 2*quietZone
	scale := max(1, side/modules)
	img := image.NewGray(image.Rect(0, 0, modules*scale, modules*scale))
	for y := range modules * scale {
		for x := range modules * scale {
			shade := color.Gray{Y: 0xff}
			if code.Module(x/scale-quietZone, y/scale-quietZone) {
				shade.Y = 0
			}
			img.SetGray(x, y, shade)
		}
	}
	return img, nil
}
