package host

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
)

const (
	filePrefix  = "parley-plugin-"
	maxFileSize = 1 << 30
)

var namePattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)

// file is a plugin's executable as it was found.
type file struct {
	name    string
	path    string // with symbolic links resolved
	bundled bool
	stamp   stamp
	sha256  string // in hex
	problem string // why it cannot be used
}

// stamp tells whether a file may have changed since it was hashed.
type stamp struct {
	size, mtime, ctime int64
	inode, device      uint64
}

func stampOf(info fs.FileInfo) stamp {
	s := stamp{size: info.Size(), mtime: info.ModTime().UnixNano()}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		s.inode, s.device = sys.Ino, uint64(sys.Dev) //nolint:unconvert // not uint64 everywhere
		s.ctime = sys.Ctim.Nano()
	}
	return s
}

// findFiles looks through a folder. A missing folder gives fs.ErrNotExist; what
// is wrong with a file is its problem.
func findFiles(folder Folder) ([]file, error) {
	real, err := filepath.EvalSymlinks(folder.Path)
	if err != nil {
		return nil, fmt.Errorf("plugin folder %s: %w", folder.Path, err)
	}
	real, err = filepath.Abs(real)
	if err != nil {
		return nil, fmt.Errorf("plugin folder %s: %w", folder.Path, err)
	}
	folderProblem := checkFolder(real)
	entries, err := os.ReadDir(real)
	if err != nil {
		return nil, fmt.Errorf("plugin folder %s: %w", folder.Path, err)
	}
	var files []file
	for _, entry := range entries {
		name, ok := strings.CutPrefix(entry.Name(), filePrefix)
		if !ok || !namePattern.MatchString(name) {
			continue
		}
		f := file{name: name, path: filepath.Join(real, entry.Name()), bundled: folder.Bundled}
		if folderProblem != nil {
			f.problem = folderProblem.Error()
		} else if err := f.resolve(real); err != nil {
			f.problem = err.Error()
		}
		files = append(files, f)
	}
	return files, nil
}

// resolve follows symbolic links and checks the file, and its folder when the
// links lead out of the plugin folder.
func (f *file) resolve(folder string) error {
	real, err := filepath.EvalSymlinks(f.path)
	if err != nil {
		return fmt.Errorf("%s leads nowhere: %w", f.path, err)
	}
	f.path = real
	if dir := filepath.Dir(real); dir != folder {
		if err := checkFolder(dir); err != nil {
			return err
		}
	}
	info, err := os.Lstat(real)
	if err != nil {
		return fmt.Errorf("cannot be read: %w", err)
	}
	f.stamp = stampOf(info)
	return checkFile(real, info)
}

func checkFile(path string, info fs.FileInfo) error {
	switch {
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is not a regular file", path)
	case info.Mode().Perm()&0o111 == 0:
		return fmt.Errorf("%s is not executable: run chmod 755 on it", path)
	case info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("others can write to %s: run chmod go-w on it", path)
	case info.Size() > maxFileSize:
		return fmt.Errorf("%s is larger than 1 GiB", path)
	}
	return checkOwner(path, info)
}

// checkFolder refuses a folder in which others could put another file in a
// plugin's place, or which others could exchange as a whole.
func checkFolder(path string) error {
	for dir := path; ; dir = filepath.Dir(dir) {
		info, err := os.Lstat(dir)
		if err != nil {
			return fmt.Errorf("folder %s: %w", dir, err)
		}
		if err := checkOwner(dir, info); err != nil {
			return err
		}
		// A parent may be writable by others if its sticky bit keeps them from
		// renaming what is not theirs, as in /tmp; one writable by a group is
		// common (/usr/local) and the administrator's decision.
		open := info.Mode().Perm()&0o022 != 0
		if dir != path {
			open = info.Mode().Perm()&0o002 != 0 && info.Mode()&fs.ModeSticky == 0
		}
		if open {
			return fmt.Errorf("others can write to the folder %s: run chmod go-w on it", dir)
		}
		if dir == filepath.Dir(dir) {
			return nil
		}
	}
}

func checkOwner(path string, info fs.FileInfo) error {
	sys, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("the owner of %s cannot be told", path)
	}
	if sys.Uid != 0 && int(sys.Uid) != os.Geteuid() {
		return fmt.Errorf("%s belongs to another user (uid %d): it must be yours or root's", path, sys.Uid)
	}
	return nil
}

// openVerified opens the file and hashes what it opened, so that what is run
// later through the open file is what was hashed, whatever happens to the name.
func openVerified(path, wantSHA256 string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, fmt.Errorf("open plugin: %w", err)
	}
	sum, err := hashOpen(f)
	if err == nil && sum != wantSHA256 {
		err = fmt.Errorf("%s: %w", path, ErrFileChanged)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func hashOpen(f *os.File) (string, error) {
	info, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("plugin %s: %w", f.Name(), err)
	}
	if err := checkFile(f.Name(), info); err != nil {
		return "", err
	}
	h := sha256.New()
	if _, err := io.Copy(h, io.LimitReader(f, maxFileSize+1)); err != nil {
		return "", fmt.Errorf("hash plugin: %w", err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return "", fmt.Errorf("hash plugin: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// hashes remembers the hash of files that have not changed. Only for listing:
// what is run is hashed again. It has one user at a time.
type hashes map[string]struct {
	stamp  stamp
	sha256 string
}

// fill sets the hash of a file without a problem.
func (h hashes) fill(f *file) {
	if known, ok := h[f.path]; ok && known.stamp == f.stamp {
		f.sha256 = known.sha256
		return
	}
	open, err := os.OpenFile(f.path, os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		f.problem = "cannot be read: " + err.Error()
		return
	}
	defer open.Close() //nolint:errcheck // only read
	sum, err := hashOpen(open)
	if err != nil {
		f.problem = err.Error()
		return
	}
	if info, err := open.Stat(); err == nil {
		f.stamp = stampOf(info)
	}
	f.sha256 = sum
	known := h[f.path]
	known.stamp, known.sha256 = f.stamp, sum
	h[f.path] = known
}
