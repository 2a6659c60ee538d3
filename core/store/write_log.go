package store

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/ncruces/go-sqlite3"

	"github.com/parley-chat/parley/core/store/internal/vector"
	"github.com/parley-chat/parley/protocol/packet"
)

// log gives the row id of a log that is to be written to.
func (t *tx) log(log packet.Log) (int64, error) {
	chat, err := t.chat(log.Chat)
	if err != nil {
		return 0, err
	}
	row, found, err := t.c.number("SELECT id FROM logs WHERE chat = ? AND device = ? AND epoch = ?", chat, log.Device, log.Epoch)
	if err != nil || found {
		return row, err
	}
	err = t.c.run("INSERT INTO logs (chat, device, epoch) VALUES (?, ?, ?)", chat, log.Device, log.Epoch)
	return t.c.LastInsertRowID(), err
}

func (t *tx) PutEntry(e Entry) (added bool, err error) {
	if err := CheckEntry(&e); err != nil {
		return false, err
	}
	h := &e.Packet.Header
	key := h.Key()
	log, err := t.log(key.Log)
	if err != nil {
		return false, err
	}
	same := false
	found, err := t.c.first(func(s *sqlite3.Stmt) {
		same = bytes.Equal(s.ColumnRawBlob(0), e.Packet.Raw)
	}, "SELECT raw FROM entries WHERE log = ? AND number = ? AND twin = 0", log, h.Number)
	switch {
	case err != nil:
		return false, err
	case found && !same:
		return false, fmt.Errorf("entry %s: %w", key, ErrConflict)
	case found:
		return false, nil
	}
	if added, err = t.moveHead(log, h, e.State); err != nil || !added {
		return false, err
	}
	if err := t.insertEntry(log, e, 0); err != nil || e.State != EntryWaiting {
		return true, err
	}
	return true, t.noteWaiting(log, h.Number)
}

func (t *tx) PutTwin(e Entry) (added bool, err error) {
	if err := CheckEntry(&e); err != nil {
		return false, err
	}
	h := &e.Packet.Header
	log, err := t.log(h.Key().Log)
	if err != nil {
		return false, err
	}
	same, last := false, int64(-1)
	err = t.c.each(func(s *sqlite3.Stmt) (bool, error) {
		same, last = same || bytes.Equal(s.ColumnRawBlob(0), e.Packet.Raw), s.ColumnInt64(1)
		return true, nil
	}, "SELECT raw, twin FROM entries WHERE log = ? AND number = ? ORDER BY twin", log, h.Number)
	switch {
	case err != nil || same:
		return false, err
	case last < 0:
		return false, notFound("entry", h.Key())
	}
	if isOpen(e.State) {
		err = t.c.run("UPDATE logs SET open = open + 1 WHERE id = ?1", log)
	}
	if err == nil {
		err = t.insertEntry(log, e, last+1)
	}
	if err != nil {
		return false, err
	}
	return true, t.noteWaiting(log, h.Number)
}

func (t *tx) insertEntry(log int64, e Entry, twin int64) error {
	h := &e.Packet.Header
	e = settle(e, e.State, e.Reason, e.Text)
	if e.Dropped {
		e.Packet.Content = nil
	}
	err := t.c.run(`INSERT INTO entries (log, number, twin, packet, type, state, attempts, dropped, reason, text, size, raw,
		signature, content) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		log, h.Number, twin, h.ID, h.Type, int(e.State), e.Attempts, e.Dropped, int(e.Reason), e.Text, len(e.Packet.Content),
		e.Packet.Raw, e.Packet.Signature, e.Packet.Content)
	if err != nil {
		return err
	}
	return t.c.run("UPDATE chats SET depth = ?2 WHERE chat = ?1 AND depth < ?2", h.Chat, h.Depth)
}

// moveHead counts an entry into its log's vector. It gives false when it was
// counted before: it belonged to a chat that was deleted since.
func (t *tx) moveHead(log int64, h *packet.Header, state EntryState) (bool, error) {
	var v packet.LogVector
	_, err := t.c.first(func(s *sqlite3.Stmt) {
		v.Upto, v.Beyond = uint64(s.ColumnInt64(0)), decodeRanges(s.ColumnRawBlob(1))
	}, "SELECT upto, beyond FROM logs WHERE id = ?", log)
	if err != nil || !vector.Add(&v, h.Number) {
		return false, err
	}
	return true, t.c.run(`UPDATE logs SET upto = ?2, beyond = ?3, open = open + ?4,
		author = CASE WHEN author = '' THEN ?5 ELSE author END WHERE id = ?1`,
		log, v.Upto, encodeRanges(v.Beyond), isOpen(state), h.Author)
}

func isOpen(s EntryState) bool { return s == EntryNew || s == EntryWaiting }

// noteWaiting notes whether all entries with a number wait: one that does not is
// enough for others to be given the number, and for what is behind it to be handled.
func (t *tx) noteWaiting(log int64, number uint64) error {
	waits, _, err := t.c.number("SELECT coalesce(min(state = 5), 0) FROM entries WHERE log = ? AND number = ?", log, number)
	if err != nil {
		return err
	}
	var before []packet.Range
	_, err = t.c.first(func(s *sqlite3.Stmt) { before = decodeRanges(s.ColumnRawBlob(0)) }, "SELECT waiting FROM logs WHERE id = ?", log)
	if err != nil {
		return err
	}
	change := vector.Take
	if waits != 0 {
		change = vector.Put
	}
	now := change(slices.Clone(before), number)
	if slices.Equal(now, before) {
		return nil
	}
	return t.c.run("UPDATE logs SET waiting = ?2 WHERE id = ?1", log, encodeRanges(now))
}

// settle gives e in a state.
func settle(e Entry, s EntryState, reason packet.Reason, text string) Entry {
	e.State, e.Reason, e.Text = s, 0, ""
	switch s {
	case EntryStub:
		e.Reason, e.Text = reason, text
		e.Packet.Content = nil
	case EntrySetAside:
		e.Reason, e.Text = reason, text
	}
	return e
}

// existing gives an entry's row id, its log's and its state.
func (t *tx) existing(key packet.EntryKey) (id, log int64, state EntryState, err error) {
	if log, err = t.logRow(key.Log); err != nil {
		return 0, 0, 0, err
	}
	found, err := t.c.first(func(s *sqlite3.Stmt) {
		id, state = s.ColumnInt64(0), EntryState(s.ColumnInt(1))
	}, "SELECT id, state FROM entries WHERE log = ? AND number = ? AND twin = ?", log, key.Number, int(key.Twin))
	if err == nil && !found {
		err = notFound("entry", key)
	}
	return id, log, state, err
}

func (t *tx) SetEntryState(key packet.EntryKey, state EntryState, reason packet.Reason, text string) error {
	if err := CheckEntryState(state); err != nil {
		return err
	}
	id, log, before, err := t.existing(key)
	if err != nil {
		return err
	}
	e := settle(Entry{}, state, reason, text)
	if state == EntryStub {
		err = t.c.run("UPDATE entries SET state = ?2, reason = ?3, text = ?4, content = NULL, size = 0 WHERE id = ?1",
			id, int(state), int(e.Reason), e.Text)
	} else {
		err = t.c.run("UPDATE entries SET state = ?2, reason = ?3, text = ?4 WHERE id = ?1", id, int(state), int(e.Reason), e.Text)
	}
	switch {
	case err != nil || before == state:
	case state == EntryWaiting || before == EntryWaiting:
		err = t.noteWaiting(log, key.Number)
	}
	if err != nil || isOpen(before) == isOpen(state) {
		return err
	}
	step := 1
	if isOpen(before) {
		step = -1
	}
	return t.c.run("UPDATE logs SET open = open + ?2 WHERE id = ?1", log, step)
}

func (t *tx) AddAttempt(key packet.EntryKey) (int, error) {
	id, _, _, err := t.existing(key)
	if err != nil {
		return 0, err
	}
	if err := t.c.run("UPDATE entries SET attempts = attempts + 1 WHERE id = ?", id); err != nil {
		return 0, err
	}
	n, _, err := t.c.number("SELECT attempts FROM entries WHERE id = ?", id)
	return int(n), err
}

func (t *tx) DropContent(key packet.EntryKey) error {
	id, _, _, err := t.existing(key)
	if err != nil {
		return err
	}
	return t.c.run("UPDATE entries SET content = NULL, size = 0, dropped = 1 WHERE id = ?", id)
}

func (t *tx) PutPeerHead(log packet.Log, h PeerHead, reset bool) (before uint64, changed bool, err error) {
	row, err := t.log(log)
	if err != nil {
		return 0, false, err
	}
	n, found, err := t.c.number("SELECT upto FROM peer_heads WHERE log = ? AND user = ? AND device = ?", row, h.User, h.Device)
	before = uint64(n)
	if err != nil || found && (h.Upto == before || h.Upto < before && !reset) {
		return before, false, err
	}
	err = t.c.run("INSERT OR REPLACE INTO peer_heads (log, user, device, upto) VALUES (?, ?, ?, ?)", row, h.User, h.Device, h.Upto)
	return before, err == nil && h.Upto != before, err
}

func (t *tx) PutRefused(key packet.EntryKey, r Refused) error {
	row, err := t.log(key.Log)
	if err != nil {
		return err
	}
	return t.c.run("INSERT OR REPLACE INTO refused (log, number, user, reason, text) VALUES (?, ?, ?, ?, ?)",
		row, key.Number, r.User, int(r.Reason), r.Text)
}
