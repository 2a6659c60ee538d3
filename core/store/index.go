package store

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/ncruces/go-sqlite3"

	"github.com/parley-chat/parley/core/store/internal/words"
	"github.com/parley-chat/parley/protocol/packet"
)

// The index has one document a message, of the tokens
//
//	hello                a word
//	U+E001 h, he, hel    its beginnings of up to shortPrefix runes
//	你 你好 好             characters and pairs of scripts without spaces
//	U+E002 7             the chat's row id, base 36
//
// A search for the beginning of a word thus asks for one token when it is short,
// and for those of table words that begin with it when it is longer. Either way
// full-text search walks lists of row ids from the newest and stops when the page
// is full; it never collects all hits of a common word.
const (
	prefixMark  = "\uE001"
	chatMark    = "\uE002"
	shortPrefix = 3

	// maxWords is how many words a beginning may stand for before the full-text
	// search is left to collect them. By then each of them is rare.
	maxWords = 256
	// maxLookups is how many words of a query are looked up; the rest is compared
	// with what they find.
	maxLookups = 16
	// knownWords is how many words are remembered to be in table words.
	knownWords = 50_000
)

// indexer keeps the index in step with the messages. Within a transaction it only
// notes what changed, and writes it before the commit or before a search: one
// piece of index for a whole batch. It belongs to whoever has the writer.
type indexer struct {
	c       *conn
	pending []change
	flushed int // how many of pending the present request has written
	known   map[string]struct{}
}

// change is a message to be indexed anew.
type change struct {
	row   int64
	fresh bool     // it was not in the index before
	gone  []string // texts it was found by until now
	sweep bool     // no message: look through all words for those of nothing
}

func newIndexer(c *conn) indexer { return indexer{c: c, known: map[string]struct{}{}} }

func (x *indexer) note(c change) { x.pending = append(x.pending, c) }

// mark and undo frame a request that may be undone.
func (x *indexer) mark() int { return len(x.pending) }

func (x *indexer) undo(mark int) {
	x.pending = x.pending[:min(mark, len(x.pending))]
	if x.flushed > 0 {
		x.flushed = 0
		clear(x.known)
	}
}

// release says that the request, or the whole batch, stays.
func (x *indexer) release() {
	x.pending = slices.Delete(x.pending, 0, x.flushed)
	x.flushed = 0
}

// forget says that the transaction is gone.
func (x *indexer) forget() {
	x.pending, x.flushed = nil, 0
	clear(x.known)
}

// flush writes what is pending.
func (x *indexer) flush() error {
	todo := x.pending[x.flushed:]
	if len(todo) == 0 {
		return nil
	}
	done := make(map[int64]struct{}, len(todo))
	gone := map[string]struct{}{}
	sweep := false
	for _, c := range todo {
		sweep = sweep || c.sweep
		longer, _ := words.Index(c.gone...)
		for _, w := range longer {
			gone[w] = struct{}{}
		}
		if _, ok := done[c.row]; ok || c.sweep {
			continue
		}
		done[c.row] = struct{}{}
		if err := x.put(c); err != nil {
			return err
		}
	}
	x.flushed = len(x.pending)
	if sweep {
		return x.sweep()
	}
	for w := range gone {
		if err := x.dropWord(w); err != nil {
			return err
		}
	}
	return nil
}

// put writes one document. Of several changes of a message in a transaction the
// first says whether the index has it, the database what it is now.
func (x *indexer) put(c change) error {
	if !c.fresh {
		if err := x.c.run("DELETE FROM search WHERE rowid = ?", c.row); err != nil {
			return err
		}
	}
	var texts []string
	var id packet.PacketID
	var chat int64
	found, err := x.c.first(func(s *sqlite3.Stmt) {
		fill(id[:], s, 0)
		chat = s.ColumnInt64(1)
		texts = []string{s.ColumnText(2), s.ColumnText(3)}
	}, "SELECT message, chat, body, search FROM messages WHERE id = ? AND flags & 8 = 0", c.row)
	if err != nil || !found {
		return err
	}
	said, err := annotationTexts(x.c, id)
	if err != nil {
		return err
	}
	longer, tokens := words.Index(append(texts, said...)...)
	if len(longer)+len(tokens) == 0 {
		return nil
	}
	short := map[string]struct{}{}
	for _, w := range longer {
		tokens = append(tokens, w)
		for n := 1; n <= shortPrefix; n++ {
			prefix, whole := words.Prefix(w, n)
			if _, ok := short[prefix]; !ok {
				short[prefix] = struct{}{}
				tokens = append(tokens, prefixMark+prefix)
			}
			if whole {
				break
			}
		}
		if err := x.addWord(w); err != nil {
			return err
		}
	}
	tokens = append(tokens, chatMark+strconv.FormatInt(chat, 36))
	return x.c.run("INSERT INTO search (rowid, tokens) VALUES (?, ?)", c.row, strings.Join(tokens, " "))
}

func (x *indexer) addWord(w string) error {
	if _, ok := x.known[w]; ok || utf8.RuneCountInString(w) <= shortPrefix {
		return nil
	}
	if err := x.c.run("INSERT OR IGNORE INTO words (word) VALUES (?)", w); err != nil {
		return err
	}
	if len(x.known) >= knownWords {
		clear(x.known)
	}
	x.known[w] = struct{}{}
	return nil
}

// dropWord forgets a word that no message has any more.
func (x *indexer) dropWord(w string) error {
	_, used, err := x.c.number("SELECT rowid FROM search WHERE search MATCH ? LIMIT 1", quote(w))
	if err != nil || used {
		return err
	}
	delete(x.known, w)
	return x.c.run("DELETE FROM words WHERE word = ?", w)
}

func (x *indexer) sweep() error {
	var all []string
	err := x.c.each(func(s *sqlite3.Stmt) (bool, error) {
		all = append(all, s.ColumnText(0))
		return true, nil
	}, "SELECT word FROM words")
	if err != nil {
		return err
	}
	for _, w := range all {
		if err := x.dropWord(w); err != nil {
			return err
		}
	}
	return nil
}

func annotationTexts(c *conn, id packet.PacketID) ([]string, error) {
	var texts []string
	err := c.each(func(s *sqlite3.Stmt) (bool, error) {
		texts = append(texts, s.ColumnText(0))
		return true, nil
	}, "SELECT search FROM annotations WHERE message = ? AND search <> ''", id)
	return texts, err
}

// reindex makes the index again when it was made by another version of package
// words.
func reindex(ctx context.Context, c *conn, log *slog.Logger) error {
	version, _, err := c.number("SELECT value FROM meta WHERE key = 'words'")
	if err != nil || version == words.Version {
		return err
	}
	if err := c.run("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	if err := rebuild(ctx, c, log); err != nil {
		return fmt.Errorf("make the search index: %w", joinRollback(c, err))
	}
	return nil
}

func rebuild(ctx context.Context, c *conn, log *slog.Logger) error {
	if err := c.Exec("INSERT INTO search (search) VALUES ('delete-all'); DELETE FROM words"); err != nil {
		return err
	}
	x := newIndexer(c)
	var rows []int64
	for last, total := int64(math.MinInt64), 0; ; {
		rows = rows[:0]
		err := c.each(func(s *sqlite3.Stmt) (bool, error) {
			rows = append(rows, s.ColumnInt64(0))
			return true, nil
		}, "SELECT id FROM messages WHERE id > ? ORDER BY id LIMIT 1000", last)
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if len(rows) == 0 {
			if total > 0 {
				log.Info("made the search index again", "messages", total)
			}
			break
		}
		for _, row := range rows {
			if err := x.put(change{row: row, fresh: true}); err != nil {
				return err
			}
		}
		last = rows[len(rows)-1]
		total += len(rows)
	}
	if err := c.run("INSERT OR REPLACE INTO meta (key, value) VALUES ('words', ?)", words.Version); err != nil {
		return err
	}
	return c.run("COMMIT")
}

// quote makes a token a string of the full-text query language.
func quote(token string) string {
	return `"` + strings.ReplaceAll(token, `"`, `""`) + `"`
}
