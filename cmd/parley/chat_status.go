package main

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"time"

	"github.com/parley-chat/parley/core/client"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

const (
	typingFades = 6 * time.Second // a typing notice is forgotten after this
	typingEvery = time.Second     // the plugin is told at most so often; it sends less often
)

// statusRow is what stands below the line on a terminal: whether the other side
// is there, whether it types, and how far one's latest message came.
type statusRow struct {
	chat string
	show func(row string)

	mu      sync.Mutex // guards all below; show is called under it
	contact *controlpb.Contact
	latest  *controlpb.Message // one's own
	typist  string
	fade    *time.Timer
}

// take takes an event of the chat's.
func (s *statusRow) take(e *controlpb.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch m, p := e.GetMessageChanged(), e.GetPluginEvent(); {
	case e.GetMessageAdded().GetChat() == s.chat && e.GetMessageAdded() != nil:
		if m := e.GetMessageAdded(); m.GetOwn() {
			s.latest = m
		} else if m.GetAuthor() == s.typist {
			s.typist = ""
		}
	case m != nil && m.GetChat() == s.chat && bytes.Equal(m.GetId(), s.latest.GetId()):
		s.latest = m
	case e.GetContact() != nil && e.GetContact().GetChat() == s.chat:
		s.contact = e.GetContact()
	case p.GetName() == "typing" && p.GetPlugin() == textPlugin && p.GetChat() == s.chat:
		s.types(p.GetUser(), bytes.Contains(p.GetData(), []byte("true")))
	default:
		return
	}
	s.show(s.row())
}

// types keeps who types, until the notice fades. The caller holds mu.
func (s *statusRow) types(user string, on bool) {
	if s.fade != nil {
		s.fade.Stop()
	}
	s.typist = ""
	if !on {
		return
	}
	s.typist = user
	var fade *time.Timer
	fade = time.AfterFunc(typingFades, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.fade == fade { // no later notice came
			s.typist = ""
			s.show(s.row())
		}
	})
	s.fade = fade
}

// row is the text. The caller holds mu.
func (s *statusRow) row() string {
	var parts []string
	if mark := notEncrypted(s.chat); mark != "" {
		parts = append(parts, mark)
	}
	if c := s.contact; c != nil {
		name := client.PrintableLine(c.GetName())
		switch {
		case c.GetState() != controlpb.ContactState_CONTACT_STATE_CONTACT:
			parts = append(parts, name+": "+contactWord(c.GetState()))
		case s.typist == c.GetUser():
			parts = append(parts, name+" is typing…")
		case c.GetKeyChanged():
			parts = append(parts, contactNote(c))
		default:
			parts = append(parts, name+" is "+contactNote(c))
		}
	} else if s.typist != "" {
		parts = append(parts, s.typist+" is typing…")
	}
	if word := stateOf(s.latest); word != "" && !s.latest.GetDeleted() {
		parts = append(parts, "your latest message: "+word)
	}
	return strings.Join(parts, " · ")
}

// openStatus makes the row and fills in what is known already.
func (v *conversation) openStatus(ctx context.Context, show func(string), page []*controlpb.Message) {
	v.status = &statusRow{chat: v.chat, show: show}
	for _, m := range page {
		if m.GetOwn() {
			v.status.latest = m
		}
	}
	// Without them the row says less.
	if resp, err := v.client.ListContacts(ctx, &controlpb.ListContactsRequest{}); err == nil {
		for _, c := range resp.GetContacts() {
			if c.GetChat() == v.chat {
				v.status.contact = c
			}
		}
	}
	v.status.mu.Lock()
	defer v.status.mu.Unlock()
	show(v.status.row())
}

// tellTyping tells the others when somebody types here. Like all about typing it
// is a courtesy: failures are not told.
func (v *conversation) tellTyping(ctx context.Context, typed <-chan struct{}) {
	var last time.Time
	for {
		select {
		case <-typed:
		case <-ctx.Done():
			return
		}
		if time.Since(last) < typingEvery {
			continue
		}
		last = time.Now()
		_, _ = v.client.InvokeAction(ctx, textPlugin, &pluginpb.InvokeRequest{
			Invocation: client.NewInvocation(), Action: "typing", Chat: v.chat,
		}, nil)
	}
}
