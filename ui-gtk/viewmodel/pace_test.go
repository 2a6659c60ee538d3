package viewmodel

import (
	"fmt"
	"slices"
	"testing"

	"github.com/parley-chat/parley/protocol/controlpb"
)

// TestKeysGoFirst: while a key is not on the screen yet, nothing that the core tells
// comes in between; and it comes right after.
func TestKeysGoFirst(t *testing.T) {
	for name, shown := range map[string]func(*window, *clock){
		"painted":                 func(w *window, _ *clock) { w.session.Painted() },
		"a window that is hidden": func(_ *window, c *clock) { c.pass(paintLimit) },
	} {
		t.Run(name, func(t *testing.T) {
			core := newFakeCore()
			core.chats = []*controlpb.Chat{chatOf("b", "bob", 2, "hello")}
			time0 := newClock()
			w := openWindow(t, core, time0.use)
			line := func() string { return w.session.Chats.Rows.At(0).Line }
			w.session.Pressed()
			w.session.Pressed() // a second one, before the first shows
			core.tell(nil, &controlpb.Event{Event: &controlpb.Event_Chat{Chat: chatOf("b", "bob", 3, "news")}})
			w.until("it waits", func() bool { return w.session.pace.held != nil })
			if line() != "hello" {
				t.Errorf("%q is shown before what was typed", line())
			}
			shown(w, time0)
			if line() != "news" {
				t.Errorf("%q is shown after what was typed", line())
			}
			w.session.Painted() // of a key that was forgotten
			core.tell(nil, &controlpb.Event{Event: &controlpb.Event_Chat{Chat: chatOf("b", "bob", 4, "more")}})
			w.until("the next comes by itself", func() bool { return line() == "more" })
		})
	}
}

// TestTypingTakesSmallSteps: a flood is taken in steps while somebody types, in order
// and completely, and at once when nobody does.
func TestTypingTakesSmallSteps(t *testing.T) {
	core := newFakeCore()
	time0 := newClock()
	w := openWindow(t, core, time0.use)
	flood := func(n int) chan *controlpb.Event {
		c := make(chan *controlpb.Event, maxGathered)
		for i := range n {
			c <- &controlpb.Event{Event: &controlpb.Event_MessageAdded{MessageAdded: &controlpb.Message{Body: fmt.Sprint(i)}}}
			c <- &controlpb.Event{Event: &controlpb.Event_Chat{Chat: &controlpb.Chat{Id: "b"}}}
		}
		return c
	}
	take := func(c chan *controlpb.Event) (steps []int) {
		var got []string
		for len(c) > 0 {
			messages := 0
			for _, e := range gather([]*controlpb.Event{<-c}, c, w.session.pace.step(len(c))) {
				if m := e.GetMessageAdded(); m != nil {
					messages++
					got = append(got, m.GetBody())
				}
			}
			steps = append(steps, messages)
		}
		want := make([]string, len(got))
		for i := range want {
			want[i] = fmt.Sprint(i)
		}
		if !slices.Equal(got, want) {
			t.Errorf("taken out of order: %v", got)
		}
		return steps
	}
	if steps := take(flood(100)); !slices.Equal(steps, []int{100}) {
		t.Errorf("steps of %v messages while nobody types", steps)
	}
	w.session.Pressed()
	w.session.Painted()
	if steps := take(flood(20)); !slices.Equal(steps, []int{8, 8, 4}) {
		t.Errorf("steps of %v messages of a few", steps)
	}
	// The more wait, the larger the steps, or they would never end.
	steps := take(flood(200))
	if !slices.IsSortedFunc(steps, func(a, b int) int { return b - a }) || steps[0] < 40 || len(steps) > 20 {
		t.Errorf("steps of %v messages of many", steps)
	}
	time0.pass(typingLasts)
	if steps := take(flood(100)); len(steps) != 1 {
		t.Errorf("steps of %v messages once nobody types any more", steps)
	}
}
