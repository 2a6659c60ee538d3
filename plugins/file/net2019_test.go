package file

import (
	"strings"
	"testing"

	"github.com/parley-chat/parley/plugins/sdk"
	"github.com/parley-chat/parley/protocol/packet"
)

// TestNet2019: an offer of 2019 is a name and a size, of what has the id of its
// message; nobody is told what becomes of it.
func TestNet2019(t *testing.T) {
	const chat packet.ChatID = "net2019:2017000001-2017000002"
	k := sdk.Packet{ID: packet.NewPacketID(), Chat: chat, Type: TypeImage, Content: []byte("a_photo.PNG_123")}
	o, err := decodeIn(k)
	if err != nil || o.Name != "a_photo.PNG" || o.Size != 123 || o.Blob != packet.BlobID(k.ID) || o.Media != "image/png" {
		t.Errorf("%+v, %v", o, err)
	}
	if kind := kindIn(k); kind != KindFile {
		t.Errorf("shown as %s", kind)
	}
	for _, bad := range []string{"", "name", "name_", "../name_1", "name_-1", "name_99999999999999999999"} {
		k.Content = []byte(bad)
		if _, err := decodeIn(k); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	out := &outgoing{offer: Offer{Name: "ordner/名 字_1.txt", Size: 5}}
	if b, err := out.encodeIn(chat); err != nil || string(b) != "名 字_1.txt_5" {
		t.Errorf("%q, %v", b, err)
	}
	for what, offer := range map[string]Offer{
		"folders": {Name: "x", Folder: true}, "captions": {Name: "x", Caption: "look"}, "replies": {Name: "x", ReplyTo: packet.NewPacketID()},
	} {
		if _, err := (&outgoing{offer: offer}).encodeIn(chat); err == nil || !strings.Contains(err.Error(), "has no "+what) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if tell(packet.PacketID{}, chat, nil) != nil {
		t.Error("somebody of 2019 is told")
	}
	if tell(packet.PacketID{}, "alice-bob", nil) == nil {
		t.Error("nobody is told elsewhere")
	}
}
