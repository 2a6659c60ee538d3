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
	// maxFile is the largest file that is taken: whoever is connected pushes it.
	maxFile = 1 << 30
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
	refused, err := l.drain(id, f.Size)
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
	s.settleFile(context.WithoutCancel(ctx), id)
	if err != nil {
		return fmt.Errorf("%w: %w", errNotWhole, err)
	}
	return nil
}

// errNotWhole: what comes next on the connection may be the rest of a file.
var errNotWhole = errors.New("a file did not come whole")

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
func (l *link) drain(id packet.BlobID, size uint64) (refused string, err error) {
	s := l.run.s
	out, refused := s.openPartial(id, size)
	to := io.Discard
	if out != nil {
		to = out
		defer func() { _ = out.Close() }()
	}
	defer func() { _ = l.conn.SetReadDeadline(time.Time{}) }()
	buffer := make([]byte, 64<<10)
	for left := size; left > 0; {
		if err := l.conn.SetReadDeadline(time.Now().Add(s.cfg.timing.silent)); err != nil {
			return refused, err
		}
		n, err := l.in.Read(buffer[:min(uint64(len(buffer)), left)])
		left -= uint64(n) //nolint:gosec // not negative
		if _, diskErr := to.Write(buffer[:n]); diskErr != nil && refused == "" {
			refused, to = "it cannot be written: "+diskErr.Error(), io.Discard
		}
		if err != nil && left > 0 {
			return refused, err
		}
	}
	return refused, nil
}

// openPartial opens where a file comes together, or says why it is not kept.
func (s *Service) openPartial(id packet.BlobID, size uint64) (*os.File, string) {
	if size > maxFile {
		return nil, fmt.Sprintf("it has %s, and at most %s are taken from who may push it at any time", bytesize.Text(size), bytesize.Text(maxFile))
	}
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
	s.settleFiles(ctx, true)
	for {
		id, err := s.blobs.Next(ctx)
		switch {
		case err == nil:
			s.settleFile(ctx, id)
		case errors.Is(err, bus.ErrLagged):
			s.settleFiles(ctx, false)
		default:
			return
		}
	}
}

// settleFiles settles all; at the start nothing is coming any more.
func (s *Service) settleFiles(ctx context.Context, begin bool) {
	var values []store.Value
	err := s.cfg.Store.View(ctx, func(tx store.ReadTx) (err error) {
		values, err = tx.Values(namespace, keyFile, 0)
		return err
	})
	if err != nil && ctx.Err() == nil {
		s.cfg.Log.Error("files of 2019 that came cannot be read", "error", err)
	}
	for _, v := range values {
		id, err := packet.ParsePacketID(strings.TrimPrefix(v.Key, keyFile))
		if err != nil {
			continue
		}
		if begin {
			err = s.cfg.Store.Update(ctx, store.Lazy, func(tx store.Tx) error {
				in, err := readIncoming(tx, packet.BlobID(id))
				if err != nil || in.State != fileComing {
					return err
				}
				in.State, in.Reason = fileFailed, "it did not come whole: Parley was ended"
				return in.put(tx, packet.BlobID(id))
			})
			if err != nil && ctx.Err() == nil {
				s.cfg.Log.Error("what came of a file of 2019 cannot be noted", "error", err)
			}
		}
		s.settleFile(ctx, packet.BlobID(id))
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

// settleFile does with a file what its blob says, as far as it has come.
func (s *Service) settleFile(ctx context.Context, id packet.BlobID) {
	var in incoming
	var b store.Blob
	var chat, known bool
	err := s.cfg.Store.View(ctx, func(tx store.ReadTx) (err error) {
		if in, err = readIncoming(tx, id); err != nil {
			return err
		}
		_, err = tx.Chat(in.Chat)
		if chat = err == nil; !chat {
			return nil
		}
		b, err = tx.Blob(id)
		if known = err == nil; notFound(err) {
			err = nil // its plugin has not looked at it yet
		}
		return err
	})
	switch {
	case notFound(err) || ctx.Err() != nil:
		return
	case err != nil:
		s.cfg.Log.Error("a file of 2019 cannot be looked at", "blob", id, "error", err)
	case !chat || known && b.State == store.BlobCancelled && in.State != fileComing || known && b.State == store.BlobDone:
		s.dropFile(ctx, id)
	case !known || in.State == fileComing:
	case in.State == fileFailed:
		s.cfg.Files.Fail(ctx, id, in.Reason)
		s.forgetFile(ctx, id) // what came stays until its chat goes
	case b.State == store.BlobWanted:
		if err := s.cfg.Files.Place(ctx, id, s.partial(id)); err != nil {
			s.cfg.Log.Warn("a file of 2019 cannot be put into its place", "blob", id, "error", err)
			s.cfg.Files.Fail(ctx, id, err.Error())
			return
		}
		s.dropFile(ctx, id)
	}
}

// dropFile removes what came of a file.
func (s *Service) dropFile(ctx context.Context, id packet.BlobID) {
	if err := os.Remove(s.partial(id)); err != nil && !errors.Is(err, os.ErrNotExist) {
		s.cfg.Log.Warn("what came of a file of 2019 cannot be removed", "error", err)
		return
	}
	s.forgetFile(ctx, id)
}

func (s *Service) forgetFile(ctx context.Context, id packet.BlobID) {
	err := s.cfg.Store.Update(context.WithoutCancel(ctx), store.Lazy, func(tx store.Tx) error { return tx.PutValue(namespace, keyOf(id), nil) })
	if err != nil {
		s.cfg.Log.Warn("that a file of 2019 is settled cannot be noted", "error", err)
	}
}

// outgoing finds the file of one's own packet, and how it cannot be sent.
func (s *Service) outgoing(ctx context.Context, id packet.PacketID, size uint64) (f *os.File, failed string, err error) {
	var blobs []store.Blob
	err = s.cfg.Store.View(ctx, func(tx store.ReadTx) (err error) {
		blobs, err = tx.BlobsOf([]packet.PacketID{id})
		return err
	})
	if err != nil {
		return nil, "", err
	}
	if len(blobs) != 1 || !blobs[0].Own || blobs[0].State == store.BlobCancelled {
		return nil, "it was taken back", nil
	}
	const lost = "it was changed or removed before it was sent"
	if f, err = os.Open(blobs[0].Path); err != nil {
		return nil, lost, nil //nolint:nilerr // that is the answer
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || uint64(info.Size()) != size { //nolint:gosec // not negative
		_ = f.Close()
		return nil, lost, nil //nolint:nilerr // that is the answer
	}
	return f, "", nil
}

// errShort: a file ended before its size, and the other side waits for the rest.
var errShort = errors.New("the file became shorter while it was sent")

// writeFile writes a file's bytes behind its frame. The caller has the turn.
func (l *link) writeFile(ctx context.Context, f io.Reader, size uint64) error {
	buffer := make([]byte, block)
	for size > 0 {
		b := buffer[:min(size, block)]
		if _, err := io.ReadFull(f, b); err != nil {
			return fmt.Errorf("%w: %w", errShort, err)
		}
		if err := l.writeBytes(b); err != nil {
			return err
		}
		if err := l.drained(ctx); err != nil {
			return err
		}
		size -= uint64(len(b))
	}
	return nil
}
