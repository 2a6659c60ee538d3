package picture_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/image/webp"

	"github.com/parley-chat/parley/plugins/file/picture"
)

// secret is in everything that must not be in a copy.
const secret = "48.8584N 2.2945E"

// buffer is a file in memory.
type buffer struct{ b []byte }

func (f *buffer) Write(b []byte) (int, error) {
	f.b = append(f.b, b...)
	return len(b), nil
}

func (f *buffer) WriteAt(b []byte, at int64) (int, error) {
	return copy(f.b[at:], b), nil
}

// halves is red on the left and blue on the right.
func halves(width, height int) *image.RGBA {
	m := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			c := color.RGBA{R: 255, A: 255}
			if x >= width/2 {
				c = color.RGBA{B: 255, A: 255}
			}
			m.SetRGBA(x, y, c)
		}
	}
	return m
}

// exif is EXIF data with an orientation and a secret, in either byte order.
func exif(order binary.AppendByteOrder, orientation uint16) []byte {
	b := []byte("MM\x00*")
	if order == binary.LittleEndian {
		b = []byte("II*\x00")
	}
	b = order.AppendUint32(b, 8)
	b = order.AppendUint16(b, 2)
	for _, e := range [][2]uint16{{0x0110, 7}, {0x0112, 3}} {
		b = order.AppendUint16(order.AppendUint16(b, e[0]), e[1])
		b = order.AppendUint32(b, 1)
		b = order.AppendUint16(order.AppendUint16(b, orientation), 0)
	}
	return append(order.AppendUint32(b, 0), secret...)
}

func segment(mark byte, body string) []byte {
	return append(binary.BigEndian.AppendUint16([]byte{0xff, mark}, uint16(len(body)+2)), body...)
}

func makeJPEG(t testing.TB, m image.Image, orientation uint16) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, nil); err != nil {
		t.Fatal(err)
	}
	plain := b.Bytes()
	return slices.Concat(plain[:2],
		segment(0xe0, "JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"),
		segment(0xe1, "Exif\x00\x00"+string(exif(binary.LittleEndian, orientation))),
		segment(0xe1, "http://ns.adobe.com/xap/1.0/\x00"+secret), segment(0xed, "Photoshop 3.0\x00"+secret),
		segment(0xe2, "MPF\x00"+secret), segment(0xe2, "ICC_PROFILE\x00\x01\x01profile"), segment(0xfe, secret),
		plain[2:], []byte(secret))
}

func chunk(name, body string) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	b = append(b, name+body...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[4:]))
}

func makePNG(t testing.TB, m image.Image, orientation uint16) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	const header = 8 + 25
	plain := b.Bytes()
	return slices.Concat(plain[:header], chunk("eXIf", string(exif(binary.BigEndian, orientation))), chunk("tEXt", "where\x00"+secret),
		chunk("iTXt", "XML:com.adobe.xmp\x00\x00\x00\x00\x00"+secret), chunk("tIME", "\x07\xe8\x01\x01\x00\x00\x00"), chunk("prVt", secret),
		chunk("gAMA", "\x00\x00\xb1\x8f"), plain[header:], []byte(secret))
}

func riff(name, body string) []byte {
	b := append([]byte(name), binary.LittleEndian.AppendUint32(nil, uint32(len(body)))...)
	b = append(b, body...)
	return append(b, make([]byte, len(body)&1)...)
}

func makeWebP(t testing.TB, orientation uint16) []byte {
	t.Helper()
	pixel, err := base64.StdEncoding.DecodeString("UklGRhoAAABXRUJQVlA4TA0AAAAvAAAAEAcQERGIiP4HAA==")
	if err != nil {
		t.Fatal(err)
	}
	body := slices.Concat([]byte("WEBP"), riff("VP8X", "\x0c\x00\x00\x00\x00\x00\x00\x00\x00\x00"), pixel[12:],
		riff("EXIF", string(exif(binary.LittleEndian, orientation))), riff("XMP ", secret), riff("priv", secret+"."))
	return append(riff("RIFF", string(body)), secret...)
}

func makeGIF(t testing.TB, frames int) []byte {
	t.Helper()
	g := &gif.GIF{}
	for i := range frames {
		m := image.NewPaletted(image.Rect(0, 0, 40, 20), color.Palette{color.White, color.Black, color.Gray{Y: 128}})
		m.SetColorIndex(i, i, 1)
		g.Image, g.Delay = append(g.Image, m), append(g.Delay, 10)
	}
	var b bytes.Buffer
	if err := gif.EncodeAll(&b, g); err != nil {
		t.Fatal(err)
	}
	plain := b.Bytes()
	at := 13
	if plain[10]&0x80 != 0 {
		at += 3 << (plain[10]&7 + 1)
	}
	comment := "\x21\xfe" + string(rune(len(secret))) + secret + "\x00"
	xmp := "\x21\xff\x0bXMP DataXMP" + string(rune(len(secret))) + secret + "\x00"
	return slices.Concat(plain[:at], []byte(comment+xmp), plain[at:], []byte(secret))
}

// pixels decodes a picture.
func pixels(t testing.TB, media string, b []byte) any {
	t.Helper()
	var m any
	var err error
	switch r := bytes.NewReader(b); media {
	case picture.GIF:
		m, err = gif.DecodeAll(r)
	case picture.PNG:
		m, err = png.Decode(r)
	case picture.JPEG:
		m, err = jpeg.Decode(r)
	default:
		m, err = webp.Decode(r)
	}
	if err != nil {
		t.Fatalf("decode: %v", err)
	}
	return m
}

func TestCopyLeavesOutWhatIsPrivate(t *testing.T) {
	m := halves(64, 32)
	for _, c := range []struct {
		name, media   string
		b             []byte
		width, height int
		orientation   int
		animated      bool
	}{
		{"JPEG", picture.JPEG, makeJPEG(t, m, 6), 32, 64, 6, false},
		{"JPEG upright", picture.JPEG, makeJPEG(t, m, 1), 64, 32, 1, false},
		{"JPEG of an impossible orientation", picture.JPEG, makeJPEG(t, m, 99), 64, 32, 1, false},
		{"PNG", picture.PNG, makePNG(t, m, 3), 64, 32, 3, false},
		{"PNG on its side", picture.PNG, makePNG(t, m, 8), 32, 64, 8, false},
		{"WebP", picture.WebP, makeWebP(t, 6), 1, 1, 6, false},
		{"WebP upright", picture.WebP, makeWebP(t, 1), 1, 1, 1, false},
		{"GIF", picture.GIF, makeGIF(t, 1), 40, 20, 1, false},
		{"GIF that moves", picture.GIF, makeGIF(t, 3), 40, 20, 1, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if !bytes.Contains(c.b, []byte(secret)) {
				t.Fatal("there is no secret in it to leave out")
			}
			var f buffer
			s, err := picture.Copy(&f, bytes.NewReader(c.b))
			if err != nil || s.Media != c.media || s.Width != c.width || s.Height != c.height || s.Orientation != c.orientation ||
				s.Animated != c.animated || !s.Private || !s.Complete {
				t.Fatalf("got %+v, %v", s, err)
			}
			if bytes.Contains(f.b, []byte(secret)) {
				t.Error("the secret is in the copy")
			}
			if got, want := pixels(t, c.media, f.b), pixels(t, c.media, c.b); !same(got, want) {
				t.Error("the copy looks different")
			}
			again, err := picture.Look(bytes.NewReader(f.b))
			if err != nil || again.Private || again.Orientation != c.orientation || again.Width != c.width || !again.Complete {
				t.Errorf("the copy is %+v, %v", again, err)
			}
			for _, keep := range map[string][]string{picture.JPEG: {"ICC_PROFILE", "JFIF"}, picture.PNG: {"gAMA"}}[c.media] {
				if !bytes.Contains(f.b, []byte(keep)) {
					t.Errorf("%s is gone", keep)
				}
			}
		})
	}
}

func same(a, b any) bool {
	switch a := a.(type) {
	case *gif.GIF:
		b, ok := b.(*gif.GIF)
		return ok && slices.EqualFunc(a.Image, b.Image, func(x, y *image.Paletted) bool { return bytes.Equal(x.Pix, y.Pix) })
	case image.Image:
		b, ok := b.(image.Image)
		if !ok || a.Bounds() != b.Bounds() {
			return false
		}
		for y := range a.Bounds().Dy() {
			for x := range a.Bounds().Dx() {
				if a.At(x, y) != b.At(x, y) {
					return false
				}
			}
		}
		return true
	}
	return false
}

// However much of a file there is, a copy has nothing private and nothing breaks.
func TestTruncated(t *testing.T) {
	for name, b := range map[string][]byte{
		"JPEG": makeJPEG(t, halves(8, 8), 6), "PNG": makePNG(t, halves(8, 8), 6), "WebP": makeWebP(t, 6), "GIF": makeGIF(t, 2),
	} {
		t.Run(name, func(t *testing.T) {
			whole := 0
			for n := range len(b) + 1 {
				var f buffer
				s, err := picture.Copy(&f, bytes.NewReader(b[:n]))
				if err != nil && !errors.Is(err, picture.ErrUnknown) {
					t.Fatalf("%d bytes: %v", n, err)
				}
				if bytes.Contains(f.b, []byte(secret[:8])) {
					t.Fatalf("%d bytes: the secret is in the copy", n)
				}
				if s.Complete {
					whole++
					if _, err := picture.Thumbnail(bytes.NewReader(f.b), s); err != nil {
						t.Errorf("%d bytes: %v", n, err)
					}
				}
			}
			if whole < len(secret) || whole > len(secret)+1 {
				t.Errorf("%d of its beginnings are said to be complete", whole)
			}
		})
	}
}

func TestThumbnail(t *testing.T) {
	// Where red is, after each orientation: at the left, right, top or bottom.
	for orientation, red := range map[uint16]image.Point{
		1: {-1, 0}, 2: {1, 0}, 3: {1, 0}, 4: {-1, 0}, 5: {0, -1}, 6: {0, -1}, 7: {0, 1}, 8: {0, 1},
	} {
		b := makeJPEG(t, halves(400, 200), orientation)
		s, err := picture.Look(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		small, err := picture.Thumbnail(bytes.NewReader(b), s)
		if err != nil {
			t.Fatal(err)
		}
		if err := picture.CheckThumbnail(small); err != nil {
			t.Error(err)
		}
		m, err := jpeg.Decode(bytes.NewReader(small))
		if err != nil {
			t.Fatal(err)
		}
		size := m.Bounds().Size()
		if want := (image.Point{320, 160}); orientation < 5 && size != want || orientation >= 5 && size != (image.Point{160, 320}) {
			t.Errorf("orientation %d: it has %v", orientation, size)
		}
		at := image.Point{size.X/2 + red.X*size.X/4, size.Y/2 + red.Y*size.Y/4}
		if r, _, blue, _ := m.At(at.X, at.Y).RGBA(); r < 0xc000 || blue > 0x4000 {
			t.Errorf("orientation %d: at %v it is %v, not red", orientation, at, m.At(at.X, at.Y))
		}
	}
}

func TestThumbnailIsSmall(t *testing.T) {
	m, rng := image.NewRGBA(image.Rect(0, 0, 400, 360)), rand.New(rand.NewPCG(1, 2))
	for i := range m.Pix {
		m.Pix[i] = byte(rng.Uint32())
	}
	b := makePNG(t, m, 1)
	s, err := picture.Look(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	small, err := picture.Thumbnail(bytes.NewReader(b), s)
	if err != nil || picture.CheckThumbnail(small) != nil {
		t.Errorf("noise became %d bytes, %v", len(small), err)
	}
}

func header(width, height uint32) string {
	b := binary.BigEndian.AppendUint32(nil, width)
	return string(binary.BigEndian.AppendUint32(b, height)) + "\x08\x06\x00\x00\x00"
}

// Pictures that say they are huge take no memory.
func TestBombs(t *testing.T) {
	vp8l := "\x2f\xff\xff\xff\x0f" + strings.Repeat("\x00", 20) // 16,384 x 16,384
	for name, b := range map[string][]byte{
		"PNG":             slices.Concat([]byte("\x89PNG\r\n\x1a\n"), chunk("IHDR", header(50_000, 50_000)), chunk("IDAT", "x"), chunk("IEND", "")),
		"PNG, one line":   slices.Concat([]byte("\x89PNG\r\n\x1a\n"), chunk("IHDR", header(1<<31-1, 1)), chunk("IDAT", "x"), chunk("IEND", "")),
		"JPEG":            slices.Concat([]byte{0xff, 0xd8}, segment(0xc0, "\x08\xff\xff\xff\xff\x01\x01\x11\x00"), []byte{0xff, 0xd9}),
		"progressive":     slices.Concat([]byte{0xff, 0xd8}, segment(0xc2, "\x08\x20\x00\x20\x00\x01\x01\x11\x00"), []byte{0xff, 0xd9}),
		"GIF":             []byte("GIF89a\xff\xff\xff\xff\x00\x00\x00\x3b"),
		"WebP":            riff("RIFF", "WEBP"+string(riff("VP8L", vp8l))),
		"WebP that lies":  riff("RIFF", "WEBP"+string(riff("VP8X", strings.Repeat("\x00", 10)))+string(riff("VP8L", vp8l))),
		"WebP that lies2": riff("RIFF", "WEBP"+string(riff("VP8X", strings.Repeat("\x00", 10)))+string(riff("VP8 ", "\x30\x01\x00\x9d\x01\x2a\xff\x3f\xff\x3f"))),
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			s, err := picture.Look(bytes.NewReader(b))
			if err != nil {
				t.Fatal(err)
			}
			_, err = picture.Thumbnail(bytes.NewReader(b), s)
			runtime.ReadMemStats(&after)
			if !errors.Is(err, picture.ErrTooLarge) {
				t.Errorf("got %v of %+v", err, s)
			}
			if took := after.TotalAlloc - before.TotalAlloc; took > 8<<20 {
				t.Errorf("it took %d bytes", took)
			}
		})
	}
}

func TestDamaged(t *testing.T) {
	for name, b := range map[string]string{
		"JPEG": "\xff\xd8\xff\xe0\x00\x01", "PNG": "\x89PNG\r\n\x1a\n\xff\xff\xff\xffIDAT", "GIF": "GIF89a\x01\x00\x01\x00\x00\x00\x00\x77",
		"PNG's header": "\x89PNG\r\n\x1a\n" + string(chunk("IHDR", "123")), "no pixels": "\x89PNG\r\n\x1a\n" + string(chunk("IHDR", header(0, 1))),
	} {
		if _, err := picture.Look(strings.NewReader(b)); !errors.Is(err, picture.ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, b := range []string{"", "hello", "RIFF\x00\x00\x00\x00WAVE", "GIF88a......"} {
		if _, err := picture.Look(strings.NewReader(b)); !errors.Is(err, picture.ErrUnknown) {
			t.Errorf("%q: %v", b, err)
		}
	}
}

func TestCheckThumbnail(t *testing.T) {
	encode := func(m image.Image) []byte {
		var b bytes.Buffer
		if err := jpeg.Encode(&b, m, nil); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	good := encode(halves(512, 100))
	if err := picture.CheckThumbnail(good); err != nil {
		t.Error(err)
	}
	for name, b := range map[string][]byte{
		"too wide": encode(halves(513, 1)), "too long": append(slices.Clone(good), make([]byte, picture.MaxThumbnail)...),
		"no JPEG": makePNG(t, halves(2, 2), 1), "cut off": good[:len(good)/2], "empty": nil,
		"huge": slices.Concat([]byte{0xff, 0xd8}, segment(0xc0, "\x08\xff\xff\xff\xff\x01\x01\x11\x00")),
	} {
		if err := picture.CheckThumbnail(b); err == nil {
			t.Errorf("%s: it is taken", name)
		}
	}
}

// A copy has nothing private, a copy of it is the same, and they say the same.
func FuzzCopy(f *testing.F) {
	f.Add(makeJPEG(f, halves(8, 8), 6))
	f.Add(makePNG(f, halves(8, 8), 3))
	f.Add(makeWebP(f, 8))
	f.Add(makeGIF(f, 2))
	f.Fuzz(func(t *testing.T, b []byte) {
		var one, two buffer
		s, err := picture.Copy(&one, bytes.NewReader(b))
		if err != nil || !s.Complete {
			return
		}
		again, err := picture.Copy(&two, bytes.NewReader(one.b))
		if err != nil || again.Private || !bytes.Equal(one.b, two.b) {
			t.Fatalf("%+v became %+v (%v)", s, again, err)
		}
		if s.Private = false; s != again {
			t.Fatalf("%+v became %+v", s, again)
		}
	})
}
