package plugintest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/parley-chat/parley/plugins/sdk"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// Nothing is moved between hosts: a test says with SettleBlob how a blob ended.

const (
	maxName       = 255
	maxBlobReason = 300
)

// Blob gives a blob of the plugin's.
func (h *Host) Blob(id packet.BlobID) (sdk.Blob, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	b, ok := h.state.blobs[id]
	return b, ok
}

// Blobs gives all of the plugin's blobs, by id.
func (h *Host) Blobs() []sdk.Blob {
	h.mu.Lock()
	defer h.mu.Unlock()
	var list []sdk.Blob
	for _, b := range h.state.blobs {
		list = append(list, b)
	}
	slices.SortFunc(list, func(a, b sdk.Blob) int { return slices.Compare(a.ID[:], b.ID[:]) })
	return list
}

// FetchOf gives what the plugin asked for when it had a blob fetched last.
func (h *Host) FetchOf(id packet.BlobID) (sdk.FetchBlob, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f, ok := h.state.fetches[id]
	return f, ok
}

// SettleBlob ends a blob as the core would: DONE, with the path in its folder
// though nothing is put there, FAILED with a reason, or CANCELLED. The plugin
// gets the event, and all it led to is done when SettleBlob returns. The test
// fails when the blob cannot end so.
func (h *Host) SettleBlob(id packet.BlobID, state pluginpb.BlobState, reason string) Outcome {
	h.t.Helper()
	h.mu.Lock()
	b, ok := h.state.blobs[id]
	switch {
	case !ok:
		h.mu.Unlock()
		h.t.Fatalf("plugintest: %s has no blob %s", h.cfg.User, id)
	case state == pluginpb.BlobState_BLOB_STATE_DONE && b.State != pluginpb.BlobState_BLOB_STATE_WANTED,
		!settled(state), settled(b.State), b.State == pluginpb.BlobState_BLOB_STATE_PREPARED:
		h.mu.Unlock()
		h.t.Fatalf("plugintest: a blob that is %s cannot become %s", b.State, state)
	}
	b.State, b.Reason = state, reason
	if f := h.state.fetches[id]; state == pluginpb.BlobState_BLOB_STATE_DONE {
		b.Path = filepath.Join(f.Folder, b.Name)
	}
	h.state.blobs[id] = b
	h.mu.Unlock()
	return h.BlobEvent(id)
}

// BlobEvent tells the plugin how a blob is, as the core does again after a crash.
func (h *Host) BlobEvent(id packet.BlobID) Outcome {
	h.t.Helper()
	b, ok := h.Blob(id)
	if !ok {
		h.t.Fatalf("plugintest: %s has no blob %s", h.cfg.User, id)
	}
	return h.Event(sdk.Event{Chat: b.Chat, Blob: &b})
}

func settled(s pluginpb.BlobState) bool {
	return s == pluginpb.BlobState_BLOB_STATE_DONE || s == pluginpb.BlobState_BLOB_STATE_FAILED || s == pluginpb.BlobState_BLOB_STATE_CANCELLED
}

// prepareBlob looks at a path. It holds no lock while it reads the disk.
func (h *Host) prepareBlob(path string) *pluginpb.HostResponse {
	path = filepath.Clean(path)
	h.mu.Lock()
	given := h.given[path] > 0 && slices.Contains(h.manifest.GetCapabilities(), pluginpb.Capability_CAPABILITY_FILES)
	h.mu.Unlock()
	if !filepath.IsAbs(path) {
		return failed(codes.InvalidArgument, "prepare_blob.path: %q is not absolute", path)
	}
	if !given && !within(path, h.data) && !within(path, h.cache) {
		return failed(codes.PermissionDenied, "prepare_blob.path: nobody gave %s to this plugin, or it lacks CAPABILITY_FILES", path)
	}
	b := sdk.Blob{ID: packet.NewBlobID(), Own: true, State: pluginpb.BlobState_BLOB_STATE_PREPARED, Name: filepath.Base(path), Path: path}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return failed(codes.NotFound, "%s does not exist", path)
	case err != nil:
		return failed(codes.PermissionDenied, "%v", err)
	case info.Mode().IsRegular():
		b.Size = uint64(info.Size()) //nolint:gosec // sizes are not negative
	case info.IsDir():
		b.Folder = true
		if err = survey(path, &b); err != nil {
			return failed(codes.PermissionDenied, "%v", err)
		}
	default:
		return failed(codes.InvalidArgument, "%s is neither a file nor a folder", path)
	}
	if b.Size > packet.MaxBlob {
		return failed(codes.InvalidArgument, "%s is too large: at most 16 TiB can be shared", path)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.state.blobs[b.ID] = b
	return blobsResponse(b)
}

// survey counts the files of a folder and their bytes, and what is not shared.
func survey(path string, b *sdk.Blob) error {
	return filepath.WalkDir(path, func(at string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !d.Type().IsRegular() {
			if d.Type()&^(fs.ModeDir|fs.ModeSymlink) != 0 {
				b.LeftOutCount++
				b.LeftOut = append(b.LeftOut, sdk.LeftOut{Path: strings.TrimPrefix(at, path+"/"), Why: "it is neither a file nor a folder"})
			}
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		b.Files++
		b.Size += uint64(info.Size()) //nolint:gosec // sizes are not negative
		return nil
	})
}

// within says whether path is folder or below it.
func within(path, folder string) bool {
	rest, err := filepath.Rel(folder, path)
	return err == nil && rest != ".." && !strings.HasPrefix(rest, "../")
}

// give notes the paths of an Invoke that is under way, until back is called.
func (h *Host) give(paths []string) (back func()) {
	add := func(n int) {
		h.mu.Lock()
		defer h.mu.Unlock()
		for _, path := range paths {
			h.given[filepath.Clean(path)] += n
		}
	}
	add(1)
	return func() { add(-1) }
}

func (h *Host) queryBlobs(q *pluginpb.QueryBlobs) *pluginpb.HostResponse {
	if len(q.GetBlobs()) > maxIDs {
		return failed(codes.InvalidArgument, "query_blobs.blobs: %d, at most %d are allowed", len(q.GetBlobs()), maxIDs)
	}
	var list []sdk.Blob
	for _, id := range q.GetBlobs() {
		if len(id) != len(packet.BlobID{}) {
			return failed(codes.InvalidArgument, "query_blobs.blobs: an id has 16 bytes")
		}
		if b, ok := h.state.blobs[packet.BlobID(id)]; ok {
			list = append(list, b)
		}
	}
	return blobsResponse(list...)
}

func blobsResponse(blobs ...sdk.Blob) *pluginpb.HostResponse {
	answer := &pluginpb.Blobs{}
	for i := range blobs {
		answer.Blobs = append(answer.Blobs, blobProto(&blobs[i]))
	}
	return &pluginpb.HostResponse{Answer: &pluginpb.HostResponse_Blobs{Blobs: answer}}
}

func blobProto(b *sdk.Blob) *pluginpb.Blob {
	pb := &pluginpb.Blob{
		Id: b.ID[:], Chat: string(b.Chat), Own: b.Own, State: b.State, Reason: b.Reason, Name: b.Name, Size: b.Size,
		Folder: b.Folder, Files: b.Files, Path: b.Path, Root: b.Root, LeftOutCount: b.LeftOutCount,
	}
	for _, l := range b.LeftOut {
		pb.LeftOut = append(pb.LeftOut, &pluginpb.LeftOut{Path: l.Path, Why: l.Why})
	}
	if !b.Message.IsZero() {
		pb.Message = b.Message[:]
	}
	return pb
}

func (a *applier) shareBlob(e *pluginpb.ShareBlob) error {
	b, err := a.ownBlob("share_blob.blob", e.GetBlob())
	if err != nil {
		return err
	}
	chat, message := packet.ChatID(e.GetChat()), packet.PacketID(e.GetMessage())
	if err := a.chatThere(e.GetChat()); err != nil {
		return fmt.Errorf("share_blob: %w", err)
	}
	m, there := a.h.state.messages[message]
	sent, sending := a.sent[message]
	switch {
	case there && (!m.Own || m.Plugin != a.h.manifest.GetName() || m.Chat != chat):
		return fmt.Errorf("share_blob.message: %s is not a message of this plugin and account in %s", message, chat)
	case !there && sending && sent.Chat != chat, !there && !sending && a.sends[message].GetChat() != string(chat):
		return fmt.Errorf("share_blob.message: %s is neither a message nor sent by this call to %s", message, chat)
	case b.State == pluginpb.BlobState_BLOB_STATE_SHARED && b.Chat == chat && b.Message == message:
		return nil
	case b.State != pluginpb.BlobState_BLOB_STATE_PREPARED:
		return fmt.Errorf("share_blob.blob: %s is %s", b.ID, b.State)
	}
	b.Chat, b.Message, b.State = chat, message, pluginpb.BlobState_BLOB_STATE_SHARED
	put(&a.undo, a.h.state.blobs, b.ID, b)
	return nil
}

func (a *applier) ownBlob(what string, id []byte) (sdk.Blob, error) {
	b, ok := a.h.state.blobs[packet.BlobID(id)]
	if !ok {
		return b, fmt.Errorf("%s: %x: not found", what, id)
	}
	return b, nil
}

func (a *applier) fetchBlob(e *pluginpb.FetchBlob) error {
	s := a.h.state
	m, ok := s.messages[packet.PacketID(e.GetMessage())]
	switch {
	case !ok || m.Plugin != a.h.manifest.GetName():
		return fmt.Errorf("fetch_blob.message: %x is not a message of this plugin", e.GetMessage())
	case m.Own || m.Local:
		return fmt.Errorf("fetch_blob.message: %s is not another's", m.ID)
	case a.origin != nil && m.Chat != a.origin.Chat:
		return fmt.Errorf("fetch_blob.message: %s is in %s, the packet in %s", m.ID, m.Chat, a.origin.Chat)
	case !e.GetOffer() && !a.mayPut(e.GetFolder()):
		return fmt.Errorf("fetch_blob.folder: %q is neither the value of a FOLDER setting nor in the plugin's folders", e.GetFolder())
	}
	f := sdk.FetchBlob{Blob: packet.BlobID(e.GetBlob()), Message: m.ID, Name: e.GetName(), Folder: e.GetFolder(), Size: e.GetSize(), Offer: e.GetOffer()}
	b, there := s.blobs[f.Blob]
	switch {
	case there && f.Offer:
		return nil
	case there && b.State == pluginpb.BlobState_BLOB_STATE_OFFERED: // by whichever message
	case there && b.Message != m.ID:
		return fmt.Errorf("fetch_blob.blob: %s is of another message", b.ID)
	case b.State == pluginpb.BlobState_BLOB_STATE_WANTED || b.State == pluginpb.BlobState_BLOB_STATE_DONE:
		return nil
	case there && b.Size != f.Size:
		return fmt.Errorf("fetch_blob.size: %s has %d bytes, not %d", b.ID, b.Size, f.Size)
	}
	state := pluginpb.BlobState_BLOB_STATE_OFFERED
	if !f.Offer {
		put(&a.undo, s.fetches, f.Blob, f)
		state = pluginpb.BlobState_BLOB_STATE_WANTED
	}
	put(&a.undo, s.blobs, f.Blob, sdk.Blob{ID: f.Blob, Chat: m.Chat, Message: m.ID, State: state, Name: f.Name, Size: f.Size})
	return nil
}

// mayPut says whether the plugin may have content put into a folder.
func (a *applier) mayPut(folder string) bool {
	if !filepath.IsAbs(folder) {
		return false
	}
	folder = filepath.Clean(folder)
	settings := a.h.allSettings()
	for _, s := range a.h.manifest.GetSettings() {
		if s.GetType() == pluginpb.SettingType_SETTING_TYPE_FOLDER && filepath.Clean(settings[s.GetName()]) == folder {
			return true
		}
	}
	return within(folder, a.h.data) || within(folder, a.h.cache)
}

func (a *applier) steerBlob(e *pluginpb.SteerBlob) error {
	b, err := a.ownBlob("steer_blob.blob", e.GetBlob())
	if err != nil {
		return err
	}
	under := b.State == pluginpb.BlobState_BLOB_STATE_WANTED || b.State == pluginpb.BlobState_BLOB_STATE_SHARED
	paused := b.State == pluginpb.BlobState_BLOB_STATE_PAUSED
	open := under || paused || b.State == pluginpb.BlobState_BLOB_STATE_OFFERED
	switch {
	case e.GetOrder() == pluginpb.BlobOrder_BLOB_ORDER_PAUSE && under:
		b.State = pluginpb.BlobState_BLOB_STATE_PAUSED
	case e.GetOrder() == pluginpb.BlobOrder_BLOB_ORDER_RESUME && paused && b.Own:
		b.State = pluginpb.BlobState_BLOB_STATE_SHARED
	case e.GetOrder() == pluginpb.BlobOrder_BLOB_ORDER_RESUME && paused:
		b.State = pluginpb.BlobState_BLOB_STATE_WANTED
	case e.GetOrder() == pluginpb.BlobOrder_BLOB_ORDER_CANCEL && (open || b.State == pluginpb.BlobState_BLOB_STATE_FAILED && !b.Own):
		b.State = pluginpb.BlobState_BLOB_STATE_CANCELLED
	default:
		return nil // what is done or gone stays so
	}
	b.Reason = e.GetReason()
	put(&a.undo, a.h.state.blobs, b.ID, b)
	return nil
}

func (c *checker) blobID(what string, b []byte) {
	_, err := packet.BlobIDFromBytes(b)
	c.must(err == nil, "%s: %d bytes that are no UUID, 16 are needed", what, len(b))
}

func (c *checker) fetchBlob(e *pluginpb.FetchBlob) {
	c.blobID("fetch_blob.blob", e.GetBlob())
	c.id("fetch_blob.message", e.GetMessage())
	c.within("fetch_blob.name", len(e.GetName()), maxName)
	c.must(e.GetName() != "", "fetch_blob.name is empty")
	c.must(e.GetSize() <= packet.MaxBlob, "fetch_blob.size: %d, at most %d are allowed", e.GetSize(), uint64(packet.MaxBlob))
}

func (c *checker) steerBlob(e *pluginpb.SteerBlob) {
	c.blobID("steer_blob.blob", e.GetBlob())
	_, known := pluginpb.BlobOrder_name[int32(e.GetOrder())]
	c.must(known && e.GetOrder() != 0, "steer_blob.order: there is no %d", e.GetOrder())
	c.within("steer_blob.reason", len(e.GetReason()), maxBlobReason)
}

// invoke asks the plugin for an action; it may use the call's paths meanwhile.
func (h *Host) invoke(ctx context.Context, c *conn, r *pluginpb.InvokeRequest, update func(*pluginpb.InvokeUpdate)) (*pluginpb.InvokeResponse, error) {
	back := h.give(r.GetPaths())
	defer back()
	return c.invoke(ctx, r, update)
}
