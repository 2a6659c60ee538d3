package file

import (
	"fmt"
	"mime"
	"path"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/parley-chat/parley/plugins/sdk"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/packet/net2019"
)

// In a chat of 2019 an offer is a name and a size, and what was offered is pushed by
// its sender at once; its blob has the id of the message. Nobody is told what became
// of it.

// tell is the effect that tells the others in a chat what became of something.
func tell(id packet.PacketID, chat packet.ChatID, content []byte) sdk.Effect {
	if chat.Kind() == packet.Net2019 {
		return nil
	}
	return sdk.SendPacket{ID: id, Chat: chat, Type: TypeState, Content: content}
}

// encodeIn is Offer.Encode for a chat.
func (o *outgoing) encodeIn(chat packet.ChatID) ([]byte, error) {
	if chat.Kind() != packet.Net2019 {
		return o.offer.Encode()
	}
	cannot := func(what string) *sdk.Error {
		return sdk.Errorf(codes.FailedPrecondition, "The protocol of 2019 has no %s", what)
	}
	switch {
	case o.offer.Folder:
		return nil, cannot("folders: pack it into a file first.").Because("NET2019_FOLDER")
	case o.offer.Caption != "":
		return nil, cannot("captions: send the text as a message of its own.").Because("NET2019_CAPTION")
	case !o.offer.ReplyTo.IsZero():
		return nil, cannot("replies: send it as a message of its own.").Because("NET2019_REPLY")
	}
	o.offer.Name = net2019.SafeName(o.offer.Name)
	return fmt.Appendf(nil, "%s_%d", o.offer.Name, o.offer.Size), nil
}

// decodeIn is DecodeOffer for a packet's chat. A picture of 2019 says nothing of its
// width and height, so until it is here it is shown as a file: see look2019.
func decodeIn(k sdk.Packet) (Offer, error) {
	if k.Chat.Kind() != packet.Net2019 {
		return DecodeOffer(k.Type, k.Content)
	}
	name, size, err := net2019.ParseFile(k.Content)
	if err != nil {
		return Offer{}, fmt.Errorf("offer: %w: %w", err, ErrMalformed)
	}
	o := Offer{Blob: packet.BlobID(k.ID), Name: name, Size: size}
	media, _, err := mime.ParseMediaType(mime.TypeByExtension(strings.ToLower(path.Ext(name))))
	if err == nil && mediaPattern.MatchString(media) {
		o.Media = media
	}
	return o, o.check(TypeFile)
}

// look2019 fills in how a picture of 2019 looks that is here. What is none, whatever
// its sender says, stays a file.
func (p *Plugin) look2019(m *sdk.Message, d *Data) {
	if m.Chat.Kind() != packet.Net2019 || m.Kind != KindImage || d.State != Received {
		return
	}
	_, shape, err := p.look(m.ID, d.Path, false)
	if err != nil || shape.Media == "" {
		return // or it was moved away already
	}
	var o Offer
	if ok, err := o.show(d.Path, shape); err != nil || !ok {
		return
	}
	d.Media, d.Width, d.Height, d.Animated, d.Thumbnail = o.Media, o.Width, o.Height, o.Animated, []byte(o.Thumbnail)
}
