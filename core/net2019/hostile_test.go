package net2019

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/packet"
	wire "github.com/parley-chat/parley/protocol/packet/net2019"
)

// TestOff: without a log-in nothing listens, and nothing can be added.
func TestOff(t *testing.T) {
	alice := newNode(t, "alice", nil)
	if s := alice.Status(); s.GetOn() || s.GetPort() != 0 || s.GetLoggedIn() || s.GetId() != "" {
		t.Errorf("%v", s)
	}
	if _, err := alice.CreateGroup(t.Context(), []packet.UserID{packet.UserID(bobN.Name()), packet.UserID(carolN.Name())}); err == nil {
		t.Error("a group without a log-in")
	}
	if err := alice.LogOut(t.Context()); err != nil {
		t.Errorf("log-out of who is not logged in: %v", err)
	}
}

// TestHostilePeers: each loses its own connection, and nobody else notices.
func TestHostilePeers(t *testing.T) {
	server := serveFake(t)
	alice := newNode(t, "alice", func(c *Config) { c.timing.first = 2 * time.Second })
	alice.logIn(server, aliceN)
	chat := chatOf(t, aliceN, bobN)
	// One who behaves, all the while.
	good := dialAs(t, carolN, alice.port(), chatOf(t, aliceN, carolN))
	good.send(3, "")
	alice.until("a request", func() bool { return alice.contact(carolN) != nil })
	if err := alice.Answer(t.Context(), packet.UserID(carolN.Name()), true); err != nil {
		t.Fatal(err)
	}
	hello := func(o *original) { o.send(3, "") }
	for _, tt := range []struct {
		name string
		do   func(o *original)
	}{
		{"says nothing", func(*original) {}},
		{"a length without an end", func(o *original) { o.raw([]byte{0xff, 0xff, 0xff, 0xff}) }},
		{"half a frame", func(o *original) { o.raw(o.bytes(3, "", 0)[:20]) }},
		{"binary", func(o *original) { o.raw(append([]byte{0, 0, 0, 64}, bytes.Repeat([]byte{0xfe}, 64)...)) }},
		{"HTTP", func(o *original) { o.raw([]byte("GET / HTTP/1.1\r\n\r\n")) }},
		{"a short id", func(o *original) { o.id = "2017"; hello(o) }},
		{"a chat without this account", func(o *original) { o.chat = chatOf(t, bobN, carolN).String(); hello(o) }},
		{"in this account's name", func(o *original) { o.id = aliceN; hello(o) }},
		{"a text first", func(o *original) { o.send(0, "x") }},
		{"an endless text", func(o *original) {
			hello(o)
			o.raw(binary.BigEndian.AppendUint32(nil, 1<<31))
		}},
		{"another sender", func(o *original) {
			hello(o)
			other := *o
			other.chat, other.id = chatOf(t, aliceN, carolN).String(), carolN
			other.send(0, "I am carol")
		}},
		{"another chat", func(o *original) {
			hello(o)
			other := *o
			other.chat = chatOf(t, aliceN, bobN, carolN).String()
			other.send(0, "to all")
		}},
		{"kind 11", func(o *original) { hello(o); o.send(11, "") }},
		{"a flood before it is answered", func(o *original) {
			hello(o)
			text := strings.Repeat("x", 5000)
			_ = o.SetWriteDeadline(time.Now().Add(patience))
			for range maxHeld + 10 {
				if _, err := o.Write(o.bytes(0, text, 0)); err != nil {
					return
				}
			}
		}},
		{"pickles", func(o *original) { o.raw([]byte("\x80\x04\x95K\x00\x00\x00\x00\x00\x00\x00")) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := dialAs(t, bobN, alice.port(), chat)
			o.t = t
			tt.do(o)
			o.closed()
		})
	}
	good.send(0, "still here")
	alice.until("who behaves", func() bool {
		return slices.Equal(alice.said(chatOf(t, aliceN, carolN).ID(), carolN), []string{"still here"})
	})
	if got := alice.said(chat.ID(), bobN); len(got) != 0 {
		t.Errorf("a stranger wrote %q", got)
	}
	_ = alice.store.View(t.Context(), func(tx store.ReadTx) error {
		all, err := tx.Values(namespace, keyHeld, 0)
		if err != nil || len(all) > maxHeld {
			t.Errorf("%d texts are held, %v", len(all), err)
		}
		return nil
	})
}

// TestStrangers: only so many wait, whoever they say to be.
func TestStrangers(t *testing.T) {
	server := serveFake(t)
	alice := newNode(t, "alice", nil)
	alice.logIn(server, aliceN)
	const tooMany = 20
	ended := make(chan struct{}, maxStrangers+tooMany)
	for i := range maxStrangers + tooMany {
		id := wire.ID(fmt.Sprintf("30000%05d", i))
		o := dialAs(t, id, alice.port(), chatOf(t, aliceN, id))
		_, _ = o.Write(o.bytes(3, "", 0))
		go func() {
			_, _ = io.Copy(io.Discard, o)
			ended <- struct{}{}
		}()
	}
	// Which of them depends on how quickly they came one after another.
	for range tooMany {
		select {
		case <-ended:
		case <-time.After(patience):
			t.Fatal("not all that are too many are hung up on")
		}
	}
	if n := alice.count(store.ContactIncoming); n > maxStrangers {
		t.Errorf("%d requests", n)
	}
}

// TestSecondAddress: two who say to be the same are told of.
func TestSecondAddress(t *testing.T) {
	server := serveFake(t)
	alice := newNode(t, "alice", func(c *Config) { c.Host = "" })
	alice.logIn(server, aliceN)
	chat := chatOf(t, aliceN, carolN)
	first := dialAs(t, carolN, alice.port(), chat)
	first.send(3, "")
	alice.until("linked", func() bool { return alice.linked(carolN) })
	notices := bus.Subscribe(alice.bus, bus.Noticed, 16)
	defer notices.Close()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP("127.0.0.2")}}
	c, err := dialer.DialContext(t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", alice.port()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	second := &original{Conn: c, t: t, chat: chat.String(), id: carolN, port: 2333}
	second.send(3, "")
	n, err := notices.Next(t.Context())
	if err != nil || n.Level != "warning" || !strings.Contains(n.Text, "127.0.0.2") || !strings.Contains(n.Text, "proves nobody") {
		t.Errorf("%+v, %v", n, err)
	}
	// The first is still one that is read.
	if err := alice.Answer(t.Context(), packet.UserID(carolN.Name()), true); err != nil {
		t.Fatal(err)
	}
	first.send(0, "me")
	alice.until("the first", func() bool { return slices.Equal(alice.said(chat.ID(), carolN), []string{"me"}) })
}

// TestIdle: a connection that says nothing for long is kept, and one that is not a
// contact's any more is not.
func TestIdle(t *testing.T) {
	server := serveFake(t)
	alice := newNode(t, "alice", func(c *Config) { c.timing.first = 2 * time.Second })
	alice.logIn(server, aliceN)
	chat := chatOf(t, aliceN, bobN)
	o := dialAs(t, bobN, alice.port(), chat)
	o.send(3, "")
	alice.until("linked", func() bool { return alice.linked(bobN) })
	silent := dialAs(t, carolN, alice.port(), chatOf(t, aliceN, carolN)) // for as long as the first frame may take
	silent.closed()
	if !alice.linked(bobN) {
		t.Error("an idle link was closed")
	}
	if err := alice.Answer(t.Context(), packet.UserID(bobN.Name()), false); err != nil {
		t.Fatal(err)
	}
	if kind, _, _ := o.receive(); kind != "8" {
		t.Errorf("declined with %s", kind)
	}
	o.closed()
	if c := alice.contact(bobN); c != nil {
		t.Errorf("declined: %v", c)
	}
}

// TestServerLies: what a server answers is bounded and checked.
func TestServerLies(t *testing.T) {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	answers := make(chan string, 8)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			b := make([]byte, 256)
			_, _ = c.Read(b)
			select {
			case answer := <-answers:
				_, _ = io.WriteString(c, answer)
			default:
			}
			_ = c.Close()
		}
	}()
	alice := newNode(t, "alice", nil)
	for _, answer := range []string{"lolcat", strings.Repeat("x", 1<<16), "\x00\xff", ""} {
		answers <- answer
		_, err := alice.LogIn(t.Context(), &controlpb.LogInNet2019Request{Id: string(aliceN), Server: l.Addr().String(), Password: word})
		if err == nil {
			t.Errorf("logged in with the answer %.20q", answer)
		}
	}
	alice.stop()
	_ = l.Close()
	<-done
}
