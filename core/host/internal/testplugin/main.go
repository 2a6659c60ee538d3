// Command testplugin is a plugin that does as the host's tests tell it: by a
// configuration appended to its executable, by the contents of packets, and by
// the actions it is asked for.
package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/rpc"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/parley-chat/parley/protocol/pluginpb"
)

// config stands at the end of the executable: JSON, then its length in 4 bytes.
type config struct {
	Manifest json.RawMessage `json:"manifest"`
	Cookie   string          `json:"cookie"`
	// Mode: "", "silent", "garbage", "tcp", "exit", "slow-describe",
	// "describe-error", "die-after-describe", "die-after-start", "die-after-handling",
	// "ask-in-start", "deaf" (does not exit when told), "rage-..." (see rage.go)
	Mode string `json:"mode"`
}

func readConfig() (config, error) {
	var c config
	f, err := os.Open("/proc/self/exe")
	if err != nil {
		return c, err
	}
	defer f.Close() //nolint:errcheck // only read
	info, err := f.Stat()
	if err != nil {
		return c, err
	}
	var size [4]byte
	if _, err := f.ReadAt(size[:], info.Size()-4); err != nil {
		return c, err
	}
	n := int64(binary.BigEndian.Uint32(size[:]))
	raw := make([]byte, n)
	if _, err := f.ReadAt(raw, info.Size()-4-n); err != nil {
		return c, err
	}
	return c, json.Unmarshal(raw, &c)
}

// stderr is where a panic goes. What stands in its place once the plugin serves goes
// through the connection, and is lost when the process ends before it is on its way.
var stderr = os.Stderr

func main() {
	c, err := readConfig()
	if err != nil {
		fmt.Fprintln(os.Stderr, "no configuration:", err)
		os.Exit(9)
	}
	fmt.Fprintln(os.Stderr, "test plugin starts in mode", c.Mode)
	switch c.Mode {
	case "silent":
		time.Sleep(time.Hour)
	case "garbage":
		fmt.Println("hello, is it me you are looking for?")
		time.Sleep(time.Hour)
	case "tcp":
		l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
		if err != nil {
			os.Exit(9)
		}
		fmt.Printf("1|1|tcp|%s|grpc|\n", l.Addr())
		time.Sleep(time.Hour)
	case "exit":
		fmt.Fprintln(os.Stderr, "cannot find my teapot")
		os.Exit(7)
	}
	if c.Mode != "deaf" {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			os.Exit(0)
		}()
	}
	cookie := "parley"
	if c.Cookie != "" {
		cookie = c.Cookie
	}
	goplugin.Serve(&goplugin.ServeConfig{
		HandshakeConfig: goplugin.HandshakeConfig{ProtocolVersion: 1, MagicCookieKey: "PARLEY_PLUGIN", MagicCookieValue: cookie},
		Plugins:         goplugin.PluginSet{"plugin": &served{config: c}},
		GRPCServer: func(options []grpc.ServerOption) *grpc.Server {
			return grpc.NewServer(append(options, grpc.MaxRecvMsgSize(4<<20), grpc.MaxSendMsgSize(64<<20))...)
		},
	})
}

type served struct{ config config }

func (*served) Server(*goplugin.MuxBroker) (any, error) { return nil, errors.ErrUnsupported }
func (*served) Client(*goplugin.MuxBroker, *rpc.Client) (any, error) {
	return nil, errors.ErrUnsupported
}
func (*served) GRPCClient(context.Context, *goplugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, errors.ErrUnsupported
}
func (s *served) GRPCServer(_ *goplugin.GRPCBroker, server *grpc.Server) error {
	pluginpb.RegisterPluginServer(server, &behaviour{config: s.config, handled: make(chan struct{})})
	return nil
}

type behaviour struct {
	pluginpb.UnimplementedPluginServer
	config config
	stream pluginpb.Plugin_SessionServer
	start  *pluginpb.StartRequest

	handled chan struct{} // closed by once when the first Handle was answered
	once    sync.Once

	mu     sync.Mutex // guards all below, and sending
	asked  map[uint64]chan *pluginpb.HostResponse
	lastID uint64
	cancel map[uint64]chan struct{}
	seen   map[string]string // settings as last heard
}

func (b *behaviour) Session(stream pluginpb.Plugin_SessionServer) error {
	b.stream, b.asked, b.cancel = stream, map[uint64]chan *pluginpb.HostResponse{}, map[uint64]chan struct{}{}
	for {
		m, err := stream.Recv()
		if err != nil {
			if b.config.Mode != "deaf" {
				os.Exit(0)
			}
			time.Sleep(time.Hour)
		}
		for _, r := range m.GetResponses() {
			b.mu.Lock()
			c := b.asked[r.GetId()]
			b.mu.Unlock()
			if c != nil {
				c <- r
			}
		}
		for _, r := range m.GetRequests() {
			if c := r.GetCancel(); c != nil {
				b.mu.Lock()
				if ch := b.cancel[c.GetId()]; ch != nil {
					close(ch)
				}
				b.mu.Unlock()
				continue
			}
			if r.GetInvoke() != nil {
				b.mu.Lock()
				b.cancel[r.GetId()] = make(chan struct{})
				b.mu.Unlock()
			}
			go b.hook(r)
		}
	}
}

func (b *behaviour) send(m *pluginpb.PluginMessage) {
	b.mu.Lock()
	defer b.mu.Unlock()
	_ = b.stream.Send(m)
}

func (b *behaviour) answer(r *pluginpb.HookResponse) {
	b.send(&pluginpb.PluginMessage{Responses: []*pluginpb.HookResponse{r}})
}

func (b *behaviour) fail(id uint64, code codes.Code, text string) {
	b.answer(&pluginpb.HookResponse{Id: id, Answer: &pluginpb.HookResponse_Error{Error: &pluginpb.Error{Code: int32(code), Message: text}}})
}

func (b *behaviour) ask(r *pluginpb.HostRequest) *pluginpb.HostResponse {
	b.mu.Lock()
	b.lastID++
	r.Id = b.lastID
	c := make(chan *pluginpb.HostResponse, 1)
	b.asked[r.Id] = c
	b.mu.Unlock()
	b.send(&pluginpb.PluginMessage{Requests: []*pluginpb.HostRequest{r}})
	return <-c
}

func (b *behaviour) hook(r *pluginpb.HookRequest) {
	switch h := r.GetHook().(type) {
	case *pluginpb.HookRequest_Describe:
		b.describe(r.GetId())
	case *pluginpb.HookRequest_Start:
		b.start, b.seen = h.Start, h.Start.GetSettings()
		if b.config.Mode == "ask-in-start" {
			b.ask(&pluginpb.HostRequest{Request: &pluginpb.HostRequest_QueryValues{QueryValues: &pluginpb.QueryValues{}}})
		}
		b.answer(&pluginpb.HookResponse{Id: r.GetId(), Answer: &pluginpb.HookResponse_Start{Start: &pluginpb.StartResponse{}}})
		if strings.HasPrefix(b.config.Mode, "rage-") {
			b.rage()
		}
		if b.config.Mode == "die-after-start" || b.config.Mode == "die-after-handling" {
			if b.config.Mode == "die-after-handling" && b.first("death") {
				<-b.handled // or what it was handed in would be held to be the cause
			}
			time.Sleep(20 * time.Millisecond)
			_, _ = fmt.Fprintln(stderr, "I have seen enough")
			os.Exit(4)
		}
	case *pluginpb.HookRequest_Handle:
		b.handle(r.GetId(), h.Handle)
	case *pluginpb.HookRequest_Invoke:
		b.invoke(r.GetId(), h.Invoke)
	case *pluginpb.HookRequest_Stop:
		if b.config.Mode == "deaf" {
			return
		}
		b.answer(&pluginpb.HookResponse{Id: r.GetId(), Answer: &pluginpb.HookResponse_Stop{Stop: &pluginpb.StopResponse{}}})
	}
}

func (b *behaviour) describe(id uint64) {
	switch b.config.Mode {
	case "slow-describe":
		time.Sleep(time.Hour)
	case "describe-error":
		b.fail(id, codes.Internal, "I do not know who I am")
		return
	}
	m := &pluginpb.Manifest{}
	if err := protojson.Unmarshal(b.config.Manifest, m); err != nil {
		fmt.Fprintln(os.Stderr, "manifest:", err)
		os.Exit(9)
	}
	b.answer(&pluginpb.HookResponse{Id: id, Answer: &pluginpb.HookResponse_Describe{Describe: &pluginpb.DescribeResponse{Manifest: m}}})
	if b.config.Mode == "die-after-describe" {
		os.Exit(5)
	}
}

// note appends a line to a file in the data folder.
func (b *behaviour) note(file, line string) {
	f, err := os.OpenFile(filepath.Join(b.start.GetDataFolder(), file), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	_, _ = f.WriteString(line + "\n")
	_ = f.Close()
}

// first says whether it is asked the first time for key, over all processes.
func (b *behaviour) first(key string) bool {
	f, err := os.OpenFile(filepath.Join(b.start.GetDataFolder(), "once-"+key), os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return false
	}
	_ = f.Close()
	return true
}

func (b *behaviour) handle(id uint64, h *pluginpb.HandleRequest) {
	var outcomes []*pluginpb.Outcome
	for i, item := range h.GetItems() {
		if e := item.GetEvent(); e != nil {
			outcomes = append(outcomes, b.event(e))
			continue
		}
		p := item.GetPacket()
		word, rest, _ := strings.Cut(string(p.GetContent()), ":")
		switch {
		case word == "error":
			if i == 0 {
				b.fail(id, codes.Internal, "cannot make sense of it")
				return
			}
			word = "stop"
		case (word == "partial" || word == "none") && i > 0:
			word = "stop"
		}
		if word == "stop" {
			break
		}
		o := b.packet(p, word, rest)
		if o == nil {
			return
		}
		outcomes = append(outcomes, o)
	}
	b.note("batches", strconv.Itoa(len(outcomes))+" of "+strconv.Itoa(len(h.GetItems())))
	if len(outcomes) > 0 && outcomes[0].GetRefuse() == "NONE" {
		outcomes = nil
	}
	b.answer(&pluginpb.HookResponse{Id: id, Answer: &pluginpb.HookResponse_Handle{Handle: &pluginpb.HandleResponse{Outcomes: outcomes}}})
	b.once.Do(func() { close(b.handled) })
}

func (b *behaviour) event(e *pluginpb.Event) *pluginpb.Outcome {
	switch {
	case e.GetSettings() != nil:
		b.mu.Lock()
		b.seen = e.GetSettings().GetSettings()
		b.mu.Unlock()
		b.note("events", "settings")
	case e.GetPresence() != nil:
		b.note("events", fmt.Sprintf("presence %s %v", e.GetPresence().GetUser(), e.GetPresence().GetOnline()))
	case e.GetLink() != nil:
		b.note("events", fmt.Sprintf("link %s %v", e.GetLink().GetUser(), e.GetLink().GetUp()))
	case e.GetBlob() != nil:
		b.note("events", fmt.Sprintf("blob %s %d", e.GetBlob().GetName(), e.GetBlob().GetState()))
		switch e.GetBlob().GetName() {
		case "deadly":
			os.Exit(6)
		case "deadly once":
			if b.first("blob") {
				os.Exit(6)
			}
		}
	case e.GetMessage() != nil:
		b.note("events", "message "+e.GetMessage().GetBody())
	}
	return &pluginpb.Outcome{}
}

func (b *behaviour) kind() string {
	m := &pluginpb.Manifest{}
	_ = protojson.Unmarshal(b.config.Manifest, m)
	return m.GetMessageKinds()[0].GetName()
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(9)
	}
	return n
}

func add(p *pluginpb.Packet, kind, body string) *pluginpb.Effect {
	return &pluginpb.Effect{Effect: &pluginpb.Effect_AddMessage{AddMessage: &pluginpb.AddMessage{Id: p.GetId(), Chat: p.GetChat(), Kind: kind, Body: body}}}
}

// packet does what a packet says; nil when there is to be no answer.
func (b *behaviour) packet(p *pluginpb.Packet, word, rest string) *pluginpb.Outcome {
	effects := func(e ...*pluginpb.Effect) *pluginpb.Outcome { return &pluginpb.Outcome{Effects: e} }
	switch word {
	case "crash":
		fmt.Fprintln(os.Stderr, "poisoned by", rest)
		os.Exit(3)
	case "crash-once":
		if b.first(rest) {
			os.Exit(3)
		}
	case "hang":
		select {}
	case "slow":
		ms, _ := strconv.Atoi(rest)
		b.note("slow", rest)
		time.Sleep(time.Duration(ms) * time.Millisecond)
	case "refuse":
		return &pluginpb.Outcome{Refuse: rest}
	case "none":
		return &pluginpb.Outcome{Refuse: "NONE"}
	case "undeclared":
		return effects(&pluginpb.Effect{Effect: &pluginpb.Effect_SendPacket{SendPacket: &pluginpb.SendPacket{Chat: p.GetChat(), Type: "video", Content: []byte("x")}}})
	case "forged":
		e := add(p, b.kind(), rest)
		e.GetAddMessage().Id = []byte("0123456789abcdef")
		return effects(e)
	case "elsewhere":
		e := add(p, b.kind(), "x")
		e.GetAddMessage().Chat = rest
		return effects(e)
	case "long":
		return effects(add(p, b.kind(), strings.Repeat("x", 70000)))
	case "huge":
		return effects(add(p, b.kind(), strings.Repeat("x", 5<<20)))
	case "unknown-id":
		b.answer(&pluginpb.HookResponse{Id: 4711, Answer: &pluginpb.HookResponse_Stop{Stop: &pluginpb.StopResponse{}}})
		return nil
	case "reply":
		return effects(&pluginpb.Effect{Effect: &pluginpb.Effect_SendPacket{SendPacket: &pluginpb.SendPacket{Chat: p.GetChat(), Type: p.GetType(), Content: []byte(rest)}}})
	case "place":
		return effects(add(p, b.kind(), fmt.Sprintf("%s %x/%d/%d", rest, p.GetDevice(), p.GetEpoch(), p.GetNumber())))
	case "raw":
		// The rest is an Outcome in JSON; "PACKET" stands for the packet's id.
		o := &pluginpb.Outcome{}
		raw := strings.ReplaceAll(rest, "PACKET", jsonID(p.GetId()))
		if err := protojson.Unmarshal([]byte(raw), o); err != nil {
			fmt.Fprintln(os.Stderr, "raw:", err)
		}
		return o
	}
	if p.GetEphemeral() {
		return effects(&pluginpb.Effect{Effect: &pluginpb.Effect_PublishEvent{PublishEvent: &pluginpb.PublishEvent{Name: "typing", Chat: p.GetChat(), User: p.GetAuthor()}}})
	}
	b.note("handled", string(p.GetContent()))
	return effects(add(p, b.kind(), string(p.GetContent())))
}

func jsonID(id []byte) string {
	s, _ := json.Marshal(id)
	return strings.Trim(string(s), `"`)
}
