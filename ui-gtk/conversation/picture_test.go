package conversation

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"testing"
)

func pngOf(t *testing.T, width, height int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, width, height))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// claiming is a PNG that claims to be of another size.
func claiming(t *testing.T, width, height uint32) []byte {
	b := pngOf(t, 1, 1)
	binary.BigEndian.PutUint32(b[16:], width)
	binary.BigEndian.PutUint32(b[20:], height)
	return b
}

func TestDecodeIsBounded(t *testing.T) {
	if img, err := decode(bytes.NewReader(pngOf(t, 30, 20))); err != nil || img.Bounds().Dx() != 30 {
		t.Errorf("a picture: %v", err)
	}
	for name, b := range map[string][]byte{
		"huge": claiming(t, 1<<30, 1<<30), "long": claiming(t, 1<<31-1, 1), "cut": pngOf(t, 30, 20)[:60], "none": nil, "text": []byte("hello"),
		"bitmap": append([]byte("BM"), make([]byte, 100)...),
	} {
		if _, err := decode(bytes.NewReader(b)); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	path := filepath.Join(t.TempDir(), "x.png")
	if err := os.WriteFile(path, pngOf(t, 3, 2), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, maxPictureFile+1); err != nil {
		t.Fatal(err)
	}
	if _, err := decodeFile(path); err == nil {
		t.Error("a file that is too large is read")
	}
	if _, err := decodeFile("/dev/zero"); err == nil {
		t.Error("a device is read")
	}
}

func TestFitInto(t *testing.T) {
	for _, x := range []struct{ w, h, width, height, wantW, wantH int }{
		{1200, 800, 600, 300, 450, 300}, {100, 50, 600, 300, 100, 50}, {4000, 10, 600, 300, 600, 2}, {1, 100000, 600, 300, 1, 300}, {0, 5, 600, 300, 1, 1},
	} {
		if w, h := fitInto(x.w, x.h, x.width, x.height); w != x.wantW || h != x.wantH {
			t.Errorf("%dx%d becomes %dx%d", x.w, x.h, w, h)
		}
	}
	if size := shrink(image.NewGray(image.Rect(0, 0, 1200, 800)), 600, 300).Bounds().Size(); size != image.Pt(450, 300) {
		t.Errorf("shrunk to %v", size)
	}
}

// withOrientation puts EXIF with an orientation into a JPEG.
func withOrientation(jpg []byte, order binary.AppendByteOrder, mark string, orientation uint16) []byte {
	tiff := append([]byte(mark), 0, 0, 0, 0, 0, 0)
	order.AppendUint16(tiff[:2], 42)
	order.AppendUint32(tiff[:4], 8)
	tiff = order.AppendUint16(tiff, 1)
	tiff = order.AppendUint16(tiff, 0x0112)
	tiff = order.AppendUint16(tiff, 3)
	tiff = order.AppendUint32(tiff, 1)
	tiff = order.AppendUint16(tiff, orientation)
	tiff = order.AppendUint16(tiff, 0)
	exif := append([]byte("Exif\x00\x00"), tiff...)
	segment := binary.BigEndian.AppendUint16([]byte{0xff, 0xe1}, uint16(len(exif)+2))
	return append(append(append([]byte{0xff, 0xd8}, segment...), exif...), jpg[2:]...)
}

// TestOrientation: a picture that lies on its side is shown upright.
func TestOrientation(t *testing.T) {
	// The left half is white.
	img := image.NewGray(image.Rect(0, 0, 32, 16))
	for y := range 16 {
		for x := range 16 {
			img.SetGray(x, y, color.Gray{255})
		}
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: 100}); err != nil {
		t.Fatal(err)
	}
	white := func(img image.Image, x, y int) bool {
		r, _, _, _ := img.At(img.Bounds().Min.X+x, img.Bounds().Min.Y+y).RGBA()
		return r > 0x8000
	}
	for _, x := range []struct {
		orientation   uint16
		width, height int
		x, y          int // where it is white; it is black opposite
	}{
		{1, 32, 16, 2, 8}, {2, 32, 16, 29, 8}, {3, 32, 16, 29, 8}, {4, 32, 16, 2, 8},
		{5, 16, 32, 8, 2}, {6, 16, 32, 8, 2}, {7, 16, 32, 8, 29}, {8, 16, 32, 8, 29},
		{0, 32, 16, 2, 8}, {9, 32, 16, 2, 8},
	} {
		for mark, order := range map[string]binary.AppendByteOrder{"II": binary.LittleEndian, "MM": binary.BigEndian} {
			img, err := decode(bytes.NewReader(withOrientation(b.Bytes(), order, mark, x.orientation)))
			if err != nil {
				t.Fatal(err)
			}
			if size := img.Bounds().Size(); size != image.Pt(x.width, x.height) {
				t.Errorf("%d %s: %v", x.orientation, mark, size)
				continue
			}
			if !white(img, x.x, x.y) || white(img, x.width-1-x.x, x.height-1-x.y) {
				t.Errorf("%d %s: the white half is elsewhere", x.orientation, mark)
			}
		}
	}
}

func FuzzOrientation(f *testing.F) {
	f.Add(withOrientation([]byte{0xff, 0xd8}, binary.LittleEndian, "II", 6))
	f.Fuzz(func(t *testing.T, b []byte) {
		if o := orientationOf(bytes.NewReader(b)); o < 1 || o > 8 {
			t.Errorf("%d", o)
		}
	})
}

func TestCopyFileKeepsWhatIsThere(t *testing.T) {
	folder := t.TempDir()
	to := filepath.Join(folder, "to")
	if err := os.WriteFile(to, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := copyFile(filepath.Join(folder, "none"), to); err == nil {
		t.Error("a file that is not there is copied")
	}
	if b, _ := os.ReadFile(to); string(b) != "old" {
		t.Errorf("it is %q now", b)
	}
	from := filepath.Join(folder, "from")
	if err := os.WriteFile(from, []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := copyFile(from, to); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(to); string(b) != "new" {
		t.Errorf("it is %q", b)
	}
	if names, _ := filepath.Glob(filepath.Join(folder, ".*")); len(names) > 0 {
		t.Errorf("left: %v", names)
	}
}
