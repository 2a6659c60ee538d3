package blob

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/packet"
)

// LeftOut is something in a folder that is not shared with it.
type LeftOut struct {
	Path string // within the folder; as it may be shown, so bytes that are no UTF-8 are "\xE9"
	Why  string // for people: "its name is not UTF-8"
}

// Prepared is what Prepare made of a path.
type Prepared struct {
	store.Blob
	// Left has the first of what is left out of a folder, LeftCount says how many
	// there are.
	Left      []LeftOut
	LeftCount uint32
}

// maxLeft is how many are named of what is left out.
const maxLeft = 20

// Prepare looks at a file or folder that a plugin is to share, without reading
// what files hold. Errors: ErrNotFound, ErrUnreadable, ErrNotContent, ErrTooLarge,
// the store's and ctx's.
func (s *Service) Prepare(ctx context.Context, plugin, path string) (Prepared, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Prepared{}, explain(path, err)
	}
	b := Prepared{Blob: store.Blob{
		ID: packet.NewBlobID(), Plugin: plugin, Author: s.self, Device: s.device, Own: true, State: store.BlobPrepared,
		Name: SafeName(filepath.Base(path)), Path: path, Stamp: marshalStamp(stampOf(info)), CreatedAt: s.cfg.Now().UnixMicro(),
	}}
	switch {
	case info.Mode().IsRegular():
		// Opening shows whether it can be read.
		f, err := openFile(path, stampOf(info))
		if err != nil {
			return Prepared{}, err
		}
		_ = f.Close()
		if b.Size = uint64(info.Size()); b.Size > packet.MaxBlob { //nolint:gosec // sizes are not negative
			return Prepared{}, fmt.Errorf("%s %w: at most 16 TiB can be shared", path, ErrTooLarge)
		}
	case info.IsDir():
		if err := s.prepareFolder(ctx, &b); err != nil {
			return Prepared{}, err
		}
	default:
		return Prepared{}, fmt.Errorf("%s %w", path, ErrNotContent)
	}
	return b, s.update(ctx, func(tx store.Tx) error { return tx.PutBlob(b.Blob) })
}

func (s *Service) prepareFolder(ctx context.Context, b *Prepared) error {
	sv := survey{path: b.Path}
	if err := sv.walk(ctx); err != nil {
		return err
	}
	if b.Left, b.LeftCount = sv.left, sv.leftCount; len(sv.folder) == 0 && sv.leftCount > 0 {
		return fmt.Errorf("%s: nothing in it %w: %s: %s", b.Path, ErrUnreadable, sv.left[0].Path, sv.left[0].Why)
	}
	index, err := sv.folder.Encode()
	if err != nil {
		return fmt.Errorf("%s: %w: %w", b.Path, ErrTooLarge, err)
	}
	l := newLayout(sv.folder, uint64(len(index)))
	if l.size > packet.MaxBlob {
		return fmt.Errorf("%s %w: at most 16 TiB can be shared", b.Path, ErrTooLarge)
	}
	for i := range sv.folder {
		if sv.folder[i].Kind == packet.FolderFile {
			b.Files++
		}
	}
	b.Folder, b.Size, b.IndexSize = true, l.size, uint32(len(index)) //nolint:gosec // Encode bounds it
	return writeFile(s.indexPath(b.ID), index)
}

// writeFile writes a small file of the service's own.
func writeFile(path string, b []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o600)
}

// survey lists what a folder has in it, in the order of names. What cannot be
// given to others as it is, or means nothing elsewhere, is left out and named.
type survey struct {
	path      string
	root      *os.Root
	folder    packet.Folder
	left      []LeftOut
	leftCount uint32
}

func (v *survey) walk(ctx context.Context) error {
	root, err := os.OpenRoot(v.path)
	if err != nil {
		return explain(v.path, err)
	}
	defer func() { _ = root.Close() }() // only read
	v.root = root
	return fs.WalkDir(root.FS(), ".", func(p string, d fs.DirEntry, err error) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err != nil {
			return explain(filepath.Join(v.path, p), err)
		}
		if p == "." {
			return nil
		}
		e, why, err := v.entry(p, d)
		if err != nil {
			return err
		}
		if why != "" {
			v.leave(p, why)
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if len(v.folder) == packet.MaxEntries {
			return fmt.Errorf("%s %w: at most %d files and folders can be shared at once; pack them first", v.path, ErrTooLarge, packet.MaxEntries)
		}
		v.folder = append(v.folder, e)
		return nil
	})
}

// leave notes that something is left out.
func (v *survey) leave(p, why string) {
	v.leftCount++
	if len(v.left) < maxLeft {
		v.left = append(v.left, LeftOut{Path: shownName(p), Why: why})
	}
}

// shownName is a path within a folder as it may be shown: of at most 300 bytes,
// the last of a long one.
func shownName(p string) string {
	const most = 300
	p = strings.TrimSuffix(strings.TrimPrefix(strconv.QuoteToGraphic(p), `"`), `"`)
	if len(p) <= most {
		return p
	}
	return "…" + strings.ToValidUTF8(p[len(p)-most:], "")
}

// entry describes what is at p, or says why it is left out.
func (v *survey) entry(p string, d fs.DirEntry) (e packet.FolderEntry, why string, err error) {
	info, err := d.Info()
	if err != nil {
		return e, "", explain(filepath.Join(v.path, p), err)
	}
	e = packet.FolderEntry{Path: p, Mode: info.Mode().Perm(), Modified: info.ModTime().UnixMicro()}
	need := uint32(unix.R_OK)
	if !utf8.ValidString(p) {
		return e, "its name is not UTF-8: rename it", nil
	}
	switch {
	case info.Mode().IsRegular():
		e.Kind, e.Size = packet.FolderFile, uint64(info.Size()) //nolint:gosec // sizes are not negative
	case info.IsDir():
		e.Kind = packet.FolderFolder
		need |= unix.X_OK
	case info.Mode()&fs.ModeSymlink != 0:
		e.Kind, e.Mode = packet.FolderLink, 0o777
		if e.Target, err = v.root.Readlink(p); err != nil {
			return e, "", explain(filepath.Join(v.path, p), err)
		}
		if !packet.LinkWithin(p, e.Target) {
			return e, "it is a link that leads out of the folder", nil
		}
		return e, "", nil
	default:
		return e, "it is " + kindOf(info.Mode()), nil
	}
	if err := unix.Access(filepath.Join(v.path, p), need); errors.Is(err, fs.ErrPermission) {
		return e, "this account may not read it", nil
	}
	return e, "", nil
}

// kindOf names what is neither file, folder nor link.
func kindOf(mode fs.FileMode) string {
	switch {
	case mode&fs.ModeSocket != 0:
		return "a socket"
	case mode&fs.ModeNamedPipe != 0:
		return "a pipe"
	case mode&fs.ModeDevice != 0:
		return "a device"
	}
	return "neither a file nor a folder"
}
