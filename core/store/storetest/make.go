package storetest

import (
	"encoding/binary"
	"time"

	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/packet"
)

// Began is when the times that Message and Entry make begin.
var Began = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// ID makes the same packet id of the same parts each time.
func ID(parts ...uint64) packet.PacketID {
	h := packet.HashOf(binary.BigEndian.AppendUint64(nil, uint64(len(parts))))
	for _, p := range parts {
		h = packet.HashOf(binary.BigEndian.AppendUint64(h[:], p))
	}
	return packet.PacketID(h[:16])
}

// Message makes the n-th message of a chat: its place and time ascend with n.
func Message(chat packet.ChatID, n uint64, body string) store.Message {
	h := packet.Header{Depth: n, SentAt: Began.Add(time.Duration(n) * time.Second).UnixMicro()}
	return store.Message{
		ID: ID(hash(string(chat)), n), Chat: chat, Author: "bob", Plugin: "text", Kind: "text", Body: body,
		SentAt: h.SentAt, Order: h.Order(), Notifies: true,
	}
}

// Entry makes an unsigned entry in state EntryNew.
func Entry(author packet.UserID, log packet.Log, number, depth uint64, kind packet.Type, content string) store.Entry {
	h := packet.Header{
		ID:   ID(hash(string(log.Chat)), hash(string(log.Device[:])), log.Epoch, number),
		Chat: log.Chat, Type: kind, Author: author, Device: log.Device, Epoch: log.Epoch, Number: number, Depth: depth,
		SentAt: Began.Add(time.Duration(depth) * time.Second).UnixMicro(), Delivery: packet.Reliable,
	}
	p, err := packet.Seal(h, []byte(content), nil)
	if err != nil {
		panic(err) // a mistake of the test
	}
	return store.Entry{Packet: p, State: store.EntryNew}
}

func hash(s string) uint64 {
	h := packet.HashOf([]byte(s))
	return binary.BigEndian.Uint64(h[:])
}

// Annotation makes an annotation of a message.
func Annotation(m store.Message, kind string, author packet.UserID, search string) store.Annotation {
	return store.Annotation{
		Chat: m.Chat, Message: m.ID, Kind: kind, Author: author, Plugin: "emoji", Value: []byte("value of " + search), Search: search,
	}
}

// Blob makes the n-th blob of a message: it is wanted, and older ones have a
// lower n.
func Blob(message store.Message, n uint64) store.Blob {
	return store.Blob{
		ID: packet.BlobID(ID(hash("blob"), n)), Chat: message.Chat, Message: message.ID, Plugin: "file", Author: message.Author,
		Device: packet.DeviceID{7}, State: store.BlobWanted, Name: "notes.txt", Size: 100 + n, CreatedAt: message.SentAt + int64(n),
	}
}
