package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"

	"github.com/ncruces/go-sqlite3/util/vfsutil"
	"github.com/ncruces/go-sqlite3/vfs"
	"pgregory.net/rapid"
)

// belowLog is what a log lies in: it takes whole blocks only, as the encryption
// does best, and may fail.
type belowLog struct {
	vfsutil.SliceFile
	fail error
}

var errDisk = errors.New("the disk is full")

func (f *belowLog) WriteAt(p []byte, off int64) (int, error) {
	if f.fail != nil {
		return 0, f.fail
	}
	if off%walBlock != 0 || len(p)%walBlock != 0 {
		return 0, errors.New("not whole blocks")
	}
	return f.SliceFile.WriteAt(p, off)
}

func newWalLog() (*walLog, *belowLog) {
	below := &belowLog{}
	return &walLog{file: below, blocks: map[int64]*block{}}, below
}

func frame(commit bool) []byte {
	p := make([]byte, walFrame)
	if commit {
		binary.BigEndian.PutUint32(p[4:], 3)
	}
	return p
}

func write(t interface{ Fatal(args ...any) }, l *walLog, p []byte, off int64) {
	if n, err := l.WriteAt(p, off); n != len(p) || err != nil {
		t.Fatal("write", n, err)
	}
}

// TestWalLog writes a log as SQLite does, again and again from its beginning, and
// reads what it wrote, from the log and from what lies below it.
func TestWalLog(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l, below := newWalLog()
		var want []byte // the present log
		put := func(p []byte) {
			write(t, l, p, int64(len(want)))
			want = append(want, p...)
		}
		check := func(from io.ReaderAt, last int) {
			at := max(0, len(want)-last)
			got := make([]byte, len(want)-at)
			if _, err := from.ReadAt(got, int64(at)); err != nil || !bytes.Equal(got, want[at:]) {
				t.Fatalf("bytes %d to %d differ: %v", at, len(want), err)
			}
		}
		const recent, all = 16 * pageSize, 1 << 30 // recent: since the last commit
		for range rapid.IntRange(1, 2).Draw(t, "logs") {
			want = nil
			put(bytes.Repeat([]byte{'h'}, walHeader))
			for i := range rapid.IntRange(0, 700).Draw(t, "frames") {
				commit := i%13 == 5
				put(frame(commit))
				page := bytes.Repeat([]byte{byte(i)}, pageSize)
				if cut := i * 37 % pageSize; i%3 == 0 { // at a place to sync
					put(page[:cut])
					if err := l.Sync(0); err != nil {
						t.Fatal(err)
					}
					check(below, recent)
					put(page[cut:])
				} else {
					put(page)
				}
				if commit && i%3 != 0 {
					check(below, recent)
				}
				if at := i * 7919 % len(want); i%5 == 0 {
					got := make([]byte, min(pageSize, len(want)-at))
					if _, err := l.ReadAt(got, int64(at)); err != nil || !bytes.Equal(got, want[at:at+len(got)]) {
						t.Fatalf("frame %d: what was written at %d cannot be read: %v", i, at, err)
					}
				}
			}
			check(l, all)
			if held := len(l.blocks); held > walKept+walDirty {
				t.Fatalf("%d blocks are kept", held)
			}
		}
		if err := l.Truncate(int64(len(want))); err != nil {
			t.Fatal(err)
		}
		check(l, all)
		if size, err := l.Size(); err != nil || size%walBlock != 0 || size < int64(len(want)) {
			t.Fatal("size", size, err)
		}
		if err := l.close(); err != nil {
			t.Fatal(err)
		}
		check(below, all)
	})
}

// TestWalLogFails: a transaction whose blocks cannot be written fails, and the
// next one has them written.
func TestWalLogFails(t *testing.T) {
	l, below := newWalLog()
	write(t, l, make([]byte, walHeader), 0)
	write(t, l, frame(true), walHeader)
	below.fail = errDisk
	page := bytes.Repeat([]byte{9}, pageSize)
	for range 2 * walKept {
		if _, err := l.WriteAt(page, walHeader+walFrame); !errors.Is(err, errDisk) {
			t.Fatal(err)
		}
		if _, err := l.WriteAt(frame(true), walHeader); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Sync(0); !errors.Is(err, errDisk) {
		t.Fatal(err)
	}
	below.fail = nil
	if err := l.Sync(0); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, pageSize)
	if _, err := below.ReadAt(got, walHeader+walFrame); err != nil || !bytes.Equal(got, page) {
		t.Error("what could not be written first was not written later", err)
	}
}

// TestWalFile: all connections share a log until the last closes it.
func TestWalFile(t *testing.T) {
	v := newWalVFS(vfs.Find("memdb"))
	l, below := newWalLog()
	l.users = 2
	v.logs["log"] = l
	a, b := &walFile{l, v, "log"}, &walFile{l, v, "log"}
	write(t, l, []byte("to be seen"), 0)
	got := make([]byte, 10)
	if _, err := b.ReadAt(got, 0); err != nil || string(got) != "to be seen" {
		t.Errorf("the other connection reads %q, %v", got, err)
	}
	if err := a.Close(); err != nil || v.logs["log"] != l || len(below.SliceFile) > 0 {
		t.Errorf("the log was closed with the first of two: %v", err)
	}
	if err := b.Close(); err != nil || v.logs["log"] != nil || len(below.SliceFile) != walBlock {
		t.Errorf("the log was not closed with the last: %v, %d bytes", err, len(below.SliceFile))
	}
	if _, err := l.ReadAt(got, walBlock); !errors.Is(err, io.EOF) {
		t.Errorf("beyond the end: %v", err)
	}
}
