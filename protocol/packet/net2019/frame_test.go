package net2019

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf8"

	"github.com/clipperhouse/uax29/v2/graphemes"
	"github.com/google/go-cmp/cmp"

	"github.com/parley-chat/parley/protocol/packet"
)

var pair = Chat{alice, bob}

var update = flag.Bool("update", false, "write testdata/golden.json anew, which only new vectors may change")

// wire puts the length before a frame's text.
func wire(text string) []byte {
	n := len(text)
	return append([]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}, text...)
}

// vectors are the frames whose bytes are known. They are frozen: these are what the
// published client sends and takes.
var vectors = []struct {
	name  string
	frame Frame
	text  string // of the published client, and ours but for names of files
	ours  string // if it differs
}{
	{"text", Frame{Chat: pair, Port: 2333, Kind: Text, Sender: alice, Content: "hello"}, "2017000001-2017000002_2333_0_2017000001_hello_0", ""},
	{"underscores", Frame{Chat: pair, Port: 2333, Kind: Text, Sender: alice, Content: "_a_b__0_"}, "2017000001-2017000002_2333_0_2017000001__a_b__0__0", ""},
	{"no text", Frame{Chat: pair, Port: 2333, Kind: Text, Sender: bob}, "2017000001-2017000002_2333_0_2017000002__0", ""},
	{"Chinese and emoji", Frame{Chat: pair, Port: 65535, Kind: Text, Sender: alice, Content: "你好 👩‍👩‍👧 é\n"}, "2017000001-2017000002_65535_0_2017000001_你好 👩‍👩‍👧 é\n_0", ""},
	{"other ids", Frame{Chat: Chat{"0000000000", "9999999999"}, Port: 2333, Kind: Text, Sender: "0000000000", Content: "x"}, "0000000000-9999999999_2333_0_0000000000_x_0", ""},
	{"image", Frame{Chat: pair, Port: 2333, Kind: Image, Sender: alice, Content: "our cat_1.png", Size: 20971520}, "2017000001-2017000002_2333_1_2017000001_/home/a_b/our cat_1.png_20971520", "2017000001-2017000002_2333_1_2017000001_./our cat_1.png_20971520"},
	{"file of nothing", Frame{Chat: pair, Port: 2333, Kind: File, Sender: alice, Content: "空.txt"}, "2017000001-2017000002_2333_2_2017000001_空.txt_0", "2017000001-2017000002_2333_2_2017000001_./空.txt_0"},
	{"request", Frame{Chat: pair, Port: 2333, Kind: Request, Sender: alice}, "2017000001-2017000002_2333_3_2017000001__0", ""},
	{"group request", Frame{Chat: Chat{alice, bob, "2017000003"}, Port: 2333, Kind: GroupRequest, Sender: bob}, "2017000001-2017000002-2017000003_2333_4_2017000002__0", ""},
	{"accept", Frame{Chat: pair, Port: 2333, Kind: Accept, Sender: bob}, "2017000001-2017000002_2333_5_2017000002__0", ""},
	{"group accept", Frame{Chat: Chat{alice, bob, "2017000003"}, Port: 2333, Kind: GroupAccept, Sender: alice}, "2017000001-2017000002-2017000003_2333_6_2017000001__0", ""},
	{"deleted", Frame{Chat: pair, Port: 2333, Kind: Deleted, Sender: alice}, "2017000001-2017000002_2333_7_2017000001__0", ""},
	{"logged out", Frame{Chat: pair, Port: 2333, Kind: LoggedOut, Sender: alice}, "2017000001-2017000002_2333_8_2017000001__0", ""},
	{"video request", Frame{Chat: pair, Port: 2333, Kind: VideoRequest, Sender: alice}, "2017000001-2017000002_2333_9_2017000001__0", ""},
	{"video answer", Frame{Chat: pair, Port: 2333, Kind: VideoAnswer, Sender: bob, Content: No}, "2017000001-2017000002_2333_10_2017000002_n_0", ""},
}

func TestGoldenFrames(t *testing.T) {
	kinds := map[Kind]bool{}
	for _, v := range vectors {
		t.Run(v.name, func(t *testing.T) {
			kinds[v.frame.Kind] = true
			// Two on one connection, in pieces: each reads itself and nothing more.
			r := iotest.OneByteReader(bytes.NewReader(slices.Concat(wire(v.text), []byte("bytes"), wire(v.text))))
			for range 2 {
				got, err := Read(r)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(v.frame, got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				_, _ = io.CopyN(io.Discard, r, int64(len("bytes")))
			}
			ours := v.ours
			if ours == "" {
				ours = v.text
			}
			b, err := v.frame.Append([]byte("before"))
			if want := append([]byte("before"), wire(ours)...); err != nil || !bytes.Equal(b, want) {
				t.Errorf("sent as %q, %v; want %q", b, err, want)
			}
		})
	}
	for kind := Text; kind <= VideoAnswer; kind++ {
		if !kinds[kind] {
			t.Errorf("no vector of kind %d", kind)
		}
	}
}

// TestGoldenFile keeps the vectors where other implementations find them.
func TestGoldenFile(t *testing.T) {
	type golden struct {
		Name    string `json:"name"`
		Chat    string `json:"chat"`
		Port    uint16 `json:"port"`
		Kind    Kind   `json:"kind"`
		Sender  ID     `json:"sender"`
		Content string `json:"content"`
		Size    uint64 `json:"size"`
		Text    string `json:"text"`
		Sent    string `json:"sent"` // hex
	}
	var all []golden
	for _, v := range vectors {
		b, err := v.frame.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		f := v.frame
		all = append(all, golden{v.name, f.Chat.String(), f.Port, f.Kind, f.Sender, f.Content, f.Size, v.text, hex.EncodeToString(b)})
	}
	got, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	const path = "testdata/golden.json"
	if *update {
		if err := os.WriteFile(path, append(got, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (a new vector is written by: go test ./protocol/packet/net2019 -update)", err)
	}
	if diff := cmp.Diff(string(want), string(got)+"\n"); diff != "" {
		t.Errorf("the wire changed, and the published client will not change (-golden +now):\n%s", diff)
	}
}

func TestMalformedFrames(t *testing.T) {
	for _, text := range []string{
		"", "_", "_____", "hello", "2017000001-2017000002_2333_0_2017000001_0", // five fields, as in the report
		"2017000001_2333_0_2017000001_x_0",                                  // one person
		"2017000002-2017000001_2333_0_2017000001_x_0",                       // descending
		"2017000001-2017000001_2333_0_2017000001_x_0",                       // twice the same
		"2017000001-201700000_2333_0_2017000001_x_0",                        // a short id
		"2017000001-20170000021_2333_0_2017000001_x_0",                      // a long id
		"2017000001-201700000a_2333_0_2017000001_x_0",                       // a letter
		"2017000001-2017000002_2333_0_2017000003_x_0",                       // the sender is somebody else
		"2017000001-2017000002_2333_0_201700001_xy_0",                       // a short sender
		"2017000001-2017000002_0_0_2017000001_x_0",                          // no port
		"2017000001-2017000002_65536_0_2017000001_x_0",                      // no port either
		"2017000001-2017000002_-1_0_2017000001_x_0",                         //
		"2017000001-2017000002_+2333_0_2017000001_x_0",                      //
		"2017000001-2017000002_2333_11_2017000001_x_0",                      // no kind
		"2017000001-2017000002_2333_x_2017000001_x_0",                       //
		"2017000001-2017000002_2333__2017000001_x_0",                        //
		"2017000001-2017000002_2333_2_2017000001_x_",                        // no size
		"2017000001-2017000002_2333_2_2017000001_x_-5",                      //
		"2017000001-2017000002_2333_2_2017000001_x_17592186044417",          // above 16 TiB
		"2017000001-2017000002_2333_2_2017000001_x_99999999999999999999999", //
		"2017000001-2017000002_2333_0_2017000001_\xff_0",                    // not UTF-8
		"\x80\x04\x95", // a pickle
		strings.Repeat("1", 10) + strings.Repeat("-2017000002", 5000) + "_2333_0_x_x_0", // endless chat
		"2017000001-2017000002-2017000003-2017000004-2017000005-2017000006-2017000007-" + // eleven people
			"2017000008-2017000009-2017000010-2017000011_2333_4_2017000001__0",
	} {
		if f, err := Decode([]byte(text)); !errors.Is(err, packet.ErrMalformed) && !errors.Is(err, packet.ErrTooLarge) {
			t.Errorf("%.100q: %+v, %v", text, f, err)
		}
	}
}

func TestReadBounds(t *testing.T) {
	// 4 GiB: refused before anything is allocated or read for it.
	r := bytes.NewReader(append([]byte{0xff, 0xff, 0xff, 0xff}, make([]byte, 100)...))
	if _, err := Read(r); !errors.Is(err, packet.ErrTooLarge) || r.Len() != 100 {
		t.Errorf("4 GiB: %v, %d bytes left", err, r.Len())
	}
	long := Frame{Chat: pair, Port: 2333, Sender: alice, Content: strings.Repeat("长", 20_000)}
	text := long.head() + long.Content + "_0"
	if f, err := Read(bytes.NewReader(wire(text))); err != nil || f.Content != long.Content {
		t.Errorf("a long text of the published client's: %v", err)
	}
	if _, err := Read(bytes.NewReader(wire(long.head() + strings.Repeat("x", MaxFrame) + "_0"))); !errors.Is(err, packet.ErrTooLarge) {
		t.Errorf("too long: %v", err)
	}
	for cut := range len(text[:60]) {
		_, err := Read(bytes.NewReader(wire(text)[:cut]))
		if want := cut == 0; errors.Is(err, io.EOF) != want || !want && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("ends after %d bytes: %v", cut, err)
		}
	}
}

// Some program may count a text behind it; no bytes follow.
func TestSizeOfText(t *testing.T) {
	f, err := Decode([]byte("2017000001-2017000002_2333_0_2017000001_hello_5"))
	if err != nil || f.Content != "hello" || f.Size != 0 {
		t.Errorf("%+v, %v", f, err)
	}
}

func TestWhatIsNotSent(t *testing.T) {
	good := Frame{Chat: pair, Port: 2333, Kind: File, Sender: alice, Content: "x", Size: 1}
	for name, change := range map[string]func(*Frame){
		"no chat":       func(f *Frame) { f.Chat = nil },
		"no port":       func(f *Frame) { f.Port = 0 },
		"no such kind":  func(f *Frame) { f.Kind = 11 },
		"a stranger":    func(f *Frame) { f.Sender = "2017000009" },
		"no UTF-8":      func(f *Frame) { f.Content = "\xff" },
		"a path":        func(f *Frame) { f.Content = "a/b" },
		"no name":       func(f *Frame) { f.Content = "" },
		"size of text":  func(f *Frame) { f.Kind = Text },
		"too many":      func(f *Frame) { f.Size = packet.MaxBlob + 1 },
		"a long answer": func(f *Frame) { f.Kind, f.Size, f.Content = VideoAnswer, 0, strings.Repeat("y", MaxSent) },
	} {
		f := good
		change(&f)
		if b, err := f.Append([]byte("before")); err == nil || string(b) != "before" {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
}

func TestSafeName(t *testing.T) {
	for sent, want := range map[string]string{
		"":                                 "file",
		"./cat.png":                        "cat.png",
		"/home/a/cat.png":                  "cat.png",
		`C:\Users\a\cat.png`:               "cat.png",
		"cat.png":                          "cat.png",
		"..":                               "file",
		"../../etc/passwd":                 "passwd",
		"../..":                            "file",
		"a/":                               "file",
		"/":                                "file",
		`..\..\x`:                          "x",
		"...":                              "file",
		".bashrc":                          ".bashrc",
		"/x/\u3000a b\u3000":               "a b",
		"a\x00b\nc\x1b[31m":                "abc[31m",
		"exe.\u202egnp":                    "exe.gnp",
		"\u200b":                           "file",
		"👩‍👧.png":                          "👩‍👧.png",
		"图片_1.png":                         "图片_1.png",
		"\xff\xfe":                         "file",
		strings.Repeat("长", 100) + ".jpeg": strings.Repeat("长", 83) + ".jpeg",
		strings.Repeat("x", 300):           strings.Repeat("x", 255),
		"x." + strings.Repeat("y", 300):    "x." + strings.Repeat("y", 253),
	} {
		if got := SafeName(sent); got != want {
			t.Errorf("%.60q is %.60q, want %.60q", sent, got, want)
		}
	}
}

func TestSplit(t *testing.T) {
	everybody, err := NewChat("2017000010", "2017000009", "2017000008", "2017000007", "2017000006", "2017000005", "2017000004", "2017000003", bob, alice)
	if err != nil {
		t.Fatal(err)
	}
	family := "👩‍👩‍👧‍👦"
	for name, test := range map[string]struct {
		text      string
		graphemes bool // no character is cut
		words     bool // no word is cut
	}{
		"short":       {"hello", true, true},
		"empty":       {"", true, true},
		"words":       {strings.Repeat("some words_with_all\n", 1000), true, true},
		"one word":    {strings.Repeat("x", 10_000), true, false},
		"Chinese":     {strings.Repeat("你好", 5000), true, false},
		"emoji":       {strings.Repeat(family, 500), true, false},
		"flags":       {strings.Repeat("🇨🇳🇩🇪", 500), true, false},
		"lines":       {strings.Repeat("你好吗\r\n", 1000), true, true},
		"Zalgo":       {"a" + strings.Repeat("\u0301", 5000), false, false},
		"as it comes": {strings.Repeat("a\u0301 "+family+"x\u3000", 500), true, true},
	} {
		t.Run(name, func(t *testing.T) {
			f := Frame{Chat: everybody, Port: 65535, Kind: Text, Sender: alice, Content: test.text}
			var all strings.Builder
			parts := f.Split()
			for i, part := range parts {
				b, err := part.Append(nil)
				if err != nil || len(b) > 1400 {
					t.Fatalf("part %d has %d bytes: %v", i, len(b), err)
				}
				if i < len(parts)-1 && test.words && strings.TrimSpace(part.Content[len(part.Content)-1:]) != "" && !strings.HasSuffix(part.Content, "\u3000") {
					t.Errorf("part %d ends within a word: %q", i, part.Content[len(part.Content)-20:])
				}
				all.WriteString(part.Content)
			}
			if all.String() != test.text {
				t.Error("together they are another text")
			}
			if least := len(test.text)/1260 + 1; len(parts) > 2*least {
				t.Errorf("%d parts, where %d are enough", len(parts), least)
			}
			if test.graphemes {
				checkBorders(t, test.text, parts)
			}
		})
	}
	file := Frame{Chat: pair, Port: 2333, Kind: File, Sender: alice, Content: "x", Size: 1 << 30}
	if got := file.Split(); len(got) != 1 {
		t.Errorf("a file in %d frames", len(got))
	}
}

// checkBorders: every part ends where a character of the whole text does.
func checkBorders(t *testing.T, text string, parts []Frame) {
	t.Helper()
	ends := map[int]bool{0: true}
	for it := graphemes.FromString(text); it.Next(); {
		ends[it.End()] = true
	}
	at := 0
	for i, part := range parts {
		if at += len(part.Content); !ends[at] {
			t.Errorf("part %d ends within a character", i)
		}
	}
}

func TestPackets(t *testing.T) {
	h := packet.Header{ID: packet.NewPacketID(), Epoch: 1, Number: 1, Depth: 1, SentAt: time.Now().UnixMicro(), Delivery: packet.Reliable}
	for _, v := range vectors {
		p, err := v.frame.Packet(h)
		if err != nil {
			t.Errorf("%s: %v", v.name, err)
			continue
		}
		if p.Header.Author != packet.UserID(v.frame.Sender.Name()) || p.Header.Chat.Kind() != packet.Net2019 || p.Header.Type != v.frame.Kind.Type() {
			t.Errorf("%s: %+v", v.name, p.Header)
		}
		if p, err = packet.Open(p.Raw, nil, p.Content); err != nil {
			t.Errorf("%s: %v", v.name, err)
		}
		back, err := FrameOf(&p, v.frame.Port)
		want := v.frame
		if want.Kind == Deleted {
			want.Kind = LoggedOut
		}
		if diff := cmp.Diff(want, back); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", v.name, err, diff)
		}
	}
	native, err := packet.Seal(packet.Header{
		ID: packet.NewPacketID(), Chat: "alice-bob", Type: "text", Author: "alice", Epoch: 1, Number: 1, Depth: 1, Delivery: packet.Reliable,
	}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := FrameOf(&native, 2333); !errors.Is(err, packet.ErrMalformed) {
		t.Errorf("a native packet: %v", err)
	}
	native.Header.Chat, native.Header.Type = pair.ID(), "text.edit"
	if _, err := FrameOf(&native, 2333); !errors.Is(err, packet.ErrMalformed) || !strings.Contains(err.Error(), "text.edit") {
		t.Errorf("an edit: %v", err)
	}
	native.Header.Type, native.Header.Author = "text", "alice"
	if _, err := FrameOf(&native, 2333); !errors.Is(err, packet.ErrMalformed) {
		t.Errorf("by a native user: %v", err)
	}
}

func TestNames(t *testing.T) {
	if got, err := ParseName(alice.Name()); err != nil || got != alice || !IsName(alice.Name()) {
		t.Errorf("%q, %v", got, err)
	}
	for _, s := range []string{"", "alice", "2017000001", "net2019:", "net2019:201700001", "net2019:20170000012", "net2019:201700000a", "NET2019:2017000001"} {
		if id, err := ParseName(s); !errors.Is(err, packet.ErrMalformed) {
			t.Errorf("%q is %q, %v", s, id, err)
		}
	}
	chat, err := NewChat(bob, alice, bob)
	if err != nil || chat.ID() != "net2019:2017000001-2017000002" || chat.Group() {
		t.Errorf("%s, %v", chat.ID(), err)
	}
	if _, err := packet.ParseChatID(string(chat.ID())); err != nil {
		t.Error(err)
	}
	if _, err := NewChat(alice, alice); !errors.Is(err, packet.ErrMalformed) {
		t.Errorf("alone: %v", err)
	}
	if back, err := ParseChatID(chat.ID()); err != nil || !slices.Equal(back, chat) {
		t.Errorf("%v, %v", back, err)
	}
}

func TestParseWhere(t *testing.T) {
	for s, want := range map[string]string{
		"n": "invalid AddrPort", "192.0.2.1_2333": "192.0.2.1:2333", "192.0.2.1": "192.0.2.1:2333", "192.0.2.1_65535": "192.0.2.1:65535", "2001:db8::1_2334": "[2001:db8::1]:2334",
		"::ffff:192.0.2.1": "192.0.2.1:2333",
	} {
		where, online, err := ParseWhere(s)
		if err != nil || where.String() != want || online != where.IsValid() {
			t.Errorf("%q: %s %v %v", s, where, online, err)
		}
		if online && s[0] == '1' {
			if again := string(AppendWhere(nil, where, !strings.Contains(s, "_"))); again != s {
				t.Errorf("%q again is %q", s, again)
			}
		}
	}
	for _, s := range []string{
		"", "Invalid Command!", "lol", "192.0.2.1_", "192.0.2.1_0", "192.0.2.1_22", "192.0.2.1_3306", "192.0.2.1_65536", "192.0.2.1_x", "0.0.0.0", "224.0.0.1",
		"localhost_2333", "fe80::1%eth0", "192.0.2.1_2333n", "192.0.2.1:2333", strings.Repeat("1", 10_000),
	} {
		if where, _, err := ParseWhere(s); !errors.Is(err, packet.ErrMalformed) && !errors.Is(err, packet.ErrTooLarge) {
			t.Errorf("%.40q is %s, %v", s, where, err)
		}
	}
}

// FuzzDecode: what is decoded is well-formed, and can be sent on if it is short.
func FuzzDecode(f *testing.F) {
	for _, v := range vectors {
		f.Add([]byte(v.text))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		frame, err := Decode(b)
		if err != nil {
			if !errors.Is(err, packet.ErrMalformed) && !errors.Is(err, packet.ErrTooLarge) {
				t.Fatalf("error of no kind: %v", err)
			}
			return
		}
		if frame.Kind.HasBytes() && frame.Content != SafeName(frame.Content) {
			t.Fatalf("name %q", frame.Content)
		}
		var all strings.Builder
		for _, part := range frame.Split() {
			b, err := part.Append(nil)
			if err != nil && (frame.Kind == Text || len(frame.Content) < 1000) {
				t.Fatalf("decoded to %+v, which cannot be sent: %v", frame, err)
			} else if err != nil {
				return
			}
			again, err := Read(bytes.NewReader(b))
			if err != nil {
				t.Fatalf("decoded to %+v, which the next one refuses: %v", frame, err)
			}
			all.WriteString(again.Content)
			again.Content = part.Content
			if diff := cmp.Diff(part, again); diff != "" {
				t.Fatalf("(-sent +read):\n%s", diff)
			}
		}
		if all.String() != frame.Content {
			t.Fatalf("%q became %q", frame.Content, all.String())
		}
	})
}

// FuzzSafeName: a name never leads anywhere, and stays what it is.
func FuzzSafeName(f *testing.F) {
	for _, s := range []string{"../../x", `..\x`, "a\x00", "…", " . ", strings.Repeat("长", 200) + ". txt", "\u202e"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name := SafeName(s)
		if name == "" || name == "." || name == ".." || len(name) > 255 || strings.ContainsAny(name, "/\\\x00\n") || !utf8.ValidString(name) {
			t.Fatalf("%q became %q", s, name)
		}
		if again := SafeName(name); again != name {
			t.Fatalf("%q became %q and then %q", s, name, again)
		}
	})
}

// FuzzParseWhere: nobody is led to where nobody can be.
func FuzzParseWhere(f *testing.F) {
	for _, s := range []string{"n", "192.0.2.1_2333", "::1", "192.0.2.1_3306", "100"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		where, online, err := ParseWhere(s)
		if err == nil && online && (CheckPort(where.Port()) != nil || where.Addr().IsUnspecified() || where.Addr().Zone() != "") {
			t.Fatalf("%q is %s", s, where)
		}
	})
}

func ExampleFrame_Append() {
	f := Frame{Chat: Chat{"2017000001", "2017000002"}, Port: 2333, Kind: Text, Sender: "2017000001", Content: "hi_there"}
	b, _ := f.Append(nil)
	fmt.Printf("%x %s\n", b[:4], b[4:])
	// Output: 00000032 2017000001-2017000002_2333_0_2017000001_hi_there_0
}
