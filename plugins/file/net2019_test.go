package file

import (
	"errors"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parley-chat/parley/plugins/sdk"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
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

// TestOrdersOfNet2019: what was not kept is not to be had again, and what went to all
// cannot be taken back.
func TestOrdersOfNet2019(t *testing.T) {
	m := &sdk.Message{ID: packet.NewPacketID(), Chat: "net2019:2017000001-2017000002"}
	p := New()
	for _, state := range []string{Declined, Cancelled} {
		_, err := p.accept(sdk.Invocation{}, &target{message: m, data: Data{State: state, Name: "x"}})
		if err == nil || !strings.Contains(err.Error(), "must send it once more") {
			t.Errorf("%s: %v", state, err)
		}
	}
	own := *m
	own.Own = true
	sent := &target{message: &own, data: Data{State: Shared, Name: "x"}, blob: &sdk.Blob{State: pluginpb.BlobState_BLOB_STATE_DONE}}
	if _, err := p.cancel(sdk.Invocation{}, sent); err == nil || !strings.Contains(err.Error(), "nothing to cancel") {
		t.Errorf("%v", err)
	}
}

// TestPictureOfNet2019: what came as a picture is shown as one when it is here, if it
// is one.
func TestPictureOfNet2019(t *testing.T) {
	folder := t.TempDir()
	whole, none := filepath.Join(folder, "whole.png"), filepath.Join(folder, "none.png")
	f, err := os.Create(whole)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(png.Encode(f, image.NewRGBA(image.Rect(0, 0, 30, 20))), f.Close(), os.WriteFile(none, []byte("\x89PNG\r\n\x1a\nnothing"), 0o600)); err != nil {
		t.Fatal(err)
	}
	m := &sdk.Message{ID: packet.NewPacketID(), Chat: "net2019:2017000001-2017000002", Kind: KindImage}
	for _, c := range []struct {
		what, path, kind, state string
		width                   uint32
	}{
		{"a picture", whole, KindImage, Received, 30},
		{"a picture sent as a file", whole, KindFile, Received, 0},
		{"a picture that is not here", whole, KindImage, Failed, 0},
		{"none", none, KindImage, Received, 0},
		{"what was moved away", filepath.Join(folder, "gone.png"), KindImage, Received, 0},
	} {
		m.Kind = c.kind
		d := Data{Path: c.path, State: c.state}
		(&Plugin{}).look2019(m, &d)
		if d.Width != c.width || (len(d.Thumbnail) > 0) != (c.width > 0) {
			t.Errorf("%s: %d x %d, a thumbnail of %d bytes", c.what, d.Width, d.Height, len(d.Thumbnail))
		}
	}
}
