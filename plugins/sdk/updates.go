package sdk

import (
	"strings"

	"github.com/parley-chat/parley/protocol/pluginpb"
)

// updates sends what one Invoke shows.
type updates struct {
	x  *session
	id uint64
}

func (u updates) send(update *pluginpb.InvokeUpdate) {
	u.x.answer(&pluginpb.HookResponse{Id: u.id, Answer: &pluginpb.HookResponse_Update{Update: update}})
}

func (u updates) Preview(text string) {
	u.send(&pluginpb.InvokeUpdate{Update: &pluginpb.InvokeUpdate_Preview{Preview: valid(text)}})
}

func (u updates) Insert(text string) {
	u.send(&pluginpb.InvokeUpdate{Update: &pluginpb.InvokeUpdate_Insert{Insert: valid(text)}})
}

func (u updates) Card(card *pluginpb.Card) {
	if err := encodable(card); err != nil {
		u.x.host.log.Error("card of an update is lost", "error", err)
		return
	}
	u.send(&pluginpb.InvokeUpdate{Update: &pluginpb.InvokeUpdate_Card{Card: card}})
}

func (u updates) Progress(label string, done, total uint64) {
	u.send(&pluginpb.InvokeUpdate{Update: &pluginpb.InvokeUpdate_Progress{Progress: &pluginpb.Progress{Label: valid(label), Done: done, Total: total}}})
}

func valid(text string) string { return strings.ToValidUTF8(text, "\uFFFD") }
