package original_test

import (
	"bytes"
	"context"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/parley-chat/parley/server/net2019"
	"github.com/parley-chat/parley/test/net2019/original"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	one, two, three = "2017000001", "2017000002", "2017000003"
	pair            = one + "-" + two
)

// world is a directory and who has logged in there.
type world struct {
	t       *testing.T
	ctx     context.Context
	address string
}

func newWorld(t *testing.T, address string) *world {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return &world{t, ctx, address}
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) client(id string, change func(*original.Config)) *original.Client {
	w.t.Helper()
	cfg := original.Config{ID: id, Directory: w.address, Folder: w.t.TempDir(), GroupDelay: 10 * time.Millisecond}
	if change != nil {
		change(&cfg)
	}
	c, err := original.Start(w.ctx, cfg)
	w.must(err)
	w.t.Cleanup(c.Close)
	w.must(c.LogIn(w.ctx))
	return c
}

func (w *world) await(c *original.Client, what string, so func() bool) {
	w.t.Helper()
	w.must(c.Await(w.ctx, what, so))
}

func (w *world) hears(c *original.Client, chat, sender, text string) {
	w.t.Helper()
	w.await(c, "heard "+text, func() bool { return c.Heard(chat, sender, text) })
}

func own(t *testing.T, cfg original.ServerConfig) *original.Server {
	t.Helper()
	s, err := original.Serve(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// both runs a test at the original's directory and at Parley's.
func both(t *testing.T, test func(t *testing.T, address string)) {
	t.Run("its own directory", func(t *testing.T) { test(t, own(t, original.ServerConfig{}).Addr()) })
	t.Run("Parley's directory", func(t *testing.T) {
		s, err := net2019.New(net2019.Config{
			Registry: net2019.NewRegistry(), Password: original.Word, Limits: net2019.DefaultLimits(), Log: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		l, err := net2019.ListenConfig().Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		served := make(chan error, 1)
		go func() { served <- s.Serve(ctx, l) }()
		t.Cleanup(func() {
			cancel()
			if err := <-served; err != nil {
				t.Error(err)
			}
		})
		test(t, l.Addr().String())
	})
}

// The commands, as the description has them.
func TestDirectory(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, address string) {
		w := newWorld(t, address)
		ported := w.client(one, nil)
		course := w.client(two, func(c *original.Config) { c.Course, c.Host = true, "127.0.2.1" })
		for _, ask := range []struct {
			who            *original.Client
			command, reply string
		}{
			{ported, "q" + two, "127.0.2.1_2333"},
			{course, "q" + one, "127.0.0.1"},
			{course, "q" + three, "n"},
			{ported, one + "_guess_2333", "Invalid Command!"},
			{ported, one + "_net2019_3306", "Invalid Command!"},
			{ported, one + "_net2019_80", "Invalid Command!"},
			{ported, "hello", "Invalid Command!"},
			{course, two + "_net2019", "lol"},
		} {
			if reply, err := ask.who.Ask(w.ctx, ask.command); err != nil || reply != ask.reply {
				t.Errorf("%s: %q is replied to with %q, %v; want %q", ask.who.ID(), ask.command, reply, err, ask.reply)
			}
		}
		if at, err := course.Where(w.ctx, one); err != nil || at != "127.0.0.1:2333" {
			t.Errorf("who asks without a port finds %s, %v", at, err)
		}
		w.must(ported.LogOut(w.ctx))
		if at, err := course.Where(w.ctx, one); err != nil || at != "" {
			t.Errorf("who has logged out is at %s, %v", at, err)
		}
		if reply, err := ported.Ask(w.ctx, "q"+two); err == nil {
			t.Errorf("after the log-out: %q", reply)
		}
	})
}

// What the original's directory alone does.
func TestOwnDirectory(t *testing.T) {
	t.Parallel()
	s := own(t, original.ServerConfig{LogOutReply: "100", Course: true})
	w := newWorld(t, s.Addr())
	c := w.client(one, func(c *original.Config) { c.Course, c.Host = true, "127.0.2.2" })
	for _, command := range []string{
		"0123456789_net2019", "q0123456789", // it takes nobody whose id does not start with 20
		one + "_net2019_2333",           // nor a port
		one + "_net2019q" + one,         // nor two commands at once
		one + "_net2019" + one + "_net", // nor pieces
	} {
		if reply, err := c.Ask(w.ctx, command); err != nil || reply != "Invalid Command!" {
			t.Errorf("%q is replied to with %q, %v", command, reply, err)
		}
	}
	want := []string{one + "_net2019", one + "_net2019"}
	if got := s.Commands(); len(got) < 2 || !slices.Equal(got[:2], want) {
		t.Errorf("it heard %q, want %q first", got, want)
	}
	s.Drop()
	if reply, err := c.Ask(w.ctx, "q"+one); err == nil {
		t.Errorf("after the end: %q", reply)
	}
	w.must(c.LogIn(w.ctx)) // which gets "100" in the end
	w.must(c.LogOut(w.ctx))
}

func TestChat(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, address string) {
		w := newWorld(t, address)
		a, b := w.client(one, nil), w.client(two, func(c *original.Config) { c.Video = "n" })
		chat, err := a.Add(w.ctx, two)
		w.must(err)
		w.await(b, "asked", func() bool { return slices.Contains(b.Chats(), chat) })
		long := strings.Repeat("长文本 ", 10_000)
		for _, text := range []string{"hello", "你好，世界", "👩‍👩‍👧‍👦🇨🇳", "_", "a_b__c_", "0_0_" + one + "__0", "", "\n", long} {
			w.must(a.Say(chat, text))
			w.hears(b, chat, one, text)
			w.must(b.Say(chat, text))
			w.hears(a, chat, two, text)
		}
		w.must(a.Call(chat))
		link := a.Links()[0]
		w.await(a, "refused", func() bool {
			frames := link.Frames()
			return len(frames) > 0 && frames[len(frames)-1] == original.Frame{
				Chat: chat, Port: b.Port(), Kind: original.VideoAnswer, Sender: two, Content: "n",
			}
		})
		if again, err := a.Add(w.ctx, two); err != nil || again != chat || len(a.Links()) != 1 {
			t.Errorf("who is listed is asked again: %v, %d links", err, len(a.Links()))
		}
		a.Leave(chat)
		w.await(b, "left", func() bool { return len(b.Chats()) == 0 && b.History(chat) == nil })
		chat, err = b.Add(w.ctx, one)
		w.must(err)
		w.await(a, "asked", func() bool { return len(a.Chats()) > 0 })
		w.must(b.LogOut(w.ctx))
		w.await(a, "left", func() bool { return len(a.Chats()) == 0 })
	})
}

// The first frames, byte by byte.
func TestBytes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, own(t, original.ServerConfig{}).Addr())
	a, b := w.client(one, nil), w.client(two, nil)
	chat, err := a.Add(w.ctx, two)
	w.must(err)
	w.must(a.Say(chat, "h_é"))
	w.hears(b, chat, one, "h_é")
	port := a.Addr()[strings.LastIndex(a.Addr(), ":")+1:]
	request, text := pair+"_"+port+"_3_"+one+"__0", pair+"_"+port+"_0_"+one+"_h_é_0"
	want := "\x00\x00\x00" + string(rune(len(request))) + request + "\x00\x00\x00" + string(rune(len(text))) + text
	if got := string(b.Links()[0].Raw()); got != want {
		t.Errorf("it heard %q, want %q", got, want)
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	good := original.Frame{Chat: pair, Port: 2333, Kind: 0, Sender: one, Content: "a_b", Length: 7}
	if f, err := original.Parse(good.Bytes()[4:]); err != nil || f != good {
		t.Errorf("%+v, %v", f, err)
	}
	for _, s := range []string{
		"", "_", "____", pair + "_2333_0_" + one, pair + "_2333_0_" + one + "_0", pair + "_2333_0_201700000_x_0",
		pair + "_2333_0_" + one + "_x_", pair + "_p_0_" + one + "_x_0", pair + "_2333_0_" + one + "_\xff_0",
	} {
		if f, err := original.Parse([]byte(s)); err == nil {
			t.Errorf("%q is %+v", s, f)
		}
	}
}

// linked gives two clients and their link.
func linked(t *testing.T, change func(*original.Config)) (w *world, a, b *original.Client, chat string) {
	w = newWorld(t, own(t, original.ServerConfig{}).Addr())
	a, b = w.client(one, nil), w.client(two, change)
	chat, err := a.Add(w.ctx, two)
	w.must(err)
	w.await(b, "asked", func() bool { return len(b.Chats()) > 0 })
	return w, a, b, chat
}

// What ends the thread of a link ends nothing else.
func TestFaults(t *testing.T) {
	t.Parallel()
	for name, act := range map[string]func(w *world, a *original.Client, chat string){
		"a frame in two pieces": func(w *world, a *original.Client, chat string) {
			frame := a.Frame(chat, original.Text, "你好").Bytes()
			w.must(a.Links()[0].Write(frame[:len(frame)-5]))
		},
		"a name without a slash": func(w *world, a *original.Client, chat string) {
			w.must(a.SendFile(chat, original.File, "name", strings.NewReader("x"), 1))
		},
		"a file that ends": func(w *world, a *original.Client, chat string) {
			w.must(a.SendFile(chat, original.File, "./name", strings.NewReader("x"), 2000))
			w.must(a.Links()[0].CloseWrite())
		},
		"the end": func(_ *world, a *original.Client, _ string) { a.Links()[0].Close() },
	} {
		t.Run(name, func(t *testing.T) {
			w, a, b, chat := linked(t, nil)
			act(w, a, chat)
			w.await(b, "failed", func() bool { return b.Links()[0].Failed() != nil })
			if !slices.Equal(b.Chats(), []string{chat}) {
				t.Errorf("it has noticed: %v", b.Chats())
			}
			if len(b.History(chat)) > 0 {
				t.Errorf("it has got %v", b.History(chat))
			}
		})
	}
}

// Of two who ask each other at once neither reads what the other dialed.
func TestBothAsk(t *testing.T) {
	t.Parallel()
	for name, keeps := range map[string]bool{"open": true, "closed": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, own(t, original.ServerConfig{}).Addr())
			keep := func(c *original.Config) { c.KeepsIgnored = keeps }
			a, b := w.client(one, keep), w.client(two, keep)
			chat := b.List(one)
			_, err := a.Add(w.ctx, two)
			w.must(err)
			ignored := func() bool { return len(b.Links()) == 1 && b.Links()[0].Failed() != nil }
			w.await(b, "ignoring", ignored)
			_, err = b.Request(w.ctx, chat, one)
			w.must(err)
			w.await(a, "ignoring", func() bool { return len(a.Links()) == 2 && a.Links()[1].Failed() != nil })
			if keeps {
				w.must(a.Say(chat, "into the void"))
			} else {
				w.await(a, "the end, unnoticed", func() bool { return a.Links()[0].Failed() != nil })
			}
			if b.Heard(chat, one, "into the void") || !slices.Equal(a.Chats(), []string{chat}) {
				t.Errorf("it heard %v; the other has %v", b.History(chat), a.Chats())
			}
		})
	}
}

// All of three are connected with each other before anybody reads.
func TestGroup(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, address string) {
		w := newWorld(t, address)
		clients := map[string]*original.Client{}
		for _, id := range []string{one, two, three} {
			clients[id] = w.client(id, nil)
		}
		// Who starts is in the middle, so that the one with the least id dials.
		chat, err := clients[two].Group(w.ctx, three, one)
		w.must(err)
		w.must(clients[two].Say(chat, "hello _"))
		for _, id := range []string{one, three} {
			w.hears(clients[id], chat, two, "hello _")
			w.must(clients[id].Say(chat, "hello of "+id))
		}
		for id, c := range clients {
			for _, from := range []string{one, three} {
				w.hears(c, chat, from, "hello of "+from)
			}
			if n := len(c.Links()); n != 2 {
				t.Errorf("%s has %d connections", id, n)
			}
		}
		link := clients[three].Links()[1]
		if f := link.Frames()[0]; link.Dialed() || f.Kind != original.GroupAccept || f.Sender != one || f.Chat != chat {
			t.Errorf("%s heard %+v", three, f)
		}
		content := bytes.Repeat([]byte("byte"), 100)
		w.must(clients[one].SendFile(chat, original.Image, "/home/one/pic_1.png", bytes.NewReader(content), int64(len(content))))
		for _, id := range []string{two, three} {
			w.received(clients[id], "pic_1.png", content)
		}
		clients[three].Leave(chat)
		for _, id := range []string{one, two} {
			w.await(clients[id], "left", func() bool { return len(clients[id].Chats()) == 0 })
		}
	})
}

// Nobody reads before all are there.
func TestGroupWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t, own(t, original.ServerConfig{}).Addr())
	a, b := w.client(one, nil), w.client(two, nil)
	chat := original.ChatOf(one, two, three)
	l, err := a.Dial(w.ctx, b.Addr(), two)
	w.must(err)
	w.must(l.Send(a.Frame(chat, original.GroupRequest, "")))
	w.must(l.Send(a.Frame(chat, original.Text, "too early")))
	w.await(b, "in the group", func() bool { return slices.Contains(b.Chats(), chat) })
	late := w.client(three, nil)
	l, err = late.Dial(w.ctx, b.Addr(), two)
	w.must(err)
	if b.Heard(chat, one, "too early") {
		t.Error("it reads before the third is there")
	}
	w.must(l.Send(late.Frame(chat, original.GroupAccept, "")))
	w.hears(b, chat, one, "too early")
}

func (w *world) received(c *original.Client, name string, want []byte) {
	w.t.Helper()
	w.await(c, "got "+name, func() bool { return c.Received(name) != "" })
	got, err := os.ReadFile(c.Received(name))
	w.must(err)
	if !bytes.Equal(got, want) {
		w.t.Fatalf("%s: %s has %d bytes, which are not the %d that were sent", c.ID(), name, len(got), len(want))
	}
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{}).Read(b)
	return b
}

// outq waits until all that was written has arrived.
func outq(t *testing.T, conn *net.TCPConn) {
	t.Helper()
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	for {
		var left int
		var got error
		if err := raw.Control(func(fd uintptr) { left, got = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) }); err != nil || got != nil {
			t.Fatal(err, got)
		}
		if left == 0 {
			return
		}
	}
}

// A file arrives whole from who keeps to pieces of 1,024 bytes, each once the one
// before has arrived, also when it is read slowly; and not from others.
func TestReceive(t *testing.T) {
	t.Parallel()
	const size = 1<<20 + 123
	content := random(size)
	send := func(w *world, c *original.Client, each func(n int) int, wait bool) *net.TCPConn {
		conn, err := (&net.Dialer{}).DialContext(w.ctx, "tcp", c.Addr())
		w.must(err)
		w.t.Cleanup(func() { _ = conn.Close() })
		f := original.Frame{Chat: pair, Port: 2333, Kind: original.Request, Sender: one}
		_, err = conn.Write(f.Bytes())
		w.must(err)
		f.Kind, f.Content, f.Length = original.File, "./a_file", size
		_, err = conn.Write(f.Bytes())
		w.must(err)
		for i, left := 0, content; len(left) > 0; i++ {
			n := min(len(left), each(i))
			_, err = conn.Write(left[:n])
			w.must(err)
			left = left[n:]
			if wait {
				outq(w.t, conn.(*net.TCPConn))
			}
		}
		return conn.(*net.TCPConn)
	}
	pieces := func(int) int { return 1024 }
	t.Run("by the rule", func(t *testing.T) {
		w := newWorld(t, own(t, original.ServerConfig{}).Addr())
		c := w.client(two, nil)
		conn := send(w, c, pieces, true)
		w.received(c, "a_file", content)
		f := original.Frame{Chat: pair, Port: 2333, Kind: original.Text, Sender: one, Content: "after it"}
		_, err := conn.Write(f.Bytes())
		w.must(err)
		w.hears(c, pair, one, "after it")
	})
	t.Run("read slowly", func(t *testing.T) {
		w := newWorld(t, own(t, original.ServerConfig{}).Addr())
		reads := 0
		c := w.client(two, func(c *original.Config) {
			c.BeforeRead = func() {
				if reads++; reads%100 == 0 {
					time.Sleep(time.Millisecond) // slowness is what it is about
				}
			}
		})
		send(w, c, pieces, true)
		w.received(c, "a_file", content)
	})
	t.Run("in other pieces", func(t *testing.T) {
		w := newWorld(t, own(t, original.ServerConfig{}).Addr())
		c := w.client(two, nil)
		conn := send(w, c, func(int) int { return 1000 }, true)
		_ = conn.CloseWrite()
		w.await(c, "failed", func() bool { return c.Links()[0].Failed() != nil })
		if path := c.Received("a_file"); path != "" {
			if got, _ := os.ReadFile(path); bytes.Equal(got, content) {
				t.Error("it has come whole")
			}
		}
	})
}

// Short writes leave bytes out.
func TestShortFile(t *testing.T) {
	t.Parallel()
	const size = 100_000
	writes := 0
	w, a, b, chat := linked(t, func(c *original.Config) {
		c.Writes = func(n int) int {
			if writes++; writes%10 == 0 {
				return n / 2
			}
			return n
		}
	})
	content := random(size)
	w.must(b.SendFile(chat, original.File, `C:\two/a.bin`, bytes.NewReader(content), size))
	w.must(b.Links()[0].CloseWrite())
	w.await(a, "failed", func() bool { return a.Links()[0].Failed() != nil })
	// Reads that gave less counted for more: to this client it may look whole.
	if path := a.Received("a.bin"); path != "" {
		if got, err := os.ReadFile(path); err != nil || bytes.Equal(got, content) {
			t.Errorf("nothing is missing: %v", err)
		}
	}
}
