package hostile

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/parley-chat/parley/core/identity"
	"github.com/parley-chat/parley/protocol/directorypb"
)

// h2 is a connection with a directory on which frames are written by hand.
type h2 struct {
	*http2.Framer
	conn    *tls.Conn
	headers bytes.Buffer
	encoder *hpack.Encoder
}

// dialH2 connects as a device that the directory need not know.
func (w *world) dialH2(host string, id *identity.Identity) (*h2, error) {
	c, err := (&tls.Dialer{NetDialer: from(host), Config: tlsOf(id, "h2")}).DialContext(w.t.Context(), "tcp", w.address)
	if err != nil {
		return nil, err
	}
	h := &h2{Framer: http2.NewFramer(c, c), conn: c.(*tls.Conn)}
	h.encoder = hpack.NewEncoder(&h.headers)
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(c, http2.ClientPreface); err != nil {
		return nil, err
	}
	return h, h.WriteSettings()
}

// request begins a call on a stream.
func (h *h2) request(stream uint32, method string, more ...string) error {
	h.headers.Reset()
	fields := append([]string{":method", "POST", ":scheme", "https", ":path", "/parley.directory.v1.Directory/" + method, ":authority", "x",
		"content-type", "application/grpc", "te", "trailers"}, more...)
	for i := 0; i < len(fields); i += 2 {
		_ = h.encoder.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	block := h.headers.Bytes()
	const most = 16 << 10
	first := block[:min(len(block), most)]
	block = block[len(first):]
	err := h.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: first, EndHeaders: len(block) == 0})
	for err == nil && len(block) > 0 {
		part := block[:min(len(block), most)]
		block = block[len(part):]
		err = h.WriteContinuation(stream, len(block) == 0, part)
	}
	return err
}

// TestHostileDirectoryClients: floods against a real directory, from devices
// that it does not know and from one that is logged in; two honest people become
// contacts and chat meanwhile.
func TestHostileDirectoryClients(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	directory := w.serve()
	alice := w.person("alice")
	m := w.mallory()
	stranger, err := identity.Generate("stranger")
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	var mu sync.Mutex
	done := map[string]int{}
	attackers := func(what string, n int, act func() error) {
		for range n {
			wg.Go(func() {
				for ctx.Err() == nil {
					_ = act() // being refused is what is hoped for
					mu.Lock()
					done[what]++
					mu.Unlock()
				}
			})
		}
	}
	raw := func(host string, act func(c net.Conn)) func() error {
		return func() error {
			c, err := from(host).DialContext(ctx, "tcp", w.address)
			if err != nil {
				return err
			}
			defer func() { _ = c.Close() }()
			stop := context.AfterFunc(ctx, func() { _ = c.Close() })
			defer stop()
			_ = c.SetDeadline(time.Now().Add(20 * time.Second))
			act(c)
			return nil
		}
	}
	framed := func(host string, act func(h *h2) error) func() error {
		return func() error {
			h, err := w.dialH2(host, stranger)
			if err != nil {
				return err
			}
			defer func() { _ = h.conn.Close() }()
			stop := context.AfterFunc(ctx, func() { _ = h.conn.Close() })
			defer stop()
			return act(h)
		}
	}
	attackers("say nothing", 300, raw("127.0.2.1", func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }))
	attackers("garbage", 4, raw("127.0.2.2", func(c net.Conn) { _, _ = c.Write(bytes.Repeat([]byte("GET / HTTP/1.1\r\n"), 5000)) }))
	attackers("slow bytes", 4, raw("127.0.2.3", func(c net.Conn) {
		for _, b := range append([]byte{22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3}, make([]byte, 500)...) {
			if _, err := c.Write([]byte{b}); err != nil || ctx.Err() != nil {
				return
			}
			time.Sleep(50 * time.Millisecond) // slowness is the attack
		}
	}))
	attackers("rapid resets", 2, framed("127.0.2.4", func(h *h2) error {
		go func() { _, _ = io.Copy(io.Discard, h.conn) }()
		for id := uint32(1); id < 20_000; id += 2 {
			if err := h.request(id, "LookUp"); err != nil {
				return err
			}
			if err := h.WriteRSTStream(id, http2.ErrCodeCancel); err != nil {
				return err
			}
		}
		return nil
	}))
	attackers("pings and settings", 2, framed("127.0.2.5", func(h *h2) error { // its answers are not read
		for range 20_000 {
			if err := h.WritePing(false, [8]byte{1}); err != nil {
				return err
			}
			if err := h.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1}); err != nil {
				return err
			}
		}
		return nil
	}))
	attackers("giant headers", 2, framed("127.0.2.6", func(h *h2) error {
		go func() { _, _ = io.Copy(io.Discard, h.conn) }()
		return h.request(1, "LookUp", "x-long", strings.Repeat("~", 4<<20))
	}))
	attackers("headers without end", 2, framed("127.0.2.7", func(h *h2) error {
		go func() { _, _ = io.Copy(io.Discard, h.conn) }()
		if err := h.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x82}}); err != nil {
			return err
		}
		for range 10_000 {
			if err := h.WriteContinuation(1, false, bytes.Repeat([]byte{0x82}, 16<<10)); err != nil {
				return err
			}
		}
		return nil
	}))
	attackers("messages that never end", 60, framed("127.0.2.8", partials(ctx)))
	attackers("giant messages", 2, func() error {
		conn := w.caller(stranger)
		defer func() { _ = conn.Close() }()
		_, err := directorypb.NewDirectoryClient(conn).Register(ctx, &directorypb.RegisterRequest{User: strings.Repeat("x", 16<<20)})
		return err
	})
	attackers("wrong passwords", 8, func() error {
		_, err := m.rpc.LogIn(ctx, &directorypb.LogInRequest{User: "alice", Password: "guess guess"})
		return err
	})
	attackers("giant metadata", 2, func() error {
		_, err := m.rpc.LookUp(metadata.AppendToOutgoingContext(ctx, "x-long", strings.Repeat("x", 1<<20)), &directorypb.LookUpRequest{User: "alice"})
		return err
	})
	attackers("garbage messages", 4, func() error {
		garbage := bytes.Repeat([]byte{0xff}, 1000)
		var answer []byte
		return m.conn.Invoke(ctx, "/parley.directory.v1.Directory/LookUp", &garbage, &answer, grpc.ForceCodec(bytesCodec{}))
	})
	attackers("long lists, nothing read", 8, func() error { return longLists(ctx, m.rpc) })

	bob := w.person("bob")
	w.befriend(alice, bob)
	w.chat(alice, bob, "in the flood")
	bob.again()
	w.chat(bob, alice, "after a restart in the flood")
	w.until("every kind of attack was tried", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(done) == 13 && done["messages that never end"] > 500 && done["wrong passwords"] > 100
	})
	carol := w.person("carol")
	w.befriend(carol, alice)
	mu.Lock()
	t.Logf("tried: %v", done)
	mu.Unlock()
	w.bounded("the directory", directory)
}

// partials opens as many calls as a connection may have and sends all but the
// end of the largest message on each.
func partials(ctx context.Context) func(h *h2) error {
	return func(h *h2) error {
		opened := make(chan struct{}, 1<<20)
		go func() { // takes back the room that the directory gives
			defer close(opened)
			for {
				f, err := h.ReadFrame()
				if err != nil {
					return
				}
				if u, ok := f.(*http2.WindowUpdateFrame); ok && u.StreamID != 0 {
					opened <- struct{}{}
				}
			}
		}()
		head := binary.BigEndian.AppendUint32([]byte{0}, 1400<<10-100)
		piece := make([]byte, 4<<10)
		for id := uint32(1); id < 32; id += 2 {
			if err := h.request(id, "Register"); err != nil {
				return err
			}
			if err := h.WriteData(id, false, head); err != nil {
				return err
			}
		}
		for range 340 {
			for id := uint32(1); id < 32; id += 2 {
				if err := h.WriteData(id, false, piece); err != nil {
					return err
				}
			}
			select { // or it would break the rules of flow, and be cut off
			case <-opened:
			case <-time.After(10 * time.Second):
				return nil
			case <-ctx.Done():
				return nil
			}
		}
		<-ctx.Done() // and the last byte never comes
		return nil
	}
}

// longLists sends the longest lists that are allowed, again and again, and reads
// nothing of what comes back.
func longLists(ctx context.Context, rpc directorypb.DirectoryClient) error {
	s, err := rpc.Session(ctx)
	if err != nil {
		return err
	}
	users := make([]string, 10_000)
	for i := range users {
		users[i] = fmt.Sprintf("%064d", i)
	}
	set := &directorypb.SetContacts{Contacts: users, Blocked: users}
	if err := s.Send(&directorypb.SessionRequest{Request: &directorypb.SessionRequest_Begin{Begin: &directorypb.Begin{Contacts: set}}}); err != nil {
		return err
	}
	for ctx.Err() == nil {
		if err := s.Send(&directorypb.SessionRequest{Request: &directorypb.SessionRequest_SetContacts{SetContacts: set}}); err != nil {
			return err
		}
	}
	return nil
}

// bytesCodec sends bytes as they are.
type bytesCodec struct{}

func (bytesCodec) Name() string                  { return "proto" }
func (bytesCodec) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }
func (bytesCodec) Unmarshal(b []byte, v any) error {
	*v.(*[]byte) = append([]byte(nil), b...)
	return nil
}
