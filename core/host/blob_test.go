package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/core/store/storetest"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// fakeBlobs notes what it is asked for.
type fakeBlobs struct {
	mu    sync.Mutex // guards asked
	asked []string
}

func (f *fakeBlobs) note(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, fmt.Sprintf(format, args...))
}

func (f *fakeBlobs) take() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	asked := f.asked
	f.asked = nil
	return asked
}

func (f *fakeBlobs) Prepare(_ context.Context, plugin, path string) (*pluginpb.Blob, error) {
	f.note("prepare %s %s", plugin, filepath.Base(path))
	if _, err := os.Stat(path); err != nil {
		return nil, &BlobError{codes.NotFound, err}
	}
	return BlobToProto(&store.Blob{ID: testBlob, Own: true, State: store.BlobPrepared, Name: filepath.Base(path), Path: path}), nil
}

func (f *fakeBlobs) Share(_ store.Tx, plugin string, id packet.BlobID, chat packet.ChatID, _ packet.PacketID) error {
	f.note("share %s %v %s", plugin, id == testBlob, chat)
	return nil
}

func (f *fakeBlobs) Fetch(_ store.Tx, w BlobWant) error {
	f.note("fetch %s %s %d", w.Plugin, w.Name, w.Size)
	if w.Offer {
		f.note("an offer")
	}
	return nil
}

func (f *fakeBlobs) Pause(store.Tx, string, packet.BlobID) error  { f.note("pause"); return nil }
func (f *fakeBlobs) Resume(store.Tx, string, packet.BlobID) error { f.note("resume"); return nil }
func (f *fakeBlobs) Cancel(_ store.Tx, _ string, _ packet.BlobID, reason string) error {
	f.note("cancel%s", reason)
	return nil
}
func (f *fakeBlobs) Changed(...packet.BlobID) { f.note("changed") }

var testBlob = packet.BlobID{1, 2, 3}

// blobRig is a rig with a plugin that reads files and has a folder to choose.
func blobRig(t *testing.T) (*rig, *fakeBlobs) {
	t.Helper()
	blobs := &fakeBlobs{}
	r := newRig(t, func(c *Config) { c.Blobs = blobs })
	r.install(r.bundled, "text", plan{manifest: manifestOf("text", func(m *pluginpb.Manifest) {
		m.Capabilities = []pluginpb.Capability{pluginpb.Capability_CAPABILITY_FILES}
		m.Settings = []*pluginpb.Setting{{Name: "folder", Type: pluginpb.SettingType_SETTING_TYPE_FOLDER, Label: "Folder", DefaultValue: "/downloads"}}
	})})
	r.install(r.bundled, "blind", plan{manifest: manifestOf("blind")})
	r.serve()
	t.Cleanup(r.stop)
	return r, blobs
}

// prepare has a plugin ask for a path while an Invoke gives it some.
func (r *rig) prepare(plugin, path string, given ...string) *pluginpb.HostResponse {
	r.t.Helper()
	q, err := protojson.Marshal(&pluginpb.HostRequest{Request: &pluginpb.HostRequest_PrepareBlob{PrepareBlob: &pluginpb.PrepareBlob{Path: path}}})
	must(r.t, err)
	id := packet.NewPacketID()
	result, err := r.host.Invoke(r.t.Context(), plugin, &pluginpb.InvokeRequest{
		Invocation: id[:], Action: "ask", Chat: string(r.chat), Text: string(q), Paths: given,
	}, nil)
	must(r.t, err)
	answer := &pluginpb.HostResponse{}
	must(r.t, protojson.Unmarshal(result.Result, answer))
	return answer
}

func TestPathsOfPlugins(t *testing.T) {
	r, blobs := blobRig(t)
	dir := t.TempDir()
	mine := filepath.Join(dir, "mine")
	must(t, os.WriteFile(mine, []byte("x"), 0o600))
	own := filepath.Join(r.cfg.DataFolder, "text", "copy")
	must(t, os.MkdirAll(filepath.Dir(own), 0o700))
	must(t, os.WriteFile(own, []byte("x"), 0o600))
	for _, c := range []struct {
		name, plugin, path string
		given              []string
		code               codes.Code
	}{
		{"given", "text", mine, []string{mine}, codes.OK},
		{"given in other words", "text", mine, []string{dir + "/./mine"}, codes.OK},
		{"own folder", "text", own, nil, codes.OK},
		{"not given", "text", mine, nil, codes.PermissionDenied},
		{"beside what was given", "text", mine, []string{own}, codes.PermissionDenied},
		{"out of the own folder", "text", filepath.Join(r.cfg.DataFolder, "text") + "/../../secret", nil, codes.PermissionDenied},
		{"another plugin's folder", "text", filepath.Join(r.cfg.DataFolder, "blind", "x"), nil, codes.PermissionDenied},
		{"relative", "text", "mine", []string{mine}, codes.InvalidArgument},
		{"missing", "text", mine + "2", []string{mine + "2"}, codes.NotFound},
		{"without the capability", "blind", own, nil, codes.PermissionDenied},
	} {
		t.Run(c.name, func(t *testing.T) {
			blobs.take()
			answer := r.prepare(c.plugin, c.path, c.given...)
			if code := codes.Code(answer.GetError().GetCode()); code != c.code {
				t.Errorf("answered %v: %s", code, answer.GetError().GetMessage())
			}
			if asked := len(blobs.take()) > 0; asked != (c.code == codes.OK || c.code == codes.NotFound) {
				t.Errorf("looked at %v", asked)
			}
		})
	}
}

// answers has the plugin answer with effects.
func (r *rig) answers(effects ...*pluginpb.Effect) error {
	r.t.Helper()
	text, err := protojson.Marshal(&pluginpb.InvokeResponse{Effects: effects})
	must(r.t, err)
	_, err = r.invoke("text", "effects", string(text))
	return err
}

func TestBlobEffects(t *testing.T) {
	r, blobs := blobRig(t)
	own, err := r.invoke("text", "send", "mine")
	must(t, err)
	r.put("text", "theirs")
	r.wantBodies("mine", "theirs")
	var theirs packet.PacketID
	r.view(func(tx store.ReadTx) error {
		list, _, err := tx.Messages(r.chat, store.Page{Limit: 10})
		for _, m := range list {
			if !m.Own {
				theirs = m.ID
			}
		}
		return err
	})
	share := func(message packet.PacketID) *pluginpb.Effect {
		return &pluginpb.Effect{Effect: &pluginpb.Effect_ShareBlob{ShareBlob: &pluginpb.ShareBlob{Blob: testBlob[:], Chat: string(r.chat), Message: message[:]}}}
	}
	fetch := func(message packet.PacketID, folder string) *pluginpb.Effect {
		return &pluginpb.Effect{Effect: &pluginpb.Effect_FetchBlob{FetchBlob: &pluginpb.FetchBlob{
			Blob: testBlob[:], Message: message[:], Name: "../../etc/passwd", Folder: folder, Size: 7,
		}}}
	}
	steer := func(order pluginpb.BlobOrder) *pluginpb.Effect {
		return &pluginpb.Effect{Effect: &pluginpb.Effect_SteerBlob{SteerBlob: &pluginpb.SteerBlob{Blob: testBlob[:], Order: order}}}
	}
	fresh := packet.NewPacketID()
	send := &pluginpb.Effect{Effect: &pluginpb.Effect_SendPacket{SendPacket: &pluginpb.SendPacket{Id: fresh[:], Chat: string(r.chat), Type: "text"}}}
	for _, c := range []struct {
		name    string
		effects []*pluginpb.Effect
		want    string // what was asked for; empty: refused
	}{
		{"share with an own message", []*pluginpb.Effect{share(own.Sent[0])}, "share text true alice-bob, changed"},
		{"share with one that is sent", []*pluginpb.Effect{send, share(fresh)}, "share text true alice-bob, changed"},
		{"share with theirs", []*pluginpb.Effect{share(theirs)}, ""},
		{"share with none", []*pluginpb.Effect{share(packet.NewPacketID())}, ""},
		{"fetch theirs", []*pluginpb.Effect{fetch(theirs, "/downloads")}, "fetch text ../../etc/passwd 7, changed"},
		{"fetch to the own folder", []*pluginpb.Effect{fetch(theirs, filepath.Join(r.cfg.CacheFolder, "text", "x"))}, "fetch text ../../etc/passwd 7, changed"},
		{"fetch elsewhere", []*pluginpb.Effect{fetch(theirs, "/etc")}, ""},
		{"fetch below the setting", []*pluginpb.Effect{fetch(theirs, "/downloads/../etc")}, ""},
		{"fetch one's own", []*pluginpb.Effect{fetch(own.Sent[0], "/downloads")}, ""},
		{"note an offer", []*pluginpb.Effect{{Effect: &pluginpb.Effect_FetchBlob{FetchBlob: &pluginpb.FetchBlob{
			Blob: testBlob[:], Message: theirs[:], Name: "x", Size: 8, Offer: true,
		}}}}, "fetch text x 8, an offer, changed"},
		{"pause", []*pluginpb.Effect{steer(pluginpb.BlobOrder_BLOB_ORDER_PAUSE)}, "pause, changed"},
		{"resume", []*pluginpb.Effect{steer(pluginpb.BlobOrder_BLOB_ORDER_RESUME)}, "resume, changed"},
		{"cancel", []*pluginpb.Effect{steer(pluginpb.BlobOrder_BLOB_ORDER_CANCEL)}, "cancel, changed"},
		{"no order", []*pluginpb.Effect{steer(9)}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			blobs.take()
			err := r.answers(c.effects...)
			if got := strings.Join(blobs.take(), ", "); got != c.want || (err == nil) != (c.want != "") {
				t.Errorf("asked for %q, %v", got, err)
			}
		})
	}
}

// TestPauseOf2019: what is pushed cannot be paused, and that is said before anything is
// done.
func TestPauseOf2019(t *testing.T) {
	const chat packet.ChatID = "net2019:2017000001-2017000002"
	r, blobs := blobRig(t)
	r.addChat(chat, "alice", "net2019:2017000002")
	must(t, r.cfg.Store.Update(t.Context(), store.Lazy, func(tx store.Tx) error {
		return tx.PutBlob(store.Blob{ID: testBlob, Chat: chat, Message: packet.NewPacketID(), Plugin: "text", Own: true, State: store.BlobShared, Size: 1, CreatedAt: 1})
	}))
	steer := func(order pluginpb.BlobOrder) *pluginpb.Effect {
		return &pluginpb.Effect{Effect: &pluginpb.Effect_SteerBlob{SteerBlob: &pluginpb.SteerBlob{Blob: testBlob[:], Order: order}}}
	}
	blobs.take()
	err := r.answers(steer(pluginpb.BlobOrder_BLOB_ORDER_PAUSE))
	var told *PluginError
	if !errors.As(err, &told) || told.Code != codes.FailedPrecondition || !strings.HasPrefix(told.Text, "The protocol of 2019 cannot pause") {
		t.Errorf("%v", err)
	}
	if got := blobs.take(); len(got) > 0 {
		t.Errorf("and %q was asked for", got)
	}
	must(t, r.answers(steer(pluginpb.BlobOrder_BLOB_ORDER_CANCEL)))
	if got := strings.Join(blobs.take(), ", "); got != "cancel, changed" {
		t.Errorf("a cancel asked for %q", got)
	}
}

// ended puts a blob of theirs that has come to an end.
func (r *rig) ended(name string, n uint64) store.Blob {
	r.t.Helper()
	b := storetest.Blob(storetest.Message(r.chat, n, name), n)
	b.Plugin, b.Name, b.State = "text", name, store.BlobDone
	r.update(func(tx store.Tx) error { return tx.PutBlob(b) })
	bus.Publish(r.bus, bus.BlobChanged, bus.BlobRef{ID: b.ID, Chat: b.Chat, Plugin: b.Plugin, Settled: true})
	return b
}

func (r *rig) wantTold(b store.Blob) {
	r.t.Helper()
	r.eventually("the end of "+b.Name+" was told", func() bool {
		told := false
		r.view(func(tx store.ReadTx) error {
			now, err := tx.Blob(b.ID)
			told = now.Told
			return err
		})
		return told
	})
}

func TestEndsOfBlobs(t *testing.T) {
	r, _ := blobRig(t)
	seen := func() int {
		return len(slices.DeleteFunc(r.lines("text", "events"), func(line string) bool { return !strings.HasPrefix(line, "blob ") }))
	}
	r.wantTold(r.ended("notes", 1))
	if n := seen(); n != 1 {
		t.Errorf("told %d times", n)
	}
	r.wantTold(r.ended("deadly once", 2))
	if n := seen(); n != 3 {
		t.Errorf("told %d times in all", n)
	}
	r.wantTold(r.ended("deadly", 3))
	r.wantNotice("deadly", "set aside")
	// One that came while nothing ran is told at the next start.
	r.stop()
	b := r.ended("later", 4)
	r.restart()
	r.wantTold(b)
	if BlobToProto(&b).GetState() != pluginpb.BlobState_BLOB_STATE_DONE {
		t.Errorf("it is %v", BlobToProto(&b))
	}
}
