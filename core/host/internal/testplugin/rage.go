package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/parley-chat/parley/protocol/pluginpb"
)

// rage does harm for as long as it is let.
func (b *behaviour) rage() {
	chat := "alice-bob"
	if b.start.GetUser() != "alice" {
		chat = "alice-" + b.start.GetUser()
	}
	switch b.config.Mode {
	case "rage-requests": // answers are taken and thrown away
		for i := uint64(1 << 40); ; i++ {
			b.send(&pluginpb.PluginMessage{Requests: []*pluginpb.HostRequest{
				{Id: i, Request: &pluginpb.HostRequest_QueryMessages{QueryMessages: &pluginpb.QueryMessages{Chat: chat}}},
				{Id: i, Request: &pluginpb.HostRequest_QueryContacts{QueryContacts: &pluginpb.QueryContacts{}}},
				{Id: i, Request: &pluginpb.HostRequest_QueryValues{QueryValues: &pluginpb.QueryValues{}}},
			}})
		}
	case "rage-events":
		effect := &pluginpb.Effect{Effect: &pluginpb.Effect_PublishEvent{PublishEvent: &pluginpb.PublishEvent{Name: "evil.x", Chat: chat, Data: make([]byte, 16<<10)}}}
		effects := make([]*pluginpb.Effect, 64)
		for i := range effects {
			effects[i] = effect
		}
		for {
			b.ask(&pluginpb.HostRequest{Request: &pluginpb.HostRequest_Apply{Apply: &pluginpb.ApplyRequest{Effects: effects}}})
		}
	case "rage-values": // the largest there may be, again and again
		value := make([]byte, 256<<10)
		for i := 0; ; i++ {
			b.ask(&pluginpb.HostRequest{Request: &pluginpb.HostRequest_Apply{Apply: &pluginpb.ApplyRequest{Effects: []*pluginpb.Effect{
				{Effect: &pluginpb.Effect_PutValue{PutValue: &pluginpb.PutValue{Key: strconv.Itoa(i % 8), Value: value}}},
			}}}})
		}
	case "rage-noise":
		line := []byte(strings.Repeat("noise ", 1000) + "\n")
		go func() {
			for {
				_, _ = os.Stdout.Write(line)
			}
		}()
		go func() {
			for {
				_, _ = os.Stderr.Write(bytes.Repeat([]byte{0xff}, 1<<16)) // no line ever ends
			}
		}()
		for i := uint64(1 << 40); ; i++ {
			b.send(&pluginpb.PluginMessage{Requests: []*pluginpb.HostRequest{{Id: i, Request: &pluginpb.HostRequest_Log{Log: &pluginpb.LogRequest{Text: strings.Repeat("x", 1<<20)}}}}})
		}
	case "rage-large":
		b.send(&pluginpb.PluginMessage{Requests: []*pluginpb.HostRequest{{Id: 1, Request: &pluginpb.HostRequest_Log{Log: &pluginpb.LogRequest{Text: strings.Repeat("x", 16<<20)}}}}})
	case "rage-answers":
		b.send(&pluginpb.PluginMessage{Responses: []*pluginpb.HookResponse{{Id: 4711}}})
	}
}

// hog takes bytes of memory, really, and keeps them.
func hog(bytes int) string {
	const piece = 4 << 20
	for taken := 0; taken < bytes; taken += piece {
		b := make([]byte, piece)
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		hogged = append(hogged, b)
	}
	return fmt.Sprintf("has %d bytes", bytes)
}

var hogged [][]byte

// fork starts n processes and says how many it got.
func fork(n int) string {
	var running []*exec.Cmd
	var err error
	for range n {
		cmd := exec.CommandContext(context.Background(), "/bin/sleep", "1000")
		if err = cmd.Start(); err != nil {
			break
		}
		running = append(running, cmd)
	}
	time.Sleep(10 * time.Millisecond) // at least one look
	for _, cmd := range running {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	return fmt.Sprintf("%d %v", len(running), err)
}

// multiply starts n processes and keeps them.
func multiply(n int) string {
	for i := range n {
		if err := exec.CommandContext(context.Background(), "/bin/sleep", "1000").Start(); err != nil {
			return fmt.Sprintf("%d %v", i, err)
		}
	}
	return strconv.Itoa(n)
}

// fill writes a file of up to n bytes and says how far it came.
func fill(path string, n int) string {
	f, err := os.Create(path)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = os.Remove(path) }()
	defer func() { _ = f.Close() }()
	piece := make([]byte, 1<<20)
	for written := 0; ; {
		if written >= n {
			return fmt.Sprintf("%d bytes", written)
		}
		k, err := f.Write(piece)
		if written += k; err != nil {
			return fmt.Sprintf("%d bytes, %v", written, err)
		}
	}
}
