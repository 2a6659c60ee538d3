package store

import (
	"fmt"

	"github.com/ncruces/go-sqlite3"

	"github.com/parley-chat/parley/protocol/packet"
)

// BlobState is how a blob is on this device.
type BlobState int

// The states; see pluginpb.BlobState. Values are stored: never renumber.
const (
	BlobPrepared BlobState = iota + 1
	BlobShared
	BlobOffered
	BlobWanted
	BlobPaused
	BlobDone // one's own: sent to all, in a chat of 2019 alone
	BlobFailed
	BlobCancelled
)

// Settled says that nothing more happens by itself.
func (s BlobState) Settled() bool { return s >= BlobDone }

// Blob is a file, picture, folder or other content that is shared or fetched.
// The store keeps what is said of it; its bytes are core/blob's.
type Blob struct {
	ID      packet.BlobID
	Chat    packet.ChatID   // empty while prepared
	Message packet.PacketID // that it belongs to, zero while prepared
	Plugin  string
	Author  packet.UserID
	Device  packet.DeviceID // the author's
	Own     bool
	State   BlobState
	Reason  string // why it failed, for people

	Name        string
	Folder      bool
	Files       uint32
	Size        uint64
	IndexSize   uint32 // bytes of a folder's index, part of Size
	Path        string // of one's own: where it is shared from; of another's: where it is, once done
	Destination string // folder that it is to be put into
	Stamp       []byte // how the source was when it was prepared

	Root      []byte // 32 bytes once all pieces are known
	Manifest  []byte // the author's signed word, once known
	Signature []byte

	Told      bool // its plugin has handled how it ended
	Done      uint64
	CreatedAt int64
}

// BlobQuery selects blobs.
type BlobQuery struct {
	Chat   packet.ChatID // empty: of all chats, and those that are in none
	Active bool          // only those that are not settled
	Limit  int           // 0 or less: all
}

// CheckBlob says what is wrong with a blob that is to be put.
func CheckBlob(b *Blob) error {
	switch {
	case b.ID == packet.BlobID{}:
		return fmt.Errorf("blob without id: %w", packet.ErrMalformed)
	case b.State < BlobPrepared || b.State > BlobCancelled:
		return fmt.Errorf("blob %s in state %d: %w", b.ID, b.State, packet.ErrMalformed)
	case b.Size > packet.MaxBlob || b.Done > b.Size:
		return fmt.Errorf("blob %s with %d of %d bytes: %w", b.ID, b.Done, b.Size, packet.ErrMalformed)
	case (b.Chat == "") != (b.State == BlobPrepared):
		return fmt.Errorf("blob %s in chat %q while in state %d: %w", b.ID, b.Chat, b.State, packet.ErrMalformed)
	}
	return nil
}

const blobColumns = `SELECT b.id, c.chat, b.message, b.plugin, b.author, b.device, b.own, b.state, b.reason, b.name, b.folder, b.files,
	b.size, b.index_size, b.path, b.destination, b.stamp, b.root, b.manifest, b.signature, b.told, b.done, b.created_at
	FROM blobs b LEFT JOIN chats c ON c.id = b.chat `

func scanBlob(s *sqlite3.Stmt) Blob {
	b := Blob{
		Chat: packet.ChatID(s.ColumnText(1)), Plugin: s.ColumnText(3), Author: packet.UserID(s.ColumnText(4)),
		Own: s.ColumnBool(6), State: BlobState(s.ColumnInt(7)), Reason: s.ColumnText(8), Name: s.ColumnText(9),
		Folder: s.ColumnBool(10), Files: uint32(s.ColumnInt64(11)), Size: uint64(s.ColumnInt64(12)), IndexSize: uint32(s.ColumnInt64(13)),
		Path: s.ColumnText(14), Destination: s.ColumnText(15), Stamp: blob(s, 16), Root: blob(s, 17),
		Manifest: blob(s, 18), Signature: blob(s, 19), Told: s.ColumnBool(20), Done: uint64(s.ColumnInt64(21)), CreatedAt: s.ColumnInt64(22),
	}
	fill(b.ID[:], s, 0)
	fill(b.Message[:], s, 2)
	fill(b.Device[:], s, 5)
	return b
}

func (t *readTx) blobs(where string, args ...any) ([]Blob, error) {
	var out []Blob
	err := t.c.each(func(s *sqlite3.Stmt) (bool, error) {
		out = append(out, scanBlob(s))
		return true, nil
	}, blobColumns+where, args...)
	return out, err
}

func (t *readTx) Blob(id packet.BlobID) (Blob, error) {
	found, err := t.blobs("WHERE b.id = ?", id)
	if err != nil {
		return Blob{}, err
	}
	if len(found) == 0 {
		return Blob{}, notFound("blob", id)
	}
	return found[0], nil
}

func (t *readTx) Blobs(q BlobQuery) ([]Blob, error) {
	limit := q.Limit
	if limit <= 0 {
		limit = -1
	}
	const newest = " ORDER BY b.created_at DESC, b.id DESC LIMIT ?"
	where, args := "WHERE TRUE", []any{}
	if q.Chat != "" {
		row, err := t.chatRow(q.Chat)
		if err != nil || row == 0 {
			return nil, err
		}
		where, args = "WHERE b.chat = ?", append(args, row)
	}
	if q.Active {
		where += " AND b.state < 6"
	}
	return t.blobs(where+newest, append(args, limit)...)
}

func (t *readTx) BlobsOf(messages []packet.PacketID) ([]Blob, error) {
	var out []Blob
	for _, id := range messages {
		found, err := t.blobs("WHERE b.message = ? ORDER BY b.created_at, b.id", id)
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	return out, nil
}

func (t *readTx) UntoldBlobs(plugin string, limit int) ([]Blob, error) {
	return t.blobs("WHERE b.plugin = ? AND NOT b.told ORDER BY b.created_at, b.id LIMIT ?", plugin, max(limit, 0))
}

func (t *tx) PutBlob(b Blob) error {
	if err := CheckBlob(&b); err != nil {
		return err
	}
	var chat, message any
	if b.Chat != "" {
		row, err := t.chat(b.Chat)
		if err != nil {
			return err
		}
		chat = row
	}
	if !b.Message.IsZero() {
		message = b.Message
	}
	return t.c.run(`INSERT OR REPLACE INTO blobs (id, chat, message, plugin, author, device, own, state, reason, name, folder, files,
		size, index_size, path, destination, stamp, root, manifest, signature, told, done, created_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		b.ID, chat, message, b.Plugin, b.Author, b.Device, b.Own, int(b.State), b.Reason, b.Name, b.Folder, int64(b.Files),
		b.Size, int64(b.IndexSize), b.Path, b.Destination, b.Stamp, b.Root, b.Manifest, b.Signature, b.Told || !b.State.Settled(), b.Done, b.CreatedAt)
}

func (t *tx) DeleteBlob(id packet.BlobID) error { return t.c.run("DELETE FROM blobs WHERE id = ?", id) }
