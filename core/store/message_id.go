package store

import (
	"errors"
	"slices"

	"github.com/parley-chat/parley/protocol/packet"
)

// MaxSameID bounds the packets with one id among which a particular one is looked for:
// ids are their authors', who can give one any number of times.
const MaxSameID = 64

// MessageID gives the id of the message of a RELIABLE packet: the packet's own,
// unless that is the id of another packet's message. Then whoever came later, which may
// be he whose id was copied, gets one that follows from the packet, the same on all
// devices.
func MessageID(tx ReadTx, h *packet.Header) (packet.PacketID, error) {
	first, err := tx.Message(h.ID)
	if errors.Is(err, ErrNotFound) || err == nil && first.Entry == h.Key() {
		return h.ID, nil
	}
	if err != nil {
		return packet.PacketID{}, err
	}
	if first.Author == h.Author && first.Entry.Number > 0 {
		// The same packet may be in several logs of its author's.
		e, err := tx.Entry(first.Entry)
		if err == nil && e.Packet.Header.ContentHash == h.ContentHash {
			return h.ID, nil
		}
		if err != nil && !errors.Is(err, ErrNotFound) {
			return packet.PacketID{}, err
		}
	}
	return alias(h), nil
}

// MessageOf finds the message of an author's packet, whatever id it got. ErrNotFound.
func MessageOf(tx ReadTx, author packet.UserID, id packet.PacketID) (Message, error) {
	m, err := tx.Message(id)
	if err != nil || m.Author == author {
		return m, err
	}
	entries, err := tx.EntriesByID(id, MaxSameID)
	if err != nil {
		return Message{}, err
	}
	for i := range entries {
		if h := &entries[i].Packet.Header; h.Author == author {
			if other, err := tx.Message(alias(h)); !errors.Is(err, ErrNotFound) {
				return other, err
			}
		}
	}
	return m, nil
}

// MessagesOf finds the messages of all packets with an id, that with the same id first.
func MessagesOf(tx ReadTx, id packet.PacketID) ([]Message, error) {
	first, err := tx.Message(id)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	list := []Message{first}
	entries, err := tx.EntriesByID(id, MaxSameID)
	if err != nil || len(entries) < 2 {
		return list, err
	}
	for i := range entries {
		m, err := tx.Message(alias(&entries[i].Packet.Header))
		if errors.Is(err, ErrNotFound) || slices.ContainsFunc(list, func(x Message) bool { return x.ID == m.ID }) {
			continue
		}
		if err != nil {
			return nil, err
		}
		list = append(list, m)
	}
	return list, nil
}

// alias is the second id of a packet: a UUID of version 8.
func alias(h *packet.Header) packet.PacketID {
	hash := packet.HashOf(slices.Concat([]byte("parley message id v1\x00"), h.ID[:], h.Device[:], h.ContentHash[:]))
	id := packet.PacketID(hash[:16])
	id[6], id[8] = id[6]&0x0f|0x80, id[8]&0x3f|0x80
	return id
}
