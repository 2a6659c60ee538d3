package store

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// loadMigrations gives the steps: the i-th brings a database of version i to
// version i+1. The files are 0001_name.sql, 0002_name.sql...
func loadMigrations() ([]string, error) {
	names, err := fs.Glob(migrationFiles, "migrations/*.sql")
	if err != nil {
		return nil, err
	}
	var steps []string
	for i, name := range names {
		number, _, _ := strings.Cut(strings.TrimPrefix(name, "migrations/"), "_")
		if n, err := strconv.Atoi(number); err != nil || n != i+1 {
			return nil, fmt.Errorf("migration %s is not number %d", name, i+1)
		}
		sql, err := migrationFiles.ReadFile(name)
		if err != nil {
			return nil, err
		}
		steps = append(steps, string(sql))
	}
	return steps, nil
}

// migrate applies the steps that the database lacks, all in one transaction,
// after it has made a copy of the file.
func migrate(ctx context.Context, c *conn, cfg *Config) error {
	steps := cfg.migrations
	version, _, err := c.number("PRAGMA user_version")
	if err != nil {
		return err
	}
	if int(version) >= len(steps) {
		return nil
	}
	if version > 0 {
		backup := fmt.Sprintf("%s.v%d.bak", cfg.Path, version)
		if err := copyFile(ctx, cfg.Path, backup); err != nil {
			return fmt.Errorf("copy the database to %s before migrating it: %w", backup, err)
		}
		cfg.Log.Info("migrating the database", "path", cfg.Path, "from", version, "to", len(steps), "copy", backup)
	}
	// The shape of the database is not to be lost by a power failure.
	if err := c.Exec("PRAGMA synchronous = full; BEGIN IMMEDIATE"); err != nil {
		return err
	}
	for i, step := range steps[version:] {
		if err := errors.Join(ctx.Err(), c.Exec(step)); err != nil {
			return errors.Join(fmt.Errorf("migrate to version %d: %w", int(version)+i+1, err), rollback(c))
		}
	}
	if err := c.Exec(fmt.Sprintf("PRAGMA user_version = %d; COMMIT", len(steps))); err != nil {
		return errors.Join(fmt.Errorf("migrate: %w", err), rollback(c))
	}
	return nil
}

// rollback ends a transaction, if SQLite has not done it yet.
func rollback(c *conn) error {
	if c.GetAutocommit() {
		return nil
	}
	return c.Exec("ROLLBACK")
}

// copyFile copies a database whose write-ahead log is empty. The copy is
// encrypted as the original is.
func copyFile(ctx context.Context, from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // only read
	temporary := to + ".new"
	out, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(temporary) // what was copied so far is of no use
		}
	}()
	_, err = io.Copy(out, readerFunc(func(p []byte) (int, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		return in.Read(p)
	}))
	if err := errors.Join(err, out.Sync(), out.Close()); err != nil {
		return err
	}
	if err := os.Rename(temporary, to); err != nil {
		return err
	}
	return syncFolder(to)
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
