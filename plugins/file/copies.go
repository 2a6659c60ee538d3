package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"google.golang.org/grpc/codes"

	"github.com/parley-chat/parley/plugins/file/picture"
	"github.com/parley-chat/parley/plugins/sdk"
	"github.com/parley-chat/parley/protocol/packet"
)

// copyPrefix is the beginning of the keys that say for which messages there is a
// copy.
const copyPrefix = "copy/"

func copyKey(message packet.PacketID) string { return copyPrefix + message.String() }

// copies are pictures without metadata, kept as long as others may fetch them:
// <folder>/outgoing/<message>/<name>.
type copies struct{ folder string }

func (c copies) root() string { return filepath.Join(c.folder, "outgoing") }

func (c copies) of(message packet.PacketID) string {
	return filepath.Join(c.root(), message.String())
}

// make copies a picture for a message without its metadata. The path is empty
// when there is nothing to leave out, and so no copy.
func (c copies) make(message packet.PacketID, from string) (path string, shape picture.Shape, err error) {
	in, err := os.Open(from) //nolint:gosec // a path that the person gave
	if err != nil {
		return "", shape, err
	}
	defer func() { _ = in.Close() }() // only read
	folder := c.of(message)
	// Of an earlier try there may be one left.
	if err := errors.Join(c.remove(message), os.MkdirAll(folder, 0o700)); err != nil {
		return "", shape, err
	}
	path = filepath.Join(folder, filepath.Base(from))
	out, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) //nolint:gosec // in the plugin's own folder
	if err == nil {
		shape, err = picture.Copy(out, in)
		err = errors.Join(err, out.Close())
	}
	if err != nil || !shape.Private {
		return "", shape, errors.Join(err, c.remove(message))
	}
	return path, shape, nil
}

// remove removes the copy of a message, if there is one.
func (c copies) remove(message packet.PacketID) error { return os.RemoveAll(c.of(message)) }

func (c copies) has(message packet.PacketID) bool {
	_, err := os.Lstat(c.of(message))
	return err == nil
}

// list gives the messages that copies were made for.
func (c copies) list() []packet.PacketID {
	entries, err := os.ReadDir(c.root())
	if err != nil {
		return nil // there is none, or the next send says what is wrong
	}
	var ids []packet.PacketID
	for _, e := range entries {
		if id, err := packet.ParsePacketID(e.Name()); err == nil {
			ids = append(ids, id)
		}
	}
	return ids
}

// tidy removes those of the copies whose message was never sent.
func (p *Plugin) tidy(ctx context.Context, made []packet.PacketID, log *slog.Logger) {
	for _, id := range made {
		values, err := p.core.Values(ctx, copyKey(id), 1)
		if err == nil && len(values) == 0 {
			err = p.copies.remove(id)
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			log.Warn("a copy of a picture that was not sent cannot be removed", "error", err)
			return
		}
	}
}

// forgetCopy removes the copy of a message that nobody is to get any more. What
// cannot be removed now is when the plugin starts next.
func (p *Plugin) forgetCopy(message packet.PacketID) []sdk.Effect {
	if !p.copies.has(message) {
		return nil
	}
	_ = p.copies.remove(message)
	return []sdk.Effect{sdk.PutValue{Key: copyKey(message)}}
}

// look looks at a file that is to be sent. With strip it makes a copy of a
// picture that has metadata. It is no picture when media is empty.
func (p *Plugin) look(message packet.PacketID, path string, strip bool) (from string, shape picture.Shape, err error) {
	in, err := os.Open(path) //nolint:gosec // a path that the person gave
	if err != nil {
		return "", shape, unreadable(path, err)
	}
	defer func() { _ = in.Close() }() // only read
	head := make([]byte, 12)
	n, err := io.ReadFull(in, head)
	if picture.Media(head[:n]) == "" {
		return path, shape, nil // whatever err is: the core reads it again
	}
	if _, err = in.Seek(0, io.SeekStart); err != nil {
		return "", shape, unreadable(path, err)
	}
	if !strip {
		if shape, err = picture.Look(in); errors.Is(err, picture.ErrDamaged) {
			return path, picture.Shape{}, nil
		}
		return path, shape, err
	}
	from, shape, err = p.copies.make(message, path)
	switch {
	case errors.Is(err, picture.ErrDamaged):
		return "", shape, sdk.Errorf(codes.FailedPrecondition,
			"%s is a damaged picture, from which the location cannot be removed: send it as a file, which leaves everything in it", path).
			Because("DAMAGED_PICTURE", "file", filepath.Base(path))
	case err != nil:
		return "", shape, fmt.Errorf("copy %s without its location: %w", path, err)
	case from == "":
		from = path
	}
	return from, shape, nil
}

func unreadable(path string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return sdk.Errorf(codes.NotFound, "%s does not exist: choose another file", path).Because("FILE_MISSING", "file", filepath.Base(path))
	case errors.Is(err, fs.ErrPermission):
		return sdk.Errorf(codes.PermissionDenied, "%s may not be read: change its permissions, or choose another file", path).Because("FILE_FORBIDDEN", "file", filepath.Base(path))
	}
	return fmt.Errorf("read %s: %w", path, err)
}
