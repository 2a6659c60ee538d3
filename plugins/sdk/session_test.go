package sdk_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/parley-chat/parley/plugins/sdk"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

const (
	chatA packet.ChatID = "alice-bob"
	chatB packet.ChatID = "alice-carol"
)

func TestDescribe(t *testing.T) {
	w := open(t, &feature{}, false)
	r := w.answer(w.ask(&pluginpb.HookRequest{Hook: &pluginpb.HookRequest_Describe{Describe: &pluginpb.DescribeRequest{ApiVersion: 1}}}))
	if m := r.GetDescribe().GetManifest(); m.GetName() != "test" || m.GetApiVersion() != sdk.APIVersion {
		t.Errorf("manifest %v", m)
	}
}

func TestOrderOfRequests(t *testing.T) {
	w := open(t, &feature{}, false)
	wantCode(t, w.answer(w.ask(handle(chatA, "x"))), codes.FailedPrecondition)
	wantCode(t, w.answer(w.ask(invoke("x"))), codes.FailedPrecondition)
	start := &pluginpb.HookRequest{Hook: &pluginpb.HookRequest_Start{Start: &pluginpb.StartRequest{}}}
	wantCode(t, w.answer(w.ask(start)), codes.OK)
	wantCode(t, w.answer(w.ask(&pluginpb.HookRequest{Hook: &pluginpb.HookRequest_Start{Start: &pluginpb.StartRequest{}}})), codes.FailedPrecondition)
	wantCode(t, w.answer(w.ask(&pluginpb.HookRequest{})), codes.Unimplemented)
	wantCode(t, w.answer(w.ask(handle(chatA, "x"))), codes.OK)
}

func TestStartThatFails(t *testing.T) {
	w := open(t, &feature{start: func(context.Context, sdk.Host, sdk.StartInfo) error { return errors.New("no disk") }}, false)
	r := w.answer(w.ask(&pluginpb.HookRequest{Hook: &pluginpb.HookRequest_Start{Start: &pluginpb.StartRequest{}}}))
	if wantCode(t, r, codes.Unknown); !strings.Contains(r.GetError().GetMessage(), "no disk") {
		t.Errorf("got %v", r)
	}
}

func TestHandleOutcomes(t *testing.T) {
	w := open(t, &feature{handle: func(_ context.Context, p sdk.Packet) ([]sdk.Effect, error) {
		switch c := string(p.Content); c {
		case "nothing":
			return nil, nil
		case "refuse":
			return nil, fmt.Errorf("wrapped: %w", sdk.Refuse("not a vote: %s", strings.Repeat("é", 200)))
		case "fail":
			return nil, sdk.Errorf(codes.DataLoss, "broken")
		case "latin1":
			return []sdk.Effect{value("caf\xe9")}, nil
		default:
			return []sdk.Effect{value(c), nil}, nil
		}
	}}, true)
	if got := keys(w.answer(w.ask(handle(chatA, "a", "nothing", "b")))); got != "a - b" {
		t.Errorf("outcomes %q", got)
	}
	refused := w.answer(w.ask(handle(chatA, "refuse"))).GetHandle().GetOutcomes()[0].GetRefuse()
	if len(refused) > packet.MaxReason || !strings.HasPrefix(refused, "not a vote: é") || strings.ToValidUTF8(refused, "") != refused {
		t.Errorf("refused with %d bytes: %q", len(refused), refused)
	}
	// What came before a failure counts; what comes first and fails is an error.
	if got := keys(w.answer(w.ask(handle(chatA, "a", "b", "fail", "c")))); got != "a b" {
		t.Errorf("outcomes %q", got)
	}
	wantCode(t, w.answer(w.ask(handle(chatA, "fail", "c"))), codes.DataLoss)
	wantCode(t, w.answer(w.ask(handle(chatA, "latin1"))), codes.Internal)
}

func TestReadingInABatchWaitsForCommit(t *testing.T) {
	f := &feature{}
	swallow := false
	f.handle = func(ctx context.Context, p sdk.Packet) ([]sdk.Effect, error) {
		if c := string(p.Content); c != "read" {
			return []sdk.Effect{value(c)}, nil
		}
		_, err := f.host.Values(ctx, "", 0)
		if swallow {
			err = nil
		}
		return []sdk.Effect{value("read")}, err
	}
	w := open(t, f, true)
	for _, swallow = range []bool{false, true} {
		if got := keys(w.answer(w.ask(handle(chatA, "a", "read", "b")))); got != "a" {
			t.Errorf("outcomes %q, want only what comes before the reading", got)
		}
		id := w.ask(handle(chatA, "read", "b"))
		q := w.request()
		if q.GetQueryValues() == nil {
			t.Fatalf("request %v", q)
		}
		w.reply(&pluginpb.HostResponse{Id: q.GetId(), Answer: &pluginpb.HostResponse_Values{Values: &pluginpb.Values{}}})
		if got := keys(w.answer(id)); got != "read b" {
			t.Errorf("outcomes %q", got)
		}
	}
}

func TestOneChatInOrderOthersAside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var mu sync.Mutex
		var order []string
		w := open(t, &feature{handle: func(_ context.Context, p sdk.Packet) ([]sdk.Effect, error) {
			if string(p.Content) == "slow" {
				<-release
			}
			mu.Lock()
			defer mu.Unlock()
			order = append(order, string(p.Content))
			return nil, nil
		}}, true)
		slow := w.ask(handle(chatA, "slow"))
		next := w.ask(handle(chatA, "next"))
		wantCode(t, w.answer(w.ask(handle(chatB, "aside"))), codes.OK)
		w.unanswered(next)
		close(release)
		w.answer(slow)
		w.answer(next)
		if got := strings.Join(order, " "); got != "aside slow next" {
			t.Errorf("handled in the order %q", got)
		}
	})
}

func TestCancelInvoke(t *testing.T) {
	w := open(t, &feature{invoke: func(ctx context.Context, call sdk.Invocation, _ sdk.Updates) (sdk.Result, error) {
		<-ctx.Done()
		if call.Action == "error" {
			return sdk.Result{}, errors.New("interrupted")
		}
		return sdk.Result{Value: []byte("done all the same")}, nil
	}}, true)
	for _, action := range []string{"error", "result"} {
		id := w.ask(invoke(action))
		w.ask(cancelOf(id))
		wantCode(t, w.answer(id), codes.Canceled)
	}
	w.ask(cancelOf(12345)) // of nothing
	wantCode(t, w.answer(w.ask(handle(chatA, "x"))), codes.OK)
}

func TestInvoke(t *testing.T) {
	w := open(t, &feature{invoke: func(_ context.Context, call sdk.Invocation, u sdk.Updates) (sdk.Result, error) {
		switch call.Action {
		case "fail":
			return sdk.Result{}, fmt.Errorf("outer: %w", sdk.Errorf(codes.NotFound, "no %s", "poll"))
		case "because":
			return sdk.Result{}, fmt.Errorf("outer: %w", sdk.Errorf(codes.NotFound, "no %s: %w", "poll", fs.ErrNotExist).
				Because("NO_POLL", "user", packet.UserID("bob"), "votes", 3, "title", strings.Repeat("é", 300)))
		case "large":
			return sdk.Result{Value: make([]byte, 5<<20)}, nil
		case "latin1":
			return sdk.Result{Effects: []sdk.Effect{sdk.AddMessage{Body: "caf\xe9"}}}, nil
		}
		u.Preview("caf\xe9")
		for i := range 100 {
			u.Progress("counting", uint64(i), 100)
		}
		return sdk.Result{Value: []byte("ok"), Effects: []sdk.Effect{value("k")}}, nil
	}}, true)
	id := w.ask(invoke("count"))
	if r := w.answer(id); r.GetUpdate().GetPreview() != "caf\uFFFD" {
		t.Errorf("preview %v", r)
	}
	for i := range 100 {
		if r := w.answer(id); r.GetUpdate().GetProgress().GetDone() != uint64(i) {
			t.Fatalf("update %d: %v", i, r)
		}
	}
	if r := w.answer(id); string(r.GetInvoke().GetResult()) != "ok" || len(r.GetInvoke().GetEffects()) != 1 {
		t.Errorf("result %v", r)
	}
	wantCode(t, w.answer(w.ask(invoke("fail"))), codes.NotFound)
	why := w.answer(w.ask(invoke("because")))
	wantCode(t, why, codes.NotFound)
	if e := why.GetError(); e.GetMessage() != "outer: no poll: file does not exist" || e.GetReason() != "NO_POLL" ||
		!maps.Equal(e.GetMetadata(), map[string]string{"user": "bob", "votes": "3", "title": strings.Repeat("é", 256)}) {
		t.Errorf("%v", e)
	}
	wantCode(t, w.answer(w.ask(invoke("large"))), codes.ResourceExhausted)
	wantCode(t, w.answer(w.ask(invoke("latin1"))), codes.Internal)
	bad := invoke("x")
	bad.GetInvoke().Invocation = []byte("short")
	wantCode(t, w.answer(w.ask(bad)), codes.InvalidArgument)
}

func TestLargeAnswersAreCut(t *testing.T) {
	w := open(t, &feature{handle: func(_ context.Context, p sdk.Packet) ([]sdk.Effect, error) {
		return []sdk.Effect{sdk.PutValue{Key: "k", Value: make([]byte, len(p.Content)*int(p.Content[0]))}}, nil
	}}, true)
	mib := string(append([]byte{1}, make([]byte, 1<<20-1)...))
	if n := len(w.answer(w.ask(handle(chatA, mib, mib, mib))).GetHandle().GetOutcomes()); n != 3 {
		t.Errorf("%d outcomes, want 3", n)
	}
	double := "\x02" + mib[1:]
	if n := len(w.answer(w.ask(handle(chatA, double, double, double))).GetHandle().GetOutcomes()); n != 1 {
		t.Errorf("%d outcomes, want 1", n)
	}
	wantCode(t, w.answer(w.ask(handle(chatA, "\x08"+mib[1:]))), codes.ResourceExhausted)
}

func TestHostRequests(t *testing.T) {
	const asked, atMost = 200, 64
	f := &feature{}
	f.invoke = func(ctx context.Context, _ sdk.Invocation, _ sdk.Updates) (sdk.Result, error) {
		var wg sync.WaitGroup
		for range asked {
			wg.Go(func() { _, _ = f.host.Contacts(ctx) })
		}
		wg.Wait()
		return sdk.Result{}, nil
	}
	synctest.Test(t, func(t *testing.T) {
		w := open(t, f, true)
		id := w.ask(invoke("x"))
		for done := 0; done < asked; {
			w.unanswered(id)
			if len(w.requests) != min(atMost, asked-done) {
				t.Fatalf("%d requests are open, want %d", len(w.requests), min(atMost, asked-done))
			}
			for _, r := range w.requests {
				w.reply(&pluginpb.HostResponse{Id: r.GetId(), Answer: &pluginpb.HostResponse_Contacts{Contacts: &pluginpb.Contacts{}}})
				done++
			}
			w.requests = nil
		}
		wantCode(t, w.answer(id), codes.OK)
	})
}

func TestHostRequestErrors(t *testing.T) {
	f := &feature{}
	var got chan error
	f.invoke = func(ctx context.Context, call sdk.Invocation, _ sdk.Updates) (sdk.Result, error) {
		if call.Action == "impatient" {
			limited, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			ctx = limited
		}
		err := f.host.Apply(ctx, value("k"))
		got <- err
		return sdk.Result{}, nil
	}
	synctest.Test(t, func(t *testing.T) {
		got = make(chan error, 1) // made in the bubble, which then knows who waits for it
		w := open(t, f, true)
		id := w.ask(invoke("x"))
		w.reply(&pluginpb.HostResponse{Id: 4711}) // of nothing
		w.reply(&pluginpb.HostResponse{Id: w.request().GetId(), Answer: &pluginpb.HostResponse_Error{Error: &pluginpb.Error{Code: 3, Message: "bad key"}}})
		var e *sdk.Error
		if err := <-got; !errors.As(err, &e) || e.Code != codes.InvalidArgument || e.Text != "bad key" {
			t.Errorf("refused: %v", err)
		}
		w.answer(id)

		w.ask(invoke("impatient"))
		late := w.request()
		if err := <-got; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("late: %v", err)
		}
		w.reply(&pluginpb.HostResponse{Id: late.GetId(), Answer: &pluginpb.HostResponse_Apply{Apply: &pluginpb.ApplyResponse{}}})

		w.ask(invoke("x"))
		w.request()
		if err := <-got; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a core that never answers: %v", err)
		}

		w.ask(invoke("x"))
		w.request()
		close(w.toPlugin)
		if err := <-got; !errors.Is(err, sdk.ErrClosed) {
			t.Errorf("at the end: %v", err)
		}
		if err := <-w.over; err != nil {
			t.Errorf("session: %v", err)
		}
	})
}

func TestStop(t *testing.T) {
	for _, c := range []struct {
		name   string
		takes  time.Duration // what is under way when Stop comes
		cancel bool          // is cancelled
	}{{"idle", 0, false}, {"busy", 2 * time.Second, false}, {"busy for ever", time.Hour, true}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				stopped := false
				f := &feature{
					invoke: func(ctx context.Context, _ sdk.Invocation, _ sdk.Updates) (sdk.Result, error) {
						select {
						case <-time.After(c.takes):
							return sdk.Result{}, nil
						case <-ctx.Done():
							return sdk.Result{}, ctx.Err()
						}
					},
					stop: func(context.Context) error {
						stopped = true
						return nil
					},
				}
				w := open(t, f, true)
				began := time.Now()
				busy := w.ask(invoke("x"))
				end := w.ask(stop())
				refused := w.ask(handle(chatA, "late"))
				wantCode(t, w.answer(refused), codes.Unavailable)
				if c.cancel {
					wantCode(t, w.answer(busy), codes.Canceled)
				} else {
					wantCode(t, w.answer(busy), codes.OK)
				}
				if r := w.answer(end); r.GetStop() == nil || !stopped {
					t.Errorf("stop: %v", r)
				}
				if took := time.Since(began); took > 5*time.Second {
					t.Errorf("took %s", took)
				}
				// The session ends although the core leaves it open.
				if err := <-w.over; err != nil {
					t.Errorf("session: %v", err)
				}
			})
		})
	}
}

func TestEndOfSessionEndsEverything(t *testing.T) {
	began := make(chan struct{})
	ended := make(chan error, 2)
	f := &feature{}
	f.start = func(ctx context.Context, _ sdk.Host, _ sdk.StartInfo) error {
		go func() {
			<-ctx.Done()
			ended <- ctx.Err()
		}()
		return nil
	}
	f.handle = func(ctx context.Context, _ sdk.Packet) ([]sdk.Effect, error) {
		close(began)
		<-ctx.Done()
		ended <- ctx.Err()
		return nil, ctx.Err()
	}
	w := open(t, f, true)
	w.ask(handle(chatA, "x"))
	<-began
	w.cancel()
	for range 2 {
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("ended with %v", err)
		}
	}
	if err := <-w.over; err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("session: %v", err)
	}
}

func TestSecondSessionIsRefused(t *testing.T) {
	service := sdk.Service(&feature{})
	for i := range 2 {
		ctx, cancel := context.WithCancel(t.Context())
		w := &wire{t: t, ctx: ctx, toPlugin: make(chan *pluginpb.CoreMessage)}
		close(w.toPlugin)
		if err := service.Session(w); (err != nil) != (i == 1) {
			t.Errorf("session %d: %v", i+1, err)
		}
		cancel()
	}
}

func TestSettings(t *testing.T) {
	f := &feature{}
	var heard map[string]string
	f.event = func(_ context.Context, e sdk.Event) ([]sdk.Effect, error) {
		heard = e.Settings
		return nil, nil
	}
	w := open(t, f, false)
	w.answer(w.ask(&pluginpb.HookRequest{Hook: &pluginpb.HookRequest_Start{Start: &pluginpb.StartRequest{Settings: map[string]string{"tea": "green"}}}}))
	if got := f.host.Setting("tea"); got != "green" {
		t.Errorf("setting %q", got)
	}
	event := &pluginpb.Event{Topic: "settings", Event: &pluginpb.Event_Settings{Settings: &pluginpb.SettingsChanged{Settings: map[string]string{"tea": "black"}}}}
	unknown := &pluginpb.Event{Topic: "eclipse"}
	r := w.answer(w.ask(&pluginpb.HookRequest{Hook: &pluginpb.HookRequest_Handle{Handle: &pluginpb.HandleRequest{Items: []*pluginpb.Item{
		{Item: &pluginpb.Item_Event{Event: event}}, {Item: &pluginpb.Item_Event{Event: unknown}}, {},
	}}}}))
	if got := keys(r); got != "- - -" {
		t.Errorf("outcomes %q", got)
	}
	if f.host.Setting("tea") != "black" || heard["tea"] != "black" {
		t.Errorf("setting %q, heard %v", f.host.Setting("tea"), heard)
	}
}

func TestLog(t *testing.T) {
	f := &feature{}
	w := open(t, f, true)
	log := f.host.Log().With("plugin", "test").WithGroup("vote")
	log.Warn("refused", "by", "bob", slog.Group("of", "n", 3))
	log.Error(strings.Repeat("é", 1000) + "\xff")
	first, second := w.request().GetLog(), w.request().GetLog()
	if first.GetLevel() != pluginpb.Level_LEVEL_WARN || first.GetText() != "refused plugin=test vote.by=bob vote.of.n=3" {
		t.Errorf("logged %v", first)
	}
	if second.GetLevel() != pluginpb.Level_LEVEL_ERROR || len(second.GetText()) > 1<<10 || strings.ToValidUTF8(second.GetText(), "") != second.GetText() {
		t.Errorf("logged %d bytes at %s", len(second.GetText()), second.GetLevel())
	}
}

func TestAnswersShareMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		w := open(t, &feature{handle: func(context.Context, sdk.Packet) ([]sdk.Effect, error) {
			<-release
			return nil, nil
		}}, true)
		w.toCore = make(chan *pluginpb.PluginMessage) // the core does not read
		var ids []uint64
		for i := range 30 {
			ids = append(ids, w.ask(handle(packet.ChatID(fmt.Sprintf("alice-u%d", i)), "x")))
		}
		close(release)
		synctest.Wait()
		w.messages = 0
		for _, id := range ids {
			w.answer(id)
		}
		if w.messages > 3 {
			t.Errorf("30 answers took %d messages", w.messages)
		}
	})
}
