package roster

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/directorypb"
	"github.com/parley-chat/parley/protocol/packet"
)

var png = append([]byte("\x89PNG\r\n\x1a\n"), make([]byte, 100)...)

func (n *node) lastSeen(user packet.UserID) int64 {
	n.t.Helper()
	var seen int64
	n.must(n.store.View(n.t.Context(), func(tx store.ReadTx) error {
		c, err := tx.Contact(user)
		seen = c.LastSeen
		return err
	}))
	return seen
}

func TestPresence(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		alice, bob := w.join("alice"), w.join("bob")
		w.friends(alice, bob)
		want := func(when string, online, linked bool) {
			t.Helper()
			if c := alice.contact("bob"); c.GetOnline() != online || c.GetLinked() != linked || (c.GetPath() == "lan") != linked {
				t.Errorf("%s: online %v, linked %v by %q", when, c.GetOnline(), c.GetLinked(), c.GetPath())
			}
		}
		want("at first", true, false)
		link := alice.linkUp(bob)
		want("linked", true, true)
		alice.disconnect()
		want("linked, directory gone", true, true)
		if alice.lastSeen("bob") != 0 {
			t.Error("seen last, and still there")
		}
		time.Sleep(time.Minute)
		changes := bus.Subscribe(alice.bus, bus.ContactChanged, 10)
		defer changes.Close()
		bus.Publish(alice.bus, bus.LinkDown, link)
		synctest.Wait()
		want("link gone, directory gone", false, false)
		if _, ok := changes.TryNext(); !ok {
			t.Error("nobody was told")
		}
		if got := alice.lastSeen("bob"); got != time.Now().UnixMicro() {
			t.Errorf("seen last %d, want %d", got, time.Now().UnixMicro())
		}
		alice.connect()
		want("directory back", true, false)
		time.Sleep(time.Minute)
		bob.disconnect()
		want("bob gone", false, false)
		if got := alice.lastSeen("bob"); got != time.Now().UnixMicro() {
			t.Errorf("seen last %d, want %d", got, time.Now().UnixMicro())
		}
		bob.connect()
		time.Sleep(time.Minute)
		alice.disconnect()
		want("directory gone", false, false)
		if got := alice.lastSeen("bob"); got != time.Now().UnixMicro() {
			t.Errorf("seen last %d, want %d", got, time.Now().UnixMicro())
		}
	})
}

func TestLinksOfBefore(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		alice, bob := w.join("alice"), w.join("bob")
		w.friends(alice, bob)
		l := bus.Link{ID: 9, User: "bob", Device: bob.id.Device(), Key: bob.id.Key(), Path: "direct"}
		alice.links.up = []bus.Link{l}
		alice.roster.resync() // as Serve does at its start
		if c := alice.contact("bob"); !c.GetLinked() || c.GetPath() != "direct" {
			t.Errorf("contact %v", c)
		}
	})
}

func TestStrangersPresence(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		alice, bob := w.join("alice"), w.join("bob")
		bob.request("alice", "hello") // INCOMING: not watched
		for _, user := range []packet.UserID{"bob", "carol"} {
			bus.Publish(alice.bus, bus.PresenceChanged, bus.Presence{User: user, Online: true, DisplayName: "Evil"})
		}
		synctest.Wait()
		if c := alice.contact("bob"); c.GetOnline() || c.GetName() == "Evil" {
			t.Errorf("contact %v", c)
		}
		if alice.contact("carol") != nil {
			t.Error("presence made a contact")
		}
	})
}

func TestProfileOfContacts(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		alice, bob := w.join("alice"), w.join("bob")
		w.friends(alice, bob)
		bob.must(bob.roster.SetProfile(t.Context(), &controlpb.SetProfileRequest{
			SetDisplayName: true, DisplayName: "Bob", SetAvatar: true, Avatar: png,
		}))
		if c := alice.contact("bob"); c.GetName() != "Bob" || !bytes.Equal(c.GetAvatar(), png) {
			t.Errorf("name %q, picture of %d bytes", c.GetName(), len(c.GetAvatar()))
		}
		// A picture that is here is not looked up again.
		lookUps := alice.dir.looked()
		w.hub.presences()
		synctest.Wait()
		if alice.dir.looked() != lookUps {
			t.Error("looked up again")
		}
		bob.must(bob.roster.SetProfile(t.Context(), &controlpb.SetProfileRequest{SetAvatar: true}))
		if c := alice.contact("bob"); c.GetName() != "Bob" || len(c.GetAvatar()) > 0 {
			t.Errorf("name %q, picture of %d bytes", c.GetName(), len(c.GetAvatar()))
		}
		// Whatever a directory claims is bounded.
		bus.Publish(alice.bus, bus.PresenceChanged, bus.Presence{User: "bob", Online: true, DisplayName: strings.Repeat("好\n", 10_000), Avatar: make([]byte, 1<<20)})
		synctest.Wait()
		if c := alice.contact("bob"); c.GetName() != strings.Repeat("好", maxName) || len(c.GetAvatar()) > 0 {
			t.Errorf("name %q, picture of %d bytes", c.GetName(), len(c.GetAvatar()))
		}
		// Of somebody offline it says nothing, and nothing is forgotten.
		bus.Publish(alice.bus, bus.PresenceChanged, bus.Presence{User: "bob"})
		synctest.Wait()
		if c := alice.contact("bob"); c.GetDisplayName() == "" {
			t.Error("the name was forgotten")
		}
	})
}

// A directory that names a picture it does not have is asked once.
func TestPictureThatIsNot(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		alice, bob := w.join("alice"), w.join("bob")
		w.friends(alice, bob)
		hash := packet.HashOf(png)
		w.hub.account("bob").profile = &directorypb.Profile{AvatarHash: hash[:]}
		before := alice.dir.looked()
		bus.Publish(alice.bus, bus.PresenceChanged, bus.Presence{User: "bob", Online: true, AvatarHash: hash[:]})
		synctest.Wait()
		if n := alice.dir.looked() - before; n != 1 {
			t.Errorf("looked up %d times", n)
		}
	})
}

func TestSetProfile(t *testing.T) {
	name := func(s string) *controlpb.SetProfileRequest {
		return &controlpb.SetProfileRequest{SetDisplayName: true, DisplayName: s}
	}
	picture := func(b []byte) *controlpb.SetProfileRequest {
		return &controlpb.SetProfileRequest{SetAvatar: true, Avatar: b}
	}
	inWorld(t, func(t *testing.T, w *world) {
		alice := w.join("alice")
		changes := bus.Subscribe(alice.bus, bus.ProfileChanged, 10)
		defer changes.Close()
		for what, req := range map[string]*controlpb.SetProfileRequest{
			"long name":       name(strings.Repeat("ü", 65)),
			"name not text":   name("\xff"),
			"name of lines":   name("a\nb"),
			"name turned":     name("a\u202eb"),
			"picture no such": picture([]byte("<svg>hello, world</svg>")),
			"picture too big": picture(append(bytes.Clone(png), make([]byte, 64<<10)...)),
			"picture cut":     picture(png[:4]),
		} {
			if err := alice.roster.SetProfile(t.Context(), req); !errors.Is(err, ErrInvalid) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if p, err := alice.roster.Profile(t.Context()); err != nil || p.GetDisplayName() != "" || len(p.GetAvatar()) > 0 {
			t.Errorf("profile %v, %v", p, err)
		}
		for _, b := range [][]byte{png, []byte("\xff\xd8\xff\xe0 a photograph"), []byte("RIFF\x20\x00\x00\x00WEBPVP8 ")} {
			alice.must(alice.roster.SetProfile(t.Context(), picture(b)))
		}
		alice.must(alice.roster.SetProfile(t.Context(), name(strings.Repeat("ü", 64))))
		synctest.Wait()
		told := 0
		for _, ok := changes.TryNext(); ok; _, ok = changes.TryNext() {
			told++
		}
		if told != 4 { // those that were taken
			t.Errorf("%d changes were told, want 4", told)
		}
	})
}

func TestProfileWhileOffline(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		alice := w.join("alice")
		alice.disconnect()
		alice.must(alice.roster.SetProfile(t.Context(), &controlpb.SetProfileRequest{SetDisplayName: true, DisplayName: "Alice"}))
		// The directory's old one does not win over it.
		alice.must(alice.roster.AdoptProfile(t.Context(), &directorypb.Profile{DisplayName: "old"}))
		alice.restart()
		if got := w.hub.account("alice").profile.GetDisplayName(); got != "Alice" {
			t.Errorf("the directory has %q", got)
		}
		alice.must(alice.roster.AdoptProfile(t.Context(), &directorypb.Profile{DisplayName: "Alice L.", Avatar: []byte("no picture at all")}))
		if p, err := alice.roster.Profile(t.Context()); err != nil || p.GetDisplayName() != "Alice L." || len(p.GetAvatar()) > 0 {
			t.Errorf("profile %v, %v", p, err)
		}
	})
}

func TestProfileRefused(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		alice := w.join("alice")
		alice.dir.set(func(d *fakeDirectory) { d.err = status.Error(codes.InvalidArgument, "that name is reserved") })
		alice.must(alice.roster.SetProfile(t.Context(), &controlpb.SetProfileRequest{SetDisplayName: true, DisplayName: "admin"}))
		notice, ok := alice.notices.TryNext()
		if !ok || notice.Level != "error" || !strings.Contains(notice.Text, "that name is reserved") {
			t.Errorf("notice %v", notice)
		}
		if alice.value(keyUnsettled) != nil {
			t.Error("it is tried for ever")
		}
	})
}

// Commits come to be shown in another order than they were made in.
func TestLateStep(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		alice := w.join("alice")
		at := func(version uint64, state store.ContactState) *step {
			return &step{r: alice.roster, user: "bob", version: version, c: &store.Contact{User: "bob", State: state}}
		}
		alice.roster.apply(at(101, store.ContactBlocked))
		alice.roster.apply(at(100, store.ContactAccepted))
		if !alice.book.Person("bob").Blocked {
			t.Error("an older change won")
		}
		alice.roster.apply(&step{r: alice.roster, user: "bob", version: 102})
		alice.roster.apply(at(101, store.ContactAccepted))
		if alice.book.Person("bob").Linkable {
			t.Error("somebody who was removed came back")
		}
	})
}

// Many at once: the race detector and the store's own order are the judges, and
// memory must show what the store has.
func TestConcurrently(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		alice, bob := w.join("alice"), w.join("bob")
		w.friends(alice, bob)
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				for n := range 20 {
					switch (i + n) % 4 {
					case 0:
						_ = alice.roster.Block(t.Context(), "bob", n%2 == 0)
					case 1:
						_ = alice.roster.Rename(t.Context(), "bob", strings.Repeat("b", 1+n))
					case 2:
						_, _ = alice.roster.Contacts(t.Context())
						alice.roster.Lists()
					case 3:
						bus.Publish(alice.bus, bus.PresenceChanged, bus.Presence{User: "bob", Online: n%2 == 0})
					}
				}
			})
		}
		wg.Wait()
		synctest.Wait()
		c := alice.contact("bob")
		p := alice.book.Person("bob")
		if blocked := c.GetState() == controlpb.ContactState_CONTACT_STATE_BLOCKED; p.Blocked != blocked || p.Linkable == blocked {
			t.Errorf("the book shows %v and the store %s", p, c.GetState())
		}
		if alice.roster.Name("bob") != c.GetName() {
			t.Errorf("memory calls bob %q, the store %q", alice.roster.Name("bob"), c.GetName())
		}
	})
}
