package net2019

import (
	"bytes"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/packet"
)

// blobOf is the file of a message.
func (n *node) blobOf(message packet.PacketID) (b store.Blob) {
	n.t.Helper()
	err := n.store.View(n.t.Context(), func(tx store.ReadTx) error {
		blobs, err := tx.BlobsOf([]packet.PacketID{message})
		if err == nil {
			b = blobs[0]
		}
		return err
	})
	if err != nil {
		n.t.Fatal(err)
	}
	return b
}

func cancelled(b *store.Blob) { b.State = store.BlobCancelled }

func (o *original) bytesOf(n int) []byte {
	o.t.Helper()
	b := make([]byte, n)
	_ = o.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.ReadFull(o, b); err != nil {
		o.t.Fatal(err)
	}
	return b
}

// larger gives a content of which not all can be on the way to who reads nothing.
func (o *original) larger() []byte {
	o.t.Helper()
	if err := o.Conn.(*net.TCPConn).SetReadBuffer(32 << 10); err != nil {
		o.t.Fatal(err)
	}
	return bytes.Repeat([]byte("secret! "), 64<<10)
}

// TestCancelGoing: of a file that is cancelled in the middle nothing more is told; its
// bytes come to their number, which is what the other side waits for, and what is
// written later comes as ever.
func TestCancelGoing(t *testing.T) {
	alice, o, l := friends(t, nil)
	chat := l.chat.ID()
	content := o.larger()
	id := alice.push(chat, "of_mine.bin", content)
	text := alice.say(chat, "behind it")
	o.receive()
	first := o.bytesOf(4096)
	own := alice.blobOf(id).ID
	alice.until("it moves", func() bool { return len(alice.files.of(own)) > 0 })
	alice.setBlob(own, cancelled)
	alice.until("it is noticed", func() bool {
		alice.mu.Lock()
		defer alice.mu.Unlock()
		for t := range alice.moving {
			return t.cancelled.Load()
		}
		return false
	})
	got := slices.Concat(first, o.bytesOf(len(content)-len(first)))
	same := 0
	for same < len(got) && got[same] == content[same] {
		same++
	}
	if same == len(got) || len(bytes.Trim(got[same:], "\x00")) > 0 {
		t.Errorf("%d of %d bytes are the file's; behind them: %.80q", same, len(content), got[same:])
	}
	if kind, _, said := o.receive(); kind != "0" || !strings.Contains(said, "of_mine.bin was broken off") {
		t.Errorf("it is said: %s %q", kind, said)
	}
	if _, _, said := o.receive(); said != "behind it" {
		t.Errorf("behind it: %q", said)
	}
	alice.until("the text is sent", func() bool { return alice.isSent(chat, text) })
	if got := alice.sent(chat, id); !slices.Equal(got, []controlpb.Delivery{controlpb.Delivery_DELIVERY_FAILED}) {
		t.Errorf("the file: %v", got)
	}
	if b := alice.blobOf(id); b.State != store.BlobCancelled {
		t.Errorf("%+v", b)
	}
}

// TestCancelWaiting: what is cancelled before it goes is not heard of.
func TestCancelWaiting(t *testing.T) {
	alice, o, l := friends(t, nil)
	chat := l.chat.ID()
	_ = l.Close()
	_ = o.Close()
	alice.until("not linked", func() bool { return !alice.linked(bobN) })
	id := alice.push(chat, "x", []byte("four"))
	alice.setBlob(alice.blobOf(id).ID, cancelled)
	text := alice.say(chat, "behind it")
	back := dialAs(t, bobN, alice.port(), l.chat)
	back.send(3, "")
	if kind, _, said := back.receive(); kind != "0" || said != "behind it" {
		t.Errorf("%s %q", kind, said)
	}
	alice.until("the text is sent", func() bool { return alice.isSent(chat, text) })
}

// TestShrunkFile: a file that becomes shorter while it is sent ends as one that is
// cancelled does, and the connection stays.
func TestShrunkFile(t *testing.T) {
	alice, o, l := friends(t, nil)
	chat := l.chat.ID()
	content := o.larger()
	id := alice.push(chat, "x.bin", content)
	o.receive()
	if err := os.Truncate(alice.blobOf(id).Path, 5000); err != nil {
		t.Fatal(err)
	}
	if got := o.bytesOf(len(content)); len(bytes.TrimRight(got, "\x00")) == len(content) {
		t.Error("all of it came")
	}
	if _, _, said := o.receive(); !strings.Contains(said, "x.bin was broken off") {
		t.Errorf("it is said: %q", said)
	}
	alice.until("it failed", func() bool { return alice.blobOf(id).State == store.BlobFailed })
	o.send(0, "still here")
	alice.until("what comes", func() bool { return slices.Contains(alice.said(chat, bobN), "still here") })
}

// TestCancelComing: of a file that is cancelled while it comes nothing is kept, at
// once, and the connection stays.
func TestCancelComing(t *testing.T) {
	alice, o, l := friends(t, nil)
	chat := l.chat.ID()
	content := randomBytes(300_000)
	o.raw(o.bytes(2, "/of bob.bin", len(content)))
	o.raw(content[:100_000])
	var ids []packet.BlobID
	alice.until("an offer", func() bool {
		ids = append(ids, alice.offers(chat, store.BlobWanted)...)
		return len(ids) == 1
	})
	alice.until("some of it", func() bool {
		info, err := os.Stat(alice.partial(ids[0]))
		return err == nil && info.Size() == 100_000
	})
	alice.setBlob(ids[0], cancelled)
	o.raw(content[100_000:200_000])
	gone := func() bool { _, err := os.Stat(alice.partial(ids[0])); return os.IsNotExist(err) }
	for end := time.Now().Add(patience); !gone(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("what came of it is still there")
		}
		o.raw(content[:1]) // the next of it has the rest go
		content = content[:len(content)-1]
	}
	o.raw(content[200_000:])
	o.send(0, "behind it")
	alice.until("what is behind it", func() bool { return slices.Contains(alice.said(chat, bobN), "behind it") })
	if b := alice.blob(ids[0]); b.State != store.BlobCancelled {
		t.Errorf("%+v", b)
	}
	alice.keeps()
	if moves := alice.files.of(ids[0]); !moves[len(moves)-1].stopped {
		t.Errorf("its end is not told: %+v", moves[len(moves)-1])
	}
}

// TestLeftFiles: at the start what came in part goes, and what came whole stays until
// somebody says what to do with it.
func TestLeftFiles(t *testing.T) {
	alice, o, l := friends(t, nil)
	chat := l.chat.ID()
	o.raw(append(o.bytes(2, "/whole", 5), "whole"...))
	o.raw(append(o.bytes(2, "/half", 50_000), make([]byte, 25_000)...))
	var ids []packet.BlobID
	alice.until("two offers", func() bool {
		ids = append(ids, alice.offers(chat, store.BlobOffered)...)
		return len(ids) == 2
	})
	alice.until("half of it", func() bool {
		info, err := os.Stat(alice.partial(ids[1]))
		return err == nil && info.Size() == 25_000
	})
	// What a crash leaves: nothing is noted of it any more. And something else.
	before, err := os.ReadFile(alice.partial(ids[1]))
	if err != nil {
		t.Fatal(err)
	}
	alice.stop()
	lost := packet.BlobID(packet.NewPacketID())
	for _, name := range []string{alice.partial(ids[1]), alice.partial(lost), filepath.Join(alice.folder, "notes.txt")} {
		if err := os.WriteFile(name, before, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	err = alice.store.Update(t.Context(), store.Synced, func(tx store.Tx) error {
		return incoming{Chat: chat, State: fileComing}.put(tx, ids[1])
	})
	if err != nil {
		t.Fatal(err)
	}
	alice.setBlobQuietly(ids[1], func(b *store.Blob) { b.State, b.Reason = store.BlobOffered, "" })
	alice.begin()
	alice.until("half of it failed", func() bool { return alice.blob(ids[1]).State == store.BlobFailed })
	if b := alice.blob(ids[1]); !strings.Contains(b.Reason, "Parley was ended") {
		t.Errorf("%+v", b)
	}
	alice.keeps("notes.txt", ids[0].String())
	alice.setBlob(ids[0], func(b *store.Blob) { b.State, b.Destination = store.BlobWanted, t.TempDir() })
	alice.until("the whole one is here", func() bool { return alice.blob(ids[0]).State == store.BlobDone })
	if got, err := os.ReadFile(alice.blob(ids[0]).Path); err != nil || string(got) != "whole" {
		t.Errorf("%q, %v", got, err)
	}
}

// TestMostPushed: a large file is taken if it is accepted by the time the bound is
// reached, and else not, which costs the connection nothing.
func TestMostPushed(t *testing.T) {
	alice, o, l := friends(t, func(c *Config) { c.most = 100_000 })
	chat := l.chat.ID()
	content := randomBytes(250_000)
	for _, tt := range []struct {
		state store.BlobState
		kept  bool
	}{{store.BlobOffered, false}, {store.BlobWanted, true}} {
		o.raw(o.bytes(2, "/big", len(content)))
		o.raw(content[:90_000])
		var ids []packet.BlobID
		alice.until("an offer", func() bool {
			ids = append(ids, alice.offers(chat, tt.state)...)
			return len(ids) == 1
		})
		o.raw(content[90_000:])
		alice.until("its end", func() bool { return alice.blob(ids[0]).State.Settled() })
		b := alice.blob(ids[0])
		if tt.kept && b.State != store.BlobDone || !tt.kept && !strings.Contains(b.Reason, "not accepted") {
			t.Errorf("%+v", b)
		}
		alice.keeps()
	}
	o.send(0, "behind them")
	alice.until("what is behind them", func() bool { return slices.Contains(alice.said(chat, bobN), "behind them") })
}
