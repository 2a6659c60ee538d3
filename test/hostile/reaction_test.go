package hostile

import (
	"strings"
	"testing"
	"time"

	"github.com/parley-chat/parley/plugins/emoji"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/packet"
)

// TestContactThatReacts: a contact floods a message with reactions, and reacts to
// what is in another chat or nowhere, with what is no emoji, and with all at once.
func TestContactThatReacts(t *testing.T) {
	t.Parallel()
	a := attack(t)
	m := a.mallory
	noticed := a.alice.notices()
	a.chat(a.alice, a.bob, "before")
	must(t, a.alice.send("mallory", "poor me"))
	mine, theirs := a.alice.newest("mallory"), a.alice.newest("bob")

	chat := chatOf("alice", "mallory")
	var frames []packet.Frame
	number := uint64(0)
	put := func(content []byte) {
		number++
		p, err := packet.Seal(packet.Header{
			ID: packet.NewPacketID(), Chat: chat, Type: emoji.TypeReaction, Author: "mallory", Device: m.id.Device(), Epoch: 1, Number: number, Depth: number,
			Membership: 1, SentAt: time.Now().UnixMicro(), Delivery: packet.Reliable,
		}, content, m.id.Sign)
		must(t, err)
		frames = append(frames, &p)
	}
	react := func(to []byte, with string, revision int) {
		content, err := emoji.Reaction{Message: packet.PacketID(to), Emoji: with, Revision: uint32(revision), Remove: revision%3 == 0}.Encode() //nolint:gosec // small
		must(t, err)
		put(content)
	}
	const flood = 1000
	for i := range flood {
		react(mine.GetId(), string(rune(0x1f400+i%200)), i)
		elsewhere := packet.NewPacketID()
		react(elsewhere[:], "👍", 1)
	}
	react(theirs.GetId(), "👍", 1)
	put([]byte("\xff\xff"))
	react(mine.GetId(), strings.Repeat("👩\u200d", 500), 1<<20+1)
	react(mine.GetId(), "buy now", 1<<20+1)
	react(mine.GetId(), "🎉", 1<<20+1)

	conn := m.linked(a.port)
	_, err := conn.Write(encode(t, frames...))
	must(t, err)
	a.until("the last reaction is there", func() bool {
		return strings.Contains(shownOn(a.alice.newest("mallory")), "🎉")
	})
	got := a.alice.newest("mallory")
	size := 0
	for _, an := range got.GetAnnotations() {
		size += len(an.GetKind()) + len(an.GetAuthor()) + len(an.GetValue())
	}
	if n := strings.Count(shownOn(got), "mallory"); n != emoji.MaxReactions || size > 6<<10 {
		t.Errorf("%d reactions are shown, of %d bytes in all", n, size)
	}
	if strings.Contains(shownOn(got), "buy") {
		t.Errorf("what is no emoji is shown: %s", shownOn(got))
	}
	if on := a.alice.newest("bob"); string(on.GetId()) != string(theirs.GetId()) || len(on.GetAnnotations()) > 0 {
		t.Errorf("a message to bob has %s", shownOn(on))
	}
	if noticed("plugin:emoji") {
		t.Error("what mallory sends is told as trouble of the plugin")
	}
	if p := a.alice.plugin("emoji"); p.GetCrashes() > 0 || p.GetSetAside() > 0 {
		t.Errorf("the plugin: %+v", p)
	}
	a.chat(a.alice, a.bob, "after")
	a.bounded("alice's core", a.alice.core)
}

// newest is the last message of a chat.
func (p *someone) newest(with string) *controlpb.Message {
	p.t.Helper()
	resp, err := p.client.ListMessages(p.t.Context(), &controlpb.ListMessagesRequest{Chat: string(chatOf(p.name, with)), Limit: 1})
	must(p.t, err)
	if len(resp.GetMessages()) == 0 {
		return nil
	}
	return resp.GetMessages()[0]
}

// shownOn gives the reactions to a message: "mallory 🎉, ...".
func shownOn(m *controlpb.Message) string {
	var all []string
	for _, an := range m.GetAnnotations() {
		if e, ok := strings.CutPrefix(an.GetKind(), emoji.KindPrefix); ok {
			all = append(all, an.GetAuthor()+" "+e)
		}
	}
	return strings.Join(all, ", ")
}
