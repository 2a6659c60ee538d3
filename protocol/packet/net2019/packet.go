package net2019

import (
	"fmt"
	"strings"

	"github.com/parley-chat/parley/protocol/packet"
)

// types are the native types of the kinds. Deleted comes after LoggedOut, which is
// the one that is sent.
var types = []struct {
	kind Kind
	name packet.Type
}{
	{Text, "text"},
	{Image, "image"},
	{File, "file"},
	{Request, packet.TypeRequest},
	{GroupRequest, "group.create"},
	{Accept, packet.TypeAccept},
	{GroupAccept, "group.accept"},
	{LoggedOut, packet.TypeLeave},
	{Deleted, packet.TypeLeave},
	{VideoRequest, "call.offer"},
	{VideoAnswer, "call.answer"},
}

// Type is the native type of a kind.
func (k Kind) Type() packet.Type {
	for _, t := range types {
		if t.kind == k {
			return t.name
		}
	}
	return ""
}

// KindOf gives the kind of a native type; not ok for what the protocol cannot say.
func KindOf(name packet.Type) (k Kind, ok bool) {
	for _, t := range types {
		if t.name == name {
			return t.kind, true
		}
	}
	return 0, false
}

// Packet makes the decoded packet of a frame: h with its place in the log that the
// receiver keeps for the sender, and the rest filled in. It is unsigned, because
// nothing of net2019 is proved. Its content is the frame's, as UTF-8; of an image
// or a file the name, "_" and the size, see [ParseFile].
func (f Frame) Packet(h packet.Header) (packet.Packet, error) {
	if err := f.check(); err != nil {
		return packet.Packet{}, fmt.Errorf("net2019 frame: %w", err)
	}
	h.Chat, h.Type, h.Author = f.Chat.ID(), f.Kind.Type(), packet.UserID(f.Sender.Name())
	content := f.Content
	if f.Kind.HasBytes() {
		content = fmt.Sprintf("%s_%d", f.Content, f.Size)
	}
	return packet.Seal(h, []byte(content), nil)
}

// FrameOf makes the frame of a packet whose content is as Packet makes it, sent by
// who listens on port. What the protocol cannot say is packet.ErrMalformed.
func FrameOf(p *packet.Packet, port uint16) (Frame, error) {
	kind, ok := KindOf(p.Header.Type)
	if !ok {
		return Frame{}, fmt.Errorf("net2019 has nothing for packets of type %s: %w", p.Header.Type, packet.ErrMalformed)
	}
	chat, err := ParseChatID(p.Header.Chat)
	if err != nil {
		return Frame{}, err
	}
	sender, err := ParseName(string(p.Header.Author))
	if err != nil {
		return Frame{}, err
	}
	f := Frame{Chat: chat, Port: port, Kind: kind, Sender: sender, Content: string(p.Content)}
	if kind.HasBytes() {
		if f.Content, f.Size, err = ParseFile(p.Content); err != nil {
			return Frame{}, err
		}
	}
	if err := f.check(); err != nil {
		return Frame{}, fmt.Errorf("net2019 frame: %w", err)
	}
	return f, nil
}

// ParseFile reads the content of an image's or a file's packet.
func ParseFile(content []byte) (name string, size uint64, err error) {
	s := string(content)
	end := strings.LastIndexByte(s, '_')
	if end < 0 || s[:end] != SafeName(s[:end]) {
		return "", 0, fmt.Errorf("net2019 file %.120q: %w", s, packet.ErrMalformed)
	}
	size, err = number(s[end+1:], packet.MaxBlob)
	return s[:end], size, err
}
