package blob

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"unicode/utf8"

	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/packet"
)

// Prepare looks at a file or folder that a plugin is to share, without reading
// what files hold. Errors: ErrNotFound, ErrUnreadable, ErrNotContent, ErrTooLarge,
// the store's and ctx's.
func (s *Service) Prepare(ctx context.Context, plugin, path string) (store.Blob, error) {
	info, err := os.Stat(path)
	if err != nil {
		return store.Blob{}, explain(path, err)
	}
	b := store.Blob{
		ID: packet.NewBlobID(), Plugin: plugin, Author: s.self, Device: s.device, Own: true, State: store.BlobPrepared,
		Name: SafeName(filepath.Base(path)), Path: path, Stamp: marshalStamp(stampOf(info)), CreatedAt: s.cfg.Now().UnixMicro(),
	}
	switch {
	case info.Mode().IsRegular():
		// Opening shows whether it can be read.
		f, err := openFile(path, stampOf(info))
		if err != nil {
			return store.Blob{}, err
		}
		_ = f.Close()
		if b.Size = uint64(info.Size()); b.Size > packet.MaxBlob { //nolint:gosec // sizes are not negative
			return store.Blob{}, fmt.Errorf("%s %w: at most 16 TiB can be shared", path, ErrTooLarge)
		}
	case info.IsDir():
		if err := s.prepareFolder(ctx, &b); err != nil {
			return store.Blob{}, err
		}
	default:
		return store.Blob{}, fmt.Errorf("%s %w", path, ErrNotContent)
	}
	return b, s.update(ctx, func(tx store.Tx) error { return tx.PutBlob(b) })
}

func (s *Service) prepareFolder(ctx context.Context, b *store.Blob) error {
	folder, err := survey(ctx, b.Path)
	if err != nil {
		return err
	}
	index, err := folder.Encode()
	if err != nil {
		return fmt.Errorf("%s: %w: %w", b.Path, ErrTooLarge, err)
	}
	l := newLayout(folder, uint64(len(index)))
	if l.size > packet.MaxBlob {
		return fmt.Errorf("%s %w: at most 16 TiB can be shared", b.Path, ErrTooLarge)
	}
	for i := range folder {
		if folder[i].Kind == packet.FolderFile {
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

// survey lists what a folder has in it, in the order of names. What is neither
// file, folder nor link, and links that lead out of it, are left out, since they
// mean nothing elsewhere.
func survey(ctx context.Context, path string) (packet.Folder, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, explain(path, err)
	}
	defer func() { _ = root.Close() }() // only read
	var folder packet.Folder
	err = fs.WalkDir(root.FS(), ".", func(p string, d fs.DirEntry, err error) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err != nil {
			return explain(filepath.Join(path, p), err)
		}
		if p == "." {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return explain(filepath.Join(path, p), err)
		}
		e, ok, err := entryOf(root, p, info)
		if err != nil {
			return err
		}
		if !ok {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if len(folder) == packet.MaxEntries {
			return fmt.Errorf("%s %w: at most %d files and folders can be shared at once; pack them first", path, ErrTooLarge, packet.MaxEntries)
		}
		folder = append(folder, e)
		return nil
	})
	return folder, err
}

// entryOf describes what is at p in a folder; not ok when it is left out.
func entryOf(root *os.Root, p string, info fs.FileInfo) (e packet.FolderEntry, ok bool, err error) {
	e = packet.FolderEntry{Path: p, Mode: info.Mode().Perm(), Modified: info.ModTime().UnixMicro()}
	if !utf8.ValidString(p) {
		return e, false, nil
	}
	switch {
	case info.Mode().IsRegular():
		e.Kind, e.Size = packet.FolderFile, uint64(info.Size()) //nolint:gosec // sizes are not negative
	case info.IsDir():
		e.Kind = packet.FolderFolder
	case info.Mode()&fs.ModeSymlink != 0:
		e.Kind, e.Mode = packet.FolderLink, 0o777
		if e.Target, err = root.Readlink(p); err != nil {
			return e, false, explain(p, err)
		}
		if !packet.LinkWithin(p, e.Target) {
			return e, false, nil
		}
	default:
		return e, false, nil
	}
	return e, true, nil
}
