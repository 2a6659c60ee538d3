package store

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/ext/fts5"

	"github.com/parley-chat/parley/protocol/packet"
)

// conn is one connection with its prepared statements. It is used by one
// goroutine at a time.
type conn struct {
	*sqlite3.Conn
	statements map[string]*sqlite3.Stmt
}

// pragmas of every connection. Deleted content is overwritten; what a query has
// to put aside stays in memory.
const pragmas = `
PRAGMA busy_timeout = 5000;
PRAGMA temp_store = memory;
PRAGMA secure_delete = on;
PRAGMA trusted_schema = off;
PRAGMA cell_size_check = on;
PRAGMA journal_size_limit = 16777216;`

// connect opens the database file at path, which must be there unless create is
// set.
func connect(ctx context.Context, cfg *Config, path string, create bool) (*conn, error) {
	flags := sqlite3.OPEN_READWRITE | sqlite3.OPEN_URI
	if create {
		flags |= sqlite3.OPEN_CREATE
	}
	uri := "file:" + (&url.URL{Path: path}).EscapedPath() + "?vfs=" + url.QueryEscape(cfg.VFS)
	db, err := sqlite3.OpenFlags(uri, flags)
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	c := &conn{Conn: db, statements: map[string]*sqlite3.Stmt{}}
	if err := c.prepare(ctx, cfg); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func (c *conn) prepare(ctx context.Context, cfg *Config) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	// An error of this statement could quote it, so it is replaced.
	if err := c.Exec("PRAGMA hexkey = '" + hex.EncodeToString(cfg.Key) + "'"); err != nil {
		return fmt.Errorf("set key: %w", ErrKey)
	}
	if err := fts5.Register(c.Conn); err != nil {
		return fmt.Errorf("load full-text search: %w", err)
	}
	// Plans do not depend on what is bound: else each new value, a LIMIT's too, has
	// the statement prepared anew.
	if _, err := c.Config(sqlite3.DBCONFIG_ENABLE_QPSG, true); err != nil {
		return fmt.Errorf("configure: %w", err)
	}
	if err := c.Exec(pragmas); err != nil {
		return fmt.Errorf("configure: %w", err)
	}
	return c.Exec(fmt.Sprintf("PRAGMA cache_size = -%d", cfg.CacheKiB))
}

// Close also frees the statements.
func (c *conn) Close() error {
	for _, s := range c.statements {
		_ = s.Close() // repeats the error of its last step
	}
	c.statements = nil
	return c.Conn.Close()
}

// statement gives a prepared statement with args bound. done must be called.
func (c *conn) statement(sql string, args []any) (s *sqlite3.Stmt, done func(), err error) {
	s = c.statements[sql]
	kept := s != nil
	if s == nil || s.Busy() {
		if s, _, err = c.PrepareFlags(sql, sqlite3.PREPARE_PERSISTENT); err != nil {
			return nil, nil, fmt.Errorf("prepare %q: %w", firstWords(sql), err)
		}
		if !kept {
			c.statements[sql] = s
			kept = true
		} else {
			kept = false
		}
	}
	if kept {
		done = func() { _ = s.Reset() } // repeats the error of its last step
	} else {
		done = func() { _ = s.Close() }
	}
	for i, arg := range args {
		if err := bind(s, i+1, arg); err != nil {
			done()
			return nil, nil, fmt.Errorf("bind %q: %w", firstWords(sql), err)
		}
	}
	return s, done, nil
}

// run executes a statement that gives no rows.
func (c *conn) run(sql string, args ...any) error {
	s, done, err := c.statement(sql, args)
	if err != nil {
		return err
	}
	defer done()
	if err := s.Exec(); err != nil {
		return fmt.Errorf("%s: %w", firstWords(sql), err)
	}
	return nil
}

// first calls scan with the first row. found is false when there is none.
func (c *conn) first(scan func(*sqlite3.Stmt), sql string, args ...any) (found bool, err error) {
	err = c.each(func(s *sqlite3.Stmt) (bool, error) {
		found = true
		scan(s)
		return false, nil
	}, sql, args...)
	return found, err
}

// each calls scan with each row until it gives false or an error.
func (c *conn) each(scan func(*sqlite3.Stmt) (bool, error), sql string, args ...any) error {
	s, done, err := c.statement(sql, args)
	if err != nil {
		return err
	}
	defer done()
	for s.Step() {
		more, err := scan(s)
		if err == nil {
			err = s.Err() // of a column that could not be read
		}
		if err != nil || !more {
			return err
		}
	}
	if err := s.Err(); err != nil {
		return fmt.Errorf("%s: %w", firstWords(sql), err)
	}
	return nil
}

// number gives the only value of the only row, 0 when there is none.
func (c *conn) number(sql string, args ...any) (n int64, found bool, err error) {
	found, err = c.first(func(s *sqlite3.Stmt) { n = s.ColumnInt64(0) }, sql, args...)
	return n, found, err
}

func bind(s *sqlite3.Stmt, i int, arg any) error {
	switch v := arg.(type) {
	case nil:
		return s.BindNull(i)
	case int:
		return s.BindInt(i, v)
	case int64:
		return s.BindInt64(i, v)
	case uint64:
		return s.BindInt64(i, int64(v))
	case bool:
		return s.BindBool(i, v)
	case string:
		return s.BindText(i, v)
	case packet.ChatID:
		return s.BindText(i, string(v))
	case packet.UserID:
		return s.BindText(i, string(v))
	case packet.Type:
		return s.BindText(i, string(v))
	case []byte:
		return s.BindBlob(i, v)
	case packet.PacketID:
		return s.BindBlob(i, v[:])
	case packet.BlobID:
		return s.BindBlob(i, v[:])
	case packet.DeviceID:
		return s.BindBlob(i, v[:])
	case packet.OrderKey:
		return s.BindBlob(i, v[:])
	}
	return fmt.Errorf("no column for a %T", arg)
}

// log gives the file of the write-ahead log.
func (c *conn) log() (*walLog, error) {
	journal, err := c.FileControl("main", sqlite3.FCNTL_JOURNAL_POINTER)
	if err != nil {
		return nil, fmt.Errorf("find the write-ahead log: %w", err)
	}
	f, ok := journal.(*walFile)
	if !ok {
		return nil, errors.New("the write-ahead log is none of this store's files")
	}
	return f.walLog, nil
}

// blob gives a copy of a column, nil when it is NULL or empty.
func blob(s *sqlite3.Stmt, column int) []byte {
	if raw := s.ColumnRawBlob(column); len(raw) > 0 {
		return append([]byte(nil), raw...)
	}
	return nil
}

// fill copies a column into an array; it stays zero when the column is NULL.
func fill(into []byte, s *sqlite3.Stmt, column int) { copy(into, s.ColumnRawBlob(column)) }

// firstWords names a statement in an error: its verb and table are enough, and
// it holds no values.
func firstWords(sql string) string {
	words := strings.Fields(sql)
	return strings.Join(words[:min(3, len(words))], " ")
}
