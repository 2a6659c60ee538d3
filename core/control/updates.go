package control

import (
	"sync"

	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// invokeUpdates passes a plugin's updates on to the front end that asked, and
// nothing after the result.
type invokeUpdates struct {
	stream controlpb.Control_InvokeServer

	mu    sync.Mutex // guards ended, and that sends do not overlap
	ended bool
}

func (u *invokeUpdates) send(update *pluginpb.InvokeUpdate) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.ended {
		return
	}
	// A front end that went away cancels the stream's context, which ends the
	// Invoke; nothing is to be done here.
	_ = u.stream.Send(&controlpb.InvokeResponse{Response: &controlpb.InvokeResponse_Update{Update: update}})
}

func (u *invokeUpdates) end() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.ended = true
}
