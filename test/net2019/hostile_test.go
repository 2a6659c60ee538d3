package net2019

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/test/net2019/original"
)

// pickle is what the original's calls are made of: read as such, it runs a program.
const pickle = "\x80\x04\x95\x1f\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94\x8c\x04true\x94\x85\x94R\x94."

// listening are the ports on which a core listens.
func (p *someone) listening() (ports []string) {
	p.t.Helper()
	owned := map[string]bool{}
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", p.core.PID()))
	must(p.t, err)
	for _, file := range files {
		if target, err := os.Readlink(file); err == nil {
			owned[strings.TrimSuffix(strings.TrimPrefix(target, "socket:["), "]")] = true
		}
	}
	for _, protocol := range []string{"tcp", "tcp6", "udp", "udp6"} {
		table, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", p.core.PID(), protocol))
		must(p.t, err)
		for line := range strings.Lines(string(table)) {
			fields := strings.Fields(line)
			const local, state, inode = 1, 3, 9
			if len(fields) > inode && owned[fields[inode]] && (fields[state] == "0A" || strings.HasPrefix(protocol, "udp")) {
				ports = append(ports, protocol+" "+fields[local])
			}
		}
	}
	slices.Sort(ports)
	return ports
}

// refused waits for the end of a link on which nothing may come but a farewell.
func (w *world) refused(what string, l *original.Link) {
	w.t.Helper()
	must(w.t, l.SetReadDeadline(time.Now().Add(patience)))
	b, err := io.ReadAll(l)
	if os.IsTimeout(err) {
		w.t.Fatalf("%s: it is still open", what)
	}
	if len(b) > 4 {
		if f, err := original.Parse(b[4:]); err == nil && f.Kind == original.LoggedOut {
			return
		}
	}
	if len(b) > 0 {
		w.t.Fatalf("%s: it said %q", what, b)
	}
}

// A call opens no port, and pickles are read nowhere.
func TestCallsOpenNothing(t *testing.T) {
	t.Parallel()
	w, c, p := befriended(t, nil)
	before := p.listening()
	if len(before) != 2 { // for cores, and for those of 2019
		t.Errorf("before a call it listens on %v", before)
	}
	must(t, c.Call(original.ChatOf(one, two)))
	p.told("video call")
	if now := p.listening(); !slices.Equal(now, before) {
		t.Errorf("after a call it listens on %v, before on %v", now, before)
	}
	for _, bytes := range []string{pickle, "\x00\x00\x00" + string(rune(len(pickle))) + pickle} {
		l, err := c.Dial(w.soon(), p.addr(), two)
		must(t, err)
		must(t, l.Write([]byte(bytes)))
		_ = l.CloseWrite()
		w.refused("a pickle", l)
	}
	p.talk(c, "after it")
}

// Frames come in pieces and together; what is none ends that link and no other.
func TestOddFrames(t *testing.T) {
	t.Parallel()
	w, c, p := befriended(t, nil)
	chat, name := original.ChatOf(one, two), p.chatWith(one)
	link := c.Links()[0]
	for i, b := range c.Frame(chat, original.Text, "byte by byte 你好").Bytes() {
		must(t, link.Write([]byte{b}))
		if i%8 == 0 {
			time.Sleep(time.Millisecond) // so that it comes in pieces
		}
	}
	p.hears(name, one, "byte by byte 你好")
	must(t, link.Write(slices.Concat(
		c.Frame(chat, original.Text, "two").Bytes(), c.Frame(chat, original.Accept, "").Bytes(), c.Frame(chat, original.Text, "at once").Bytes())))
	p.hears(name, one, "two")
	p.hears(name, one, "at once")
	must(t, link.Send(c.Frame(chat, original.VideoAnswer, "y")))
	must(t, link.Send(c.Frame(chat, original.Request, "")))
	p.talk(c, "well")

	// A stranger, who is let in, and says what nobody may.
	const nine = "2017000009"
	stranger := w.original(nine, nil)
	private := original.ChatOf(two, nine)
	as := func(change func(f *original.Frame)) []byte {
		f := original.Frame{Chat: private, Port: 2333, Sender: nine}
		change(&f)
		return f.Bytes()
	}
	request := as(func(f *original.Frame) { f.Kind = original.Request })
	file := func(length int64) []byte {
		return slices.Concat(request, as(func(f *original.Frame) { f.Kind, f.Content, f.Length = original.File, "/x", length }))
	}
	endless := binary.BigEndian.AppendUint32(nil, 1<<32-1)
	for what, bytes := range map[string][]byte{
		"an endless length":        endless,
		"an endless length, later": slices.Concat(request, endless, []byte(strings.Repeat("x", 1<<20))),
		"a file without end":       file(1<<63 - 1),
		"a negative size":          file(-1),
		"no UTF-8":                 slices.Concat(request, as(func(f *original.Frame) { f.Content = "\xff\xfe" })),
		"a short id":               as(func(f *original.Frame) { f.Kind, f.Sender, f.Chat = original.Request, "201700000", "201700000-"+two }),
		"a long id": as(func(f *original.Frame) {
			f.Kind, f.Sender, f.Chat = original.Request, "20170000011", two+"-20170000011"
		}),
		"an id of letters":         as(func(f *original.Frame) { f.Kind, f.Sender, f.Chat = original.Request, "abcdefghij", two+"-abcdefghij" }),
		"others' chat":             as(func(f *original.Frame) { f.Kind, f.Chat = original.Request, original.ChatOf(one, nine) }),
		"a sender not of the chat": as(func(f *original.Frame) { f.Kind, f.Sender = original.Request, three }),
		"the person's own id":      as(func(f *original.Frame) { f.Kind, f.Sender = original.Request, two }),
		"another sender, later":    slices.Concat(request, as(func(f *original.Frame) { f.Sender, f.Content = two, "in your name" })),
		"another chat, later":      slices.Concat(request, as(func(f *original.Frame) { f.Chat, f.Content = original.ChatOf(one, two, nine), "elsewhere" })),
		"a text first":             as(func(f *original.Frame) { f.Content = "no request" }),
		"an unknown kind":          slices.Concat(request, as(func(f *original.Frame) { f.Kind = 11 })),
		"no frame":                 []byte("GET / HTTP/1.1\r\n\r\n"),
	} {
		l, err := stranger.Dial(w.soon(), p.addr(), two)
		must(t, err)
		_ = l.Write(bytes) // it may be closed before all is written
		w.refused(what, l)
		l.Close()
	}
	for _, chat := range []string{name, "net2019:" + private, "net2019:" + original.ChatOf(one, two, nine)} {
		for _, bad := range []string{"in your name", "elsewhere", "no request"} {
			if count(p.messages(chat), bad) > 0 {
				t.Errorf("%q is in %s", bad, chat)
			}
		}
	}
	p.linked(one)
	p.talk(c, "after all")
}

// Who says to be somebody else is shown, and does not take the place of who is there.
func TestAnotherOfThatName(t *testing.T) {
	t.Parallel()
	w, c, p := befriended(t, nil)
	chat := original.ChatOf(one, two)
	thief := w.original(one, func(c *original.Config) { c.Host = "127.0.19.9" })
	l, err := thief.Dial(w.soon(), p.addr(), two)
	must(t, err)
	must(t, l.Send(thief.Frame(chat, original.Request, "")))
	p.told("127.0.19.9")
	p.talk(c, "to the first")
	must(t, l.Send(thief.Frame(chat, original.LoggedOut, "")))
	w.refused("who left", l)
	p.linked(one)
	p.talk(c, "and after it")
}

// Two thousand who connect and say nothing keep nobody from talking.
func TestIdleStrangers(t *testing.T) {
	t.Parallel()
	w, c, p := befriended(t, nil)
	address := p.addr()
	var idle []net.Conn
	for i := range 2000 {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 21, byte(1+i%200))}, Timeout: patience}
		conn, err := d.DialContext(w.soon(), "tcp", address)
		must(t, err)
		idle = append(idle, conn)
	}
	p.talk(c, "in the crowd")
	for _, conn := range idle {
		_ = conn.Close()
	}
	d := w.loggedIn(three, func(c *original.Config) { c.Host = "127.0.19.10" })
	chat := original.ChatOf(two, three)
	w.until("another gets in", func() bool {
		_, err := d.Add(w.soon(), two)
		must(t, err)
		if links := d.Links(); links[len(links)-1].Failed() != nil {
			d.Leave(chat) // and again
		}
		return p.contact(three).GetState() == controlpb.ContactState_CONTACT_STATE_INCOMING
	})
	usage, err := p.core.Usage()
	must(t, err)
	if t.Logf("the core had at most %.1f MB resident", float64(usage.Peak)/1e6); usage.Peak > mostMemory {
		t.Errorf("the core had %.1f MB resident", float64(usage.Peak)/1e6)
	}
}

// A core that is killed comes back with all that was said. The original notices
// nothing: what is to be done is told, and once it is, they talk again.
func TestKilled(t *testing.T) {
	t.Parallel()
	for name, keeps := range map[string]bool{"ignored and open": true, "ignored and closed": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, c, p := befriended(t, func(c *original.Config) { c.KeepsIgnored = keeps })
			chat, name := original.ChatOf(one, two), p.chatWith(one)
			p.again()
			w.await(c, "ignoring", func() bool { return len(c.Links()) > 1 && c.Links()[1].Failed() != nil })
			if !slices.Contains(c.Chats(), chat) {
				t.Error("it has noticed")
			}
			p.until("it is told what to do", func() bool { return strings.Contains(p.contact(one).GetTrouble(), "add you again") })
			c.Leave(chat)
			_, err := c.Add(w.soon(), two)
			must(t, err)
			p.until("nothing is wrong any more", func() bool { return p.contact(one).GetLinked() && p.contact(one).GetTrouble() == "" })
			p.talk(c, "after")
			for _, text := range []string{"first?", "first!", "after?", "after!"} {
				if n := count(p.messages(name), text); n != 1 {
					t.Errorf("%q is there %d times", text, n)
				}
			}
		})
	}
}
