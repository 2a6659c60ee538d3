package host

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/internal/failure"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// BlobWant is what a plugin wants fetched.
type BlobWant struct {
	Blob    packet.BlobID
	Message packet.PacketID
	Plugin  string
	Name    string
	Folder  string
	Size    uint64
	Offer   bool // only noted as to be had
}

// Blobs moves files as plugins ask for it. All methods may be called
// concurrently. Those with a transaction change nothing outside it, and Changed is
// called once it is committed. Errors that are a plugin's fault are none of the
// store's general ones; those of Prepare that are *BlobError are told to it.
type Blobs interface {
	// Prepare gives what PrepareBlob answers.
	Prepare(ctx context.Context, plugin, path string) (*pluginpb.Blob, error)
	Share(tx store.Tx, plugin string, id packet.BlobID, chat packet.ChatID, message packet.PacketID) error
	Fetch(tx store.Tx, want BlobWant) error
	Pause(tx store.Tx, plugin string, id packet.BlobID) error
	Resume(tx store.Tx, plugin string, id packet.BlobID) error
	Cancel(tx store.Tx, plugin string, id packet.BlobID, reason string) error
	Changed(ids ...packet.BlobID)
}

// BlobError is why a path cannot be shared.
type BlobError struct {
	Code codes.Code
	Err  error
}

// Error implements error.
func (e *BlobError) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *BlobError) Unwrap() error { return e.Err }

const (
	maxFileName = 255
	maxPath     = 4096
	maxReason   = 300
	// maxBlobEvents bounds the ends of blobs handed in with one Handle.
	maxBlobEvents = 64
	topicBlob     = "blob"
)

func (c *checker) blob(field string, b []byte) {
	_, err := packet.BlobIDFromBytes(b)
	c.must(err == nil, field, "%d bytes that are no id of a blob, 16 are needed", len(b))
}

func (c *checker) fetchBlob(at string, e *pluginpb.FetchBlob) {
	c.blob(at+".blob", e.GetBlob())
	c.id(at+".message", e.GetMessage())
	c.within(at+".name", len(e.GetName()), maxFileName)
	c.within(at+".folder", len(e.GetFolder()), maxPath)
	c.must(e.GetOffer() && e.GetFolder() == "" || filepath.IsAbs(e.GetFolder()) && !strings.ContainsRune(e.GetFolder(), 0), at+".folder", "%.200q is not an absolute path", e.GetFolder())
	c.must(e.GetSize() <= packet.MaxBlob, at+".size", "%d bytes, at most %d are possible", e.GetSize(), uint64(packet.MaxBlob))
}

func (c *checker) steerBlob(at string, e *pluginpb.SteerBlob) {
	c.blob(at+".blob", e.GetBlob())
	known := e.GetOrder() >= pluginpb.BlobOrder_BLOB_ORDER_PAUSE && e.GetOrder() <= pluginpb.BlobOrder_BLOB_ORDER_CANCEL
	c.must(known, at+".order", "%d is none that API %d knows", e.GetOrder(), apiVersion)
	c.within(at+".reason", len(e.GetReason()), maxReason)
}

// errNoBlobs: the host was made without.
var errNoBlobs = errors.New("files cannot be shared here")

func (a *applier) shareBlob(e *pluginpb.ShareBlob) error {
	id, chat, message := packet.BlobID(e.GetBlob()), packet.ChatID(e.GetChat()), packet.PacketID(e.GetMessage())
	if a.host.cfg.Blobs == nil {
		return errNoBlobs
	}
	own, err := a.isOwn(chat, message)
	if err != nil {
		return err
	}
	if !own {
		return fmt.Errorf("share_blob.message: %s is not a message of this account in the chat %s", message, chat)
	}
	if err := a.host.cfg.Blobs.Share(a.tx, a.plugin, id, chat, message); err != nil {
		return fmt.Errorf("share_blob: %w", err)
	}
	a.news.blobs = append(a.news.blobs, id)
	return nil
}

// isOwn says whether a message is this account's own, in a chat; that of a packet
// that this call sends may be added later in it.
func (a *applier) isOwn(chat packet.ChatID, message packet.PacketID) (bool, error) {
	if send := a.sends[message]; send != nil {
		return send.GetChat() == string(chat), nil
	}
	if p, sent := a.sent[message]; sent {
		return p.Header.Chat == chat, nil
	}
	m, ok, err := a.ownMessage("share_blob", message[:], true)
	return ok && m.Own && m.Chat == chat, err
}

func (a *applier) fetchBlob(e *pluginpb.FetchBlob) error {
	if a.host.cfg.Blobs == nil {
		return errNoBlobs
	}
	m, ok, err := a.ownMessage("fetch_blob", e.GetMessage(), true)
	if err != nil {
		return err
	}
	if !ok || m.Own {
		return fmt.Errorf("fetch_blob.message: %x is not a message of another's", e.GetMessage())
	}
	allowed, err := a.mayWriteTo(e.GetFolder())
	if err != nil {
		return err
	}
	if !allowed && !e.GetOffer() {
		return fmt.Errorf("fetch_blob.folder: %.200q is neither the value of a setting of the type FOLDER nor below the plugin's folders", e.GetFolder())
	}
	want := BlobWant{
		Blob: packet.BlobID(e.GetBlob()), Message: m.ID, Plugin: a.plugin, Name: e.GetName(), Folder: e.GetFolder(), Size: e.GetSize(), Offer: e.GetOffer(),
	}
	if err := a.host.cfg.Blobs.Fetch(a.tx, want); err != nil {
		return fmt.Errorf("fetch_blob: %w", err)
	}
	a.news.blobs = append(a.news.blobs, want.Blob)
	a.news.message(messageChanged, m.Chat, m.ID)
	return nil
}

// mayWriteTo says whether the plugin may have files put into a folder.
func (a *applier) mayWriteTo(folder string) (bool, error) {
	if below(folder, a.host.cfg.foldersOf(a.plugin)...) {
		return true, nil
	}
	for _, s := range a.manifest.GetSettings() {
		if s.GetType() != pluginpb.SettingType_SETTING_TYPE_FOLDER {
			continue
		}
		value := s.GetDefaultValue()
		switch stored, err := a.tx.Value(settingSpace(a.plugin), s.GetName()); {
		case err == nil:
			value = string(stored)
		case !errors.Is(err, store.ErrNotFound):
			return false, err
		}
		if value != "" && filepath.Clean(folder) == filepath.Clean(value) {
			return true, nil
		}
	}
	return false, nil
}

// below says whether a path is in one of some folders.
func below(path string, folders ...string) bool {
	return slices.ContainsFunc(folders, func(folder string) bool {
		rel, err := filepath.Rel(folder, path)
		return err == nil && filepath.IsLocal(rel)
	})
}

// foldersOf gives the private folders of a plugin.
func (c *Config) foldersOf(plugin string) []string {
	data, cache := c.dataFolders(plugin)
	return []string{data, cache}
}

func (a *applier) steerBlob(e *pluginpb.SteerBlob) error {
	blobs := a.host.cfg.Blobs
	if blobs == nil {
		return errNoBlobs
	}
	do := map[pluginpb.BlobOrder]func(store.Tx, string, packet.BlobID) error{
		pluginpb.BlobOrder_BLOB_ORDER_PAUSE: blobs.Pause, pluginpb.BlobOrder_BLOB_ORDER_RESUME: blobs.Resume,
		pluginpb.BlobOrder_BLOB_ORDER_CANCEL: func(tx store.Tx, plugin string, id packet.BlobID) error {
			return blobs.Cancel(tx, plugin, id, e.GetReason())
		},
	}[e.GetOrder()]
	id := packet.BlobID(e.GetBlob())
	b, err := a.tx.Blob(id)
	there := !errors.Is(err, store.ErrNotFound)
	switch {
	case err != nil && there:
		return err
	case there && e.GetOrder() == pluginpb.BlobOrder_BLOB_ORDER_PAUSE && b.Chat.Kind() == packet.Net2019:
		return &Refusal{"The protocol of 2019 cannot pause a file: let it go on, or cancel it.", failure.Because("NET2019_NO_PAUSE")}
	case a.origin != nil:
		// What a packet leads to concerns its author's blobs and one's own fetches of
		// them.
		if !there {
			return nil
		}
		if b.Author != a.origin.Header.Author || b.Chat != a.origin.Header.Chat {
			return fmt.Errorf("steer_blob.blob: %s is by %s, the packet by %s", id, b.Author, a.origin.Header.Author)
		}
	}
	if err := do(a.tx, a.plugin, id); err != nil {
		return fmt.Errorf("steer_blob: %w", err)
	}
	a.news.blobs = append(a.news.blobs, id)
	return nil
}

// prepareBlob serves PrepareBlob.
func (p *plugin) prepareBlob(ctx context.Context, q *pluginpb.PrepareBlob) (*pluginpb.Blobs, error) {
	if p.host.cfg.Blobs == nil {
		return nil, &requestError{codes.Unimplemented, errNoBlobs.Error()}
	}
	path := q.GetPath()
	if len(path) > maxPath || !filepath.IsAbs(path) || strings.ContainsRune(path, 0) {
		return nil, invalid("prepare_blob.path: %.200q is not an absolute path", path)
	}
	path = filepath.Clean(path)
	if !below(path, p.host.cfg.foldersOf(p.name)...) && !p.host.given(p, path) {
		return nil, &requestError{codes.PermissionDenied, fmt.Sprintf("%s is not a path that the user gave to the plugin %s", path, p.name)}
	}
	b, err := p.host.cfg.Blobs.Prepare(ctx, p.name, path)
	var told *BlobError
	if errors.As(err, &told) {
		return nil, &requestError{told.Code, told.Error()}
	}
	if err != nil {
		return nil, err
	}
	return &pluginpb.Blobs{Blobs: []*pluginpb.Blob{b}}, nil
}

// given says whether a user gave a plugin a path with an Invoke that is under
// way, if the plugin may read files at all.
func (h *Host) given(p *plugin, path string) bool {
	if !p.powers().can(pluginpb.Capability_CAPABILITY_FILES) {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, inv := range h.invocations {
		if inv.plugin == p && slices.ContainsFunc(inv.req.GetPaths(), func(given string) bool { return filepath.Clean(given) == path }) {
			return true
		}
	}
	return false
}

// queryBlobs serves QueryBlobs.
func (p *plugin) queryBlobs(ctx context.Context, q *pluginpb.QueryBlobs) (*pluginpb.Blobs, error) {
	if len(q.GetBlobs()) > maxIDs {
		return nil, invalid("query_blobs.blobs: %d, at most %d are allowed", len(q.GetBlobs()), maxIDs)
	}
	answer := &pluginpb.Blobs{}
	err := p.host.cfg.Store.View(ctx, func(tx store.ReadTx) error {
		answer.Blobs = nil
		for _, raw := range q.GetBlobs() {
			id, err := packet.BlobIDFromBytes(raw)
			if err != nil {
				return invalid("query_blobs.blobs: an id has 16 bytes")
			}
			b, err := tx.Blob(id)
			if errors.Is(err, store.ErrNotFound) || err == nil && b.Plugin != p.name {
				continue
			}
			if err != nil {
				return err
			}
			answer.Blobs = append(answer.Blobs, BlobToProto(&b))
		}
		return nil
	})
	return answer, err
}

// BlobToProto is a blob as plugins and front ends see it.
func BlobToProto(b *store.Blob) *pluginpb.Blob {
	pb := &pluginpb.Blob{
		Id: b.ID[:], Chat: string(b.Chat), Own: b.Own, State: pluginpb.BlobState(b.State), Reason: b.Reason, //nolint:gosec // few states
		Name: b.Name, Size: b.Size, Folder: b.Folder, Files: b.Files, Root: b.Root,
	}
	if b.Own || b.State == store.BlobDone {
		pb.Path = b.Path
	}
	if !b.Message.IsZero() {
		pb.Message = b.Message[:]
	}
	return pb
}

// endedBlobs gives blobs of a chat of whose end the plugin has not heard.
func (p *plugin) endedBlobs(tx store.ReadTx, chat packet.ChatID) ([]store.Blob, error) {
	ended, err := tx.UntoldBlobs(p.name, 4*maxBlobEvents)
	ended = slices.DeleteFunc(ended, func(b store.Blob) bool { return b.Chat != chat })
	return ended[:min(len(ended), maxBlobEvents)], err
}

// handleBlobs hands in how blobs ended. again says that there may be more.
func (p *plugin) handleBlobs(ctx context.Context, sess *session, chat packet.ChatID, ended []store.Blob) (again bool, err error) {
	items := make([]*pluginpb.Item, len(ended))
	for i := range ended {
		items[i] = &pluginpb.Item{Item: &pluginpb.Item_Event{Event: &pluginpb.Event{
			Topic: topicBlob, Event: &pluginpb.Event_Blob{Blob: BlobToProto(&ended[i])},
		}}}
	}
	if p.gate.Acquire(ctx, 1) != nil {
		return true, nil //nolint:nilerr // the session ends
	}
	outcomes, err := p.ask(ctx, sess, chat, items)
	p.gate.Release(1)
	var refused *PluginError
	switch {
	case errors.As(err, &refused):
		p.log.Warn("plugin could not handle the end of a file", "blob", ended[0].ID, "error", refused.Text)
		return true, p.tellBlob(ctx, &ended[0], nil)
	case errors.Is(err, errDead) && !errors.Is(err, errNotAsked):
		return true, p.blameBlob(ctx, &ended[0])
	case err != nil:
		return true, nil //nolint:nilerr // the session is over
	}
	for i, o := range outcomes {
		if err := p.settleBlob(ctx, &ended[i], o); err != nil {
			return true, err
		}
	}
	return true, nil
}

// settleBlob commits what a plugin made of the end of a blob. What cannot be
// applied is left out: the end is told all the same.
func (p *plugin) settleBlob(ctx context.Context, b *store.Blob, o *pluginpb.Outcome) error {
	err := checkOutcome(p.powers(), o)
	if err == nil {
		err = p.tellBlob(ctx, b, o.GetEffects())
	}
	if err == nil || storeFailed(err) {
		return err
	}
	p.log.Warn("what a plugin made of the end of a file cannot be applied", "blob", b.ID, "error", err)
	return p.tellBlob(ctx, b, nil)
}

// tellBlob notes that the plugin has handled the end of a blob, with effects.
func (p *plugin) tellBlob(ctx context.Context, b *store.Blob, effects []*pluginpb.Effect) error {
	durability := store.Lazy
	if sends(effects) {
		durability = store.Synced
	}
	_, err := p.applyEffects(ctx, durability, "outcome", effects, nil, func(tx store.Tx, _ *news) error {
		now, err := tx.Blob(b.ID)
		if errors.Is(err, store.ErrNotFound) || err == nil && now.State != b.State {
			return nil // its chat was deleted, or it began anew
		}
		if err != nil {
			return err
		}
		now.Told = true
		return tx.PutBlob(now)
	})
	return err
}

// blameBlob counts the death of the plugin against the end of a blob; after the
// third it is told to nobody.
func (p *plugin) blameBlob(ctx context.Context, b *store.Blob) error {
	p.mu.Lock()
	if p.fatal == nil {
		p.fatal = map[packet.BlobID]int{}
	}
	p.fatal[b.ID]++
	kills := p.fatal[b.ID]
	if kills >= maxKills {
		delete(p.fatal, b.ID)
		p.crashes.excuse()
	}
	p.mu.Unlock()
	if kills < maxKills {
		return nil
	}
	p.host.notice("error", p.name, fmt.Sprintf("The end of the transfer of %s crashed the plugin %s %d times and was set aside.", b.Name, p.name, kills), nil)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.host.cfg.timing.handle)
	defer cancel()
	return p.tellBlob(ctx, b, nil)
}
