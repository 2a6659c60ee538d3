package identity

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/parley-chat/parley/internal/failure"
)

// maxKeyText bounds what may be written around a key: hexadecimal digits and a
// line's end.
const maxKeyText = 128

// keepFile makes a key in a file. One that is there without key.json is taken:
// the crash that left it may have been one after the database was made.
func (v *Vault) keepFile() ([]byte, error) {
	key, err := v.fromFile()
	if !errors.Is(err, ErrKeyMissing) {
		return key, err
	}
	key = newKey()
	return key, writePrivate(v.path(keyFile), []byte(hex.EncodeToString(key)+"\n"))
}

func (v *Vault) fromFile() ([]byte, error) {
	path := v.path(keyFile)
	b, err := readPrivate(path, maxKeyText)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, failure.New(ErrKeyMissing, "%s is missing: put it back from a backup; without it the messages cannot be read", path)
	}
	if err != nil {
		return nil, err
	}
	key, err := parseKey(b)
	if err != nil {
		return nil, failure.New(ErrDamaged, "%s is damaged (%v): put it back from a backup; without it the messages cannot be read", path, err)
	}
	return key, nil
}

// parseKey reads a key as 32 bytes, 64 hexadecimal digits or base64.
func parseKey(b []byte) ([]byte, error) {
	if len(b) == KeySize {
		return b, nil
	}
	text := strings.TrimSpace(string(b))
	if key, err := hex.DecodeString(text); err == nil && len(key) == KeySize {
		return key, nil
	}
	if key, err := base64.StdEncoding.DecodeString(text); err == nil && len(key) == KeySize {
		return key, nil
	}
	return nil, fmt.Errorf("%d bytes that are no key: a key is %d bytes, or as many in hexadecimal or base64", len(b), KeySize)
}

// readPrivate reads a small file that only its owner, who must be this user or
// root, can read and write. A missing one is fs.ErrNotExist.
func readPrivate(path string, limit int64) ([]byte, error) {
	f, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if err := checkOwn(path, info); err != nil {
		return nil, err
	}
	folder := filepath.Dir(path)
	folderInfo, err := os.Stat(folder)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if folderInfo.Mode().Perm()&0o022 != 0 {
		return nil, failure.New(ErrPermissions, "others could replace the files in %s: run  chmod 700 %s", folder, folder)
	}
	return readBounded(f, limit)
}

// openRegular opens a file that is neither a link, which could lead anywhere,
// nor something that blocks.
func openRegular(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, syscall.ELOOP) {
		return nil, failure.New(ErrDamaged, "%s is a symbolic link: put the file itself there", path)
	}
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		_ = f.Close()
		return nil, failure.New(ErrDamaged, "%s is not a regular file", path)
	}
	return f, nil
}

func checkOwn(path string, info fs.FileInfo) error {
	if info.Mode().Perm()&0o077 != 0 {
		return failure.New(ErrPermissions, "others could read or write %s: run  chmod 600 %s", path, path)
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		return failure.New(ErrPermissions, "%s belongs to another user: run  chown %d %s  as root", path, os.Geteuid(), path)
	}
	return nil
}

func readBounded(f *os.File, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", f.Name(), err)
	}
	if int64(len(b)) > limit {
		return nil, failure.New(ErrDamaged, "%s is damaged: it has more than %d bytes", f.Name(), limit)
	}
	return b, nil
}

// writePrivate replaces a file; after a crash it is the old or the new one,
// whole.
func writePrivate(path string, b []byte) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("write %s: %w", path, err)
		}
	}()
	folder := filepath.Dir(path)
	f, err := os.CreateTemp(folder, "."+filepath.Base(path)+"-*") // 0600
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return err
	}
	dir, err := os.Open(folder)
	if err != nil {
		return err
	}
	err = dir.Sync()
	if closeErr := dir.Close(); err == nil {
		err = closeErr
	}
	return err
}
