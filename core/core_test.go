package core

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/chatlog"
	"github.com/parley-chat/parley/core/client"
	"github.com/parley-chat/parley/core/conn"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/internal/freeport"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/server"
	"github.com/parley-chat/parley/server/password"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testPassword = "correct horse battery"
	patience     = time.Minute
)

// world is a directory with people, all in this process.
type world struct {
	t         *testing.T
	folder    string
	directory string
	// stopServer ends the directory; idempotent.
	stopServer func()
}

func newWorld(t *testing.T) *world {
	t.Helper()
	folder, err := os.MkdirTemp("", "pc") // short: sockets lie below it
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, folder: folder}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	address, err := freeport.Local(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.startServer(address, "server")
	return w
}

// startServer starts a directory whose data lies in a folder of that name.
func (w *world) startServer(listen, folder string) {
	w.t.Helper()
	s, err := server.New(server.Config{
		Listen: listen, Data: filepath.Join(w.folder, folder), Log: slog.New(slog.DiscardHandler),
		PasswordCost: password.Cost{MemoryKiB: 64, Passes: 1, Lanes: 1},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.directory = s.Addr().String()
	w.stopServer = w.serve(s.Serve)
}

// serve runs a service until the test ends, and gives a way to end it before.
func (w *world) serve(f func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := f(ctx); err != nil && !errors.Is(err, context.Canceled) {
			w.t.Errorf("service ended with %v", err)
		}
	}()
	stop = func() {
		cancel()
		<-done
	}
	w.t.Cleanup(stop)
	return stop
}

func (w *world) until(what string, done func() bool) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			w.t.Fatalf("not within %s: %s", patience, what)
		}
	}
}

// person is one core; it has no plugins.
type person struct {
	*world
	name packet.UserID
	core *Core
	stop func()
}

func (w *world) config(name string) Config {
	home := filepath.Join(w.folder, name)
	return Config{
		Folders: client.Folders{
			Profile: "default", Data: filepath.Join(home, "data"), Cache: filepath.Join(home, "cache"),
			Run: filepath.Join(home, "run"), Plugins: filepath.Join(home, "plugins"),
		},
		BundledPlugins: filepath.Join(home, "bundled"), Listen: "127.0.0.1:0", KeyPlace: "file", Version: "test",
		Log: slog.New(slog.DiscardHandler),
	}
}

func (w *world) person(name string) *person {
	w.t.Helper()
	p := &person{world: w, name: packet.UserID(name)}
	p.begin()
	_, err := facade{p.core}.LogIn(w.t.Context(), &controlpb.LogInRequest{
		Directory: w.directory, User: name, Password: testPassword, Register: true,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

func (p *person) begin() {
	p.t.Helper()
	c, err := New(p.t.Context(), p.config(string(p.name)))
	if err != nil {
		p.t.Fatal(err)
	}
	p.core, p.stop = c, p.serve(c.Run)
	// A front end is answered once it is known whose account this is.
	front, err := client.Connect(p.t.Context(), c.cfg.Folders)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = front.Close() }()
	if _, err := front.GetStatus(p.t.Context(), &controlpb.GetStatusRequest{}); err != nil {
		p.t.Fatal(err)
	}
}

func (p *person) session() *session {
	p.t.Helper()
	s, err := p.core.current()
	if err != nil {
		p.t.Fatal(err)
	}
	return s
}

func (w *world) befriend(a, b *person) {
	w.t.Helper()
	if err := a.session().roster.Request(w.t.Context(), b.name, "hi"); err != nil {
		w.t.Fatal(err)
	}
	w.until("the request arrives", func() bool {
		c, err := b.session().roster.Contact(w.t.Context(), a.name)
		return err == nil && c.GetState() == controlpb.ContactState_CONTACT_STATE_INCOMING
	})
	if err := b.session().roster.Answer(w.t.Context(), a.name, true); err != nil {
		w.t.Fatal(err)
	}
	w.linked(a, b)
	w.linked(b, a)
	w.until("the answer arrives", func() bool { // which may be after the link
		c, err := a.session().roster.Contact(w.t.Context(), b.name)
		return err == nil && c.GetState() == controlpb.ContactState_CONTACT_STATE_CONTACT
	})
}

func (w *world) linked(a, b *person) {
	w.t.Helper()
	w.until(string(a.name)+" is linked with "+string(b.name), func() bool {
		return slices.ContainsFunc(a.session().conn.Links(), func(l conn.LinkStatus) bool { return l.User == b.name })
	})
}

// join makes each of them know the group, as the group plugin will.
func (w *world) join(group packet.ChatID, people ...*person) {
	w.t.Helper()
	var members []packet.UserID
	for _, p := range people {
		members = append(members, p.name)
	}
	slices.Sort(members)
	for _, p := range people {
		s := p.session()
		err := s.store.Update(w.t.Context(), store.Synced, func(tx store.Tx) error {
			if err := tx.PutChat(store.Chat{ID: group, Title: "three", CreatedAt: 1}); err != nil {
				return err
			}
			return tx.PutMembership(group, store.Membership{Version: 1, Members: members})
		})
		if err != nil {
			w.t.Fatal(err)
		}
		bus.Publish(p.core.bus, bus.ChatChanged, bus.ChatChange{Chat: group})
	}
}

func (p *person) write(group packet.ChatID, texts ...string) {
	p.t.Helper()
	s := p.session()
	for _, text := range texts {
		err := s.store.Update(p.t.Context(), store.Synced, func(tx store.Tx) error {
			_, err := s.chatlog.Append(tx, chatlog.Draft{Chat: group, Type: "text", Content: []byte(text)})
			return err
		})
		if err != nil {
			p.t.Fatal(err)
		}
		bus.Publish(p.core.bus, bus.EntryAppended, group)
	}
}

// entries gives what p has of a group, in the chat's order.
func (p *person) entries(group packet.ChatID) string {
	p.t.Helper()
	var all []store.Entry
	err := p.session().store.View(p.t.Context(), func(tx store.ReadTx) error {
		heads, err := tx.Heads(group)
		for _, h := range heads {
			log := packet.Log{Chat: group, Device: h.Device, Epoch: h.Epoch}
			entries, err := tx.Entries(log, 1, h.Upto, 1000, 1<<20, false)
			if err != nil {
				return err
			}
			all = append(all, entries...)
		}
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
	slices.SortFunc(all, func(a, b store.Entry) int { return a.Packet.Header.Order().Compare(b.Packet.Header.Order()) })
	var texts []string
	for _, e := range all {
		texts = append(texts, string(e.Packet.Header.Author)+":"+string(e.Packet.Content))
	}
	return strings.Join(texts, " ")
}

// Three cores in one chat: who was away gets what it missed from somebody else
// than its author, who is gone by then; and all end with the same order.
func TestThreeCoresCatchUpFromEachOther(t *testing.T) {
	w := newWorld(t)
	alice, bob, carol := w.person("alice"), w.person("bob"), w.person("carol")
	w.befriend(alice, bob)
	w.befriend(bob, carol)
	w.befriend(carol, alice)
	group := packet.NewGroupChat()
	w.join(group, alice, bob, carol)

	alice.write(group, "one")
	for _, p := range []*person{bob, carol} {
		w.until(string(p.name)+" has the first", func() bool { return p.entries(group) == "alice:one" })
	}
	carol.stop()
	alice.write(group, "two", "three")
	w.until("bob has all of alice's", func() bool { return bob.entries(group) == "alice:one alice:two alice:three" })
	alice.stop()
	bob.write(group, "four")

	carol.begin()
	all := "alice:one alice:two alice:three bob:four"
	w.until("carol has all, alice's from bob", func() bool { return carol.entries(group) == all })
	bob.stop()
	carol.write(group, "five")
	alice.begin()
	all += " carol:five"
	w.until("alice has bob's from carol", func() bool { return alice.entries(group) == all })
	bob.begin()
	w.until("bob has all", func() bool { return bob.entries(group) == all })
}

func TestSecondCoreOnAProfile(t *testing.T) {
	w := newWorld(t)
	w.person("alice")
	if _, err := New(t.Context(), w.config("alice")); !errors.Is(err, ErrRunning) || !strings.Contains(err.Error(), "daemon stop") {
		t.Errorf("a second core: %v", err)
	}
}

// A log-in that the directory refuses leaves nothing behind, and what ran
// before runs on.
func TestRefusedLogIn(t *testing.T) {
	w := newWorld(t)
	alice := w.person("alice")
	_, err := facade{alice.core}.LogIn(t.Context(), &controlpb.LogInRequest{Directory: w.directory, User: "alice", Password: "not the password"})
	if err == nil {
		t.Fatal("logged in with a wrong password")
	}
	w.until("the session is back", func() bool { return alice.session().directory.State().Connected })

	p := &person{world: w, name: "mallory"}
	p.begin()
	_, err = facade{p.core}.LogIn(t.Context(), &controlpb.LogInRequest{Directory: w.directory, User: "alice", Password: "not the password"})
	if err == nil {
		t.Fatal("logged in with a wrong password")
	}
	left, err := filepath.Glob(filepath.Join(w.folder, "mallory", "data", "acc*", "*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if _, err := p.core.current(); !errors.Is(err, ErrNoAccount) {
		t.Errorf("after the refused log-in: %v", err)
	}
}

func TestPassphrase(t *testing.T) {
	w := newWorld(t)
	p := &person{world: w, name: "alice"}
	p.begin()
	p.core.cfg.KeyPlace = ""
	_, err := facade{p.core}.LogIn(t.Context(), &controlpb.LogInRequest{
		Directory: w.directory, User: "alice", Password: testPassword, Register: true, Passphrase: "open sesame, please",
	})
	if err != nil {
		t.Fatal(err)
	}
	p.stop()
	p.begin()
	var locked *LockedError
	if _, err := p.core.current(); !errors.As(err, &locked) {
		t.Fatalf("after a restart: %v", err)
	}
	if s := (facade{p.core}).Status(t.Context()); s.GetState() != controlpb.AccountState_ACCOUNT_STATE_LOCKED || s.GetUser() != "alice" || s.GetKeyPlace() != "passphrase" {
		t.Errorf("status: %v", s)
	}
	if err := (facade{p.core}).Unlock(t.Context(), "wrong passphrase"); err == nil {
		t.Error("unlocked with a wrong passphrase")
	}
	if err := (facade{p.core}).Unlock(t.Context(), "open sesame, please"); err != nil {
		t.Errorf("unlock: %v", err)
	}
	w.until("the session is back", func() bool { return p.session().directory.State().Connected })
}

func TestDamagedAccountFile(t *testing.T) {
	w := newWorld(t)
	alice := w.person("alice")
	alice.stop()
	path := accountFile(alice.core.cfg.Folders)
	for _, bad := range []string{"", "{", `{"user":"No One"}`, strings.Repeat("x", maxAccountFile+1)} {
		if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		alice.begin()
		var locked *LockedError
		if _, err := alice.core.current(); !errors.As(err, &locked) || !strings.Contains(err.Error(), "damaged") {
			t.Errorf("with %.20q: %v", bad, err)
		}
		alice.stop()
	}
}

func TestSettings(t *testing.T) {
	w := newWorld(t)
	f := facade{w.person("alice").core}
	for _, test := range []struct {
		name, value string
		ok          bool
	}{
		{settingReceipts, "false", true},
		{settingReceipts, "maybe", false},
		{settingLanguage, "zh-Hans", true},
		{settingLanguage, "tlh", false},
		{"no.such", "1", false},
		{settingLanguage, "", true},
	} {
		if err := f.SetSetting(t.Context(), test.name, test.value); (err == nil) != test.ok {
			t.Errorf("set %s to %q: %v", test.name, test.value, err)
		}
	}
	s, err := f.Settings(t.Context())
	if err != nil || s.GetValues()[settingReceipts] != "false" || s.GetValues()[settingLanguage] != "en" {
		t.Errorf("settings: %v, %v", s, err)
	}
}
