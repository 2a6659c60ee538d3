package group

import (
	"context"
	"log/slog"
	"reflect"
	"strings"
	"testing"

	"github.com/parley-chat/parley/plugins/sdk"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// store is a core that commits what the test says.
type store struct{ values map[string][]byte }

func (s *store) Apply(context.Context, ...sdk.Effect) error               { return nil }
func (s *store) Contacts(context.Context) ([]sdk.Contact, error)          { return nil, nil }
func (s *store) People(context.Context) ([]sdk.Contact, error)            { return nil, nil }
func (s *store) Chats(context.Context, packet.ChatID) ([]sdk.Chat, error) { return nil, nil }
func (s *store) Heads(context.Context, packet.ChatID) ([]*pluginpb.Cutoff, error) {
	return nil, nil
}
func (s *store) Log() *slog.Logger { return slog.New(slog.DiscardHandler) }

func (s *store) Values(_ context.Context, prefix string, _ int) ([]sdk.Value, error) {
	var found []sdk.Value
	for key, value := range s.values {
		if strings.HasPrefix(key, prefix) {
			found = append(found, sdk.Value{Key: key, Value: value})
		}
	}
	return found, nil
}

func (s *store) commit(effects []sdk.Effect) {
	for _, e := range effects {
		if v, ok := e.(sdk.PutValue); ok {
			s.values[v.Key] = v.Value
		}
	}
}

// The effects of a packet were not committed, and it comes again to the same
// process: it leads to the same.
func TestHandledAgain(t *testing.T) {
	core := &store{values: map[string][]byte{}}
	p := New()
	p.core, p.self, p.ctx = core, "bob", t.Context()
	id := packet.NewPacketID()
	root := Change{Operations: []Operation{{Verb: VerbCreate, Text: "Tea", History: HistoryAll}, {Verb: VerbInvite, User: "bob"}}}
	chat := ChatOf("anna", id)
	packetOf := func(id packet.PacketID, c Change) sdk.Packet {
		content, err := c.Encode()
		if err != nil {
			t.Fatal(err)
		}
		return sdk.Packet{ID: id, Chat: chat, Type: TypeChange, Author: "anna", Content: content}
	}
	first := packetOf(id, root)
	second := packetOf(packet.NewPacketID(), Change{
		Parents: []ChangeID{IDOf(chat, "anna", id, first.Content)}, Operations: []Operation{{Verb: VerbSetTitle, Text: "Coffee"}},
	})
	handle := func(k sdk.Packet) []sdk.Effect {
		t.Helper()
		effects, err := p.Handle(t.Context(), k)
		if err != nil {
			t.Fatal(err)
		}
		return effects
	}
	var was [2][]sdk.Effect
	for i := range 3 {
		a, b := handle(first), handle(second) // in one batch, which fails
		if i > 0 {
			if !reflect.DeepEqual(was, [2][]sdk.Effect{a, b}) {
				t.Fatalf("the %d. time it leads to\n%v, %v\nthe first to\n%v", i+1, a, b, was)
			}
		}
		was = [2][]sdk.Effect{a, b}
	}
	core.commit(was[0])
	core.commit(was[1])
	if again := append(handle(first), handle(second)...); len(again) > 0 {
		t.Errorf("what was committed leads to %v", again)
	}
}
