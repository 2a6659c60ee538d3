package hostile

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/parley-chat/parley/core/identity"
	"github.com/parley-chat/parley/plugins/text"
	"github.com/parley-chat/parley/protocol/packet"
)

func itoa(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

// attacked is a world in which mallory knows where alice, who talks with bob,
// listens.
type attacked struct {
	*world
	alice, bob *someone
	mallory    *mallory
	port       string
}

func attack(t *testing.T) *attacked {
	w := newWorld(t)
	w.serve()
	a := &attacked{world: w, alice: w.person("alice"), bob: w.person("bob"), mallory: w.mallory()}
	w.befriend(a.alice, a.bob)
	a.mallory.befriend(a.alice)
	a.port = a.mallory.port(a.alice)
	return a
}

// TestStrangersAtTheDoor: people whose keys nobody knows, thousands of them at
// once. Bob, who starts anew in the middle of it, gets his link.
func TestStrangersAtTheDoor(t *testing.T) {
	t.Parallel()
	a := attack(t)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(stop)
	var mu sync.Mutex
	tried := map[string]int{}
	// Each acts again and again until the end, on a connection of its own.
	strangers := func(what, host string, n int, act func(c net.Conn)) {
		for range n {
			wg.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					c, err := from(host).Dial("tcp", a.port)
					if err != nil {
						continue
					}
					_ = c.SetDeadline(time.Now().Add(15 * time.Second))
					act(c)
					_ = c.Close()
					mu.Lock()
					tried[what]++
					mu.Unlock()
				}
			})
		}
	}
	hold := func(c net.Conn) { // until it is cut off, or the end
		done := make(chan struct{})
		go func() {
			select {
			case <-stop:
				_ = c.Close()
			case <-done:
			}
		}()
		_, _ = io.Copy(io.Discard, c)
		close(done)
	}
	strangers("say nothing", "127.0.0.10", 20, hold)
	strangers("say garbage", "127.0.0.11", 5, func(c net.Conn) {
		_, _ = c.Write(bytes.Repeat([]byte("GET / HTTP/1.1\r\n"), 5000))
		_, _ = io.Copy(io.Discard, c)
	})
	strangers("claim giant records", "127.0.0.12", 5, func(c net.Conn) {
		for range 1000 {
			if _, err := c.Write(append([]byte{22, 3, 1, 0xff, 0xff}, make([]byte, 0xffff)...)); err != nil {
				return
			}
		}
	})
	strangers("send a byte now and then", "127.0.0.13", 5, func(c net.Conn) {
		for _, b := range append([]byte{22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3}, make([]byte, 500)...) {
			if _, err := c.Write([]byte{b}); err != nil {
				return
			}
			select {
			case <-time.After(100 * time.Millisecond):
			case <-stop:
				return
			}
		}
	})
	unknown, err := identity.Generate("mallory")
	must(t, err)
	shake := func(cfg *tls.Config) func(c net.Conn) {
		return func(c net.Conn) {
			tc := tls.Client(c, cfg)
			if tc.Handshake() != nil {
				return
			}
			_, _ = tc.Write(encode(t, &packet.Hello{Version: packet.Version, User: "bob", Device: unknown.Device()}))
			if f, err := packet.ReadFrame(tc, packet.MaxFrame); err == nil {
				t.Errorf("a stranger was answered with a %T", f)
			}
		}
	}
	strangers("have an unknown key", "127.0.0.14", 5, shake(tlsOf(unknown, "parley/1")))
	strangers("have a wrong certificate", "127.0.0.15", 5, shake(wrongCertificate(t)))
	strangers("have no certificate", "127.0.0.16", 5, shake(&tls.Config{MinVersion: tls.VersionTLS13, InsecureSkipVerify: true, NextProtos: []string{"parley/1"}}))
	for i := range 8 {
		strangers("come and go", fmt.Sprintf("127.0.1.%d", i+1), 1, func(net.Conn) {})
	}

	a.chat(a.alice, a.bob, "during the flood")
	a.bob.again()
	a.chat(a.bob, a.alice, "after a restart in the flood")
	a.until("all kinds have tried, and thousands came", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(tried) == 8 && tried["come and go"] > 3000 && tried["say nothing"] > 100
	})
	a.chat(a.alice, a.bob, "in the end")
	mu.Lock()
	t.Logf("tried: %v", tried)
	mu.Unlock()
	a.bounded("alice's core", a.alice.core)
}

func wrongCertificate(t *testing.T) *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	return &tls.Config{
		MinVersion: tls.VersionTLS13, InsecureSkipVerify: true, NextProtos: []string{"parley/1"},
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
	}
}

// TestContactThatFloods: a contact with a link sends as fast as it can whatever
// the protocol has, and reads nothing.
func TestContactThatFloods(t *testing.T) {
	t.Parallel()
	a := attack(t)
	m := a.mallory
	chat := chatOf("alice", "mallory")
	log := packet.Log{Chat: chat, Device: m.id.Device(), Epoch: 1}
	vectors := &packet.Vectors{}
	for i := range 500 {
		vectors.Chats = append(vectors.Chats, packet.ChatVector{Chat: packet.NewGroupChat(), Logs: []packet.LogVector{{Device: m.id.Device(), Epoch: 1, Upto: uint64(i + 1)}}})
	}
	strange := packet.ChatVector{Chat: chat, Membership: 1}
	for i := range uint64(500) {
		strange.Logs = append(strange.Logs, packet.LogVector{Device: packet.DeviceIDOf([]byte(fmt.Sprint(i))), Epoch: i + 1, Upto: 1 << 40})
	}
	wants := make([]packet.Frame, 100)
	for i := range wants {
		wants[i] = &packet.Want{Log: packet.Log{Chat: chat, Device: packet.DeviceIDOf([]byte(fmt.Sprint(i))), Epoch: 1}, Ranges: []packet.Range{{First: 1, Last: 1 << 40}}}
	}
	var registers packet.Registers
	for i := range 100 {
		r, err := packet.SealRegister(packet.Register{Chat: chat, Author: "mallory", Device: m.id.Device(), Name: packet.Type(fmt.Sprint("x", i)), Value: make([]byte, 1000), Version: uint64(i + 1)}, m.id.Sign)
		must(t, err)
		registers.Registers = append(registers.Registers, r)
	}
	typing, err := packet.Seal(packet.Header{
		ID: packet.NewPacketID(), Chat: chat, Type: "text.typing", Author: "mallory", Device: m.id.Device(), SentAt: 1, Delivery: packet.Ephemeral,
	}, make([]byte, 500<<10), m.id.Sign)
	must(t, err)
	far := make([]packet.Frame, 200)
	for i := range far {
		far[i] = m.text(chat, uint64(1000+2*i), make([]byte, 4<<10))
	}
	var refusals packet.Refusals
	for i := range uint64(500) {
		refusals.Refusals = append(refusals.Refusals, packet.Refusal{Key: packet.EntryKey{Log: log, Number: i + 1}, Reason: packet.ReasonTooLarge, Text: "no"})
	}
	for _, c := range []struct {
		name  string
		bytes []byte
	}{
		{"vectors of strange chats", encode(t, vectors)},
		{"vectors of strange logs", encode(t, &packet.Vectors{Chats: []packet.ChatVector{strange}})},
		{"wants", encode(t, wants...)},
		{"registers", encode(t, &registers)},
		{"large ephemerals", encode(t, &typing)},
		{"entries with gaps", encode(t, far...)},
		{"refusals", encode(t, &refusals)},
		{"pings", bytes.Repeat(encode(t, &packet.Ping{Nonce: 7}), 1000)},
	} {
		conn := m.linked(a.port)
		sent, burst := 0, bytes.Repeat(c.bytes, 1+(512<<10)/len(c.bytes))
		for range 64 {
			if sent > 24<<20 {
				break
			}
			_ = conn.SetWriteDeadline(time.Now().Add(5 * time.Second))
			n, err := conn.Write(burst)
			if sent += n; err != nil {
				break // cut off, or held back
			}
		}
		a.chat(a.alice, a.bob, c.name)
		_ = conn.Close()
		t.Logf("%s: %d KB", c.name, sent/1000)
	}
	a.bounded("alice's core", a.alice.core)
}

// text is an entry of mallory's own log.
func (m *mallory) text(chat packet.ChatID, number uint64, content []byte) *packet.Packet {
	m.t.Helper()
	return sealed(m.t, m.id, chat, "mallory", m.id.Device(), number, content)
}

// TestContactThatLies: forged, replayed and contradicting entries, giant and
// slow frames, other keys.
func TestContactThatLies(t *testing.T) {
	t.Parallel()
	a := attack(t)
	m := a.mallory
	noticed := a.alice.notices()
	say := func(s string) []byte {
		b, err := text.Text{Body: s}.Encode()
		must(t, err)
		return b
	}
	mine, theirs := chatOf("alice", "mallory"), chatOf("alice", "bob")
	stranger, err := identity.Generate("mallory")
	must(t, err)

	conn := m.linked(a.port)
	first := m.text(mine, 1, say("once"))
	again := bytes.Repeat(encode(t, first), 500)
	forged := encode(t,
		sealed(t, m.id, mine, "alice", m.id.Device(), 1, say("forged as alice")),
		sealed(t, m.id, theirs, "bob", m.id.Device(), 1, say("forged as bob")),
		sealed(t, stranger, mine, "mallory", stranger.Device(), 1, say("of another device")),
		m.text(mine, 1, say("a contradiction")),
		m.text(mine, 2, say("last")))
	_, err = conn.Write(append(again, forged...))
	must(t, err)
	a.until("alice shows what is mallory's own", func() bool {
		got := a.alice.bodies("mallory")
		return slices.Contains(got, "last") && slices.Contains(got, "a contradiction")
	})
	if got := a.alice.bodies("mallory"); !slices.Equal(got, []string{"once", "a contradiction", "last"}) {
		t.Errorf("alice shows %q of mallory", got)
	}
	if got := a.alice.bodies("bob"); len(got) != 0 {
		t.Errorf("alice shows %q of bob", got)
	}
	a.until("mallory is named", func() bool { return noticed("contact:mallory", "two different") })
	a.chat(a.alice, a.bob, "lies")

	// Half a frame, and then nothing: the link is given up, and another comes.
	_, err = conn.Write([]byte{0, 0, 1})
	must(t, err)
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.Copy(io.Discard, conn); isTimeout(err) {
		t.Error("a link that says nothing is kept")
	}
	// A giant one: the link is closed before it comes.
	conn = m.linked(a.port)
	_, _ = conn.Write([]byte{0xff, 0xff, 0xff, 0xff})
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.Copy(io.Discard, conn); isTimeout(err) {
		t.Error("a link with a frame of 4 GiB is kept")
	}
	a.chat(a.alice, a.bob, "giants")

	// A ticket of one key does not open the door to another, and a key that
	// nobody lists is no one's.
	cache := tls.NewLRUClientSessionCache(8)
	if c, err := m.link(a.port, m.id, cache); err == nil {
		_ = c.Close()
	}
	if c, err := m.link(a.port, stranger, cache); err == nil {
		t.Errorf("let in with another key; resumed %v", c.ConnectionState().DidResume)
	}
	a.chat(a.alice, a.bob, "keys")
	a.bounded("alice's core", a.alice.core)
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}
