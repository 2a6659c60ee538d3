package core

import (
	"context"
	"errors"
	"strconv"

	"google.golang.org/grpc/codes"

	"github.com/parley-chat/parley/core/blob"
	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/conn"
	"github.com/parley-chat/parley/core/host"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// blobLinks is the connection manager as core/blob sees it.
type blobLinks struct{ *conn.Manager }

// Links implements blob.Links.
func (l blobLinks) Links() []bus.Link { return linksOf(l.Manager) }

// OpenStream implements blob.Links.
func (l blobLinks) OpenStream(ctx context.Context, link uint64) (blob.Conn, error) {
	c, err := l.Manager.OpenStream(ctx, link)
	if err != nil {
		return nil, err
	}
	return bulkStream{c}, nil
}

// bulkStream is a bulk stream as core/blob sees it.
type bulkStream struct{ conn.Conn }

// Flush implements blob.Conn.
func (s bulkStream) Flush() error { return conn.Flush(s.Conn) }

// hostBlobs is core/blob as the plugin host sees it.
type hostBlobs struct{ *blob.Service }

// Prepare implements host.Blobs.
func (b hostBlobs) Prepare(ctx context.Context, plugin, path string) (*pluginpb.Blob, error) {
	prepared, err := b.Service.Prepare(ctx, plugin, path)
	for kind, code := range map[error]codes.Code{
		blob.ErrNotFound: codes.NotFound, blob.ErrUnreadable: codes.PermissionDenied, blob.ErrChanged: codes.Aborted,
		blob.ErrNotContent: codes.InvalidArgument, blob.ErrTooLarge: codes.InvalidArgument,
	} {
		if errors.Is(err, kind) {
			return nil, &host.BlobError{Code: code, Err: err}
		}
	}
	if err != nil {
		return nil, err
	}
	pb := host.BlobToProto(&prepared.Blob)
	pb.LeftOutCount = prepared.LeftCount
	for _, l := range prepared.Left {
		pb.LeftOut = append(pb.LeftOut, &pluginpb.LeftOut{Path: l.Path, Why: l.Why})
	}
	return pb, nil
}

// Fetch implements host.Blobs.
func (b hostBlobs) Fetch(tx store.Tx, w host.BlobWant) error {
	return b.Service.Fetch(tx, blob.Want(w))
}

// Pause implements host.Blobs.
func (b hostBlobs) Pause(tx store.Tx, plugin string, id packet.BlobID) error {
	return b.Steer(tx, plugin, id, blob.Pause, "")
}

// Resume implements host.Blobs.
func (b hostBlobs) Resume(tx store.Tx, plugin string, id packet.BlobID) error {
	return b.Steer(tx, plugin, id, blob.Resume, "")
}

// Cancel implements host.Blobs.
func (b hostBlobs) Cancel(tx store.Tx, plugin string, id packet.BlobID, reason string) error {
	return b.Steer(tx, plugin, id, blob.Cancel, reason)
}

// blobViews is core/blob as control sees it.
type blobViews struct{ *blob.Service }

// View implements control.Blobs.
func (v blobViews) View(b *store.Blob) *controlpb.Blob {
	st := v.Status(b)
	pb := &controlpb.Blob{
		Blob: host.BlobToProto(b), Plugin: b.Plugin, Done: st.Done, Speed: st.Speed, Left: uint64(st.Left.Seconds()),
		Waiting: st.Waiting, WaitingReason: controlpb.ReasonOf(st.Why), CreatedAt: b.CreatedAt,
	}
	for _, peer := range st.Peers {
		pb.Peers = append(pb.Peers, string(peer))
	}
	return pb
}

// serveBlobs moves blobs, within the limits that are set.
func (s *session) serveBlobs(ctx context.Context) error {
	changes := bus.Subscribe(s.core.bus, bus.SettingsChanged, 16)
	defer changes.Close()
	go func() {
		for {
			if err := s.limitBlobs(ctx); err != nil && ctx.Err() == nil {
				s.core.cfg.Log.Warn("the limits of transfers cannot be read", "error", err)
			}
			if _, err := changes.Next(ctx); err != nil && !errors.Is(err, bus.ErrLagged) {
				return
			}
		}
	}()
	return s.blob.Serve(ctx)
}

func (s *session) limitBlobs(ctx context.Context) error {
	limits := map[string]uint64{settingUpload: 0, settingDownload: 0}
	for name := range limits {
		value, err := s.setting(ctx, name)
		if err != nil {
			return err
		}
		n, err := strconv.ParseUint(value, 10, 32)
		if err != nil {
			return err
		}
		limits[name] = n << 10
	}
	s.blob.SetLimits(limits[settingUpload], limits[settingDownload])
	return nil
}
