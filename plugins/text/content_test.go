package text_test

import (
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/parley-chat/parley/plugins/text"
	"github.com/parley-chat/parley/protocol/packet"
)

var update = flag.Bool("update", false, "write golden files that do not exist yet")

var goldenID = packet.PacketID{0x01, 0x91, 0x5c, 0x2e, 0x4a, 0x00, 0x7a, 0xbc, 0x8d, 0xef, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab}

// golden are contents whose encoding must never change.
var golden = []struct {
	name   string
	value  interface{ Encode() ([]byte, error) }
	decode func([]byte) (any, error)
}{
	{"text", text.Text{Body: "Tea?"}, decode(text.DecodeText)},
	{"text-unicode", text.Text{Body: "茶 \u202eب\x00\U0001f375"}, decode(text.DecodeText)},
	{"text-reply", text.Text{Body: "Yes", ReplyTo: goldenID}, decode(text.DecodeText)},
	{"edit", text.Edit{Message: goldenID, Body: "Tea!", Revision: 300}, decode(text.DecodeEdit)},
	{"delete", text.Delete{Message: goldenID}, decode(text.DecodeDelete)},
	{"typing", text.Typing{Typing: true}, decode(text.DecodeTyping)},
	{"typing-stopped", text.Typing{}, decode(text.DecodeTyping)},
}

func decode[T any](f func([]byte) (T, error)) func([]byte) (any, error) {
	return func(b []byte) (any, error) { return f(b) }
}

func TestGolden(t *testing.T) {
	for _, g := range golden {
		t.Run(g.name, func(t *testing.T) {
			got, err := g.value.Encode()
			if err != nil {
				t.Fatal(err)
			}
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
			back, err := g.decode(want)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(g.value, back); diff != "" {
				t.Errorf("decoded to something else (-want +got):\n%s", diff)
			}
		})
	}
}

// A later version may add fields.
func TestUnknownFieldsAreIgnored(t *testing.T) {
	for _, g := range golden {
		t.Run(g.name, func(t *testing.T) {
			b, err := g.value.Encode()
			if err != nil {
				t.Fatal(err)
			}
			got, err := g.decode(append(b, 0xa2, 0x06, 0x03, 'n', 'e', 'w')) // field 100
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(g.value, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// fuzz checks that what decodes is well-formed, and encodes to what decodes to
// the same.
func fuzz[T interface {
	comparable
	Encode() ([]byte, error)
}](f *testing.F, decode func([]byte) (T, error), check func(T) bool) {
	for _, g := range golden {
		if b, err := g.value.Encode(); err == nil {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := decode(b)
		if err != nil {
			return
		}
		if !check(v) {
			t.Fatalf("%+v is not well-formed", v)
		}
		again, err := v.Encode()
		if err != nil {
			t.Fatal(err)
		}
		w, err := decode(again)
		if err != nil || v != w {
			t.Fatalf("%+v became %+v (%v)", v, w, err)
		}
	})
}

func wellFormed(body string) bool {
	return len(body) > 0 && len(body) <= text.MaxBody && strings.ToValidUTF8(body, "") == body
}

func FuzzDecodeText(f *testing.F) {
	fuzz(f, text.DecodeText, func(v text.Text) bool { return wellFormed(v.Body) })
}

func FuzzDecodeEdit(f *testing.F) {
	fuzz(f, text.DecodeEdit, func(v text.Edit) bool { return wellFormed(v.Body) && !v.Message.IsZero() })
}

func FuzzDecodeDelete(f *testing.F) {
	fuzz(f, text.DecodeDelete, func(v text.Delete) bool { return !v.Message.IsZero() })
}

func FuzzDecodeTyping(f *testing.F) {
	fuzz(f, text.DecodeTyping, func(text.Typing) bool { return true })
}
