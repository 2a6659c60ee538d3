package emoji_test

import (
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/parley-chat/parley/plugins/emoji"
	"github.com/parley-chat/parley/protocol/packet"
)

var update = flag.Bool("update", false, "write golden files that do not exist yet")

var goldenID = packet.PacketID{0x01, 0x91, 0x5c, 0x2e, 0x4a, 0x00, 0x7a, 0xbc, 0x8d, 0xef, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab}

// golden are contents whose encoding must never change.
var golden = []struct {
	name  string
	value emoji.Reaction
}{
	{"reaction", emoji.Reaction{Message: goldenID, Emoji: "👍", Revision: 1}},
	{"reaction-joined", emoji.Reaction{Message: goldenID, Emoji: "🧑🏻‍❤️‍💋‍🧑🏼", Revision: 300}},
	{"reaction-removed", emoji.Reaction{Message: goldenID, Emoji: "❤️", Remove: true, Revision: 2}},
}

func TestGolden(t *testing.T) {
	for _, g := range golden {
		t.Run(g.name, func(t *testing.T) {
			got := content(t, g.value)
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
			for _, b := range [][]byte{want, append(want, 0xa2, 0x06, 0x03, 'n', 'e', 'w')} { // field 100
				back, err := emoji.DecodeReaction(b)
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

// What decodes is well-formed, and encodes to what decodes to the same.
func FuzzDecodeReaction(f *testing.F) {
	for _, g := range golden {
		f.Add(content(f, g.value))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := emoji.DecodeReaction(b)
		if err != nil {
			return
		}
		if canonical, err := emoji.Canonical(v.Emoji); err != nil || canonical != v.Emoji || v.Message.IsZero() {
			t.Fatalf("%+v is not well-formed", v)
		}
		again, err := emoji.DecodeReaction(content(t, v))
		if err != nil || v != again {
			t.Fatalf("%+v became %+v (%v)", v, again, err)
		}
	})
}
