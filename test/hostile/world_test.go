// Package hostile attacks the real programs the way strangers, contacts,
// clients, directories and plugins could, and looks at what honest people get
// meanwhile. Of each process that is attacked it measures the most memory it
// ever had.
package hostile

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parley-chat/parley/bench/process"
	"github.com/parley-chat/parley/core/client"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

const (
	// patience is how long a test waits for anything, on a machine that attackers
	// keep busy.
	patience = 3 * time.Minute
	// mostMemory is what an attacked process may ever have had resident.
	mostMemory = 200 << 20
	password   = "correct horse battery"
)

func TestMain(m *testing.M) {
	if out, err := exec.Command("make", "--no-print-directory", "-C", "../..", "build").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the programs: %v\n%s", err, out)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// world is a folder with a directory's address and people with cores.
type world struct {
	t       *testing.T
	folder  string
	address string // of the directory
}

// newWorld makes a world; the directory is the caller's to start.
func newWorld(t *testing.T) *world {
	t.Helper()
	folder, err := os.MkdirTemp("", "pw") // short: sockets lie below it
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	return &world{t: t, folder: folder}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) start(cfg process.Config) *process.Process {
	w.t.Helper()
	p, err := process.Start(cfg)
	must(w.t, err)
	w.t.Cleanup(p.Kill)
	return p
}

// serve starts a real directory.
func (w *world) serve(more ...string) *process.Process {
	w.t.Helper()
	args := append([]string{"serve", "--listen", "127.0.0.1:0", "--data", filepath.Join(w.folder, "server")}, more...)
	p := w.start(process.Config{Program: "parley-server", Args: args})
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	var err error
	w.address, err = p.Await(ctx, "listening on ")
	must(w.t, err)
	return p
}

func (w *world) until(what string, done func() bool) {
	w.t.Helper()
	for end := time.Now().Add(patience); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("not within %s: %s", patience, what)
		}
	}
}

// bounded checks the most memory that a process ever had. It is still to run.
func (w *world) bounded(what string, p *process.Process) {
	w.t.Helper()
	u, err := p.Usage()
	if err != nil {
		w.t.Errorf("%s: %v", what, err)
		return
	}
	w.t.Logf("%s had at most %.1f MB resident", what, float64(u.Peak)/1e6)
	if u.Peak > mostMemory {
		w.t.Errorf("%s had %.1f MB resident, which is more than %d", what, float64(u.Peak)/1e6, mostMemory/1_000_000)
	}
}

// someone is a person with a core.
type someone struct {
	*world
	name   string
	core   *process.Process
	client *client.Client
	home   string
}

func (w *world) person(name string) *someone {
	w.t.Helper()
	p := &someone{world: w, name: name, home: filepath.Join(w.folder, name)}
	p.begin()
	_, err := p.client.LogIn(w.t.Context(), &controlpb.LogInRequest{Directory: w.address, User: name, Password: password, Register: true})
	must(w.t, err)
	return p
}

// begin starts the core.
func (p *someone) begin() {
	p.t.Helper()
	p.core = p.start(process.Config{
		Program: "parley", Args: []string{"daemon", "--listen", "127.0.0.1:0", "--log-level", "debug"},
		Env: []string{"PARLEY_HOME=" + p.home, "PARLEY_PROFILE=", "PARLEY_KEY=file"},
	})
	folders := client.Folders{Data: filepath.Join(p.home, "profiles", "default"), Run: filepath.Join(p.home, "run", "default")}
	p.until(p.name+"'s core answers", func() bool {
		c, err := client.Connect(p.t.Context(), folders)
		if err == nil {
			p.client = c
		}
		return err == nil
	})
	c := p.client
	p.t.Cleanup(func() { _ = c.Close() })
}

// again ends the core and starts another.
func (p *someone) again() {
	p.t.Helper()
	must(p.t, p.core.Stop())
	p.begin()
	p.until(p.name+"'s account is open", func() bool {
		_, err := p.client.ListContacts(p.t.Context(), &controlpb.ListContactsRequest{})
		return err == nil
	})
}

func (p *someone) contact(name string) *controlpb.Contact {
	p.t.Helper()
	resp, err := p.client.ListContacts(p.t.Context(), &controlpb.ListContactsRequest{})
	must(p.t, err)
	for _, c := range resp.GetContacts() {
		if c.GetUser() == name {
			return c
		}
	}
	return nil
}

func (w *world) befriend(a, b *someone) {
	w.t.Helper()
	_, err := a.client.RequestContact(w.t.Context(), &controlpb.RequestContactRequest{User: b.name})
	must(w.t, err)
	b.accept(a.name)
	w.until("they are linked", func() bool { return a.contact(b.name).GetLinked() && b.contact(a.name).GetLinked() })
	w.until("the answer arrives", func() bool { // which may be after the link
		return a.contact(b.name).GetState() == controlpb.ContactState_CONTACT_STATE_CONTACT
	})
}

// accept waits for a request and accepts it.
func (p *someone) accept(name string) {
	p.t.Helper()
	p.until("the request of "+name, func() bool {
		return p.contact(name).GetState() == controlpb.ContactState_CONTACT_STATE_INCOMING
	})
	_, err := p.client.AnswerContact(p.t.Context(), &controlpb.AnswerContactRequest{User: name, Accept: true})
	must(p.t, err)
}

func chatOf(a, b string) packet.ChatID { return packet.DirectChat(packet.UserID(a), packet.UserID(b)) }

func (p *someone) send(to, text string) error {
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	_, err := p.client.InvokeAction(ctx, "text", &pluginpb.InvokeRequest{
		Invocation: client.NewInvocation(), Action: "send", Chat: string(chatOf(p.name, to)), Text: text,
	}, nil)
	return err
}

// bodies are the newest messages of a chat.
func (p *someone) bodies(with string) []string {
	p.t.Helper()
	resp, err := p.client.ListMessages(p.t.Context(), &controlpb.ListMessagesRequest{Chat: string(chatOf(p.name, with)), Limit: 500})
	if err != nil {
		return nil // not there yet
	}
	var bodies []string
	for _, m := range resp.GetMessages() {
		bodies = append(bodies, m.GetBody())
	}
	return bodies
}

// chat has two people write to each other, and waits until each has all.
func (w *world) chat(a, b *someone, about string) {
	w.t.Helper()
	question, answer := about+"?", about+"!"
	must(w.t, a.send(b.name, question))
	w.until(b.name+" gets "+question, func() bool { return slices.Contains(b.bodies(a.name), question) })
	must(w.t, b.send(a.name, answer))
	w.until(a.name+" gets "+answer, func() bool { return slices.Contains(a.bodies(b.name), answer) })
}

// notices collects what a core tells its person.
func (p *someone) notices() func(words ...string) bool {
	p.t.Helper()
	stream, err := p.client.Watch(p.t.Context(), &controlpb.WatchRequest{})
	must(p.t, err)
	_, err = stream.Recv() // from now on nothing is missed
	must(p.t, err)
	texts := make(chan string, 10_000)
	go func() {
		for {
			m, err := stream.Recv()
			if err != nil {
				return
			}
			if n := m.GetNotice(); n != nil {
				texts <- n.GetSubject() + " " + n.GetText()
			}
		}
	}()
	var all []string
	return func(words ...string) bool {
		for len(texts) > 0 {
			all = append(all, <-texts)
		}
		return slices.ContainsFunc(all, func(text string) bool {
			return !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(text, word) })
		})
	}
}

// from dials as another host does: limits are for each address.
func from(host string) *net.Dialer {
	return &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(host)}, Timeout: patience}
}
