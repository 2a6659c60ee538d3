package picture

import (
	"bytes"
	"encoding/binary"
)

const (
	exifPrefix     = "Exif\x00\x00"
	tagOrientation = 0x0112
	typeShort      = 3
)

// orientation gives the orientation that EXIF data has, 1 to 8, or 0.
func orientation(b []byte) int {
	b = bytes.TrimPrefix(b, []byte(exifPrefix))
	if len(b) < 8 {
		return 0
	}
	var order binary.ByteOrder = binary.BigEndian
	switch string(b[:4]) {
	case "II*\x00":
		order = binary.LittleEndian
	case "MM\x00*":
	default:
		return 0
	}
	at := uint64(order.Uint32(b[4:]))
	if at+2 > uint64(len(b)) {
		return 0
	}
	entries := int(order.Uint16(b[at:]))
	for e := b[at+2:]; entries > 0 && len(e) >= 12; entries-- {
		if order.Uint16(e) == tagOrientation && order.Uint16(e[2:]) == typeShort {
			if o := int(order.Uint16(e[8:])); o >= 1 && o <= 8 {
				return o
			}
			return 0
		}
		e = e[12:]
	}
	return 0
}

// minimal is EXIF data with nothing but an orientation.
func minimal(orientation int) []byte {
	b := []byte("MM\x00*\x00\x00\x00\x08\x00\x01")
	b = binary.BigEndian.AppendUint16(b, tagOrientation)
	b = binary.BigEndian.AppendUint16(b, typeShort)
	b = binary.BigEndian.AppendUint32(b, 1)
	b = append(b, 0, byte(orientation), 0, 0)
	return append(b, 0, 0, 0, 0) // no further directory
}
