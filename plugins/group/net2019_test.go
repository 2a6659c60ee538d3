package group

import (
	"testing"

	"github.com/parley-chat/parley/plugins/sdk"
	"github.com/parley-chat/parley/protocol/packet"
)

// TestOpened: in a chat of 2019 it is told who opened a group, and elsewhere that is
// no packet.
func TestOpened(t *testing.T) {
	p := New()
	k := sdk.Packet{ID: packet.NewPacketID(), Chat: "net2019:2017000001-2017000002-2017000003", Type: TypeCreate, Author: "net2019:2017000001"}
	effects, err := p.Handle(t.Context(), k)
	if err != nil || len(effects) != 1 {
		t.Fatalf("%v, %v", effects, err)
	}
	m, ok := effects[0].(sdk.AddMessage)
	if !ok || m.ID != k.ID || m.Kind != KindEvent || m.Body != "net2019:2017000001 opened the group. Nothing in it is encrypted." {
		t.Errorf("%+v", effects[0])
	}
	k.Chat = packet.NewGroupChat()
	if _, err := p.Handle(t.Context(), k); err == nil {
		t.Error("taken in a group of another kind")
	}
}
