package e2e

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/parley-chat/parley/core/client"
	"github.com/parley-chat/parley/internal/freeport"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// patience is how long a test waits for anything.
const patience = time.Minute

// world is a directory and people with cores, for tests in Go.
type world struct {
	t       *testing.T
	folder  string
	address string // of the directory
	listen  string // where cores listen
	network *hosts
}

func newWorld(t *testing.T) *world {
	t.Helper()
	address, err := freeport.Local(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return newWorldAt(t, address, "127.0.0.1:0", nil)
}

// newWorldAt makes a world whose programs run in a network of its own, or (nil)
// in this machine's.
func newWorldAt(t *testing.T, address, listen string, n *hosts) *world {
	t.Helper()
	folder, err := os.MkdirTemp("", "pw") // short: sockets lie below it
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, folder: folder, address: address, listen: listen, network: n}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	w.start("server", nil, "parley-server", "serve", "--listen", w.address, "--data", filepath.Join(folder, "server"))
	w.until("the directory answers", func() bool {
		return w.network.inside("server", func() error {
			c, err := net.Dial("tcp", w.address)
			if err == nil {
				_ = c.Close()
			}
			return err
		}) == nil
	})
	return w
}

// start starts a program, which ends with the test at the latest.
func (w *world) start(name string, env []string, program string, args ...string) *exec.Cmd {
	w.t.Helper()
	log, err := os.OpenFile(filepath.Join(w.folder, name+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(filepath.Join(binaries, program), args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := w.network.inside(name, cmd.Start); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if w.t.Failed() {
			b, _ := os.ReadFile(log.Name())
			w.t.Logf("%s:\n%s", name, b[max(0, len(b)-4000):])
		}
	})
	return cmd
}

func (w *world) until(what string, done func() bool) {
	w.t.Helper()
	w.within(patience, what, done)
}

func (w *world) within(patience time.Duration, what string, done func() bool) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	if poll(ctx, done) != nil {
		w.t.Fatalf("not within %s: %s", patience, what)
	}
}

// someone is one person with a core.
type someone struct {
	*world
	name   string
	core   *exec.Cmd
	client *client.Client
}

// person makes an account and starts its core.
func (w *world) person(name string) *someone {
	w.t.Helper()
	p := &someone{world: w, name: name}
	p.begin()
	_, err := p.client.LogIn(w.t.Context(), &controlpb.LogInRequest{Directory: w.address, User: name, Password: password, Register: true})
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// begin starts the core and connects with it.
func (p *someone) begin() {
	p.t.Helper()
	home := filepath.Join(p.folder, p.name)
	folders := client.Folders{Data: filepath.Join(home, "profiles", "default"), Run: filepath.Join(home, "run", "default")}
	p.core = p.start(p.name, []string{"PARLEY_HOME=" + home, "PARLEY_PROFILE=", "PARLEY_KEY=file"},
		"parley", "daemon", "--listen", p.listen, "--log-level", "debug")
	p.until(p.name+"'s core answers", func() bool {
		c, err := client.Connect(p.t.Context(), folders)
		if err != nil {
			return false
		}
		p.client = c
		return true
	})
	c := p.client
	p.t.Cleanup(func() { _ = c.Close() })
}

// kill ends the core with SIGKILL.
func (p *someone) kill() {
	p.t.Helper()
	if err := p.core.Process.Kill(); err != nil {
		p.t.Fatal(err)
	}
	_ = p.core.Wait()
}

// befriend makes two people contacts with a link.
func (w *world) befriend(a, b *someone) {
	w.t.Helper()
	if _, err := a.client.RequestContact(w.t.Context(), &controlpb.RequestContactRequest{User: b.name}); err != nil {
		w.t.Fatal(err)
	}
	w.until("the request arrives", func() bool { return b.contact(a).GetState() == controlpb.ContactState_CONTACT_STATE_INCOMING })
	if _, err := b.client.AnswerContact(w.t.Context(), &controlpb.AnswerContactRequest{User: a.name, Accept: true}); err != nil {
		w.t.Fatal(err)
	}
	w.until("they are linked", func() bool { return a.contact(b).GetLinked() && b.contact(a).GetLinked() })
	w.until("the answer arrives", func() bool { // which may be after the link
		return a.contact(b).GetState() == controlpb.ContactState_CONTACT_STATE_CONTACT
	})
}

func (p *someone) contact(other *someone) *controlpb.Contact {
	p.t.Helper()
	resp, err := p.client.ListContacts(p.t.Context(), &controlpb.ListContactsRequest{})
	if err != nil {
		p.t.Fatal(err)
	}
	for _, c := range resp.GetContacts() {
		if c.GetUser() == other.name {
			return c
		}
	}
	return nil
}

func (p *someone) chatWith(other *someone) string {
	return string(packet.DirectChat(packet.UserID(p.name), packet.UserID(other.name)))
}

// invokeSend asks the core to send text, without a second try.
func (p *someone) invokeSend(ctx context.Context, to *someone, id []byte, text string) error {
	_, err := p.client.InvokeAction(ctx, "text", &pluginpb.InvokeRequest{Invocation: id, Action: "send", Chat: p.chatWith(to), Text: text}, nil)
	return err
}

// bodies are the newest messages of the chat with other.
func (p *someone) bodies(other *someone) []string {
	p.t.Helper()
	resp, err := p.client.ListMessages(p.t.Context(), &controlpb.ListMessagesRequest{Chat: p.chatWith(other), Limit: 500})
	if err != nil {
		if strings.Contains(err.Error(), "not found") {
			return nil
		}
		p.t.Fatal(err)
	}
	var bodies []string
	for _, m := range resp.GetMessages() {
		bodies = append(bodies, m.GetBody())
	}
	return bodies
}
