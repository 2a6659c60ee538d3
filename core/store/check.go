package store

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"github.com/parley-chat/parley/protocol/packet"
)

// Bounds of what one call gives; a Page or Query that asks for more gets this.
const (
	MaxPage    = 500
	MaxResults = 200
)

// CheckEntry says what is wrong with an entry that is to be put. Every
// implementation asks it, so that what one takes all take.
func CheckEntry(e *Entry) error {
	if err := CheckEntryState(e.State); err != nil {
		return fmt.Errorf("entry %s: %w", e.Packet.Header.Key(), err)
	}
	read, err := packet.Open(e.Packet.Raw, e.Packet.Signature, nil)
	if err != nil {
		return fmt.Errorf("entry %s: %w", e.Packet.Header.Key(), err)
	}
	read.Header.Twin = e.Packet.Header.Twin
	if read.Header != e.Packet.Header {
		return fmt.Errorf("entry %s with the header of another: %w", e.Packet.Header.Key(), packet.ErrMalformed)
	}
	if read.Header.Number == 0 {
		return fmt.Errorf("packet %s is of no log: %w", e.Packet.Header.ID, packet.ErrMalformed)
	}
	return nil
}

// CheckEntryState says whether s is one of the states.
func CheckEntryState(s EntryState) error {
	if s < EntryNew || s > EntryWaiting {
		return fmt.Errorf("entry state %d: %w", s, packet.ErrMalformed)
	}
	return nil
}

// CheckMessage says what is wrong with a message that is to be added.
func CheckMessage(m *Message) error {
	switch {
	case m.ID.IsZero():
		return fmt.Errorf("message without id: %w", packet.ErrMalformed)
	case m.Entry.Number != 0 && m.Entry.Chat != m.Chat:
		return fmt.Errorf("message %s of an entry of another chat: %w", m.ID, packet.ErrMalformed)
	case bytes.Equal(m.Order[:], make([]byte, len(m.Order))):
		return fmt.Errorf("message %s without a place: %w", m.ID, packet.ErrMalformed)
	}
	return nil
}

// SortDigests puts digests in the order of (number, digest).
func SortDigests(digests []EntryDigest) {
	slices.SortFunc(digests, func(a, b EntryDigest) int {
		return cmp.Or(cmp.Compare(a.Number, b.Number), bytes.Compare(a.Digest[:], b.Digest[:]))
	})
}
