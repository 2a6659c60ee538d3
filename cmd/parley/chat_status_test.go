package main

import (
	"strings"
	"testing"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"github.com/parley-chat/parley/protocol/controlpb"
)

func TestStatusRow(t *testing.T) {
	const chat = "alice-bob"
	bob := &controlpb.Contact{User: "bob", Name: "Bob", Chat: chat, State: controlpb.ContactState_CONTACT_STATE_CONTACT, Linked: true, Path: "lan"}
	types := func(chat, data string) *controlpb.Event {
		return &controlpb.Event{Event: &controlpb.Event_PluginEvent{PluginEvent: &controlpb.PluginEvent{
			Plugin: "text", Name: "typing", Chat: chat, User: "bob", Data: []byte(data),
		}}}
	}
	message := func(chat, author string, own bool, d controlpb.Delivery) *controlpb.Message {
		return &controlpb.Message{Id: []byte(author), Chat: chat, Author: author, Own: own, Delivery: d}
	}
	added := func(m *controlpb.Message) *controlpb.Event {
		return &controlpb.Event{Event: &controlpb.Event_MessageAdded{MessageAdded: m}}
	}
	changed := func(m *controlpb.Message) *controlpb.Event {
		return &controlpb.Event{Event: &controlpb.Event_MessageChanged{MessageChanged: m}}
	}
	var shown string
	row := &statusRow{chat: chat, show: func(s string) { shown = s }}
	for _, step := range []struct {
		name  string
		event *controlpb.Event
		want  string
	}{
		{"the contact is there", &controlpb.Event{Event: &controlpb.Event_Contact{Contact: bob}}, "Bob is online (lan)"},
		{"a message is kept", added(message(chat, "alice", true, controlpb.Delivery_DELIVERY_QUEUED)), "Bob is online (lan) · your latest message: queued"},
		{"and read", changed(message(chat, "alice", true, controlpb.Delivery_DELIVERY_READ)), "Bob is online (lan) · your latest message: read"},
		{"typing", types(chat, `{"typing":true}`), "Bob is typing… · your latest message: read"},
		{"another chat", types("alice-carol", `{"typing":false}`), "Bob is typing… · your latest message: read"},
		{"another chat's message", added(message("alice-carol", "alice", true, controlpb.Delivery_DELIVERY_SENT)), "Bob is typing… · your latest message: read"},
		{"the message comes", added(message(chat, "bob", false, 0)), "Bob is online (lan) · your latest message: read"},
		{"typing again", types(chat, `{"typing":true}`), "Bob is typing… · your latest message: read"},
		{"and not", types(chat, `{"typing":false}`), "Bob is online (lan) · your latest message: read"},
		{"deleted", changed(&controlpb.Message{Id: []byte("alice"), Chat: chat, Own: true, Deleted: true, Delivery: controlpb.Delivery_DELIVERY_READ}), "Bob is online (lan)"},
	} {
		if row.take(step.event); shown != step.want {
			t.Errorf("%s: %q, want %q", step.name, shown, step.want)
		}
	}
}

func TestLineEditorShowsStatus(t *testing.T) {
	m := newLineModel(nil)
	m.Update(tea.WindowSizeMsg{Width: 20, Height: 10})
	m.Update(statusText("Bob is online · your latest message: read"))
	rows := strings.Split(ansi.Strip(m.View().Content), "\n")
	if len(rows) != 2 || rows[1] != "Bob is online · you…" {
		t.Errorf("%q", rows)
	}
}

func TestLineEditorTellsTyping(t *testing.T) {
	for _, test := range []struct {
		name string
		keys []tea.Msg
		want bool
	}{
		{"text", typed("h"), true},
		{"a command", typed("/help"), false},
		{"taking back", append(typed("/"), press(tea.KeyBackspace, 0)), false},
		{"cursor keys", []tea.Msg{press(tea.KeyLeft, 0)}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			told := make(chan struct{}, 1)
			m := newLineModel(nil)
			m.typed = told
			for _, key := range test.keys {
				m.Update(key)
			}
			if got := len(told) == 1; got != test.want {
				t.Errorf("told: %v", got)
			}
		})
	}
}

func TestRowsOf(t *testing.T) {
	for _, test := range []struct {
		name, text string
		columns    int
		want       string
	}{
		{"short", "13:29 bob: hi", 40, "13:29 bob: hi"},
		{"between words", "13:29 bob: one two three four", 30, "13:29 bob: one two three\n      four"},
		{"no words", "13:29 bob: " + strings.Repeat("x", 40), 30, "13:29 bob:\n      " + strings.Repeat("x", 24) + "\n      " + strings.Repeat("x", 16)},
		{"two columns each", strings.Repeat("天", 20), 30, strings.Repeat("天", 12) + "\n      " + strings.Repeat("天", 8)},
		{"its own lines", "a\n      b", 40, "a\n      b"},
		{"very narrow", "one two", 5, "one\ntwo"},
	} {
		t.Run(test.name, func(t *testing.T) {
			rows := rowsOf(test.text, test.columns)
			if got := strings.Join(rows, "\n"); got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
			for _, row := range rows {
				if w := ansi.StringWidth(row); w > test.columns {
					t.Errorf("%q is %d columns wide", row, w)
				}
			}
		})
	}
}

func TestStateOf(t *testing.T) {
	const (
		queued, sent, delivered, read, failed = controlpb.Delivery_DELIVERY_QUEUED, controlpb.Delivery_DELIVERY_SENT,
			controlpb.Delivery_DELIVERY_DELIVERED, controlpb.Delivery_DELIVERY_READ, controlpb.Delivery_DELIVERY_FAILED
	)
	for _, test := range []struct {
		want  string
		least controlpb.Delivery
		each  []controlpb.Delivery
	}{
		{"", 0, nil},
		{"delivered", delivered, []controlpb.Delivery{delivered}},
		{"queued", queued, []controlpb.Delivery{queued, queued, sent}},
		{"delivered to 1 of 3", queued, []controlpb.Delivery{queued, queued, delivered}},
		{"delivered", delivered, []controlpb.Delivery{delivered, delivered}},
		{"read by 1 of 3", queued, []controlpb.Delivery{queued, delivered, read}},
		{"read by 1 of 2", delivered, []controlpb.Delivery{delivered, read}},
		{"read", read, []controlpb.Delivery{read, read}},
		{"failed", failed, []controlpb.Delivery{failed, failed}},
		{"delivered to 1 of 2", read, []controlpb.Delivery{failed, read}},
		{"queued", queued, []controlpb.Delivery{failed, queued}},
	} {
		m := &controlpb.Message{Delivery: test.least}
		for _, d := range test.each {
			m.Recipients = append(m.Recipients, &controlpb.RecipientState{Delivery: d})
		}
		if got := stateOf(m); got != test.want {
			t.Errorf("%v is called %q, not %q", test.each, got, test.want)
		}
	}
}

func TestRefused(t *testing.T) {
	const delivered, failed = controlpb.Delivery_DELIVERY_DELIVERED, controlpb.Delivery_DELIVERY_FAILED
	m := &controlpb.Message{Recipients: []*controlpb.RecipientState{
		{User: "bob", Delivery: delivered}, {User: "carol", Delivery: delivered},
	}}
	if err := refused(m); err != nil {
		t.Errorf("delivered to all, and refused: %v", err)
	}
	m.Recipients[1].Delivery, m.Recipients[1].Reason = failed, "her disk is full"
	if err, want := refused(m), "the message was refused: carol: her disk is full"; err == nil || err.Error() != want {
		t.Errorf("failed for one of two: %v, not %q", err, want)
	}
	m.Recipients[0].Delivery, m.Recipients[0].Reason, m.Recipients[1].Reason = failed, "No.", "Nor here."
	if err, want := refused(m), "the message was refused: bob: No; carol: Nor here"; err == nil || err.Error() != want {
		t.Errorf("failed for both: %v, not %q", err, want)
	}
}
