package net2019

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/internal/bytesize"
	"github.com/parley-chat/parley/protocol/packet"
	wire "github.com/parley-chat/parley/protocol/packet/net2019"
)

const (
	// block is how much of a file is written at once: the published client counts
	// each of its reads as so many bytes, however few it gave.
	block = 1024
	// maxPushed is how much of a file is taken that nobody has accepted: whoever is
	// connected pushes it.
	maxPushed = 1 << 30
	// maxTries is how often a file is written to somebody who hangs up in the middle.
	maxTries = 3
)

// keyFile is the prefix of values that say what came of files that were pushed, each
// followed by a blob's id; JSON of an incoming.
const keyFile = "file/"

// How far a file that is pushed has come.
const (
	fileComing = "coming"
	fileHere   = "here"
	fileFailed = "failed"
)

type incoming struct {
	Chat   packet.ChatID `json:"chat"`
	State  string        `json:"state"`
	Reason string        `json:"reason,omitempty"` // of a failed one, for people
}

func (s *Service) partial(id packet.BlobID) string { return filepath.Join(s.cfg.Folder, id.String()) }

func keyOf(id packet.BlobID) string { return keyFile + id.String() }

func (in incoming) put(tx store.Tx, id packet.BlobID) error {
	b, err := json.Marshal(in)
	if err == nil {
		err = tx.PutValue(namespace, keyOf(id), b)
	}
	return err
}

// file takes a file that is pushed: the frame first, so that it is shown while it
// comes, then its bytes, as fast as they come, because the published client ignores
// that not all of a write was taken.
func (l *link) file(ctx context.Context, p *pair, f wire.Frame) error {
	s := l.run.s
	select { // who was not answered yet waits: there is no place for his files
	case <-p.open:
	case <-l.closed:
		return net.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	var id packet.BlobID
	in := incoming{Chat: f.Chat.ID(), State: fileComing}
	err := s.receive(ctx, f, func(tx store.Tx, p packet.Packet) error {
		id = packet.BlobID(p.Header.ID)
		return in.put(tx, id)
	})
	if err != nil {
		return err
	}
	t := s.begin(ctx, store.Blob{ID: id, Chat: in.Chat, Message: packet.PacketID(id), Size: f.Size}, f.Sender)
	refused, err := l.drain(ctx, t)
	t.end(ctx)
	switch {
	case err != nil:
		in.State, in.Reason = fileFailed, "it did not come whole: "+shortReason(err)
	case refused != "":
		in.State, in.Reason = fileFailed, refused
	default:
		in.State = fileHere
	}
	put := s.cfg.Store.Update(context.WithoutCancel(ctx), store.Synced, func(tx store.Tx) error { return in.put(tx, id) })
	if put != nil {
		return put
	}
	bus.Publish(s.cfg.Bus, bus.BlobChanged, bus.BlobRef{ID: id, Chat: in.Chat, Message: packet.PacketID(id)}) // watchBlobs settles it
	if err != nil {
		return fmt.Errorf("%w: %w", errNotWhole, err)
	}
	return nil
}

// errNotWhole: what comes next on the connection may be the rest of a file, or of a
// frame.
var errNotWhole = errors.New("what was begun did not come whole")

func shortReason(err error) string {
	var timeout net.Error
	switch {
	case errors.As(err, &timeout) && timeout.Timeout():
		return "its sender sent nothing more"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		return "the connection ended"
	default:
		return err.Error()
	}
}

// drain takes the bytes of a file; refused says why they were not kept.
func (l *link) drain(ctx context.Context, t *transfer) (refused string, err error) {
	s, size := l.run.s, t.blob.Size
	out, refused := s.openPartial(t.blob.ID, size)
	defer func() {
		if out == nil {
			return
		}
		if closed := out.Close(); closed != nil && refused == "" {
			refused = "it cannot be written: " + closed.Error()
		}
	}()
	defer func() { _ = l.conn.SetReadDeadline(time.Time{}) }()
	buffer := make([]byte, 64<<10)
	for left := size; left > 0; {
		if err := l.conn.SetReadDeadline(time.Now().Add(s.cfg.timing.silent)); err != nil {
			return refused, err
		}
		n, err := l.in.Read(buffer[:min(uint64(len(buffer)), left)])
		left -= uint64(n) //nolint:gosec // not negative
		if out != nil {
			if refused = t.keep(ctx, out, buffer[:n]); refused != "" {
				_ = out.Close()
				out = nil
				s.removePartial(t.blob.ID)
			}
		}
		if err != nil && left > 0 {
			return refused, err
		}
	}
	return refused, nil
}

// keep puts what came of a file behind what is there, or says why no more of it is
// kept.
func (t *transfer) keep(ctx context.Context, out io.Writer, b []byte) (refused string) {
	most := t.s.cfg.most
	if t.cancelled.Load() {
		return "it was cancelled while it came"
	}
	if !t.accepted && t.done+uint64(len(b)) > most {
		// By now it was offered, and accepted by hand or by what the user has set.
		if t.accepted = t.s.wanted(ctx, t.blob.ID); !t.accepted {
			return fmt.Sprintf("it has %s, and at most %s are taken of what is not accepted while it comes", bytesize.Text(t.blob.Size), bytesize.Text(most))
		}
	}
	if _, err := out.Write(b); err != nil {
		return "it cannot be written: " + err.Error()
	}
	t.moved(len(b))
	return ""
}

// wanted says whether somebody wants a file that comes.
func (s *Service) wanted(ctx context.Context, id packet.BlobID) bool {
	var b store.Blob
	err := s.cfg.Store.View(ctx, func(tx store.ReadTx) (err error) {
		b, err = tx.Blob(id)
		return err
	})
	return err == nil && b.State == store.BlobWanted
}

// openPartial opens where a file comes together, or says why it is not kept.
func (s *Service) openPartial(id packet.BlobID, size uint64) (*os.File, string) {
	if err := os.MkdirAll(s.cfg.Folder, 0o700); err != nil {
		return nil, "it cannot be kept: " + err.Error()
	}
	if free, err := s.cfg.Files.Room(s.cfg.Folder); err != nil || free < size {
		return nil, fmt.Sprintf("the disk has no room for its %s", bytesize.Text(size))
	}
	f, err := os.OpenFile(s.partial(id), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, "it cannot be kept: " + err.Error()
	}
	return f, ""
}

// watchBlobs settles files whose message, or person, wants something else now.
func (s *Service) watchBlobs(ctx context.Context) {
	s.settleFiles(ctx)
	for {
		id, err := s.blobs.Next(ctx)
		switch {
		case err == nil:
			s.halt(ctx, id)
			s.settleFile(ctx, id)
		case errors.Is(err, bus.ErrLagged):
			for _, id := range s.underWay() {
				s.halt(ctx, id)
			}
			s.settleFiles(ctx)
		default:
			return
		}
	}
}

// tidyFiles notes that what was coming comes no more, and removes what there is of
// it. Before any link is there.
func (s *Service) tidyFiles(ctx context.Context) {
	err := s.cfg.Store.Update(ctx, store.Lazy, func(tx store.Tx) error {
		values, err := tx.Values(namespace, keyFile, 0)
		for _, v := range values {
			id, bad := packet.ParsePacketID(strings.TrimPrefix(v.Key, keyFile))
			var in incoming
			if err != nil || bad != nil || json.Unmarshal(v.Bytes, &in) != nil || in.State != fileComing {
				continue
			}
			in.State, in.Reason = fileFailed, "it did not come whole: Parley was ended"
			err = in.put(tx, packet.BlobID(id))
		}
		return err
	})
	if err == nil {
		err = s.removeLeft(ctx)
	}
	if err != nil && ctx.Err() == nil {
		s.cfg.Log.Error("what came of files of 2019 cannot be looked through", "error", err)
	}
}

// removeLeft removes what nothing is known of, or is known to have failed.
func (s *Service) removeLeft(ctx context.Context) error {
	entries, err := os.ReadDir(s.cfg.Folder)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		id, bad := packet.ParsePacketID(e.Name())
		if bad != nil || !e.Type().IsRegular() {
			continue // not of this package
		}
		var in incoming
		bad = s.cfg.Store.View(ctx, func(tx store.ReadTx) (err error) {
			in, err = readIncoming(tx, packet.BlobID(id))
			return err
		})
		if notFound(bad) || bad == nil && in.State == fileFailed {
			s.removePartial(packet.BlobID(id))
		}
	}
	return err
}

// settleFiles settles all that came or goes.
func (s *Service) settleFiles(ctx context.Context) {
	var values []store.Value
	var active []store.Blob
	err := s.cfg.Store.View(ctx, func(tx store.ReadTx) (err error) {
		if values, err = tx.Values(namespace, keyFile, 0); err != nil {
			return err
		}
		active, err = tx.Blobs(store.BlobQuery{Active: true})
		return err
	})
	if err != nil && ctx.Err() == nil {
		s.cfg.Log.Error("files of 2019 cannot be read", "error", err)
	}
	for _, v := range values {
		if id, err := packet.ParsePacketID(strings.TrimPrefix(v.Key, keyFile)); err == nil {
			s.settleFile(ctx, packet.BlobID(id))
		}
	}
	for i := range active {
		switch b := &active[i]; {
		case b.Chat.Kind() != packet.Net2019:
		case b.Own:
			s.settleSent(ctx, b.Message)
		default:
			s.settleFile(ctx, b.ID)
		}
	}
}

func readIncoming(tx store.ReadTx, id packet.BlobID) (incoming, error) {
	var in incoming
	b, err := tx.Value(namespace, keyOf(id))
	if err == nil {
		err = json.Unmarshal(b, &in)
	}
	return in, err
}

// settleFile does with a file what its blob says, as far as it has come. It is for
// watchBlobs alone.
func (s *Service) settleFile(ctx context.Context, id packet.BlobID) {
	var in incoming
	var b store.Blob
	var came, chat, known bool
	err := s.cfg.Store.View(ctx, func(tx store.ReadTx) (err error) {
		in, err = readIncoming(tx, id)
		if came = err == nil; err != nil && !notFound(err) {
			return err
		}
		b, err = tx.Blob(id)
		if known = err == nil; err != nil && !notFound(err) {
			return err // else its plugin has not looked at it yet
		}
		if !came {
			return nil
		}
		_, err = tx.Chat(in.Chat)
		if chat = err == nil; notFound(err) {
			err = nil
		}
		return err
	})
	switch {
	case ctx.Err() != nil:
	case err != nil:
		s.cfg.Log.Error("a file of 2019 cannot be looked at", "blob", id, "error", err)
	case !came:
		if known && !b.Own && b.State == store.BlobWanted {
			s.cfg.Files.Fail(ctx, id, "what came of it is gone: its sender must send it again")
		}
	case !chat || known && b.State == store.BlobCancelled && in.State != fileComing || known && b.State == store.BlobDone:
		s.dropFile(ctx, id)
	case in.State == fileComing:
	case in.State == fileFailed:
		s.removePartial(id)
		if known {
			s.cfg.Files.Fail(ctx, id, in.Reason)
			s.dropFile(ctx, id)
		}
	case known && b.State == store.BlobWanted:
		if err := s.cfg.Files.Place(ctx, id, s.partial(id)); err != nil {
			s.cfg.Log.Warn("a file of 2019 cannot be put into its place", "blob", id, "error", err)
			s.cfg.Files.Fail(ctx, id, err.Error())
			return
		}
		s.dropFile(ctx, id)
	}
}

// dropFile removes what came of a file, and that it came.
func (s *Service) dropFile(ctx context.Context, id packet.BlobID) {
	if !s.removePartial(id) {
		return
	}
	err := s.cfg.Store.Update(context.WithoutCancel(ctx), store.Lazy, func(tx store.Tx) error { return tx.PutValue(namespace, keyOf(id), nil) })
	if err != nil {
		s.cfg.Log.Warn("that a file of 2019 is settled cannot be noted", "error", err)
	}
}

// removePartial removes what came of a file, never a file in its place; false when
// it cannot.
func (s *Service) removePartial(id packet.BlobID) bool {
	err := os.Remove(s.partial(id))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		s.cfg.Log.Warn("what came of a file of 2019 cannot be removed", "error", err)
		return false
	}
	return true
}
