package sdk

import "github.com/parley-chat/parley/protocol/pluginpb"

// updates sends what one Invoke shows.
type updates struct {
	x  *session
	id uint64
}

func (u updates) send(update *pluginpb.InvokeUpdate) {
	u.x.answer(&pluginpb.HookResponse{Id: u.id, Answer: &pluginpb.HookResponse_Update{Update: update}})
}

func (u updates) Preview(text string) {
	u.send(&pluginpb.InvokeUpdate{Update: &pluginpb.InvokeUpdate_Preview{Preview: text}})
}

func (u updates) Insert(text string) {
	u.send(&pluginpb.InvokeUpdate{Update: &pluginpb.InvokeUpdate_Insert{Insert: text}})
}

func (u updates) Card(card *pluginpb.Card) {
	u.send(&pluginpb.InvokeUpdate{Update: &pluginpb.InvokeUpdate_Card{Card: card}})
}

func (u updates) Progress(label string, done, total uint64) {
	u.send(&pluginpb.InvokeUpdate{Update: &pluginpb.InvokeUpdate_Progress{Progress: &pluginpb.Progress{Label: label, Done: done, Total: total}}})
}
