package viewmodel

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/parley-chat/parley/core/client"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// outbox is what a person has sent and the core has not taken yet. Each keeps its
// invocation id, so that it can be repeated whenever an answer was lost, and
// comes through once. In each chat one goes after the other, in their order.
type outbox struct {
	session *Session
	list    []*outgoing
	// changed is called with the chat of what came, went or changed.
	changed func(chat string)
}

type outgoing struct {
	user   string // whose it is: another account of this device must not send it
	plugin string
	req    *pluginpb.InvokeRequest
	quote  *controlpb.Quote
	sentAt time.Time
	shown  bool // as a message, until the core has it
	typed  bool // by a person: shortcodes in it stand for emoji
	// text is what is lost with it, and kept as a draft until it is taken.
	text    string
	running bool
	core    Core // that was asked last
	tries   int
	taken   bool   // by the core; it is shown until its message comes
	problem string // why it was refused
	done    func(error)
}

// Waits between tries of what a core that is there cannot do at present.
const (
	sendTries = 4
	sendWait  = time.Second
	// takenShown is how long the message of what was taken is awaited.
	takenShown = 5 * time.Second
)

func newOutbox(s *Session) *outbox {
	o := &outbox{session: s, changed: func(string) {}}
	s.Loaded.Observe(func(struct{}) { o.run() })
	return o
}

func (o *outbox) get(id []byte) *outgoing {
	for _, x := range o.list {
		if string(x.req.GetInvocation()) == string(id) {
			return x
		}
	}
	return nil
}

// send puts something into the outbox.
func (o *outbox) send(x *outgoing) {
	if len(x.req.GetInvocation()) == 0 {
		x.req.Invocation = client.NewInvocation()
	}
	x.user, x.sentAt = o.session.User(), o.session.cfg.Now()
	o.list = append(o.list, x)
	o.changed(x.req.GetChat())
	o.run()
}

// run starts what can go.
func (o *outbox) run() {
	if o.session.core == nil || !o.session.Open() {
		return
	}
	busy := map[string]bool{}
	for _, x := range slices.Clone(o.list) {
		chat := x.req.GetChat()
		if busy[chat] || x.user != o.session.User() || x.taken || x.problem != "" {
			continue
		}
		busy[chat] = true
		if !x.running {
			o.start(x)
		}
	}
}

func (o *outbox) start(x *outgoing) {
	x.running, x.core = true, o.session.core
	x.tries++
	o.session.callFor(0, func(ctx context.Context, core Core) error {
		req := x.req
		if x.typed {
			req = withEmoji(ctx, core, req)
		}
		_, err := core.InvokeAction(ctx, x.plugin, req, nil)
		return err
	}, func(err error) {
		x.running = false
		switch {
		case err == nil && x.shown: // else it would go, and come again as a message
			x.taken, x.text = true, ""
			o.session.cfg.After(takenShown, func() {
				o.drop(x)
				o.changed(x.req.GetChat())
			})
		case err == nil:
			o.drop(x)
		case closedAccount(err): // and it is opened again
			x.tries--
		case lost(err) && o.session.core != x.core: // it is repeated once there is a core again
		case lost(err) && x.tries < sendTries:
			o.session.cfg.After(sendWait*time.Duration(x.tries), o.run)
			return
		default:
			x.problem = o.session.Sentence(err)
			if x.done == nil && !x.shown {
				o.drop(x)
			}
		}
		if x.done != nil && (err == nil || x.problem != "") {
			x.done(err)
		}
		o.changed(x.req.GetChat())
		if !closedAccount(err) {
			o.run()
		}
	})
}

// lost says whether an error leaves open what became of a call.
func lost(err error) bool {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	switch status.Code(err) {
	case codes.Unavailable, codes.Canceled, codes.DeadlineExceeded, codes.Aborted:
		return true
	}
	return false
}

func (o *outbox) drop(x *outgoing) {
	o.list = slices.DeleteFunc(o.list, func(y *outgoing) bool { return x == y })
}

// retry has what was refused sent again.
func (o *outbox) retry(x *outgoing) {
	x.problem, x.tries = "", 0
	o.changed(x.req.GetChat())
	o.run()
}

// handle drops what the core shows as a message now.
func (o *outbox) handle(batch []*controlpb.Event) {
	for _, e := range batch {
		if x := o.get(e.GetMessageAdded().GetId()); x != nil {
			x.shown = false // the message itself is
			if x.taken {
				o.drop(x)
			}
		}
	}
}

// unsent gives messages to be shown of what is in the box for a chat.
func (o *outbox) unsent(chat string, there func(id []byte) bool) []*controlpb.Message {
	var list []*controlpb.Message
	for _, x := range o.list {
		if x.user != o.session.User() || x.req.GetChat() != chat || !x.shown || there(x.req.GetInvocation()) {
			continue
		}
		body := x.req.GetText()
		for _, p := range x.req.GetPaths() {
			body = strings.TrimSpace(body + "\n" + filepath.Base(p))
		}
		list = append(list, &controlpb.Message{
			Id: x.req.GetInvocation(), Chat: chat, Author: o.session.User(), Own: true, Body: body, Kind: textKind, Plugin: textPlugin,
			SentAt: x.sentAt.UnixMicro(), ReplyTo: x.quote, Delivery: controlpb.Delivery_DELIVERY_QUEUED,
		})
	}
	return list
}

// texts gives what would be lost of a chat with this program.
func (o *outbox) texts(chat string) []string {
	var list []string
	for _, x := range o.list {
		if x.user == o.session.User() && x.req.GetChat() == chat && x.text != "" {
			list = append(list, x.text)
		}
	}
	return list
}
