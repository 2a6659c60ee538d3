// Package chaos kills the real programs, and cuts their links, while people write
// to each other and send files, and looks whether every message is there once and
// in its place, and every file as it was.
package chaos

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/parley-chat/parley/bench/network"
	"github.com/parley-chat/parley/bench/process"
	"github.com/parley-chat/parley/core/client"
	"github.com/parley-chat/parley/internal/freeport"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/packet"
)

// patience is how long a test waits while nothing gets ahead.
const patience = 3 * time.Minute

func TestMain(m *testing.M) {
	if out, err := exec.Command("make", "--no-print-directory", "-C", "../..", "build").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the programs: %v\n%s", err, out)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// world is a directory and people, two of whom are contacts from the start.
type world struct {
	t       *testing.T
	folder  string
	address string
	listen  string           // where cores listen
	network *network.Network // nil: this machine's
	server  *process.Process
	people  []*person
	moves   int // how often bob had another address
}

func newWorld(t *testing.T) *world {
	t.Helper()
	address, err := freeport.Local(t.Context())
	must(t, err)
	return newWorldIn(t, nil, address, "127.0.0.1:0")
}

// newWorldIn makes a world in a network, whose hosts are the directory, alice and
// bob, or (nil) in this machine's.
func newWorldIn(t *testing.T, n *network.Network, address, listen string) *world {
	t.Helper()
	w := emptyWorldIn(t, n, address, listen)
	w.befriend(w.join("alice"), w.join("bob"))
	return w
}

// emptyWorldIn makes a world with nobody in it yet.
func emptyWorldIn(t *testing.T, n *network.Network, address, listen string) *world {
	t.Helper()
	folder, err := os.MkdirTemp("", "pc") // short: sockets lie below it
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	w := &world{t: t, folder: folder, address: address, listen: listen, network: n}
	w.serve()
	return w
}

// join has somebody register.
func (w *world) join(name string) *person {
	w.t.Helper()
	home := filepath.Join(w.folder, name)
	p := &person{world: w, name: name, folders: client.Folders{
		Data: filepath.Join(home, "profiles", "default"), Run: filepath.Join(home, "run", "default"),
	}}
	w.people = append(w.people, p)
	w.t.Cleanup(func() { p.broken(p.connectedBefore()) })
	p.begin()
	_, err := p.connected().LogIn(w.t.Context(), &controlpb.LogInRequest{
		Directory: w.address, User: name, Password: "correct horse battery", Register: true,
	})
	must(w.t, err)
	return p
}

// start starts a program at a host.
func (w *world) start(host string, cfg process.Config) *process.Process {
	w.t.Helper()
	cfg.Inside = func(start func() error) error { return w.network.Inside(host, start) }
	p, err := process.Start(cfg)
	must(w.t, err)
	w.t.Cleanup(p.Kill)
	return p
}

func (w *world) serve() {
	w.t.Helper()
	w.server = w.start("directory", process.Config{
		Program: "parley-server", Args: []string{"serve", "--listen", w.address, "--data", filepath.Join(w.folder, "server")},
	})
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	_, err := w.server.Await(ctx, "listening on ")
	must(w.t, err)
}

// until waits for something; why says, when that is in vain, what it was up to.
func (w *world) until(what string, done func() bool, why ...func() string) {
	w.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !done(); <-tick.C {
		if time.Now().After(end) {
			for _, f := range why {
				what += ": " + f()
			}
			w.t.Fatalf("not within %s: %s", patience, what)
		}
	}
}

func (w *world) befriend(alice, bob *person) {
	w.t.Helper()
	_, err := alice.connected().RequestContact(w.t.Context(), &controlpb.RequestContactRequest{User: bob.name})
	must(w.t, err)
	w.until("the request arrives", func() bool { return bob.contact(alice).GetState() == controlpb.ContactState_CONTACT_STATE_INCOMING })
	_, err = bob.connected().AnswerContact(w.t.Context(), &controlpb.AnswerContactRequest{User: alice.name, Accept: true})
	must(w.t, err)
	w.until("they are linked", func() bool { return alice.contact(bob).GetLinked() && bob.contact(alice).GetLinked() })
	w.until("the answer arrives", func() bool { // which may be after the link
		return alice.contact(bob).GetState() == controlpb.ContactState_CONTACT_STATE_CONTACT
	})
}

func (w *world) chat() string {
	return string(packet.DirectChat(packet.UserID(w.people[0].name), packet.UserID(w.people[1].name)))
}

// person has a core, which comes and goes.
type person struct {
	*world
	name    string
	folders client.Folders
	core    *process.Process

	mu     sync.Mutex // guards client
	client *client.Client
}

// begin starts the core.
func (p *person) begin() {
	p.t.Helper()
	p.core = p.start(p.name, process.Config{
		Program: "parley", Args: []string{"daemon", "--listen", p.listen},
		Env: []string{"PARLEY_HOME=" + filepath.Join(p.folder, p.name), "PARLEY_PROFILE=", "PARLEY_KEY=file"},
	})
	p.until(p.name+"'s core answers", func() bool { return p.connected() != nil })
}

// connected gives the client of the core, nil when it does not answer.
func (p *person) connected() *client.Client {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.client == nil {
		c, err := client.Connect(p.t.Context(), p.folders)
		if err != nil {
			return nil
		}
		p.client = c
	}
	return p.client
}

// broken has the next one connect anew. It is said by who saw a client fail.
func (p *person) broken(c *client.Client) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.client == c && c != nil {
		_ = c.Close()
		p.client = nil
	}
}

// killCore ends the core with SIGKILL and starts another.
func (p *person) killCore() {
	p.t.Helper()
	p.core.Kill()
	p.broken(p.connectedBefore())
	p.begin()
}

func (p *person) connectedBefore() *client.Client {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.client
}

// killPlugin ends the text plugin with SIGKILL, once it runs. One that crashed so
// often that it is not started any more is started again, as a person would.
func (p *person) killPlugin() (restarted bool) {
	p.t.Helper()
	p.until(p.name+"'s text plugin runs", func() bool {
		restarted = p.revive() || restarted
		pid := int(p.plugin("text").GetProcessId())
		return pid > 0 && syscall.Kill(pid, syscall.SIGKILL) == nil
	})
	return restarted
}

func (p *person) plugin(name string) *controlpb.Plugin {
	c := p.connected()
	if c == nil {
		return nil
	}
	resp, err := c.ListPlugins(p.t.Context(), &controlpb.ListPluginsRequest{})
	if err != nil {
		p.broken(c)
	}
	for _, plugin := range resp.GetPlugins() {
		if plugin.GetName() == name {
			return plugin
		}
	}
	return nil
}

func (p *person) contact(other *person) *controlpb.Contact {
	resp, err := p.connected().ListContacts(p.t.Context(), &controlpb.ListContactsRequest{})
	if err != nil {
		return nil // the account is not open yet
	}
	for _, c := range resp.GetContacts() {
		if c.GetUser() == other.name {
			return c
		}
	}
	return nil
}

// history gives all messages of the chat of the first two people.
func (p *person) history() []*controlpb.Message { return p.historyOf(p.chat()) }

// historyOf gives all messages of a chat, the first one first; nil when the core
// does not give them now.
func (p *person) historyOf(chat string) (all []*controlpb.Message) {
	c := p.connected()
	if c == nil {
		return nil
	}
	req := &controlpb.ListMessagesRequest{Chat: chat, Limit: 500}
	for {
		resp, err := c.ListMessages(p.t.Context(), req)
		if err != nil {
			p.broken(c)
			return nil
		}
		all = append(resp.GetMessages(), all...)
		if !resp.GetMore() || len(resp.GetMessages()) == 0 {
			return all
		}
		req.Before = resp.GetMessages()[0].GetId()
	}
}
