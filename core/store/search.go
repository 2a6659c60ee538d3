package store

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/ncruces/go-sqlite3"

	"github.com/parley-chat/parley/core/store/internal/words"
)

func (t *readTx) Search(q Query) ([]Message, bool, error) {
	below := int64(math.MaxInt64)
	if !q.Before.IsZero() {
		row, found, err := t.c.number("SELECT id FROM messages WHERE message = ?", q.Before)
		if err != nil {
			return nil, false, err
		}
		if !found {
			return nil, false, notFound("message", q.Before)
		}
		below = row
	}
	if t.flush != nil {
		if err := t.flush(); err != nil {
			return nil, false, err
		}
	}
	query := words.Parse(q.Text)
	match, exact, err := t.match(query, q)
	if err != nil || match == "" {
		return nil, false, err
	}
	limit := min(max(q.Limit, 1), MaxResults)
	var found []Message
	for {
		rows, err := t.hits(match, below, limit+1-len(found))
		if err != nil {
			return nil, false, err
		}
		for _, row := range rows {
			m, ok, err := t.message("m.id = ?", row)
			if err != nil {
				return nil, false, err
			}
			if ok && !exact {
				if ok, err = t.matches(query, &m); err != nil {
					return nil, false, err
				}
			}
			if ok {
				found = append(found, m)
			}
			below = row
		}
		if len(found) > limit {
			return found[:limit], true, nil
		}
		if len(rows) == 0 {
			return found, false, nil
		}
	}
}

// hits gives row ids from the newest.
func (t *readTx) hits(match string, below int64, limit int) ([]int64, error) {
	var rows []int64
	err := t.c.each(func(s *sqlite3.Stmt) (bool, error) {
		rows = append(rows, s.ColumnInt64(0))
		return true, nil
	}, "SELECT rowid FROM search WHERE search MATCH ? AND rowid < ? ORDER BY rowid DESC LIMIT ?", match, below, limit)
	if err != nil {
		return nil, fmt.Errorf("search: %w", err)
	}
	return rows, nil
}

// match gives the full-text query, "" when nothing can be found. exact says that
// its hits need no second look.
func (t *readTx) match(query words.Query, q Query) (match string, exact bool, err error) {
	if query.Empty() {
		return "", false, nil
	}
	prefixes, grams, exact := query.Lookups(maxLookups)
	var parts []string
	for _, g := range grams {
		parts = append(parts, quote(g))
	}
	for _, p := range prefixes {
		if utf8.RuneCountInString(p) <= shortPrefix {
			parts = append(parts, quote(prefixMark+p))
			continue
		}
		part, err := t.beginnings(p)
		if err != nil || part == "" {
			return "", false, err
		}
		parts = append(parts, part)
	}
	if q.Chat != "" {
		chat, err := t.chatRow(q.Chat)
		if err != nil || chat == 0 {
			return "", false, err
		}
		parts = append(parts, quote(chatMark+strconv.FormatInt(chat, 36)))
	}
	return strings.Join(parts, " AND "), exact, nil
}

// beginnings asks for any of the words that begin with prefix.
func (t *readTx) beginnings(prefix string) (string, error) {
	var found []string
	err := t.c.each(func(s *sqlite3.Stmt) (bool, error) {
		found = append(found, quote(s.ColumnText(0)))
		return true, nil
	}, "SELECT word FROM words WHERE word >= ? AND word < ? LIMIT ?", prefix, after(prefix), maxWords+1)
	if err != nil {
		return "", err
	}
	switch {
	case len(found) == 0:
		return "", nil
	case len(found) > maxWords:
		return quote(prefix) + " *", nil
	}
	return "(" + strings.Join(found, " OR ") + ")", nil
}

func (t *readTx) matches(query words.Query, m *Message) (bool, error) {
	said, err := annotationTexts(t.c, m.ID)
	return err == nil && query.Match(append(said, m.Body, m.Search)...), err
}

// Row ids of messages: the time of sending, and room for slots messages of the
// same microsecond.
const (
	slots   = 16
	maxTime = 1<<52 - 1 // microseconds; the year 2112
)

// slot gives the row id for a message sent at a time. Of the same microsecond the
// one that came last is the highest; what finds no room there goes just above.
func (t *tx) slot(sentAt int64) (int64, error) {
	base := min(max(sentAt, 0), maxTime) * slots
	for width := int64(slots); ; width *= 2 {
		highest, _, err := t.c.number("SELECT coalesce(max(id), ?1 - 1) FROM messages WHERE id >= ?1 AND id < ?2", base, base+width)
		if err != nil || highest+1 < base+width {
			return highest + 1, err
		}
	}
}

// after is above all strings that begin with prefix.
func after(prefix string) string {
	b := []byte(prefix)
	for i := len(b) - 1; i >= 0; i-- {
		if b[i] < 0xFF {
			b[i]++
			return string(b[:i+1])
		}
	}
	return strings.Repeat("\xff", 64)
}
