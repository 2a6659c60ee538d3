package picture

import (
	"encoding/binary"
	"hash/crc32"
	"slices"
)

const pngSignature = "\x89PNG\r\n\x1a\n"

// Chunks that say how pixels are to be shown; critical ones are kept anyway.
var pngKept = []string{
	"tRNS", "cHRM", "gAMA", "iCCP", "sBIT", "sRGB", "cICP", "mDCV", "cLLI", "bKGD", "hIST", "pHYs", "sPLT", "acTL", "fcTL", "fdAT",
}

// png copies chunks, and leaves out texts, times, EXIF and what it does not know.
func (w *walker) png() error {
	if _, err := w.take(len(pngSignature)); err != nil {
		return err
	}
	for {
		head, err := w.read(8)
		if err != nil {
			return err
		}
		n, name := int64(binary.BigEndian.Uint32(head)), string(head[4:])
		if n > 1<<31-1 {
			return damaged("a chunk is longer than chunks can be")
		}
		switch {
		case name == "eXIf":
			err = w.pngExif(n)
		case name[0]&0x20 == 0 || slices.Contains(pngKept, name):
			err = w.pngChunk(head, n)
		default:
			err = w.drop(n + 4)
		}
		if err != nil {
			return err
		}
		if name == "IEND" {
			return w.end()
		}
	}
}

func (w *walker) pngChunk(head []byte, n int64) error {
	if err := w.write(head...); err != nil {
		return err
	}
	switch string(head[4:]) {
	case "IHDR":
		if n != 13 {
			return damaged("its header has the wrong length")
		}
		b, err := w.take(int(n))
		if err != nil {
			return err
		}
		width, height := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
		if width == 0 || height == 0 || width > 1<<31-1 || height > 1<<31-1 {
			return damaged("its size is impossible")
		}
		cost := 4
		if b[8] == 16 {
			cost = 8
		}
		w.size(int(width), int(height), cost)
		n = 0
	case "acTL":
		w.shape.Animated = true
	}
	return w.copy(n + 4)
}

// pngExif replaces EXIF data by what remains of it.
func (w *walker) pngExif(n int64) error {
	upright := w.shape.Orientation == 1
	if err := w.metadata(n); err != nil {
		return err
	}
	if _, err := w.read(4); err != nil { // checksum
		return err
	}
	if !upright || w.shape.Orientation == 1 {
		return nil
	}
	body := append([]byte("eXIf"), minimal(w.shape.Orientation)...)
	chunk := binary.BigEndian.AppendUint32(nil, uint32(len(body)-4)) //nolint:gosec // 26
	chunk = append(chunk, body...)
	return w.write(binary.BigEndian.AppendUint32(chunk, crc32.ChecksumIEEE(body))...)
}
