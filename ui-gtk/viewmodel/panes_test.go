package viewmodel

import (
	"testing"

	"github.com/parley-chat/parley/protocol/controlpb"
)

func TestPanesFold(t *testing.T) {
	core := newFakeCore()
	core.chats = []*controlpb.Chat{chatOf("b", "bob", 2, "hello")}
	w := openWindow(t, core)
	p := w.session.Panes
	check := func(what string, want Layout) {
		t.Helper()
		if got := p.Layout.Get(); got != want {
			t.Errorf("%s: %+v, not %+v", what, got, want)
		}
	}
	both := Layout{SideWidth: 300, Side: true, Chat: true}
	p.Resize(700, 100)
	check("wide, no chat", both)
	p.Open("b")
	check("wide, a chat", both)
	p.Resize(699, 100)
	check("narrow, a chat", Layout{SideWidth: 300, Chat: true, Back: true})
	p.Open("")
	check("narrow, back", Layout{SideWidth: 300, Side: true})
	p.Open("b")
	check("narrow, a chat again", Layout{SideWidth: 300, Chat: true, Back: true})
	p.Resize(800, 200)
	check("large text needs more room", Layout{SideWidth: 450, Chat: true, Back: true})
	p.Resize(1050, 200)
	check("and may have it", Layout{SideWidth: 450, Side: true, Chat: true})
	p.Resize(600, 80)
	core.tell(nil, &controlpb.Event{Event: &controlpb.Event_ChatRemoved{ChatRemoved: "b"}})
	w.until("the list is seen once the chat is gone", func() bool { return p.Layout.Get() == Layout{SideWidth: 300, Side: true} })
	if p.Chat.Get() != "" {
		t.Error("a chat that is gone is open")
	}
}

// TestPanesTellOnlyChanges: a window that is resized draws nothing anew for it.
func TestPanesTellOnlyChanges(t *testing.T) {
	w := openWindow(t, newFakeCore())
	p, told := w.session.Panes, 0
	p.Layout.Observe(func(Layout) { told++ })
	for width := 1200; width >= 400; width-- {
		p.Resize(width, 100)
	}
	if told != 2 {
		t.Errorf("told %d times, not at first and once", told)
	}
}
