package viewmodel

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"image"
	"image/color"
	_ "image/gif" // a format that a picture may have
	"image/jpeg"
	_ "image/png" // likewise

	"golang.org/x/image/draw"
	_ "golang.org/x/image/webp" // likewise
)

const (
	// maxAvatar is how many bytes a picture of a person has at most.
	maxAvatar = 64 << 10
	// maxAvatarPixels bounds what a few bytes of another's may unpack to: 16 MiB.
	maxAvatarPixels = 4 << 20
	// maxPictureFile and maxPicturePixels bound the file of which one's own is made.
	maxPictureFile   = 32 << 20
	maxPicturePixels = 64 << 20
	// avatarSide is the side of one's own, in pixels.
	avatarSide = 256
	// keptAvatars is how many decoded pictures are kept: 8 MB of those in lists.
	keptAvatars = 512
)

// errPicture is what a picture that cannot be used ends with.
var errPicture = errors.New("not a picture that can be used")

func isPictureError(err error) bool { return errors.Is(err, errPicture) }

// Avatars are the pictures of people, decoded beside the loop, each once.
type Avatars struct {
	session *Session
	seed    maphash.Seed
	kept    map[avatarKey]*image.RGBA // nil for one that cannot be decoded
	order   []avatarKey               // the oldest first
	waiting map[avatarKey][]func(*image.RGBA)
	busy    chan struct{} // has room for one: decoding several at once takes memory
}

type avatarKey struct {
	picture uint64
	side    int
}

func newAvatars(s *Session) *Avatars {
	return &Avatars{
		session: s, seed: maphash.MakeSeed(), kept: map[avatarKey]*image.RGBA{},
		waiting: map[avatarKey][]func(*image.RGBA){}, busy: make(chan struct{}, 1),
	}
}

// Show gives a person's picture as a square of so many pixels: at once when it was
// decoded before, or later on the loop. It gives nothing for what cannot be decoded.
func (a *Avatars) Show(picture []byte, side int, show func(*image.RGBA)) {
	key := avatarKey{maphash.Bytes(a.seed, picture), side}
	if img, ok := a.kept[key]; ok {
		if img != nil {
			show(img)
		}
		return
	}
	a.waiting[key] = append(a.waiting[key], show)
	if len(a.waiting[key]) > 1 {
		return
	}
	go func() {
		a.busy <- struct{}{}
		img, err := decodeAvatar(picture, side)
		<-a.busy
		if err != nil {
			img = nil
		}
		a.session.cfg.Loop.Post(func() { a.decoded(key, img) })
	}()
}

func (a *Avatars) decoded(key avatarKey, img *image.RGBA) {
	if len(a.order) >= keptAvatars {
		delete(a.kept, a.order[0])
		a.order = a.order[1:]
	}
	a.kept[key], a.order = img, append(a.order, key)
	waiting := a.waiting[key]
	delete(a.waiting, key)
	if img == nil {
		return
	}
	for _, show := range waiting {
		show(img)
	}
}

// decodeAvatar decodes another's picture to a square.
func decodeAvatar(picture []byte, side int) (*image.RGBA, error) {
	if len(picture) > maxAvatar {
		return nil, fmt.Errorf("%w: %d bytes", errPicture, len(picture))
	}
	img, err := decodeBounded(picture, maxAvatarPixels)
	if err != nil {
		return nil, err
	}
	return square(img, side), nil
}

// decodeBounded decodes a picture that says beforehand that it has no more than so
// many pixels.
func decodeBounded(b []byte, most int) (image.Image, error) {
	cfg, _, err := image.DecodeConfig(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errPicture, err)
	}
	if cfg.Width <= 0 || cfg.Height <= 0 || cfg.Width > most/cfg.Height {
		return nil, fmt.Errorf("%w: %d x %d pixels", errPicture, cfg.Width, cfg.Height)
	}
	img, _, err := image.Decode(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errPicture, err)
	}
	return img, nil
}

// square cuts the middle of a picture and scales it.
func square(img image.Image, side int) *image.RGBA {
	b := img.Bounds()
	n := min(b.Dx(), b.Dy())
	left, top := b.Min.X+(b.Dx()-n)/2, b.Min.Y+(b.Dy()-n)/2
	to := image.NewRGBA(image.Rect(0, 0, side, side))
	draw.CatmullRom.Scale(to, to.Bounds(), img, image.Rect(left, top, left+n, top+n), draw.Src, nil)
	return to
}

// avatarOfFile makes one's own picture of a file.
func avatarOfFile(path string) ([]byte, error) {
	b, err := readBounded(path, maxPictureFile)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errPicture, err)
	}
	return fitAvatar(b)
}

// fitAvatar makes of a picture an upright square one that the core takes.
func fitAvatar(b []byte) ([]byte, error) {
	img, err := decodeBounded(b, maxPicturePixels)
	if err != nil {
		return nil, err
	}
	cut := upright(square(img, avatarSide), orientation(b))
	white := image.NewRGBA(cut.Bounds()) // JPEG knows no transparency
	draw.Draw(white, white.Bounds(), image.NewUniform(color.White), image.Point{}, draw.Src)
	draw.Draw(white, white.Bounds(), cut, image.Point{}, draw.Over)
	for quality := 90; quality > 0; quality -= 15 {
		var out bytes.Buffer
		if err := jpeg.Encode(&out, white, &jpeg.Options{Quality: quality}); err != nil {
			return nil, err
		}
		if out.Len() <= maxAvatar {
			return out.Bytes(), nil
		}
	}
	return nil, fmt.Errorf("%w: it does not get small enough", errPicture)
}

// upright turns and mirrors a square as an EXIF orientation says.
func upright(img *image.RGBA, orientation int) *image.RGBA {
	if orientation <= 1 || orientation > 8 {
		return img
	}
	n := img.Bounds().Dx() - 1
	to := image.NewRGBA(img.Bounds())
	for y := range n + 1 {
		for x := range n + 1 {
			fromX, fromY := x, y
			if orientation >= 5 {
				fromX, fromY = fromY, fromX
			}
			switch orientation {
			case 2, 8:
				fromX = n - fromX
			case 4, 6:
				fromY = n - fromY
			case 3, 7:
				fromX, fromY = n-fromX, n-fromY
			}
			to.SetRGBA(x, y, img.RGBAAt(fromX, fromY))
		}
	}
	return to
}

// orientation reads which way up a JPEG is, from its EXIF block; 1, as it is, when
// it does not say.
func orientation(b []byte) int {
	tiff := exif(b)
	if len(tiff) < 8 {
		return 1
	}
	var order binary.ByteOrder = binary.BigEndian
	if tiff[0] == 'I' {
		order = binary.LittleEndian
	}
	at := int64(order.Uint32(tiff[4:]))
	if at+2 > int64(len(tiff)) {
		return 1
	}
	entries := int64(order.Uint16(tiff[at:]))
	for i := range entries {
		from := at + 2 + 12*i
		if from+12 > int64(len(tiff)) {
			return 1
		}
		const tagOrientation = 0x0112
		if e := tiff[from:]; order.Uint16(e) == tagOrientation {
			return int(order.Uint16(e[8:]))
		}
	}
	return 1
}

// exif finds the TIFF data in a JPEG's EXIF block.
func exif(b []byte) []byte {
	if len(b) < 4 || b[0] != 0xff || b[1] != 0xd8 {
		return nil
	}
	for b = b[2:]; len(b) >= 4 && b[0] == 0xff; {
		mark, n := b[1], int(binary.BigEndian.Uint16(b[2:]))
		const app1, scan = 0xe1, 0xda
		if n < 2 || 2+n > len(b) || mark == scan {
			return nil
		}
		if body := b[4 : 2+n]; mark == app1 && bytes.HasPrefix(body, []byte("Exif\x00\x00")) {
			return body[6:]
		}
		b = b[2+n:]
	}
	return nil
}
