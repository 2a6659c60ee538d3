package store

import "errors"

// Errors of a Store. They come wrapped with the thing's name; what SQLite says
// of a full disk, a read-only folder or a damaged file is mapped to these in
// one place.
var (
	ErrNotFound = errors.New("not found")
	ErrExists   = errors.New("exists already")
	// ErrConflict: another entry with the same key is there.
	ErrConflict = errors.New("conflicting entry")
	// ErrKey: the database does not open with this key, or is not one of ours.
	ErrKey = errors.New("wrong key, or not a Parley database")
	// ErrNewer: the database was written by a newer version of Parley.
	ErrNewer = errors.New("database is of a newer version of Parley")
	// ErrCorrupt: the database is damaged.
	ErrCorrupt = errors.New("database is damaged")
	// ErrFull: no space left on the disk. Nothing that was committed is lost.
	ErrFull = errors.New("no space left on the disk")
	// ErrReadOnly: the file or its folder cannot be written.
	ErrReadOnly = errors.New("database cannot be written")
	// ErrBusy: another process has it open.
	ErrBusy = errors.New("database is in use by another process")
	// ErrClosed: Close was called.
	ErrClosed = errors.New("store is closed")
)
