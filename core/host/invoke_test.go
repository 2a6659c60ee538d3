package host

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/internal/failure"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

func TestInvoke(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.install(r.bundled, "text", plan{})
	r.serve()
	id := packet.NewPacketID()
	check := func(result *Result, err error) {
		t.Helper()
		must(t, err)
		if string(result.Result) != "sent hello" || !slices.Equal(result.Sent, []packet.PacketID{id}) {
			t.Errorf("result %q, sent %v", result.Result, result.Sent)
		}
		r.wantBodies("hello")
		if n := len(r.lines("text", "invoked")); n != 1 {
			t.Errorf("the plugin was asked %d times", n)
		}
	}
	check(r.invokeAs(id, "text", "send", "hello", nil))
	check(r.invokeAs(id, "text", "send", "hello", nil))
	r.restart()
	check(r.invokeAs(id, "text", "send", "hello", nil))
	if _, err := r.invokeAs(id, "text", "slow", "", nil); !errors.Is(err, ErrInvalid) {
		t.Errorf("the same id for another action: %v", err)
	}
	r.view(func(tx store.ReadTx) error {
		m, err := tx.Message(id)
		e, err2 := tx.EntryByID(id)
		h := &e.Packet.Header
		if !m.Own || m.Author != "alice" || m.Entry != h.Key() || m.Order != h.Order() || e.State != store.EntryHandled {
			t.Errorf("message %+v of entry %+v", m, h)
		}
		return errors.Join(err, err2)
	})
	// As a slash command.
	result, err := r.invoke("", "send", "by slash")
	must(t, err)
	if string(result.Result) != "sent by slash" {
		t.Errorf("%q", result.Result)
	}
	r.wantBodies("hello", "by slash")
}

func TestInvokeJoins(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.install(r.bundled, "text", plan{})
	r.serve()
	id := packet.NewPacketID()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := r.invokeAs(id, "text", "slow", "", nil); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := len(r.lines("text", "invoked")); n != 1 {
		t.Errorf("the plugin was asked %d times", n)
	}
}

// TestFailureReason: a plugin's reason is handed on in its own domain, and one that
// breaks the bounds costs the reason alone.
func TestFailureReason(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.install(r.bundled, "text", plan{})
	r.serve()
	for _, c := range []struct {
		name, reason string
		metadata     map[string]string
		ok           bool
	}{
		{"a reason", "TEAPOT_EMPTY", map[string]string{"user": "bob", "left": "0"}, true},
		{"none", "", nil, false},
		{"metadata alone", "", map[string]string{"user": "bob"}, false},
		{"no reason", "the teapot", nil, false},
		{"long", strings.Repeat("A", 64), nil, false},
		{"large", "TEAPOT_EMPTY", map[string]string{"user": strings.Repeat("x", 513)}, false},
		{"a wrong key", "TEAPOT_EMPTY", map[string]string{"User Name": "bob"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			id := packet.NewPacketID()
			_, err := r.host.Invoke(t.Context(), "text", &pluginpb.InvokeRequest{Invocation: id[:], Action: "fail", Text: c.reason, Args: c.metadata}, nil)
			var failed *PluginError
			if !errors.As(err, &failed) || failed.Code != codes.FailedPrecondition || failed.Text != "the teapot is empty" {
				t.Fatalf("%v", err)
			}
			why := failure.Reason(err)
			if !c.ok {
				if why != nil {
					t.Errorf("it has the reason %v", why)
				}
				return
			}
			if why.GetDomain() != "text" || why.GetReason() != c.reason || !maps.Equal(why.GetMetadata(), c.metadata) {
				t.Errorf("%v", why)
			}
		})
	}
	for _, name := range []string{failure.Domain, failure.DirectoryDomain} {
		s := &session{name: name}
		if why := s.why(&pluginpb.Error{Reason: "LOCKED"}); why != nil {
			t.Errorf("a plugin that is called %s speaks for it: %v", name, why)
		}
	}
}

func TestInvokeErrors(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.install(r.bundled, "text", plan{})
	r.serve()
	id := packet.NewPacketID()
	for _, c := range []struct {
		name, plugin string
		req          *pluginpb.InvokeRequest
		want         error
		code         codes.Code
		text         string
	}{
		{"no id", "text", &pluginpb.InvokeRequest{Action: "send"}, ErrInvalid, 0, "invocation"},
		{"bad action", "text", &pluginpb.InvokeRequest{Invocation: id[:], Action: "NO"}, ErrInvalid, 0, "action"},
		{"bad chat", "text", &pluginpb.InvokeRequest{Invocation: id[:], Action: "send", Chat: "X"}, ErrInvalid, 0, "chat"},
		{"bad message", "text", &pluginpb.InvokeRequest{Invocation: id[:], Action: "send", Message: []byte("x")}, ErrInvalid, 0, "message"},
		{"relative path", "text", &pluginpb.InvokeRequest{Invocation: id[:], Action: "send", Paths: []string{"x"}}, ErrInvalid, 0, "absolute"},
		{"path not declared", "text", &pluginpb.InvokeRequest{Invocation: id[:], Action: "send", Paths: []string{"/x"}}, ErrInvalid, 0, "did not declare"},
		{"long argument", "text", &pluginpb.InvokeRequest{Invocation: id[:], Action: "send", Args: map[string]string{"a": strings.Repeat("x", 70000)}}, ErrInvalid, 0, "argument"},
		{"no plugin", "nobody", &pluginpb.InvokeRequest{Invocation: id[:], Action: "send"}, ErrNoPlugin, 0, "nobody"},
		{"no action", "text", &pluginpb.InvokeRequest{Invocation: id[:], Action: "dance"}, ErrNoAction, 0, "dance"},
		{"no command", "", &pluginpb.InvokeRequest{Invocation: id[:], Action: "slow"}, ErrNoAction, 0, "/slow"},
		{"fails", "text", &pluginpb.InvokeRequest{Invocation: id[:], Action: "fail"}, nil, codes.FailedPrecondition, "the teapot is empty"},
		{"dies", "text", &pluginpb.InvokeRequest{Invocation: id[:], Action: "die"}, ErrUnavailable, 0, "died twice"},
		{"big result", "text", &pluginpb.InvokeRequest{Invocation: id[:], Action: "big-result"}, nil, codes.Internal, "invoke.result"},
		{"long update", "text", &pluginpb.InvokeRequest{Invocation: id[:], Action: "long-update"}, nil, codes.Internal, "update.insert"},
		{"unknown chat", "text", &pluginpb.InvokeRequest{Invocation: id[:], Action: "send", Chat: "alice-zoe"}, nil, codes.Internal, "alice-zoe"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := r.host.Invoke(t.Context(), c.plugin, c.req, nil)
			var failed *PluginError
			switch {
			case err == nil || !strings.Contains(err.Error(), c.text):
				t.Errorf("%v does not say %q", err, c.text)
			case c.want != nil && !errors.Is(err, c.want):
				t.Errorf("%v is not %v", err, c.want)
			case c.want == nil && (!errors.As(err, &failed) || failed.Code != c.code):
				t.Errorf("%v has not code %s", err, c.code)
			}
		})
	}
	r.view(func(tx store.ReadTx) error {
		if _, err := tx.Invocation(id); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("a failure was kept: %v", err)
		}
		return nil
	})
	if got := r.bodies(r.chat); len(got) > 0 {
		t.Errorf("messages %q", got)
	}
}

func TestInvokeSurvivesACrash(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.install(r.bundled, "text", plan{})
	r.serve()
	var inserts []string
	result, err := r.invokeAs(packet.NewPacketID(), "text", "die-once", "x", func(u *pluginpb.InvokeUpdate) { inserts = append(inserts, u.GetInsert()) })
	must(t, err)
	if string(result.Result) != "lived" || !slices.Equal(inserts, []string{"one", "two"}) {
		t.Errorf("result %q, inserted %q", result.Result, inserts)
	}
}

func TestInvokeIsCancelled(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.install(r.bundled, "text", plan{})
	r.serve()
	ctx, cancel := context.WithCancel(t.Context())
	id := packet.NewPacketID()
	_, err := r.host.Invoke(ctx, "text", &pluginpb.InvokeRequest{Invocation: id[:], Action: "hang", Text: "me"}, func(*pluginpb.InvokeUpdate) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	r.eventually("cancelled in the plugin", func() bool { return slices.Equal(r.lines("text", "cancelled"), []string{"me"}) })
	r.mustInvoke("text", "slow", "") // and it still works
	if s := r.status("text"); s.Crashes != 0 {
		t.Errorf("%+v", s)
	}
}

func TestUpdatesDoNotPileUp(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.install(r.bundled, "text", plan{})
	r.serve()
	var got []*pluginpb.InvokeUpdate
	_, err := r.invokeAs(packet.NewPacketID(), "text", "updates", "", func(u *pluginpb.InvokeUpdate) { got = append(got, u) })
	must(t, err)
	n := len(got)
	if n < 2 || got[n-1].GetInsert() != "end" || got[n-2].GetPreview() != "999" {
		t.Errorf("%d updates, the last: %v", n, got[max(n-2, 0):])
	}
}

// effects has the plugin answer with these effects, in JSON.
func (r *rig) effects(effects string) error {
	r.t.Helper()
	_, err := r.invoke("text", "effects", `{"effects":[`+effects+`]}`)
	return err
}

func (r *rig) ask(request string, answer *pluginpb.HostResponse) {
	r.t.Helper()
	must(r.t, protojson.Unmarshal([]byte(r.mustInvoke("text", "ask", request)), answer))
}

func TestEffects(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.install(r.bundled, "text", plan{manifest: manifestOf("text", keepsMembers)})
	r.install(r.bundled, "file", plan{})
	r.serve()
	key := r.put("text", "theirs")[0]
	r.wantBodies("theirs")
	theirs := jsonOf(r.entry(key).Packet.Header.ID)
	must(t, r.effects(`{"annotate":{"chat":"alice-bob","message":`+theirs+`,"kind":"reaction","value":"AAAA","searchText":"thumb"}}`))
	r.view(func(tx store.ReadTx) error {
		list, err := tx.Annotations([]packet.PacketID{r.entry(key).Packet.Header.ID})
		if len(list) != 1 || list[0].Author != "alice" || list[0].Kind != "reaction" || list[0].Plugin != "text" {
			t.Errorf("annotations %+v", list)
		}
		return err
	})
	if _, err := r.invoke("file", "effects", `{"effects":[{"annotate":{"chat":"alice-bob","message":`+theirs+`,"kind":"reaction"}}]}`); err == nil || !strings.Contains(err.Error(), "belongs to the plugin text") {
		t.Errorf("another plugin's annotation: %v", err)
	}
	if _, err := r.invoke("file", "effects", `{"effects":[{"changeMessage":{"id":`+theirs+`,"body":"x"}}]}`); err == nil || !strings.Contains(err.Error(), "made by the plugin text") {
		t.Errorf("another plugin's message: %v", err)
	}
	must(t, r.effects(`{"removeAnnotation":{"chat":"alice-bob","message":`+theirs+`,"kind":"reaction"}},{"changeMessage":{"id":`+theirs+`,"body":"changed","edited":true}}`))
	r.wantBodies("changed")
	// A packet may change only what its author wrote, in its own chat.
	own := packet.NewPacketID()
	_, err := r.invokeAs(own, "text", "send", "mine", nil)
	must(t, err)
	keys := r.put("text", `raw:{"effects":[{"changeMessage":{"id":`+jsonOf(own)+`,"body":"hacked"}}]}`, `raw:{"effects":[{"deleteMessage":{"id":`+jsonOf(own)+`}}]}`,
		`raw:{"effects":[{"changeMessage":{"id":`+theirs+`,"body":"by its author"}}]}`)
	r.wantBodies("by its author", "mine")
	for _, k := range keys[:2] {
		if e := r.entry(k); e.State != store.EntrySetAside || !strings.Contains(e.Text, "by alice, the packet by bob") {
			t.Errorf("%d %q", e.State, e.Text)
		}
	}
	must(t, r.effects(`{"deleteMessage":{"id":`+theirs+`,"local":true}}`))
	if e := r.entry(key); !e.Dropped || len(e.Packet.Content) > 0 {
		t.Error("the content of a deleted message is still in the log")
	}
	r.wantBodies("", "mine")
	// A local message lies behind all others.
	local := packet.NewPacketID()
	add := `{"addMessage":{"id":` + jsonOf(local) + `,"chat":"alice-bob","kind":"text","body":"note","local":true}}`
	must(t, r.effects(add))
	must(t, r.effects(add)) // changes nothing
	r.wantBodies("", "mine", "note")
	if err := r.effects(`{"addMessage":{"id":` + theirs + `,"chat":"alice-bob","kind":"text","local":true}}`); err == nil || !strings.Contains(err.Error(), "new UUIDv7") {
		t.Errorf("a local message in a packet's place: %v", err)
	}
	r.put("text", "later")
	r.wantBodies("", "mine", "note", "later")
	// The content of a packet of the plugin's goes, its own too while it is handled.
	later := r.put("text", `raw:{"effects":[{"dropContent":{"id":"PACKET"}}]}`)[0]
	r.eventually("handling", func() bool { return r.entry(later).State == store.EntryHandled })
	if e := r.entry(later); !e.Dropped || len(e.Packet.Content) > 0 {
		t.Error("the content that was dropped is still in the log")
	}
	must(t, r.effects(`{"dropContent":{"id":`+jsonOf(packet.NewPacketID())+`}}`)) // unknown: nothing
	// An id names one packet; sending that again is no error.
	send := func(content string) string {
		return `{"sendPacket":{"id":` + jsonOf(local) + `,"chat":"alice-bob","type":"text","content":"` + content + `"}}`
	}
	must(t, r.effects(send("AAAA")))
	must(t, r.effects(send("AAAA")))
	if err := r.effects(send("BBBB")); err == nil || !strings.Contains(err.Error(), "another packet") {
		t.Errorf("one id for two packets: %v", err)
	}
	// Members.
	const group = "abcdefghijklmnopqrstuvwxyz"
	members := func(version int) string {
		return fmt.Sprintf(`{"setMembers":{"chat":"%s","version":"%d","title":"Friends","members":["carol","alice"]}}`, group, version)
	}
	must(t, r.effects(members(2)))
	must(t, r.effects(members(2)))
	if err := r.effects(strings.Replace(members(2), "carol", "bob", 1)); err == nil || !strings.Contains(err.Error(), "set_members") {
		t.Errorf("the same version with other members: %v", err)
	}
	must(t, r.effects(strings.NewReplacer("Friends", "Before", "carol", "bob").Replace(members(1)))) // comes late
	cutoffs := []string{
		fmt.Sprintf(`{"user":"bob","device":%q,"epoch":"7","number":"3"}`, base64.StdEncoding.EncodeToString(make([]byte, 20))),
		fmt.Sprintf(`{"user":"bob","device":%q,"epoch":"5","number":"2"}`, base64.StdEncoding.EncodeToString(make([]byte, 20))),
	}
	merged := func(order ...int) string {
		return strings.Replace(members(3), `"members"`, fmt.Sprintf(`"merged":true,"history":"HISTORY_ALL","cutoffs":[%s,%s],"members"`,
			cutoffs[order[0]], cutoffs[order[1]]), 1)
	}
	must(t, r.effects(merged(0, 1)))
	must(t, r.effects(merged(1, 0)))
	if err := r.effects(merged(0, 0)); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("one log is cut twice: %v", err)
	}
	if err := r.effects(strings.Replace(merged(0, 1), "true", "false", 1)); err == nil || !strings.Contains(err.Error(), "set_members") {
		t.Errorf("the same version, no longer merged: %v", err)
	}
	// Keys for which a change vouches are no part of the list, and are checked.
	vouching := func(key string) string {
		return strings.Replace(members(2), `"members"`, fmt.Sprintf(`"vouched":[{"user":"carol","key":"%s"}],"members"`, key), 1)
	}
	vouched := bytes.Repeat([]byte{7}, 32)
	must(t, r.effects(vouching(base64.StdEncoding.EncodeToString(vouched))))
	must(t, r.store.View(t.Context(), func(tx store.ReadTx) error {
		got, err := tx.Value("vouched", group+"/carol")
		if err == nil && !bytes.Equal(got, vouched) {
			t.Errorf("vouched for %x", got)
		}
		return err
	}))
	if err := r.effects(vouching("BwcH")); err == nil || !strings.Contains(err.Error(), "vouched.key") {
		t.Errorf("a short key: %v", err)
	}
	if err := r.effects(strings.Replace(members(4), `"members"`, `"history":7,"members"`, 1)); err == nil || !strings.Contains(err.Error(), "history") {
		t.Errorf("a history that is none: %v", err)
	}
	if err := r.effects(strings.Replace(members(4), `"members"`, `"vouched":[{"user":"bob","key":"AAAA"}],"members"`, 1)); err == nil || !strings.Contains(err.Error(), "vouched") {
		t.Errorf("a key that is none: %v", err)
	}
	r.view(func(tx store.ReadTx) error {
		m, err := tx.Membership(group, 3)
		if !m.Merged || m.History != store.HistoryAll || len(m.Cutoffs) != 2 || m.Cutoffs[0].Epoch != 5 || m.Cutoffs[0].Number != 2 {
			t.Errorf("%+v", m)
		}
		return err
	})
	r.view(func(tx store.ReadTx) error {
		c, err := tx.Chat(group)
		if c.Title != "Friends" || c.Membership != 3 || c.History != store.HistoryAll || !slices.Equal(c.Members, []packet.UserID{"alice", "carol"}) {
			t.Errorf("%+v", c)
		}
		return err
	})
	// Ephemeral packets go out after the commit, and only then.
	_ = r.effects(`{"sendPacket":{"chat":"alice-bob","type":"text","ephemeral":true}},{"putValue":{}}`)
	must(t, r.effects(`{"sendPacket":{"chat":"alice-bob","type":"text","ephemeral":true,"to":["bob"]}}`))
	r.outbox.mu.Lock()
	defer r.outbox.mu.Unlock()
	if len(r.outbox.emitted) != 1 {
		t.Errorf("%d packets were emitted", len(r.outbox.emitted))
	}
}

func jsonOf(id packet.PacketID) string {
	b, _ := json.Marshal(id[:])
	return string(b)
}

func TestHostRequests(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.install(r.bundled, "text", plan{})
	r.install(r.bundled, "file", plan{})
	r.update(func(tx store.Tx) error {
		return errors.Join(tx.PutContact(store.Contact{User: "bob", State: store.ContactAccepted, DisplayName: "Bob", Nickname: "Bobby", Devices: []store.Device{
			{Key: bytes.Repeat([]byte{1}, 32), Pinned: true}, {Key: bytes.Repeat([]byte{2}, 32)}, // the second is not trusted
		}}),
			tx.PutContact(store.Contact{User: "eve", State: store.ContactIncoming}),
			tx.PutContact(store.Contact{User: "dave", State: store.ContactAcquaintance, DisplayName: "Dave"}))
	})
	r.serve()
	keys := r.put("text", "one", "two", "three")
	r.wantBodies("one", "two", "three")
	r.put("file", "of another plugin")
	r.wantBodies("one", "two", "three", "of another plugin")
	first, second := r.entry(keys[0]).Packet.Header.ID, jsonOf(r.entry(keys[1]).Packet.Header.ID)

	var a pluginpb.HostResponse
	r.ask(`{"queryMessages":{"chat":"alice-bob"}}`, &a)
	if m := a.GetMessages().GetMessages(); len(m) != 3 || m[0].GetBody() != "three" || m[2].GetAuthor() != "bob" {
		t.Errorf("messages %v", &a)
	}
	r.ask(`{"queryMessages":{"chat":"alice-bob","before":`+second+`,"limit":5}}`, &a)
	if m := a.GetMessages().GetMessages(); len(m) != 1 || packet.PacketID(m[0].GetId()) != first {
		t.Errorf("page %v", &a)
	}
	r.ask(`{"queryMessages":{"chat":"alice-bob","ids":[`+second+`]}}`, &a)
	if m := a.GetMessages().GetMessages(); len(m) != 1 || m[0].GetBody() != "two" {
		t.Errorf("by id %v", &a)
	}
	r.ask(`{"queryMessages":{"chat":"?"}}`, &a)
	if codes.Code(a.GetError().GetCode()) != codes.InvalidArgument {
		t.Errorf("malformed chat: %v", &a)
	}
	r.ask(`{"apply":{"effects":[{"putValue":{"key":"a","value":"AAAA"}},{"putValue":{"key":"ab","value":"AAAA"}},{"annotate":{"chat":"alice-bob","message":`+second+`,"kind":"mark"}}]}}`, &a)
	if a.GetApply() == nil {
		t.Errorf("apply: %v", &a)
	}
	r.ask(`{"apply":{"effects":[{"sendPacket":{"chat":"alice-bob","type":"file"}}]}}`, &a)
	if e := a.GetError(); codes.Code(e.GetCode()) != codes.InvalidArgument || !strings.Contains(e.GetMessage(), "send_packet.type") {
		t.Errorf("apply of what is not declared: %v", &a)
	}
	r.ask(`{"queryValues":{"prefix":"ab"}}`, &a)
	if v := a.GetValues().GetValues(); len(v) != 1 || v[0].GetKey() != "ab" {
		t.Errorf("values %v", &a)
	}
	r.ask(`{"queryAnnotations":{"chat":"alice-bob","messages":[`+second+`]}}`, &a)
	if x := a.GetAnnotations().GetAnnotations(); len(x) != 1 || x[0].GetKind() != "mark" || x[0].GetAuthor() != "alice" {
		t.Errorf("annotations %v", &a)
	}
	r.ask(`{"queryContacts":{}}`, &a)
	if c := a.GetContacts().GetContacts(); len(c) != 1 || c[0].GetName() != "Bobby" || !c[0].GetOnline() || len(c[0].GetKeys()) != 1 || c[0].GetKeys()[0][0] != 1 {
		t.Errorf("contacts %v", &a)
	}
	r.ask(`{"queryContacts":{"members":true}}`, &a)
	var all []string
	for _, c := range a.GetContacts().GetContacts() {
		all = append(all, fmt.Sprintf("%s %t %d", c.GetUser(), c.GetMember(), len(c.GetKeys())))
	}
	if got := strings.Join(all, ", "); got != "bob false 1, dave true 0, alice true 1" {
		t.Errorf("with the members of groups: %s", got)
	}
	r.ask(`{"queryChats":{"chat":"alice-bob"}}`, &a)
	if c := a.GetChats().GetChats(); len(c) != 1 || !slices.Equal(c[0].GetMembers(), []string{"alice", "bob"}) {
		t.Errorf("chats %v", &a)
	}
	if h := a.GetChats().GetChats()[0].GetHeads(); len(h) != 0 {
		t.Errorf("heads that were not asked for: %v", h)
	}
	r.ask(`{"queryChats":{"chat":"alice-bob","heads":true}}`, &a)
	heads := a.GetChats().GetChats()[0].GetHeads()
	r.view(func(tx store.ReadTx) error {
		want, err := tx.Heads("alice-bob")
		if len(want) == 0 || len(heads) != len(want) {
			t.Errorf("heads %v, not %v", heads, want)
		}
		for i, h := range want[:len(heads)] {
			if got := heads[i]; got.GetUser() != string(h.Author) || !bytes.Equal(got.GetDevice(), h.Device[:]) || got.GetEpoch() != h.Epoch || got.GetNumber() != h.Upto {
				t.Errorf("head %v, not %v", got, h)
			}
		}
		return err
	})
	r.ask(`{"queryChats":{"chat":"alice-zoe"}}`, &a)
	if codes.Code(a.GetError().GetCode()) != codes.NotFound {
		t.Errorf("unknown chat: %v", &a)
	}
	if refused := r.mustInvoke("text", "flood", ""); refused == "0" || refused == "1000" {
		t.Errorf("%s of 1000 requests at once were refused", refused)
	}
	if got := r.mustInvoke("text", "slow", ""); got == "" {
		t.Error("no answer after the flood")
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.install(r.bundled, "text", plan{manifest: manifestOf("text", func(m *pluginpb.Manifest) {
		m.Settings = []*pluginpb.Setting{
			{Name: "loud", Type: pluginpb.SettingType_SETTING_TYPE_BOOL, DefaultValue: "false"},
			{Name: "size", Type: pluginpb.SettingType_SETTING_TYPE_INT, DefaultValue: "10", Min: 1, Max: 20},
			{Name: "colour", Type: pluginpb.SettingType_SETTING_TYPE_CHOICE, Choices: []string{"red", "blue"}},
			{Name: "where", Type: pluginpb.SettingType_SETTING_TYPE_FOLDER},
			{Name: "key", Type: pluginpb.SettingType_SETTING_TYPE_SECRET},
		}
	})})
	r.serve()
	r.list()
	r.eventually("manifest", func() bool { return r.status("text").Manifest != nil })
	set := func(name, value string) error { return r.host.SetSetting(t.Context(), "text", name, value) }
	must(t, set("size", "12")) // not running
	for name, value := range map[string]string{"loud": "yes", "size": "21", "colour": "green", "where": "home", "key": strings.Repeat("x", 5000)} {
		if err := set(name, value); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s = %.20s: %v", name, value, err)
		}
	}
	if err := set("shape", "x"); !errors.Is(err, ErrNoSetting) {
		t.Error(err)
	}
	seen := func() (values map[string]string) {
		must(t, json.Unmarshal([]byte(r.mustInvoke("text", "settings", "")), &values))
		return values
	}
	if got := seen(); got["size"] != "12" || got["loud"] != "false" || len(got) != 5 {
		t.Errorf("settings at the start: %v", got)
	}
	must(t, set("loud", "true"))
	must(t, set("key", "hunter2"))
	r.eventually("the change", func() bool { got := seen(); return got["loud"] == "true" && got["key"] == "hunter2" })
	schema, values, err := r.host.Settings(t.Context(), "text")
	must(t, err)
	if len(schema) != 5 || values["key"] != Hidden || values["size"] != "12" {
		t.Errorf("%v", values)
	}
	must(t, set("size", ""))
	r.eventually("the default", func() bool { return seen()["size"] == "10" })
	if strings.Contains(r.logged(), "hunter2") {
		t.Error("a secret was logged")
	}
}

func TestInvokeAgainAfterCancel(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.install(r.bundled, "text", plan{})
	r.serve()
	id := packet.NewPacketID()
	for i := range 5 {
		ctx, cancel := context.WithCancel(t.Context())
		hanging := make(chan struct{})
		done := make(chan error, 1)
		go func() {
			_, err := r.host.Invoke(ctx, "text", &pluginpb.InvokeRequest{Invocation: id[:], Action: "hang"}, func(*pluginpb.InvokeUpdate) { close(hanging) })
			done <- err
		}()
		<-hanging
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Fatalf("try %d: %v", i, err)
		}
	}
}
