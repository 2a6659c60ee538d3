package file_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"

	"github.com/parley-chat/parley/plugins/file"
	"github.com/parley-chat/parley/plugins/file/filepb"
	"github.com/parley-chat/parley/plugins/sdk"
	"github.com/parley-chat/parley/plugins/sdk/plugintest"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	done      = pluginpb.BlobState_BLOB_STATE_DONE
	failed    = pluginpb.BlobState_BLOB_STATE_FAILED
	cancelled = pluginpb.BlobState_BLOB_STATE_CANCELLED
)

// world is people who chat, each with a download folder.
type world struct {
	t                 *testing.T
	alice, bob, carol *plugintest.Host
	chat              packet.ChatID
	dir               string
}

func config(t *testing.T, user packet.UserID, settings ...string) plugintest.Config {
	all := map[string]string{"download-folder": t.TempDir()}
	for i := 0; i+1 < len(settings); i += 2 {
		all[settings[i]] = settings[i+1]
	}
	return plugintest.Config{New: func() sdk.Plugin { return file.New() }, User: user, Bundled: true, Settings: all}
}

func newWorld(t *testing.T, bobs ...string) *world {
	t.Helper()
	net := plugintest.NewNetwork(t)
	w := &world{t: t, dir: t.TempDir()}
	w.alice, w.bob, w.carol = net.Host(config(t, "alice")), net.Host(config(t, "bob", bobs...)), net.Host(config(t, "carol"))
	w.chat = net.Chat(w.alice, w.bob, w.carol)
	return w
}

func (w *world) write(name string, content []byte) string {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		w.t.Fatal(err)
	}
	return path
}

// send sends paths from alice and gives the messages.
func (w *world) send(text string, paths ...string) []packet.PacketID {
	w.t.Helper()
	r, err := w.alice.Invoke(plugintest.Call{Action: "send", Chat: w.chat, Text: text, Paths: paths})
	if err != nil {
		w.t.Fatal(err)
	}
	var value struct{ IDs []string }
	if err := json.Unmarshal(r.Value, &value); err != nil {
		w.t.Fatal(err)
	}
	var ids []packet.PacketID
	for _, s := range value.IDs {
		id, err := packet.ParsePacketID(s)
		if err != nil {
			w.t.Fatal(err)
		}
		ids = append(ids, id)
	}
	if len(ids) != len(paths) || ids[0] != r.ID {
		w.t.Fatalf("%d messages of %d paths, the first %s of invocation %s", len(ids), len(paths), ids[0], r.ID)
	}
	return ids
}

func (w *world) do(h *plugintest.Host, action string, m packet.PacketID) error {
	_, err := h.Invoke(plugintest.Call{Action: action, Chat: w.chat, Message: m})
	return err
}

func (w *world) must(h *plugintest.Host, action string, m packet.PacketID) {
	w.t.Helper()
	if err := w.do(h, action, m); err != nil {
		w.t.Fatalf("%s: %v", action, err)
	}
}

func data(t *testing.T, h *plugintest.Host, id packet.PacketID) file.Data {
	t.Helper()
	m, ok := h.Message(id)
	if !ok {
		t.Fatalf("%s has no message %s", h.User(), id)
	}
	var d file.Data
	if m.Deleted {
		return d
	}
	if err := json.Unmarshal(m.Data, &d); err != nil {
		t.Fatalf("%s: data %q: %v", h.User(), m.Data, err)
	}
	return d
}

func blobOf(t *testing.T, h *plugintest.Host, id packet.PacketID) packet.BlobID {
	t.Helper()
	b, err := packet.ParseBlobID(data(t, h, id).Blob)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (w *world) want(h *plugintest.Host, id packet.PacketID, state string) {
	w.t.Helper()
	if d := data(w.t, h, id); d.State != state {
		w.t.Errorf("%s has it %q (%s), want %q", h.User(), d.State, d.Reason, state)
	}
}

// marks gives what alice sees on a message: who has it how.
func (w *world) marks(id packet.PacketID) string {
	var all []string
	for _, a := range w.alice.Annotations(id) {
		all = append(all, fmt.Sprintf("%s %s", a.Author, a.Value))
	}
	return strings.Join(all, ", ")
}

func (w *world) wantMarks(id packet.PacketID, want string) {
	w.t.Helper()
	if got := w.marks(id); got != want {
		w.t.Errorf("alice sees %s, want %s", got, want)
	}
}

func code(err error) codes.Code {
	var e *sdk.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return codes.OK
}

func TestFile(t *testing.T) {
	w := newWorld(t)
	path := w.write("notes.txt", []byte("hello"))
	m := w.send(" Read this ", path)[0]
	d := data(t, w.bob, m)
	if d.Name != "notes.txt" || d.Size != 5 || d.Media != "text/plain" || d.Caption != "Read this" || d.State != file.Offered || d.SentName != "" {
		t.Errorf("bob has %+v", d)
	}
	if got, _ := w.bob.Message(m); got.Kind != file.KindFile || got.Body != "notes.txt\nRead this" {
		t.Errorf("bob has the message %+v", got)
	}
	if d := data(t, w.alice, m); d.State != file.Shared || d.Path != path {
		t.Errorf("alice has %+v", d)
	}
	blob := blobOf(t, w.alice, m)
	if b, _ := w.alice.Blob(blob); b.State != pluginpb.BlobState_BLOB_STATE_SHARED || b.Path != path || b.Message != m {
		t.Errorf("alice shares %+v", b)
	}
	if b, _ := w.bob.Blob(blob); b.State != pluginpb.BlobState_BLOB_STATE_OFFERED {
		t.Errorf("bob was not asked, and it is %s", b.State)
	}
	w.must(w.bob, "accept", m)
	w.must(w.bob, "accept", m)
	w.want(w.bob, m, file.Fetching)
	f, ok := w.bob.FetchOf(blob)
	if !ok || f.Name != "notes.txt" || f.Size != 5 || f.Message != m || f.Folder == "" {
		t.Errorf("bob fetches %+v", f)
	}
	w.wantMarks(m, "")
	w.bob.SettleBlob(blob, done, "")
	w.want(w.bob, m, file.Received)
	w.wantMarks(m, `bob {"state":"received"}`)
	if d := data(t, w.bob, m); d.Path != filepath.Join(f.Folder, "notes.txt") {
		t.Errorf("bob has it at %q", d.Path)
	}
	sent := len(w.bob.Sent())
	if got := w.bob.BlobEvent(blob); got.Err != nil || len(w.bob.Sent()) != sent {
		t.Errorf("told again: %v, %d packets more", got.Err, len(w.bob.Sent())-sent)
	}
	// Each says for himself.
	w.must(w.carol, "decline", m)
	w.wantMarks(m, `bob {"state":"received"}, carol {"state":"declined"}`)
	for _, action := range []string{"accept", "decline", "cancel"} {
		if err := w.do(w.bob, action, m); code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "here already") {
			t.Errorf("%s of what is here: %v", action, err)
		}
	}
}

// TestOwnDevices: what became of an offer on another device of one's own is told by
// one's own annotation, and it can be had here too.
func TestOwnDevices(t *testing.T) {
	net := plugintest.NewNetwork(t)
	w := &world{t: t, dir: t.TempDir()}
	w.alice, w.bob, w.carol = net.Host(config(t, "alice")), net.Host(config(t, "bob")), net.Host(config(t, "bob"))
	w.chat = net.Chat(w.alice, w.bob, w.carol)
	first, second := w.bob, w.carol
	m := w.send("", w.write("notes.txt", []byte("hello")))[0]
	blob := blobOf(t, w.alice, m)
	w.must(first, "accept", m)
	first.SettleBlob(blob, done, "")
	w.want(first, m, file.Received)
	w.want(second, m, file.Offered)
	w.wantMarks(m, `bob {"state":"received"}`)
	marks := second.Annotations(m)
	if len(marks) != 1 || marks[0].Author != "bob" || marks[0].Kind != file.Annotation || string(marks[0].Value) != `{"state":"received"}` {
		t.Errorf("the second device sees %v", marks)
	}
	w.must(second, "accept", m)
	second.SettleBlob(blob, done, "")
	w.want(second, m, file.Received)
}

func TestFailAndRetry(t *testing.T) {
	w := newWorld(t)
	m := w.send("", w.write("a", []byte("hello")))[0]
	blob := blobOf(t, w.bob, m)
	w.must(w.bob, "accept", m)
	w.bob.SettleBlob(blob, failed, "the disk is full")
	w.want(w.bob, m, file.Failed)
	w.wantMarks(m, `bob {"state":"failed","reason":"the disk is full"}`)
	w.must(w.bob, "retry", m)
	w.want(w.bob, m, file.Fetching)
	w.wantMarks(m, "")
	// Where bob keeps things is not told.
	w.bob.SettleBlob(blob, failed, "/home/bob/Secret: permission denied")
	w.wantMarks(m, `bob {"state":"failed"}`)
	if d := data(t, w.bob, m); !strings.Contains(d.Reason, "Secret") {
		t.Errorf("bob is told %q", d.Reason)
	}
	w.bob.Restart()
	w.must(w.bob, "retry", m)
	w.must(w.bob, "pause", m)
	if b, _ := w.bob.Blob(blob); b.State != pluginpb.BlobState_BLOB_STATE_PAUSED {
		t.Errorf("it is %s", b.State)
	}
	w.must(w.bob, "resume", m)
	w.must(w.bob, "pause", m)
	w.must(w.bob, "accept", m) // also resumes
	if b, _ := w.bob.Blob(blob); b.State != pluginpb.BlobState_BLOB_STATE_WANTED {
		t.Errorf("it is %s", b.State)
	}
	w.must(w.bob, "cancel", m)
	w.want(w.bob, m, file.Cancelled)
	w.wantMarks(m, `bob {"state":"cancelled"}`)
	if b, _ := w.bob.Blob(blob); b.State != cancelled {
		t.Errorf("it is %s", b.State)
	}
	w.must(w.bob, "accept", m)
	w.bob.SettleBlob(blob, done, "")
	w.wantMarks(m, `bob {"state":"received"}`)
}

// A late word on a transfer that was begun anew does not count.
func TestStaleEvent(t *testing.T) {
	w := newWorld(t)
	m := w.send("", w.write("a", []byte("hello")))[0]
	w.must(w.bob, "accept", m)
	blob := blobOf(t, w.bob, m)
	w.bob.SettleBlob(blob, failed, "x")
	old, _ := w.bob.Blob(blob)
	w.must(w.bob, "retry", m)
	w.bob.Event(sdk.Event{Chat: w.chat, Blob: &old})
	w.want(w.bob, m, file.Fetching)
	w.wantMarks(m, "")
}

func TestByBlob(t *testing.T) {
	w := newWorld(t)
	m := w.send("", w.write("a", []byte("hello")))[0]
	blob := blobOf(t, w.alice, m)
	if _, err := w.alice.Invoke(plugintest.Call{Action: "pause", Args: map[string]string{"blob": blob.String()}}); err != nil {
		t.Fatal(err)
	}
	if b, _ := w.alice.Blob(blob); b.State != pluginpb.BlobState_BLOB_STATE_PAUSED {
		t.Errorf("it is %s", b.State)
	}
	for name, want := range map[string]codes.Code{"x": codes.InvalidArgument, packet.NewBlobID().String(): codes.NotFound, "": codes.InvalidArgument} {
		if _, err := w.alice.Invoke(plugintest.Call{Action: "pause", Args: map[string]string{"blob": name}}); code(err) != want {
			t.Errorf("%q: %v", name, err)
		}
	}
	if err := w.do(w.bob, "pause", m); code(err) != codes.FailedPrecondition {
		t.Errorf("pause of what is not fetched: %v", err)
	}
	if err := w.do(w.bob, "accept", packet.NewPacketID()); code(err) != codes.NotFound {
		t.Errorf("accept of nothing: %v", err)
	}
}

func TestWithdraw(t *testing.T) {
	w := newWorld(t)
	m := w.send("", w.write("a", []byte("hello")))[0]
	blob := blobOf(t, w.alice, m)
	w.must(w.bob, "accept", m)
	w.carol.SetOnline(false)
	w.must(w.alice, "cancel", m)
	w.must(w.alice, "cancel", m)
	w.carol.SetOnline(true)
	for _, h := range []*plugintest.Host{w.alice, w.bob, w.carol} {
		w.want(h, m, file.Withdrawn)
	}
	for _, h := range []*plugintest.Host{w.alice, w.bob} {
		if b, _ := h.Blob(blob); b.State != cancelled {
			t.Errorf("%s has it %s", h.User(), b.State)
		}
	}
	if err := w.do(w.carol, "accept", m); code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "withdrawn") {
		t.Errorf("accept: %v", err)
	}
	// The core says it too; nobody says it to the chat again.
	sent := len(w.bob.Sent())
	w.bob.BlobEvent(blob)
	w.want(w.bob, m, file.Withdrawn)
	if len(w.bob.Sent()) != sent {
		t.Error("bob told the chat that he cancelled it")
	}
}

func TestSourceLost(t *testing.T) {
	w := newWorld(t)
	m := w.send("", w.write("a", []byte("hello")))[0]
	w.alice.SettleBlob(blobOf(t, w.alice, m), failed, "/home/alice/a was changed")
	w.want(w.alice, m, file.Failed)
	w.want(w.bob, m, file.Withdrawn)
	if d := data(t, w.bob, m); d.Reason == "" || strings.Contains(d.Reason, "/") {
		t.Errorf("bob is told %q", d.Reason)
	}
}

func TestDelete(t *testing.T) {
	w := newWorld(t)
	ids := w.send("", w.write("a", []byte("hello")), w.write("b", []byte("hello")))
	w.must(w.bob, "accept", ids[0])
	blob := blobOf(t, w.bob, ids[0])
	if err := w.do(w.bob, "delete", ids[0]); code(err) != codes.PermissionDenied {
		t.Errorf("bob deletes it for everybody: %v", err)
	}
	w.must(w.alice, "delete", ids[0])
	for _, h := range []*plugintest.Host{w.alice, w.bob, w.carol} {
		if m, _ := h.Message(ids[0]); !m.Deleted {
			t.Errorf("%s still has it", h.User())
		}
	}
	for _, h := range []*plugintest.Host{w.alice, w.bob} {
		if b, _ := h.Blob(blob); b.State != cancelled {
			t.Errorf("%s has it %s", h.User(), b.State)
		}
	}
	w.must(w.bob, "accept", ids[1])
	w.must(w.bob, "delete-for-me", ids[1])
	if b, _ := w.bob.Blob(blobOf(t, w.alice, ids[1])); b.State != cancelled {
		t.Errorf("what bob deleted is %s", b.State)
	}
	w.want(w.alice, ids[1], file.Shared)
	w.must(w.alice, "delete-for-me", ids[1])
	if b, _ := w.alice.Blob(blobOf(t, w.carol, ids[1])); b.State != pluginpb.BlobState_BLOB_STATE_SHARED {
		t.Errorf("what alice deleted for herself is %s to others", b.State)
	}
}

// What comes before its message, from another device, counts when that comes;
// what others send does not.
func TestEarly(t *testing.T) {
	h := plugintest.New(t, config(t, "alice", "auto-accept", "everyone"))
	chat := h.Chat("bob", "carol")
	for _, c := range []struct {
		name   string
		author packet.UserID
		of     packet.Type
		early  func(id packet.PacketID) content
		want   string
	}{
		{"withdrawn", "bob", file.TypeState, func(id packet.PacketID) content { return file.State{Message: id, Kind: filepb.Kind_KIND_WITHDRAWN} }, file.Withdrawn},
		{"deleted", "bob", file.TypeDelete, func(id packet.PacketID) content { return file.Delete{Message: id} }, ""},
		{"by another", "carol", file.TypeDelete, func(id packet.PacketID) content { return file.Delete{Message: id} }, file.Fetching},
	} {
		offer := h.Packet(chat, "bob", file.TypeFile, encode(t, file.Offer{Blob: packet.NewBlobID(), Name: "a"}))
		h.Receive(h.Packet(chat, c.author, c.of, encode(t, c.early(offer.ID))))
		h.Restart()
		if got := h.Receive(offer)[0]; got != (plugintest.Outcome{}) {
			t.Fatalf("%s: %+v", c.name, got)
		}
		if d := data(t, h, offer.ID); d.State != c.want {
			t.Errorf("%s: it is %q", c.name, d.State)
		}
	}
	for range 1000 {
		h.Receive(h.Packet(chat, "carol", file.TypeDelete, encode(t, file.Delete{Message: packet.NewPacketID()})))
	}
	if n := len(h.Values()); n == 0 || n > 50 {
		t.Errorf("%d values are kept", n)
	}
}

func TestOnlyWhoMaySays(t *testing.T) {
	w := newWorld(t)
	m := w.send("", w.write("a", []byte("x")))[0]
	for name, p := range map[string]sdk.Packet{
		"another withdraws":      w.bob.Packet(w.chat, "carol", file.TypeState, encode(t, file.State{Message: m, Kind: filepb.Kind_KIND_WITHDRAWN})),
		"the author receives":    w.bob.Packet(w.chat, "alice", file.TypeState, encode(t, file.State{Message: m, Kind: filepb.Kind_KIND_RECEIVED})),
		"another deletes":        w.bob.Packet(w.chat, "carol", file.TypeDelete, encode(t, file.Delete{Message: m})),
		"nonsense":               w.bob.Packet(w.chat, "carol", file.TypeFile, []byte("\xff\xff")),
		"an image that is none":  w.bob.Packet(w.chat, "carol", file.TypeImage, encode(t, file.Offer{Blob: goldenBlob, Name: "a"})),
		"a thumbnail that isn't": w.bob.Packet(w.chat, "carol", file.TypeFile, encode(t, file.Offer{Blob: goldenBlob, Name: "a", Thumbnail: "no"})),
	} {
		if got := w.bob.Receive(p)[0]; got.Refused == "" {
			t.Errorf("%s: %+v", name, got)
		}
	}
	// What a later version says is no reason to refuse.
	later := w.bob.Packet(w.chat, "carol", file.TypeState, encode(t, file.State{Message: m, Kind: 99}))
	if got := w.bob.Receive(later)[0]; got != (plugintest.Outcome{}) {
		t.Errorf("a later version's state: %+v", got)
	}
	w.want(w.bob, m, file.Offered)
}

// TestOfferedByTwo: who offers a blob that is another's, and is heard first, does not
// keep it from who accepts the other's offer.
func TestOfferedByTwo(t *testing.T) {
	w := newWorld(t)
	first := w.bob.Packet(w.chat, "carol", file.TypeFile, encode(t, file.Offer{Blob: goldenBlob, Name: "mine", Size: 7}))
	second := w.bob.Packet(w.chat, "alice", file.TypeFile, encode(t, file.Offer{Blob: goldenBlob, Name: "film", Size: 100}))
	w.bob.Receive(first, second)
	w.want(w.bob, first.ID, file.Offered)
	w.must(w.bob, "accept", second.ID)
	w.want(w.bob, second.ID, file.Fetching)
	if f, ok := w.bob.FetchOf(goldenBlob); !ok || f.Message != second.ID || f.Size != 100 {
		t.Errorf("bob fetches %+v", f)
	}
	if err := w.do(w.bob, "accept", first.ID); code(err) != codes.FailedPrecondition {
		t.Errorf("accept of both: %v", err)
	}
}

func TestAutoAccept(t *testing.T) {
	for _, c := range []struct {
		name     string
		settings []string
		contact  bool
		want     string
	}{
		{"off", []string{"auto-accept", "off"}, true, file.Offered},
		{"contact", []string{"auto-accept", "contacts"}, true, file.Fetching},
		{"no contact", []string{"auto-accept", "contacts"}, false, file.Offered},
		{"everyone", []string{"auto-accept", "everyone"}, false, file.Fetching},
		{"too large", []string{"auto-accept", "everyone", "auto-accept-mib", "1"}, false, file.Offered},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, c.settings...)
			if c.contact {
				w.bob.AddContact(sdk.Contact{User: "alice"})
			}
			m := w.send("", w.write("a", make([]byte, 1<<20+1)))[0]
			w.want(w.bob, m, c.want)
			if got := fetched(w.bob); (got == 1) != (c.want == file.Fetching) {
				t.Errorf("%d blobs are fetched", got)
			}
		})
	}
}

// fetched counts the blobs that are fetched, or were.
func fetched(h *plugintest.Host) (n int) {
	for _, b := range h.Blobs() {
		if b.State != pluginpb.BlobState_BLOB_STATE_OFFERED {
			n++
		}
	}
	return n
}

// Thousands of offers are messages, and neither thousands of transfers nor
// trouble; nor is a blob that is offered by two messages.
func TestThousandsOfOffers(t *testing.T) {
	h := plugintest.New(t, config(t, "alice", "auto-accept", "everyone"))
	chat := h.Chat("bob", "carol")
	var all []sdk.Packet
	for range 1000 {
		all = append(all, h.Packet(chat, "bob", file.TypeFile, encode(t, file.Offer{Blob: packet.NewBlobID(), Name: "spam", Size: 1})))
	}
	for i, got := range h.Receive(all...) {
		if got != (plugintest.Outcome{}) {
			t.Fatalf("offer %d: %+v", i, got)
		}
	}
	if n := fetched(h); len(h.Messages(chat)) != len(all) || n == 0 || n > 100 {
		t.Errorf("%d messages, %d transfers", len(h.Messages(chat)), n)
	}
	first := h.Blobs()[0]
	again := h.Packet(chat, "carol", file.TypeFile, encode(t, file.Offer{Blob: first.ID, Name: "mine", Size: 1}))
	if got := h.Receive(again)[0]; got != (plugintest.Outcome{}) {
		t.Errorf("the same blob again: %+v", got)
	}
	if _, err := h.Invoke(plugintest.Call{Action: "accept", Chat: chat, Message: again.ID}); code(err) != codes.FailedPrecondition {
		t.Errorf("accept of it: %v", err)
	}
	// One that ended makes room.
	before := len(h.Blobs())
	h.SettleBlob(first.ID, done, "")
	h.Receive(h.Packet(chat, "bob", file.TypeFile, encode(t, file.Offer{Blob: packet.NewBlobID(), Name: "spam", Size: 1})))
	if n := len(h.Blobs()); n != before+1 {
		t.Errorf("%d transfers, there were %d", n, before)
	}
}

func TestNames(t *testing.T) {
	h := plugintest.New(t, config(t, "alice", "auto-accept", "everyone"))
	chat := h.Chat("bob")
	for sent, want := range map[string]string{
		"a.txt": "a.txt", "../../.ssh/authorized_keys": ".._.._.ssh_authorized_keys", "a\x00b": "a_b", "..": "unnamed..", " ": "unnamed",
		"photo\u202egpj.exe": "photo_gpj.exe", "a\nb\x1b[31m": "a_b_[31m", "\xff\xfe": "_", `C:\x`: "C:_x", "茶 🍵.png": "茶 🍵.png",
		strings.Repeat("ä", 500) + ".tar.gz": strings.Repeat("ä", 107) + "…" + strings.Repeat("ä", 14) + ".tar.gz",
	} {
		o := file.Offer{Blob: packet.NewBlobID(), Name: sent, Size: 1}
		p := h.Packet(chat, "bob", file.TypeFile, encode(t, o))
		if got := h.Receive(p)[0]; got != (plugintest.Outcome{}) {
			t.Fatalf("%q: %+v", sent, got)
		}
		d := data(t, h, p.ID)
		f, _ := h.FetchOf(o.Blob)
		if d.Name != want && !strings.HasPrefix(sent, "ää") || f.Name != d.Name || len(d.Name) > 255 || (d.SentName == "") != (sent == want) {
			t.Errorf("%q is shown as %q (sent as %q) and fetched as %q", sent, d.Name, d.SentName, f.Name)
		}
	}
}

func TestFolderAndSeveral(t *testing.T) {
	w := newWorld(t)
	w.write("Holiday/a", []byte("12"))
	w.write("Holiday/b/c", []byte("345"))
	ids := w.send("All", filepath.Join(w.dir, "Holiday"), w.write("x.bin", []byte{0, 1, 2}))
	if d := data(t, w.bob, ids[0]); !d.Folder || d.Files != 2 || d.Size != 5 || d.Name != "Holiday" || d.Caption != "All" {
		t.Errorf("bob has the folder as %+v", d)
	}
	if d := data(t, w.bob, ids[1]); d.Folder || d.Size != 3 || d.Caption != "" {
		t.Errorf("bob has the file as %+v", d)
	}
}

func TestSendRefuses(t *testing.T) {
	w := newWorld(t)
	good := w.write("a", []byte("x"))
	many := make([]string, file.MaxPaths+1)
	for i := range many {
		many[i] = good
	}
	for _, c := range []struct {
		name, text string
		paths      []string
		code       codes.Code
	}{
		{"nothing", "", nil, codes.InvalidArgument},
		{"too many", "", many, codes.InvalidArgument},
		{"not there", "", []string{good, filepath.Join(w.dir, "gone")}, codes.NotFound},
		{"a device", "", []string{good, "/dev/null"}, codes.InvalidArgument},
		{"endless caption", strings.Repeat("x", file.MaxCaption+1), []string{good}, codes.InvalidArgument},
	} {
		_, err := w.alice.Invoke(plugintest.Call{Action: "send", Chat: w.chat, Text: c.text, Paths: c.paths})
		if code(err) != c.code {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if len(w.alice.Sent()) > 0 || len(w.bob.Messages(w.chat)) > 0 {
		t.Error("something was sent")
	}
	if ids := w.send("", many[:file.MaxPaths]...); len(w.bob.Messages(w.chat)) != len(ids) {
		t.Errorf("bob has %d messages of %d", len(w.bob.Messages(w.chat)), len(ids))
	}
}

// photo is a JPEG on its side that says where it was taken.
func photo(t *testing.T) []byte {
	t.Helper()
	m := image.NewRGBA(image.Rect(0, 0, 600, 400))
	for i := range m.Pix {
		m.Pix[i] = byte(i / 1000)
	}
	m.SetRGBA(0, 0, color.RGBA{R: 255, A: 255})
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, nil); err != nil {
		t.Fatal(err)
	}
	exif := "\xff\xe1\x00\x2eExif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00\x00\x00\x00\x00" + "GPS-48N-2E.."
	return append([]byte("\xff\xd8"+exif), b.Bytes()[2:]...)
}

func TestPicture(t *testing.T) {
	w := newWorld(t)
	path := w.write("cat.jpg", photo(t))
	m := w.send("", path)[0]
	d := data(t, w.bob, m)
	if got, _ := w.bob.Message(m); got.Kind != file.KindImage || d.Width != 400 || d.Height != 600 || d.Media != "image/jpeg" || d.Name != "cat.jpg" {
		t.Errorf("bob has %s %+v", got.Kind, d)
	}
	small, err := jpeg.Decode(bytes.NewReader(d.Thumbnail))
	if err != nil || small.Bounds().Dx() >= small.Bounds().Dy() {
		t.Errorf("the thumbnail is %v, %v", small, err)
	}
	shared, _ := w.alice.Blob(blobOf(t, w.alice, m))
	copied, err := os.ReadFile(shared.Path)
	if err != nil || bytes.Contains(copied, []byte("GPS")) || shared.Name != "cat.jpg" || uint64(len(copied)) != d.Size {
		t.Errorf("%s with %d bytes is shared, %v", shared.Path, len(copied), err)
	}
	if kept, _ := os.ReadFile(path); !bytes.Contains(kept, []byte("GPS")) {
		t.Error("alice's own file was changed")
	}
	// The copy lives as long as somebody may want it, and over restarts.
	w.alice.Restart()
	w.must(w.alice, "pause", m)
	w.must(w.alice, "resume", m)
	if _, err := os.Stat(shared.Path); err != nil {
		t.Error(err)
	}
	w.must(w.alice, "cancel", m)
	if _, err := os.Stat(shared.Path); !os.IsNotExist(err) {
		t.Errorf("the copy is still there: %v", err)
	}
	if len(w.alice.Values()) > 0 {
		t.Errorf("alice still keeps %v", w.alice.Values())
	}
}

func TestPictureAsItIs(t *testing.T) {
	w := newWorld(t)
	path := w.write("cat.jpg", photo(t))
	r, err := w.alice.Invoke(plugintest.Call{Action: "send", Chat: w.chat, Paths: []string{path}, Args: map[string]string{"as": "file"}})
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := w.bob.Message(r.ID); got.Kind != file.KindFile {
		t.Errorf("as a file it is %s", got.Kind)
	}
	w.alice.Set("strip-metadata", "false")
	for _, m := range []packet.PacketID{r.ID, w.send("", path)[0]} {
		if b, _ := w.alice.Blob(blobOf(t, w.alice, m)); b.Path != path {
			t.Errorf("%s is shared", b.Path)
		}
	}
	// Without anything to leave out there is no copy.
	w.alice.Set("strip-metadata", "true")
	var plain bytes.Buffer
	if err := png.Encode(&plain, image.NewGray(image.Rect(0, 0, 3, 2))); err != nil {
		t.Fatal(err)
	}
	path = w.write("plain.png", plain.Bytes())
	m := w.send("", path)[0]
	if b, _ := w.alice.Blob(blobOf(t, w.alice, m)); b.Path != path || data(t, w.bob, m).Width != 3 {
		t.Errorf("%s is shared, bob has %+v", b.Path, data(t, w.bob, m))
	}
}

// What cannot be decoded is sent as a file; what cannot be made private is not
// sent by mistake.
func TestPicturesThatAreNone(t *testing.T) {
	w := newWorld(t)
	whole := photo(t)
	bomb := "\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR\x00\x00\xc3\x50\x00\x00\xc3\x50\x08\x06\x00\x00\x00????\x00\x00\x00\x00IEND????"
	for name, b := range map[string][]byte{"half.jpg": whole[:len(whole)/2], "bomb.png": []byte(bomb), "text.jpg": []byte("no picture")} {
		m := w.send("", w.write(name, b))[0]
		got, _ := w.bob.Message(m)
		if d := data(t, w.bob, m); got.Kind != file.KindFile || len(d.Thumbnail) > 0 || d.Name != name {
			t.Errorf("%s is %s %+v", name, got.Kind, d)
		}
		shared, _ := w.alice.Blob(blobOf(t, w.alice, m))
		if content, err := os.ReadFile(shared.Path); err != nil || bytes.Contains(content, []byte("GPS")) {
			t.Errorf("%s: its location is in it, or %v", name, err)
		}
	}
	path := w.write("broken.jpg", []byte("\xff\xd8\xff\xe1\x00\x01GPS"))
	if _, err := w.alice.Invoke(plugintest.Call{Action: "send", Chat: w.chat, Paths: []string{path}}); code(err) != codes.FailedPrecondition {
		t.Errorf("a broken picture: %v", err)
	}
}

// A copy that was made for what was never sent goes when the plugin starts.
func TestTidy(t *testing.T) {
	var folder string
	h := plugintest.New(t, plugintest.Config{Bundled: true, New: func() sdk.Plugin { return &spy{Plugin: file.New(), folder: &folder} }})
	left := filepath.Join(folder, "outgoing", packet.NewPacketID().String())
	if err := os.MkdirAll(left, 0o700); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(folder, "outgoing", "something else")
	if err := os.WriteFile(other, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	h.Restart()
	for ctx, tick := patience(t), time.Tick(10*time.Millisecond); ; {
		if _, err := os.Stat(left); os.IsNotExist(err) {
			break
		}
		select {
		case <-tick:
		case <-ctx.Done():
			t.Fatal("the copy is still there")
		}
	}
	if _, err := os.Stat(other); err != nil {
		t.Error(err)
	}
}

func patience(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// spy tells where the plugin's folder is.
type spy struct {
	*file.Plugin
	folder *string
}

func (s *spy) Start(ctx context.Context, host sdk.Host, info sdk.StartInfo) error {
	*s.folder = info.DataFolder
	return s.Plugin.Start(ctx, host, info)
}
