// Package picture looks at GIF, PNG, JPEG and WebP files, copies them without
// what says where and by whom they were made, and makes thumbnails. It reads
// files of any size and content in little memory: what is too large to be
// decoded is not decoded.
//
// A copy holds the pixels bit for bit: nothing is encoded anew. Of the metadata
// only the orientation is kept, and colour profiles.
package picture

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// Media types that this package knows.
const (
	GIF  = "image/gif"
	PNG  = "image/png"
	JPEG = "image/jpeg"
	WebP = "image/webp"
)

var (
	// ErrUnknown: not one of the four formats.
	ErrUnknown = errors.New("not a GIF, PNG, JPEG or WebP picture")
	// ErrDamaged: its structure is broken, so what it holds cannot be told apart.
	ErrDamaged = errors.New("the picture is damaged")
	// ErrTooLarge: decoding it would take too much memory.
	ErrTooLarge = errors.New("the picture is too large to be decoded")
)

// maxMeta is how much of one piece of metadata is read; that of a JPEG is never
// longer.
const maxMeta = 64 << 10

// Shape is what a picture's structure says.
type Shape struct {
	Media string
	// Width and Height in pixels as it is to be shown.
	Width, Height int
	Animated      bool
	// Orientation as in EXIF, 1 to 8; 1 is upright.
	Orientation int
	// Private says that it holds metadata that Copy leaves out.
	Private bool
	// Complete says that its end is there.
	Complete bool

	largest int // pixels that a decoder would make room for
	cost    int // bytes a decoder takes for a pixel
}

// Media gives the media type of what begins with head, of at least 12 bytes; ""
// when it is no picture.
func Media(head []byte) string {
	switch {
	case bytes.HasPrefix(head, []byte("GIF87a")), bytes.HasPrefix(head, []byte("GIF89a")):
		return GIF
	case bytes.HasPrefix(head, []byte(pngSignature)):
		return PNG
	case bytes.HasPrefix(head, []byte{0xff, 0xd8, 0xff}):
		return JPEG
	case len(head) >= 12 && string(head[:4]) == "RIFF" && string(head[8:12]) == "WEBP":
		return WebP
	}
	return ""
}

// File is what Copy writes to.
type File interface {
	io.Writer
	io.WriterAt
}

// Look reads a picture's structure. Errors: ErrUnknown, ErrDamaged, the reader's.
func Look(r io.Reader) (Shape, error) { return walk(r, nil) }

// Copy copies a picture without its metadata, and looks at it; dst must be empty.
// Errors as for Look, and dst's. A file that ends too early is copied as far as it
// goes.
func Copy(dst File, r io.Reader) (Shape, error) { return walk(r, dst) }

// patch is written over what was copied, when all is known.
type patch struct {
	at int64
	b  []byte
}

// walker goes through a file: it copies what stays and keeps what it learned.
type walker struct {
	in      *bufio.Reader
	out     *bufio.Writer
	written int64
	patches []patch
	shape   Shape
	width   int // as stored
	height  int
	pending byte // of JPEG: a marker that was read
}

func walk(r io.Reader, dst File) (Shape, error) {
	w := &walker{in: bufio.NewReaderSize(r, 64<<10), out: bufio.NewWriter(io.Discard), shape: Shape{Orientation: 1}}
	if dst != nil {
		w.out = bufio.NewWriterSize(dst, 64<<10)
	}
	head, err := w.in.Peek(12)
	if err != nil && !errors.Is(err, io.EOF) {
		return Shape{}, err
	}
	w.shape.Media = Media(head)
	switch w.shape.Media {
	case GIF:
		err = w.gif()
	case PNG:
		err = w.png()
	case JPEG:
		err = w.jpeg()
	case WebP:
		err = w.webp()
	default:
		return Shape{}, ErrUnknown
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil // it ends too early, and Complete says so
	}
	if err == nil {
		err = w.out.Flush()
	}
	if err != nil {
		return Shape{}, err
	}
	for _, p := range w.patches {
		if dst == nil {
			break
		}
		if _, err := dst.WriteAt(p.b, p.at); err != nil {
			return Shape{}, err
		}
	}
	w.shape.Width, w.shape.Height = w.width, w.height
	if w.shape.Orientation >= 5 {
		w.shape.Width, w.shape.Height = w.height, w.width
	}
	return w.shape, nil
}

// size notes a size that the file announces. Of several the largest is what a
// decoder may make room for.
func (w *walker) size(width, height, cost int) {
	if w.width == 0 {
		w.width, w.height = width, height
	}
	w.shape.largest = max(w.shape.largest, width*height)
	w.shape.cost = max(w.shape.cost, cost)
}

// read reads n bytes, of a number that the format bounds.
func (w *walker) read(n int) ([]byte, error) {
	b := make([]byte, n)
	_, err := io.ReadFull(w.in, b)
	return b, err
}

func (w *walker) write(b ...byte) error {
	w.written += int64(len(b))
	_, err := w.out.Write(b)
	return err
}

func (w *walker) copy(n int64) error {
	m, err := io.CopyN(w.out, w.in, n)
	w.written += m
	return err
}

// take copies n bytes and gives them.
func (w *walker) take(n int) ([]byte, error) {
	b, err := w.read(n)
	if err != nil {
		return nil, err
	}
	return b, w.write(b...)
}

// drop leaves n bytes out.
func (w *walker) drop(n int64) error {
	w.shape.Private = true
	_, err := io.CopyN(io.Discard, w.in, n)
	return err
}

// metadata leaves n bytes out that may have the orientation in them.
func (w *walker) metadata(n int64) error {
	b, err := w.read(int(min(n, maxMeta)))
	if err != nil {
		return err
	}
	if o := orientation(b); o != 0 && w.shape.Orientation == 1 {
		w.shape.Orientation = o
	}
	// With nothing but the orientation in it, it is what a copy has too.
	if n != int64(len(b)) || !bytes.Equal(bytes.TrimPrefix(b, []byte(exifPrefix)), minimal(w.shape.Orientation)) {
		return w.drop(n - int64(len(b)))
	}
	return nil
}

// end notes that the end was reached; what comes behind it is left out.
func (w *walker) end() error {
	w.shape.Complete = true
	if _, err := w.in.Peek(1); err == nil {
		w.shape.Private = true
	}
	return nil
}

func damaged(what string) error { return fmt.Errorf("%w: %s", ErrDamaged, what) }
