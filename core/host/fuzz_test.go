package host

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

func addMessages(f *testing.F, messages ...proto.Message) {
	for _, m := range messages {
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
}

// FuzzManifest: what a plugin says it is. What is taken can be settled with
// others, shown and kept.
func FuzzManifest(f *testing.F) {
	addMessages(f, manifestOf("poll"), foreignManifest("poll"), &pluginpb.Manifest{})
	f.Fuzz(func(t *testing.T, b []byte) {
		m := &pluginpb.Manifest{}
		if proto.Unmarshal(b, m) != nil {
			return // gRPC refuses it before
		}
		for _, bundled := range []bool{true, false} {
			err := checkManifest(file{name: "poll", bundled: bundled}, m)
			var wrong *answerError
			switch {
			case err != nil && !errors.As(err, &wrong):
				t.Fatalf("error of no kind: %v", err)
			case err != nil:
				continue
			}
			if !bundled {
				for _, p := range m.GetPacketTypes() {
					if !strings.Contains(p.GetName(), "/") {
						t.Fatalf("a plugin from elsewhere may own %q", p.GetName())
					}
				}
			}
			r, losers := settle([]claim{{name: "poll", bundled: bundled, manifest: m}})
			if len(losers) == 0 && len(r.types) != len(m.GetPacketTypes()) {
				t.Fatalf("owns %d of %d types", len(r.types), len(m.GetPacketTypes()))
			}
		}
	})
}

// fuzzPlugin is a plugin that runs, as far as its host can tell.
func fuzzPlugin(t testing.TB) (*rig, *plugin) {
	r := newRig(t)
	p := newPlugin(r.host, "poll")
	p.file, p.manifest, p.checked = file{name: "poll"}, foreignManifest("poll"), true
	return r, p
}

// FuzzOutcome: what a plugin makes of a packet is applied as a whole or not at
// all, and never to what is another plugin's.
func FuzzOutcome(f *testing.F) {
	own, chat := packet.NewPacketID(), string(packet.DirectChat("alice", "bob"))
	effect := func(e *pluginpb.Effect) proto.Message { return &pluginpb.Outcome{Effects: []*pluginpb.Effect{e}} }
	kind := "org.example.poll/item"
	addMessages(f, &pluginpb.Outcome{Refuse: "no"},
		effect(&pluginpb.Effect{Effect: &pluginpb.Effect_AddMessage{AddMessage: &pluginpb.AddMessage{Id: own[:], Chat: chat, Kind: kind, Body: "x", Local: true}}}),
		effect(&pluginpb.Effect{Effect: &pluginpb.Effect_SendPacket{SendPacket: &pluginpb.SendPacket{Chat: chat, Type: kind, Content: []byte("x")}}}),
		effect(&pluginpb.Effect{Effect: &pluginpb.Effect_Annotate{Annotate: &pluginpb.Annotate{Chat: chat, Message: own[:], Kind: kind, Value: []byte("x")}}}),
		effect(&pluginpb.Effect{Effect: &pluginpb.Effect_PutValue{PutValue: &pluginpb.PutValue{Key: "k", Value: []byte("v")}}}),
		effect(&pluginpb.Effect{Effect: &pluginpb.Effect_DropContent{DropContent: &pluginpb.DropContent{Id: own[:]}}}),
		effect(&pluginpb.Effect{Effect: &pluginpb.Effect_SetMembers{SetMembers: &pluginpb.SetMembers{Chat: "abcdefghijklmnopqrstuvwxyz", Version: 2, Members: []string{"alice"}}}}),
		effect(&pluginpb.Effect{Effect: &pluginpb.Effect_PublishEvent{PublishEvent: &pluginpb.PublishEvent{Name: "poll.x", Data: []byte("x")}}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		o := &pluginpb.Outcome{}
		if proto.Unmarshal(b, o) != nil {
			return
		}
		r, p := fuzzPlugin(t)
		if err := checkOutcome(p.powers(), o); err != nil {
			var wrong *answerError
			if !errors.As(err, &wrong) {
				t.Fatalf("error of no kind: %v", err)
			}
			return
		}
		key := r.putQuietly(r.peer, r.chat, packet.Type(kind), "x")[0]
		must(t, p.commit(t.Context(), []settled{{entry: r.entry(key), outcome: o}}))
		if e := r.entry(key); e.State == store.EntryNew {
			t.Fatalf("the packet was not settled: %+v", e)
		}
		r.view(func(tx store.ReadTx) error {
			list, _, err := tx.Messages(r.chat, store.Page{Limit: 500})
			for _, m := range list {
				if m.Plugin != "poll" {
					t.Fatalf("a message of %q", m.Plugin)
				}
			}
			chats, err2 := tx.Chats()
			if len(chats) != 1 {
				t.Fatalf("%d chats", len(chats))
			}
			return errors.Join(err, err2)
		})
	})
}

// FuzzPluginMessage: what comes over a plugin's stream. Answers that nobody
// asked for end the session; requests get one answer each, as far as there may
// be as many at once.
func FuzzPluginMessage(f *testing.F) {
	chat, id := string(packet.DirectChat("alice", "bob")), packet.NewPacketID()
	request := func(r *pluginpb.HostRequest) proto.Message {
		return &pluginpb.PluginMessage{Requests: []*pluginpb.HostRequest{r}}
	}
	addMessages(f,
		&pluginpb.PluginMessage{Responses: []*pluginpb.HookResponse{{Id: 1, Answer: &pluginpb.HookResponse_Handle{Handle: &pluginpb.HandleResponse{}}}}},
		&pluginpb.PluginMessage{Responses: []*pluginpb.HookResponse{{Id: 1, Answer: &pluginpb.HookResponse_Error{Error: &pluginpb.Error{Code: -7, Message: "\x1b[2J"}}}, {Id: 1}}},
		&pluginpb.PluginMessage{Responses: []*pluginpb.HookResponse{{Id: 1, Answer: &pluginpb.HookResponse_Update{Update: &pluginpb.InvokeUpdate{}}}}},
		request(&pluginpb.HostRequest{Id: 1, Request: &pluginpb.HostRequest_Log{Log: &pluginpb.LogRequest{Text: "x"}}}),
		request(&pluginpb.HostRequest{Id: 1, Request: &pluginpb.HostRequest_QueryMessages{QueryMessages: &pluginpb.QueryMessages{Chat: chat, Ids: [][]byte{id[:]}}}}),
		request(&pluginpb.HostRequest{Id: 1, Request: &pluginpb.HostRequest_QueryAnnotations{QueryAnnotations: &pluginpb.QueryAnnotations{Chat: chat, Messages: [][]byte{id[:]}}}}),
		request(&pluginpb.HostRequest{Id: 1, Request: &pluginpb.HostRequest_QueryChats{QueryChats: &pluginpb.QueryChats{Chat: chat}}}),
		request(&pluginpb.HostRequest{Id: 1, Request: &pluginpb.HostRequest_QueryContacts{QueryContacts: &pluginpb.QueryContacts{}}}),
		request(&pluginpb.HostRequest{Id: 1, Request: &pluginpb.HostRequest_QueryValues{QueryValues: &pluginpb.QueryValues{Prefix: "k", Limit: 9}}}),
		request(&pluginpb.HostRequest{Id: 1, Request: &pluginpb.HostRequest_Apply{Apply: &pluginpb.ApplyRequest{Effects: []*pluginpb.Effect{{Effect: &pluginpb.Effect_PutValue{PutValue: &pluginpb.PutValue{Key: "k", Value: []byte("v")}}}}}}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		m := &pluginpb.PluginMessage{}
		if proto.Unmarshal(b, m) != nil {
			return
		}
		_, p := fuzzPlugin(t)
		waiting := &call{kind: "Handle", answer: make(chan *pluginpb.HookResponse, 1)}
		s := &session{
			name: "poll", run: &running{lines: newLines(slog.New(slog.DiscardHandler))}, out: newOutgoing(), cancel: func() {}, stream: streamOf(t.Context()),
			asked: make(chan *pluginpb.HostRequest, maxHostRequests), dead: make(chan struct{}), calls: map[uint64]*call{1: waiting},
		}
		for _, r := range m.GetResponses() {
			if err := s.answered(r); err != nil {
				if !errors.Is(err, errProtocol) {
					t.Fatalf("error of no kind: %v", err)
				}
				return
			}
		}
		select {
		case answer := <-waiting.answer:
			var told *PluginError
			if _, err := s.checkError(answer); err != nil && (!errors.As(err, &told) || !utf8.ValidString(told.Text) || len(told.Text) > 1<<10) {
				t.Fatalf("%v", err)
			}
		default:
		}
		for _, r := range m.GetRequests() {
			must(t, s.requested(r))
		}
		for len(s.asked) > 0 {
			response := p.serveRequest(t.Context(), <-s.asked)
			s.served()
			if response.GetAnswer() == nil || proto.Size(response) > maxMessage {
				t.Fatalf("an answer of %d bytes: %v", proto.Size(response), response)
			}
		}
		if s.open != 0 {
			t.Fatalf("%d requests are open", s.open)
		}
	})
}

type contextStream struct {
	pluginpb.Plugin_SessionClient
	ctx context.Context //nolint:containedctx // a stream has one
}

func (s contextStream) Context() context.Context { return s.ctx }

func streamOf(ctx context.Context) pluginpb.Plugin_SessionClient { return contextStream{ctx: ctx} }

// FuzzLines: what a plugin writes to its standard error is cut into lines that
// can be shown, however it comes.
func FuzzLines(f *testing.F) {
	f.Add([]byte("one\ntwo\x1b[2J\n\xff"), uint8(3))
	f.Add([]byte(strings.Repeat("x", 3000)), uint8(200))
	f.Fuzz(func(t *testing.T, b []byte, piece uint8) {
		l := newLines(slog.New(slog.DiscardHandler))
		for rest := b; len(rest) > 0; {
			n := min(len(rest), int(piece)+1)
			if took, err := l.Write(rest[:n]); took != n || err != nil {
				t.Fatalf("took %d of %d, %v", took, n, err)
			}
			rest = rest[n:]
		}
		lines := strings.Split(l.last(), "\n")
		if len(lines) > keptLines+1 {
			t.Fatalf("%d lines are kept", len(lines))
		}
		for _, line := range lines {
			if len(line) > 3*maxLine || line != clean(line) {
				t.Fatalf("a line of %d bytes: %q", len(line), line)
			}
		}
	})
}

// FuzzParseStat: the kernel writes a process's name as the process chose it.
func FuzzParseStat(f *testing.F) {
	f.Add([]byte("42 (a) b) c) S 7 42 42 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 9 0 12345 1000000 300 18446744073709551615 1 1"))
	f.Add([]byte("42 (y) S 1 2 3"))
	f.Fuzz(func(t *testing.T, b []byte) {
		pid, p, ok := parseStat(b)
		if !ok {
			return
		}
		usage{pid: p}.of(pid) // must end
	})
}
