package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/parley-chat/parley/protocol/packet"
)

// tx reads and writes inside the one writing transaction.
type tx struct {
	readTx
	index *indexer
}

// chat gives the row id of a chat that is to be written to.
func (t *tx) chat(id packet.ChatID) (int64, error) {
	row, err := t.chatRow(id)
	if err == nil && row == 0 {
		err = notFound("chat", id)
	}
	return row, err
}

func (t *tx) PutValue(namespace, key string, value []byte) error {
	if value == nil {
		return t.c.run("DELETE FROM vals WHERE namespace = ? AND key = ?", namespace, key)
	}
	return t.c.run("INSERT OR REPLACE INTO vals (namespace, key, value) VALUES (?, ?, ?)", namespace, key, value)
}

func (t *tx) PutContact(c Contact) error {
	devices, err := json.Marshal(c.Devices)
	if err != nil {
		return fmt.Errorf("contact %s: %w", c.User, err)
	}
	return t.c.run(`INSERT OR REPLACE INTO contacts (user, state, before, nickname, display_name, avatar, greeting, devices,
		verified, created_at, last_seen) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		c.User, int(c.State), int(c.Before), c.Nickname, c.DisplayName, c.Avatar, c.Greeting, string(devices),
		c.Verified, c.CreatedAt, c.LastSeen)
}

func (t *tx) DeleteContact(user packet.UserID) error {
	return t.c.run("DELETE FROM contacts WHERE user = ?", user)
}

func (t *tx) PutChat(c Chat) error {
	return t.c.run(`INSERT INTO chats (chat, title, muted, pinned, draft, created_at, last_at) VALUES (?, ?, ?, ?, ?, ?6, ?6)
		ON CONFLICT (chat) DO UPDATE SET there = 1, title = excluded.title, muted = excluded.muted,
			pinned = excluded.pinned, draft = excluded.draft, created_at = excluded.created_at,
			last_at = CASE WHEN last IS NULL THEN excluded.created_at ELSE last_at END`,
		c.ID, c.Title, c.Muted, c.Pinned, c.Draft, c.CreatedAt)
}

// DeleteChat leaves the rows that a chat made again counts on from, see the
// schema.
func (t *tx) DeleteChat(id packet.ChatID) error {
	chat, err := t.chatRow(id)
	if err != nil || chat == 0 {
		return err
	}
	if err := t.deleteSaid(chat); err != nil {
		return fmt.Errorf("delete chat %s: %w", id, err)
	}
	for _, sql := range []string{
		"DELETE FROM memberships WHERE chat = ?",
		"DELETE FROM entries WHERE log IN (SELECT id FROM logs WHERE chat = ?)",
		"DELETE FROM peer_heads WHERE log IN (SELECT id FROM logs WHERE chat = ?)",
		"DELETE FROM refused WHERE log IN (SELECT id FROM logs WHERE chat = ?)",
		"UPDATE logs SET open = 0, waiting = x'' WHERE chat = ?",
		`UPDATE chats SET there = 0, title = '', muted = 0, pinned = 0, draft = '', created_at = 0, membership = 0,
			members = '[]', history = 0, last = NULL, last_order = NULL, last_at = 0, unread = 0, read = x'' WHERE id = ?`,
	} {
		if err := t.c.run(sql, chat); err != nil {
			return fmt.Errorf("delete chat %s: %w", id, err)
		}
	}
	return nil
}

// deleteSaid deletes a chat's messages and what belongs to them.
func (t *tx) deleteSaid(chat int64) error {
	found := false
	err := t.c.each(func(s *sqlite3.Stmt) (bool, error) {
		found = true
		t.index.note(change{row: s.ColumnInt64(0)})
		return true, nil
	}, "SELECT id FROM messages WHERE chat = ?", chat)
	if err != nil {
		return err
	}
	if found {
		t.index.note(change{sweep: true})
	}
	for _, sql := range []string{
		"DELETE FROM annotations WHERE chat = ?",
		"DELETE FROM blobs WHERE chat = ?",
		"DELETE FROM messages WHERE chat = ?",
		"DELETE FROM registers WHERE chat = ?",
	} {
		if err := t.c.run(sql, chat); err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) ClearChat(id packet.ChatID, keep func(packet.Type) bool) error {
	chat, err := t.chatRow(id)
	if err != nil || chat == 0 {
		return err
	}
	if err = t.deleteSaid(chat); err == nil {
		err = t.deleteEntries(chat, keep)
	}
	if err != nil {
		return fmt.Errorf("clear chat %s: %w", id, err)
	}
	return t.c.run(`UPDATE chats SET muted = 0, pinned = 0, draft = '', last = NULL, last_order = NULL,
		last_at = created_at, unread = 0 WHERE id = ?`, chat)
}

// deleteEntries deletes a chat's entries, but for those of types that keep names.
func (t *tx) deleteEntries(chat int64, keep func(packet.Type) bool) error {
	var types []string
	err := t.c.each(func(s *sqlite3.Stmt) (bool, error) {
		if name := s.ColumnText(0); !keep(packet.Type(name)) {
			types = append(types, name)
		}
		return true, nil
	}, "SELECT DISTINCT type FROM entries WHERE log IN (SELECT id FROM logs WHERE chat = ?)", chat)
	if err != nil {
		return err
	}
	for _, name := range types {
		if err := t.c.run("DELETE FROM entries WHERE log IN (SELECT id FROM logs WHERE chat = ?) AND type = ?", chat, name); err != nil {
			return err
		}
	}
	err = t.c.run("UPDATE logs SET open = (SELECT count(*) FROM entries WHERE log = logs.id AND state IN (1, 5)) WHERE chat = ?", chat)
	if err != nil {
		return err
	}
	return t.c.run("UPDATE logs SET waiting = x'' WHERE chat = ? AND NOT EXISTS (SELECT 1 FROM entries WHERE log = logs.id AND state = 5)", chat)
}

func (t *tx) PutMembership(id packet.ChatID, m Membership) error {
	chat, err := t.chat(id)
	if err != nil {
		return err
	}
	m.Members = slices.Compact(slices.Sorted(slices.Values(m.Members)))
	m.Invited = slices.Compact(slices.Sorted(slices.Values(m.Invited)))
	old, found, err := t.membership("m.chat = ? AND m.version = ?", chat, m.Version)
	switch {
	case err != nil:
		return fmt.Errorf("membership of %s: %w", id, err)
	case found && !old.Same(&m):
		return fmt.Errorf("membership %d of %s: %w", m.Version, id, ErrExists)
	case found:
		return nil
	}
	list, err := json.Marshal(m.Members)
	if err != nil {
		return fmt.Errorf("membership of %s: %w", id, err)
	}
	invited, err := json.Marshal(m.Invited)
	if err != nil {
		return fmt.Errorf("membership of %s: %w", id, err)
	}
	cutoffs, err := json.Marshal(m.Cutoffs)
	if err != nil {
		return fmt.Errorf("membership of %s: %w", id, err)
	}
	err = t.c.run("INSERT INTO memberships (chat, version, members, invited, cutoffs, merged, history) VALUES (?, ?, ?, ?, ?, ?, ?)",
		chat, m.Version, string(list), string(invited), string(cutoffs), m.Merged, int(m.History))
	if err != nil {
		return err
	}
	return t.c.run("UPDATE chats SET membership = ?2, members = ?3, invited = ?4, history = ?5 WHERE id = ?1 AND membership < ?2",
		chat, m.Version, string(list), string(invited), int(m.History))
}

func (t *tx) PutRegister(r packet.Register) (newer bool, err error) {
	chat, err := t.chat(r.Chat)
	if err != nil {
		return false, err
	}
	old, err := t.registers("AND r.author = ? AND r.name = ?", r.Chat, r.Author, r.Name)
	if err != nil || len(old) > 0 && !r.Supersedes(&old[0]) {
		return false, err
	}
	return true, t.c.run(`INSERT OR REPLACE INTO registers (chat, author, name, device, value, version, raw, signature)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?)`, chat, r.Author, r.Name, r.Device, r.Value, r.Version, r.Raw, r.Signature)
}

func (t *tx) SetRead(id packet.ChatID, place packet.OrderKey) (moved bool, err error) {
	c, err := t.Chat(id)
	if err != nil {
		return false, err
	}
	if bytes.Compare(place[:], c.Read[:]) <= 0 {
		return false, nil
	}
	chat, err := t.chat(id)
	if err != nil {
		return false, err
	}
	// Only what was read now is counted, so the whole chat is passed but once.
	return true, t.c.run(`UPDATE chats SET read = ?3, unread = unread - (SELECT count(*) FROM messages
		WHERE chat = ?1 AND place > ?2 AND place <= ?3 AND flags & 11 = 2) WHERE id = ?1`, chat, c.Read, place)
}

func (t *tx) PutInvocation(i Invocation) error {
	sent := make([]byte, 0, len(packet.PacketID{})*len(i.Sent))
	for _, id := range i.Sent {
		sent = append(sent, id[:]...)
	}
	err := t.c.run("INSERT OR IGNORE INTO invocations (id, plugin, action, result, sent, at) VALUES (?, ?, ?, ?, ?, ?)",
		i.ID, i.Plugin, i.Action, i.Result, sent, i.At)
	if err == nil && t.c.Changes() == 0 {
		return fmt.Errorf("invocation %s: %w", i.ID, ErrExists)
	}
	return err
}

func (t *tx) PruneInvocations(before time.Time) error {
	return t.c.run("DELETE FROM invocations WHERE at < ?", before.UnixMicro())
}
