package main

import (
	"testing"

	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// TestTakes: what cannot be paused is not offered for it, and is for what can be.
func TestTakes(t *testing.T) {
	states := []pluginpb.BlobState{pluginpb.BlobState_BLOB_STATE_WANTED}
	for _, c := range []struct {
		action, chat string
		state        pluginpb.BlobState
		want         bool
	}{
		{"pause", "alice-bob", pluginpb.BlobState_BLOB_STATE_WANTED, true},
		{"pause", "alice-bob", pluginpb.BlobState_BLOB_STATE_DONE, false},
		{"pause", "net2019:2017000001-2017000002", pluginpb.BlobState_BLOB_STATE_WANTED, false},
		{"cancel", "net2019:2017000001-2017000002", pluginpb.BlobState_BLOB_STATE_WANTED, true},
	} {
		b := &controlpb.Blob{Blob: &pluginpb.Blob{Chat: c.chat, State: c.state}}
		if got := takes(c.action, states, b); got != c.want {
			t.Errorf("%s in %s, %v: %v", c.action, c.chat, c.state, got)
		}
	}
}
