package notify

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"go.uber.org/goleak"

	"github.com/parley-chat/parley/test/ui/desktop"
	"github.com/parley-chat/parley/test/ui/notifications"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = time.Minute

var english = Texts{Open: "Open", Reply: "Reply", MarkRead: "Mark as read", ReplyHint: "Write a message", Hidden: "New messages"}

// all is what the daemons of large desktops can do.
var all = []string{"actions", "body", "body-markup", "inline-reply", "persistence"}

// world is a session bus and a Notifier on it.
type world struct {
	t   *testing.T
	bus *desktop.Desktop
	n   *Notifier
	log *lines

	mu     sync.Mutex // guards the rest
	events []Event
	texts  Texts
}

func newWorld(t *testing.T) *world {
	t.Helper()
	bus := desktop.New(t, desktop.Config{BusOnly: true})
	w := &world{t: t, bus: bus, log: &lines{}, texts: english}
	w.n = New(Config{
		App: "Parley", Icon: "parley", DesktopEntry: "parley",
		Texts: func() Texts {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.texts
		},
		Event: func(e Event) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.events = append(w.events, e)
		},
		Log: slog.New(slog.NewTextHandler(w.log, nil)),
		Bus: bus.Bus, SystemBus: bus.Bus, // logind's name is free on it as well
	})
	return w
}

// serve runs the Notifier until the test ends or what it gives is called.
func (w *world) serve() (stop func()) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = w.n.Serve(ctx)
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
	for end := time.Now().Add(patience); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("not within %s: %s", patience, what)
		}
	}
}

// shows waits until the daemon shows just what has these bodies.
func (w *world) shows(d *notifications.Daemon, bodies ...string) []notifications.Notification {
	w.t.Helper()
	var got []notifications.Notification
	w.until(fmt.Sprintf("%q is shown", bodies), func() bool {
		got = d.Shown()
		return slices.EqualFunc(got, bodies, func(n notifications.Notification, body string) bool { return n.Body == body })
	})
	return got
}

// happened waits for just these events.
func (w *world) happened(want ...Event) {
	w.t.Helper()
	w.t.Cleanup(func() {
		if w.t.Failed() {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.t.Logf("the events were %+v", w.events)
		}
	})
	w.until(fmt.Sprintf("the events are %+v", want), func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return slices.Equal(w.events, want)
	})
}

// lines is a log.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestShowReplaceClose(t *testing.T) {
	w := newWorld(t)
	d := notifications.Start(t, w.bus.Bus, all...)
	w.serve()
	w.n.Show(Message{Chat: "a", Title: "Ada", Body: "hello"})
	first := w.shows(d, "hello")[0]
	if first.App != "Parley" || first.Icon != "parley" || first.Summary != "Ada" {
		t.Errorf("shown as %+v", first)
	}
	for key, want := range map[string]any{"desktop-entry": "parley", "category": "im.received", "urgency": byte(1), "sound-name": "message-new-instant", "x-kde-reply-placeholder-text": "Write a message"} {
		if got := first.Hints[key].Value(); got != want {
			t.Errorf("hint %s is %v, want %v", key, got, want)
		}
	}
	if want := []string{"default", "Open", "inline-reply", "Reply", "mark-read", "Mark as read"}; !slices.Equal(first.Actions, want) {
		t.Errorf("actions %q, want %q", first.Actions, want)
	}
	w.n.Show(Message{Chat: "b", Title: "Bob", Body: "me too", Urgent: true, Silent: true, NoReply: true})
	second := w.shows(d, "hello", "me too")[1]
	if second.Hints["urgency"].Value() != byte(2) || second.Hints["suppress-sound"].Value() != true || second.Hints["sound-name"].Value() != nil {
		t.Errorf("an urgent, silent one has the hints %v", second.Hints)
	}
	if !slices.Equal(second.Actions, []string{"default", "Open"}) {
		t.Errorf("one without reply has the actions %q", second.Actions)
	}
	w.n.Show(Message{Chat: "a", Title: "Ada", Body: "again"})
	if again := w.shows(d, "again", "me too")[0]; again.ID != first.ID || again.Replaces != first.ID {
		t.Errorf("the second message of a chat is %d and replaces %d; the first was %d", again.ID, again.Replaces, first.ID)
	}
	// The same words a second time are a new message.
	before := d.Calls()
	w.n.Show(Message{Chat: "a", Title: "Ada", Body: "again"})
	w.until("the same words are shown anew", func() bool { return d.Calls() == before+1 })
	w.n.Close("a")
	w.shows(d, "me too")
	w.n.Close("a")
	w.n.Close("never")
	w.n.Close("b")
	w.shows(d)
	w.happened()
}

// What a person does reaches the window, each with its chat.
func TestActions(t *testing.T) {
	w := newWorld(t)
	d := notifications.Start(t, w.bus.Bus, all...)
	w.serve()
	id := func(body string) uint32 {
		w.n.Show(Message{Chat: "chat of " + body, Body: body})
		return w.shows(d, body)[0].ID
	}
	d.Invoke(id("1"), "default")
	d.Invoke(id("2"), "mark-read")
	d.Reply(id("3"), "yes, 好 <b>")
	d.Reply(id("4"), "")          // nothing was written
	d.Invoke(id("5"), "reply")    // was not offered
	d.Invoke(id("6"), "nonsense") // neither
	d.Invoke(10_000, "default")   // of another program
	d.Dismiss(id("7"))
	w.shows(d)
	id("8") // after all of them
	w.happened(
		Event{Chat: "chat of 1", Kind: Opened, Token: "token of default"},
		Event{Chat: "chat of 2", Kind: MarkRead, Token: "token of mark-read"},
		Event{Chat: "chat of 3", Kind: Replied, Text: "yes, 好 <b>"},
	)
}

// Who cannot answer in the notification answers in the window.
func TestDaemonThatCanDoLess(t *testing.T) {
	w := newWorld(t)
	d := notifications.Start(t, w.bus.Bus, "actions", "body")
	w.serve()
	w.n.Show(Message{Chat: "a", Title: "<Ada>", Body: "1 < 2 & 3"})
	shown := w.shows(d, "1 < 2 & 3")[0] // it would show markup as it is
	if want := []string{"default", "Open", "reply", "Reply", "mark-read", "Mark as read"}; !slices.Equal(shown.Actions, want) {
		t.Errorf("actions %q, want %q", shown.Actions, want)
	}
	d.Reply(shown.ID, "was not offered")
	w.n.Show(Message{Chat: "a", Body: "2"})
	d.Invoke(w.shows(d, "2")[0].ID, "reply")
	w.happened(Event{Chat: "a", Kind: Replying, Token: "token of reply"})

	w2 := newWorld(t)
	d2 := notifications.Start(t, w2.bus.Bus, "body")
	w2.serve()
	w2.n.Show(Message{Chat: "a", Body: "1"})
	if shown := w2.shows(d2, "1")[0]; len(shown.Actions) > 0 {
		t.Errorf("one that can do nothing is told of %q", shown.Actions)
	}
}

// A daemon that comes late gets what waits; one that comes anew what is new.
func TestDaemonComesAndGoes(t *testing.T) {
	w := newWorld(t)
	w.serve()
	w.n.Show(Message{Chat: "a", Body: "early"})
	w.until("it is logged that there is no daemon", func() bool { return strings.Contains(w.log.String(), "no notification is shown") })
	d := notifications.Start(t, w.bus.Bus, all...)
	w.shows(d, "early")
	for i := range 5 {
		w.n.Show(Message{Chat: fmt.Sprint("more", i), Body: fmt.Sprint(i)})
	}
	w.shows(d, "early", "0", "1", "2", "3", "4")

	d.Stop()
	w.n.Close("more0")
	d = notifications.Start(t, w.bus.Bus, "actions")
	w.n.Show(Message{Chat: "b", Body: "late"})
	late := w.shows(d, "late")[0]
	if slices.Contains(late.Actions, inlineReply) {
		t.Error("the new daemon is taken for the old one, which could do more")
	}
	if late.Replaces != 0 {
		t.Errorf("the new daemon was asked to replace %d of the old one's", late.Replaces)
	}
	d.Invoke(late.ID, "default")
	w.happened(Event{Chat: "b", Kind: Opened, Token: "token of default"})
	if n := strings.Count(w.log.String(), "level=WARN"); n > 2 {
		t.Errorf("the log has %d warnings:\n%s", n, w.log)
	}
	for _, secret := range []string{"early", "late"} {
		if strings.Contains(w.log.String(), secret) {
			t.Errorf("the log tells what was written:\n%s", w.log)
		}
	}
}

// Signals that others make up do nothing.
func TestForgedSignals(t *testing.T) {
	w := newWorld(t)
	d := notifications.Start(t, w.bus.Bus, all...)
	w.serve()
	w.n.Show(Message{Chat: "a", Body: "1"})
	id := w.shows(d, "1")[0].ID
	liar, err := dbus.Connect(w.bus.Bus)
	if err != nil {
		t.Fatal(err)
	}
	defer liar.Close()
	for _, signal := range []string{"ActionInvoked", "NotificationReplied"} {
		if err := liar.Emit(daemonPath, daemon+"."+signal, id, "default"); err != nil {
			t.Fatal(err)
		}
	}
	if err := liar.Emit(daemonPath, daemon+".NotificationClosed", id, uint32(2)); err != nil {
		t.Fatal(err)
	}
	// What is sent to somebody comes to him, whatever he asked for.
	var names []string
	if err := liar.BusObject().Call("org.freedesktop.DBus.ListNames", 0).Store(&names); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasPrefix(name, ":") {
			liar.Send(&dbus.Message{
				Type: dbus.TypeSignal, Body: []any{id, "default"},
				Headers: map[dbus.HeaderField]dbus.Variant{
					dbus.FieldDestination: dbus.MakeVariant(name), dbus.FieldPath: dbus.MakeVariant(daemonPath),
					dbus.FieldInterface: dbus.MakeVariant(daemon), dbus.FieldMember: dbus.MakeVariant("ActionInvoked"),
					dbus.FieldSignature: dbus.MakeVariant(dbus.SignatureOf(id, "default")),
				},
			}, nil)
		}
	}
	if err := liar.BusObject().Call("org.freedesktop.DBus.GetId", 0).Err; err != nil { // all that is sent
		t.Fatal(err)
	}
	// And the daemon itself, with what is no signal of its.
	for _, body := range [][]any{{}, {"x", "y"}, {id}, {id, "default", "more"}, {int64(1), "default"}} {
		d.Emit("ActionInvoked", body...)
	}
	d.Invoke(id, "mark-read")
	w.happened(Event{Chat: "a", Kind: MarkRead, Token: "token of mark-read"})
}

// When the program ends nothing stays whose buttons nobody hears.
func TestEnd(t *testing.T) {
	w := newWorld(t)
	d := notifications.Start(t, w.bus.Bus, all...)
	stop := w.serve()
	w.n.Show(Message{Chat: "a", Body: "1"})
	w.n.Show(Message{Chat: "b", Body: "2"})
	w.shows(d, "1", "2")
	stop()
	if got := d.Shown(); len(got) > 0 {
		t.Errorf("%+v is left", got)
	}
}

// A daemon that the bus starts because it is asked something is known before the bus
// says that it came, and keeps what it was given.
func TestDaemonIsStartedByTheBus(t *testing.T) {
	s := &session{n: New(Config{}), owner: ":1.5", can: map[string]bool{}, shown: map[string]shown{"a": {id: 1, chat: "a"}}, token: map[uint32]string{}}
	came := func(before, now string) {
		s.handle(&dbus.Signal{Sender: "org.freedesktop.DBus", Name: "org.freedesktop.DBus.NameOwnerChanged", Body: []any{daemon, before, now}})
	}
	came("", ":1.5")
	if len(s.shown) != 1 || s.can == nil {
		t.Error("what it was given is forgotten")
	}
	came(":1.5", ":1.6")
	if len(s.shown) != 0 || s.can != nil || s.owner != ":1.6" {
		t.Errorf("another one is taken for it: %+v", s)
	}
}

func TestManyChats(t *testing.T) {
	w := newWorld(t)
	d := notifications.Start(t, w.bus.Bus, all...)
	for i := range maxChats + 7 {
		w.n.Show(Message{Chat: fmt.Sprint(i), Body: fmt.Sprint(i)})
	}
	w.serve()
	w.until("the newest are shown", func() bool { return len(d.Shown()) == maxChats })
	if got := d.Shown(); got[0].Body != "7" || got[maxChats-1].Body != fmt.Sprint(maxChats+6) {
		t.Errorf("shown are %s to %s", got[0].Body, got[maxChats-1].Body)
	}
}

func TestRefresh(t *testing.T) {
	w := newWorld(t)
	d := notifications.Start(t, w.bus.Bus, all...)
	w.serve()
	w.n.Show(Message{Chat: "a", Body: "1"})
	w.shows(d, "1")
	w.mu.Lock()
	w.texts.MarkRead = "标为已读"
	w.mu.Unlock()
	w.n.Refresh()
	w.until("the action speaks Chinese", func() bool { return slices.Contains(d.Shown()[0].Actions, "标为已读") })
	if d.Shown()[0].Hints["suppress-sound"].Value() != true {
		t.Error("the same message makes a sound again")
	}
}

// A session bus that dies and one that comes are told of once, and used.
func TestBusIsLost(t *testing.T) {
	w := newWorld(t)
	d := notifications.Start(t, w.bus.Bus, all...)
	w.serve()
	w.n.Show(Message{Chat: "a", Body: "1"})
	w.shows(d, "1")
	w.bus.StopBus()
	w.until("the loss is logged", func() bool { return strings.Contains(w.log.String(), "notifications are off") })
	w.n.Show(Message{Chat: "b", Body: "while it was gone"})
	if err := w.bus.RestartBus(); err != nil {
		t.Fatal(err)
	}
	d = notifications.Start(t, w.bus.Bus, all...)
	w.until("it is used", func() bool { return len(d.Shown()) > 0 && d.Shown()[len(d.Shown())-1].Body == "while it was gone" })
}

func TestRender(t *testing.T) {
	cfg := Config{App: "Parley"}
	can := map[string]bool{"body-markup": true}
	picture := image.NewNRGBA(image.Rect(5, 5, 8, 7))
	picture.SetNRGBA(5, 5, color.NRGBA{R: 1, G: 2, B: 3, A: 4})
	tests := []struct {
		name          string
		message       Message
		summary, body string
	}{
		{"markup", Message{Title: "<b>Ada</b>", Body: "<b>1 & 2</b> \"q\""}, "<b>Ada</b>", "&lt;b&gt;1 &amp; 2&lt;/b&gt; &#34;q&#34;"},
		{"long", Message{Title: strings.Repeat("长", 200), Body: strings.Repeat("长", 1000)}, strings.Repeat("长", 100) + "…", strings.Repeat("长", 300) + "…"},
		{"just short enough", Message{Title: strings.Repeat("x", 100)}, strings.Repeat("x", 100), ""},
		{"cut within markup", Message{Body: strings.Repeat("&", 400)}, "", strings.Repeat("&amp;", 300) + "…"},
		{"control characters", Message{Title: "a\x1b[31mb\nc", Body: "d\x00e\nf\t"}, "a [31mb\nc", "d e\nf"},
		{"turned round", Message{Title: "exe.\u202egpj", Body: "\u2066x\u2069\u200f"}, "exe.gpj", "x"},
		{"not UTF-8", Message{Title: "a\xffb"}, "ab", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := cfg.render(test.message, english, can, false)
			if got.summary != test.summary || got.body != test.body {
				t.Errorf("got %q and %q, want %q and %q", got.summary, got.body, test.summary, test.body)
			}
			locked := cfg.render(test.message, english, can, true)
			if locked.summary != "Parley" || locked.body != english.Hidden {
				t.Errorf("a locked screen shows %q and %q", locked.summary, locked.body)
			}
		})
	}
	got := cfg.render(Message{Picture: picture}, english, can, false).hints["image-data"].Value().(pixels)
	if got.Width != 3 || got.Height != 2 || got.RowStride != 12 || !got.HasAlpha || got.BitsPerSample != 8 || got.Channels != 4 || len(got.Data) != 24 || !bytes.Equal(got.Data[:4], []byte{1, 2, 3, 4}) {
		t.Errorf("the picture became %+v", got)
	}
	for name, img := range map[string]image.Image{"too wide": image.NewNRGBA(image.Rect(0, 0, 257, 1)), "empty": image.NewNRGBA(image.Rect(0, 0, 0, 5))} {
		if _, there := cfg.render(Message{Picture: img}, english, can, false).hints["image-data"]; there {
			t.Errorf("a picture that is %s is sent", name)
		}
	}
	if _, there := cfg.render(Message{Picture: picture}, english, can, true).hints["image-data"]; there {
		t.Error("a locked screen shows who wrote")
	}
}
