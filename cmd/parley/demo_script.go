package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/parley-chat/parley/core/client"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

const (
	demoPassword = "correct horse battery"
	demoSecret   = "the treasure is under the old oak"
	demoChinese  = "明天在图书馆见面"
)

// run is the script of the demo.
func (d *demo) run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	began := time.Now()
	alice, bob, carol := &person{name: "alice"}, &person{name: "bob"}, &person{name: "carol"}
	d.people = []*person{alice, bob}
	chat := string(packet.DirectChat("alice", "bob"))
	s := &script{demo: d, ctx: ctx, chat: chat, alice: alice, bob: bob, carol: carol}
	for _, part := range []func() error{s.setUp, s.meet, s.talk, s.files, s.group, s.offline, s.killPlugin, s.withoutServer, s.look} {
		if err := part(); err != nil {
			return err
		}
	}
	if !d.app.json {
		d.app.printf("\nAll is well, in %s.\n", time.Since(began).Round(time.Millisecond))
	}
	return nil
}

// script is the demo's parts.
type script struct {
	*demo
	ctx  context.Context //nolint:containedctx // the life of the script
	chat string

	alice, bob, carol *person
}

func (s *script) setUp() error {
	if err := s.step("a directory starts", func() (string, error) { return s.address, s.startServer(s.ctx) }); err != nil {
		return err
	}
	for _, p := range s.people {
		if err := s.begin(p); err != nil {
			return err
		}
	}
	return nil
}

// begin starts somebody's core and makes an account.
func (s *script) begin(p *person) error {
	if err := s.step(p.name+"'s core starts", func() (string, error) { return "", s.startCore(s.ctx, p) }); err != nil {
		return err
	}
	return s.step(p.name+" makes an account", func() (string, error) {
		resp, err := p.client.LogIn(s.ctx, &controlpb.LogInRequest{
			Directory: s.address, User: p.name, Password: demoPassword, Register: true,
		})
		return "directory pinned: " + cut(resp.GetFingerprint(), 17), err
	})
}

func (s *script) meet() error { return s.befriend(s.alice, s.bob, "Hi Bob, it's Alice") }

// befriend makes two people contacts.
func (s *script) befriend(a, b *person, hello string) error {
	if err := s.step(a.name+" asks "+b.name+" to become a contact", func() (string, error) {
		if _, err := a.client.RequestContact(s.ctx, &controlpb.RequestContactRequest{User: b.name, Greeting: hello}); err != nil {
			return "", err
		}
		var greeting string
		err := b.await(s.ctx, b.name+" sees the request", func(e *controlpb.Event) bool {
			greeting = e.GetContact().GetGreeting()
			return e.GetContact().GetState() == controlpb.ContactState_CONTACT_STATE_INCOMING
		})
		return fmt.Sprintf("%s reads %q", b.name, greeting), err
	}); err != nil {
		return err
	}
	return s.step(b.name+" accepts, and their machines connect", func() (string, error) {
		if _, err := b.client.AnswerContact(s.ctx, &controlpb.AnswerContactRequest{User: a.name, Accept: true}); err != nil {
			return "", err
		}
		if err := s.linked(b, a.name); err != nil {
			return "", err
		}
		return "TLS 1.3, both sides authenticated", s.linked(a, b.name)
	})
}

// linked waits until p has a link with a contact, or a member of a common group. The
// link may be there before the answer by which one is a contact.
func (s *script) linked(p *person, user string) error {
	return s.until(s.ctx, p.name+" is linked with "+user, func() (bool, error) {
		resp, err := p.client.ListContacts(s.ctx, &controlpb.ListContactsRequest{Acquaintances: true})
		if err != nil {
			return false, err
		}
		for _, c := range resp.GetContacts() {
			if c.GetUser() == user {
				return c.GetLinked() && c.GetState() != controlpb.ContactState_CONTACT_STATE_OUTGOING, nil
			}
		}
		return false, nil
	})
}

// say sends text and waits until it is shown on the other side and reported
// delivered.
func (s *script) say(from, to *person, text string) (string, error) {
	id, err := s.send(from, text)
	if err != nil {
		return "", err
	}
	start := time.Now()
	if err := s.arrives(to, id, text); err != nil {
		return "", err
	}
	shown := time.Since(start)
	if err := s.reaches(from, id, controlpb.Delivery_DELIVERY_DELIVERED); err != nil {
		return "", err
	}
	return fmt.Sprintf("%q, shown %s after it was queued", text, milliseconds(shown)), nil
}

func (s *script) send(from *person, text string) ([]byte, error) {
	id := client.NewInvocation()
	_, err := from.client.InvokeAction(s.ctx, "text", &pluginpb.InvokeRequest{Invocation: id, Action: "send", Chat: s.chat, Text: text}, nil)
	return id, err
}

func (s *script) arrives(to *person, id []byte, text string) error {
	return to.await(s.ctx, to.name+" sees the message", func(e *controlpb.Event) bool {
		m := e.GetMessageAdded()
		return bytes.Equal(m.GetId(), id) && m.GetBody() == text
	})
}

// reaches waits until a message of p's is at least so far.
func (s *script) reaches(p *person, id []byte, state controlpb.Delivery) error {
	return s.until(s.ctx, "the message is "+stateWord(state), func() (bool, error) {
		m, err := oneMessage(s.ctx, p.client, s.chat, id)
		return m.GetDelivery() >= state, err
	})
}

func (s *script) talk() error {
	if err := s.step("alice writes", func() (string, error) { return s.say(s.alice, s.bob, demoSecret) }); err != nil {
		return err
	}
	if err := s.step("bob answers", func() (string, error) { return s.say(s.bob, s.alice, demoChinese) }); err != nil {
		return err
	}
	return s.step("bob reads, and alice sees that he did", func() (string, error) {
		id, err := s.send(s.alice, "did you read this?")
		if err != nil {
			return "", err
		}
		if err := s.arrives(s.bob, id, "did you read this?"); err != nil {
			return "", err
		}
		if _, err := s.bob.client.MarkRead(s.ctx, &controlpb.MarkReadRequest{Chat: s.chat}); err != nil {
			return "", err
		}
		return "", s.reaches(s.alice, id, controlpb.Delivery_DELIVERY_READ)
	})
}

func (s *script) offline() error {
	texts := []string{"are you there?", "no?", "then later"}
	var ids [][]byte
	if err := s.step("bob goes offline; alice writes all the same", func() (string, error) {
		s.bob.stopCore()
		for _, text := range texts {
			id, err := s.send(s.alice, text)
			if err != nil {
				return "", err
			}
			ids = append(ids, id)
		}
		m, err := oneMessage(s.ctx, s.alice.client, s.chat, ids[0])
		if err == nil && m.GetDelivery() >= controlpb.Delivery_DELIVERY_DELIVERED {
			err = fmt.Errorf("a message to somebody offline is called %s", stateWord(m.GetDelivery()))
		}
		return fmt.Sprintf("%d messages are kept", len(ids)), err
	}); err != nil {
		return err
	}
	return s.step("bob comes back and gets them, in order", func() (string, error) {
		if err := s.startCore(s.ctx, s.bob); err != nil {
			return "", err
		}
		if err := s.reaches(s.alice, ids[len(ids)-1], controlpb.Delivery_DELIVERY_DELIVERED); err != nil {
			return "", err
		}
		return "", s.until(s.ctx, "bob sees all of them", func() (bool, error) {
			page, err := s.bob.client.ListMessages(s.ctx, &controlpb.ListMessagesRequest{Chat: s.chat, Limit: uint32(len(texts))})
			if err != nil || len(page.GetMessages()) != len(texts) {
				return false, err
			}
			for i, m := range page.GetMessages() {
				if m.GetBody() != texts[i] {
					return false, nil
				}
			}
			return true, nil
		})
	})
}

func (s *script) killPlugin() error {
	return s.step("bob's text plugin is killed, and nobody notices", func() (string, error) {
		before, err := s.textPlugin(s.bob)
		if err != nil {
			return "", err
		}
		if before.GetProcessId() <= 0 {
			return "", fmt.Errorf("bob's text plugin does not run: %s", before.GetError())
		}
		if err := syscall.Kill(int(before.GetProcessId()), syscall.SIGKILL); err != nil {
			return "", fmt.Errorf("kill the plugin: %w", err)
		}
		said, err := s.say(s.alice, s.bob, "still there?")
		if err != nil {
			return "", err
		}
		after, err := s.textPlugin(s.bob)
		if err == nil && after.GetProcessId() == before.GetProcessId() {
			err = fmt.Errorf("process %d was not replaced", before.GetProcessId())
		}
		return fmt.Sprintf("process %d, then %d: %s", before.GetProcessId(), after.GetProcessId(), said), err
	})
}

func (s *script) textPlugin(p *person) (*controlpb.Plugin, error) {
	resp, err := p.client.ListPlugins(s.ctx, &controlpb.ListPluginsRequest{})
	if err != nil {
		return nil, err
	}
	for _, plugin := range resp.GetPlugins() {
		if plugin.GetName() == "text" {
			return plugin, nil
		}
	}
	return nil, fmt.Errorf("%s has no text plugin", p.name)
}

func (s *script) withoutServer() error {
	if err := s.step("the directory stops; the chat goes on", func() (string, error) {
		s.server.stop()
		return s.say(s.bob, s.alice, "who needs a server?")
	}); err != nil {
		return err
	}
	return s.step("the directory is back, and so are both", func() (string, error) {
		if err := s.startServer(s.ctx); err != nil {
			return "", err
		}
		for _, p := range s.people {
			if err := s.until(s.ctx, p.name+" is connected with the directory", func() (bool, error) {
				status, err := p.client.GetStatus(s.ctx, &controlpb.GetStatusRequest{})
				return status.GetDirectory().GetConnected(), err
			}); err != nil {
				return "", err
			}
		}
		return "", nil
	})
}

func (s *script) look() error {
	if err := s.step("alice searches what was said, in two languages", func() (string, error) {
		for _, word := range []string{"treasure", "图书"} {
			resp, err := s.alice.client.Search(s.ctx, &controlpb.SearchRequest{Query: word})
			if err != nil {
				return "", err
			}
			if len(resp.GetMessages()) != 1 {
				return "", fmt.Errorf("%q is in %d messages, not 1", word, len(resp.GetMessages()))
			}
		}
		return "treasure, 图书", nil
	}); err != nil {
		return err
	}
	return s.step("what is on the disks cannot be read", func() (string, error) {
		files, size := 0, int64(0)
		err := filepath.WalkDir(s.folder, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || !entry.Type().IsRegular() {
				return err
			}
			b, err := os.ReadFile(path) //nolint:gosec // the demo's own folder
			if err != nil {
				return err
			}
			files, size = files+1, size+int64(len(b))
			for _, secret := range []string{demoSecret, demoChinese, demoPassword} {
				if bytes.Contains(b, []byte(secret)) {
					return fmt.Errorf("%s holds %q in the clear", path, secret)
				}
			}
			return nil
		})
		return fmt.Sprintf("%d files, %.1f MB, looked through", files, float64(size)/1e6), err
	})
}
