package file

import (
	"context"
	"mime"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"google.golang.org/grpc/codes"

	"github.com/parley-chat/parley/plugins/file/picture"
	"github.com/parley-chat/parley/plugins/sdk"
	"github.com/parley-chat/parley/protocol/packet"
)

// MaxPaths is how many files and folders are sent at once, which the number of
// effects of one answer and its size allow.
const MaxPaths = 60

// asFile is the value of the argument "as" that sends a picture as it is.
const asFile = "file"

// outgoing is something that is being sent.
type outgoing struct {
	message packet.PacketID
	path    string
	offer   Offer
	of      packet.Type
	blob    sdk.Blob
}

// send offers each of the paths by a message of its own; the text is the caption
// of the first.
func (p *Plugin) send(ctx context.Context, call sdk.Invocation, updates sdk.Updates) (sdk.Result, error) {
	switch caption := strings.TrimSpace(call.Text); {
	case call.Chat == "":
		return sdk.Result{}, sdk.Errorf(codes.InvalidArgument, "no chat was given to send in")
	case len(call.Paths) == 0:
		return sdk.Result{}, sdk.Errorf(codes.InvalidArgument, "no file was given: choose what to send").Because("NO_FILE")
	case len(call.Paths) > MaxPaths:
		return sdk.Result{}, sdk.Errorf(codes.InvalidArgument,
			"%d files were given, at most %d are sent at once: send them in parts, or the folder they are in", len(call.Paths), MaxPaths).
			Because("TOO_MANY_FILES", "limit", MaxPaths)
	case len(caption) > MaxCaption || !utf8.ValidString(caption):
		return sdk.Result{}, sdk.Errorf(codes.InvalidArgument,
			"the text is no caption: at most 2,048 bytes of UTF-8 fit; send it as a message of its own").
			Because("CAPTION", "limit", MaxCaption)
	}
	var ids []packet.PacketID
	var effects []sdk.Effect
	for i, path := range call.Paths {
		updates.Progress(harmless(filepath.Base(path)), uint64(i), uint64(len(call.Paths))) //nolint:gosec // not negative
		o := &outgoing{message: call.ID, path: path, of: TypeFile}
		if i > 0 {
			o.message = packet.NewPacketID()
		} else {
			o.offer.Caption, o.offer.ReplyTo = strings.TrimSpace(call.Text), call.Message
		}
		ids = append(ids, o.message)
		more, err := p.offer(ctx, call, o)
		if err != nil {
			for _, id := range ids {
				_ = p.copies.remove(id) // else when the plugin starts next
			}
			return sdk.Result{}, err
		}
		effects = append(effects, more...)
	}
	return done(ids, effects...)
}

// offer prepares one path, and gives what offers it.
func (p *Plugin) offer(ctx context.Context, call sdk.Invocation, o *outgoing) ([]sdk.Effect, error) {
	from := o.path
	info, err := os.Stat(o.path)
	if err != nil {
		return nil, unreadable(o.path, err)
	}
	if info.Mode().IsRegular() {
		if from, err = p.describe(call, o); err != nil {
			return nil, err
		}
	}
	if o.blob, err = p.core.PrepareBlob(ctx, from); err != nil {
		return nil, err
	}
	o.offer.Blob, o.offer.Name, o.offer.Size = o.blob.ID, filepath.Base(o.path), o.blob.Size
	o.offer.Folder, o.offer.Files = o.blob.Folder, o.blob.Files
	content, err := o.encodeIn(call.Chat)
	if err != nil {
		return nil, err
	}
	if err := o.offer.check(o.of); err != nil {
		return nil, sdk.Errorf(codes.InvalidArgument, "%s cannot be sent: %w", o.path, err).Because("CANNOT_SEND", "file", filepath.Base(o.path))
	}
	d := dataOf(o.offer, Shared)
	d.Path, d.LeftOut, d.LeftOutCount = o.path, o.blob.LeftOut, o.blob.LeftOutCount
	data, err := d.encode()
	if err != nil {
		return nil, err
	}
	effects := []sdk.Effect{
		sdk.SendPacket{ID: o.message, Chat: call.Chat, Type: o.of, Content: content},
		sdk.AddMessage{ID: o.message, Chat: call.Chat, Kind: string(o.of), Body: d.body(), ReplyTo: o.offer.ReplyTo, Data: data},
		sdk.ShareBlob{Blob: o.blob.ID, Chat: call.Chat, Message: o.message},
	}
	if from != o.path {
		effects = append(effects, sdk.PutValue{Key: copyKey(o.message), Value: []byte(call.Chat)})
	}
	return effects, nil
}

// describe finds out what a file is. It gives the path to send, which is that of
// a copy when there is one.
func (p *Plugin) describe(call sdk.Invocation, o *outgoing) (from string, err error) {
	if call.Args["as"] == asFile {
		o.offer.Media = mediaOf(o.path)
		return o.path, nil
	}
	from, shape, err := p.look(o.message, o.path, p.core.Setting(settingStrip) != "false")
	if err != nil {
		return "", err
	}
	if o.offer.Media = shape.Media; shape.Media == "" {
		o.offer.Media = mediaOf(o.path)
		return from, nil
	}
	ok, err := o.offer.show(from, shape)
	if ok {
		o.of = TypeImage
	}
	return from, err
}

// show fills in how the picture at a path looks, whose shape was read; false when it
// can only be shown as a file.
func (o *Offer) show(path string, shape picture.Shape) (bool, error) {
	f, err := os.Open(path) //nolint:gosec // one that the person gave, its copy, or one in the download folder
	if err != nil {
		return false, unreadable(path, err)
	}
	defer func() { _ = f.Close() }() // only read
	small, err := picture.Thumbnail(f, shape)
	// A WebP animation is a picture too, though its first one cannot be decoded
	// here. Anything else that cannot be is a file.
	moving := shape.Media == picture.WebP && shape.Animated && shape.Width <= maxSide && shape.Height <= maxSide
	if !shape.Complete || err != nil && !moving {
		return false, nil
	}
	o.Media, o.Thumbnail, o.Animated = shape.Media, string(small), shape.Animated
	o.Width, o.Height = uint32(shape.Width), uint32(shape.Height) //nolint:gosec // of a picture that was decoded, or bounded above
	return true, nil
}

// mediaOf guesses the media type of a file, by its name or else its beginning.
func mediaOf(path string) string {
	media := mime.TypeByExtension(filepath.Ext(path))
	if media == "" {
		f, err := os.Open(path) //nolint:gosec // a path that the person gave
		if err != nil {
			return ""
		}
		defer func() { _ = f.Close() }() // only read
		head := make([]byte, 512)
		n, _ := f.Read(head)
		media = http.DetectContentType(head[:n])
	}
	media, _, err := mime.ParseMediaType(media)
	if err != nil || !mediaPattern.MatchString(media) {
		return ""
	}
	return media
}
