package store

import (
	"github.com/ncruces/go-sqlite3"

	"github.com/parley-chat/parley/protocol/packet"
)

// Entries that wait to be handled are found through two small partial indexes,
// so that millions of handled ones cost nothing: logs_open has the logs with
// such entries, entries_open the entries. In each log they are walked from the
// first, past those of other types, and no further than one that blocks: of a number
// of which all wait, or beyond a gap.

// openLog walks the unhandled entries of one log.
type openLog struct {
	log   int64
	upto  int64
	after openEntry   // the last one read
	ahead []openEntry // read and not taken yet
	ended bool
}

type openEntry struct{ id, number, twin, size int64 }

// aheadOf is how many are read at a time.
const aheadOf = 64

func (t *readTx) openLogs(chat int64) (logs []*openLog, chats []int64, err error) {
	sql := "SELECT id, upto, chat FROM logs INDEXED BY logs_open WHERE open > 0"
	args := []any{}
	if chat != 0 {
		sql += " AND chat = ?"
		args = append(args, chat)
	}
	err = t.c.each(func(s *sqlite3.Stmt) (bool, error) {
		logs = append(logs, &openLog{log: s.ColumnInt64(0), upto: s.ColumnInt64(1)})
		chats = append(chats, s.ColumnInt64(2))
		return true, nil
	}, sql+" ORDER BY chat, id", args...)
	return logs, chats, err
}

// next gives the next entry of a log without taking it.
func (t *readTx) next(l *openLog, types map[string]struct{}) (e openEntry, ok bool, err error) {
	for len(l.ahead) == 0 && !l.ended && err == nil {
		read := 0
		err = t.c.each(func(s *sqlite3.Stmt) (bool, error) {
			read++
			e := openEntry{s.ColumnInt64(0), s.ColumnInt64(1), s.ColumnInt64(2), s.ColumnInt64(3)}
			if l.ended = s.ColumnBool(6) || e.number > l.upto; l.ended {
				return false, nil
			}
			l.after = e
			if _, wanted := types[s.ColumnText(5)]; wanted && EntryState(s.ColumnInt(4)) == EntryNew {
				l.ahead = append(l.ahead, e)
			}
			return true, nil
		}, `SELECT id, number, twin, size, state, type, state = 5 AND NOT EXISTS (
				SELECT 1 FROM entries o WHERE o.log = e.log AND o.number = e.number AND o.state <> 5)
			FROM entries e INDEXED BY entries_open WHERE log = ? AND (number, twin) > (?, ?) AND state IN (1, 5) ORDER BY number, twin LIMIT ?`, l.log, l.after.number, l.after.twin, aheadOf)
		l.ended = l.ended || read < aheadOf
	}
	if err != nil || len(l.ahead) == 0 {
		return openEntry{}, false, err
	}
	return l.ahead[0], true, nil
}

func typeSet(types []packet.Type) map[string]struct{} {
	set := make(map[string]struct{}, len(types))
	for _, t := range types {
		set[string(t)] = struct{}{}
	}
	return set
}

func (t *readTx) Unhandled(types []packet.Type, chat packet.ChatID, limit, maxBytes int) ([]Entry, error) {
	var row int64
	if chat != "" {
		var err error
		if row, err = t.chatRow(chat); err != nil || row == 0 {
			return nil, err
		}
	}
	logs, chats, err := t.openLogs(row)
	if err != nil {
		return nil, err
	}
	set := typeSet(types)
	var out []Entry
	size := int64(0)
	for begin, end := 0, 0; begin < len(logs); begin = end {
		for end < len(logs) && chats[end] == chats[begin] {
			end++
		}
		for {
			l, e, err := t.earliest(logs[begin:end], set)
			if err != nil {
				return nil, err
			}
			if l == nil {
				break
			}
			if size += e.size; len(out) >= limit || len(out) > 0 && size > int64(maxBytes) {
				return out, nil
			}
			entry, _, err := t.entry("WHERE e.id = ?", e.id)
			if err != nil {
				return nil, err
			}
			out = append(out, entry)
			l.ahead = l.ahead[1:]
		}
	}
	return out, nil
}

// earliest gives the log whose next entry came first, nil when there is none.
func (t *readTx) earliest(logs []*openLog, types map[string]struct{}) (first *openLog, found openEntry, err error) {
	for _, l := range logs {
		e, ok, err := t.next(l, types)
		if err != nil {
			return nil, openEntry{}, err
		}
		if ok && (first == nil || e.id < found.id) {
			first, found = l, e
		}
	}
	return first, found, nil
}

func (t *readTx) UnhandledChats(types []packet.Type) ([]packet.ChatID, error) {
	logs, chats, err := t.openLogs(0)
	if err != nil {
		return nil, err
	}
	set := typeSet(types)
	var out []packet.ChatID
	last := int64(0)
	for i, l := range logs {
		if chats[i] == last {
			continue
		}
		_, ok, err := t.next(l, set)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		last = chats[i]
		_, err = t.c.first(func(s *sqlite3.Stmt) {
			out = append(out, packet.ChatID(s.ColumnText(0)))
		}, "SELECT chat FROM chats WHERE id = ?", last)
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}
