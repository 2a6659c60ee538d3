package net2019

import (
	"slices"
	"strings"
	"testing"

	"github.com/parley-chat/parley/core/bus"
)

// TestLongText: a text of any length that can be meant is taken, in as many messages
// as it needs; one that is longer is told to be lost, and the connection stays.
func TestLongText(t *testing.T) {
	alice, o, l := friends(t, nil)
	chat := l.chat.ID()
	notices := bus.NewQueue[string](10)
	defer notices.Close()
	bus.Feed(alice.bus, bus.Noticed, notices, func(n bus.Notice) (string, bool) { return n.Subject + " " + n.Text, true })
	long := strings.Repeat("很长_", 1<<20/7-20) // 7 bytes each
	o.send(0, long)
	alice.until("all of it", func() bool { return len(strings.Join(alice.said(chat, bobN), "")) == len(long) })
	said := alice.said(chat, bobN)
	if strings.Join(said, "") != long || len(said) < 16 {
		t.Errorf("%d messages, which are something else", len(said))
	}
	for _, s := range said {
		if len(s) > maxText {
			t.Errorf("a message of %d bytes", len(s))
		}
	}
	for range 2 {
		o.send(0, strings.Repeat("x", 2<<20))
	}
	o.send(0, "behind it")
	alice.until("what is behind it", func() bool { return slices.Contains(alice.said(chat, bobN), "behind it") })
	if n := len(alice.said(chat, bobN)); n != len(said)+1 {
		t.Errorf("%d messages, %d before", n, len(said))
	}
	if got, err := notices.Next(t.Context()); err != nil || !strings.HasPrefix(got, "contact:"+bobN.Name()) || !strings.Contains(got, "2.1 MB, which is lost") {
		t.Errorf("%q, %v", got, err)
	}
	bus.Publish(alice.bus, bus.Noticed, bus.Notice{Text: "last"})
	if got, err := notices.Next(t.Context()); err != nil || got != " last" {
		t.Errorf("told again: %q, %v", got, err)
	}
	o.raw([]byte{0x7f, 0, 0, 0})
	o.closed()
}
