package storetest

import (
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/packet"
)

func fullBlob() store.Blob {
	b := Blob(Message(chatA, 1, "offer"), 1)
	b.Reason, b.Folder, b.Files, b.IndexSize, b.Path, b.Destination = "because", true, 3, 50, "/from", "/to"
	b.Stamp, b.Root, b.Manifest, b.Signature = []byte("stamp"), make([]byte, 32), []byte("manifest"), make([]byte, 64)
	b.Own, b.Done, b.Size = true, 7, packet.MaxBlob
	b.Told = true
	return b
}

func blobIDs(blobs []store.Blob) []packet.BlobID {
	var out []packet.BlobID
	for _, b := range blobs {
		out = append(out, b.ID)
	}
	return out
}

var blobTests = []subtest{
	{"put, replace, delete", func(t *tester) {
		t.chats()
		b := fullBlob()
		get := func() (got store.Blob, err error) {
			t.view(func(tx store.ReadTx) error {
				got, err = tx.Blob(b.ID)
				return nil
			})
			return got, err
		}
		_, err := get()
		t.is(err, store.ErrNotFound)
		t.update(func(tx store.Tx) error { return tx.PutBlob(b) })
		got, err := get()
		t.is(err, nil)
		t.same(b, got)
		b = Blob(Message(chatB, 2, "another"), 1)
		b.Told = true // as all that are not settled
		t.update(func(tx store.Tx) error { return tx.PutBlob(b) })
		got, err = get()
		t.is(err, nil)
		t.same(b, got)
		t.update(func(tx store.Tx) error { return tx.DeleteBlob(b.ID) })
		_, err = get()
		t.is(err, store.ErrNotFound)
	}},
	{"malformed", func(t *tester) {
		t.chats()
		for _, change := range []func(*store.Blob){
			func(b *store.Blob) { b.ID = packet.BlobID{} },
			func(b *store.Blob) { b.State = 0 },
			func(b *store.Blob) { b.State = store.BlobCancelled + 1 },
			func(b *store.Blob) { b.Size = packet.MaxBlob + 1 },
			func(b *store.Blob) { b.Done = b.Size + 1 },
			func(b *store.Blob) { b.Chat = "" },
			func(b *store.Blob) { b.State = store.BlobPrepared },
		} {
			b := fullBlob()
			change(&b)
			t.update(func(tx store.Tx) error {
				t.is(tx.PutBlob(b), packet.ErrMalformed)
				return nil
			})
		}
		t.update(func(tx store.Tx) error {
			b := fullBlob()
			b.Chat = "alice-nobody"
			t.is(tx.PutBlob(b), store.ErrNotFound)
			return nil
		})
	}},
	{"lists", func(t *tester) {
		t.chats()
		a, b := Message(chatA, 1, "a"), Message(chatB, 1, "b")
		one, two, three := Blob(a, 1), Blob(a, 2), Blob(b, 3)
		two.State, three.State = store.BlobDone, store.BlobShared
		prepared := Blob(a, 4)
		prepared.Chat, prepared.Message, prepared.State = "", packet.PacketID{}, store.BlobPrepared
		t.update(func(tx store.Tx) error {
			for _, x := range []store.Blob{two, prepared, three, one} {
				if err := tx.PutBlob(x); err != nil {
					return err
				}
			}
			return nil
		})
		t.view(func(tx store.ReadTx) error {
			list := func(q store.BlobQuery) []packet.BlobID {
				got, err := tx.Blobs(q)
				t.is(err, nil)
				return blobIDs(got)
			}
			t.same([]packet.BlobID{prepared.ID, three.ID, two.ID, one.ID}, list(store.BlobQuery{}))
			t.same([]packet.BlobID{prepared.ID, three.ID}, list(store.BlobQuery{Limit: 2}))
			t.same([]packet.BlobID{prepared.ID, three.ID, one.ID}, list(store.BlobQuery{Active: true}))
			t.same([]packet.BlobID{two.ID, one.ID}, list(store.BlobQuery{Chat: chatA}))
			t.same([]packet.BlobID{one.ID}, list(store.BlobQuery{Chat: chatA, Active: true}))
			t.same(0, len(list(store.BlobQuery{Chat: "alice-nobody"})))
			of, err := tx.BlobsOf([]packet.PacketID{b.ID, a.ID, ID(99)})
			t.is(err, nil)
			t.same([]packet.BlobID{three.ID, one.ID, two.ID}, blobIDs(of))
			return nil
		})
		t.update(func(tx store.Tx) error { return tx.DeleteChat(chatA) })
		t.view(func(tx store.ReadTx) error {
			got, err := tx.Blobs(store.BlobQuery{})
			t.same([]packet.BlobID{prepared.ID, three.ID}, blobIDs(got))
			return err
		})
	}},
	{"untold", func(t *tester) {
		t.chats()
		m := Message(chatA, 1, "a")
		one, two, three, other := Blob(m, 1), Blob(m, 2), Blob(m, 3), Blob(m, 0)
		one.State, two.State, three.State = store.BlobDone, store.BlobWanted, store.BlobFailed
		other.State, other.Plugin = store.BlobCancelled, "voice"
		t.update(func(tx store.Tx) error {
			for _, x := range []store.Blob{three, two, one, other} {
				if err := tx.PutBlob(x); err != nil {
					return err
				}
			}
			return nil
		})
		untold := func(plugin string, limit int) (ids []packet.BlobID) {
			t.view(func(tx store.ReadTx) error {
				got, err := tx.UntoldBlobs(plugin, limit)
				ids = blobIDs(got)
				return err
			})
			return ids
		}
		t.same([]packet.BlobID{one.ID, three.ID}, untold("file", 9))
		t.same([]packet.BlobID{one.ID}, untold("file", 1))
		t.same(0, len(untold("file", 0)))
		t.same([]packet.BlobID{other.ID}, untold("voice", 9))
		one.Told = true
		t.update(func(tx store.Tx) error { return tx.PutBlob(one) })
		t.same([]packet.BlobID{three.ID}, untold("file", 9))
	}},
}
