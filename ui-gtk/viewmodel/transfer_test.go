package viewmodel

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/parley-chat/parley/internal/failure"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// fileMessage is a message of the file plugin.
func fileMessage(author string, data map[string]any, blob *controlpb.Blob) *controlpb.Message {
	m := said("b", author, 1, "report.pdf")
	m.Plugin, m.Kind, m.Presentation = "file", "file", pluginpb.Presentation_PRESENTATION_FILE
	for k, v := range map[string]any{"name": "report.pdf", "size": 12_800_000, "media_type": "application/pdf"} {
		if data[k] == nil {
			data[k] = v
		}
	}
	m.Data, _ = json.Marshal(data)
	if blob != nil {
		if blob.Blob == nil {
			blob.Blob = &pluginpb.Blob{}
		}
		blob.Blob.Id, blob.Blob.Message = []byte("blob"), m.GetId()
		m.Blobs = []*controlpb.Blob{blob}
	}
	if m.GetOwn() {
		m.Recipients = []*controlpb.RecipientState{{User: "bob"}}
	}
	return m
}

func state(s pluginpb.BlobState) *pluginpb.Blob { return &pluginpb.Blob{State: s} }

func TestTransfers(t *testing.T) {
	mark := func(m *controlpb.Message, value string) *controlpb.Message {
		m.Annotations = []*controlpb.Annotation{{Kind: "file.state", Author: "bob", Value: []byte(value)}}
		return m
	}
	wanted, paused := pluginpb.BlobState_BLOB_STATE_WANTED, pluginpb.BlobState_BLOB_STATE_PAUSED
	for _, x := range []struct {
		name     string
		m        *controlpb.Message
		line     string
		fraction float64
		failed   bool
		orders   []Order
	}{
		{"offered", fileMessage("bob", map[string]any{"state": "offered"}, nil), "12.8 MB", -1, false, []Order{OrderAccept, OrderDecline}},
		{"folder", fileMessage("bob", map[string]any{"state": "offered", "folder": true, "files": 3}, nil), "3 files · 12.8 MB", -1, false, []Order{OrderAccept, OrderDecline}},
		{
			"moving", fileMessage("bob", map[string]any{"state": "fetching"}, &controlpb.Blob{Blob: state(wanted), Done: 3_200_000, Speed: 1_900_000, Left: 5, Peers: []string{"bob"}}),
			"3.20 MB of 12.8 MB · 1.90 MB/s · 5 seconds left · direct", 0.25, false, []Order{OrderPause, OrderCancel},
		},
		{
			"waiting for a known reason", fileMessage("bob", map[string]any{"state": "fetching"}, &controlpb.Blob{
				Blob: state(wanted), Waiting: "paused by bob", WaitingReason: controlpb.ReasonOf(failure.Because("FILE_PAUSED_BY", "user", "bob")),
			}),
			"0 B of 12.8 MB · Paused by Bob", 0, false, []Order{OrderPause, OrderCancel},
		},
		{
			"waiting", fileMessage("bob", map[string]any{"state": "fetching"}, &controlpb.Blob{Blob: state(wanted), Waiting: "bob is offline\u202e"}),
			"0 B of 12.8 MB · bob is offline\uFFFD", 0, false, []Order{OrderPause, OrderCancel},
		},
		{"paused", fileMessage("bob", map[string]any{"state": "fetching"}, &controlpb.Blob{Blob: state(paused), Done: 6_400_000}), "Paused · 6.40 MB of 12.8 MB", 0.5, false, []Order{OrderResume, OrderCancel}},
		{"received", fileMessage("bob", map[string]any{"state": "received", "path": "/d/report.pdf"}, nil), "12.8 MB", -1, false, []Order{OrderOpen, OrderShow}},
		{"failed", fileMessage("bob", map[string]any{"state": "failed", "reason": "the disk is full"}, nil), "the disk is full", -1, true, []Order{OrderRetry}},
		{"declined", fileMessage("bob", map[string]any{"state": "declined"}, nil), "12.8 MB · Declined", -1, false, []Order{OrderAccept}},
		{"withdrawn", fileMessage("bob", map[string]any{"state": "withdrawn"}, nil), "Withdrawn by its sender", -1, true, nil},
		{"of a later version", fileMessage("bob", map[string]any{"state": "teleported"}, nil), "12.8 MB", -1, false, nil},
		{"own", fileMessage("alice", map[string]any{"state": "shared"}, &controlpb.Blob{}), "12.8 MB", -1, false, []Order{OrderCancel}},
		{
			"own, moving", fileMessage("alice", map[string]any{"state": "shared", "path": "/d/report.pdf"}, &controlpb.Blob{Done: 6_400_000, Speed: 1_000_000, Left: 6, Peers: []string{"bob"}}),
			"6.40 MB of 12.8 MB · 1.00 MB/s · 6 seconds left · direct", 0.5, false, []Order{OrderPause, OrderCancel},
		},
		{
			"own, received", mark(fileMessage("alice", map[string]any{"state": "shared", "path": "/d/report.pdf"}, &controlpb.Blob{Done: 12_800_000}), `{"state":"received"}`),
			"12.8 MB · Received", -1, false, []Order{OrderOpen, OrderShow},
		},
		{
			"own, failed there", mark(fileMessage("alice", map[string]any{"state": "shared"}, &controlpb.Blob{}), `{"state":"failed","reason":"no room"}`),
			"12.8 MB · Bob could not get it: no room", -1, false, nil,
		},
		{"own, gone", fileMessage("alice", map[string]any{"state": "failed", "reason": "the file was changed"}, nil), "the file was changed", -1, true, nil},
		{"more than all", fileMessage("bob", map[string]any{"state": "fetching"}, &controlpb.Blob{Blob: state(wanted), Done: 1 << 62, Speed: 1, Left: 1 << 62}), "12.8 MB of 12.8 MB · 1 B/s", 1, false, []Order{OrderPause, OrderCancel}},
		{"nothing", fileMessage("bob", map[string]any{"state": "fetching", "size": 0}, nil), "0 B of 0 B · Waiting", 0, false, []Order{OrderPause, OrderCancel}},
	} {
		t.Run(x.name, func(t *testing.T) {
			core := newFakeCore()
			w, c, _ := openChat(t, core, []*controlpb.Message{x.m}, 0)
			bob := &controlpb.Contact{User: "bob", Name: "Bob", Chat: "b", State: controlpb.ContactState_CONTACT_STATE_CONTACT, Path: "direct"}
			core.tell(nil, &controlpb.Event{Event: &controlpb.Event_Contact{Contact: bob}})
			w.until("the path is known", func() bool { return w.session.Contacts.Get("bob").GetPath() == "direct" })
			c.arrange()
			f := c.Rows.At(0).File
			if f == nil || f.Name != "report.pdf" {
				t.Fatalf("%+v", f)
			}
			if f.Line != x.line || f.Fraction != x.fraction || f.Failed != x.failed || !slices.Equal(f.Orders, x.orders) {
				t.Errorf("%q %v %v %v", f.Line, f.Fraction, f.Failed, f.Orders)
			}
		})
	}
}

// TestTransferMoves: events of blobs move it, of other blobs not; and its text stays.
func TestTransferMoves(t *testing.T) {
	core := newFakeCore()
	m := fileMessage("bob", map[string]any{"state": "fetching", "caption": "read **this**"}, &controlpb.Blob{Blob: state(pluginpb.BlobState_BLOB_STATE_WANTED)})
	w, c, _ := openChat(t, core, []*controlpb.Message{m}, 0)
	content := c.Rows.At(0).Content
	if got := drawn(c.Rows.At(0).File.Caption); got != "p(read *this*)" {
		t.Errorf("caption %s", got)
	}
	moved := func(id, message []byte, done uint64) *controlpb.Event {
		return &controlpb.Event{Event: &controlpb.Event_Blob{Blob: &controlpb.Blob{
			Blob: &pluginpb.Blob{Id: id, Message: message, State: pluginpb.BlobState_BLOB_STATE_WANTED}, Done: done, Speed: 1000,
		}}}
	}
	core.tell(nil, moved([]byte("other"), fakeID(77), 1), moved([]byte("blob"), fakeID(1), 6_400_000))
	w.until("it moves", func() bool { return c.Rows.At(0).File.Fraction == 0.5 })
	if c.Rows.At(0).Content != content {
		t.Error("what was written is made anew")
	}
	c.Order(c.Rows.At(0).Key, OrderPause)
	w.until("it is told to pause", func() bool { return len(core.asks("pause")) == 1 })
	if r := core.asks("pause")[0]; string(r.GetMessage()) != string(fakeID(1)) || r.GetChat() != "b" {
		t.Errorf("asked %v", r)
	}
}

// TestBrokenFileData: what cannot be read is shown as text.
func TestBrokenFileData(t *testing.T) {
	core := newFakeCore()
	m := fileMessage("bob", map[string]any{}, nil)
	m.Data = []byte(`{"name": 5`)
	_, c, _ := openChat(t, core, []*controlpb.Message{m}, 0)
	if r := c.Rows.At(0); r.File != nil || drawn(r.Content.Text) != "p(report.pdf)" {
		t.Errorf("%+v, %s", r.File, drawn(r.Content.Text))
	}
}

func TestRunsCode(t *testing.T) {
	folder := t.TempDir()
	file := func(name, content string, mode os.FileMode) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for path, want := range map[string]bool{
		file("a.pdf", "%PDF", 0o600): false, file("a.txt", "", 0o600): false, folder: false,
		file("b.SH", "x", 0o600): true, file("c.pdf", "x", 0o700): true, file("d.txt", "#!/bin/sh", 0o600): true,
		file("e.png", "\x7fELF", 0o600): true, file("f", "[Desktop Entry]\n", 0o600): true, file("g.desktop", "", 0o600): true,
		filepath.Join(folder, "none"): true, "/dev/null": true,
	} {
		if got := RunsCode(path); got != want {
			t.Errorf("%s: %v", filepath.Base(path), got)
		}
	}
}
