package store

import (
	"bytes"
	"slices"

	"github.com/ncruces/go-sqlite3"

	"github.com/parley-chat/parley/protocol/packet"
)

// Bits of messages.flags.
const (
	flagOwn = 1 << iota
	flagNotifies
	flagEdited
	flagDeleted
)

const messageColumns = `SELECT m.message, c.chat, m.author, m.plugin, m.kind, m.body, m.search, m.reply_to, m.data, m.card,
	m.sent_at, m.place, m.flags, m.number, l.device, l.epoch, m.twin
	FROM messages m JOIN chats c ON c.id = m.chat LEFT JOIN logs l ON l.id = m.log `

func scanMessage(s *sqlite3.Stmt) Message {
	flags := s.ColumnInt(12)
	m := Message{
		Chat: packet.ChatID(s.ColumnText(1)), Author: packet.UserID(s.ColumnText(2)),
		Plugin: s.ColumnText(3), Kind: s.ColumnText(4), Body: s.ColumnText(5), Search: s.ColumnText(6),
		Data: blob(s, 8), Card: blob(s, 9), SentAt: s.ColumnInt64(10),
		Own: flags&flagOwn != 0, Notifies: flags&flagNotifies != 0, Edited: flags&flagEdited != 0, Deleted: flags&flagDeleted != 0,
	}
	fill(m.ID[:], s, 0)
	fill(m.ReplyTo[:], s, 7)
	fill(m.Order[:], s, 11)
	if number := s.ColumnInt64(13); number != 0 {
		m.Entry = packet.EntryKey{Log: packet.Log{Chat: m.Chat, Epoch: uint64(s.ColumnInt64(15))}, Number: uint64(number)}
		fill(m.Entry.Device[:], s, 14)
		m.Entry.Twin = uint32(s.ColumnInt(16)) //nolint:gosec // as it was added
	}
	return m
}

func (t *readTx) messages(where string, args ...any) ([]Message, error) {
	var out []Message
	err := t.c.each(func(s *sqlite3.Stmt) (bool, error) {
		out = append(out, scanMessage(s))
		return true, nil
	}, messageColumns+where, args...)
	return out, err
}

// message gives the one message of a query.
func (t *readTx) message(where string, args ...any) (Message, bool, error) {
	found, err := t.messages("WHERE "+where, args...)
	if err != nil || len(found) == 0 {
		return Message{}, false, err
	}
	return found[0], true, nil
}

func (t *readTx) Message(id packet.PacketID) (Message, error) {
	m, found, err := t.message("m.message = ?", id)
	if err == nil && !found {
		err = notFound("message", id)
	}
	return m, err
}

func (t *readTx) Messages(chat packet.ChatID, page Page) ([]Message, bool, error) {
	row, err := t.chatRow(chat)
	if err != nil || row == 0 {
		return nil, false, err
	}
	limit := min(max(page.Limit, 1), MaxPage)
	var out []Message
	switch {
	case page.After != nil && page.Inclusive:
		out, err = t.messages("WHERE m.chat = ? AND m.place >= ? ORDER BY m.place, m.message LIMIT ?", row, *page.After, limit+1)
	case page.After != nil:
		out, err = t.messages("WHERE m.chat = ? AND m.place > ? ORDER BY m.place, m.message LIMIT ?", row, *page.After, limit+1)
	case page.Before == nil:
		out, err = t.messages("WHERE m.chat = ? ORDER BY m.place DESC, m.message DESC LIMIT ?", row, limit+1)
	case page.Inclusive:
		out, err = t.messages("WHERE m.chat = ? AND m.place <= ? ORDER BY m.place DESC, m.message DESC LIMIT ?", row, *page.Before, limit+1)
	default:
		out, err = t.messages("WHERE m.chat = ? AND m.place < ? ORDER BY m.place DESC, m.message DESC LIMIT ?", row, *page.Before, limit+1)
	}
	if err != nil {
		return nil, false, err
	}
	more := len(out) > limit
	out = out[:min(len(out), limit)]
	if page.After == nil {
		slices.Reverse(out)
	}
	return out, more, nil
}

func (t *readTx) FirstUnread(chat packet.ChatID) (id packet.PacketID, err error) {
	found, err := t.c.first(func(s *sqlite3.Stmt) { fill(id[:], s, 0) },
		`SELECT m.message FROM chats c JOIN messages m ON m.chat = c.id WHERE c.chat = ? AND c.there AND m.place > c.read
		AND m.flags & ? = ? ORDER BY m.place, m.message LIMIT 1`, chat, flagOwn|flagNotifies|flagDeleted, flagNotifies)
	if err == nil && !found {
		err = notFound("unread message of chat", chat)
	}
	return id, err
}

func (t *readTx) OwnMessages(log packet.Log, above, upto uint64, limit int) ([]Message, error) {
	row, err := t.logRow(log)
	if err != nil || row == 0 || limit <= 0 || above >= maxNumber {
		return nil, err
	}
	return t.messages("WHERE m.log = ? AND m.number > ? AND m.number <= ? ORDER BY m.number, m.message LIMIT ?",
		row, above, min(upto, maxNumber), limit)
}

func (t *readTx) Annotations(ids []packet.PacketID) ([]Annotation, error) {
	ids = slices.Clone(ids)
	slices.SortFunc(ids, func(a, b packet.PacketID) int { return bytes.Compare(a[:], b[:]) })
	var out []Annotation
	for _, id := range slices.Compact(ids) {
		err := t.c.each(func(s *sqlite3.Stmt) (bool, error) {
			out = append(out, Annotation{
				Message: id, Kind: s.ColumnText(0), Author: packet.UserID(s.ColumnText(1)), Chat: packet.ChatID(s.ColumnText(2)),
				Plugin: s.ColumnText(3), Value: blob(s, 4), Search: s.ColumnText(5),
			})
			return true, nil
		}, `SELECT a.kind, a.author, c.chat, a.plugin, a.value, a.search FROM annotations a JOIN chats c ON c.id = a.chat
			WHERE a.message = ? ORDER BY a.kind, a.author`, id)
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}
