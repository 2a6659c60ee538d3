package gtkx

import (
	"bytes"
	"errors"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/image/bmp"
)

// ownClipboard puts on the clipboard what its environment says.
func ownClipboard() {
	clip := Clip{Text: os.Getenv("TEXT")}
	if os.Getenv("PNG") != "" {
		clip.PNG = pngFile(20, 30)
	}
	if files := os.Getenv("FILES"); files != "" {
		clip.Files = strings.Split(files, ":")
	}
	if err := SetClipboard(clip); err != nil {
		panic(err)
	}
	ready()
}

func pngFile(width, height int) []byte {
	var b bytes.Buffer
	if err := png.Encode(&b, quarters(width, height)); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// read calls one of the functions that read the clipboard, and waits.
func read[T any](t *testing.T, ask func(done func(T))) T {
	t.Helper()
	result := make(chan T, 1)
	act(func() { ask(func(v T) { result <- v }) })
	select {
	case v := <-result:
		return v
	case <-time.After(patience):
		t.Fatal("the clipboard does not answer")
		panic("unreachable")
	}
}

type text struct {
	s   string
	err error
}

func readText(t *testing.T) text {
	return read(t, func(done func(text)) { ReadText(func(s string, err error) { done(text{s, err}) }) })
}

type picture struct {
	b   []byte
	err error
}

func readPicture(t *testing.T) picture {
	return read(t, func(done func(picture)) { ReadPicture(func(b []byte, err error) { done(picture{b, err}) }) })
}

type files struct {
	paths, others []string
	err           error
}

func readFiles(t *testing.T) files {
	return read(t, func(done func(files)) {
		ReadFiles(func(p, o []string, err error) { done(files{p, o, err}) })
	})
}

// What one program copies another pastes.
func TestClipboard(t *testing.T) {
	needsScreen(t)
	long := strings.Repeat("很长 ", 200_000) // more than X hands over at once
	tests := []struct {
		name  string
		clip  Clip
		holds Holding
	}{
		{"text", Clip{Text: "héllo 你好 👋\nsecond line"}, Holding{Text: true}},
		{"long text", Clip{Text: long}, Holding{Text: true}},
		{"picture", Clip{PNG: pngFile(20, 30)}, Holding{Picture: true}},
		{"files", Clip{Files: []string{"/tmp/a b.txt", "/tmp/你好"}}, Holding{Files: true}},
		{"all three", Clip{Text: "x", PNG: pngFile(20, 30), Files: []string{"/x"}}, Holding{Text: true, Picture: true, Files: true}},
	}
	check := func(t *testing.T, clip Clip, holds Holding) {
		t.Helper()
		if got := read(t, ReadHolding); got != holds {
			t.Errorf("it holds %+v, want %+v", got, holds)
		}
		if got := readText(t); got.s != clip.Text || holds.Text != (got.err == nil) {
			t.Errorf("the text is %.40q (%d bytes), %v", got.s, len(got.s), got.err)
		}
		if got := readPicture(t); !bytes.Equal(got.b, clip.PNG) || holds.Picture != (got.err == nil) {
			t.Errorf("the picture is %d bytes, %v", len(got.b), got.err)
		}
		if got := readFiles(t); !slices.Equal(got.paths, clip.Files) || len(got.others) > 0 || holds.Files != (got.err == nil) {
			t.Errorf("the files are %+v", got)
		}
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Run("of this program", func(t *testing.T) {
				if err := do(func() error { return SetClipboard(test.clip) }); err != nil {
					t.Fatal(err)
				}
				check(t, test.clip, test.holds)
			})
			t.Run("of another", func(t *testing.T) {
				if test.name == "long text" {
					test.clip.Text = long[:14_000*len("很长 ")] // an environment holds no more
				}
				env := []string{"TEXT=" + test.clip.Text, "FILES=" + strings.Join(test.clip.Files, ":"), "PNG="}
				if len(test.clip.PNG) > 0 {
					env[2] = "PNG=yes"
				}
				start(t, "clipboard", env...)
				check(t, test.clip, test.holds)
			})
		})
	}
}

// Whose owner is gone is empty, which is no failure of this program.
func TestClipboardOwnerDies(t *testing.T) {
	needsScreen(t)
	owner := start(t, "clipboard", "TEXT=soon gone")
	if got := readText(t); got.s != "soon gone" || got.err != nil {
		t.Fatal(got)
	}
	owner.Kill()
	until(t, "the clipboard is empty", func() bool { return errors.Is(readText(t).err, ErrNotThere) })
	if got := read(t, ReadHolding); got != (Holding{}) {
		t.Errorf("it holds %+v", got)
	}
	if got := readPicture(t); !errors.Is(got.err, ErrNotThere) {
		t.Errorf("picture: %v", got.err)
	}
	if got := readFiles(t); !errors.Is(got.err, ErrNotThere) {
		t.Errorf("files: %+v", got)
	}
}

func TestSetClipboardRefuses(t *testing.T) {
	needsScreen(t)
	for name, clip := range map[string]Clip{"nothing": {}, "a relative path": {Files: []string{"a/b"}}} {
		if err := do(func() error { return SetClipboard(clip) }); err == nil {
			t.Errorf("%s was put on the clipboard", name)
		}
	}
}

// Texts of GTK are UTF-8 and have no zero bytes; what comes from elsewhere may.
func TestClipboardTextIsClean(t *testing.T) {
	needsScreen(t)
	if err := do(func() error { return SetClipboard(Clip{Text: "a\xffb\x00c"}) }); err != nil {
		t.Fatal(err)
	}
	if got := readText(t); got.s != "a\uFFFDb\uFFFDc" {
		t.Errorf("got %q, %v", got.s, got.err)
	}
}

func TestToPNG(t *testing.T) {
	encode := func(f func(*bytes.Buffer) error) []byte {
		var b bytes.Buffer
		if err := f(&b); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	img := quarters(8, 6)
	for name, b := range map[string][]byte{
		"png":  pngFile(8, 6),
		"bmp":  encode(func(b *bytes.Buffer) error { return bmp.Encode(b, img) }),
		"jpeg": encode(func(b *bytes.Buffer) error { return jpeg.Encode(b, img, nil) }),
	} {
		file, err := toPNG(b)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, err := png.Decode(bytes.NewReader(file))
		if err != nil || got.Bounds() != image.Rect(0, 0, 8, 6) {
			t.Errorf("%s became %v, %v", name, got, err)
			continue
		}
		if name != "jpeg" && color.RGBAModel.Convert(got.At(0, 0)) != red {
			t.Errorf("%s: the first pixel is %v", name, got.At(0, 0))
		}
	}
	// A header that claims more than anybody wants in memory.
	huge := pngFile(8, 6)
	copy(huge[16:], []byte{0, 1, 0, 0, 0, 1, 0, 0})
	for name, b := range map[string][]byte{"nothing": nil, "no picture": []byte("hello"), "cut off": encode(func(b *bytes.Buffer) error { return bmp.Encode(b, img) })[:60], "huge": huge} {
		if _, err := toPNG(b); err == nil {
			t.Errorf("%s became a picture", name)
		}
	}
}
