package group

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/parley-chat/parley/plugins/group/grouppb"
	"github.com/parley-chat/parley/protocol/packet"
)

var update = flag.Bool("update", false, "write golden files that do not exist yet")

var goldenID = packet.PacketID{0x01, 0x91, 0x5c, 0x2e, 0x4a, 0x00, 0x7a, 0xbc, 0x8d, 0xef, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab}

var (
	someKey     = bytes.Repeat([]byte{7}, keySize)
	someCutoffs = []Cutoff{{Device: packet.DeviceID{1, 2, 3}, Epoch: 2, Number: 300}, {Device: packet.DeviceID{9}, Epoch: 1}}
)

// golden are changes whose encoding and ids must never change.
var golden = []struct {
	name   string
	change Change
}{
	{"create", Change{Operations: []Operation{
		{Verb: VerbCreate, Text: "茶 at five", History: HistoryAll},
		{Verb: VerbInvite, User: "bob", Keys: [][]byte{someKey}}, {Verb: VerbInvite, User: "carol"},
	}}},
	{"accept", Change{Parents: []ChangeID{{1}}, Operations: []Operation{{Verb: VerbAccept}}}},
	{"leave", Change{Parents: []ChangeID{{1}}, Operations: []Operation{{Verb: VerbLeave, Cutoffs: someCutoffs}}}},
	{"decline", Change{Parents: []ChangeID{{1}}, Operations: []Operation{{Verb: VerbLeave, Decline: true}}}},
	{"remove", Change{Parents: []ChangeID{{1}, {2}}, Operations: []Operation{{Verb: VerbRemove, User: "bob", Cutoffs: someCutoffs}}}},
	{"roles", Change{Parents: []ChangeID{{1}}, Operations: []Operation{
		{Verb: VerbSetRole, User: "bob", Role: RoleAdmin}, {Verb: VerbSetRole, User: "carol", Role: RoleMember}, {Verb: VerbSetRole, User: "dave", Role: RoleOwner},
	}}},
	{"facts", Change{Parents: []ChangeID{{1}}, Operations: []Operation{
		{Verb: VerbSetTitle, Text: "Tea"}, {Verb: VerbSetDescription, Text: "Daily."}, {Verb: VerbSetDescription},
		{Verb: VerbSetPicture, Picture: []byte("\x89PNG")}, {Verb: VerbSetPicture}, {Verb: VerbSetHistory, History: HistoryFromJoin},
	}}},
	{"introduce", Change{Parents: []ChangeID{{1}}, Operations: []Operation{
		{Verb: VerbInvite, User: "dave"}, {Verb: VerbIntroduce, User: "alice", Keys: [][]byte{someKey}}, {Verb: VerbIntroduce, User: "bob"},
	}}},
	{"join", Change{Parents: []ChangeID{{1}, {2}, {3}}}},
}

func TestGolden(t *testing.T) {
	for _, g := range golden {
		t.Run(g.name, func(t *testing.T) {
			content, err := g.change.Encode()
			if err != nil {
				t.Fatal(err)
			}
			chat := ChatOf("alice", goldenID)
			got := fmt.Sprintf("%x\n%s\n", content, IDOf(chat, "alice", goldenID, content))
			path := filepath.Join("testdata", g.name+".hex")
			if _, err := os.Stat(path); *update && os.IsNotExist(err) {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil { //nolint:gosec // a file of the repository
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("the encoding or the id changed (-golden +now):\n%s", diff)
			}
			line, _, _ := strings.Cut(string(want), "\n")
			raw, err := hex.DecodeString(line)
			if err != nil {
				t.Fatal(err)
			}
			// A later version may add fields.
			for _, b := range [][]byte{raw, append(bytes.Clone(raw), 0xa2, 0x06, 0x03, 'n', 'e', 'w')} {
				back, err := DecodeChange(b)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(g.change, back); diff != "" {
					t.Errorf("decoded to something else (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestChatOf(t *testing.T) {
	chat := ChatOf("alice", goldenID)
	if _, err := packet.ParseChatID(string(chat)); err != nil || chat.Kind() != packet.Group {
		t.Errorf("chat %q: %v", chat, err)
	}
	if chat != "kzlu7taamfcvc24xsptbxno45u" {
		t.Errorf("the chat is %s: it must never change", chat)
	}
	if chat == ChatOf("bob", goldenID) || chat == ChatOf("alice", packet.PacketID{1}) {
		t.Error("another's group has the same id")
	}
}

func TestBadChanges(t *testing.T) {
	many := func(n int, o Operation) []Operation {
		var all []Operation
		for range n {
			all = append(all, o)
		}
		return all
	}
	up := []ChangeID{{1}}
	for _, c := range []struct {
		name   string
		change Change
		says   string
	}{
		{"nothing", Change{}, "says nothing"},
		{"no create", Change{Operations: []Operation{{Verb: VerbAccept}}}, "create is the first"},
		{"late create", Change{Parents: up, Operations: []Operation{{Verb: VerbCreate, Text: "x", History: HistoryAll}}}, "create is the first"},
		{"two creates", Change{Operations: many(2, Operation{Verb: VerbCreate, Text: "x", History: HistoryAll})}, "create is the first"},
		{"parents out of order", Change{Parents: []ChangeID{{2}, {1}}}, "ascend"},
		{"a parent twice", Change{Parents: []ChangeID{{1}, {1}}}, "ascend"},
		{"empty title", Change{Parents: up, Operations: []Operation{{Verb: VerbSetTitle}}}, "1 to 128"},
		{"long title", Change{Parents: up, Operations: []Operation{{Verb: VerbSetTitle, Text: strings.Repeat("x", MaxTitle+1)}}}, "1 to 128"},
		{"title not UTF-8", Change{Parents: up, Operations: []Operation{{Verb: VerbSetTitle, Text: "caf\xe9"}}}, "UTF-8"},
		{"long description", Change{Parents: up, Operations: []Operation{{Verb: VerbSetDescription, Text: strings.Repeat("x", MaxDescription+1)}}}, "description"},
		{"large picture", Change{Parents: up, Operations: []Operation{{Verb: VerbSetPicture, Picture: make([]byte, MaxPicture+1)}}}, "48 KiB"},
		{"bad user", Change{Parents: up, Operations: []Operation{{Verb: VerbInvite, User: "Bob!"}}}, "user id"},
		{"short key", Change{Parents: up, Operations: []Operation{{Verb: VerbInvite, User: "bob", Keys: [][]byte{{1}}}}}, "key of 1"},
		{"many keys", Change{Parents: up, Operations: []Operation{{Verb: VerbInvite, User: "bob", Keys: make([][]byte, MaxKeys+1)}}}, "keys"},
		{"invited as a role", Change{Parents: up, Operations: []Operation{{Verb: VerbSetRole, User: "bob", Role: RoleInvited}}}, "role"},
		{"later role", Change{Parents: up, Operations: []Operation{{Verb: VerbSetRole, User: "bob", Role: 9}}}, "role"},
		{"later history", Change{Parents: up, Operations: []Operation{{Verb: VerbSetHistory, History: 9}}}, "history"},
		{"many cutoffs", Change{Parents: up, Operations: []Operation{{Verb: VerbLeave, Cutoffs: make([]Cutoff, MaxCutoffs+1)}}}, "cutoffs"},
		{"epoch 0", Change{Parents: up, Operations: []Operation{{Verb: VerbLeave, Cutoffs: []Cutoff{{}}}}}, "counter"},
		{"too large", Change{Parents: up, Operations: []Operation{{Verb: VerbSetPicture, Picture: make([]byte, MaxPicture)}, {Verb: VerbSetPicture, Picture: make([]byte, MaxPicture)}}}, "64 KiB"},
		{"many operations", Change{Parents: up, Operations: many(MaxOperations+1, Operation{Verb: VerbAccept})}, "operations"},
		{"many parents", Change{Parents: ascending(MaxParents + 1)}, "parents"},
	} {
		t.Run(c.name, func(t *testing.T) {
			content, err := c.change.Encode()
			if err == nil {
				_, err = DecodeChange(content)
			}
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v", err)
			}
		})
	}
	for _, b := range []string{"\xff", "\x0a\x01x", "\x12\x04\x22\x02\x12\x00", strings.Repeat("\x12\x02\x1a\x00", MaxOperations+1), strings.Repeat("x", MaxContent+1)} {
		if _, err := DecodeChange([]byte(b)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%.20q: %v", b, err)
		}
	}
}

func ascending(n int) []ChangeID {
	var ids []ChangeID
	for i := range n {
		ids = append(ids, ChangeID{byte(i + 1)})
	}
	return ids
}

// An operation of a later version does nothing, and is not lost.
func TestLaterOperation(t *testing.T) {
	c, err := DecodeChange([]byte("\x0a\x20" + strings.Repeat("p", 32) + "\x12\x03\xa2\x06\x00" + "\x12\x02\x1a\x00"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Operation{{}, {Verb: VerbAccept}}, c.Operations); diff != "" {
		t.Error(diff)
	}
}

// What decodes is within all limits, and encodes to what decodes to the same.
func FuzzDecodeChange(f *testing.F) {
	for _, g := range golden {
		if b, err := g.change.Encode(); err == nil {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := DecodeChange(b)
		if err != nil {
			return
		}
		again, err := c.Encode()
		if errors.Is(err, ErrTooLarge) {
			return // what was left unsaid is written out
		}
		if err != nil {
			t.Fatalf("%+v cannot be encoded: %v", c, err)
		}
		d, err := DecodeChange(again)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c, d); diff != "" {
			t.Fatal(diff)
		}
		g := NewGraph("chat")
		_, _ = g.Add(Signed{Change: c, ID: ChangeID{1}, Author: "alice"}) // must not panic
	})
}

// What others send with control characters is shown without; their makers are told.
func TestControlCharacters(t *testing.T) {
	for _, c := range []struct {
		o    *grouppb.Operation
		want string
	}{
		{&grouppb.Operation{Operation: &grouppb.Operation_SetTitle{SetTitle: &grouppb.SetTitle{Title: []byte("a\nb\x1bc\u2029\u0085")}}}, "a b c  "},
		{&grouppb.Operation{Operation: &grouppb.Operation_SetDescription{SetDescription: &grouppb.SetDescription{Description: []byte("a\n\tb\x00\r")}}}, "a\n\tb  "},
		{&grouppb.Operation{Operation: &grouppb.Operation_SetTitle{SetTitle: &grouppb.SetTitle{Title: []byte("\n")}}}, " "},
	} {
		b, err := proto.Marshal(&grouppb.Change{Parents: [][]byte{make([]byte, 32)}, Operations: []*grouppb.Operation{c.o}})
		if err != nil {
			t.Fatal(err)
		}
		got, err := DecodeChange(b)
		if err != nil || got.Operations[0].Text != c.want {
			t.Errorf("%v gives %+v (%v), want %q", c.o, got.Operations, err, c.want)
		}
	}
	for _, o := range []Operation{{Verb: VerbSetTitle, Text: "a\nb"}, {Verb: VerbSetDescription, Text: "a\x7f"}} {
		if _, err := (Change{Parents: []ChangeID{{}}, Operations: []Operation{o}}).Encode(); !errors.Is(err, ErrControl) {
			t.Errorf("%q: %v", o.Text, err)
		}
	}
}
