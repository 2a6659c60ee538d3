package picture

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"sync"

	"golang.org/x/image/draw"
	"golang.org/x/image/webp"
)

const (
	// MaxThumbnail is the most bytes a thumbnail has.
	MaxThumbnail = 24 << 10
	// MaxThumbnailSide is the most pixels of a side that is taken from others.
	MaxThumbnailSide = 512
	thumbnailSide    = 320 // of those made here

	// What decoding may take.
	maxPixels = 100_000_000
	maxMemory = 256 << 20
)

// decoding is held while a picture is decoded, so that several at once take no
// more memory than one.
var decoding sync.Mutex

// Thumbnail makes a small upright JPEG of a picture whose shape is s. Errors:
// ErrTooLarge, ErrDamaged, the reader's.
func Thumbnail(r io.Reader, s Shape) ([]byte, error) {
	if s.largest <= 0 {
		return nil, damaged("it has no pixels")
	}
	if s.largest > maxPixels || s.largest > maxMemory/s.cost {
		return nil, fmt.Errorf("%w: it has %d x %d pixels", ErrTooLarge, s.Width, s.Height)
	}
	small, err := reduced(r, s.Media)
	if err != nil {
		return nil, err
	}
	small = upright(small, s.Orientation)
	for side := thumbnailSide; side >= 40; side /= 2 {
		scaled := fit(small, side, draw.CatmullRom)
		for _, quality := range []int{80, 65, 50, 35} {
			var b bytes.Buffer
			if err := jpeg.Encode(&b, scaled, &jpeg.Options{Quality: quality}); err != nil {
				return nil, err
			}
			if b.Len() <= MaxThumbnail {
				return b.Bytes(), nil
			}
		}
	}
	return nil, fmt.Errorf("%w to a thumbnail", ErrTooLarge)
}

// reduced decodes a picture and makes it small enough that what follows is
// cheap. Of an animation it is the first picture.
func reduced(r io.Reader, media string) (*image.RGBA, error) {
	decoding.Lock()
	defer decoding.Unlock()
	var m image.Image
	var err error
	switch media {
	case GIF:
		m, err = gif.Decode(r)
	case PNG:
		m, err = png.Decode(r)
	case JPEG:
		m, err = jpeg.Decode(r)
	case WebP:
		m, err = webp.Decode(r)
	default:
		return nil, ErrUnknown
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if m.Bounds().Empty() {
		return nil, damaged("it has no pixels")
	}
	return fit(m, 4*thumbnailSide, draw.NearestNeighbor), nil
}

// fit makes a picture as large as fits into a square, never larger than it is,
// on white.
func fit(m image.Image, side int, scaler draw.Scaler) *image.RGBA {
	width, height := m.Bounds().Dx(), m.Bounds().Dy()
	if long := max(width, height); long > side {
		width, height = max(1, width*side/long), max(1, height*side/long)
	}
	to := image.NewRGBA(image.Rect(0, 0, width, height))
	draw.Draw(to, to.Bounds(), image.NewUniform(color.White), image.Point{}, draw.Src)
	scaler.Scale(to, to.Bounds(), m, m.Bounds(), draw.Over, nil)
	return to
}

// upright turns and mirrors a picture as an EXIF orientation says.
func upright(m *image.RGBA, orientation int) *image.RGBA {
	w, h := m.Bounds().Dx(), m.Bounds().Dy()
	// from gives where in m the pixel (x, y) of the result is.
	var from func(x, y int) (int, int)
	switch orientation {
	case 2:
		from = func(x, y int) (int, int) { return w - 1 - x, y }
	case 3:
		from = func(x, y int) (int, int) { return w - 1 - x, h - 1 - y }
	case 4:
		from = func(x, y int) (int, int) { return x, h - 1 - y }
	case 5:
		from = func(x, y int) (int, int) { return y, x }
	case 6:
		from = func(x, y int) (int, int) { return y, h - 1 - x }
	case 7:
		from = func(x, y int) (int, int) { return w - 1 - y, h - 1 - x }
	case 8:
		from = func(x, y int) (int, int) { return w - 1 - y, x }
	default:
		return m
	}
	size := image.Rect(0, 0, w, h)
	if orientation >= 5 {
		size = image.Rect(0, 0, h, w)
	}
	to := image.NewRGBA(size)
	for y := range size.Dy() {
		for x := range size.Dx() {
			to.SetRGBA(x, y, m.RGBAAt(from(x, y)))
		}
	}
	return to
}

// CheckThumbnail checks a thumbnail that somebody sent: a whole JPEG within the
// limits.
func CheckThumbnail(b []byte) error {
	if len(b) > MaxThumbnail {
		return fmt.Errorf("a thumbnail of %d bytes, at most %d are taken: %w", len(b), MaxThumbnail, ErrTooLarge)
	}
	c, err := jpeg.DecodeConfig(bytes.NewReader(b))
	if err != nil {
		return fmt.Errorf("the thumbnail is no JPEG: %w", ErrDamaged)
	}
	if c.Width < 1 || c.Height < 1 || c.Width > MaxThumbnailSide || c.Height > MaxThumbnailSide {
		return fmt.Errorf("a thumbnail of %d x %d pixels, at most %d a side are taken: %w", c.Width, c.Height, MaxThumbnailSide, ErrTooLarge)
	}
	if _, err := jpeg.Decode(bytes.NewReader(b)); err != nil {
		return fmt.Errorf("the thumbnail cannot be decoded: %w", ErrDamaged)
	}
	return nil
}
