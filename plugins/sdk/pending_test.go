package sdk

import (
	"context"
	"errors"
	"testing"

	"github.com/parley-chat/parley/protocol/packet"
)

// What is read within a batch waits for what earlier items of it change, and for
// nothing else.
func TestPending(t *testing.T) {
	m, other := packet.NewPacketID(), packet.NewPacketID()
	ids, others := []packet.PacketID{other, m}, []packet.PacketID{other}
	reads := map[string]func(*pending) bool{
		"message": oneOfMessages(ids), "another message": oneOfMessages(others), "page": aPage,
		"annotation": annotationOf(ids), "another's annotation": annotationOf(others),
		"value": valueWith("early/"), "another value": valueWith("late/"), "blob": aBlob, "anything": anything,
	}
	for name, c := range map[string]struct {
		effects []Effect
		waits   []string
	}{
		"nothing":            {nil, nil},
		"add a message":      {[]Effect{AddMessage{ID: m}}, []string{"message", "page", "annotation", "anything"}},
		"change a message":   {[]Effect{ChangeMessage{ID: m}}, []string{"message", "page", "annotation", "anything"}},
		"delete a message":   {[]Effect{DeleteMessage{ID: m}}, []string{"message", "page", "annotation", "blob", "anything"}},
		"set a card":         {[]Effect{SetCard{ID: m}}, []string{"anything"}},
		"drop content":       {[]Effect{DropContent{ID: m}}, []string{"anything"}},
		"annotate":           {[]Effect{Annotate{Message: m}}, []string{"annotation", "anything"}},
		"remove annotation":  {[]Effect{RemoveAnnotation{Message: m}}, []string{"annotation", "anything"}},
		"put a value":        {[]Effect{PutValue{Key: "early/1"}}, []string{"value", "anything"}},
		"set members":        {[]Effect{SetMembers{}}, []string{"anything"}},
		"send":               {[]Effect{SendPacket{ID: m}}, []string{"anything"}},
		"share a blob":       {[]Effect{ShareBlob{Message: m}}, []string{"blob", "anything"}},
		"fetch a blob":       {[]Effect{FetchBlob{Message: m}}, []string{"blob", "anything"}},
		"steer a blob":       {[]Effect{SteerBlob{}}, []string{"blob", "anything"}},
		"two, the last ones": {[]Effect{PublishEvent{}, PutValue{Key: "late/1"}}, []string{"another value", "anything"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := &batch{}
			ctx := context.WithValue(t.Context(), batchKey{}, b)
			b.uncommitted.note(c.effects)
			want := map[string]bool{}
			for _, w := range c.waits {
				want[w] = true
			}
			for read, changes := range reads {
				b.again.Store(false)
				err := mustBeCommitted(ctx, changes)
				if errors.Is(err, ErrAgain) != want[read] || b.again.Load() != want[read] {
					t.Errorf("reading %s: %v", read, err)
				}
			}
		})
	}
	if err := mustBeCommitted(t.Context(), func(*pending) bool { return true }); err != nil {
		t.Errorf("outside of Handle: %v", err)
	}
}
