package viewmodel

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

func invocations(list []*pluginpb.InvokeRequest) []string {
	var ids []string
	for _, r := range list {
		ids = append(ids, string(r.GetInvocation()))
	}
	return ids
}

// TestSend: what is sent is seen at once, and is the core's message as soon as that
// has it.
func TestSend(t *testing.T) {
	core := newFakeCore()
	release := make(chan struct{})
	core.invoke = func(_ context.Context, r *controlpb.InvokeRequest, _ func(*pluginpb.InvokeUpdate)) (*controlpb.InvokeResult, error) {
		if r.GetRequest().GetAction() == "send" {
			<-release
		}
		return &controlpb.InvokeResult{}, nil
	}
	w, c, places := openChat(t, core, talk("b", 0, 3), 0)
	x := c.Composer
	x.Typed("  hello\nyou \n")
	if !x.Look.Get().Ready {
		t.Error("it cannot be sent")
	}
	x.Send()
	if x.Text.Get() != "" || x.Look.Get().Ready {
		t.Errorf("left: %q", x.Text.Get())
	}
	w.until("it is seen", func() bool { return c.Rows.Len() == 4 })
	r := c.Rows.At(3)
	if r.State != Queued || !r.Unsent || r.Message.GetBody() != "  hello\nyou" || !r.Message.GetOwn() {
		t.Errorf("seen as %+v", r)
	}
	if (*places)[len(*places)-1] != (Place{}) {
		t.Error("the end is not shown")
	}
	w.until("the core is asked", func() bool { return len(core.asks("send")) == 1 })
	req := core.asks("send")[0]
	sent := said("b", "alice", 9, "  hello\nyou")
	sent.Id = req.GetInvocation()
	sent.Delivery = controlpb.Delivery_DELIVERY_SENT
	core.add(sent)
	w.until("it is the core's", func() bool { return c.Rows.Len() == 4 && !c.Rows.At(3).Unsent })
	if r := c.Rows.At(3); r.State != Sent || r.Key != messageKey(req.GetInvocation()) {
		t.Errorf("seen as %+v", r)
	}
	close(release)
	w.until("nothing is left in the box", func() bool { return len(w.session.outbox.list) == 0 })
	if c.Rows.Len() != 4 {
		t.Errorf("%d rows", c.Rows.Len())
	}
}

// TestSendSurvivesTheCore: a core that ends before it answers is asked again with
// the same id, and in the same order; meanwhile the text is part of no draft that
// could be lost.
func TestSendSurvivesTheCore(t *testing.T) {
	core := newFakeCore()
	stuck := make(chan struct{})
	core.invoke = func(ctx context.Context, _ *controlpb.InvokeRequest, _ func(*pluginpb.InvokeUpdate)) (*controlpb.InvokeResult, error) {
		select {
		case <-stuck:
			return &controlpb.InvokeResult{}, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	w, c, _ := openChat(t, core, talk("b", 0, 3), 0)
	x := c.Composer
	x.Typed("one")
	x.Send()
	w.until("the core is asked", func() bool { return len(core.asks("send")) == 1 })
	w.stop()
	w.until("the loss", func() bool { return w.session.Link.Get().State == Lost })
	x.Typed("two")
	x.Send()
	x.Typed("thr")
	w.until("both are seen", func() bool { return c.Rows.Len() == 5 })
	close(stuck)
	w.serve()
	w.until("all are taken", func() bool { return len(w.session.outbox.list) == 0 })
	sends := core.asks("send")
	if len(sends) != 3 || sends[0].GetText() != "one" || sends[1].GetText() != "one" || sends[2].GetText() != "two" {
		t.Fatalf("asked %v", sends)
	}
	ids := invocations(sends)
	if ids[0] != ids[1] || ids[1] == ids[2] {
		t.Errorf("the ids are %x", ids)
	}
	if x.Text.Get() != "" && x.Text.Get() != "thr" || x.draft().text != "thr" {
		t.Errorf("what is being written became %q", x.draft().text)
	}
}

// TestSendWaitsForItsAccount: what cannot go while the account is locked goes once it
// is open, and never as another account's.
func TestSendWaitsForItsAccount(t *testing.T) {
	core := newFakeCore()
	core.chats = []*controlpb.Chat{{Id: "g", Kind: "group", Members: []string{"alice", "bob", "carol"}}}
	w := openWindow(t, core)
	c := w.session.Conversation
	loads := 0
	w.session.Loaded.Observe(func(struct{}) { loads++ })
	status := func(state controlpb.AccountState, user string) {
		was := loads
		st := &controlpb.Status{State: state, User: user}
		core.tell(func() { core.status = st }, &controlpb.Event{Event: &controlpb.Event_Status{Status: st}})
		w.until("the account is known", func() bool {
			return loads > was && w.session.Status.Get().GetState() == state && w.session.User() == user
		})
	}
	c.Open("g", nil)
	w.until("the chat is read", func() bool { return c.loaded })
	c.Composer.Typed("a secret")
	w.stop()
	w.until("the loss", func() bool { return w.session.Link.Get().State == Lost })
	c.Composer.Typed("mine")
	c.Composer.Send()
	c.Composer.Typed("a secret")
	core.tell(func() {
		core.status = &controlpb.Status{State: controlpb.AccountState_ACCOUNT_STATE_LOCKED, User: "alice"}
	})
	w.serve()
	w.until("it is locked", func() bool { return w.session.Link.Get().State == Connected && !w.session.Open() })
	status(controlpb.AccountState_ACCOUNT_STATE_OPEN, "carol")
	c.Open("g", nil)
	w.until("the chat is read", func() bool { return c.loaded })
	if x := c.Composer.Text.Get(); x != "" || c.Rows.Len() != 0 || len(core.asks("send")) != 0 {
		t.Errorf("carol finds %q, %v, and sent %v", x, bodies(c), core.asks("send"))
	}
	if x := w.session.outbox.list[0]; x.tries > 0 {
		t.Error("it is sent as carol's")
	}
	status(controlpb.AccountState_ACCOUNT_STATE_OPEN, "alice")
	w.until("it goes", func() bool { return len(core.asks("send")) == 1 })
	if r := core.asks("send")[0]; r.GetText() != "mine" {
		t.Errorf("sent %v", r)
	}
}

// TestRefusedSend: it stays, says why, and can be sent again or thrown away.
func TestRefusedSend(t *testing.T) {
	core := newFakeCore()
	refuse := true
	core.invoke = func(_ context.Context, r *controlpb.InvokeRequest, _ func(*pluginpb.InvokeUpdate)) (*controlpb.InvokeResult, error) {
		core.mu.Lock()
		defer core.mu.Unlock()
		if refuse && r.GetRequest().GetAction() == "send" {
			return nil, status.Error(codes.InvalidArgument, "not like this")
		}
		return &controlpb.InvokeResult{}, nil
	}
	w, c, _ := openChat(t, core, talk("b", 0, 1), 0)
	c.Composer.Typed("hello")
	c.Composer.Send()
	w.until("it is refused", func() bool { return c.Rows.Len() == 2 && c.Rows.At(1).State == Failed })
	key := c.Rows.At(1).Key
	if p := c.Rows.At(1).Problem; p != "not like this" {
		t.Errorf("it says %q", p)
	}
	// What comes after goes on.
	core.tell(func() { refuse = false })
	c.Composer.Typed("more")
	c.Composer.Send()
	w.until("the next is taken", func() bool { return len(core.asks("send")) == 2 })
	c.Retry(key)
	w.until("it is taken", func() bool { return len(core.asks("send")) == 3 && len(w.session.outbox.list) == 0 })
	if ids := invocations(core.asks("send")); ids[0] != ids[2] {
		t.Error("it was sent again as another one")
	}
	core.tell(func() { refuse = true })
	c.Composer.Typed("worse")
	c.Composer.Send()
	w.until("it is refused", func() bool {
		last := c.Rows.At(c.Rows.Len() - 1)
		key = last.Key
		return last.State == Failed && last.Message.GetBody() == "worse"
	})
	items := c.Menu(key)
	i := slices.IndexFunc(items, func(x MenuItem) bool { return x.Choice == ChooseDiscard })
	c.Choose(key, items[i])
	w.until("it is gone", func() bool { return c.Row(key) == nil })
}

// TestPluginThatCannotStart: a core that stays and cannot is asked a few times only.
func TestPluginThatCannotStart(t *testing.T) {
	core := newFakeCore()
	core.invoke = func(context.Context, *controlpb.InvokeRequest, func(*pluginpb.InvokeUpdate)) (*controlpb.InvokeResult, error) {
		return nil, status.Error(codes.Unavailable, "the plugin is broken")
	}
	time0 := newClock()
	w, c, _ := openChat(t, core, talk("b", 0, 1), 0, time0.use)
	c.Composer.Typed("hello")
	c.Composer.Send()
	for n := 1; n < sendTries; n++ {
		w.until("asked", func() bool { return len(core.asks("send")) == n && !w.session.outbox.list[0].running })
		time0.pass(sendWait * time.Duration(n))
	}
	w.until("it is refused", func() bool { return w.session.outbox.list[0].problem == "the plugin is broken" })
}

func TestReplyAndEdit(t *testing.T) {
	core := newFakeCore()
	w, c, _ := openChat(t, core, []*controlpb.Message{said("b", "bob", 1, "tea?"), said("b", "alice", 2, "yess"), said("b", "bob", 3, "when")}, 0)
	x := c.Composer
	x.Reply(messageKey(fakeID(1)))
	if r := x.Look.Get().Reply; r == nil || r.Author != "Bob" || r.Line != "tea?" {
		t.Errorf("answers %+v", r)
	}
	x.Typed("at five")
	x.Send()
	w.until("it is sent", func() bool { return len(core.asks("send")) == 1 })
	if r := core.asks("send")[0]; string(r.GetMessage()) != string(fakeID(1)) {
		t.Errorf("it answers %q", r.GetMessage())
	}
	w.until("it is seen", func() bool { return c.Rows.Len() == 4 })
	if q := c.Rows.At(3).Content.Quote; q == nil || q.Line != "tea?" {
		t.Errorf("it is seen with the quote %+v", q)
	}
	if x.Look.Get().Reply != nil {
		t.Error("the next answers it too")
	}
	x.Typed("dra")
	if x.EditLast() {
		t.Error("Up edits although something is written")
	}
	w.until("nothing is unsent", func() bool { return len(w.session.outbox.list) == 0 && !c.Rows.At(3).Unsent })
	x.Edit(messageKey(fakeID(1)))
	if x.Look.Get().Edit != nil {
		t.Error("what bob wrote is edited")
	}
	x.Edit(messageKey(fakeID(2)))
	if x.Text.Get() != "yess" || x.Look.Get().Edit == nil {
		t.Errorf("edits %q", x.Text.Get())
	}
	if !x.Cancel() || x.Text.Get() != "dra" || x.Look.Get().Edit != nil {
		t.Errorf("afterwards %q is there", x.Text.Get())
	}
	x.Typed("")
	if !x.EditLast() || x.Text.Get() != "at five" {
		t.Fatalf("Up edits %q", x.Text.Get())
	}
	x.Typed("at six")
	x.Send()
	w.until("it is changed", func() bool { return len(core.asks("edit")) == 1 })
	if r := core.asks("edit")[0]; r.GetText() != "at six" || messageKey(r.GetMessage()) != c.Rows.At(3).Key {
		t.Errorf("asked %v", r)
	}
	core.tell(func() {
		core.invoke = func(context.Context, *controlpb.InvokeRequest, func(*pluginpb.InvokeUpdate)) (*controlpb.InvokeResult, error) {
			return nil, status.Error(codes.FailedPrecondition, "too often")
		}
	})
	x.Edit(messageKey(fakeID(2)))
	x.Typed("no")
	x.Send()
	w.until("what was written comes back", func() bool { return x.Text.Get() == "no" && x.Look.Get().Edit != nil })
	if len(w.session.outbox.list) != 0 {
		t.Error("it is in the box still")
	}
	x.Cancel()
	x.Typed("at seven")
	x.Send()
	w.until("it cannot be sent", func() bool { return c.Rows.Len() == 5 && c.Rows.At(4).Problem != "" })
	if x.Typed(""); x.EditLast() {
		t.Errorf("Up edits %q, which is not the last", x.Text.Get())
	}
}

// TestDraftsAreKept: they are the core's, for each chat, also of what is not taken yet.
func TestDraftsAreKept(t *testing.T) {
	core := newFakeCore()
	core.chats = []*controlpb.Chat{{Id: "c", Kind: "direct", Members: []string{"alice", "carol"}, Draft: "to carol"}}
	time0 := newClock()
	w, c, _ := openChat(t, core, talk("b", 0, 1), 0, time0.use)
	x := c.Composer
	drafts := func() []string {
		var list []string
		for _, r := range taken[*controlpb.SetChatRequest](core) {
			list = append(list, r.GetId()+": "+r.GetDraft())
		}
		return list
	}
	x.Typed("h")
	x.Typed("he")
	time0.pass(draftAfter / 2)
	x.Typed("hel")
	time0.pass(draftAfter / 2)
	if len(drafts()) != 0 {
		t.Error("kept while typing")
	}
	time0.pass(draftAfter)
	w.until("kept", func() bool { return slices.Equal(drafts(), []string{"b: hel"}) })
	x.Typed("hell")
	c.Open("c", nil)
	w.until("kept when left", func() bool { return slices.Equal(drafts(), []string{"b: hel", "b: hell"}) })
	if x.Text.Get() != "to carol" {
		t.Errorf("carol's draft is %q", x.Text.Get())
	}
	c.Open("b", nil)
	if x.Text.Get() != "hell" {
		t.Errorf("bob's draft is %q", x.Text.Get())
	}
	if x.draft().known = true; len(drafts()) != 2 {
		t.Error("kept although nothing changed")
	}

	release := make(chan struct{})
	core.tell(func() {
		core.invoke = func(_ context.Context, r *controlpb.InvokeRequest, _ func(*pluginpb.InvokeUpdate)) (*controlpb.InvokeResult, error) {
			if r.GetRequest().GetAction() == "send" {
				<-release
			}
			return &controlpb.InvokeResult{}, nil
		}
	})
	x.Send()
	x.Typed("next")
	time0.pass(draftAfter)
	w.until("what is not taken is kept too", func() bool { d := drafts(); return d[len(d)-1] == "b: hell\nnext" })
	close(release)
	w.until("it is taken", func() bool { return len(w.session.outbox.list) == 0 })
	time0.pass(draftAfter)
	w.until("it is not kept any longer", func() bool { d := drafts(); return d[len(d)-1] == "b: next" })
}

// TestTypingNotices: they are sent now and then, and taken back.
func TestTypingNotices(t *testing.T) {
	core := newFakeCore()
	time0 := newClock()
	w, c, _ := openChat(t, core, talk("b", 0, 1), 0, time0.use)
	notices := func() []string {
		var list []string
		for _, r := range core.asks("typing") {
			list = append(list, r.GetArgs()["typing"])
		}
		return list
	}
	for _, s := range []string{"h", "he", "hel"} {
		c.Composer.Typed(s)
		time0.pass(time.Second)
	}
	w.until("one", func() bool { return slices.Equal(notices(), []string{"true"}) })
	c.Composer.Typed("hell")
	w.until("another", func() bool { return slices.Equal(notices(), []string{"true", "true"}) })
	c.Composer.Typed("")
	w.until("taken back", func() bool { return slices.Equal(notices(), []string{"true", "true", "false"}) })
}

// TestTooLong: long texts are not lost, and offered as a file.
func TestTooLong(t *testing.T) {
	t.Setenv("PARLEY_HOME", t.TempDir())
	core := newFakeCore()
	w, c, _ := openChat(t, core, talk("b", 0, 1), 0)
	x := c.Composer
	inserted := ""
	x.Insert.Observe(func(s string) { inserted = s })
	x.Paste("a\r\nb\xff")
	if inserted != "a\nb\uFFFD" {
		t.Errorf("pasted %q", inserted)
	}
	x.Typed("mine")
	inserted = ""
	big := strings.Repeat("text ", 2<<20)
	x.Paste(big)
	if l := x.Look.Get(); inserted != "" || l.Problem != "What you paste has 10.5 MB; a message takes 64 KiB." || !l.AsFile {
		t.Errorf("inserted %d, %+v", len(inserted), l)
	}
	x.SendAsFile()
	w.until("it is a file", func() bool { return len(x.Look.Get().Files) == 1 })
	f := x.Look.Get().Files[0]
	if b, err := os.ReadFile(f.Path); err != nil || string(b) != big || f.Line != "10.5 MB" {
		t.Errorf("%+v has %d bytes, %v", f, len(b), err)
	}
	if x.draft().text != "mine" || x.Look.Get().Problem != "" {
		t.Errorf("%q is left, %+v", x.draft().text, x.Look.Get())
	}
	x.Send()
	w.until("it is sent", func() bool { return len(core.asks("send")) == 1 })
	if r := core.asks("send")[0]; r.GetText() != "mine" || !slices.Equal(r.GetPaths(), []string{f.Path}) {
		t.Errorf("asked %v", r)
	}
	// One long line, which the text field could not be worked with.
	x.Typed("mine")
	inserted = ""
	line := strings.Repeat("x", maxLine)
	x.Paste(line)
	if l := x.Look.Get(); inserted != "" || l.Problem != "What you paste has a line that is too long to be edited here." || !l.AsFile {
		t.Errorf("inserted %d, %+v", len(inserted), l)
	}
	x.Cancel()
	x.Paste(strings.Repeat(line[5:]+"\n", 3))
	if inserted == "" {
		t.Error("three lines are refused")
	}
	core.add(said("b", "alice", 7, line+line))
	w.until("a message of mine", func() bool { return c.Row(messageKey(fakeID(7))) != nil })
	x.Edit(messageKey(fakeID(7)))
	if x.Look.Get().Edit != nil {
		t.Error("it is edited")
	}
	x.Typed(strings.Repeat("x", MaxText+1))
	if l := x.Look.Get(); l.Ready || l.Problem != "The text has 65.5 kB; a message takes 64 KiB." || !l.AsFile {
		t.Errorf("%+v", l)
	}
	x.Send()
	if len(x.draft().text) != MaxText+1 || len(core.asks("send")) != 1 {
		t.Error("it was sent, or is lost")
	}
	x.Typed(strings.Repeat("x", MaxText))
	if l := x.Look.Get(); !l.Ready || l.Problem != "" {
		t.Errorf("what just fits: %+v", l)
	}
}

func TestAttachments(t *testing.T) {
	folder := t.TempDir()
	picture := filepath.Join(folder, "sun.PNG")
	if err := os.WriteFile(picture, make([]byte, 1500), 0o600); err != nil {
		t.Fatal(err)
	}
	core := newFakeCore()
	w, c, _ := openChat(t, core, talk("b", 0, 1), 0)
	var failures []string
	w.session.Failures.Observe(func(s string) { failures = append(failures, s) })
	x := c.Composer
	x.Attach(picture, folder, picture, filepath.Join(folder, "none"), "/dev/null", filepath.Join(folder, "\xff"))
	if l := x.Look.Get(); len(l.Files) != 2 || !l.Files[0].Picture || l.Files[0].Line != "1.50 kB" || !l.Files[1].Folder || !l.Ready {
		t.Errorf("%+v", l)
	}
	if len(failures) != 3 {
		t.Errorf("said %q", failures)
	}
	x.Detach(folder)
	if len(x.Look.Get().Files) != 1 {
		t.Error("it is there still")
	}
	x.Typed(strings.Repeat("x", maxCaption+1))
	if l := x.Look.Get(); l.Ready || l.Problem == "" {
		t.Errorf("%+v", l)
	}
	x.Typed("look")
	x.Send()
	w.until("sent", func() bool { return len(core.asks("send")) == 1 })
	if r := core.asks("send")[0]; r.GetText() != "look" || !slices.Equal(r.GetPaths(), []string{picture}) {
		t.Errorf("asked %v", r)
	}
	if l := x.Look.Get(); len(l.Files) != 0 || l.Ready {
		t.Errorf("left: %+v", l)
	}
}

func pollPlugin() *controlpb.Plugin {
	return &controlpb.Plugin{Name: "poll", State: controlpb.PluginState_PLUGIN_STATE_IDLE, Manifest: &pluginpb.Manifest{Actions: []*pluginpb.Action{
		{Name: "poll", Label: "Make a poll", Places: []pluginpb.Place{pluginpb.Place_PLACE_SLASH_COMMAND}},
		{Name: "point", Label: "Point", Places: []pluginpb.Place{pluginpb.Place_PLACE_SLASH_COMMAND}},
		{Name: "dictate", Label: "Dictate", Places: []pluginpb.Place{pluginpb.Place_PLACE_COMPOSER}},
	}}}
}

// TestCommands: slash commands of plugins are completed and run.
func TestCommands(t *testing.T) {
	core := newFakeCore()
	core.plugins = []*controlpb.Plugin{pollPlugin()}
	refuse := true
	core.invoke = func(_ context.Context, r *controlpb.InvokeRequest, _ func(*pluginpb.InvokeUpdate)) (*controlpb.InvokeResult, error) {
		core.mu.Lock()
		defer core.mu.Unlock()
		if refuse && r.GetRequest().GetAction() == "poll" {
			return nil, status.Error(codes.InvalidArgument, "a poll has 2 to 10 options")
		}
		return &controlpb.InvokeResult{}, nil
	}
	w, c, _ := openChat(t, core, talk("b", 0, 1), 0)
	x := c.Composer
	names := func() []string {
		var list []string
		for _, k := range x.Look.Get().Commands {
			list = append(list, k.Name)
		}
		return list
	}
	x.Typed("/po")
	if !slices.Equal(names(), []string{"poll", "point"}) {
		t.Errorf("offers %v", names())
	}
	x.Typed("/pol")
	x.Complete(x.Look.Get().Commands[0])
	if x.Text.Get() != "/poll " || len(names()) != 0 {
		t.Errorf("completed to %q, offers %v", x.Text.Get(), names())
	}
	var failures []string
	w.session.Failures.Observe(func(s string) { failures = append(failures, s) })
	x.Typed("/poll Lunch?")
	x.Send()
	w.until("what was written comes back", func() bool { return x.Text.Get() == "/poll Lunch?" && len(failures) == 1 })
	core.tell(func() { refuse = false })
	x.Typed("/poll Lunch? | A | B")
	x.Send()
	w.until("it is run", func() bool { return len(core.asks("poll")) == 2 && x.draft().running == "" })
	if r := core.asks("poll")[1]; r.GetText() != "Lunch? | A | B" || x.Text.Get() != "" {
		t.Errorf("asked %v, left %q", r, x.Text.Get())
	}
	x.Typed("/unknown thing")
	x.Send()
	w.until("what is no command is text", func() bool { return len(core.asks("send")) == 1 })
}

// TestActionsWriteIntoTheComposer: previews go again, what is inserted stays.
func TestActionsWriteIntoTheComposer(t *testing.T) {
	core := newFakeCore()
	core.plugins = []*controlpb.Plugin{pollPlugin()}
	step := make(chan struct{})
	core.invoke = func(ctx context.Context, r *controlpb.InvokeRequest, update func(*pluginpb.InvokeUpdate)) (*controlpb.InvokeResult, error) {
		if r.GetRequest().GetAction() != "dictate" {
			return &controlpb.InvokeResult{}, nil
		}
		update(&pluginpb.InvokeUpdate{Update: &pluginpb.InvokeUpdate_Preview{Preview: "hel"}})
		<-step
		update(&pluginpb.InvokeUpdate{Update: &pluginpb.InvokeUpdate_Insert{Insert: "hello"}})
		update(&pluginpb.InvokeUpdate{Update: &pluginpb.InvokeUpdate_Preview{Preview: "the"}})
		<-ctx.Done()
		return nil, ctx.Err()
	}
	w, c, _ := openChat(t, core, talk("b", 0, 1), 0)
	x := c.Composer
	if a := x.Actions(); len(a) != 1 || a[0].Action.GetName() != "dictate" {
		t.Fatalf("offers %v", a)
	}
	x.Typed("so")
	x.Run(x.Actions()[0], "so", "")
	w.until("a preview", func() bool { return x.Text.Get() == "so hel" && x.Look.Get().Running == "Dictate" })
	close(step)
	w.until("the next", func() bool { return x.Text.Get() == "so hello the" })
	x.Cancel()
	w.until("the preview goes", func() bool { return x.Text.Get() == "so hello" && x.Look.Get().Running == "" })
}

// TestMenu: what is offered on a message fits it.
func TestMenu(t *testing.T) {
	core := newFakeCore()
	text := &controlpb.Plugin{Name: "text", State: controlpb.PluginState_PLUGIN_STATE_RUNNING, Manifest: &pluginpb.Manifest{}}
	for _, name := range []string{"edit", "delete", "delete-for-me"} {
		text.Manifest.Actions = append(text.Manifest.Actions, &pluginpb.Action{
			Name: name, Label: map[string]string{"edit": "Edit", "delete": "Delete for everyone", "delete-for-me": "Delete for me"}[name],
			Places: []pluginpb.Place{pluginpb.Place_PLACE_MESSAGE_MENU}, MessageKinds: []string{"text"},
		})
	}
	star := &controlpb.Plugin{Name: "star", State: controlpb.PluginState_PLUGIN_STATE_IDLE, Manifest: &pluginpb.Manifest{Actions: []*pluginpb.Action{
		{Name: "star", Label: "Star", Places: []pluginpb.Place{pluginpb.Place_PLACE_MESSAGE_MENU}},
	}}}
	core.plugins = []*controlpb.Plugin{text, star}
	gone := said("b", "bob", 3, "")
	gone.Deleted = true
	core.chats = []*controlpb.Chat{{Id: "c", Kind: "direct", Members: []string{"alice", "carol"}}}
	w, c, _ := openChat(t, core, []*controlpb.Message{said("b", "bob", 1, "his"), said("b", "alice", 2, "mine"), gone}, 0)
	labels := func(n int) string {
		var list []string
		for _, i := range c.Menu(messageKey(fakeID(n))) {
			list = append(list, i.Label)
		}
		return strings.Join(list, ", ")
	}
	for n, want := range map[int]string{
		1: "Reply, Copy, Forward, Details, Star, Delete for me",
		2: "Reply, Edit, Copy, Forward, Details, Star, Delete for everyone, Delete for me",
		3: "Details",
	} {
		if got := labels(n); got != want {
			t.Errorf("%d: %s", n, got)
		}
	}
	key := messageKey(fakeID(2))
	items := c.Menu(key)
	for _, item := range items {
		if asked := item.Question != ""; asked != item.Danger || asked != (item.Consequence != "") {
			t.Errorf("%s asks %q", item.Label, item.Question)
		}
	}
	if got := items[len(items)-1].Question; got != "Delete this message for you?" {
		t.Errorf("asked %q", got)
	}
	c.Choose(key, items[len(items)-2])
	w.until("it is deleted", func() bool { return len(core.asks("delete")) == 1 })
	if r := core.asks("delete")[0]; string(r.GetMessage()) != string(fakeID(2)) || r.GetChat() != "b" {
		t.Errorf("asked %v", r)
	}
	c.Forward(messageKey(fakeID(1)), "c")
	w.until("it is forwarded", func() bool { return len(core.asks("send")) == 1 })
	if r := core.asks("send")[0]; r.GetChat() != "c" || r.GetText() != "his" {
		t.Errorf("asked %v", r)
	}
}

// TestTypedIsKeptWhenDrawnAnew: a page that is made anew, for another language, shows
// what was typed; the one that it was typed into is left alone.
func TestTypedIsKeptWhenDrawnAnew(t *testing.T) {
	_, c, _ := openChat(t, newFakeCore(), talk("b", 0, 1), 0)
	x := c.Composer
	set := 0
	x.Text.Observe(func(string) { set++ })
	x.Typed("half a sentence")
	if set != 1 {
		t.Errorf("the text field was set %d times", set)
	}
	shown := ""
	x.Text.Observe(func(s string) { shown = s })
	if shown != "half a sentence" {
		t.Errorf("the new page shows %q", shown)
	}
}
