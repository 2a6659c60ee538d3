package store

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/ncruces/go-sqlite3"

	"github.com/parley-chat/parley/protocol/packet"
)

// unread says whether m counts as unread when its chat is read up to a place.
func unread(m *Message, read packet.OrderKey) bool {
	return m.Notifies && !m.Own && !m.Deleted && bytes.Compare(m.Order[:], read[:]) > 0
}

func (t *tx) AddMessage(m Message) (added bool, err error) {
	if err := CheckMessage(&m); err != nil {
		return false, err
	}
	chat, err := t.chat(m.Chat)
	if err != nil {
		return false, err
	}
	_, found, err := t.c.number("SELECT id FROM messages WHERE message = ?", m.ID)
	if err != nil || found {
		return false, err
	}
	if m.Deleted {
		m.Body, m.Search, m.Data, m.Card = "", "", nil, nil
	}
	// What was said of this id in another chat was not of this message, and of a
	// deleted one nothing stays.
	err = t.c.run("DELETE FROM annotations WHERE message = ? AND (chat <> ? OR ?)", m.ID, chat, m.Deleted)
	if err != nil {
		return false, err
	}
	row, err := t.insertMessage(chat, &m)
	if err != nil {
		return false, err
	}
	t.index.note(change{row: row, fresh: true})
	var read packet.OrderKey
	if _, err := t.c.first(func(s *sqlite3.Stmt) { fill(read[:], s, 0) }, "SELECT read FROM chats WHERE id = ?", chat); err != nil {
		return false, err
	}
	if unread(&m, read) {
		if err := t.c.run("UPDATE chats SET unread = unread + 1 WHERE id = ?", chat); err != nil {
			return false, err
		}
	}
	return true, t.c.run(`UPDATE chats SET last = ?2, last_order = ?3, last_at = ?4 WHERE id = ?1
		AND (last IS NULL OR last_order < ?3 OR last_order = ?3 AND last < ?2)`, chat, m.ID, m.Order, m.SentAt)
}

func (t *tx) insertMessage(chat int64, m *Message) (row int64, err error) {
	if row, err = t.slot(m.SentAt); err != nil {
		return 0, err
	}
	var log, number, replyTo any
	if m.Entry.Number != 0 {
		if log, err = t.log(m.Entry.Log); err != nil {
			return 0, err
		}
		number = m.Entry.Number
	}
	if !m.ReplyTo.IsZero() {
		replyTo = m.ReplyTo
	}
	return row, t.c.run(`INSERT INTO messages (id, message, chat, place, flags, author, plugin, kind, sent_at, log, number, twin,
		reply_to, body, search, data, card) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		row, m.ID, chat, m.Order, flags(m), m.Author, m.Plugin, m.Kind, m.SentAt, log, number, int(m.Entry.Twin),
		replyTo, m.Body, m.Search, m.Data, m.Card)
}

func flags(m *Message) int {
	f := 0
	for _, bit := range []struct {
		set  bool
		flag int
	}{{m.Own, flagOwn}, {m.Notifies, flagNotifies}, {m.Edited, flagEdited}, {m.Deleted, flagDeleted}} {
		if bit.set {
			f |= bit.flag
		}
	}
	return f
}

// row gives a message's row id and the texts it is found by.
func (t *tx) row(id packet.PacketID) (row int64, texts []string, err error) {
	found, err := t.c.first(func(s *sqlite3.Stmt) {
		row, texts = s.ColumnInt64(0), []string{s.ColumnText(1), s.ColumnText(2)}
	}, "SELECT id, body, search FROM messages WHERE message = ?", id)
	if err == nil && !found {
		err = notFound("message", id)
	}
	return row, texts, err
}

func (t *tx) ChangeMessage(m Message) error {
	old, err := t.Message(m.ID)
	if err != nil {
		return err
	}
	if old.Deleted {
		return notFound("message", m.ID)
	}
	row, gone, err := t.row(m.ID)
	if err != nil {
		return err
	}
	old.Edited = m.Edited
	err = t.c.run("UPDATE messages SET body = ?2, search = ?3, data = ?4, card = ?5, flags = ?6 WHERE id = ?1",
		row, m.Body, m.Search, m.Data, m.Card, flags(&old))
	if err == nil && (m.Body != old.Body || m.Search != old.Search) {
		t.index.note(change{row: row, gone: gone})
	}
	return err
}

func (t *tx) DeleteMessage(id packet.PacketID) error {
	m, err := t.Message(id)
	if err != nil || m.Deleted {
		return err
	}
	row, gone, err := t.row(id)
	if err != nil {
		return err
	}
	said, err := annotationTexts(t.c, id)
	if err != nil {
		return err
	}
	c, err := t.Chat(m.Chat)
	if err != nil {
		return err
	}
	if unread(&m, c.Read) {
		if err := t.c.run("UPDATE chats SET unread = unread - 1 WHERE chat = ?", m.Chat); err != nil {
			return err
		}
	}
	m.Deleted = true
	err = t.c.run("UPDATE messages SET body = '', search = '', data = NULL, card = NULL, flags = ?2 WHERE id = ?1", row, flags(&m))
	if err != nil {
		return err
	}
	t.index.note(change{row: row, gone: append(gone, said...)})
	return t.c.run("DELETE FROM annotations WHERE message = ?", id)
}

func (t *tx) WithdrawMessage(id packet.PacketID) error {
	m, err := t.Message(id)
	if errors.Is(err, ErrNotFound) || err == nil && m.Deleted {
		return nil
	}
	if err != nil {
		return err
	}
	row, gone, err := t.row(id)
	if err != nil {
		return err
	}
	said, err := annotationTexts(t.c, id)
	if err != nil {
		return err
	}
	c, err := t.Chat(m.Chat)
	if err != nil {
		return err
	}
	chat, err := t.chat(m.Chat)
	if err != nil {
		return err
	}
	if err := t.c.run("DELETE FROM messages WHERE id = ?", row); err != nil {
		return err
	}
	t.index.note(change{row: row, gone: append(gone, said...)})
	if unread(&m, c.Read) {
		if err := t.c.run("UPDATE chats SET unread = unread - 1 WHERE id = ?", chat); err != nil {
			return err
		}
	}
	if c.Last != id {
		return nil
	}
	return t.c.run(`UPDATE chats SET (last, last_order, last_at) = (SELECT m.message, m.place, coalesce(m.sent_at, created_at)
		FROM (SELECT 1) LEFT JOIN (SELECT message, place, sent_at FROM messages WHERE chat = ?1 ORDER BY place DESC, message DESC LIMIT 1) m)
		WHERE id = ?1`, chat)
}

func (t *tx) PutAnnotation(a Annotation) error {
	if strings.ContainsRune(a.Kind, 0) {
		return fmt.Errorf("annotation kind %q: %w", a.Kind, packet.ErrMalformed)
	}
	chat, err := t.chat(a.Chat)
	if err != nil {
		return err
	}
	refused := false
	_, err = t.c.first(func(s *sqlite3.Stmt) {
		refused = s.ColumnInt64(0) != chat || s.ColumnInt(1)&flagDeleted != 0
	}, "SELECT chat, flags FROM messages WHERE message = ?", a.Message)
	if err != nil {
		return err
	}
	if refused {
		return notFound("message", a.Message)
	}
	before, err := t.said(a.Message, a.Kind, a.Author)
	if err != nil {
		return err
	}
	err = t.c.run(`INSERT OR REPLACE INTO annotations (message, kind, author, chat, plugin, value, search)
		VALUES (?, ?, ?, ?, ?, ?, ?)`, a.Message, a.Kind, a.Author, chat, a.Plugin, a.Value, a.Search)
	if err != nil || before == a.Search {
		return err
	}
	return t.noteSaid(a.Message, before)
}

func (t *tx) DeleteAnnotation(message packet.PacketID, kind string, author packet.UserID) error {
	before, err := t.said(message, kind, author)
	if err != nil {
		return err
	}
	err = t.c.run("DELETE FROM annotations WHERE message = ? AND kind = ? AND author = ?", message, kind, author)
	if err != nil || before == "" {
		return err
	}
	return t.noteSaid(message, before)
}

// said gives the search text of an annotation, "" when there is none.
func (t *tx) said(message packet.PacketID, kind string, author packet.UserID) (text string, err error) {
	_, err = t.c.first(func(s *sqlite3.Stmt) { text = s.ColumnText(0) },
		"SELECT search FROM annotations WHERE message = ? AND kind = ? AND author = ?", message, kind, author)
	return text, err
}

// noteSaid has the message, if it is there, indexed anew.
func (t *tx) noteSaid(message packet.PacketID, before string) error {
	row, found, err := t.c.number("SELECT id FROM messages WHERE message = ?", message)
	if err == nil && found {
		t.index.note(change{row: row, gone: []string{before}})
	}
	return err
}
