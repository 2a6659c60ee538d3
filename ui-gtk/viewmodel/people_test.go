package viewmodel

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	goqr "github.com/piglig/go-qr"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/parley-chat/parley/protocol/controlpb"
)

func TestLinks(t *testing.T) {
	if l := PersonLink("bob", "chat.example.org:7443"); l != "parley:bob?directory=chat.example.org:7443" {
		t.Errorf("the link is %s", l)
	}
	for _, test := range []struct {
		link, user, directory string
		bad                   bool
	}{
		{link: "parley:bob?directory=chat.example.org%3A7443", user: "bob", directory: "chat.example.org:7443"},
		{link: " PARLEY:bob\n", user: "bob"},
		{link: "parley://bob?directory=%5B::1%5D:7443", user: "bob", directory: "[::1]:7443"},
		{link: "parley:Bob", bad: true},
		{link: "parley:", bad: true},
		{link: "parley:../../etc/passwd", bad: true},
		{link: "parley:b\u202eob", bad: true},
		{link: "parley:" + strings.Repeat("b", 65), bad: true},
		{link: "parley:bob?directory=" + strings.Repeat("x", 600), bad: true},
		{link: "https://example.org/bob", bad: true},
		{link: "bob", bad: true},
		{link: "", bad: true},
	} {
		user, directory, err := ParseLink(test.link)
		if (err != nil) != test.bad || user != test.user || directory != test.directory {
			t.Errorf("%.60q: %q %q %v", test.link, user, directory, err)
		}
	}
}

// TestAddContact: what is wrong is said where it is, and what worked is explained.
func TestAddContact(t *testing.T) {
	for _, test := range []struct {
		name, who, greeting string
		refuse              error
		known               controlpb.ContactState
		want                AddState
		asked               string // the user that the core is asked for
	}{
		{name: "nobody", who: " ", want: AddState{UserProblem: "Write the user id of the person, or paste their link."}},
		{name: "oneself", who: "alice", want: AddState{UserProblem: "This is yourself. Write the user id of somebody else."}},
		{name: "hostile", who: "b\u202eob", want: AddState{UserProblem: "A user id has 1 to 64 of the characters a-z, 0-9, “.” and “_”, and starts with a letter or digit."}},
		{name: "broken link", who: "parley:?", want: AddState{UserProblem: "This is not a link to somebody. One looks like parley:bob"}},
		{name: "long greeting", who: "bob", greeting: strings.Repeat("好", 334), want: AddState{GreetingProblem: "The greeting is too long. Shorten it."}},
		{name: "good", who: " @Bob ", asked: "bob", want: AddState{User: "bob", Done: "bob was asked. The chat opens here once the answer is yes."}},
		{name: "good link", who: "parley:bob?directory=here:1", asked: "bob", want: AddState{User: "bob", Done: "bob was asked. The chat opens here once the answer is yes."}},
		{
			name: "had asked", who: "bob", asked: "bob", known: controlpb.ContactState_CONTACT_STATE_INCOMING,
			want: AddState{User: "bob", Done: "bob had asked you too: you are contacts now."},
		},
		{
			name: "unknown", who: "bob", asked: "bob", refuse: status.Error(codes.NotFound, "x"),
			want: AddState{UserProblem: "The directory has no user “bob”. Check the spelling."},
		},
		{
			name: "link to elsewhere", who: "parley:bob?directory=there:1", asked: "bob", refuse: status.Error(codes.NotFound, "x"),
			want: AddState{UserProblem: "Your directory here:1 has no user “bob”. The link is for another one: there:1"},
		},
		{
			name: "contact already", who: "bob", asked: "bob", refuse: withReason(codes.AlreadyExists, "IS_CONTACT", "Bob is a contact already", "user", "bob"),
			want: AddState{UserProblem: "bob is a contact already."},
		},
		{name: "no directory", who: "bob", asked: "bob", refuse: status.Error(codes.Unavailable, "the directory is away"), want: AddState{Problem: "the directory is away"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			core := newFakeCore()
			core.refuse, core.status.Directory = test.refuse, &controlpb.DirectoryStatus{Address: "here:1"}
			if test.known != 0 {
				core.contacts = []*controlpb.Contact{{User: "bob", State: test.known}}
			}
			w := openWindow(t, core)
			a := w.session.NewAddContact()
			a.Ask(test.who, test.greeting)
			if test.asked != "" && !a.State.Get().Busy {
				t.Error("it is not busy while asking")
			}
			a.Ask("twice", "") // of a double click
			w.until("it is answered", func() bool { return !a.State.Get().Busy })
			asked := taken[*controlpb.RequestContactRequest](core)
			if test.asked == "" {
				return
			}
			if s := a.State.Get(); s != test.want {
				t.Errorf("%+v, want %+v", s, test.want)
			}
			if len(asked) != 1 || asked[0].GetUser() != test.asked {
				t.Errorf("the core was asked %v", asked)
			}
			if a.Typed(); a.State.Get() != (AddState{}) {
				t.Errorf("after typing: %+v", a.State.Get())
			}
		})
		if test.asked == "" {
			core := newFakeCore()
			w := openWindow(t, core)
			a := w.session.NewAddContact()
			if a.Ask(test.who, test.greeting); a.State.Get() != test.want {
				t.Errorf("%s: %+v, want %+v", test.name, a.State.Get(), test.want)
			}
		}
	}
}

// TestPersonFollows: the page shows what changes, of that person alone.
func TestPersonFollows(t *testing.T) {
	core := newFakeCore()
	bob := &controlpb.Contact{
		User: "bob", Name: "Bobby", Nickname: "Bobby", DisplayName: "Bob\u202e", State: controlpb.ContactState_CONTACT_STATE_CONTACT,
		Online: true, Path: "relay", Chat: "b", SafetyNumber: "11111 22222",
	}
	core.contacts = []*controlpb.Contact{bob}
	core.chats = []*controlpb.Chat{chatOf("b", "bob", 1, "hi")}
	w := openWindow(t, core)
	p := w.session.OpenPerson("bob")
	times := -1
	p.View.Observe(func(PersonView) { times++ })
	v := p.View.Get()
	if v.Name != "Bobby" || v.DisplayName != "Bob\uFFFD" || v.Standing != "online" || v.Muted || strings.Join(v.Safety, "|") != "11111|22222" ||
		v.Path != "Through the directory's relay, which cannot read them" {
		t.Errorf("%+v", v)
	}
	muted := chatOf("b", "bob", 1, "hi")
	muted.Muted = true
	changed := &controlpb.Contact{User: "bob", Name: "Bob", State: controlpb.ContactState_CONTACT_STATE_CONTACT, Chat: "b", KeyChanged: true, NewSafetyNumber: "33333", Trouble: "no\nport"}
	core.tell(nil, &controlpb.Event{Event: &controlpb.Event_Chat{Chat: muted}}, &controlpb.Event{Event: &controlpb.Event_Contact{Contact: changed}},
		&controlpb.Event{Event: &controlpb.Event_Contact{Contact: &controlpb.Contact{User: "carol"}}})
	w.until("it is followed", func() bool {
		v := p.View.Get()
		return v.Muted && v.KeyChanged && v.NewSafety[0] == "33333" && v.Trouble == "no port" && v.Standing == "offline"
	})
	p.Close()
	times = 0
	core.tell(nil, &controlpb.Event{Event: &controlpb.Event_ContactRemoved{ContactRemoved: "bob"}})
	w.until("he is gone", func() bool { return w.session.Contacts.Get("bob") == nil })
	if times != 0 {
		t.Error("a page that is closed still follows")
	}
	if v := w.session.OpenPerson("bob").View.Get(); v.Known || v.Name != "bob" || v.Standing != "not a contact" {
		t.Errorf("a stranger: %+v", v)
	}
}

func TestOwnPage(t *testing.T) {
	core := newFakeCore()
	core.status.Directory, core.status.Device = &controlpb.DirectoryStatus{Address: "here:1"}, "abcd"
	w := openWindow(t, core)
	v := w.session.OpenPerson("alice").View.Get()
	if !v.Self || v.Name != "Alice" || v.Link != "parley:alice?directory=here:1" || v.Device != "abcd" {
		t.Errorf("%+v", v)
	}
	w.session.cfg.Reachable = func(address string) string { return "there for " + address }
	if link := w.session.OwnLink(); link != "parley:alice?directory=there+for+here:1" {
		t.Errorf("others are given %s", link)
	}
	problem := "?"
	w.session.SetDisplayName(" Alice B. ", func(s string) { problem = s })
	w.until("the name is set", func() bool { return problem == "" })
	core.tell(func() { core.refuse = status.Error(codes.InvalidArgument, "shorten it") })
	w.session.OpenPerson("bob").Rename("x", func(s string) { problem = s })
	w.until("what is wrong is said", func() bool { return problem == "shorten it" })
	if set := taken[*controlpb.SetProfileRequest](core); len(set) != 1 || set[0].GetDisplayName() != "Alice B." || set[0].GetSetAvatar() {
		t.Errorf("the core was asked %v", set)
	}
}

// TestPersonRequests: what a person asks for reaches the core as it is meant.
func TestPersonRequests(t *testing.T) {
	core := newFakeCore()
	w := openWindow(t, core)
	c := w.session.Contacts
	c.Answer("a", false)
	c.Remove("b", true)
	c.Block("c", true)
	c.Verify("d", true)
	c.AcceptKeys("e", "123")
	w.until("all came", func() bool { core.mu.Lock(); defer core.mu.Unlock(); return len(core.asked) == 5 })
	if r := taken[*controlpb.RemoveContactRequest](core); len(r) != 1 || r[0].GetUser() != "b" || !r[0].GetEraseHistory() {
		t.Errorf("%v", r)
	}
	for _, r := range taken[*controlpb.TrustContactRequest](core) {
		switch r.GetUser() {
		case "d":
			if !r.GetSetVerified() || !r.GetVerified() || r.GetNewSafetyNumber() != "" {
				t.Errorf("%v", r)
			}
		case "e":
			if r.GetSetVerified() || r.GetNewSafetyNumber() != "123" {
				t.Errorf("%v", r)
			}
		}
	}
}

// noise is a picture that no coding makes small; its upper left quarter is red.
func noise(width, height int) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	x := uint32(1)
	for i := range img.Pix {
		x = x*1664525 + 1013904223
		img.Pix[i] = byte(x >> 24)
		if i%4 == 3 {
			img.Pix[i] = 255
		}
	}
	for y := range height / 2 {
		for x := range width / 2 {
			img.SetRGBA(x, y, color.RGBA{255, 0, 0, 255})
		}
	}
	return img
}

// TestSetAvatar: of any picture becomes an upright square that the core takes.
func TestSetAvatar(t *testing.T) {
	var plain, huge bytes.Buffer
	if err := png.Encode(&plain, noise(900, 600)); err != nil {
		t.Fatal(err)
	}
	if err := jpeg.Encode(&huge, noise(64, 64), nil); err != nil {
		t.Fatal(err)
	}
	turned := append([]byte{0xff, 0xd8}, exifBlock(6)...)
	turned = append(turned, huge.Bytes()[2:]...)
	bomb := bombOf(t, 8200)
	for _, test := range []struct {
		name string
		file []byte
		red  image.Point // in which quarter it is red
		bad  bool
	}{
		{name: "png", file: plain.Bytes(), red: image.Pt(0, 0)},
		{name: "turned jpeg", file: turned, red: image.Pt(1, 0)},
		{name: "bomb", file: bomb, bad: true},
		{name: "text", file: []byte("no picture"), bad: true},
		{name: "empty", bad: true},
		{name: "cut off", file: plain.Bytes()[:1000], bad: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			core := newFakeCore()
			w := openWindow(t, core)
			path := filepath.Join(t.TempDir(), "me")
			if err := os.WriteFile(path, test.file, 0o600); err != nil {
				t.Fatal(err)
			}
			problem := "?"
			w.session.SetAvatar(path, func(s string) { problem = s })
			w.until("it is answered", func() bool { return problem != "?" })
			set := taken[*controlpb.SetProfileRequest](core)
			if test.bad {
				if len(set) != 0 || !strings.HasPrefix(problem, "This file cannot be used") {
					t.Errorf("%q, the core got %d", problem, len(set))
				}
				return
			}
			if problem != "" || len(set) != 1 || !set[0].GetSetAvatar() || set[0].GetSetDisplayName() {
				t.Fatalf("%q; the core got %v", problem, set)
			}
			img, err := jpeg.Decode(bytes.NewReader(set[0].GetAvatar()))
			if err != nil || img.Bounds() != image.Rect(0, 0, avatarSide, avatarSide) || len(set[0].GetAvatar()) > maxAvatar {
				t.Fatalf("%d bytes, %v", len(set[0].GetAvatar()), err)
			}
			r, g, b, _ := img.At(64+128*test.red.X, 64+128*test.red.Y).RGBA()
			if r < 0xc000 || g > 0x4000 || b > 0x4000 {
				t.Errorf("the quarter that should be red is %x %x %x", r>>8, g>>8, b>>8)
			}
		})
	}
	core := newFakeCore()
	w := openWindow(t, core)
	problem := "?"
	w.session.SetAvatar("", func(s string) { problem = s })
	w.until("it is removed", func() bool { return problem == "" })
	if set := taken[*controlpb.SetProfileRequest](core); len(set) != 1 || !set[0].GetSetAvatar() || len(set[0].GetAvatar()) != 0 {
		t.Errorf("to remove it the core got %v", set)
	}
	w.session.SetAvatar(filepath.Join(t.TempDir(), "missing"), func(s string) { problem = s })
	w.until("a missing file is said", func() bool { return problem != "" })
}

// bombOf is a picture of few bytes and many pixels, which is sound.
func bombOf(t *testing.T, side int) []byte {
	t.Helper()
	var b bytes.Buffer
	e := png.Encoder{CompressionLevel: png.BestCompression}
	if err := e.Encode(&b, image.NewPaletted(image.Rect(0, 0, side, side), color.Palette{color.Black, color.White})); err != nil {
		t.Fatal(err)
	}
	if b.Len() > maxAvatar {
		t.Fatalf("the bomb has %d bytes", b.Len())
	}
	return b.Bytes()
}

// exifBlock is a JPEG's block that says which way up it is.
func exifBlock(orientation byte) []byte {
	tiff := []byte{'M', 'M', 0, 42, 0, 0, 0, 8, 0, 1, 0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, orientation, 0, 0, 0, 0, 0, 0}
	body := append([]byte("Exif\x00\x00"), tiff...)
	return append([]byte{0xff, 0xe1, 0, byte(len(body) + 2)}, body...)
}

// TestAvatarsAreDecodedOnce, and what is no picture is none.
func TestAvatarsAreDecodedOnce(t *testing.T) {
	w := openWindow(t, newFakeCore())
	var small bytes.Buffer
	if err := png.Encode(&small, noise(40, 20)); err != nil {
		t.Fatal(err)
	}
	var shown []*image.RGBA
	show := func(img *image.RGBA) { shown = append(shown, img) }
	a := w.session.Avatars
	a.Show(small.Bytes(), 44, show)
	a.Show(small.Bytes(), 44, show)
	w.until("both are shown", func() bool { return len(shown) == 2 })
	a.Show(small.Bytes(), 44, show)
	if len(shown) != 3 || shown[0] != shown[1] || shown[1] != shown[2] || shown[0].Bounds() != image.Rect(0, 0, 44, 44) {
		t.Errorf("%d are shown", len(shown))
	}
	bomb := bombOf(t, 2100)
	for _, bad := range [][]byte{bomb, nil, []byte("x"), make([]byte, maxAvatar+1)} {
		a.Show(bad, 44, func(*image.RGBA) { t.Error("what is no picture is shown") })
	}
	w.until("all are looked at", func() bool { return len(a.waiting) == 0 })
}

func TestAvatarsAreNotKeptForever(t *testing.T) {
	a := newAvatars(NewSession(Config{Loop: NewQueue(func() {})}))
	for i := range 3 * keptAvatars {
		a.decoded(avatarKey{picture: uint64(i)}, nil)
	}
	if len(a.kept) != keptAvatars || len(a.order) != keptAvatars {
		t.Errorf("%d are kept", len(a.kept))
	}
}

// TestQR: another reader reads what was drawn.
func TestQR(t *testing.T) {
	for _, text := range []string{"parley:bob?directory=chat.example.org%3A7443", strings.Repeat("12345", 12)} {
		img, err := QR(text, 200)
		if err != nil {
			t.Fatal(err)
		}
		got, err := goqr.Decode(img)
		if err != nil || got != text {
			t.Errorf("%q reads as %q, %v", text, got, err)
		}
		if n := img.Bounds().Dx(); n > 200 || n < 120 {
			t.Errorf("%d pixels", n)
		}
	}
	if _, err := QR(strings.Repeat("x", 5000), 200); err == nil {
		t.Error("5000 bytes fit into a QR code")
	}
}
