package picture

import (
	"encoding/binary"
	"slices"
)

// Flags of an extended WebP file.
const (
	webpAnimated = 0x02
	webpXMP      = 0x04
	webpExif     = 0x08
)

var webpKept = []string{"VP8 ", "VP8L", "VP8X", "ALPH", "ANIM", "ANMF", "ICCP"}

// webp copies chunks, and leaves out EXIF, XMP and what it does not know.
func (w *walker) webp() error {
	head, err := w.take(12)
	if err != nil {
		return err
	}
	left := int64(binary.LittleEndian.Uint32(head[4:])) - 4
	flagsAt, flags := int64(0), byte(0)
	for left >= 8 {
		head, err := w.read(8)
		if err != nil {
			return w.webpEnd(flagsAt, flags, err)
		}
		name, n := string(head[:4]), int64(binary.LittleEndian.Uint32(head[4:]))
		n += n & 1 // padded
		left -= 8 + n
		switch {
		case name == "EXIF":
			err = w.webpExif(n, &flags)
		case name == "VP8X" && flagsAt == 0 && n == 10:
			flagsAt = w.written + 8
			flags, err = w.webpExtended(head)
		case slices.Contains(webpKept, name):
			err = w.webpChunk(head, n)
		default:
			err = w.drop(n)
		}
		if err != nil {
			return w.webpEnd(flagsAt, flags, err)
		}
	}
	return w.webpEnd(flagsAt, flags, w.end())
}

// webpEnd sets what stands in the beginning and depends on the rest.
func (w *walker) webpEnd(flagsAt int64, flags byte, err error) error {
	if w.written > 1<<32-8 {
		return damaged("it is larger than WebP files can be")
	}
	w.patches = append(w.patches, patch{4, binary.LittleEndian.AppendUint32(nil, uint32(w.written-8))}) //nolint:gosec // just checked
	if flagsAt > 0 {
		w.patches = append(w.patches, patch{flagsAt, []byte{flags}})
	}
	return err
}

// webpExtended copies the chunk that says what the file has; its flags are
// written at the end.
func (w *walker) webpExtended(head []byte) (flags byte, err error) {
	if err := w.write(head...); err != nil {
		return 0, err
	}
	b, err := w.take(10)
	if err != nil {
		return 0, err
	}
	w.shape.Animated = b[0]&webpAnimated != 0
	w.size(1+int(uint24(b[4:])), 1+int(uint24(b[7:])), 5)
	return b[0] &^ (webpExif | webpXMP), nil
}

func uint24(b []byte) uint32 { return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 }

func (w *walker) webpChunk(head []byte, n int64) error {
	if err := w.write(head...); err != nil {
		return err
	}
	// The size of the pixels is said here too, and may differ.
	switch name := string(head[:4]); {
	case name == "VP8 " && n >= 10:
		b, err := w.take(10)
		if err != nil {
			return err
		}
		n -= 10
		w.size(int(binary.LittleEndian.Uint16(b[6:])&0x3fff), int(binary.LittleEndian.Uint16(b[8:])&0x3fff), 5)
	case name == "VP8L" && n >= 5:
		b, err := w.take(5)
		if err != nil {
			return err
		}
		n -= 5
		bits := binary.LittleEndian.Uint32(b[1:])
		w.size(1+int(bits&0x3fff), 1+int(bits>>14&0x3fff), 8)
	}
	return w.copy(n)
}

// webpExif replaces EXIF data by what remains of it.
func (w *walker) webpExif(n int64, flags *byte) error {
	upright := w.shape.Orientation == 1
	if err := w.metadata(n); err != nil {
		return err
	}
	if !upright || w.shape.Orientation == 1 {
		return nil
	}
	*flags |= webpExif
	body := minimal(w.shape.Orientation)
	chunk := binary.LittleEndian.AppendUint32([]byte("EXIF"), uint32(len(body))) //nolint:gosec // 26
	return w.write(append(chunk, body...)...)
}
