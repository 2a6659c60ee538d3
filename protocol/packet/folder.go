package packet

import (
	"fmt"
	"io/fs"
	"path"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"github.com/parley-chat/parley/protocol/packet/peerpb"
)

// FolderKind is what an entry of a folder is.
type FolderKind uint8

// The kinds; see peerpb.FolderKind.
const (
	FolderFile   = FolderKind(peerpb.FolderKind_FOLDER_KIND_FILE)
	FolderFolder = FolderKind(peerpb.FolderKind_FOLDER_KIND_FOLDER)
	FolderLink   = FolderKind(peerpb.FolderKind_FOLDER_KIND_LINK)
)

// FolderEntry is a file, a folder or a symbolic link in a folder.
type FolderEntry struct {
	Path     string // relative, with "/"
	Kind     FolderKind
	Mode     fs.FileMode // the nine permission bits
	Size     uint64      // of a file
	Target   string      // of a link
	Modified int64       // Unix microseconds
}

// Folder is what a folder has in it, parents first; the content of the files
// follows it in this order.
type Folder []FolderEntry

// Bounds of an entry's path.
const (
	maxPath  = 4096
	maxDepth = 64
	maxName  = 255
)

// Encode gives the bytes of f. What DecodeFolder would refuse is an error.
func (f Folder) Encode() ([]byte, error) {
	if _, err := f.check(); err != nil {
		return nil, err
	}
	pb := &peerpb.Folder{Entries: make([]*peerpb.FolderEntry, len(f)), Empty: len(f) == 0}
	for i, e := range f {
		pb.Entries[i] = &peerpb.FolderEntry{
			Path: e.Path, Kind: peerpb.FolderKind(e.Kind), Mode: uint32(e.Mode), Size: e.Size, Target: e.Target, ModifiedAt: e.Modified,
		}
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(pb)
	if err != nil {
		return nil, fmt.Errorf("encode folder: %w", err)
	}
	if len(b) > MaxIndex {
		return nil, fmt.Errorf("index of %d bytes: %w", len(b), ErrTooLarge)
	}
	return b, nil
}

// DecodeFolder reads what Encode wrote, and gives the size of all files
// together. Every path stays within the folder, no two entries have one path,
// and every parent is a folder of the index.
func DecodeFolder(b []byte) (Folder, uint64, error) {
	if len(b) > MaxIndex {
		return nil, 0, fmt.Errorf("index of %d bytes: %w", len(b), ErrTooLarge)
	}
	if err := folderShape.check(b); err != nil {
		return nil, 0, err
	}
	var pb peerpb.Folder
	if err := proto.Unmarshal(b, &pb); err != nil {
		return nil, 0, fmt.Errorf("folder: %w: %w", ErrMalformed, err)
	}
	f := make(Folder, len(pb.GetEntries()))
	for i, e := range pb.GetEntries() {
		if e.GetMode() > 0o777 || e.GetKind() < 0 || e.GetKind() > 255 {
			return nil, 0, fmt.Errorf("folder entry %.80q: %w", e.GetPath(), ErrMalformed)
		}
		f[i] = FolderEntry{
			Path: e.GetPath(), Kind: FolderKind(e.GetKind()), Mode: fs.FileMode(e.GetMode()), Size: e.GetSize(),
			Target: e.GetTarget(), Modified: e.GetModifiedAt(),
		}
	}
	size, err := f.check()
	if err != nil {
		return nil, 0, err
	}
	return f, size, nil
}

func (f Folder) check() (size uint64, err error) {
	if len(f) > MaxEntries {
		return 0, fmt.Errorf("folder of %d entries, at most %d are possible: %w", len(f), MaxEntries, ErrTooLarge)
	}
	kinds := make(map[string]FolderKind, len(f))
	for i := range f {
		e := &f[i]
		if err := e.check(); err != nil {
			return 0, err
		}
		if _, twice := kinds[e.Path]; twice {
			return 0, fmt.Errorf("folder entry %.80q is there twice: %w", e.Path, ErrMalformed)
		}
		if parent := path.Dir(e.Path); parent != "." && kinds[parent] != FolderFolder {
			return 0, fmt.Errorf("folder entry %.80q comes before its folder: %w", e.Path, ErrMalformed)
		}
		kinds[e.Path] = e.Kind
		if size += e.Size; size > MaxBlob {
			return 0, fmt.Errorf("folder of more than %d bytes: %w", uint64(MaxBlob), ErrTooLarge)
		}
	}
	return size, nil
}

func (e *FolderEntry) check() error {
	bad := func(what string) error { return fmt.Errorf("folder entry %.80q %s: %w", e.Path, what, ErrMalformed) }
	if err := checkPath(e.Path); err != nil {
		return err
	}
	if e.Mode&^0o777 != 0 || e.Size > MaxBlob || e.Modified < -maxCounter || e.Modified > maxCounter {
		return bad("is out of range")
	}
	switch e.Kind {
	case FolderFile:
		if e.Target != "" {
			return bad("is a file with a target")
		}
	case FolderFolder:
		if e.Target != "" || e.Size != 0 {
			return bad("is a folder with content")
		}
	case FolderLink:
		if e.Size != 0 || !LinkWithin(e.Path, e.Target) {
			return bad("is a link that leads out of the folder")
		}
	default:
		return bad("is of an unknown kind")
	}
	return nil
}

// LinkWithin says whether a link at a path may have a target: it is relative and
// stays within the folder. ".." may only begin it: behind a name that is a link
// itself it would lead up from somewhere else than it seems to.
func LinkWithin(at, target string) bool {
	if target == "" || len(target) > maxPath || target[0] == '/' || strings.ContainsRune(target, 0) || !utf8.ValidString(target) {
		return false
	}
	up, down := strings.Count(at, "/"), false
	for name := range strings.SplitSeq(target, "/") {
		switch name {
		case "", ".":
		case "..":
			if up--; up < 0 || down {
				return false
			}
		default:
			down = true
		}
	}
	return true
}

func checkPath(p string) error {
	if p == "" || len(p) > maxPath || strings.Count(p, "/") >= maxDepth || !utf8.ValidString(p) || strings.ContainsRune(p, 0) {
		return fmt.Errorf("folder entry %.80q has no proper path: %w", p, ErrMalformed)
	}
	for name := range strings.SplitSeq(p, "/") {
		if name == "" || name == "." || name == ".." || len(name) > maxName {
			return fmt.Errorf("folder entry %.80q has no proper path: %w", p, ErrMalformed)
		}
	}
	return nil
}
