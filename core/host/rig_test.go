package host

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/identity"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/core/store/storetest"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// testBinary is the test plugin, built once.
var testBinary []byte

func TestMain(m *testing.M) {
	if os.Getenv("HOST_TEST_HELPER") != "" {
		os.Exit(helper())
	}
	dir, err := os.MkdirTemp("", "host-test")
	if path := os.Getenv("HOST_TEST_PLUGIN"); err == nil && path != "" {
		testBinary, err = os.ReadFile(path)
		_ = os.RemoveAll(dir)
	} else if err == nil {
		path := filepath.Join(dir, "testplugin")
		build := exec.Command("go", "build", "-ldflags=-s -w", "-o", path, "./internal/testplugin")
		build.Stderr = os.Stderr
		if err = build.Run(); err == nil {
			testBinary, err = os.ReadFile(path)
		}
		_ = os.RemoveAll(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "build test plugin:", err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

// rig is a host with all around it.
type rig struct {
	t        testing.TB
	host     *Host
	cfg      Config
	store    store.Store
	bus      *bus.Bus
	me, peer *identity.Identity
	chat     packet.ChatID
	bundled  string
	foreign  string
	outbox   *fakeOutbox
	numbers  map[packet.DeviceID]uint64
	log      *bytes.Buffer
	logTo    *syncWriter

	stop func()

	mu      sync.Mutex // guards all below
	notices []bus.Notice
	events  []bus.PluginEvent
	added   []bus.MessageRef
	entries []packet.ChatID
}

// quick are deadlines for tests in which one is to pass.
var quick = timing{
	launch: 20 * time.Second, describe: 20 * time.Second, start: 20 * time.Second, handle: 20 * time.Second,
	stop: 5 * time.Second, request: 10 * time.Second, ping: time.Second, hang: 20 * time.Second, ready: 60 * time.Second,
	backoff: 5 * time.Millisecond, backoffMax: 20 * time.Millisecond, storeRetry: 20 * time.Millisecond,
}

func newRig(t testing.TB, change ...func(*Config)) *rig {
	t.Helper()
	// Not t.TempDir, whose path may be too long for a socket.
	dir, err := os.MkdirTemp("", "h")
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	me, err := identity.Generate("alice")
	must(t, err)
	peer, err := identity.Generate("bob")
	must(t, err)
	r := &rig{
		t: t, bus: bus.New(), me: me, peer: peer, chat: packet.DirectChat("alice", "bob"),
		bundled: filepath.Join(dir, "b"), foreign: filepath.Join(dir, "f"), numbers: map[packet.DeviceID]uint64{}, log: &bytes.Buffer{},
	}
	must(t, os.Mkdir(r.bundled, 0o755))
	must(t, os.Mkdir(r.foreign, 0o700))
	r.outbox, r.logTo = &fakeOutbox{me: me}, &syncWriter{w: r.log}
	r.cfg = Config{
		Store: storetest.New(t), Bus: r.bus, Log: slog.New(slog.NewTextHandler(r.logTo, &slog.HandlerOptions{Level: slog.LevelDebug})),
		User: "alice", Outbox: r.outbox, People: fakePeople{},
		Folders:    []Folder{{Path: r.foreign}, {Path: r.bundled, Bundled: true}},
		DataFolder: filepath.Join(dir, "d"), CacheFolder: filepath.Join(dir, "c"), RunFolder: filepath.Join(dir, "r"),
		timing: quick,
	}
	for _, fn := range change {
		fn(&r.cfg)
	}
	r.store = r.cfg.Store
	r.addChat(r.chat, "alice", "bob")
	r.listen()
	r.host, err = New(r.cfg)
	must(t, err)
	t.Cleanup(func() {
		if t.Failed() && testing.Verbose() {
			t.Logf("log:\n%s", r.logged())
		}
	})
	return r
}

type syncWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (w *syncWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.w.Write(b)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// listen keeps what is published.
func (r *rig) listen() {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	collect(ctx, &wg, r, bus.Noticed, &r.notices)
	collect(ctx, &wg, r, bus.PluginPublished, &r.events)
	collect(ctx, &wg, r, bus.MessageAdded, &r.added)
	collect(ctx, &wg, r, bus.EntryAppended, &r.entries)
	r.t.Cleanup(func() { cancel(); wg.Wait() })
}

func collect[T any](ctx context.Context, wg *sync.WaitGroup, r *rig, topic bus.Topic[T], into *[]T) {
	q := bus.Subscribe(r.bus, topic, 10000)
	wg.Go(func() {
		defer q.Close()
		for {
			v, err := q.Next(ctx)
			if err != nil {
				return
			}
			r.mu.Lock()
			*into = append(*into, v)
			r.mu.Unlock()
		}
	})
}

// serve runs the host until the test ends or halt is called.
func (r *rig) serve() {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.host.Serve(ctx) }()
	var once sync.Once
	r.stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; !errors.Is(err, context.Canceled) {
				r.t.Errorf("Serve gave %v", err)
			}
		})
	}
	r.t.Cleanup(r.stop)
}

// restart does as when the core is started again with the same store.
func (r *rig) restart() {
	r.t.Helper()
	r.stop()
	var err error
	r.host, err = New(r.cfg)
	must(r.t, err)
	r.serve()
}

// plan says what a test plugin is and does.
type plan struct {
	manifest *pluginpb.Manifest
	mode     string
	cookie   string
	salt     string // makes another hash
}

// manifestOf makes a manifest that declares one type, one kind and all actions.
func manifestOf(name string, change ...func(*pluginpb.Manifest)) *pluginpb.Manifest {
	m := &pluginpb.Manifest{
		Name: name, Version: "1.0.0", ApiVersion: 1, Summary: "Does as it is told.",
		PacketTypes:  []*pluginpb.PacketType{{Name: name}},
		MessageKinds: []*pluginpb.MessageKind{{Name: name, Presentation: pluginpb.Presentation_PRESENTATION_TEXT, Notifies: true}},
	}
	for _, action := range strings.Fields("send die die-once hang slow fail read write dial environment settings big-result effects ask flood log updates long-update print hog fork multiply fill") {
		a := &pluginpb.Action{Name: action, Label: action, Places: []pluginpb.Place{pluginpb.Place_PLACE_HIDDEN}}
		if action == "send" {
			a.Places = append(a.Places, pluginpb.Place_PLACE_SLASH_COMMAND)
		}
		m.Actions = append(m.Actions, a)
	}
	for _, fn := range change {
		fn(m)
	}
	return m
}

// keepsMembers has a manifest ask for CAPABILITY_MEMBERS.
func keepsMembers(m *pluginpb.Manifest) {
	m.Capabilities = append(m.Capabilities, pluginpb.Capability_CAPABILITY_MEMBERS)
}

// foreignManifest is one of a plugin that is not bundled.
func foreignManifest(name string, change ...func(*pluginpb.Manifest)) *pluginpb.Manifest {
	return manifestOf(name, append([]func(*pluginpb.Manifest){func(m *pluginpb.Manifest) {
		m.PacketTypes[0].Name = "org.example." + name + "/item"
		m.MessageKinds[0].Name = "org.example." + name + "/item"
	}}, change...)...)
}

func (r *rig) install(folder, name string, p plan) string {
	r.t.Helper()
	if p.manifest == nil {
		p.manifest = manifestOf(name)
		if folder == r.foreign {
			p.manifest = foreignManifest(name)
		}
	}
	manifest, err := protojson.Marshal(p.manifest)
	must(r.t, err)
	config, err := json.Marshal(map[string]any{"manifest": json.RawMessage(manifest), "mode": p.mode, "cookie": p.cookie, "salt": p.salt})
	must(r.t, err)
	path := filepath.Join(folder, filePrefix+name)
	program := slices.Concat(testBinary, config, binary.BigEndian.AppendUint32(nil, uint32(len(config))))
	// Written beside and moved, as installers do: a running file cannot be written. And
	// nobody forks meanwhile: a process that another test starts would have the file
	// open for writing until it runs its own, and so long this one cannot be run.
	syscall.ForkLock.RLock()
	err = os.WriteFile(path+"~", program, 0o755)
	syscall.ForkLock.RUnlock()
	must(r.t, err)
	must(r.t, os.Rename(path+"~", path))
	return path
}

func (r *rig) update(fn func(store.Tx) error) {
	r.t.Helper()
	must(r.t, r.store.Update(context.Background(), store.Synced, fn))
}

func (r *rig) view(fn func(store.ReadTx) error) {
	r.t.Helper()
	must(r.t, r.store.View(context.Background(), fn))
}

func (r *rig) addChat(chat packet.ChatID, members ...packet.UserID) {
	r.t.Helper()
	r.update(func(tx store.Tx) error {
		if err := tx.PutChat(store.Chat{ID: chat, CreatedAt: 1}); err != nil {
			return err
		}
		return tx.PutMembership(chat, store.Membership{Version: 1, Members: members})
	})
}

// put has entries arrive in the log of bob, and says so.
func (r *rig) put(kind packet.Type, contents ...string) []packet.EntryKey {
	r.t.Helper()
	keys := r.putQuietly(r.peer, r.chat, kind, contents...)
	bus.Publish(r.bus, bus.PacketStored(kind), bus.Stored{Chat: r.chat})
	return keys
}

func (r *rig) putQuietly(by *identity.Identity, chat packet.ChatID, kind packet.Type, contents ...string) (keys []packet.EntryKey) {
	r.t.Helper()
	ids := make([]packet.PacketID, len(contents))
	for i := range ids {
		ids[i] = packet.NewPacketID()
	}
	return r.putPackets(by, chat, kind, ids, contents...)
}

func (r *rig) putPackets(by *identity.Identity, chat packet.ChatID, kind packet.Type, ids []packet.PacketID, contents ...string) (keys []packet.EntryKey) {
	r.t.Helper()
	r.update(func(tx store.Tx) error {
		for i, content := range contents {
			depth, err := tx.Depth(chat)
			if err != nil {
				return err
			}
			number, err := tx.NextNumber(packet.Log{Chat: chat, Device: by.Device(), Epoch: 1})
			if err != nil {
				return err
			}
			p, err := packet.Seal(packet.Header{
				ID: ids[i], Chat: chat, Type: kind, Author: by.User(), Device: by.Device(), Epoch: 1, Number: number,
				Depth: packet.NextDepth(depth), Membership: 1, SentAt: time.Now().UnixMicro(), Delivery: packet.Reliable,
			}, []byte(content), by.Sign)
			if err != nil {
				return err
			}
			if _, err := tx.PutEntry(store.Entry{Packet: p, State: store.EntryNew}); err != nil {
				return err
			}
			keys = append(keys, p.Header.Key())
		}
		return nil
	})
	return keys
}

func (r *rig) entry(key packet.EntryKey) (e store.Entry) {
	r.t.Helper()
	r.view(func(tx store.ReadTx) (err error) {
		e, err = tx.Entry(key)
		return err
	})
	return e
}

// bodies gives the messages of a chat in order.
func (r *rig) bodies(chat packet.ChatID) []string {
	r.t.Helper()
	var bodies []string
	r.view(func(tx store.ReadTx) error {
		list, _, err := tx.Messages(chat, store.Page{Limit: 500})
		for _, m := range list {
			bodies = append(bodies, m.Body)
		}
		return err
	})
	return bodies
}

// eventually waits for a condition; the limit only ends a test that fails.
func (r *rig) eventually(what string, ok func() bool) {
	r.t.Helper()
	for end := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(3 * time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatalf("%s did not come about\nmessages: %q\nnotices: %v\nplugins: %+v", what, r.bodies(r.chat), r.noticed(), r.list())
		}
	}
}

func (r *rig) list() []PluginStatus {
	r.t.Helper()
	list, err := r.host.Plugins(context.Background())
	must(r.t, err)
	for i := range list {
		list[i].Manifest = nil // for shorter failures
	}
	return list
}

func (r *rig) status(name string) PluginStatus {
	r.t.Helper()
	s, err := r.host.Plugin(context.Background(), name)
	must(r.t, err)
	return s
}

func (r *rig) wantBodies(want ...string) {
	r.t.Helper()
	r.eventually(fmt.Sprintf("messages %q", want), func() bool { return slices.Equal(r.bodies(r.chat), want) })
}

func (r *rig) wantState(name string, want State) PluginStatus {
	r.t.Helper()
	r.eventually(fmt.Sprintf("%s being %s", name, want), func() bool { return r.status(name).State == want })
	return r.status(name)
}

func (r *rig) noticed() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var texts []string
	for _, n := range r.notices {
		texts = append(texts, n.Subject+": "+n.Text)
	}
	return texts
}

// told gives all that was told until now.
func (r *rig) told() []string {
	r.t.Helper()
	const last = "test: the last"
	bus.Publish(r.bus, bus.Noticed, bus.Notice{Subject: "test", Text: "the last"})
	var texts []string
	r.eventually("all is heard that was told", func() bool {
		texts = r.noticed()
		return slices.Contains(texts, last)
	})
	return texts[:slices.Index(texts, last)]
}

func (r *rig) wantNotice(parts ...string) {
	r.t.Helper()
	r.eventually(fmt.Sprintf("a notice with %q", parts), func() bool {
		return slices.ContainsFunc(r.noticed(), func(text string) bool {
			return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(text, part) })
		})
	})
}

// lines gives the lines the plugin noted in its data folder.
func (r *rig) lines(plugin, file string) []string {
	b, err := os.ReadFile(filepath.Join(r.cfg.DataFolder, plugin, file))
	if err != nil {
		return nil
	}
	return strings.Split(strings.TrimSpace(string(b)), "\n")
}

func (r *rig) invoke(plugin, action, text string) (*Result, error) {
	r.t.Helper()
	id := packet.NewPacketID()
	return r.invokeAs(id, plugin, action, text, nil)
}

func (r *rig) invokeAs(id packet.PacketID, plugin, action, text string, update func(*pluginpb.InvokeUpdate)) (*Result, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	return r.host.Invoke(ctx, plugin, &pluginpb.InvokeRequest{Invocation: id[:], Action: action, Chat: string(r.chat), Text: text}, update)
}

func (r *rig) mustInvoke(plugin, action, text string) string {
	r.t.Helper()
	result, err := r.invoke(plugin, action, text)
	must(r.t, err)
	return string(result.Result)
}

// fakeOutbox appends to alice's logs as the chat log does.
type fakeOutbox struct {
	me *identity.Identity

	mu      sync.Mutex // guards all below
	emitted []Draft
	refused []string
}

func (o *fakeOutbox) Append(tx store.Tx, d Draft) (packet.Packet, error) {
	depth, err := tx.Depth(d.Chat)
	if err != nil {
		return packet.Packet{}, err
	}
	number, err := tx.NextNumber(packet.Log{Chat: d.Chat, Device: o.me.Device(), Epoch: 7})
	if err != nil {
		return packet.Packet{}, err
	}
	p, err := packet.Seal(packet.Header{
		ID: d.ID, Chat: d.Chat, Type: d.Type, Author: o.me.User(), Device: o.me.Device(), Epoch: 7, Number: number,
		Depth: packet.NextDepth(depth), Membership: 1, SentAt: time.Now().UnixMicro(), Delivery: packet.Reliable,
	}, d.Content, o.me.Sign)
	if err != nil {
		return packet.Packet{}, err
	}
	_, err = tx.PutEntry(store.Entry{Packet: p, State: store.EntryNew})
	return p, err
}

func (o *fakeOutbox) Emit(_ context.Context, d Draft, _ []packet.UserID) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.emitted = append(o.emitted, d)
	return nil
}

func (o *fakeOutbox) Refused(key packet.EntryKey, reason packet.Reason, text string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.refused = append(o.refused, fmt.Sprintf("%d %d %s", key.Number, reason, text))
}

func (o *fakeOutbox) refusals() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.refused)
}

type fakePeople struct{}

func (fakePeople) Online(user packet.UserID) bool { return user == "bob" }
func (fakePeople) DisplayName() string            { return "Alice" }
func (fakePeople) Keys() []ed25519.PublicKey      { return []ed25519.PublicKey{bytes.Repeat([]byte{9}, 32)} }

// Vouch keeps keys as a value, beside the plugin's.
func (fakePeople) Vouch(tx store.Tx, chat packet.ChatID, user packet.UserID, keys []ed25519.PublicKey) error {
	return tx.PutValue("vouched", string(chat)+"/"+string(user), slices.Concat(keys...))
}
