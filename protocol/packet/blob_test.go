package packet

import (
	"errors"
	"strings"
	"testing"
)

func TestPieces(t *testing.T) {
	for _, c := range []struct {
		size, pieces uint64
		last         int
	}{{0, 0, 0}, {1, 1, 1}, {PieceSize, 1, PieceSize}, {PieceSize + 1, 2, 1}, {MaxBlob, MaxBlob / PieceSize, PieceSize}} {
		if n := Pieces(c.size); n != c.pieces {
			t.Errorf("%d bytes have %d pieces, want %d", c.size, n, c.pieces)
		}
		if c.pieces > 0 {
			if n := PieceLength(c.size, c.pieces-1); n != c.last {
				t.Errorf("the last piece of %d bytes has %d, want %d", c.size, n, c.last)
			}
		}
		if n := PieceLength(c.size, c.pieces); n != 0 {
			t.Errorf("%d bytes have a piece of %d bytes too many", c.size, n)
		}
	}
}

func TestLinks(t *testing.T) {
	for _, c := range []struct {
		at, target string
		ok         bool
	}{
		{"a", "b", true}, {"d/a", "../b", true}, {"d/a", ".", true}, {"d/e/a", "../../x/y", true}, {"d/a", "./../b", true},
		{"a", "../b", false}, {"a", "/etc/passwd", false}, {"a", "", false}, {"d/a", "../../b", false}, {"a", "b\x00c", false},
		// b may be a link itself: what is above it is not what it seems.
		{"a", "b/../c", false}, {"d/a", "../b/..", false}, {"a", strings.Repeat("x/", 3000), false}, {"a", "\xff", false},
	} {
		if ok := LinkWithin(c.at, c.target); ok != c.ok {
			t.Errorf("a link at %q to %q: %v", c.at, c.target, ok)
		}
	}
}

func TestBadFolders(t *testing.T) {
	long := strings.Repeat("x", 256)
	file := func(path string) FolderEntry { return FolderEntry{Path: path, Kind: FolderFile, Mode: 0o644} }
	for name, folder := range map[string]Folder{
		"up":            {file("../x")},
		"absolute":      {file("/x")},
		"dot":           {file("./x")},
		"empty":         {file("")},
		"empty name":    {file("a//b")},
		"NUL":           {file("a\x00")},
		"no UTF-8":      {file("\xff")},
		"long name":     {file(long)},
		"deep":          {file(strings.Repeat("x/", 64) + "x")},
		"twice":         {file("x"), file("x")},
		"no parent":     {file("a/b")},
		"parent later":  {file("a/b"), {Path: "a", Kind: FolderFolder}},
		"parent a file": {file("a"), file("a/b")},
		"parent a link": {{Path: "a", Kind: FolderLink, Target: "b"}, file("a/b")},
		"setuid":        {{Path: "a", Kind: FolderFile, Mode: 0o4755}},
		"a device":      {{Path: "a", Kind: 9}},
		"no kind":       {{Path: "a"}},
		"link out":      {{Path: "a", Kind: FolderLink, Target: "../b"}},
		"sized folder":  {{Path: "a", Kind: FolderFolder, Size: 1}},
		"huge":          {{Path: "a", Kind: FolderFile, Size: MaxBlob}, {Path: "b", Kind: FolderFile, Size: 1}},
		"many":          make(Folder, MaxEntries+1),
	} {
		if _, err := folder.Encode(); !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestBadStreamFrames(t *testing.T) {
	m := testManifest(t)
	for name, f := range map[string]StreamFrame{
		"piece beyond itself": &Piece{Offset: PieceSize - 1, Length: 2},
		"empty piece":         &Piece{},
		"piece too far":       &Piece{Number: MaxBlob / PieceSize, Length: 1},
		"request of nothing":  &BlobRequest{Chat: "alice-bob"},
		"request nowhere":     &BlobRequest{Blob: testBlob(t)},
		"offset of a piece":   &BlobRequest{Blob: testBlob(t), Chat: "alice-bob", Offset: PieceSize},
		"too large":           &BlobInfo{Size: MaxBlob + 1},
		"index too large":     &BlobInfo{Size: 5, IndexSize: 6},
		"another size":        &BlobInfo{Size: 5, Manifest: &m},
		"ranges that touch":   &BlobInfo{Size: 5, Have: []Range{{0, 1}, {2, 3}}},
		"too many hashes":     &BlobHashes{Hashes: make([]Hash, MaxHashes+1)},
	} {
		if _, err := AppendStreamFrame(nil, f); !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
