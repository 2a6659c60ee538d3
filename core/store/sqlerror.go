package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/ncruces/go-sqlite3"
)

// mapped is an error whose kind is one of errors.go. What SQLite said stays in
// the text; errors.Is finds both.
type mapped struct {
	kind error
	err  error
}

func (m *mapped) Error() string   { return fmt.Sprintf("%v (%v)", m.kind, m.err) }
func (m *mapped) Unwrap() []error { return []error{m.kind, m.err} }

// kinds are the errors of errors.go.
var kinds = []error{
	ErrNotFound, ErrExists, ErrConflict, ErrKey, ErrNewer, ErrCorrupt, ErrFull, ErrReadOnly, ErrBusy, ErrClosed,
}

// mapError is the one place that says what an error of SQLite or the file system
// means. Others are left as they are.
func mapError(err error) error {
	if err == nil {
		return nil
	}
	for _, kind := range kinds {
		if errors.Is(err, kind) {
			return err
		}
	}
	var code sqlite3.ErrorCode
	var extended sqlite3.ExtendedErrorCode
	_ = errors.As(err, &code)
	_ = errors.As(err, &extended)
	kind := error(nil)
	switch {
	case code == sqlite3.FULL, extended == sqlite3.IOERR_SHMSIZE, errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		kind = ErrFull
	case code == sqlite3.NOTADB, extended == sqlite3.IOERR_BADKEY:
		kind = ErrKey
	case code == sqlite3.CORRUPT, extended == sqlite3.IOERR_DATA, extended == sqlite3.IOERR_CORRUPTFS,
		extended == sqlite3.IOERR_SHORT_READ:
		kind = ErrCorrupt
	case code == sqlite3.READONLY, code == sqlite3.PERM, errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		kind = ErrReadOnly
	case code == sqlite3.BUSY, code == sqlite3.LOCKED:
		kind = ErrBusy
	default:
		return err
	}
	return &mapped{kind, err}
}

// ctxError prefers the context's error to the interruption it caused.
func ctxError(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil && errors.Is(err, sqlite3.INTERRUPT) {
		return ctx.Err()
	}
	return mapError(err)
}
