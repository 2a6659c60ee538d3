package file_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"image"
	"image/jpeg"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/parley-chat/parley/plugins/file"
	"github.com/parley-chat/parley/plugins/file/filepb"
	"github.com/parley-chat/parley/protocol/packet"
)

var update = flag.Bool("update", false, "write golden files that do not exist yet")

var (
	goldenID   = packet.PacketID{0x01, 0x91, 0x5c, 0x2e, 0x4a, 0x00, 0x7a, 0xbc, 0x8d, 0xef, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab}
	goldenBlob = packet.BlobID{0x01, 0x91, 0x5c, 0x2e, 0x4a, 0x01, 0x7a, 0xbc, 0x8d, 0xef, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab}
)

func decodeFile(b []byte) (any, error)  { return file.DecodeOffer(file.TypeFile, b) }
func decodeImage(b []byte) (any, error) { return file.DecodeOffer(file.TypeImage, b) }
func decodeState(b []byte) (any, error) { return file.DecodeState(b) }
func decodeDel(b []byte) (any, error)   { return file.DecodeDelete(b) }

type content interface{ Encode() ([]byte, error) }

// golden are contents whose encoding must never change.
var golden = []struct {
	name   string
	value  content
	decode func([]byte) (any, error)
}{
	{"file", file.Offer{Blob: goldenBlob, Name: "notes.txt", Size: 300, Media: "text/plain"}, decodeFile},
	{"file-odd", file.Offer{Blob: goldenBlob, Name: "../\u202egpj.exe\x00\xff", Size: packet.MaxBlob, Caption: "茶", ReplyTo: goldenID}, decodeFile},
	{"folder", file.Offer{Blob: goldenBlob, Name: "Holiday", Size: 1 << 33, Folder: true, Files: 10_000}, decodeFile},
	{"image", file.Offer{Blob: goldenBlob, Name: "cat.webp", Size: 7, Media: "image/webp", Width: 1920, Height: 1080, Animated: true}, decodeImage},
	{"received", file.State{Message: goldenID, Kind: filepb.Kind_KIND_RECEIVED}, decodeState},
	{"failed", file.State{Message: goldenID, Kind: filepb.Kind_KIND_FAILED, Reason: "the disk is full"}, decodeState},
	{"declined", file.State{Message: goldenID, Kind: filepb.Kind_KIND_DECLINED}, decodeState},
	{"cancelled", file.State{Message: goldenID, Kind: filepb.Kind_KIND_CANCELLED}, decodeState},
	{"withdrawn", file.State{Message: goldenID, Kind: filepb.Kind_KIND_WITHDRAWN}, decodeState},
	{"wanted", file.State{Message: goldenID, Kind: filepb.Kind_KIND_WANTED}, decodeState},
	{"delete", file.Delete{Message: goldenID}, decodeDel},
}

func TestGolden(t *testing.T) {
	for _, g := range golden {
		t.Run(g.name, func(t *testing.T) {
			got := encode(t, g.value)
			path := filepath.Join("testdata", g.name+".hex")
			if _, err := os.Stat(path); *update && os.IsNotExist(err) {
				if err := os.WriteFile(path, []byte(hex.EncodeToString(got)+"\n"), 0o644); err != nil { //nolint:gosec // a file of the repository
					t.Fatal(err)
				}
			}
			line, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			want, err := hex.DecodeString(strings.TrimSpace(string(line)))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("the encoding changed (-golden +now):\n%s", diff)
			}
			// A later version may add fields.
			for _, b := range [][]byte{want, append(bytes.Clone(want), 0xa2, 0x06, 0x03, 'n', 'e', 'w')} {
				back, err := g.decode(b)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(g.value, back); diff != "" {
					t.Errorf("decoded to something else (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func encode(t testing.TB, c content) []byte {
	t.Helper()
	b, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func thumbnail(t testing.TB, width, height int) string {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, image.NewGray(image.Rect(0, 0, width, height)), nil); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestOffersThatLie(t *testing.T) {
	good := file.Offer{Blob: goldenBlob, Name: "a", Size: 1, Media: "image/png", Width: 10, Height: 10, Thumbnail: thumbnail(t, 10, 10)}
	if _, err := file.DecodeOffer(file.TypeImage, encode(t, good)); err != nil {
		t.Fatal(err)
	}
	for name, bend := range map[string]func(*file.Offer){
		"no name":            func(o *file.Offer) { o.Name = "" },
		"endless name":       func(o *file.Offer) { o.Name = strings.Repeat("x", file.MaxName+1) },
		"too large":          func(o *file.Offer) { o.Size = packet.MaxBlob + 1 },
		"no blob":            func(o *file.Offer) { o.Blob = packet.BlobID{} },
		"files of no folder": func(o *file.Offer) { o.Files = 1 },
		"image of a folder":  func(o *file.Offer) { o.Folder = true },
		"too many files":     func(o *file.Offer) { o.Folder, o.Files, o.Media = true, packet.MaxEntries+1, "" },
		"image of a text":    func(o *file.Offer) { o.Media = "text/html" },
		"media type":         func(o *file.Offer) { o.Media = "image/png; x=<script>" },
		"no pixels":          func(o *file.Offer) { o.Height = 0 },
		"endless pixels":     func(o *file.Offer) { o.Width = 1_000_001 },
		"endless caption":    func(o *file.Offer) { o.Caption = strings.Repeat("x", file.MaxCaption+1) },
		"caption":            func(o *file.Offer) { o.Caption = "\xff" },
		"thumbnail of text":  func(o *file.Offer) { o.Thumbnail = "no picture" },
		"large thumbnail":    func(o *file.Offer) { o.Thumbnail = thumbnail(t, 600, 10) },
		"half a thumbnail":   func(o *file.Offer) { o.Thumbnail = o.Thumbnail[:len(o.Thumbnail)/2] },
	} {
		o := good
		bend(&o)
		if _, err := file.DecodeOffer(file.TypeImage, encode(t, o)); !errors.Is(err, file.ErrMalformed) && !errors.Is(err, file.ErrLimit) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, pb := range map[string]*filepb.State{
		"no message": {Kind: filepb.Kind_KIND_FAILED}, "no kind": {Message: goldenID[:]},
		"reason":         {Message: goldenID[:], Kind: 1, Reason: []byte("\xff")},
		"endless reason": {Message: goldenID[:], Kind: 1, Reason: make([]byte, file.MaxReason+1)},
	} {
		b, err := proto.Marshal(pb)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.DecodeState(b); err == nil {
			t.Errorf("%s: it is taken", name)
		}
	}
}

// fuzz checks that what decodes encodes to what decodes to the same.
func fuzz[T interface {
	comparable
	content
}](f *testing.F, decode func([]byte) (T, error)) {
	for _, g := range golden {
		f.Add(encode(f, g.value))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := decode(b)
		if err != nil {
			return
		}
		if w, err := decode(encode(t, v)); err != nil || v != w {
			t.Fatalf("%+v became %+v (%v)", v, w, err)
		}
	})
}

func FuzzDecodeFile(f *testing.F) {
	fuzz(f, func(b []byte) (file.Offer, error) { return file.DecodeOffer(file.TypeFile, b) })
}

func FuzzDecodeImage(f *testing.F) {
	f.Add(encode(f, file.Offer{Blob: goldenBlob, Name: "a", Media: "image/png", Width: 9, Height: 9, Thumbnail: thumbnail(f, 9, 9)}))
	fuzz(f, func(b []byte) (file.Offer, error) { return file.DecodeOffer(file.TypeImage, b) })
}

func FuzzDecodeState(f *testing.F)  { fuzz(f, file.DecodeState) }
func FuzzDecodeDelete(f *testing.F) { fuzz(f, file.DecodeDelete) }
