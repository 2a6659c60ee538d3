package hostile

import (
	"bytes"
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// Whatever comes to the port of 2019, its own clients find each other there, native
// ones notice nothing, and the directory's memory is bounded.
func TestHostileClientsOf2019(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	directory := w.serve("--net2019", "127.0.0.1:0", "--net2019-password", "net2019")
	said, err := directory.Await(t.Context(), "net2019 on ")
	must(t, err)
	address := strings.TrimSuffix(said, ", not encrypted")
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	var mu sync.Mutex
	done := map[string]int{}
	attackers := func(what, host string, n int, act func(c net.Conn)) {
		try := func() {
			c, err := from(host).DialContext(ctx, "tcp", address)
			if err != nil {
				return
			}
			defer func() { _ = c.Close() }()
			defer context.AfterFunc(ctx, func() { _ = c.Close() })()
			_ = c.SetDeadline(time.Now().Add(20 * time.Second))
			act(c)
			mu.Lock()
			defer mu.Unlock()
			done[what]++
		}
		for range n {
			wg.Go(func() {
				for ctx.Err() == nil {
					try()
				}
			})
		}
	}
	flood := func(s string) func(c net.Conn) {
		return func(c net.Conn) {
			go func() { _, _ = io.Copy(io.Discard, c) }()
			for b := bytes.Repeat([]byte(s), 1000); ; {
				if _, err := c.Write(b); err != nil {
					return
				}
			}
		}
	}
	attackers("say nothing", "127.0.2.1", 1000, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	attackers("begin a command", "127.0.2.2", 200, func(c net.Conn) {
		_, _ = io.WriteString(c, "2017000009_net20")
		_, _ = io.Copy(io.Discard, c)
	})
	attackers("junk", "127.0.2.3", 4, flood("GET / HTTP/1.1\r\n"))
	attackers("binary", "127.0.2.4", 4, flood("\x80\x04\xff\x00"))
	attackers("digits without end", "127.0.2.5", 4, flood("1234567890"))
	attackers("slow bytes", "127.0.2.6", 20, func(c net.Conn) {
		for range 200 {
			if _, err := c.Write([]byte("x")); err != nil || ctx.Err() != nil {
				return
			}
			time.Sleep(50 * time.Millisecond) // slowness is the attack
		}
	})
	attackers("queries, nothing read", "127.0.2.7", 4, func(c net.Conn) {
		_, _ = io.WriteString(c, "2017000008_net2019_2333")
		for b := bytes.Repeat([]byte("q2017000008"), 1000); ; {
			if _, err := c.Write(b); err != nil {
				return
			}
		}
	})
	attackers("guesses", "127.0.2.8", 4, func(c net.Conn) {
		_, _ = io.WriteString(c, "2017000001_guess_2333")
		_, _ = io.ReadFull(c, make([]byte, len("Invalid Command!")))
	})
	attackers("come and go", "127.0.2.9", 2, func(c net.Conn) { _, _ = io.WriteString(c, "2017000007_net2019_2333") })

	dial := func(host string) net.Conn {
		c, err := from(host).DialContext(ctx, "tcp", address)
		must(t, err)
		_ = c.SetDeadline(time.Now().Add(patience))
		return c
	}
	ask := func(c net.Conn, command, reply string) {
		t.Helper()
		_, err := io.WriteString(c, command)
		must(t, err)
		b := make([]byte, len(reply))
		if _, err := io.ReadFull(c, b); err != nil || string(b) != reply {
			t.Fatalf("%q: %q, %v; want %q", command, b, err, reply)
		}
	}
	find := func() {
		t.Helper()
		one, two := dial("127.0.3.1"), dial("127.0.3.2")
		defer func() { _, _ = one.Close(), two.Close() }()
		for range 2 {
			ask(one, "2017000001_net2019_2333", "lol")
			ask(two, "2017000002_net2019", "lol")
		}
		ask(one, "q2017000002", "127.0.3.2_2333")
		ask(two, "q2017000001", "127.0.3.1")
		ask(one, "logout2017000001", "loo")
		ask(two, "q2017000001", "n")
	}
	find()
	alice, bob := w.person("alice"), w.person("bob")
	w.befriend(alice, bob)
	w.chat(alice, bob, "in the flood")
	w.until("every kind of attack was tried", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(done) == 9 && done["guesses"] > 50 && done["come and go"] > 500
	})
	find()
	mu.Lock()
	t.Logf("tried: %v", done)
	mu.Unlock()
	w.bounded("the directory", directory)
}
