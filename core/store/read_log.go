package store

import (
	"encoding/binary"
	"fmt"

	"github.com/ncruces/go-sqlite3"

	"github.com/parley-chat/parley/core/store/internal/vector"
	"github.com/parley-chat/parley/protocol/packet"
)

const entryColumns = "SELECT e.state, e.attempts, e.dropped, e.reason, e.text, e.raw, e.signature, e.content, e.size, e.twin FROM entries e "

func scanEntry(s *sqlite3.Stmt) (Entry, error) {
	e := Entry{
		State: EntryState(s.ColumnInt(0)), Attempts: s.ColumnInt(1), Dropped: s.ColumnBool(2),
		Reason: packet.Reason(s.ColumnInt(3)), Text: s.ColumnText(4),
	}
	var err error
	if e.Packet, err = packet.Open(blob(s, 5), blob(s, 6), blob(s, 7)); err != nil {
		return Entry{}, fmt.Errorf("stored entry: %w: %w", ErrCorrupt, err)
	}
	e.Packet.Header.Twin = uint32(s.ColumnInt(9)) //nolint:gosec // as it was put
	return e, nil
}

// entry gives the one entry of a query.
func (t *readTx) entry(where string, args ...any) (e Entry, found bool, err error) {
	err = t.c.each(func(s *sqlite3.Stmt) (bool, error) {
		found = true
		var err error
		e, err = scanEntry(s)
		return false, err
	}, entryColumns+where, args...)
	return e, found, err
}

func (t *readTx) Entry(key packet.EntryKey) (Entry, error) {
	log, err := t.logRow(key.Log)
	if err != nil {
		return Entry{}, err
	}
	e, found, err := t.entry("WHERE e.log = ? AND e.number = ? AND e.twin = ?", log, key.Number, int(key.Twin))
	if err == nil && !found {
		err = notFound("entry", key)
	}
	return e, err
}

func (t *readTx) EntryByID(id packet.PacketID) (Entry, error) {
	e, found, err := t.entry("WHERE e.packet = ? ORDER BY e.id LIMIT 1", id)
	if err == nil && !found {
		err = notFound("entry of packet", id)
	}
	return e, err
}

func (t *readTx) EntriesByID(id packet.PacketID, limit int) ([]Entry, error) {
	var out []Entry
	err := t.c.each(func(s *sqlite3.Stmt) (bool, error) {
		e, err := scanEntry(s)
		out = append(out, e)
		return true, err
	}, entryColumns+"WHERE e.packet = ? ORDER BY e.id LIMIT ?", id, max(limit, 0))
	return out, err
}

func (t *readTx) Entries(log packet.Log, first, last uint64, limit, maxBytes int, stubs bool) ([]Entry, error) {
	return t.entries(log, first, limit, maxBytes, `WHERE e.log = ? AND e.number BETWEEN ? AND ? AND e.twin = 0
		AND (e.state <> 3 OR ?) ORDER BY e.number LIMIT ?`, first, min(last, maxNumber), stubs, limit)
}

func (t *readTx) Twins(after packet.EntryKey, last uint64, limit, maxBytes int) ([]Entry, error) {
	return t.entries(after.Log, after.Number, limit, maxBytes, `INDEXED BY entries_twin WHERE e.log = ? AND e.twin > 0
		AND (e.number, e.twin) > (?, ?) AND e.number <= ? ORDER BY e.number, e.twin LIMIT ?`,
		after.Number, int(after.Twin), min(last, maxNumber), limit)
}

// entries gives the entries of a log, as many as fit; args are those of where behind
// the log, none of them when first cannot be a number.
func (t *readTx) entries(log packet.Log, first uint64, limit, maxBytes int, where string, args ...any) ([]Entry, error) {
	row, err := t.logRow(log)
	if err != nil || row == 0 || limit <= 0 || first > maxNumber {
		return nil, err
	}
	var out []Entry
	size := 0
	err = t.c.each(func(s *sqlite3.Stmt) (bool, error) {
		if size += s.ColumnInt(8); size > maxBytes && len(out) > 0 {
			return false, nil
		}
		e, err := scanEntry(s)
		out = append(out, e)
		return true, err
	}, entryColumns+where, append([]any{row}, args...)...)
	return out, err
}

func (t *readTx) Digests(log packet.Log, first, last uint64) ([]EntryDigest, error) {
	row, err := t.logRow(log)
	if err != nil || row == 0 || first > maxNumber {
		return nil, err
	}
	var out []EntryDigest
	err = t.c.each(func(s *sqlite3.Stmt) (bool, error) {
		out = append(out, EntryDigest{uint64(s.ColumnInt64(0)), packet.DigestOf(s.ColumnRawBlob(1))})
		return true, nil
	}, "SELECT number, raw FROM entries WHERE log = ? AND number BETWEEN ? AND ? ORDER BY number", row, first, min(last, maxNumber))
	SortDigests(out)
	return out, err
}

// maxNumber is the highest number that a column can hold.
const maxNumber = 1<<63 - 1

func (t *readTx) Heads(chat packet.ChatID) ([]Head, error) {
	return t.heads("ORDER BY l.device, l.epoch", chat)
}

func (t *readTx) Head(log packet.Log) (Head, error) {
	found, err := t.heads("AND l.device = ? AND l.epoch = ?", log.Chat, log.Device, log.Epoch)
	if err != nil || len(found) == 0 {
		return Head{}, err
	}
	return found[0], nil
}

func (t *readTx) heads(where string, args ...any) ([]Head, error) {
	var out []Head
	err := t.c.each(func(s *sqlite3.Stmt) (bool, error) {
		h := Head{Author: packet.UserID(s.ColumnText(2)), Waiting: decodeRanges(s.ColumnRawBlob(5))}
		fill(h.Device[:], s, 0)
		h.Epoch, h.Upto, h.Beyond = uint64(s.ColumnInt64(1)), uint64(s.ColumnInt64(3)), decodeRanges(s.ColumnRawBlob(4))
		out = append(out, h)
		return true, nil
	}, `SELECT l.device, l.epoch, l.author, l.upto, l.beyond, l.waiting FROM logs l JOIN chats c ON c.id = l.chat
		WHERE c.chat = ? AND c.there AND (l.upto > 0 OR length(l.beyond) > 0) `+where, args...)
	return out, err
}

func decodeRanges(b []byte) []packet.Range {
	var out []packet.Range
	for ; len(b) >= 16; b = b[16:] {
		out = append(out, packet.Range{First: binary.BigEndian.Uint64(b), Last: binary.BigEndian.Uint64(b[8:])})
	}
	return out
}

func encodeRanges(ranges []packet.Range) []byte {
	b := make([]byte, 0, 16*len(ranges))
	for _, r := range ranges {
		b = binary.BigEndian.AppendUint64(b, r.First)
		b = binary.BigEndian.AppendUint64(b, r.Last)
	}
	return b
}

func (t *readTx) Depth(chat packet.ChatID) (uint64, error) {
	depth, _, err := t.c.number("SELECT depth FROM chats WHERE chat = ? AND there", chat)
	return uint64(depth), err
}

func (t *readTx) NextNumber(log packet.Log) (uint64, error) {
	var v packet.LogVector
	_, err := t.c.first(func(s *sqlite3.Stmt) {
		v.Upto, v.Beyond = uint64(s.ColumnInt64(0)), decodeRanges(s.ColumnRawBlob(1))
	}, `SELECT l.upto, l.beyond FROM logs l JOIN chats c ON c.id = l.chat
		WHERE c.chat = ? AND l.device = ? AND l.epoch = ?`, log.Chat, log.Device, log.Epoch)
	return vector.Highest(&v) + 1, err
}

func (t *readTx) Waiting(log packet.Log, first, last uint64, limit, maxBytes int) ([]Entry, error) {
	return t.entries(log, first, limit, maxBytes, `INDEXED BY entries_open WHERE e.log = ? AND e.number BETWEEN ? AND ? AND e.twin = 0
		AND e.state IN (1, 5) AND e.state = 5 ORDER BY e.number LIMIT ?`, first, min(last, maxNumber), limit)
}

func (t *readTx) Stubs(log packet.Log, limit int) ([]packet.Refusal, error) {
	row, err := t.logRow(log)
	if err != nil || row == 0 || limit <= 0 {
		return nil, err
	}
	var out []packet.Refusal
	err = t.c.each(func(s *sqlite3.Stmt) (bool, error) {
		key := packet.EntryKey{Log: log, Number: uint64(s.ColumnInt64(0))}
		out = append(out, packet.Refusal{Key: key, Reason: packet.Reason(s.ColumnInt(1)), Text: s.ColumnText(2)})
		return true, nil
	}, `SELECT number, reason, text FROM entries INDEXED BY entries_stub
		WHERE log = ? AND state = 3 AND twin = 0 ORDER BY number DESC LIMIT ?`, row, limit)
	return out, err
}

func (t *readTx) PeerHeads(log packet.Log) ([]PeerHead, error) {
	row, err := t.logRow(log)
	if err != nil || row == 0 {
		return nil, err
	}
	var out []PeerHead
	err = t.c.each(func(s *sqlite3.Stmt) (bool, error) {
		h := PeerHead{User: packet.UserID(s.ColumnText(0)), Upto: uint64(s.ColumnInt64(2))}
		fill(h.Device[:], s, 1)
		out = append(out, h)
		return true, nil
	}, "SELECT user, device, upto FROM peer_heads WHERE log = ? ORDER BY user, device", row)
	return out, err
}

func (t *readTx) Refused(key packet.EntryKey) ([]Refused, error) {
	row, err := t.logRow(key.Log)
	if err != nil || row == 0 {
		return nil, err
	}
	var out []Refused
	err = t.c.each(func(s *sqlite3.Stmt) (bool, error) {
		out = append(out, Refused{User: packet.UserID(s.ColumnText(0)), Reason: packet.Reason(s.ColumnInt(1)), Text: s.ColumnText(2)})
		return true, nil
	}, "SELECT user, reason, text FROM refused WHERE log = ? AND number = ? ORDER BY user", row, key.Number)
	return out, err
}
