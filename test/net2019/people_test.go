package net2019

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"

	"github.com/parley-chat/parley/bench/process"
	"github.com/parley-chat/parley/core/client"
	"github.com/parley-chat/parley/internal/freeport"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/pluginpb"
	"github.com/parley-chat/parley/test/net2019/original"
)

const password = "correct horse battery"

// someone is a person with a core, who is id among those of 2019.
type someone struct {
	*world
	name, id string
	home     string
	core     *process.Process
	client   *client.Client

	mu      sync.Mutex // guards notices
	notices []string
}

// person starts a core and registers at the directory.
func (w *world) person(name, id string) *someone {
	w.t.Helper()
	p := &someone{world: w, name: name, id: id, home: filepath.Join(w.folder, name)}
	p.begin()
	_, err := p.client.LogIn(w.soon(), &controlpb.LogInRequest{Directory: w.address, User: name, Password: password, Register: true})
	must(w.t, err)
	p.watch()
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

// again ends the core as the end of the machine does, and starts another.
func (p *someone) again() {
	p.t.Helper()
	p.core.Kill()
	p.begin()
	p.until(p.name+" is logged in to 2019 again", func() bool {
		status, err := p.client.GetStatus(p.soon(), &controlpb.GetStatusRequest{})
		return err == nil && status.GetNet2019().GetLoggedIn()
	})
	p.watch()
}

// watch collects what the core tells.
func (p *someone) watch() {
	p.t.Helper()
	stream, err := p.client.Watch(p.t.Context(), &controlpb.WatchRequest{})
	must(p.t, err)
	_, err = stream.Recv() // from now on nothing is missed
	must(p.t, err)
	go func() {
		for {
			m, err := stream.Recv()
			if err != nil {
				return
			}
			if n := m.GetNotice(); n != nil {
				p.mu.Lock()
				p.notices = append(p.notices, n.GetSubject()+" "+n.GetText())
				p.mu.Unlock()
			}
		}
	}()
}

// told waits until the core has told something.
func (p *someone) told(words string) {
	p.t.Helper()
	p.until(p.name+" is told: "+words, func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return slices.ContainsFunc(p.notices, func(s string) bool { return strings.Contains(s, words) })
	})
}

// switchOn logs in to 2019: at the account's own directory, or a server.
func (p *someone) switchOn(server string, course bool) {
	p.t.Helper()
	req := &controlpb.LogInNet2019Request{Id: p.id, Server: server, Course: course}
	if !course {
		req.Port = freePort(p.t)
	}
	if server != "" {
		req.Password = original.Word
	}
	var status *controlpb.Net2019Status
	p.until(p.name+" logs in", func() (in bool) {
		var err error
		status, err = p.client.LogInNet2019(p.soon(), req)
		// The course's port is one for all of this machine.
		if taken := course && grpcstatus.Code(err) == codes.FailedPrecondition; !taken {
			must(p.t, err)
		}
		return err == nil
	})
	if !status.GetOn() || status.GetId() != p.id || !status.GetLoggedIn() || status.GetError() != "" {
		p.t.Fatalf("%s: %v", p.name, status)
	}
}

func itoa(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

func freePort(t *testing.T) uint32 {
	t.Helper()
	address, err := freeport.Local(t.Context())
	must(t, err)
	return uint32(netip.MustParseAddrPort(address).Port())
}

// addr is where the person listens for those of 2019.
func (p *someone) addr() string {
	p.t.Helper()
	status, err := p.client.GetStatus(p.soon(), &controlpb.GetStatusRequest{})
	must(p.t, err)
	return fmt.Sprintf("127.0.0.1:%d", status.GetNet2019().GetPort())
}

// nameOf is what an id is called among native names.
func nameOf(id string) string { return "net2019:" + id }

// chatWith is the chat with some of 2019.
func (p *someone) chatWith(ids ...string) string {
	return "net2019:" + original.ChatOf(append(slices.Clone(ids), p.id)...)
}

func (p *someone) add(id string) {
	p.t.Helper()
	_, err := p.client.RequestContact(p.soon(), &controlpb.RequestContactRequest{User: nameOf(id)})
	must(p.t, err)
}

func (p *someone) answer(id string, accept bool) {
	p.t.Helper()
	_, err := p.client.AnswerContact(p.soon(), &controlpb.AnswerContactRequest{User: nameOf(id), Accept: accept})
	must(p.t, err)
}

func (p *someone) contact(id string) *controlpb.Contact {
	p.t.Helper()
	resp, err := p.client.ListContacts(p.soon(), &controlpb.ListContactsRequest{})
	must(p.t, err)
	for _, c := range resp.GetContacts() {
		if c.GetUser() == nameOf(id) {
			return c
		}
	}
	return nil
}

func (p *someone) linked(id string) {
	p.t.Helper()
	p.until(p.name+" is linked with "+id, func() bool { return p.contact(id).GetLinked() })
}

func (p *someone) asked(id string) {
	p.t.Helper()
	p.until(p.name+" is asked by "+id, func() bool {
		return p.contact(id).GetState() == controlpb.ContactState_CONTACT_STATE_INCOMING
	})
}

// invoke does an action of a plugin.
func (p *someone) invoke(plugin string, req *pluginpb.InvokeRequest) error {
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	req.Invocation = client.NewInvocation()
	_, err := p.client.InvokeAction(ctx, plugin, req, nil)
	return err
}

func (p *someone) send(chat, text string) {
	p.t.Helper()
	must(p.t, p.invoke("text", &pluginpb.InvokeRequest{Action: "send", Chat: chat, Text: text}))
}

// messages are the newest of a chat, the oldest first.
func (p *someone) messages(chat string) []*controlpb.Message {
	p.t.Helper()
	resp, err := p.client.ListMessages(p.soon(), &controlpb.ListMessagesRequest{Chat: chat, Limit: 500})
	if err != nil {
		return nil // not there yet
	}
	return resp.GetMessages()
}

// message is one with that text, of an author or (empty) the person; nil: none.
func (p *someone) message(chat, author, body string) *controlpb.Message {
	p.t.Helper()
	for _, m := range p.messages(chat) {
		if m.GetBody() == body && (m.GetAuthor() == author || author == "" && m.GetOwn()) {
			return m
		}
	}
	return nil
}

// hears waits for what somebody of 2019 says.
func (p *someone) hears(chat, id, body string) {
	p.t.Helper()
	p.until(fmt.Sprintf("%s hears %.40q of %s", p.name, body, id), func() bool { return p.message(chat, nameOf(id), body) != nil })
}

// sent waits until the own message with that text is sent, which is as far as it gets.
func (p *someone) sent(chat, body string) {
	p.t.Helper()
	p.until(fmt.Sprintf("%s has sent %.40q", p.name, body), func() bool {
		return p.message(chat, "", body).GetDelivery() == controlpb.Delivery_DELIVERY_SENT
	})
}

// says says a text to an original, who hears it, in as many frames as it takes.
func (p *someone) says(c *original.Client, text string) {
	p.t.Helper()
	chat := original.ChatOf(p.id, c.ID())
	p.send("net2019:"+chat, text)
	p.await(c, fmt.Sprintf("heard %.40q of %s", text, p.name), func() bool {
		var all strings.Builder
		for _, m := range c.History(chat) {
			if m.Kind == original.Text && m.Sender == p.id {
				all.WriteString(m.Content)
			}
		}
		return strings.HasSuffix(all.String(), text)
	})
	p.sent("net2019:"+chat, text)
}

// talk has a person and an original say something to each other.
func (p *someone) talk(c *original.Client, about string) {
	p.t.Helper()
	p.says(c, about+"?")
	must(p.t, c.Say(original.ChatOf(p.id, c.ID()), about+"!"))
	p.hears(p.chatWith(c.ID()), c.ID(), about+"!")
}

// befriended gives a person and an original who are linked.
func befriended(t *testing.T, change func(*original.Config)) (w *world, c *original.Client, p *someone) {
	t.Helper()
	w = newWorld(t)
	w.serve()
	c, p = w.loggedIn(one, change), w.person("alice", two)
	p.switchOn("", false)
	p.add(one)
	p.linked(one)
	p.talk(c, "first")
	return w, c, p
}

func count(all []*controlpb.Message, body string) (n int) {
	for _, m := range all {
		if m.GetBody() == body {
			n++
		}
	}
	return n
}
