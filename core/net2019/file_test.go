package net2019

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/packet"
	wire "github.com/parley-chat/parley/protocol/packet/net2019"
)

func randomBytes(n int) []byte {
	b := make([]byte, n)
	source := rand.NewChaCha8([32]byte{19})
	_, _ = source.Read(b)
	return b
}

// friends is an account and a scripted original that it is connected with.
func friends(t *testing.T, config func(*Config)) (*node, *original, *listening) {
	t.Helper()
	server := serveFake(t)
	alice := newNode(t, "alice", config)
	alice.logIn(server, aliceN)
	chat := chatOf(t, aliceN, bobN)
	l := server.listen(bobN, chat)
	alice.add(bobN)
	o := l.accept()
	o.receive()
	alice.until("linked", func() bool { return alice.linked(bobN) })
	return alice, o, l
}

// TestFileComes: a file from an original, in pieces and slowly, with texts around it.
func TestFileComes(t *testing.T) {
	alice, o, l := friends(t, nil)
	chat := l.chat.ID()
	content := randomBytes(300_001)
	o.send(0, "before")
	o.raw(o.bytes(2, `C:\Users\..\..\数据_1.bin`, len(content)))
	for i := 0; i < len(content); i += 7_001 {
		o.raw(content[i:min(i+7_001, len(content))])
	}
	o.send(0, "behind")
	var ids []packet.BlobID
	alice.until("an offer", func() bool {
		ids = append(ids, alice.offers(chat, store.BlobOffered)...)
		return len(ids) == 1
	})
	alice.until("what is behind it", func() bool { return slices.Contains(alice.said(chat, bobN), "behind") })
	alice.told(ids[0], bobN, len(content))
	if b := alice.blob(ids[0]); b.State != store.BlobOffered || b.Name != "数据_1.bin" || b.Size != uint64(len(content)) {
		t.Errorf("before it is accepted: %+v", b)
	}
	// It is accepted later, after a restart.
	alice.restart()
	alice.setBlob(ids[0], func(b *store.Blob) { b.State, b.Destination = store.BlobWanted, t.TempDir() })
	alice.until("it is here", func() bool { return alice.blob(ids[0]).State == store.BlobDone })
	got, err := os.ReadFile(alice.blob(ids[0]).Path)
	if err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes came, %v", len(got), err)
	}
	alice.keeps()
}

// keeps fails unless exactly these files are kept of what came.
func (n *node) keeps(names ...string) {
	n.t.Helper()
	entries, err := os.ReadDir(n.folder)
	if err != nil {
		n.t.Fatal(err)
	}
	var there []string
	for _, e := range entries {
		there = append(there, e.Name())
	}
	slices.Sort(names)
	if !slices.Equal(there, names) {
		n.t.Errorf("there are %q, not %q", there, names)
	}
}

// told checks that all of a file was told of as it moved, in order, and its end.
func (n *node) told(id packet.BlobID, peer wire.ID, size int) {
	n.t.Helper()
	n.until("the end of a transfer is told", func() bool {
		moves := n.files.of(id)
		return len(moves) > 0 && moves[len(moves)-1].stopped
	})
	moves := n.files.of(id)
	done := 0
	for _, m := range moves[:len(moves)-1] {
		if done += m.n; m.stopped || m.done != uint64(done) || m.peer != packet.UserID(peer.Name()) {
			n.t.Errorf("at %d bytes: %+v", done, m)
		}
	}
	if done != size || len(moves) < 3 {
		n.t.Errorf("%d of %d bytes were told, in %d steps", done, size, len(moves))
	}
}

func (n *node) setBlob(id packet.BlobID, change func(*store.Blob)) {
	n.t.Helper()
	n.setBlobQuietly(id, change)
	bus.Publish(n.bus, bus.BlobChanged, bus.BlobRef{ID: id, Chat: n.blob(id).Chat})
}

func (n *node) setBlobQuietly(id packet.BlobID, change func(*store.Blob)) {
	n.t.Helper()
	err := n.store.Update(n.t.Context(), store.Synced, func(tx store.Tx) error {
		b, err := tx.Blob(id)
		if err != nil {
			return err
		}
		change(&b)
		return tx.PutBlob(b)
	})
	if err != nil {
		n.t.Fatal(err)
	}
}

// TestShortFile: fewer bytes than were announced: it fails with a reason, nothing of it
// is kept, and the connection is closed with a farewell.
func TestShortFile(t *testing.T) {
	alice, o, l := friends(t, func(c *Config) { c.timing.silent = 500 * time.Millisecond })
	chat := l.chat.ID()
	o.raw(o.bytes(1, "/home/bob/photo.jpg", 5000))
	o.raw(make([]byte, 4000))
	var ids []packet.BlobID
	alice.until("an offer", func() bool {
		ids = append(ids, alice.offers(chat, store.BlobWanted)...)
		return len(ids) == 1
	})
	alice.until("it failed", func() bool { return alice.blob(ids[0]).State == store.BlobFailed })
	if b := alice.blob(ids[0]); !strings.Contains(b.Reason, "did not come whole") || b.Name != "photo.jpg" {
		t.Errorf("%+v", b)
	}
	if kind, _, _ := o.receive(); kind != "8" {
		t.Errorf("closed with %s", kind)
	}
	o.closed()
	alice.keeps()
	// Who asks for it again is told that nothing is there.
	alice.setBlob(ids[0], func(b *store.Blob) { b.State = store.BlobWanted })
	alice.until("it failed again", func() bool { return alice.blob(ids[0]).State == store.BlobFailed })
	if b := alice.blob(ids[0]); !strings.Contains(b.Reason, "must send it again") {
		t.Errorf("%+v", b)
	}
}

// TestLargeFile: what is too large is drained and not kept, and the connection goes on.
func TestLargeFile(t *testing.T) {
	alice, o, l := friends(t, nil)
	chat := l.chat.ID()
	alice.files.room = 1000
	o.raw(o.bytes(2, "./big", 100_000))
	o.raw(make([]byte, 100_000))
	o.send(0, "behind")
	var ids []packet.BlobID
	alice.until("an offer", func() bool {
		ids = append(ids, alice.offers(chat, store.BlobOffered)...)
		return len(ids) == 1
	})
	alice.until("it failed", func() bool { return alice.blob(ids[0]).State == store.BlobFailed })
	if b := alice.blob(ids[0]); !strings.Contains(b.Reason, "no room") {
		t.Errorf("%+v", b)
	}
	alice.until("what is behind it", func() bool { return slices.Contains(alice.said(chat, bobN), "behind") })
}

// TestFileGoes: a file to an original, which loses what it does not read in blocks; a
// text waits behind it.
func TestFileGoes(t *testing.T) {
	alice, o, l := friends(t, nil)
	chat := l.chat.ID()
	content := randomBytes(50*block + 123)
	id := alice.push(chat, "数据 1_2.bin", content)
	text := alice.say(chat, "behind the file")
	kind, _, name := o.receive()
	if kind != "2" || name != "./数据 1_2.bin" {
		t.Fatalf("offered as %s %q", kind, name)
	}
	got := make([]byte, len(content))
	_ = o.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.ReadFull(o, got); err != nil || !bytes.Equal(got, content) {
		t.Fatalf("%v, equal: %t", err, bytes.Equal(got, content))
	}
	if _, _, content := o.receive(); content != "behind the file" {
		t.Errorf("behind it: %q", content)
	}
	alice.until("both are sent", func() bool { return alice.isSent(chat, id) && alice.isSent(chat, text) })
	own := alice.blobOf(id)
	alice.told(own.ID, bobN, len(content))
	alice.until("the file is done", func() bool { return alice.blobOf(id).State == store.BlobDone })
}

// TestFileGoesNowhere: one that changed is told to have failed, and holds up nothing.
func TestFileGoesNowhere(t *testing.T) {
	alice, o, l := friends(t, nil)
	chat := l.chat.ID()
	_ = l.Close()
	_ = o.Close()
	alice.until("not linked", func() bool { return !alice.linked(bobN) })
	id := alice.push(chat, "x", []byte("four"))
	if err := os.WriteFile(alice.blobOf(id).Path, []byte("changed"), 0o600); err != nil {
		t.Fatal(err)
	}
	text := alice.say(chat, "behind it")
	back := dialAs(t, bobN, alice.port(), chatOf(t, aliceN, bobN))
	back.send(3, "")
	if _, _, content := back.receive(); content != "behind it" {
		t.Errorf("got %q", content)
	}
	alice.until("the text is sent", func() bool { return alice.isSent(chat, text) })
	if got := alice.sent(chat, id); !slices.Equal(got, []controlpb.Delivery{controlpb.Delivery_DELIVERY_FAILED}) {
		t.Errorf("the file: %v", got)
	}
	alice.until("the file failed", func() bool { return alice.blobOf(id).State == store.BlobFailed })
	if b := alice.blobOf(id); !strings.Contains(b.Reason, "changed") {
		t.Errorf("%+v", b)
	}
}

// TestFileBetweenCores: 2 MB from one account to another.
func TestFileBetweenCores(t *testing.T) {
	server := serveFake(t)
	alice, bob := newNode(t, "alice", nil), newNode(t, "bob", nil)
	alice.logIn(server, aliceN)
	bob.logIn(server, bobN)
	chat := chatOf(t, aliceN, bobN).ID()
	alice.add(bobN)
	bob.until("a request", func() bool { return bob.contact(aliceN) != nil })
	content := randomBytes(2_000_000)
	id := alice.push(chat, "a.bin", content)
	if err := bob.Answer(t.Context(), packet.UserID(aliceN.Name()), true); err != nil {
		t.Fatal(err)
	}
	var ids []packet.BlobID
	bob.until("it is here", func() bool {
		ids = append(ids, bob.offers(chat, store.BlobWanted)...)
		return len(ids) == 1 && bob.blob(ids[0]).State == store.BlobDone
	})
	got, err := os.ReadFile(bob.blob(ids[0]).Path)
	if err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	alice.until("sent", func() bool { return alice.isSent(chat, id) })
}

// TestGroup: two accounts and two originals, every pair connected once; what one
// says reaches the other three, and who leaves is gone.
func TestGroup(t *testing.T) {
	server := serveFake(t)
	alice, bob := newNode(t, "alice", nil), newNode(t, "bob", nil)
	alice.logIn(server, aliceN)
	bob.logIn(server, bobN)
	all := chatOf(t, aliceN, bobN, carolN, daveN)
	chat := all.ID()
	carol, dave := server.listen(carolN, all), server.listen(daveN, all)
	alice.add(bobN)
	bob.until("a request", func() bool { return bob.contact(aliceN) != nil })
	if err := bob.Answer(t.Context(), packet.UserID(aliceN.Name()), true); err != nil {
		t.Fatal(err)
	}
	var users []packet.UserID
	for _, id := range []wire.ID{bobN, carolN, daveN} {
		users = append(users, packet.UserID(id.Name()))
	}
	if id, err := alice.CreateGroup(t.Context(), users); err != nil || id != chat {
		t.Fatalf("%s, %v", id, err)
	}
	// alice dials all with 4; bob, whose id is the smallest, dials the originals with 6.
	conns := map[string]*original{}
	for _, l := range []*listening{carol, dave} {
		for range 2 {
			o := l.accept()
			kind, sender, _ := o.receive()
			conns[string(l.id)+sender] = o
			want := map[string]string{string(aliceN): "4", string(bobN): "6"}[sender]
			if kind != want {
				t.Errorf("%s dials %s with %s", sender, l.id, kind)
			}
		}
	}
	if len(conns) != 4 {
		t.Fatalf("%d connections", len(conns))
	}
	id := alice.say(chat, "to all")
	for _, l := range []wire.ID{carolN, daveN} {
		if kind, _, content := conns[string(l)+string(aliceN)].receive(); content != "to all" {
			t.Errorf("%s got %s %q", l, kind, content)
		}
	}
	bob.until("alice's", func() bool { return slices.Contains(bob.said(chat, aliceN), "to all") })
	alice.until("sent to all", func() bool { return alice.isSent(chat, id) })
	for _, me := range []wire.ID{aliceN, bobN} {
		conns[string(carolN)+string(me)].send(0, "carol_says")
	}
	for _, n := range []*node{alice, bob} {
		n.until("carol's", func() bool { return slices.Equal(n.said(chat, carolN), []string{"carol_says"}) })
	}
	// dave leaves: what is written from now on is for the others.
	conns[string(daveN)+string(aliceN)].send(8, "")
	conns[string(daveN)+string(aliceN)].closed()
	later := bob.say(chat, "and now")
	if _, _, content := conns[string(carolN)+string(bobN)].receive(); content != "and now" {
		t.Errorf("carol got %q", content)
	}
	_ = later
	alice.until("dave is gone", func() bool { return alice.gone(all)[packet.UserID(daveN.Name())] })
	after := alice.say(chat, "without dave")
	alice.until("sent to those who are there", func() bool { return alice.isSent(chat, after) && len(alice.sent(chat, after)) == 2 })
	// alice leaves.
	if err := alice.LeaveGroup(t.Context(), chat, false); err != nil {
		t.Fatal(err)
	}
	for {
		kind, _, _ := conns[string(carolN)+string(aliceN)].receive()
		if kind == "8" {
			break
		}
	}
	if _, err := alice.trySay(chat, "x"); err == nil {
		t.Error("wrote into a group that was left")
	}
	bob.until("alice is gone", func() bool { return bob.gone(all)[packet.UserID(aliceN.Name())] })
}

// TestGroupOfAStranger: it is opened when who opened it is made a contact.
func TestGroupOfAStranger(t *testing.T) {
	server := serveFake(t)
	alice := newNode(t, "alice", nil)
	alice.logIn(server, aliceN)
	all := chatOf(t, aliceN, bobN, carolN)
	o := dialAs(t, bobN, alice.port(), all)
	o.send(4, "")
	o.send(0, "welcome")
	alice.until("a request", func() bool {
		return strings.Contains(alice.contact(bobN).GetGreeting(), carolN.Name())
	})
	member := dialAs(t, carolN, alice.port(), all)
	member.send(6, "")
	member.send(0, "me too")
	if err := alice.Answer(t.Context(), packet.UserID(bobN.Name()), true); err != nil {
		t.Fatal(err)
	}
	alice.until("the texts", func() bool {
		return slices.Contains(alice.said(all.ID(), bobN), "welcome") && slices.Equal(alice.said(all.ID(), carolN), []string{"me too"})
	})
	id := alice.say(all.ID(), "hello")
	for _, c := range []*original{o, member} {
		if _, _, content := c.receive(); content != "hello" {
			t.Errorf("%s got %q", c.id, content)
		}
	}
	alice.until("sent", func() bool { return alice.isSent(all.ID(), id) })
	alice.restart()
	if _, err := alice.trySay(all.ID(), "after a restart"); err != nil {
		t.Errorf("the group was forgotten: %v", err)
	}
}
