package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/parley-chat/parley/server/directory"
	"github.com/parley-chat/parley/server/state"
)

// ErrNotEmpty says that a folder has something in it.
var ErrNotEmpty = errors.New("the data folder is not empty; restore into a new one")

// WriteFile has write write a backup, checks it, and puts it at path, in place
// of a file that is there. The file is there as a whole or not at all, and only
// its owner can read it.
func WriteFile(path string, write func(io.Writer) error) (Header, End, error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // 0600
	if err != nil {
		return Header{}, End{}, fmt.Errorf("make the backup: %w", err)
	}
	defer func() {
		_ = f.Close()
		_ = os.Remove(f.Name()) // gone already when all went well
	}()
	if err := write(f); err != nil {
		return Header{}, End{}, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return Header{}, End{}, fmt.Errorf("check the backup: %w", err)
	}
	header, end, err := Verify(f)
	if errors.Is(err, ErrDamaged) || errors.Is(err, ErrFormat) {
		return Header{}, End{}, errors.New("the server ended or failed before the backup was whole; see its log, and try again")
	}
	if err != nil {
		return Header{}, End{}, err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return Header{}, End{}, fmt.Errorf("write the backup: %w", err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return Header{}, End{}, fmt.Errorf("write the backup: %w", err)
	}
	return header, end, syncFolder(filepath.Dir(path))
}

func syncFolder(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("sync %s: %w", path, err)
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Restore makes a data folder, which must be empty or not there, of the backup
// at path. Until it is done no server starts on the folder.
func Restore(ctx context.Context, path, folder string, log *slog.Logger) (Header, End, error) {
	f, err := os.Open(path)
	if err != nil {
		return Header{}, End{}, fmt.Errorf("open the backup: %w", err)
	}
	defer func() { _ = f.Close() }()
	header, end, err := Verify(f)
	if err != nil {
		return Header{}, End{}, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return Header{}, End{}, fmt.Errorf("read the backup: %w", err)
	}
	if err := checkEmpty(folder); err != nil {
		return Header{}, End{}, err
	}
	return header, end, restore(ctx, f, folder, log)
}

func checkEmpty(folder string) error {
	entries, err := os.ReadDir(folder)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the data folder: %w", err)
	}
	for _, e := range entries {
		if e.Name() != "lost+found" { // of a file system of its own
			return fmt.Errorf("%s: %w", folder, ErrNotEmpty)
		}
	}
	return nil
}

func restore(ctx context.Context, f io.Reader, folder string, log *slog.Logger) error {
	s, err := state.Open(folder, state.Options{Log: log, Restore: true})
	if err != nil {
		return err
	}
	defer s.Close()
	d, err := directory.Open(ctx, directory.Config{Conn: s.Conn(), Log: log})
	if err != nil {
		return err
	}
	defer d.Close()
	_, _, err = Read(f, func(file *File, r *directory.Record) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if file != nil {
			return os.WriteFile(filepath.Join(folder, file.Name), file.Data, 0o600)
		}
		return d.Import(ctx, *r)
	})
	if err != nil {
		return fmt.Errorf("restore into %s, which is to be emptied before another try: %w", folder, err)
	}
	d.Close()
	s.Close()
	return finish(folder)
}

// finish puts all on disk, and only then lets a server use it.
func finish(folder string) error {
	dir, err := os.Open(folder)
	if err != nil {
		return fmt.Errorf("sync %s: %w", folder, err)
	}
	defer func() { _ = dir.Close() }()
	if err := unix.Syncfs(int(dir.Fd())); err != nil {
		return fmt.Errorf("sync %s: %w", folder, err)
	}
	if err := state.Restored(folder); err != nil {
		return err
	}
	return dir.Sync()
}
