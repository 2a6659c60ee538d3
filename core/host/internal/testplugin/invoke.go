package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/parley-chat/parley/protocol/pluginpb"
)

func (b *behaviour) update(id uint64, u *pluginpb.InvokeUpdate) {
	b.answer(&pluginpb.HookResponse{Id: id, Answer: &pluginpb.HookResponse_Update{Update: u}})
}

func insert(text string) *pluginpb.InvokeUpdate {
	return &pluginpb.InvokeUpdate{Update: &pluginpb.InvokeUpdate_Insert{Insert: text}}
}

func (b *behaviour) invoke(id uint64, r *pluginpb.InvokeRequest) {
	b.note("invoked", r.GetAction()+" "+r.GetText())
	answer := &pluginpb.InvokeResponse{}
	switch r.GetAction() {
	case "send":
		m := &pluginpb.Manifest{}
		_ = protojson.Unmarshal(b.config.Manifest, m)
		kind, kindOfPacket := m.GetMessageKinds()[0].GetName(), m.GetPacketTypes()[0].GetName()
		answer.Effects = []*pluginpb.Effect{
			{Effect: &pluginpb.Effect_SendPacket{SendPacket: &pluginpb.SendPacket{Id: r.GetInvocation(), Chat: r.GetChat(), Type: kindOfPacket, Content: []byte(r.GetText())}}},
			{Effect: &pluginpb.Effect_AddMessage{AddMessage: &pluginpb.AddMessage{Id: r.GetInvocation(), Chat: r.GetChat(), Kind: kind, Body: r.GetText()}}},
		}
		answer.Result = []byte("sent " + r.GetText())
	case "die":
		os.Exit(6)
	case "die-once":
		b.update(id, insert("one"))
		if b.first(r.GetText()) {
			time.Sleep(50 * time.Millisecond)
			os.Exit(6)
		}
		b.update(id, insert("two"))
		answer.Result = []byte("lived")
	case "hang":
		b.update(id, insert("hanging"))
		b.mu.Lock()
		c := b.cancel[id]
		b.mu.Unlock()
		<-c
		b.note("cancelled", r.GetText())
		b.fail(id, codes.Canceled, "cancelled")
		return
	case "slow":
		time.Sleep(300 * time.Millisecond)
		answer.Result = []byte(strconv.Itoa(os.Getpid()))
	case "fail":
		// What it gives for a reason the test says.
		b.answer(&pluginpb.HookResponse{Id: id, Answer: &pluginpb.HookResponse_Error{Error: &pluginpb.Error{
			Code: int32(codes.FailedPrecondition), Message: "the teapot is empty", Reason: r.GetText(), Metadata: r.GetArgs(),
		}}})
		return
	case "read":
		content, err := os.ReadFile(r.GetText())
		answer.Result = fmt.Appendf(nil, "%s %v", content, err)
	case "write":
		answer.Result = fmt.Appendf(nil, "%v", os.WriteFile(r.GetText(), []byte("x"), 0o600))
	case "dial":
		network := "tcp"
		if strings.HasPrefix(r.GetText(), "/") {
			network = "unix"
		}
		c, err := (&net.Dialer{Timeout: time.Second}).DialContext(b.stream.Context(), network, r.GetText())
		if err == nil {
			_ = c.Close()
		}
		answer.Result = fmt.Appendf(nil, "%v", err)
	case "hog":
		answer.Result = []byte(hog(number(r.GetText())))
	case "fork":
		answer.Result = []byte(fork(number(r.GetText())))
	case "multiply":
		answer.Result = []byte(multiply(number(r.GetText())))
	case "fill":
		answer.Result = []byte(fill(r.GetText(), 64<<20))
	case "environment":
		answer.Result = []byte(strings.Join(os.Environ(), "\n"))
	case "settings":
		b.mu.Lock()
		answer.Result, _ = json.Marshal(b.seen)
		b.mu.Unlock()
	case "big-result":
		answer.Result = make([]byte, 70000)
	case "effects":
		if err := protojson.Unmarshal([]byte(r.GetText()), answer); err != nil {
			b.fail(id, codes.InvalidArgument, err.Error())
			return
		}
	case "ask":
		// The text is a HostRequest in JSON; the result the answer.
		q := &pluginpb.HostRequest{}
		if err := protojson.Unmarshal([]byte(r.GetText()), q); err != nil {
			b.fail(id, codes.InvalidArgument, err.Error())
			return
		}
		answer.Result, _ = protojson.Marshal(b.ask(q))
	case "flood":
		answer.Result = []byte(strconv.Itoa(b.flood()))
	case "log":
		for i := range 5000 {
			b.send(&pluginpb.PluginMessage{Requests: []*pluginpb.HostRequest{{Id: uint64(1e6 + i), Request: &pluginpb.HostRequest_Log{Log: &pluginpb.LogRequest{Text: "spam"}}}}})
		}
	case "updates":
		for i := range 1000 {
			b.update(id, &pluginpb.InvokeUpdate{Update: &pluginpb.InvokeUpdate_Preview{Preview: strconv.Itoa(i)}})
		}
		b.update(id, insert("end"))
	case "long-update":
		b.update(id, insert(strings.Repeat("x", 70000)))
	case "print":
		fmt.Println(strings.Repeat("noise\n", 50000))
	}
	b.answer(&pluginpb.HookResponse{Id: id, Answer: &pluginpb.HookResponse_Invoke{Invoke: answer}})
}

// flood asks a thousand things at once and counts refusals.
func (b *behaviour) flood() int {
	m := &pluginpb.PluginMessage{}
	var answers []chan *pluginpb.HostResponse
	b.mu.Lock()
	for range 1000 {
		b.lastID++
		c := make(chan *pluginpb.HostResponse, 1)
		b.asked[b.lastID] = c
		answers = append(answers, c)
		m.Requests = append(m.Requests, &pluginpb.HostRequest{Id: b.lastID, Request: &pluginpb.HostRequest_QueryContacts{QueryContacts: &pluginpb.QueryContacts{}}})
	}
	b.mu.Unlock()
	b.send(m)
	refused := 0
	for _, c := range answers {
		if (<-c).GetError().GetCode() == int32(codes.ResourceExhausted) {
			refused++
		}
	}
	return refused
}
