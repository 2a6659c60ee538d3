package file

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"google.golang.org/grpc/codes"

	"github.com/parley-chat/parley/plugins/sdk"
	"github.com/parley-chat/parley/protocol/packet"
)

// States of a message, as Data has them. How far a transfer is, and whether it
// is paused, says the core with the message's blob.
const (
	// Of another's offer.
	Offered   = "offered"   // nobody has decided
	Fetching  = "fetching"  // accepted: under way or waiting
	Received  = "received"  // in its place
	Failed    = "failed"    // see the reason; may be retried. Of one's own: it cannot be had any more
	Declined  = "declined"  // may be accepted still
	Cancelled = "cancelled" // likewise
	// Of one's own, and of another's what its author took back.
	Shared    = "shared"
	Withdrawn = "withdrawn"
)

// Data is what a message of this plugin has as its data, in JSON, for front ends.
// Its body is the name, and on a second line the caption if there is one.
type Data struct {
	// Blob is the id of the blob, by which the core tells of its progress.
	Blob string `json:"blob"`
	// Name is harmless to show; what was sent differs when SentName is there,
	// which may be cut and is not to be shown as it is.
	Name     string `json:"name"`
	SentName string `json:"sent_name,omitempty"`
	Size     uint64 `json:"size"`
	Folder   bool   `json:"folder,omitempty"`
	Files    uint32 `json:"files,omitempty"` // of a folder
	Media    string `json:"media_type,omitempty"`
	Caption  string `json:"caption,omitempty"`
	// Width and Height in pixels, upright; of images only.
	Width    uint32 `json:"width,omitempty"`
	Height   uint32 `json:"height,omitempty"`
	Animated bool   `json:"animated,omitempty"`
	// Thumbnail is a JPEG of at most 24 KiB and 512 x 512 pixels, in base64.
	Thumbnail []byte `json:"thumbnail,omitempty"`
	State     string `json:"state"`
	Reason    string `json:"reason,omitempty"` // of Failed and Withdrawn
	// Path is where it is, once Received, and where it is shared from.
	Path string `json:"path,omitempty"`
	// LeftOut has the first of what is in one's own folder and could not be shared
	// with it, LeftOutCount how many those are.
	LeftOut      []sdk.LeftOut `json:"left_out,omitempty"`
	LeftOutCount uint32        `json:"left_out_count,omitempty"`
}

// mark is the value of the annotation "file.state", in JSON: what became of an
// offer at the annotation's author.
type mark struct {
	State  string `json:"state"`
	Reason string `json:"reason,omitempty"`
}

// Annotation is the kind of annotation by which an offer's message tells what
// became of it at each recipient: {"state": "received", "reason": "..."}.
const Annotation = "file.state"

func dataOf(o Offer, state string) Data {
	d := Data{
		Blob: o.Blob.String(), Name: harmless(o.Name), Size: o.Size, Folder: o.Folder, Files: o.Files, Media: o.Media, Caption: o.Caption,
		Width: o.Width, Height: o.Height, Animated: o.Animated, Thumbnail: []byte(o.Thumbnail), State: state,
	}
	if d.Name != o.Name {
		d.SentName = strings.ToValidUTF8(o.Name, "\uFFFD")
	}
	return d
}

// body is what is shown and searched.
func (d Data) body() string {
	if d.Caption == "" {
		return d.Name
	}
	return d.Name + "\n" + d.Caption
}

func (d Data) encode() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(d)
	return bytes.TrimSpace(b.Bytes()), err
}

func (d Data) blob() (packet.BlobID, error) { return packet.ParseBlobID(d.Blob) }

// readData reads the data of a message of this plugin's.
func readData(m *sdk.Message) (Data, error) {
	var d Data
	err := json.Unmarshal(m.Data, &d)
	if err == nil {
		_, err = d.blob()
	}
	if err != nil {
		return Data{}, sdk.Errorf(codes.DataLoss, "what was kept about the file of message %s cannot be read: %w", m.ID, err)
	}
	return d, nil
}

// change is the effect that gives a message new data.
func change(m *sdk.Message, d Data) (sdk.Effect, error) {
	data, err := d.encode()
	return sdk.ChangeMessage{ID: m.ID, Body: d.body(), Data: data, Edited: m.Edited}, err
}

// harmless is a name as it may be shown: one line, one component, without
// characters that steer the direction of what stands beside them. What a file is
// called on the disk the core makes of it.
func harmless(name string) string {
	name = strings.Map(func(r rune) rune {
		if r == '/' || r == '\\' || r == utf8.RuneError || unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co) {
			return '_'
		}
		return r
	}, strings.ToValidUTF8(name, "_"))
	if name = strings.TrimSpace(name); name == "" || name == "." || name == ".." {
		name = fmt.Sprintf("unnamed%s", name)
	}
	const most = 255 // bytes; the end of a long name says more than its middle
	if len(name) <= most {
		return name
	}
	head, tail := most-40, len(name)-36
	for !utf8.RuneStart(name[head]) {
		head--
	}
	for !utf8.RuneStart(name[tail]) {
		tail++
	}
	return name[:head] + "…" + name[tail:]
}
