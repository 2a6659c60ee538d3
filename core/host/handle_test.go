package host

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/identity"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/core/store/storetest"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

func TestPacketsBecomeMessages(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.install(r.bundled, "text", plan{})
	r.serve()
	before := r.put("text", "early") // stored before the manifest was known
	r.wantBodies("early")
	r.put("text", "one", "two", "three")
	r.wantBodies("early", "one", "two", "three")
	e := r.entry(before[0])
	if e.State != store.EntryHandled {
		t.Errorf("entry is in state %d, not handled", e.State)
	}
	r.view(func(tx store.ReadTx) error {
		m, err := tx.Message(e.Packet.Header.ID)
		if err != nil {
			return err
		}
		h := &e.Packet.Header
		if m.Author != "bob" || m.SentAt != h.SentAt || m.Order != h.Order() || m.Entry != h.Key() || m.Own || m.Plugin != "text" || !m.Notifies {
			t.Errorf("message is not of its packet: %+v", m)
		}
		c, err := tx.Chat(r.chat)
		if c.Unread != 4 {
			t.Errorf("%d messages are unread, not 4", c.Unread)
		}
		return err
	})
	r.eventually("MessageAdded for each", func() bool { r.mu.Lock(); defer r.mu.Unlock(); return len(r.added) == 4 })
	s := r.wantState("text", StateRunning)
	if s.ProcessID == 0 || s.Resident == 0 || s.Crashes != 0 {
		t.Errorf("status of the running plugin: %+v", s)
	}
	if p, plugin, ok := r.host.Kind("text"); !ok || plugin != "text" || p != pluginpb.Presentation_PRESENTATION_TEXT {
		t.Errorf("kind text: %v %q %v", p, plugin, ok)
	}
}

// copiedRig is a rig in whose group mallory gave a text the id of bob's, and was here
// first. Nobody was told of the two yet.
func copiedRig(t *testing.T) (r *rig, group packet.ChatID, id packet.PacketID, copied, genuine packet.EntryKey) {
	r = newRig(t)
	mallory, err := identity.Generate("mallory")
	must(t, err)
	group, id = "abcdefghijklmnopqrstuvwxyz", packet.NewPacketID()
	r.addChat(group, "alice", "bob", "mallory")
	r.install(r.bundled, "text", plan{})
	r.serve()
	copied = r.putPackets(mallory, group, "text", []packet.PacketID{id}, "copied")[0]
	genuine = r.putPackets(r.peer, group, "text", []packet.PacketID{id}, "genuine")[0]
	return r, group, id, copied, genuine
}

// Somebody gives his packet the id of another's, and is here first: what its author says
// of his own is about his own.
func TestDropOfCopiedID(t *testing.T) {
	t.Parallel()
	r, group, id, copied, genuine := copiedRig(t)
	drop := r.putQuietly(r.peer, group, "text", `raw:{"effects":[{"dropContent":{"id":"`+base64.StdEncoding.EncodeToString(id[:])+`"}}]}`)[0]
	bus.Publish(r.bus, bus.PacketStored("text"), bus.Stored{Chat: group})
	r.eventually("all is handled", func() bool { return r.entry(drop).State != store.EntryNew && r.entry(copied).State != store.EntryNew })
	if e := r.entry(drop); e.State != store.EntryHandled {
		t.Errorf("what drops it is in state %d: %s", e.State, e.Text)
	}
	if !r.entry(genuine).Dropped || r.entry(copied).Dropped {
		t.Errorf("dropped: its author's own %t, the copy %t", r.entry(genuine).Dropped, r.entry(copied).Dropped)
	}
}

// While no packet is being handled a plugin changes the message of the very packet that it names, whoever
// gave that id to his own as well, and tells nobody when nothing changes. A packet has only its author's changed.
func TestChangeOfHandled(t *testing.T) {
	t.Parallel()
	r, group, id, _, _ := copiedRig(t)
	bus.Publish(r.bus, bus.PacketStored("text"), bus.Stored{Chat: group})
	r.eventually("both are there", func() bool { return slices.Equal(r.bodies(group), []string{"copied", "genuine"}) })
	changes := bus.Subscribe(r.bus, bus.MessageChanged, 100)
	defer changes.Close()
	change := func(body, author, content string) string {
		hash := packet.HashOf([]byte(content))
		return fmt.Sprintf(`{"changeMessage":{"id":%s,"body":%q,"handled":{"author":%q,"contentHash":%q}}}`,
			jsonOf(id), body, author, base64.StdEncoding.EncodeToString(hash[:]))
	}
	must(t, r.effects(change("void", "bob", "genuine")))
	must(t, r.effects(change("void", "bob", "genuine")))
	must(t, r.effects(change("of none", "bob", "copied")))
	if got := r.bodies(group); !slices.Equal(got, []string{"copied", "void"}) {
		t.Errorf("%q", got)
	}
	if _, err := changes.Next(t.Context()); err != nil {
		t.Error(err)
	}
	if ref, more := changes.TryNext(); more {
		t.Errorf("told of %v once more", ref)
	}
	if err := r.effects(strings.ReplaceAll(change("x", "bob", "genuine"), `"author":"bob"`, `"author":"Bob!"`)); err == nil {
		t.Error("a packet of no user is taken")
	}
	own := r.putQuietly(r.peer, group, "text", `raw:{"effects":[`+change("mine", "bob", "genuine")+`]}`)[0]
	bus.Publish(r.bus, bus.PacketStored("text"), bus.Stored{Chat: group})
	r.eventually("it is set aside", func() bool { return r.entry(own).State == store.EntrySetAside })
}

// What is deleted for this account alone stays for others: of a group nothing is given
// without content that its author has not deleted, and what this account wrote is there
// as long as somebody may be yet to get it.
func TestDropHere(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const group = packet.ChatID("abcdefghijklmnopqrstuvwxyz")
	r.addChat(group, "alice", "bob", "carol")
	r.install(r.bundled, "text", plan{})
	r.serve()
	ids := []packet.PacketID{packet.NewPacketID(), packet.NewPacketID()}
	theirs := r.putPackets(r.peer, group, "text", ids, "shown", "an edit")
	direct := r.put("text", "to alice")[0]
	bus.Publish(r.bus, bus.PacketStored("text"), bus.Stored{Chat: group})
	send := func(chat packet.ChatID) packet.EntryKey {
		id := packet.NewPacketID()
		must(t, r.effects(fmt.Sprintf(`{"sendPacket":{"id":%s,"chat":%q,"type":"text","content":"bWluZQ=="}},{"addMessage":{"id":%s,"chat":%q,"kind":"text","body":"mine"}}`,
			jsonOf(id), chat, jsonOf(id), chat)))
		var e store.Entry
		r.view(func(tx store.ReadTx) (err error) {
			e, err = tx.EntryByID(id)
			return err
		})
		return e.Packet.Header.Key()
	}
	toGroup, queued, delivered := send(group), send(r.chat), send(r.chat)
	r.update(func(tx store.Tx) error {
		_, _, err := tx.PutPeerHead(queued.Log, store.PeerHead{User: "bob", Device: r.peer.Device(), Upto: queued.Number}, false)
		return err
	})
	queued, delivered = delivered, queued
	r.eventually("all is shown", func() bool { return len(r.bodies(group)) == 3 && len(r.bodies(r.chat)) == 3 })
	for _, key := range []packet.EntryKey{theirs[0], direct, toGroup, queued, delivered} {
		must(t, r.effects(`{"deleteMessage":{"id":`+jsonOf(r.entry(key).Packet.Header.ID)+`,"local":true}}`))
	}
	must(t, r.effects(`{"dropContent":{"id":`+jsonOf(ids[1])+`}}`))
	for _, c := range []struct {
		name    string
		key     packet.EntryKey
		state   store.EntryState
		dropped bool
		content bool
	}{
		{"another's in a group", theirs[0], store.EntryStub, false, false},
		{"another's edit in a group", theirs[1], store.EntryStub, false, false},
		{"a contact's", direct, store.EntryHandled, true, false},
		{"one's own in a group", toGroup, store.EntryHandled, false, true},
		{"one's own that waits to be delivered", queued, store.EntryHandled, false, true},
		{"one's own that was delivered", delivered, store.EntryHandled, true, false},
	} {
		if e := r.entry(c.key); e.State != c.state || e.Reason != 0 || e.Dropped != c.dropped || len(e.Packet.Content) > 0 != c.content {
			t.Errorf("%s: state %d, reason %d, dropped %t, %q", c.name, e.State, e.Reason, e.Dropped, e.Packet.Content)
		}
	}
}

// Of two packets with one id a plugin finds both messages, to tell whose is meant.
func TestMessagesOfCopiedID(t *testing.T) {
	t.Parallel()
	r, group, id, _, _ := copiedRig(t)
	bus.Publish(r.bus, bus.PacketStored("text"), bus.Stored{Chat: group})
	r.eventually("both are there", func() bool { return len(r.bodies(group)) == 2 })
	answer := &pluginpb.HostResponse{}
	query := fmt.Sprintf(`{"queryMessages":{"chat":%q,"ids":[%q]}}`, group, base64.StdEncoding.EncodeToString(id[:]))
	r.ask(query, answer)
	var found []string
	for _, m := range answer.GetMessages().GetMessages() {
		found = append(found, m.GetAuthor()+": "+m.GetBody())
	}
	slices.Sort(found)
	if want := []string{"bob: genuine", "mallory: copied"}; !slices.Equal(found, want) {
		t.Errorf("found are %v, not %v", found, want)
	}
}

func TestPacketsOfMissingPluginWait(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.serve()
	keys := r.put("text", "one", "two")
	r.list()
	if e := r.entry(keys[0]); e.State != store.EntryNew {
		t.Fatalf("entry without a plugin is in state %d", e.State)
	}
	r.install(r.bundled, "text", plan{})
	r.list() // finds it
	r.wantBodies("one", "two")
	if _, err := r.host.SetEnabled(t.Context(), "text", false, ""); err != nil {
		t.Fatal(err)
	}
	r.wantState("text", StateDisabled)
	keys = r.put("text", "three")
	if _, _, ok := r.host.MaxContent("text"); ok {
		t.Error("a disabled plugin owns its type")
	}
	if e := r.entry(keys[0]); e.State != store.EntryNew {
		t.Fatalf("entry of a disabled plugin is in state %d", e.State)
	}
	_, err := r.host.SetEnabled(t.Context(), "text", true, "")
	must(t, err)
	r.wantBodies("one", "two", "three")
}

func TestPoisonIsSetAside(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.install(r.bundled, "text", plan{})
	r.serve()
	keys := r.put("text", "one", "crash:a", "two", "crash:b", "three", "crash:c", "four")
	r.wantBodies("one", "two", "three", "four")
	for _, i := range []int{1, 3, 5} {
		e := r.entry(keys[i])
		if e.State != store.EntrySetAside || e.Attempts != 3 || !strings.Contains(e.Text, "crashed the plugin text 3 times") {
			t.Errorf("poison is in state %d after %d attempts: %q", e.State, e.Attempts, e.Text)
		}
	}
	r.wantNotice("plugin:text", "bob", "set aside", "crashed")
	r.put("text", "five")
	r.wantBodies("one", "two", "three", "four", "five")
	s := r.wantState("text", StateRunning)
	// The first death counts for all three.
	if s.SetAside != 3 || s.Crashes != 7 {
		t.Errorf("%d set aside, %d crashes", s.SetAside, s.Crashes)
	}
	r.restart()
	r.eventually("count kept", func() bool { return r.list()[0].SetAside == 3 })
}

func TestHangIsACrash(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.timing.handle = 1500 * time.Millisecond })
	r.install(r.bundled, "text", plan{})
	r.serve()
	keys := r.put("text", "hang:", "after")
	r.wantBodies("after")
	if e := r.entry(keys[0]); e.State != store.EntrySetAside {
		t.Errorf("packet that hangs its plugin is in state %d", e.State)
	}
}

func TestKilledInTheMiddle(t *testing.T) {
	t.Parallel()
	// On the real database, as this is what it is for.
	db, err := store.Open(t.Context(), store.Config{Path: filepath.Join(t.TempDir(), "db"), Key: make([]byte, store.KeySize)})
	must(t, err)
	t.Cleanup(func() { _ = db.Close() })
	r := newRig(t, func(c *Config) { c.Store = db })
	r.install(r.bundled, "text", plan{})
	r.serve()
	var want []string
	for round := range 2 {
		var contents []string
		for i := range 150 {
			content := fmt.Sprintf("n%d.%d", round, i)
			if i%20 == 10 {
				content = "slow:" + strconv.Itoa(20+10*round+i/20)
			}
			contents = append(contents, content)
		}
		want = append(want, contents...)
		before := len(r.lines("text", "slow"))
		r.put("text", contents...)
		// Once in a batch, and once behind it, where each goes in alone. A third time
		// might hit the same one again, which then were to be set aside.
		for kills := range maxKills - 1 {
			r.eventually("the middle of a batch", func() bool { return len(r.lines("text", "slow")) > before+2*kills })
			if s := r.status("text"); s.ProcessID != 0 {
				_ = syscall.Kill(s.ProcessID, syscall.SIGKILL)
			}
			time.Sleep(30 * time.Millisecond) // so that kills come at different places
		}
		r.wantBodies(want...)
	}
}

func TestHostKilledInTheMiddle(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.install(r.bundled, "text", plan{})
	r.serve()
	want := []string{"a", "slow:200", "b", "c"}
	r.put("text", want...)
	for range 5 { // more often than a poisonous packet may
		r.eventually("handling", func() bool { return len(r.lines("text", "slow")) > 0 })
		if len(r.bodies(r.chat)) == 0 {
			r.restart()
		}
	}
	r.wantBodies(want...)
}

func TestAnswersThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, content, why string }{
		{"undeclared type", "undeclared:", "outcome.effects[0].send_packet.type"},
		{"forged id", "forged:x", "neither the packet being handled"},
		{"other chat", "elsewhere:alice-carol", "not found"},
		{"malformed chat", "elsewhere:A", "add_message.chat"},
		{"too long", "long:", "add_message.body"},
		{"reports an error", "error:", "cannot make sense of it"},
		{"more than a message", "huge:", "crashed the plugin"},
		{"unknown request", "unknown-id:", "crashed the plugin"},
		{"no outcome", "none:", "crashed the plugin"},
		{"content of another's packet", `raw:{"effects":[{"dropContent":{"id":"OWN"}}]}`, "is by alice"},
		{"members", `raw:{"effects":[{"setMembers":{"chat":"abcdefghijklmnopqrstuvwxyz","version":"1"}}]}`, "CAPABILITY_MEMBERS"},
		{"foreign annotation kind", `raw:{"effects":[{"annotate":{"chat":"alice-bob","message":"PACKET","kind":"org.example/x"}}]}`, "annotate.kind"},
		{"empty effect", `raw:{"effects":[{}]}`, "none that API 1 knows"},
		{"effects and refusal", `raw:{"refuse":"no","effects":[{"putValue":{"key":"k"}}]}`, "both effects and a refusal"},
		{"event of another", `raw:{"effects":[{"publishEvent":{"name":"video.ring"}}]}`, "publish_event.name"},
		{"image", `raw:{"effects":[{"addMessage":{"id":"PACKET","chat":"alice-bob","kind":"text","card":{"image":"AAAA"}}}]}`, "card.image"},
		{"second effect", `raw:{"effects":[{"putValue":{"key":"written","value":"AAAA"}},{"addMessage":{"id":"PACKET","chat":"alice-bob","kind":"video"}}]}`, "effects[1].add_message.kind"},
		{"half applied", `raw:{"effects":[{"putValue":{"key":"written","value":"AAAA"}},{"annotate":{"chat":"alice-carol","message":"PACKET","kind":"x"}}]}`, "effects[1]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.install(r.bundled, "text", plan{})
			r.serve()
			own := packet.NewPacketID()
			if strings.Contains(c.content, "OWN") {
				_, err := r.invokeAs(own, "text", "send", "mine", nil)
				must(t, err)
				r.wantBodies("mine")
			}
			keys := r.put("text", "before", strings.ReplaceAll(c.content, `"OWN"`, jsonOf(own)), "after")
			r.eventually("handling", func() bool { return r.entry(keys[2]).State == store.EntryHandled })
			e := r.entry(keys[1])
			if e.State != store.EntrySetAside || !strings.Contains(e.Text, c.why) {
				t.Errorf("state %d, %q does not say %q", e.State, e.Text, c.why)
			}
			r.wantNotice("plugin:text", "set aside", "plugin text")
			r.view(func(tx store.ReadTx) error {
				if v, err := tx.Values("plugin:text", "", 0); err != nil || len(v) > 0 {
					t.Errorf("part of it was applied: %v, %v", v, err)
				}
				return nil
			})
		})
	}
}

// A packet that was handled before can be shown later, in its place; one that is not
// there, or does not count, cannot.
func TestShownLater(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.install(r.bundled, "text", plan{})
	r.serve()
	const silent = `raw:{"effects":[]}`
	keys := r.put("text", "one", silent, "two", silent)
	r.eventually("handling", func() bool { return r.entry(keys[3]).State == store.EntryHandled })
	r.wantBodies("one", "two")
	show := func(of packet.EntryKey, body, author, content string) {
		t.Helper()
		hash := packet.HashOf([]byte(content))
		id := r.entry(of).Packet.Header.ID
		later := r.put("text", fmt.Sprintf(`raw:{"effects":[{"addMessage":{"id":%s,"chat":"alice-bob","kind":"text","body":%q,"handled":{"author":%q,"contentHash":%q}}}]}`,
			jsonOf(id), body, author, base64.StdEncoding.EncodeToString(hash[:])))
		r.eventually("handling", func() bool { return r.entry(later[0]).State == store.EntryHandled })
	}
	peer := string(r.peer.User())
	show(keys[1], "of another", "alice", silent)
	show(keys[1], "of another content", peer, "x")
	r.update(func(tx store.Tx) error { return tx.SetEntryState(keys[3], store.EntryStub, packet.ReasonForbidden, "") })
	show(keys[3], "does not count", peer, silent)
	r.wantBodies("one", "two")
	show(keys[1], "between", peer, silent)
	show(keys[1], "once more", peer, silent)
	r.wantBodies("one", "between", "two")
}

func TestRefusal(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.install(r.bundled, "text", plan{manifest: manifestOf("text", func(m *pluginpb.Manifest) { m.PacketTypes[0].MaxContent = 100 })})
	r.serve()
	keys := r.put("text", "one", "refuse:not a text", strings.Repeat("x", 101), "two")
	r.wantBodies("one", "two")
	if e := r.entry(keys[1]); e.State != store.EntryStub || e.Reason != packet.ReasonUnreadable || e.Text != "not a text" || len(e.Packet.Content) > 0 {
		t.Errorf("refused entry: %+v", e)
	}
	if e := r.entry(keys[2]); e.State != store.EntryStub || e.Reason != packet.ReasonTooLarge {
		t.Errorf("entry that is too large: %+v", e)
	}
	want := []string{
		fmt.Sprintf("2 %d not a text", packet.ReasonUnreadable), fmt.Sprintf("3 %d 101 bytes, at most 100 are taken", packet.ReasonTooLarge),
	}
	r.eventually("refusals told", func() bool { return slices.Equal(r.outbox.refusals(), want) })
	// One's own entry, come from another device, must not lose its content.
	own := r.putQuietly(r.me, r.chat, "text", "refuse:mine")
	bus.Publish(r.bus, bus.PacketStored("text"), bus.Stored{Chat: r.chat})
	r.eventually("own entry settled", func() bool { return r.entry(own[0]).State == store.EntrySetAside })
	if e := r.entry(own[0]); string(e.Packet.Content) != "refuse:mine" {
		t.Errorf("own entry lost its content: %q", e.Packet.Content)
	}
}

func TestPartialAnswers(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.install(r.bundled, "text", plan{})
	r.serve()
	want := []string{"a", "partial:b", "partial:c", "d", "partial:e"}
	r.put("text", want...)
	r.wantBodies(want...)
	if got := r.lines("text", "batches"); !slices.Equal(got, []string{"1 of 5", "1 of 2", "2 of 2", "1 of 1"}) {
		t.Errorf("batches were %q", got)
	}
	// Nothing of that counts as an attempt.
	r.view(func(tx store.ReadTx) error {
		e, err := tx.Entry(packet.EntryKey{Log: packet.Log{Chat: r.chat, Device: r.peer.Device(), Epoch: 1}, Number: 5})
		if e.Attempts != 0 {
			t.Errorf("%d attempts", e.Attempts)
		}
		return err
	})
}

func TestPacketsSentByHandling(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.install(r.bundled, "text", plan{})
	r.serve()
	r.put("text", "reply:pong", "after")
	r.wantBodies("after")
	r.eventually("EntryAppended", func() bool { r.mu.Lock(); defer r.mu.Unlock(); return slices.Equal(r.entries, []packet.ChatID{r.chat}) })
	r.view(func(tx store.ReadTx) error {
		e, err := tx.Entry(packet.EntryKey{Log: packet.Log{Chat: r.chat, Device: r.me.Device(), Epoch: 7}, Number: 1})
		if string(e.Packet.Content) != "pong" || e.State != store.EntryHandled {
			t.Errorf("sent entry: %q in state %d", e.Packet.Content, e.State)
		}
		return err
	})
}

func TestChatsInParallel(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.install(r.bundled, "text", plan{})
	var chats []packet.ChatID
	for i := range 20 {
		chat := packet.DirectChat("alice", packet.UserID(fmt.Sprintf("friend%02d", i)))
		r.addChat(chat, "alice", packet.UserID(fmt.Sprintf("friend%02d", i)))
		chats = append(chats, chat)
		r.putQuietly(r.me, chat, "text", "a", "b", "crash-once:x"+strconv.Itoa(i%3), "c")
	}
	r.serve()
	for _, chat := range chats {
		r.eventually("all of "+string(chat), func() bool { return len(r.bodies(chat)) == 4 })
		if got := r.bodies(chat); got[0] != "a" || got[1] != "b" || got[3] != "c" {
			t.Errorf("%s: %q", chat, got)
		}
	}
	if s := r.status("text"); s.SetAside != 0 {
		t.Errorf("%d were set aside though each crashed its plugin once at most", s.SetAside)
	}
}

func TestTwoPluginsOfOneLog(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.install(r.bundled, "text", plan{})
	r.install(r.bundled, "file", plan{})
	r.putQuietly(r.peer, r.chat, "text", "t1")
	r.putQuietly(r.peer, r.chat, "file", "f1")
	r.putQuietly(r.peer, r.chat, "text", "t2")
	r.putQuietly(r.peer, r.chat, "file", "f2")
	r.serve()
	r.wantBodies("t1", "f1", "t2", "f2")
}

// fullStore has no room while it is full.
type fullStore struct {
	store.Store
	full atomic.Bool
}

func (s *fullStore) Update(ctx context.Context, d store.Durability, fn func(store.Tx) error) error {
	if s.full.Load() {
		return store.ErrFull
	}
	return s.Store.Update(ctx, d, fn)
}

func TestStoreThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	full := &fullStore{}
	r := newRig(t, func(c *Config) { full.Store, c.Store = c.Store, full })
	r.store = full.Store // in which there is room for the test
	r.install(r.bundled, "text", plan{})
	r.serve()
	r.put("text", "one")
	r.wantBodies("one")
	full.full.Store(true)
	r.put("text", "two")
	r.wantNotice("plugin:text", "no space left")
	if got := r.bodies(r.chat); len(got) != 1 {
		t.Fatalf("messages on a full disk: %q", got)
	}
	full.full.Store(false)
	r.wantBodies("one", "two")
	if s := r.status("text"); s.SetAside != 0 || s.Crashes != 0 {
		t.Errorf("a full disk was held against packet or plugin: %+v", s)
	}
}

func TestEphemeral(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.install(r.bundled, "text", plan{})
	r.serve()
	r.put("text", "start")
	r.wantBodies("start")
	send := func(content string) {
		p, err := packet.Seal(packet.Header{
			ID: packet.NewPacketID(), Chat: r.chat, Type: "text", Author: "bob", Device: r.peer.Device(), SentAt: 1, Delivery: packet.Ephemeral,
		}, []byte(content), nil)
		must(t, err)
		bus.Publish(r.bus, bus.PacketStored("text"), bus.Stored{Chat: r.chat, Ephemeral: &p})
	}
	send("x")
	r.eventually("typing", func() bool { r.mu.Lock(); defer r.mu.Unlock(); return len(r.events) == 1 })
	r.mu.Lock()
	if e := r.events[0]; e.Plugin != "text" || e.Name != "typing" || e.User != "bob" || e.Chat != r.chat {
		t.Errorf("event %+v", e)
	}
	r.mu.Unlock()
	// One that kills is not tried again; nothing is left of it.
	send("crash:live")
	r.eventually("crash", func() bool { return r.status("text").Crashes == 1 })
	send("raw:" + `{"effects":[{"addMessage":{"id":"PACKET","chat":"alice-bob","kind":"text","body":"no place"}}]}`)
	send("y")
	r.eventually("typing again", func() bool { r.mu.Lock(); defer r.mu.Unlock(); return len(r.events) == 2 })
	r.wantBodies("start")
	if s := r.status("text"); s.Crashes != 1 || s.SetAside != 0 {
		t.Errorf("%+v", s)
	}
}

func TestEvents(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.install(r.bundled, "text", plan{})
	r.install(r.bundled, "watch", plan{manifest: manifestOf("watch", func(m *pluginpb.Manifest) {
		m.Topics = []string{"presence", "link", "message"}
		m.Capabilities = []pluginpb.Capability{pluginpb.Capability_CAPABILITY_HISTORY}
	})})
	r.install(r.bundled, "nosy", plan{manifest: manifestOf("nosy", func(m *pluginpb.Manifest) { m.Topics = []string{"presence", "message"} })})
	r.serve()
	r.eventually("all listen", func() bool {
		r.host.mu.Lock() // not in the middle of it
		defer r.host.mu.Unlock()
		for _, name := range []string{"text", "watch", "nosy"} {
			p := r.host.plugins[name]
			if p == nil {
				return false
			}
			p.mu.Lock()
			listens := p.subscription != nil
			p.mu.Unlock()
			if !listens {
				return false
			}
		}
		return true
	})
	r.mustInvoke("nosy", "slow", "") // who does not run is not told of presence
	r.put("text", "hello")
	r.eventually("the message event", func() bool { return slices.Equal(r.lines("watch", "events"), []string{"message hello"}) })
	bus.Publish(r.bus, bus.PresenceChanged, bus.Presence{User: "bob", Online: true})
	bus.Publish(r.bus, bus.LinkUp, bus.Link{User: "bob"})
	bus.Publish(r.bus, bus.LinkDown, bus.Link{User: "bob"})
	r.eventually("all events, in order", func() bool {
		return slices.Equal(r.lines("watch", "events"), []string{"message hello", "presence bob true", "link bob true", "link bob false"})
	})
	// A plugin without HISTORY is told of the rest only.
	r.eventually("nosy's events", func() bool { return slices.Equal(r.lines("nosy", "events"), []string{"presence bob true"}) })
}

func TestGracefulStop(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.timing.stop = 300 * time.Millisecond })
	r.install(r.bundled, "text", plan{})
	r.install(r.bundled, "deaf", plan{mode: "deaf"})
	r.serve()
	var pids []int
	for _, name := range []string{"text", "deaf"} {
		_, err := r.invoke(name, "slow", "")
		must(t, err)
		pids = append(pids, r.status(name).ProcessID)
	}
	r.stop()
	for _, pid := range pids {
		if syscall.Kill(pid, 0) == nil {
			t.Errorf("process %d outlived the host", pid)
		}
	}
	if left, _ := os.ReadDir(r.cfg.RunFolder); len(left) > 0 {
		t.Errorf("%v were left in the run folder", left)
	}
	if _, err := r.host.Invoke(context.Background(), "text", invokeRequest("slow"), nil); err == nil {
		t.Error("a stopped host runs actions")
	}
}

func invokeRequest(action string) *pluginpb.InvokeRequest {
	id := packet.NewPacketID()
	return &pluginpb.InvokeRequest{Invocation: id[:], Action: action}
}

// A plugin that must see each entry committed before the next is not handed all
// of them again and again.
func TestStride(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.install(r.bundled, "text", plan{})
	contents, bodies := make([]string, 100), make([]string, 100)
	for i := range contents {
		contents[i], bodies[i] = "partial:"+strconv.Itoa(i), "partial:"+strconv.Itoa(i)
	}
	r.put("text", contents...)
	r.serve()
	r.wantBodies(bodies...)
	handed := 0
	for _, line := range r.lines("text", "batches") {
		var answered, of int
		if _, err := fmt.Sscanf(line, "%d of %d", &answered, &of); err != nil {
			t.Fatal(err)
		}
		handed += of
	}
	if handed < 100 || handed > 3*100 {
		t.Errorf("%d entries were handed in for 100", handed)
	}
	var whole []string
	for i := range 300 {
		whole = append(whole, "w"+strconv.Itoa(i))
	}
	r.put("text", whole...)
	r.wantBodies(append(bodies, whole...)...)
	if n := len(r.lines("text", "batches")); n > 100+20 {
		t.Errorf("%d batches: they did not grow again", n)
	}
}

// Whoever reacts to a message of a chat in another one changes nothing, as he
// does when he is there before the message.
func TestAnnotationOfAnotherChat(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.install(r.bundled, "text", plan{})
	other := packet.DirectChat("alice", "carol")
	r.addChat(other, "alice", "carol")
	m := storetest.Message(other, 1, "theirs")
	kept := storetest.Annotation(m, "reaction", "bob", "")
	r.update(func(tx store.Tx) error {
		_, err := tx.AddMessage(m)
		return errors.Join(err, tx.PutAnnotation(kept))
	})
	r.serve()
	keys := r.put("text",
		`raw:{"effects":[{"annotate":{"chat":"alice-bob","message":`+jsonOf(m.ID)+`,"kind":"mark"}},{"putValue":{"key":"a","value":"AAAA"}}]}`,
		`raw:{"effects":[{"removeAnnotation":{"chat":"alice-bob","message":`+jsonOf(m.ID)+`,"kind":"reaction"}}]}`, "done")
	r.wantBodies("done")
	for _, k := range keys {
		if e := r.entry(k); e.State != store.EntryHandled {
			t.Errorf("%+v", e)
		}
	}
	r.view(func(tx store.ReadTx) error {
		list, err := tx.Annotations([]packet.PacketID{m.ID})
		if len(list) != 1 || list[0].Kind != kept.Kind {
			t.Errorf("annotations %+v", list)
		}
		return err
	})
}
