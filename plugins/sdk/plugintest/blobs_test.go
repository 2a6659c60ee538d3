package plugintest_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/parley-chat/parley/plugins/sdk"
	"github.com/parley-chat/parley/plugins/sdk/plugintest"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// sharer is a poll that has blobs.
type sharer struct {
	poll
	start  func(info sdk.StartInfo)
	events []sdk.Blob
}

func (s *sharer) Start(ctx context.Context, host sdk.Host, info sdk.StartInfo) error {
	if s.start != nil {
		s.start(info)
	}
	return s.poll.Start(ctx, host, info)
}

func (s *sharer) HandleEvent(_ context.Context, e sdk.Event) ([]sdk.Effect, error) {
	if e.Blob == nil {
		return nil, nil
	}
	s.events = append(s.events, *e.Blob)
	return []sdk.Effect{sdk.ChangeMessage{ID: e.Blob.Message, Body: e.Blob.State.String() + e.Blob.Reason}}, nil
}

// sharing gives a host whose plugin has the capability and a folder to put into.
func sharing(t *testing.T, p *sharer, folder string) (*plugintest.Host, packet.ChatID) {
	t.Helper()
	p.manifest = func(m *pluginpb.Manifest) {
		m.Capabilities = []pluginpb.Capability{pluginpb.Capability_CAPABILITY_FILES}
		m.Settings = []*pluginpb.Setting{{Name: "into", Type: pluginpb.SettingType_SETTING_TYPE_FOLDER, DefaultValue: folder}}
	}
	h := plugintest.New(t, plugintest.Config{New: func() sdk.Plugin { return p }})
	return h, h.Chat("bob")
}

func write(t *testing.T, path, content string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestPrepareBlob(t *testing.T) {
	var data string
	p := &sharer{start: func(info sdk.StartInfo) { data = info.DataFolder }}
	h, chat := sharing(t, p, "/nowhere")
	dir := t.TempDir()
	write(t, filepath.Join(dir, "folder", "a"), "12")
	write(t, filepath.Join(dir, "folder", "b", "c"), "345")
	file := write(t, filepath.Join(dir, "file.txt"), "hello")
	own := write(t, filepath.Join(data, "x", "own"), "1")
	gone := filepath.Join(dir, "gone")
	for _, c := range []struct {
		name, path string
		given      []string
		code       codes.Code
		want       sdk.Blob
	}{
		{"file", file, []string{file}, codes.OK, sdk.Blob{Name: "file.txt", Size: 5}},
		{"folder", filepath.Join(dir, "folder"), []string{filepath.Join(dir, "folder") + "/"}, codes.OK, sdk.Blob{Name: "folder", Size: 5, Folder: true, Files: 2}},
		{"of its own", own, nil, codes.OK, sdk.Blob{Name: "own", Size: 1}},
		{"not given", file, []string{dir}, codes.PermissionDenied, sdk.Blob{}},
		{"beside its own", data + "2", nil, codes.PermissionDenied, sdk.Blob{}},
		{"out of its own", data + "/../../etc", nil, codes.PermissionDenied, sdk.Blob{}},
		{"not there", gone, []string{gone}, codes.NotFound, sdk.Blob{}},
		{"a device", "/dev/null", []string{"/dev/null"}, codes.InvalidArgument, sdk.Blob{}},
		{"relative", "file.txt", []string{"file.txt"}, codes.InvalidArgument, sdk.Blob{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got sdk.Blob
			p.invoke = func(ctx context.Context, p *poll, _ sdk.Invocation) (sdk.Result, error) {
				var err error
				got, err = p.host.PrepareBlob(ctx, c.path)
				return sdk.Result{}, err
			}
			_, err := h.Invoke(plugintest.Call{Action: "do", Chat: chat, Paths: c.given})
			var e *sdk.Error
			if c.code != codes.OK {
				if !errors.As(err, &e) || e.Code != c.code {
					t.Errorf("got %v, want %s", err, c.code)
				}
				return
			}
			if err != nil || got.Name != c.want.Name || got.Size != c.want.Size || got.Folder != c.want.Folder || got.Files != c.want.Files ||
				!got.Own || got.State != pluginpb.BlobState_BLOB_STATE_PREPARED {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

// A path is given for one call, and only to who may touch files.
func TestPrepareBlobLater(t *testing.T) {
	p := &sharer{}
	h, chat := sharing(t, p, "/nowhere")
	file := write(t, filepath.Join(t.TempDir(), "f"), "x")
	p.invoke = func(context.Context, *poll, sdk.Invocation) (sdk.Result, error) { return sdk.Result{}, nil }
	if _, err := h.Invoke(plugintest.Call{Action: "do", Chat: chat, Paths: []string{file}}); err != nil {
		t.Fatal(err)
	}
	if b, err := p.host.PrepareBlob(t.Context(), file); err == nil {
		t.Errorf("after the call it was prepared as %+v", b)
	}
	q := &poll{}
	other, chat := host(t, q)
	q.invoke = func(ctx context.Context, p *poll, _ sdk.Invocation) (sdk.Result, error) {
		_, err := p.host.PrepareBlob(ctx, file)
		return sdk.Result{}, err
	}
	if _, err := other.Invoke(plugintest.Call{Action: "do", Chat: chat, Paths: []string{file}}); err == nil || !strings.Contains(err.Error(), "FILES") {
		t.Errorf("without the capability: %v", err)
	}
}

func TestShareBlob(t *testing.T) {
	p := &sharer{}
	h, chat := sharing(t, p, "/nowhere")
	file := write(t, filepath.Join(t.TempDir(), "f"), "hello")
	var blob sdk.Blob
	p.invoke = func(ctx context.Context, p *poll, call sdk.Invocation) (sdk.Result, error) {
		var err error
		blob, err = p.host.PrepareBlob(ctx, file)
		return sdk.Result{Effects: []sdk.Effect{
			sdk.ShareBlob{Blob: blob.ID, Chat: call.Chat, Message: call.ID},
			sdk.SendPacket{ID: call.ID, Chat: call.Chat, Type: vote},
			sdk.AddMessage{ID: call.ID, Chat: call.Chat, Kind: vote},
		}}, err
	}
	r, err := h.Invoke(plugintest.Call{Action: "do", Chat: chat, Paths: []string{file}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := p.host.Blobs(t.Context(), blob.ID, packet.NewBlobID())
	if err != nil || len(got) != 1 || got[0].State != pluginpb.BlobState_BLOB_STATE_SHARED || got[0].Message != r.ID || got[0].Chat != chat {
		t.Fatalf("it is %+v, %v", got, err)
	}
	steer := func(o pluginpb.BlobOrder) pluginpb.BlobState {
		if err := p.host.Apply(t.Context(), sdk.SteerBlob{Blob: blob.ID, Order: o}); err != nil {
			t.Fatal(err)
		}
		b, _ := h.Blob(blob.ID)
		return b.State
	}
	for _, c := range []struct {
		order pluginpb.BlobOrder
		want  pluginpb.BlobState
	}{
		{pluginpb.BlobOrder_BLOB_ORDER_RESUME, pluginpb.BlobState_BLOB_STATE_SHARED},
		{pluginpb.BlobOrder_BLOB_ORDER_PAUSE, pluginpb.BlobState_BLOB_STATE_PAUSED},
		{pluginpb.BlobOrder_BLOB_ORDER_RESUME, pluginpb.BlobState_BLOB_STATE_SHARED},
		{pluginpb.BlobOrder_BLOB_ORDER_CANCEL, pluginpb.BlobState_BLOB_STATE_CANCELLED},
		{pluginpb.BlobOrder_BLOB_ORDER_RESUME, pluginpb.BlobState_BLOB_STATE_CANCELLED},
	} {
		if got := steer(c.order); got != c.want {
			t.Errorf("%s made it %s, want %s", c.order, got, c.want)
		}
	}
	// It belongs to one message for good, and to one that is there.
	for _, id := range []packet.PacketID{r.ID, packet.NewPacketID()} {
		if err := p.host.Apply(t.Context(), sdk.ShareBlob{Blob: blob.ID, Chat: chat, Message: id}); err == nil {
			t.Errorf("shared again with %s", id)
		}
	}
}

func TestFetchBlob(t *testing.T) {
	folder := t.TempDir()
	p := &sharer{}
	h, chat := sharing(t, p, folder)
	k := h.Packet(chat, "bob", vote, nil)
	fetch := sdk.FetchBlob{Blob: packet.NewBlobID(), Message: k.ID, Name: "cat.jpg", Folder: folder + "/", Size: 7}
	h.Receive(k)
	for _, c := range []struct {
		name string
		bend func(f *sdk.FetchBlob)
		says string
	}{
		{"elsewhere", func(f *sdk.FetchBlob) { f.Folder = "/etc" }, "FOLDER"},
		{"below the setting", func(f *sdk.FetchBlob) { f.Folder += "below" }, "FOLDER"},
		{"relative", func(f *sdk.FetchBlob) { f.Folder = "." }, "FOLDER"},
		{"long name", func(f *sdk.FetchBlob) { f.Name = strings.Repeat("x", 256) }, "at most 255"},
		{"no name", func(f *sdk.FetchBlob) { f.Name = "" }, "empty"},
		{"unknown message", func(f *sdk.FetchBlob) { f.Message = packet.NewPacketID() }, "not a message"},
		{"no blob", func(f *sdk.FetchBlob) { f.Blob = packet.BlobID{} }, "UUID"},
	} {
		bad := fetch
		c.bend(&bad)
		if err := p.host.Apply(t.Context(), bad); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if got := h.Blobs(); len(got) > 0 {
		t.Fatalf("something is fetched: %+v", got)
	}
	if err := p.host.Apply(t.Context(), fetch); err != nil {
		t.Fatal(err)
	}
	if got, ok := h.FetchOf(fetch.Blob); !ok || got != fetch {
		t.Errorf("it asked for %+v", got)
	}
	body := func() string { m, _ := h.Message(k.ID); return m.Body }
	h.SettleBlob(fetch.Blob, pluginpb.BlobState_BLOB_STATE_FAILED, ": disk full")
	if got := body(); got != "BLOB_STATE_FAILED: disk full" {
		t.Errorf("the plugin heard %q", got)
	}
	other := fetch
	other.Size++
	if err := p.host.Apply(t.Context(), other); err == nil {
		t.Error("it is fetched with another size")
	}
	if err := p.host.Apply(t.Context(), fetch); err != nil {
		t.Fatal(err)
	}
	h.SettleBlob(fetch.Blob, pluginpb.BlobState_BLOB_STATE_DONE, "")
	h.BlobEvent(fetch.Blob)
	if got := body(); got != "BLOB_STATE_DONE" || len(p.events) != 3 || p.events[2].Path != filepath.Join(folder, "cat.jpg") {
		t.Errorf("the plugin heard %q, in all %+v", got, p.events)
	}
	if err := p.host.Apply(t.Context(), fetch, sdk.SteerBlob{Blob: fetch.Blob, Order: pluginpb.BlobOrder_BLOB_ORDER_CANCEL}); err != nil {
		t.Fatal(err)
	}
	if b, _ := h.Blob(fetch.Blob); b.State != pluginpb.BlobState_BLOB_STATE_DONE {
		t.Errorf("what is here became %s", b.State)
	}
}

// What one outcome does with blobs is done with the rest of it, or not at all.
func TestBlobEffectsAreOneWithTheOthers(t *testing.T) {
	folder, id := t.TempDir(), packet.NewBlobID()
	p := &sharer{}
	h, chat := sharing(t, p, folder)
	p.handle = func(_ context.Context, _ *poll, k sdk.Packet) ([]sdk.Effect, error) {
		effects := []sdk.Effect{
			sdk.AddMessage{ID: k.ID, Chat: k.Chat, Kind: vote},
			sdk.FetchBlob{Blob: id, Message: k.ID, Name: "x", Folder: folder, Size: 1},
		}
		if len(k.Content) > 0 {
			effects = append(effects, sdk.SteerBlob{Blob: packet.NewBlobID(), Order: pluginpb.BlobOrder_BLOB_ORDER_PAUSE})
		}
		return effects, nil
	}
	if got := h.Receive(h.Packet(chat, "bob", vote, []byte("bad")))[0]; got.Err == nil || !strings.Contains(got.Err.Error(), "not found") {
		t.Errorf("steering what is not there: %+v", got)
	}
	if len(h.Blobs()) > 0 || len(h.Messages(chat)) > 0 {
		t.Error("something was applied")
	}
	if got := h.Receive(h.Packet(chat, "bob", vote, nil))[0]; got.Err != nil {
		t.Fatal(got.Err)
	}
	if b, _ := h.Blob(id); b.State != pluginpb.BlobState_BLOB_STATE_WANTED {
		t.Errorf("it is %+v", b)
	}
}

// Within Handle, how a blob is waits for what came before.
func TestBlobsAfterUncommitted(t *testing.T) {
	folder, id := t.TempDir(), packet.NewBlobID()
	p := &sharer{}
	h, chat := sharing(t, p, folder)
	again, seen := 0, 0
	p.handle = func(ctx context.Context, p *poll, k sdk.Packet) ([]sdk.Effect, error) {
		if len(k.Content) == 0 {
			return []sdk.Effect{
				sdk.AddMessage{ID: k.ID, Chat: k.Chat, Kind: vote}, sdk.FetchBlob{Blob: id, Message: k.ID, Name: "x", Folder: folder, Size: 1},
			}, nil
		}
		got, err := p.host.Blobs(ctx, id)
		if errors.Is(err, sdk.ErrAgain) {
			again++
		}
		seen += len(got)
		return nil, err
	}
	h.Receive(h.Packet(chat, "bob", vote, nil), h.Packet(chat, "bob", vote, []byte("x")))
	if again != 1 || seen != 1 {
		t.Errorf("it was told %d times to come again, and saw %d blobs", again, seen)
	}
}
