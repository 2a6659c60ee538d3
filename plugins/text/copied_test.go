package text

import (
	"context"
	"testing"

	"github.com/parley-chat/parley/plugins/sdk"
	"github.com/parley-chat/parley/protocol/packet"
)

// two is a core with two messages of packets with one id.
type two struct {
	core
	messages []sdk.Message
}

func (c *two) Messages(context.Context, packet.ChatID, ...packet.PacketID) ([]sdk.Message, error) {
	return c.messages, nil
}

// Somebody gave his text the id of bob's, and was here first: bob's edit is of his own.
func TestEditOfCopiedID(t *testing.T) {
	id := packet.NewPacketID()
	p := New()
	p.core = &two{messages: []sdk.Message{{ID: id, Author: "mallory", Body: "copied"}, {ID: packet.NewPacketID(), Author: "bob", Body: "genuine"}}}
	content, err := Edit{Message: id, Body: "better", Revision: 1}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	effects, err := p.handleEdit(t.Context(), sdk.Packet{ID: packet.NewPacketID(), Chat: "bob-carol", Author: "bob", Content: content})
	if err != nil {
		t.Fatalf("bob may not edit his own message: %v", err)
	}
	if change, ok := effects[0].(sdk.ChangeMessage); !ok || change.Body != "better" {
		t.Errorf("the edit leads to %+v", effects)
	}
	if _, err := p.handleEdit(t.Context(), sdk.Packet{ID: packet.NewPacketID(), Chat: "bob-carol", Author: "carol", Content: content}); err == nil {
		t.Error("carol edits what is not hers")
	}
}
