package blob

import (
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/parley-chat/parley/core/identity"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/packet"
)

// script has whoever asks anybody meet a script instead of that one's service.
func (w *world) script(script func(c net.Conn, r *packet.BlobRequest) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.meddle = func(_ packet.UserID, c net.Conn) net.Conn {
		mine, its, err := pipe(context.Background())
		if err != nil {
			w.t.Error(err)
			return c
		}
		go func() {
			defer func() { _, _ = c.Close(), its.Close() }()
			for {
				f, err := packet.ReadStreamFrame(c, packet.MaxStreamFrame)
				if err != nil {
					return
				}
				if r, ok := f.(*packet.BlobRequest); ok && script(c, r) != nil {
					return
				}
			}
		}()
		w.t.Cleanup(func() { _, _, _ = mine.Close(), its.Close(), c.Close() })
		return mine // the service serves a stream that nobody asks on
	}
}

func say(c net.Conn, frames ...packet.StreamFrame) error {
	for _, f := range frames {
		b, err := packet.AppendStreamFrame(nil, f)
		if err != nil {
			return err
		}
		if _, err := c.Write(b); err != nil {
			return err
		}
	}
	return nil
}

// TestHostileSources: what a peer sends is not believed, costs little, and
// leaves nothing outside the download folder.
func TestHostileSources(t *testing.T) {
	const size = 2*packet.PieceSize + 5
	content := make([]byte, packet.PieceSize)
	info := func(r *packet.BlobRequest, size uint64, index uint32) *packet.BlobInfo {
		return &packet.BlobInfo{Request: r.Request, Size: size, IndexSize: index}
	}
	isInfo := func(r *packet.BlobRequest) bool { return r.First >= packet.Pieces(size) }
	// honest answers the first question, and lie the next.
	after := func(index uint32, lie func(c net.Conn, r *packet.BlobRequest) error) func(net.Conn, *packet.BlobRequest) error {
		return func(c net.Conn, r *packet.BlobRequest) error {
			if isInfo(r) {
				return say(c, info(r, size, index), &packet.BlobEnd{Request: r.Request})
			}
			if err := say(c, info(r, size, index)); err != nil {
				return err
			}
			return lie(c, r)
		}
	}
	piece := func(c net.Conn, f packet.Piece, b []byte) error {
		if err := say(c, &f); err != nil {
			return err
		}
		_, err := c.Write(b)
		return err
	}
	hash := packet.HashOf(content)
	index, err := packet.Folder{{Path: "a", Kind: packet.FolderFile, Mode: 0o644, Size: 1}}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		script func(c net.Conn, r *packet.BlobRequest) error
		failed string // why it failed; empty: it goes on trying
	}{
		"another size": {func(c net.Conn, r *packet.BlobRequest) error {
			return say(c, info(r, size+1, 0), &packet.BlobEnd{Request: r.Request})
		}, "is not what was offered"},
		"giant frame": {func(c net.Conn, _ *packet.BlobRequest) error {
			_, err := c.Write(binary.BigEndian.AppendUint32(nil, 1<<31))
			return err
		}, ""},
		"garbage": {func(c net.Conn, _ *packet.BlobRequest) error {
			_, err := c.Write([]byte("\x00\x00\x00\x05hello"))
			return err
		}, ""},
		"end without info": {func(c net.Conn, r *packet.BlobRequest) error { return say(c, &packet.BlobEnd{Request: r.Request}) }, ""},
		"endless info": {func(c net.Conn, r *packet.BlobRequest) error {
			for {
				if err := say(c, info(r, size, 0)); err != nil {
					return err
				}
			}
		}, ""},
		"another piece": {after(0, func(c net.Conn, r *packet.BlobRequest) error {
			return piece(c, packet.Piece{Request: r.Request, Number: 1, Length: packet.PieceSize, Hash: hash}, content)
		}), ""},
		"a part of a piece": {after(0, func(c net.Conn, r *packet.BlobRequest) error {
			return piece(c, packet.Piece{Request: r.Request, Length: 10, Hash: hash}, content[:10])
		}), ""},
		"another request": {after(0, func(c net.Conn, r *packet.BlobRequest) error {
			return piece(c, packet.Piece{Request: r.Request + 9, Length: packet.PieceSize, Hash: hash}, content)
		}), ""},
		"hashes unasked": {after(0, func(c net.Conn, r *packet.BlobRequest) error {
			return say(c, &packet.BlobHashes{Request: r.Request, Hashes: []packet.Hash{hash}})
		}), ""},
		"end before the end": {after(0, func(c net.Conn, r *packet.BlobRequest) error {
			return say(c, &packet.BlobEnd{Request: r.Request})
		}), ""},
		"wrong hashes": {after(0, func(c net.Conn, r *packet.BlobRequest) error {
			for n := range r.Count {
				length := packet.PieceLength(size, n)
				if err := piece(c, packet.Piece{Request: r.Request, Number: n, Length: uint32(length), Hash: packet.Hash{9}}, content[:length]); err != nil {
					return err
				}
			}
			return say(c, &packet.BlobEnd{Request: r.Request})
		}), "is not what alice sent"},
		"an index that is none": {after(100, func(c net.Conn, r *packet.BlobRequest) error {
			return piece(c, packet.Piece{Request: r.Request, Length: packet.PieceSize, Hash: hash}, content)
		}), "its index is"},
		"an index of another size": {after(uint32(len(index)), func(c net.Conn, r *packet.BlobRequest) error {
			b := append(append([]byte{}, index...), content[len(index):]...)
			return piece(c, packet.Piece{Request: r.Request, Length: packet.PieceSize, Hash: packet.HashOf(b)}, b)
		}), "its index is"},
		"forged manifest": {func(c net.Conn, r *packet.BlobRequest) error {
			m, err := packet.SealManifest(packet.Manifest{
				Blob: r.Blob, Chat: r.Chat, Author: "alice", Device: packet.DeviceID{1}, Size: size, Root: hash,
			}, func([]byte) []byte { return make([]byte, 64) })
			if err != nil {
				return err
			}
			f := info(r, size, 0)
			f.Manifest = &m
			return say(c, f, &packet.BlobEnd{Request: r.Request})
		}, "is not what was offered"},
		"changed": {func(c net.Conn, r *packet.BlobRequest) error {
			return say(c, &packet.BlobEnd{Request: r.Request, Code: packet.BlobChanged, Text: "film \x1b[31mwas changed"})
		}, "alice says: film [31mwas changed"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "alice", "bob")
			path := filepath.Join(t.TempDir(), "film")
			write(t, path, size)
			o := w.share("alice", path)
			w.script(c.script)
			w.link("alice", "bob")
			w.fetch("bob", o)
			if c.failed != "" {
				if b := w.becomes("bob", o, store.BlobFailed); !strings.Contains(b.Reason, c.failed) {
					t.Errorf("it failed: %s", b.Reason)
				}
			} else {
				w.waiting("bob", o, "the connection was lost")
				// An honest source makes it good.
				w.heal()
				w.cut()
				w.link("alice", "bob")
				w.becomes("bob", o, store.BlobDone)
			}
			entries, err := os.ReadDir(w.nodes["bob"].home)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				if e.Name() != "Downloads" && e.Name() != "blobs" {
					t.Errorf("%s was left", e.Name())
				}
			}
		})
	}
}

// TestHostileAskers get nothing, and end their stream.
func TestHostileAskers(t *testing.T) {
	for name, ask := range map[string]func(c net.Conn, o offer) error{
		"giant frame": func(c net.Conn, _ offer) error {
			_, err := c.Write(binary.BigEndian.AppendUint32(nil, 1<<31))
			return err
		},
		"large frame":  func(c net.Conn, _ offer) error { return say(c, &packet.BlobHashes{Hashes: make([]packet.Hash, 1000)}) },
		"what answers": func(c net.Conn, _ offer) error { return say(c, &packet.BlobEnd{}) },
		"many requests": func(c net.Conn, o offer) error {
			for i := range uint32(1000) {
				if err := say(c, &packet.BlobRequest{Request: i, Blob: o.ID, Chat: o.message.Chat}); err != nil {
					return nil //nolint:nilerr // it was closed: as it should be
				}
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "alice", "bob")
			path := filepath.Join(t.TempDir(), "film")
			write(t, path, 3*packet.PieceSize)
			o := w.share("alice", path)
			w.link("alice", "bob")
			mine, its, err := pipe(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = mine.Close() }()
			alice := w.nodes["alice"]
			alice.service.Accept(alice.Links()[0], &wire{Conn: its})
			if err := ask(mine, o); err != nil {
				t.Fatal(err)
			}
			_ = mine.SetReadDeadline(time.Now().Add(patience))
			if _, err := io.Copy(io.Discard, mine); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("the stream goes on")
			}
			w.fetch("bob", o) // others are served
			w.becomes("bob", o, store.BlobDone)
		})
	}
}

// Who is no contact any more gets nothing of the direct chat over a link that is
// there for a group.
func TestFormerContactGetsNothing(t *testing.T) {
	w := newWorld(t, "alice", "bob")
	alice, bob := w.nodes["alice"], w.nodes["bob"]
	path := filepath.Join(t.TempDir(), "film")
	write(t, path, packet.PieceSize)
	o := w.share("alice", path)
	set := func(only bool) {
		alice.book.Set("bob", identity.Person{Keys: []ed25519.PublicKey{bob.id.Key()}, Linkable: true, GroupsOnly: only})
	}
	for _, tt := range []struct {
		chat packet.ChatID
		only bool
		want bool
	}{{w.chat, false, true}, {w.chat, true, false}} {
		set(tt.only)
		if is, err := alice.service.member(t.Context(), tt.chat, "bob"); err != nil || is != tt.want {
			t.Errorf("groups only %v: %v, %v", tt.only, is, err)
		}
	}
	w.link("alice", "bob")
	w.fetch("bob", o)
	b := w.becomes("bob", o, store.BlobFailed)
	if b.Done != 0 {
		t.Errorf("%d bytes came", b.Done)
	}
}

// TestStalledAskers: who asks for all that can be asked for and reads nothing
// takes nobody else's place, and one too many is told so.
func TestStalledAskers(t *testing.T) {
	w := newWorld(t, "alice", "bob", "mallory")
	path := filepath.Join(t.TempDir(), "film")
	want := write(t, path, 3*packet.PieceSize)
	o := w.share("alice", path)
	w.link("alice", "mallory")
	alice := w.nodes["alice"]
	link := alice.Links()[0]
	busy := make(chan struct{}, 2*maxServes)
	for range 2 * maxServes {
		mine, its, err := pipe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = mine.Close() })
		alice.service.Accept(link, &wire{Conn: its})
		if err := say(mine, &packet.BlobRequest{Request: 1, Blob: o.ID, Chat: o.message.Chat}); err != nil {
			t.Fatal(err)
		}
		go func() {
			f, err := packet.ReadStreamFrame(mine, packet.MaxStreamFrame)
			if end, ok := f.(*packet.BlobEnd); err == nil && ok && end.Code == packet.BlobBusy {
				busy <- struct{}{}
			}
		}()
	}
	for range 2*maxServes - maxServesToUser {
		<-busy
	}
	w.link("alice", "bob")
	w.fetch("bob", o)
	sameFile(t, w.becomes("bob", o, store.BlobDone).Path, want)
}

func TestSafeNames(t *testing.T) {
	for name, want := range map[string]string{
		"notes.txt": "notes.txt", "../../etc/passwd": "_._.._etc_passwd", "/etc/passwd": "_etc_passwd", "a\x00b": "a_b", "": "unnamed",
		".": "unnamed", "..": "unnamed", ".bashrc": "_bashrc", "con": "_con", "NUL.txt": "_NUL.txt", "COM1 .x": "_COM1 .x",
		"photo\u202egpj.exe": "photo_gpj.exe", "C:\\x": "C__x", "\xff\xfe": "_", "name. . ": "name", "  x ": "x", "图片.png": "图片.png",
		strings.Repeat("x", 300) + ".jpg":  strings.Repeat("x", 251) + ".jpg",
		strings.Repeat("图", 100) + ".jpeg": strings.Repeat("图", 83) + ".jpeg",
	} {
		got := SafeName(name)
		if got != want {
			t.Errorf("SafeName(%q) = %q, want %q", name, got, want)
		}
		if len(got) > maxName || SafeName(got) != got {
			t.Errorf("%q is not safe yet: %q", got, SafeName(got))
		}
	}
	long := strings.Repeat("x", 255)
	for name, end := range map[string]string{
		long: " (2)", "a." + long[:253]: " (2)", "." + long[:254]: " (2)", "a.tar." + long[:249]: " (2)", long[:251] + ".jpg": " (2).jpg",
		"a.tar.gz": "a (2).tar.gz", ".bashrc": ".bashrc (2)",
	} {
		if n := numbered(name, 2); len(n) > maxName || !strings.HasSuffix(n, end) {
			t.Errorf("%q was numbered to %q", name, n)
		}
	}
}

// TestManyLikeNames: as many entries as a folder can have, all of which want one
// name here, get names of their own, and in no time that grows with their square.
func TestManyLikeNames(t *testing.T) {
	folder := make(packet.Folder, packet.MaxEntries)
	for i := range folder {
		name := strings.NewReplacer("0", ":", "1", `\`).Replace(strconv.FormatInt(int64(1<<20+i), 2))
		folder[i] = packet.FolderEntry{Path: name, Kind: packet.FolderFile}
	}
	names := map[string]bool{}
	for _, e := range harmless(folder) {
		names[e.Path] = true
	}
	if len(names) != len(folder) {
		t.Errorf("%d entries have %d names", len(folder), len(names))
	}
}

func FuzzSafeName(f *testing.F) {
	f.Add("../x")
	f.Add("CON.")
	f.Fuzz(func(t *testing.T, name string) {
		got := SafeName(name)
		if !filepath.IsLocal(got) || strings.ContainsAny(got, "/\\\x00") || len(got) > maxName || got[0] == '.' || SafeName(got) != got {
			t.Errorf("SafeName(%q) = %q, then %q", name, got, SafeName(got))
		}
	})
}
