package picture

import (
	"encoding/binary"
	"slices"
)

// Extensions that say how often an animation is shown.
var gifKept = []string{"NETSCAPE2.0", "ANIMEXTS1.0"}

// gif copies blocks, and leaves out comments and applications' data, XMP among
// them.
func (w *walker) gif() error {
	b, err := w.take(13)
	if err != nil {
		return err
	}
	w.size(int(binary.LittleEndian.Uint16(b[6:])), int(binary.LittleEndian.Uint16(b[8:])), 5)
	if err := w.gifColours(b[10]); err != nil {
		return err
	}
	for frames := 0; ; {
		kind, err := w.in.ReadByte()
		if err != nil {
			return err
		}
		switch kind {
		case 0x2c: // an image
			frames++
			w.shape.Animated = frames > 1
			err = w.gifImage()
		case 0x21:
			err = w.gifExtension()
		case 0x3b:
			if err := w.write(kind); err != nil {
				return err
			}
			return w.end()
		case 0: // stray, as decoders take it
			w.shape.Private = true
		default:
			err = damaged("there is a block of an unknown kind")
		}
		if err != nil {
			return err
		}
	}
}

// gifColours copies the table of colours that flags announce.
func (w *walker) gifColours(flags byte) error {
	if flags&0x80 == 0 {
		return nil
	}
	return w.copy(3 << (flags&7 + 1))
}

func (w *walker) gifImage() error {
	if err := w.write(0x2c); err != nil {
		return err
	}
	b, err := w.take(9)
	if err != nil {
		return err
	}
	if err := w.gifColours(b[8]); err != nil {
		return err
	}
	if err := w.copy(1); err != nil { // size of codes
		return err
	}
	return w.gifBlocks(w.copy)
}

// gifBlocks copies or drops blocks up to an empty one.
func (w *walker) gifBlocks(pass func(int64) error) error {
	for {
		b, err := w.in.Peek(1)
		if err != nil {
			return err
		}
		n := int64(b[0])
		if err := pass(1 + n); err != nil || n == 0 {
			return err
		}
	}
}

func (w *walker) gifExtension() error {
	label, err := w.in.ReadByte()
	if err != nil {
		return err
	}
	keep := label != 0xfe
	if label == 0xff {
		b, err := w.in.Peek(12)
		if err != nil {
			return err
		}
		keep = b[0] == 11 && slices.Contains(gifKept, string(b[1:]))
	}
	if !keep {
		return w.gifBlocks(w.drop)
	}
	if err := w.write(0x21, label); err != nil {
		return err
	}
	return w.gifBlocks(w.copy)
}
