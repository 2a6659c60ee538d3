package group

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-chat/parley/plugins/sdk"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// store is a core that commits what the test says.
type store struct {
	mu     sync.Mutex
	values map[string][]byte
	down   bool
	done   []sdk.Effect // beside Handle
}

func (s *store) Apply(_ context.Context, effects ...sdk.Effect) error {
	s.mu.Lock()
	down := s.down
	s.mu.Unlock()
	if down {
		return errors.New("down")
	}
	s.commit(effects)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done = append(s.done, effects...)
	return nil
}

func (s *store) Contacts(context.Context) ([]sdk.Contact, error)          { return nil, nil }
func (s *store) People(context.Context) ([]sdk.Contact, error)            { return nil, nil }
func (s *store) Chats(context.Context, packet.ChatID) ([]sdk.Chat, error) { return nil, nil }
func (s *store) Heads(context.Context, packet.ChatID) ([]*pluginpb.Cutoff, error) {
	return nil, nil
}
func (s *store) Log() *slog.Logger { return slog.New(slog.DiscardHandler) }

func (s *store) Values(_ context.Context, prefix string, _ int) ([]sdk.Value, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []sdk.Value
	for key, value := range s.values {
		if strings.HasPrefix(key, prefix) {
			found = append(found, sdk.Value{Key: key, Value: value})
		}
	}
	return found, nil
}

func (s *store) commit(effects []sdk.Effect) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range effects {
		if v, ok := e.(sdk.PutValue); ok {
			if s.values[v.Key] = v.Value; v.Value == nil {
				delete(s.values, v.Key)
			}
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

// The process ends after it was committed that changes turned, and before what is told of them is
// changed: the next one does that.
func TestTurnedBeforeTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := apart(t)
		lost := w.must(bob, Operation{Verb: VerbSetTitle, Text: "Bob's"})
		w.must(owner, Operation{Verb: VerbRemove, User: "bob"})
		core := &store{values: map[string][]byte{}, down: true}
		ctx, end := context.WithCancel(t.Context())
		p := New()
		p.core, p.self, p.ctx, p.end = core, "carol", ctx, end
		for _, s := range w.all {
			content, err := s.Encode()
			if err != nil {
				t.Fatal(err)
			}
			effects, err := p.Handle(ctx, sdk.Packet{ID: s.Packet, Chat: w.chat, Type: TypeChange, Author: s.Author, Content: content})
			if err != nil {
				t.Fatal(err)
			}
			core.commit(effects)
		}
		time.Sleep(time.Minute)
		if err := p.Stop(ctx); err != nil {
			t.Fatal(err)
		}
		if len(core.done) > 0 {
			t.Fatal("something is done though the core takes nothing")
		}
		core.down = false
		p = New()
		p.core, p.self = core, "carol"
		p.ctx, p.end = context.WithCancel(t.Context())
		if err := p.resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		said := ""
		for _, e := range core.done {
			if c, ok := e.(sdk.ChangeMessage); ok && c.ID == lost.Packet {
				said = c.Body
			}
		}
		if said != "bob named the group “Bob's” (does not count: owner removed bob meanwhile)" {
			t.Errorf("it is told as %q", said)
		}
		for key := range core.values {
			if strings.HasPrefix(key, queuedPrefix) {
				t.Errorf("%s says still that something is left to do", key)
			}
		}
		if err := p.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}
