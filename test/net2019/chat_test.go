package net2019

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/pluginpb"
	"github.com/parley-chat/parley/test/net2019/original"
)

// texts are what goes wrong where a protocol is taken apart.
var texts = []string{
	"hello", "你好，世界", "👩‍👩‍👧‍👦🇨🇳 👋🏽", "_", "a_b__c_", "0_2333_0_" + one + "_x_0", "two\nlines\n", "../../etc/passwd",
	strings.Repeat("很长的文本，没有空格。", 1000), strings.Repeat("long and_wide ", 1000), strings.Repeat("👨‍👩‍👧‍👦", 500),
}

// Whatever directory they meet at, a person and an original talk.
func TestTalk(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		native, parleys, course bool
		host                    string
	}{
		"by the own directory":                   {native: true, host: "127.0.0.1"},
		"at Parley's port of 2019":               {parleys: true, host: "127.0.0.1"},
		"at an original server":                  {host: "127.0.0.1"},
		"at an original server in course's form": {course: true, host: "127.0.19.8"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.serve()
			server := ""
			switch {
			case test.native:
			case test.parleys:
				server = w.net2019
			default:
				s, err := original.Serve(t.Context(), original.ServerConfig{Course: test.course})
				must(t, err)
				t.Cleanup(s.Close)
				server, w.net2019 = s.Addr(), s.Addr()
			}
			c := w.loggedIn(two, func(c *original.Config) { c.Host, c.Course = test.host, test.course })
			p := w.person("alice", one)
			p.switchOn(server, test.course)
			p.add(two)
			chat := original.ChatOf(one, two)
			w.await(c, "asked", func() bool { return slices.Contains(c.Chats(), chat) })
			p.linked(two)
			p.chats(c, chat)
		})
	}
}

// chats is a private chat from its first word to the last.
func (p *someone) chats(c *original.Client, chat string) {
	t := p.t
	t.Helper()
	for _, text := range texts {
		p.says(c, text)
		must(t, c.Say(chat, text))
		p.hears(p.chatWith(c.ID()), c.ID(), text)
	}
	p.wellFormed(c)

	must(t, c.Call(chat))
	p.await(c, "refused", func() bool {
		frames := c.Links()[len(c.Links())-1].Frames()
		last := frames[len(frames)-1]
		return last.Kind == original.VideoAnswer && last.Content == "n"
	})
	p.told("video call")

	// When the original says farewell it is offline, and the history stays.
	before := len(p.messages(p.chatWith(c.ID())))
	c.Leave(chat)
	p.until("it is seen to have left", func() bool { return !p.contact(c.ID()).GetLinked() })
	if n := len(p.messages(p.chatWith(c.ID()))); n != before {
		t.Errorf("%d of %d messages are left", n, before)
	}
	_, err := c.Add(p.soon(), p.id)
	must(t, err)
	p.linked(c.ID())
	p.talk(c, "again")

	// And the person does before going.
	_, err = p.client.LogOutNet2019(p.soon(), &controlpb.LogOutNet2019Request{})
	must(t, err)
	p.await(c, "left", func() bool { return len(c.Chats()) == 0 })
	frames := c.Links()[len(c.Links())-1].Frames()
	if last := frames[len(frames)-1]; last.Kind != original.LoggedOut {
		t.Errorf("the last frame is %+v", last)
	}
}

// wellFormed looks whether all that a client has heard of a person was frames of
// their shape, byte by byte.
func (p *someone) wellFormed(c *original.Client) {
	p.t.Helper()
	for _, l := range c.Links() {
		if l.Peer() != p.id {
			continue
		}
		var want []byte
		for _, f := range l.Frames() {
			b := f.Bytes()
			if len(b) > 1400 {
				p.t.Errorf("a frame of %d bytes: %.80q", len(b), b)
			}
			want = append(want, b...)
		}
		if !bytes.Equal(l.Raw(), want) {
			p.t.Errorf("%s has heard %d bytes, which are not the %d of its frames", c.ID(), len(l.Raw()), len(want))
		}
	}
}

// An original asks somebody who does not know it: that is a request, and what it
// says is there once it is accepted.
func TestOriginalAsks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.serve()
	c, d := w.loggedIn(one, nil), w.loggedIn(three, nil)
	p := w.person("alice", two)
	p.switchOn("", false)
	chat, err := c.Add(w.soon(), two)
	must(t, err)
	for _, text := range []string{"你好", "it is me"} {
		must(t, c.Say(chat, text))
	}
	p.asked(one)
	p.answer(one, true)
	p.hears(p.chatWith(one), one, "你好")
	p.hears(p.chatWith(one), one, "it is me")
	p.linked(one)
	p.talk(c, "after it")

	// Who is declined hears a farewell, and who is blocked nothing.
	_, err = d.Add(w.soon(), two)
	must(t, err)
	p.asked(three)
	p.answer(three, false)
	w.await(d, "left", func() bool { return len(d.Chats()) == 0 })
	_, err = p.client.BlockContact(w.soon(), &controlpb.BlockContactRequest{User: nameOf(three), Block: true})
	must(t, err)
	_, err = d.Add(w.soon(), two)
	must(t, err)
	w.await(d, "refused", func() bool { return d.Links()[len(d.Links())-1].Failed() != nil })
	if n := len(p.messages(p.chatWith(three))); n > 0 {
		t.Errorf("%d messages of who was never accepted", n)
	}
}

// What the protocol cannot say fails, with a sentence, and nothing goes out.
func TestCannotBeSaid(t *testing.T) {
	t.Parallel()
	_, c, p := befriended(t, nil)
	chat := p.chatWith(one)
	theirs, own := p.message(chat, nameOf(one), "first!").GetId(), p.message(chat, "", "first?").GetId()
	for what, try := range map[string]struct {
		plugin string
		req    *pluginpb.InvokeRequest
	}{
		"a reply":    {"text", &pluginpb.InvokeRequest{Action: "send", Chat: chat, Text: "to that", Message: theirs}},
		"an edit":    {"text", &pluginpb.InvokeRequest{Action: "edit", Chat: chat, Message: own, Text: "else"}},
		"a deletion": {"text", &pluginpb.InvokeRequest{Action: "delete", Chat: chat, Message: own}},
		"a reaction": {"emoji", &pluginpb.InvokeRequest{Action: "react", Chat: chat, Message: theirs, Text: "👍"}},
		"a folder":   {"file", &pluginpb.InvokeRequest{Action: "send", Chat: chat, Paths: []string{t.TempDir()}}},
	} {
		if err := p.invoke(try.plugin, try.req); err == nil || !strings.Contains(err.Error(), "2019") {
			t.Errorf("%s: %v", what, err)
		} else {
			t.Logf("%s: %v", what, err)
		}
	}
	p.talk(c, "after it")
	if frames := c.Links()[0].Frames(); len(frames) != 3 { // a request and two texts
		t.Errorf("it has heard %v", frames)
	}
}

// Both ask each other at once: an original reads only what it dialed itself.
func TestBothDial(t *testing.T) {
	t.Parallel()
	for id, keeps := range map[string]bool{one: true, two: false, "2017000008": true, "2017000009": false} {
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.serve()
			p := w.person("alice", three)
			p.switchOn("", false)
			c := w.loggedIn(id, func(c *original.Config) { c.KeepsIgnored = keeps })
			chat := c.List(three)
			p.add(id)
			w.await(c, "ignoring", func() bool { return len(c.Links()) > 0 && c.Links()[0].Failed() != nil })
			_, err := c.Request(w.soon(), chat, three)
			must(t, err)
			must(t, c.Say(chat, "of both"))
			p.hears(p.chatWith(id), id, "of both")
			p.talk(c, "one of two")
		})
	}
}
