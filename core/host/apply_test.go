package host

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// What a plugin sends to itself as well is handled in turn, also when the plugin
// or the core dies before.
func TestSentPacketIsHandledHereToo(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.install(r.bundled, "text", plan{})
	r.serve()
	id := packet.NewPacketID()
	send := func(id packet.PacketID, content, more string) string {
		return `{"sendPacket":{"id":` + jsonOf(id) + `,"chat":"alice-bob","type":"text","content":"` + content + `"` + more + `}}`
	}
	must(t, r.effects(send(id, "bWluZQ==", `,"handle":true`))) // "mine"
	r.wantBodies("mine")
	state := func() (e store.Entry) {
		r.view(func(tx store.ReadTx) (err error) {
			e, err = tx.EntryByID(id)
			return err
		})
		return e
	}
	r.eventually("its own packet is handled", func() bool { return state().State == store.EntryHandled })
	r.view(func(tx store.ReadTx) error {
		m, err := tx.Message(id)
		if !m.Own || m.Author != "alice" {
			t.Errorf("message %+v", m)
		}
		return err
	})
	must(t, r.effects(send(id, "bWluZQ==", `,"handle":true`))) // sent before: nothing
	must(t, r.effects(send(packet.NewPacketID(), "bm90IG1pbmU=", "")))

	// One that is not handled when the core ends is handled when it is back.
	_, err := r.host.SetEnabled(t.Context(), "text", false, "")
	must(t, err)
	r.update(func(tx store.Tx) error {
		p, err := r.outbox.Append(tx, Draft{ID: packet.NewPacketID(), Chat: r.chat, Type: "text", Content: []byte("later")})
		return errors.Join(err, tx.SetEntryState(p.Header.Key(), store.EntryNew, 0, ""))
	})
	r.restart()
	_, err = r.host.SetEnabled(t.Context(), "text", true, "")
	must(t, err)
	r.wantBodies("mine", "later")
	if err := r.effects(`{"sendPacket":{"chat":"alice-bob","type":"text","ephemeral":true,"handle":true}}`); err == nil || !strings.Contains(err.Error(), "RELIABLE") {
		t.Errorf("an ephemeral packet to handle: %v", err)
	}
}

// A packet comes with its place in its author's log, one's own too.
func TestPlaces(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.install(r.bundled, "text", plan{})
	r.serve()
	keys := r.put("text", "place:bob's", "place:second")
	place := func(what string, k packet.EntryKey) string {
		return fmt.Sprintf("%s %x/%d/%d", what, k.Device[:], k.Epoch, k.Number)
	}
	want := []string{place("bob's", keys[0]), place("second", keys[1])}
	r.wantBodies(want...)
	own := packet.NewPacketID()
	must(t, r.effects(`{"sendPacket":{"id":`+jsonOf(own)+`,"chat":"alice-bob","type":"text","content":"cGxhY2U6bWluZQ==","handle":true}}`)) // "place:mine"
	r.view(func(tx store.ReadTx) error {
		e, err := tx.EntryByID(own)
		want = append(want, place("mine", e.Packet.Header.Key()))
		return err
	})
	r.wantBodies(want...)
}

// A card may be drawn anew whoever wrote the message; the rest of it may not.
func TestSetCard(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.install(r.bundled, "text", plan{})
	r.install(r.bundled, "file", plan{})
	r.serve()
	changes := bus.Subscribe(r.bus, bus.MessageChanged, 100)
	defer changes.Close()
	own := packet.NewPacketID()
	_, err := r.invokeAs(own, "text", "send", "Tea?", nil)
	must(t, err)
	card := `{"setCard":{"id":` + jsonOf(own) + `,"card":{"title":"Tea?","body":"yes: 1","buttons":[{"label":"yes","action":"send","args":{"a":"1","b":"2"}}]}}}`
	key := r.put("text", `raw:{"effects":[`+card+`]}`)[0] // bob's vote on alice's poll
	r.eventually("the vote is handled", func() bool { return r.entry(key).State == store.EntryHandled })
	stored := func() (m store.Message, c *pluginpb.Card) {
		c = &pluginpb.Card{}
		r.view(func(tx store.ReadTx) (err error) {
			m, err = tx.Message(own)
			return errors.Join(err, proto.Unmarshal(m.Card, c))
		})
		return m, c
	}
	m, c := stored()
	if m.Body != "Tea?" || m.Edited || c.GetBody() != "yes: 1" || c.GetButtons()[0].GetArgs()["b"] != "2" {
		t.Errorf("message %+v, card %v", m, c)
	}
	if ref, err := changes.Next(t.Context()); err != nil || ref.ID != own {
		t.Errorf("told of %v (%v)", ref, err)
	}
	must(t, r.effects(card)) // the same: nothing to tell
	must(t, r.effects(`{"setCard":{"id":`+jsonOf(packet.NewPacketID())+`}}`))
	must(t, r.effects(`{"setCard":{"id":`+jsonOf(own)+`}}`))
	if _, c := stored(); proto.Size(c) > 0 {
		t.Errorf("the removed card is %v", c)
	}
	if ref, err := changes.Next(t.Context()); err != nil || ref.ID != own {
		t.Errorf("told of %v (%v)", ref, err)
	}
	if ref, more := changes.TryNext(); more {
		t.Errorf("told of %v once more", ref)
	}
	for _, bad := range []struct{ plugin, effect, says string }{
		{"file", `{"setCard":{"id":` + jsonOf(own) + `}}`, "made by the plugin text"},
		{"text", `{"setCard":{"id":"AAAA"}}`, "UUID"},
		{"text", `{"setCard":{"id":` + jsonOf(own) + `,"card":{"buttons":[{"action":"unknown"}]}}}`, "not declared"},
	} {
		if _, err := r.invoke(bad.plugin, "effects", `{"effects":[`+bad.effect+`]}`); err == nil || !strings.Contains(err.Error(), bad.says) {
			t.Errorf("%s: %v", bad.effect, err)
		}
	}
}

// Who is invited says nothing there before he accepts; the plugin with which he does,
// and what plugins do with what others say, go on.
func TestInvitedSaysNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.install(r.bundled, "group", plan{manifest: manifestOf("group", keepsMembers)})
	r.install(r.bundled, "text", plan{})
	r.serve()
	const group = "abcdefghijklmnopqrstuvwxyz"
	list := func(version int, invited string) {
		t.Helper()
		_, err := r.invoke("group", "effects", fmt.Sprintf(
			`{"effects":[{"setMembers":{"chat":"%s","version":"%d","members":["alice","bob"],"invited":[%s]}}]}`, group, version, invited))
		must(t, err)
	}
	say := func(plugin string) error {
		_, err := r.invoke(plugin, "effects", `{"effects":[{"sendPacket":{"chat":"`+group+`","type":"`+plugin+`","content":"AAAA"}}]}`)
		return err
	}
	list(2, `"alice"`)
	var refused *PluginError
	if err := say("text"); !errors.As(err, &refused) || refused.Why.GetReason() != "NOT_JOINED" || refused.Why.GetMetadata()["chat"] != group {
		t.Errorf("said by somebody invited: %v", err)
	}
	must(t, say("group"))
	reply := fmt.Sprintf(`raw:{"effects":[{"sendPacket":{"chat":"%s","type":"text","content":"AAAA"}}]}`, group)
	key := r.putQuietly(r.peer, group, "text", reply)[0]
	bus.Publish(r.bus, bus.PacketStored("text"), bus.Stored{Chat: group})
	r.eventually("handling", func() bool { return r.entry(key).State == store.EntryHandled })
	list(3, `"bob"`)
	must(t, say("text"))
	for _, invited := range []string{`"carol"`, `"bob","bob"`} {
		_, err := r.invoke("group", "effects", `{"effects":[{"setMembers":{"chat":"`+group+`","version":"4","members":["alice","bob"],"invited":[`+invited+`]}}]}`)
		if err == nil || !strings.Contains(err.Error(), "set_members.invited") {
			t.Errorf("%s are invited: %v", invited, err)
		}
	}
}
