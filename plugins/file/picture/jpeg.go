package picture

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
)

// Markers of JPEG.
const (
	markTEM  = 0x01
	markSOF0 = 0xc0
	markDHT  = 0xc4
	markJPG  = 0xc8
	markDAC  = 0xcc
	markSOF  = 0xcf // the last
	markRST0 = 0xd0
	markRST7 = 0xd7
	markSOI  = 0xd8
	markEOI  = 0xd9
	markSOS  = 0xda
	markAPP0 = 0xe0
	markAPP1 = 0xe1
	markAPP2 = 0xe2
	markAPPe = 0xee // Adobe: how colours are meant
	markAPPf = 0xef
	markCOM  = 0xfe
)

// jpeg copies segments, and leaves out APP1 (EXIF, XMP), APP13 (IPTC), comments,
// further pictures behind the end, and whatever else is not needed to show it.
func (w *walker) jpeg() error {
	if _, err := w.take(2); err != nil { // SOI
		return err
	}
	for {
		mark, err := w.mark()
		if err != nil {
			return err
		}
		switch {
		case mark == markEOI:
			if err := w.write(0xff, mark); err != nil {
				return err
			}
			return w.end()
		case mark == markTEM || mark >= markRST0 && mark <= markSOI:
			err = w.write(0xff, mark)
		default:
			err = w.segment(mark)
		}
		if err != nil {
			return err
		}
	}
}

// mark gives the next marker. Stray bytes before it are left out, as decoders do.
func (w *walker) mark() (byte, error) {
	if mark := w.pending; mark != 0 {
		w.pending = 0
		return mark, nil
	}
	for {
		b, err := w.in.ReadByte()
		if err != nil {
			return 0, err
		}
		for b == 0xff {
			if b, err = w.in.ReadByte(); err != nil {
				return 0, err
			}
			if b != 0xff && b != 0 {
				return b, nil
			}
		}
		w.shape.Private = true
	}
}

func (w *walker) segment(mark byte) error {
	b, err := w.read(2)
	if err != nil {
		return err
	}
	n := int(binary.BigEndian.Uint16(b))
	if n < 2 {
		return damaged("a segment is shorter than its length")
	}
	body, err := w.read(n - 2)
	if err != nil {
		return err
	}
	switch {
	case mark == markAPP1 && bytes.HasPrefix(body, []byte(exifPrefix)):
		return w.jpegExif(body)
	case mark == markAPP2 && !bytes.HasPrefix(body, []byte("ICC_PROFILE\x00")),
		mark == markAPP1, mark > markAPP2 && mark <= markAPPf && mark != markAPPe, mark == markCOM:
		w.shape.Private = true
		return nil
	case mark >= markSOF0 && mark <= markSOF && mark != markDHT && mark != markJPG && mark != markDAC:
		if len(body) < 6 {
			return damaged("its frame is too short")
		}
		cost := 3 // bytes a pixel: three components
		if mark != markSOF0 && mark != markSOF0+1 {
			cost = 15 // the coefficients too, of 4 bytes each
		}
		w.size(int(binary.BigEndian.Uint16(body[3:])), int(binary.BigEndian.Uint16(body[1:])), cost)
	}
	if err := w.jpegSegment(mark, body); err != nil {
		return err
	}
	if mark == markSOS {
		return w.scan()
	}
	return nil
}

func (w *walker) jpegSegment(mark byte, body []byte) error {
	head := binary.BigEndian.AppendUint16([]byte{0xff, mark}, uint16(len(body)+2)) //nolint:gosec // read as such
	if err := w.write(head...); err != nil {
		return err
	}
	return w.write(body...)
}

// jpegExif replaces EXIF data by what remains of it.
func (w *walker) jpegExif(body []byte) error {
	small := append([]byte(exifPrefix), minimal(orientation(body))...)
	if !bytes.Equal(body, small) {
		w.shape.Private = true
	}
	if o := orientation(body); o > 1 && w.shape.Orientation == 1 {
		w.shape.Orientation = o
		return w.jpegSegment(markAPP1, small)
	}
	return nil
}

// scan copies compressed data up to the next marker that is not part of it.
func (w *walker) scan() error {
	for {
		b, err := w.in.ReadSlice(0xff)
		if errors.Is(err, bufio.ErrBufferFull) {
			err = nil
		}
		last := len(b) > 0 && b[len(b)-1] == 0xff
		if last {
			b = b[:len(b)-1]
		}
		if err := w.write(b...); err != nil {
			return err
		}
		if err != nil {
			return err
		}
		if !last {
			continue
		}
		next, err := w.in.ReadByte()
		if err != nil {
			return err
		}
		switch {
		case next == 0xff: // fill; the marker may begin with the second
			if err := w.in.UnreadByte(); err != nil {
				return err
			}
		case next == 0 || next >= markRST0 && next <= markRST7:
			if err := w.write(0xff, next); err != nil {
				return err
			}
		default:
			w.pending = next
			return nil
		}
	}
}
