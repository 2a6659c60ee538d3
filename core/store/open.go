package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/ncruces/go-sqlite3"
)

// KeySize is the size of a database key in bytes.
const KeySize = 32

// Config says what to open.
type Config struct {
	// Path of the database file. Its folder is made when it is not there. Beside
	// it are files that begin with the same name: the write-ahead log (-wal), its
	// index (-shm, no content), the lock (.lock), and copies made before a
	// migration (.v<version>.bak).
	Path string
	// Key encrypts everything; KeySize bytes. It is copied.
	Key []byte
	Log *slog.Logger // nil means none

	// VFS names the SQLite VFS that keeps what was encrypted, "" for the operating
	// system's. A test of power loss registers one that records.
	VFS string
	// CacheKiB is the page cache of each of a few connections, 0 for 4 MiB.
	CacheKiB int

	migrations []string // for tests; nil means the embedded ones
}

const (
	applicationID = 0x5061726C // "Parl"
	pageSize      = 4096
	// checksumBytes at the end of each page hold its checksum: a damaged page is
	// an error, never other people's words.
	checksumBytes = 8
)

// Open opens an account's database, makes it when it is not there, and brings it
// to the present version. Errors: ErrKey, ErrNewer, ErrCorrupt, ErrFull,
// ErrReadOnly, ErrBusy. None of them changes what is stored.
func Open(ctx context.Context, cfg Config) (Store, error) {
	s, err := open(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", cfg.Path, mapError(err))
	}
	return s, nil
}

func open(ctx context.Context, cfg Config) (_ *db, err error) {
	if len(cfg.Key) != KeySize {
		return nil, fmt.Errorf("key of %d bytes, not %d: %w", len(cfg.Key), KeySize, ErrKey)
	}
	if cfg.Path, err = filepath.Abs(cfg.Path); err != nil {
		return nil, err
	}
	cfg.Key = bytes.Clone(cfg.Key)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.VFS, err = encrypting(cfg.VFS); err != nil {
		return nil, err
	}
	if cfg.CacheKiB <= 0 {
		cfg.CacheKiB = 4 << 10
	}
	if cfg.migrations == nil {
		if cfg.migrations, err = loadMigrations(); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(filepath.Dir(cfg.Path), 0o700); err != nil {
		return nil, err
	}
	unlock, err := lock(cfg.Path + ".lock")
	if err != nil {
		return nil, err
	}
	writer, err := openWriter(ctx, &cfg)
	if err != nil {
		return nil, errors.Join(err, unlock())
	}
	return start(cfg, writer, unlock), nil
}

// openWriter gives the connection that writes, to a database that is whole and
// of the present version.
func openWriter(ctx context.Context, cfg *Config) (_ *conn, err error) {
	began := time.Now()
	created, err := create(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if err := settleFiles(cfg); err != nil {
		return nil, err
	}
	c, err := connect(ctx, cfg, cfg.Path, false)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close())
		}
	}()
	if err := identify(c, len(cfg.migrations)); err != nil {
		return nil, err
	}
	if err := inspect(c, cfg.Path); err != nil {
		return nil, err
	}
	if err := migrate(ctx, c, cfg); err != nil {
		return nil, err
	}
	if err := reindex(ctx, c, cfg.Log); err != nil {
		return nil, err
	}
	cfg.Log.Debug("database open", "path", cfg.Path, "created", created, "took", time.Since(began))
	return c, nil
}

// create makes an empty database when there is none. It is made under another
// name and renamed when it is whole, so an empty or half file of the right name
// is always damage and never mistaken for a new account.
func create(ctx context.Context, cfg *Config) (bool, error) {
	if _, err := os.Stat(cfg.Path); err == nil {
		return false, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if info, err := os.Stat(cfg.Path + "-wal"); err == nil && info.Size() > 0 {
		return false, fmt.Errorf("the file is gone but %s-wal, which belongs to it, is there: %w", cfg.Path, ErrCorrupt)
	}
	temporary := cfg.Path + ".new"
	for _, suffix := range []string{"", "-journal", "-wal", "-shm"} {
		if err := os.Remove(temporary + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
	}
	if err := touch(temporary); err != nil {
		return false, err
	}
	if err := fillNew(ctx, cfg, temporary); err != nil {
		_ = os.Remove(temporary) // it is of no use, and made again next time
		return false, fmt.Errorf("create: %w", err)
	}
	if err := os.Rename(temporary, cfg.Path); err != nil {
		return false, err
	}
	return true, syncFolder(cfg.Path)
}

func fillNew(ctx context.Context, cfg *Config, path string) (err error) {
	c, err := connect(ctx, cfg, path, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	if _, err := c.FileControl("main", sqlite3.FCNTL_RESERVE_BYTES, checksumBytes); err != nil {
		return fmt.Errorf("enable checksums: %w", err)
	}
	err = c.Exec(fmt.Sprintf(`PRAGMA journal_mode = delete; PRAGMA synchronous = full;
		PRAGMA page_size = %d; PRAGMA application_id = %d; VACUUM; PRAGMA journal_mode = wal;`, pageSize, applicationID))
	if err != nil {
		return err
	}
	if r, err := c.FileControl("main", sqlite3.FCNTL_RESERVE_BYTES); err != nil || r != checksumBytes {
		return fmt.Errorf("enable checksums: %v: %w", r, err)
	}
	return nil
}

// settleFiles prepares the files for SQLite: it checks the key and the lengths,
// and makes the files readable by their owner only, those too that SQLite would
// make with the umask's mode.
func settleFiles(cfg *Config) error {
	path := cfg.Path
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.Size() < pageSize {
		return fmt.Errorf("the file has %d bytes: %w", info.Size(), ErrCorrupt)
	}
	if err := verifyKey(path, cfg.Key); err != nil {
		return err
	}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := touch(path + suffix); err != nil {
			return err
		}
	}
	// The write-ahead log is encrypted in blocks of a page. A last one that is not
	// whole, as a power loss may leave it, cannot be decrypted, was never synced,
	// and would keep SQLite from reading those before it.
	if info, err = os.Stat(path + "-wal"); err != nil {
		return err
	}
	if rest := info.Size() % pageSize; rest != 0 {
		if err := os.Truncate(path+"-wal", info.Size()-rest); err != nil {
			return err
		}
	}
	return syncFolder(path)
}

// touch makes sure that a file is there, can be written, and has mode 0600.
func touch(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(f.Chmod(0o600), f.Close())
}

func syncFolder(path string) error {
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// identify checks that this is a database of ours and not of a newer version.
func identify(c *conn, known int) error {
	id, _, err := c.number("PRAGMA application_id")
	if err != nil {
		return err
	}
	if id != applicationID {
		return ErrKey
	}
	version, _, err := c.number("PRAGMA user_version")
	if err != nil {
		return err
	}
	if int(version) > known {
		return fmt.Errorf("it has version %d, this program knows %d: %w", version, known, ErrNewer)
	}
	return nil
}

// smallDatabase is up to what size in pages the whole database is checked when
// it is opened.
const smallDatabase = 1024

// inspect looks for damage where it costs little: the length of the file, and
// the root of every table and index; all pages of a small database. Other pages
// are checked whenever they are read, by their checksum; Check reads them all.
func inspect(c *conn, path string) error {
	if _, _, err := c.WALCheckpoint("main", sqlite3.CHECKPOINT_TRUNCATE); err != nil {
		return fmt.Errorf("take over the write-ahead log: %w", err)
	}
	pages, _, err := c.number("PRAGMA page_count")
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.Size() < pages*pageSize {
		return fmt.Errorf("the file has %d bytes, %d are missing: %w", info.Size(), pages*pageSize-info.Size(), ErrCorrupt)
	}
	if pages <= smallDatabase {
		return quickCheck(c)
	}
	var tables []string
	err = c.each(func(s *sqlite3.Stmt) (bool, error) {
		tables = append(tables, s.ColumnText(0))
		return true, nil
	}, "SELECT name FROM sqlite_schema WHERE type = 'table' AND rootpage > 0")
	if err != nil {
		return err
	}
	for _, table := range tables {
		if err := c.run("SELECT 1 FROM " + sqlite3.QuoteIdentifier(table) + " LIMIT 1"); err != nil {
			return err
		}
	}
	return nil
}

func quickCheck(c *conn) error {
	said := ""
	if _, err := c.first(func(s *sqlite3.Stmt) { said = s.ColumnText(0) }, "PRAGMA quick_check(1)"); err != nil {
		return err
	}
	if said != "ok" {
		return fmt.Errorf("%s: %w", said, ErrCorrupt)
	}
	return nil
}
