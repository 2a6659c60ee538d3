package net2019

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/parley-chat/parley/test/net2019/original"
)

const (
	one, two, three, four = "2017000001", "2017000002", "2017000003", "2017000004"

	// mostMemory is what a directory may ever have had resident.
	mostMemory = 200 << 20
)

// socket says commands byte by byte.
type socket struct {
	net.Conn
	t *testing.T
}

func (s *socket) say(command string) {
	s.t.Helper()
	_, err := io.WriteString(s, command)
	must(s.t, err)
}

func (s *socket) want(reply string) {
	s.t.Helper()
	b := make([]byte, len(reply))
	if n, err := io.ReadFull(s, b); err != nil || string(b) != reply {
		s.t.Fatalf("replied %q, %v; want %q", b[:n], err, reply)
	}
}

func (s *socket) ask(command, reply string) {
	s.t.Helper()
	s.say(command)
	s.want(reply)
}

func (s *socket) ended() {
	s.t.Helper()
	if b, err := io.ReadAll(s); len(b) > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		s.t.Fatalf("got %q, %v; want the end", b, err)
	}
}

// Clients of both forms find each other, and talk.
func TestOriginalsMeet(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.serve()
	a := w.loggedIn(one, nil)
	b := w.loggedIn(two, course("127.0.19.1"))
	w.at(a, two, "127.0.19.1:2333")
	w.at(a, three, "")
	chat, err := a.Add(w.soon(), two)
	must(t, err)
	must(t, a.Say(chat, "你好 _ 👋"))
	w.hears(b, chat, one, "你好 _ 👋")
	must(t, b.Say(chat, "hello"))
	w.hears(a, chat, two, "hello")
	// Who asks without ports goes to 2333, where one of the other form is not.
	at, err := b.Where(w.soon(), one)
	if must(t, err); at != "127.0.0.1:2333" {
		t.Errorf("found at %s", at)
	}
	c, d := w.loggedIn(three, nil), w.loggedIn(four, nil)
	group, err := c.Group(w.soon(), one, four)
	must(t, err)
	must(t, c.Say(group, "to all"))
	must(t, a.LogIn(w.soon())) // as often as anybody likes
	for _, other := range []*original.Client{a, d} {
		w.at(a, other.ID(), other.Addr())
		w.hears(other, group, three, "to all")
	}
	must(t, b.LogOut(w.soon()))
	w.at(a, two, "")
	// Its end is a log-out too, which it need not say.
	c.Close()
	w.at(a, three, "")
}

// Commands come together, and in pieces, with and without a port.
func TestCommandsInPieces(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.serve()
	a, b := w.dial("127.0.19.2"), w.dial("127.0.19.3")
	twice := strings.Repeat(one+"_net2019_2333", 2)
	a.ask(twice+"q"+one+"q"+two, "lollol127.0.19.2_2333n")
	b.ask(strings.Repeat(two+"_net2019", 2)+"q"+one, "lollol127.0.19.2")
	// But for where it could end already, of which a tenth of a second decides.
	for _, piece := range append(strings.Split(one+"_net201", ""), "9_", "2", "4", "4", "4") {
		a.say(piece)
	}
	a.want("lol")
	for _, letter := range "q" + two + "q" + one {
		a.say(string(letter))
	}
	a.want("127.0.19.3_2333127.0.19.2_2444")
	var wg sync.WaitGroup
	for _, bad := range []string{"q", "q" + one[:9], "logout", "logout123", one, one + "_", one + "_net2019_99999", "你好", "\x80\x04K\x01.", "\x00"} {
		wg.Go(func() { w.dial("127.0.19.7").ask(bad, "Invalid Command!") })
	}
	wg.Wait()
	for _, foreign := range []string{"0000000000", "1999999999", "9876543210"} { // ids of no 20th year
		a.ask(foreign+"_net2019_2333", "lol")
		b.ask("q"+foreign, "127.0.19.2")
	}
	b.ask("q"+two+"logout"+two, "127.0.19.3loo")
	b.ended()
	a.ask("q"+two, "n")
}

// Logging in twice, and again, is within the limits that stop who guesses.
func TestDoubleLogInUnderLimits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	slow := filepath.Join(w.folder, "server.toml")
	must(t, os.WriteFile(slow, []byte("[net2019]\nlog-in = { burst = 30, every = \"1h\" }\n"), 0o600))
	w.serve("--config", slow)
	const host = "127.0.19.4" // all from one
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			s := w.dial(host)
			for range 2 {
				s.ask(fmt.Sprintf("20180000%02d_net2019_2333", i), "lol")
			}
		})
	}
	wg.Wait()
	for range 60 { // 30 wrong ones are free, and then one in an hour
		wg.Go(func() { w.dial(host).ask(one+"_guess_2333", "Invalid Command!") })
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	w.dial(host).ask(one+"_net2019_2333", "Invalid Command!") // who guesses is refused
	s := w.dial("127.0.19.5")
	for range 2 {
		s.ask(two+"_net2019_2333", "lol") // others are not held up by it
	}
}

// Ten thousand who are connected and say nothing more hold up nobody.
func TestTenThousandIdle(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := 10_000
	var files syscall.Rlimit
	must(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files))
	if most := int(files.Max) - 1000; most < n {
		t.Logf("with %d open files allowed, %d", files.Max, most)
		n = most
	}
	w.serve("--log-level", "error")
	sockets := make([]*socket, n)
	var wg sync.WaitGroup
	for part := range 20 {
		wg.Go(func() {
			for i := part; i < n; i += 20 {
				sockets[i] = w.dial(fmt.Sprintf("127.0.20.%d", 1+i%200))
				if i%2 == 0 { // the others have not said anything yet
					sockets[i].ask(fmt.Sprintf("20%08d_net2019_2333q%s", i, one), "loln")
				}
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	a := w.loggedIn("2099999999", course("127.0.19.6"))
	for i := 0; i < n; i += n/10 - n/10%2 {
		if at, err := a.Where(w.soon(), fmt.Sprintf("20%08d", i)); err != nil || at != fmt.Sprintf("127.0.20.%d:2333", 1+i%200) {
			t.Errorf("the %dth is at %q, %v", i, at, err)
		}
	}
	usage, err := w.directory.Usage()
	must(t, err)
	t.Logf("%d are idle; the directory has %.1f MB resident", n, float64(usage.Resident)/1e6)
	if usage.Peak > mostMemory {
		t.Errorf("the directory had %.1f MB resident", float64(usage.Peak)/1e6)
	}
	// Each of them still counts.
	for _, i := range []int{0, n/2 - n/2%2, n - 2 + n%2} {
		_ = sockets[i].SetDeadline(time.Now().Add(patience))
		sockets[i].ask("q2099999999", "127.0.19.6_2333")
		must(t, sockets[i].Close())
		w.at(a, fmt.Sprintf("20%08d", i), "")
	}
}
