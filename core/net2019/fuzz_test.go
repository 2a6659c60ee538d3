package net2019

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/packet"
	wire "github.com/parley-chat/parley/protocol/packet/net2019"
)

// FuzzPeer gives a listening account whatever a peer may send, first or behind a
// request: it ends with the connection, and nothing is in anybody else's name.
func FuzzPeer(f *testing.F) {
	n := newNode(f, "alice", func(c *Config) { c.timing.first, c.timing.silent = time.Second, time.Second })
	n.directory.connected = true
	server := serveFake(f)
	n.logIn(server, aliceN)
	n.add(bobN)
	l, err := new(net.ListenConfig).Listen(f.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = l.Close() })
	chat, err := wire.NewChat(aliceN, bobN)
	if err != nil {
		f.Fatal(err)
	}
	o := &original{chat: chat.String(), id: bobN, port: 2333}
	hello := o.bytes(3, "", 0)
	for _, b := range [][]byte{nil, o.bytes(0, "你好_x", 0), o.bytes(2, "../../x", 5), append(o.bytes(1, "a", 3), "abc"...), o.bytes(9, "", 0), o.bytes(8, "", 0), {0, 0, 1, 0}} {
		f.Add(true, b)
		f.Add(false, b)
	}
	f.Fuzz(func(t *testing.T, greeted bool, b []byte) {
		c, err := new(net.Dialer).DialContext(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		accepted, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			r := n.present()
			link, err := r.greet(accepted.(*net.TCPConn))
			if err != nil {
				_ = accepted.Close()
				return
			}
			if p, ok := r.add(link); ok {
				r.live(p, link)
			}
		}()
		if greeted {
			b = append(hello[:len(hello):len(hello)], b...)
		}
		_, _ = c.Write(b)
		_ = c.(*net.TCPConn).CloseWrite()
		_, _ = io.Copy(io.Discard, c)
		<-done
		err = n.store.View(t.Context(), func(tx store.ReadTx) error {
			heads, err := tx.Heads(chat.ID())
			for _, h := range heads {
				if h.Author != packet.UserID(bobN.Name()) || h.Device != deviceOf(bobN) {
					t.Errorf("an entry of %s", h.Author)
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzServer: what a person calls a server is refused, or is an address to dial.
func FuzzServer(f *testing.F) {
	for _, s := range []string{"", "host", "host:1", "[::1]:2", "::1", "a:b:c", "host:0", "host:99999", "a b", "x:"} {
		f.Add(s, false)
		f.Add(s, true)
	}
	f.Fuzz(func(t *testing.T, s string, course bool) {
		got, err := parseServer(s, course)
		if err != nil {
			return
		}
		host, port, err := net.SplitHostPort(got)
		if err != nil || host == "" || port == "" || port == "0" {
			t.Errorf("%q is %q: %v", s, got, err)
		}
		if again, err := parseServer(got, course); err != nil || again != got {
			t.Errorf("%q is %q, and that %q: %v", s, got, again, err)
		}
	})
}
