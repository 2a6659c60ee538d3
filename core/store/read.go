package store

import (
	"encoding/json"
	"fmt"

	"github.com/ncruces/go-sqlite3"

	"github.com/parley-chat/parley/protocol/packet"
)

// readTx reads through a connection that has a transaction open.
type readTx struct {
	c     *conn
	flush func() error // brings the index up to date; nil when it is
}

func notFound(kind string, name any) error {
	return fmt.Errorf("%s %v: %w", kind, name, ErrNotFound)
}

// chatRow gives the row id of a chat that is there, else 0.
func (t *readTx) chatRow(id packet.ChatID) (int64, error) {
	row, _, err := t.c.number("SELECT id FROM chats WHERE chat = ? AND there", id)
	return row, err
}

// logRow gives the row id of a log, 0 when nothing was ever noted of it.
func (t *readTx) logRow(log packet.Log) (int64, error) {
	row, _, err := t.c.number(`SELECT l.id FROM logs l JOIN chats c ON c.id = l.chat
		WHERE c.chat = ? AND c.there AND l.device = ? AND l.epoch = ?`, log.Chat, log.Device, log.Epoch)
	return row, err
}

func (t *readTx) Value(namespace, key string) ([]byte, error) {
	var value []byte
	found, err := t.c.first(func(s *sqlite3.Stmt) {
		value = append([]byte{}, s.ColumnRawBlob(0)...)
	}, "SELECT value FROM vals WHERE namespace = ? AND key = ?", namespace, key)
	if err == nil && !found {
		err = notFound("value", namespace+"/"+key)
	}
	return value, err
}

func (t *readTx) Values(namespace, prefix string, limit int) ([]Value, error) {
	if limit <= 0 {
		limit = -1
	}
	var out []Value
	err := t.c.each(func(s *sqlite3.Stmt) (bool, error) {
		out = append(out, Value{Key: s.ColumnText(0), Bytes: append([]byte{}, s.ColumnRawBlob(1)...)})
		return true, nil
	}, "SELECT key, value FROM vals WHERE namespace = ? AND key >= ? AND key < ? ORDER BY key LIMIT ?",
		namespace, prefix, after(prefix), limit)
	return out, err
}

const contactColumns = `SELECT user, state, before, nickname, display_name, avatar, greeting, devices, verified,
	created_at, last_seen FROM contacts `

func scanContact(s *sqlite3.Stmt) (Contact, error) {
	c := Contact{
		User: packet.UserID(s.ColumnText(0)), State: ContactState(s.ColumnInt(1)), Before: ContactState(s.ColumnInt(2)),
		Nickname: s.ColumnText(3), DisplayName: s.ColumnText(4), Avatar: blob(s, 5), Greeting: s.ColumnText(6),
		Verified: s.ColumnBool(8), CreatedAt: s.ColumnInt64(9), LastSeen: s.ColumnInt64(10),
	}
	if err := json.Unmarshal(s.ColumnRawText(7), &c.Devices); err != nil {
		return Contact{}, fmt.Errorf("devices of %s: %w: %w", c.User, ErrCorrupt, err)
	}
	return c, nil
}

func (t *readTx) Contact(user packet.UserID) (Contact, error) {
	found, err := t.contacts("WHERE user = ?", user)
	if err != nil {
		return Contact{}, err
	}
	if len(found) == 0 {
		return Contact{}, notFound("contact", user)
	}
	return found[0], nil
}

func (t *readTx) Contacts() ([]Contact, error) { return t.contacts("ORDER BY user") }

func (t *readTx) contacts(where string, args ...any) ([]Contact, error) {
	var out []Contact
	err := t.c.each(func(s *sqlite3.Stmt) (bool, error) {
		c, err := scanContact(s)
		out = append(out, c)
		return true, err
	}, contactColumns+where, args...)
	return out, err
}

func (t *readTx) Chat(id packet.ChatID) (Chat, error) {
	found, err := t.chats("AND chat = ?", id)
	if err != nil {
		return Chat{}, err
	}
	if len(found) == 0 {
		return Chat{}, notFound("chat", id)
	}
	return found[0], nil
}

func (t *readTx) Chats() ([]Chat, error) { return t.chats("ORDER BY last_at DESC, chat") }

func (t *readTx) chats(where string, args ...any) ([]Chat, error) {
	var out []Chat
	err := t.c.each(func(s *sqlite3.Stmt) (bool, error) {
		c := Chat{
			ID: packet.ChatID(s.ColumnText(0)), Title: s.ColumnText(1), Muted: s.ColumnBool(2), Pinned: s.ColumnBool(3),
			Draft: s.ColumnText(4), CreatedAt: s.ColumnInt64(5), Membership: uint64(s.ColumnInt64(6)),
			LastAt: s.ColumnInt64(9), Unread: s.ColumnInt(10), History: History(s.ColumnInt(12)),
		}
		if err := json.Unmarshal(s.ColumnRawText(7), &c.Members); err != nil {
			return false, fmt.Errorf("members of %s: %w: %w", c.ID, ErrCorrupt, err)
		}
		if err := json.Unmarshal(s.ColumnRawText(13), &c.Invited); err != nil {
			return false, fmt.Errorf("the invited of %s: %w: %w", c.ID, ErrCorrupt, err)
		}
		fill(c.Last[:], s, 8)
		fill(c.Read[:], s, 11)
		out = append(out, c)
		return true, nil
	}, `SELECT chat, title, muted, pinned, draft, created_at, membership, members, last, last_at, unread, read, history, invited
		FROM chats WHERE there `+where, args...)
	return out, err
}

func (t *readTx) Membership(chat packet.ChatID, version uint64) (Membership, error) {
	m, found, err := t.membership("m.chat = (SELECT id FROM chats WHERE chat = ?) AND m.version = ?", chat, version)
	switch {
	case err != nil:
		return Membership{}, fmt.Errorf("membership of %s: %w", chat, err)
	case !found:
		return Membership{}, notFound("membership of", chat)
	}
	return m, nil
}

func (t *readTx) membership(where string, args ...any) (m Membership, found bool, err error) {
	var broken error
	found, err = t.c.first(func(s *sqlite3.Stmt) {
		m.Version, m.Merged, m.History = uint64(s.ColumnInt64(0)), s.ColumnBool(3), History(s.ColumnInt(4))
		if broken = json.Unmarshal(s.ColumnRawText(1), &m.Members); broken == nil {
			broken = json.Unmarshal(s.ColumnRawText(2), &m.Cutoffs)
		}
		if broken == nil {
			broken = json.Unmarshal(s.ColumnRawText(5), &m.Invited)
		}
	}, "SELECT m.version, m.members, m.cutoffs, m.merged, m.history, m.invited FROM memberships m WHERE "+where, args...)
	if err == nil && broken != nil {
		err = fmt.Errorf("%w: %w", ErrCorrupt, broken)
	}
	return m, found, err
}

func (t *readTx) Versions(chat packet.ChatID) (versions []uint64, err error) {
	err = t.c.each(func(s *sqlite3.Stmt) (bool, error) {
		versions = append(versions, uint64(s.ColumnInt64(0)))
		return true, nil
	}, "SELECT m.version FROM memberships m JOIN chats c ON c.id = m.chat WHERE c.chat = ? ORDER BY m.version", chat)
	return versions, err
}

func (t *readTx) Register(chat packet.ChatID, author packet.UserID, name packet.Type) (packet.Register, error) {
	found, err := t.registers("AND r.author = ? AND r.name = ?", chat, author, name)
	if err != nil {
		return packet.Register{}, err
	}
	if len(found) == 0 {
		return packet.Register{}, notFound("register", name)
	}
	return found[0], nil
}

func (t *readTx) Registers(chat packet.ChatID) ([]packet.Register, error) {
	return t.registers("ORDER BY r.author, r.name", chat)
}

func (t *readTx) registers(where string, chat packet.ChatID, args ...any) ([]packet.Register, error) {
	var out []packet.Register
	err := t.c.each(func(s *sqlite3.Stmt) (bool, error) {
		r := packet.Register{
			Chat: chat, Author: packet.UserID(s.ColumnText(0)), Name: packet.Type(s.ColumnText(1)),
			Value: blob(s, 3), Version: uint64(s.ColumnInt64(4)), Raw: blob(s, 5), Signature: blob(s, 6),
		}
		fill(r.Device[:], s, 2)
		out = append(out, r)
		return true, nil
	}, `SELECT r.author, r.name, r.device, r.value, r.version, r.raw, r.signature
		FROM registers r JOIN chats c ON c.id = r.chat WHERE c.chat = ? `+where, append([]any{chat}, args...)...)
	return out, err
}

func (t *readTx) Invocation(id packet.PacketID) (Invocation, error) {
	i := Invocation{ID: id}
	found, err := t.c.first(func(s *sqlite3.Stmt) {
		i.Plugin, i.Action, i.Result, i.At = s.ColumnText(0), s.ColumnText(1), blob(s, 2), s.ColumnInt64(4)
		for sent := s.ColumnRawBlob(3); len(sent) >= len(packet.PacketID{}); sent = sent[len(packet.PacketID{}):] {
			i.Sent = append(i.Sent, packet.PacketID(sent[:len(packet.PacketID{})]))
		}
	}, "SELECT plugin, action, result, sent, at FROM invocations WHERE id = ?", id)
	if err == nil && !found {
		err = notFound("invocation", id)
	}
	return i, err
}
