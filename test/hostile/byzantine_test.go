package hostile

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parley-chat/parley/core/client"
	"github.com/parley-chat/parley/core/identity"
	"github.com/parley-chat/parley/plugins/group"
	"github.com/parley-chat/parley/plugins/text"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/directorypb"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// circle is a group that alice made, of honest people and mallory.
type circle struct {
	*world
	alice, bob, carol *someone
	honest            []*someone
	mallory           *member
	chat              packet.ChatID
}

// member is mallory as one of a group: he knows its history like everybody, and
// sends what he wants.
type member struct {
	*mallory
	chat packet.ChatID

	mu       sync.Mutex // guards all below
	graph    *group.Graph
	changes  map[group.ChangeID]group.Signed
	early    []group.Signed // whose parents are not here
	versions map[group.ChangeID]uint64
	latest   group.ChangeID
	got      map[packet.PacketID]*packet.Packet // all that he was ever given
	at       map[string]string                  // where people listen
	numbers  map[uint64]uint64                  // the last one of each epoch
	wanted   map[packet.Log]uint64              // up to where logs were asked for
	conns    map[string]*tls.Conn
}

// gather makes the group. Mallory is invited, and accepts.
func gather(t *testing.T) *circle {
	w := newWorld(t)
	w.serve()
	c := &circle{world: w, alice: w.person("alice"), bob: w.person("bob"), carol: w.person("carol")}
	c.honest = []*someone{c.alice, c.bob, c.carol}
	w.befriend(c.alice, c.bob)
	w.befriend(c.alice, c.carol)
	m := &member{
		mallory: w.mallory(), changes: map[group.ChangeID]group.Signed{}, versions: map[group.ChangeID]uint64{},
		got: map[packet.PacketID]*packet.Packet{}, at: map[string]string{}, numbers: map[uint64]uint64{},
		wanted: map[packet.Log]uint64{}, conns: map[string]*tls.Conn{},
	}
	c.mallory = m
	m.befriend(c.alice)
	m.ask(&directorypb.SessionRequest{Request: &directorypb.SessionRequest_SetContacts{SetContacts: &directorypb.SetContacts{
		Contacts: []string{"alice", "bob", "carol"},
	}}})
	go m.hearOfPeople()

	var done group.Done
	must(t, json.Unmarshal(c.does(c.alice, "create", "the four of us", map[string]string{"users": "bob carol mallory"}), &done))
	c.chat, m.chat = done.Chat, done.Chat
	m.graph = group.NewGraph(c.chat)
	for _, p := range c.honest[1:] {
		// The plugin knows it a moment before the core has it.
		c.until(p.name+" is invited", func() bool { return c.info(p).Role == "invited" && c.mayWrite(p) })
		c.does(p, "accept", "", nil)
	}
	m.meets(c.alice)
	c.until("mallory has the group's history", func() bool { return m.role("carol") == group.RoleMember && m.role("bob") == group.RoleMember })
	m.sends("alice", m.change(nil, group.Operation{Verb: group.VerbAccept}))
	c.until("mallory is a member for all", func() bool {
		return c.all(func(p *someone) bool { return c.roleOf(p, "mallory") == "member" })
	})
	m.meets(c.bob)
	m.meets(c.carol)
	return c
}

func (c *circle) all(is func(p *someone) bool) bool {
	return !slices.ContainsFunc(c.honest, func(p *someone) bool { return !is(p) })
}

// does has somebody run an action of the group plugin.
func (c *circle) does(p *someone, action, words string, args map[string]string) []byte {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	result, err := p.client.InvokeAction(ctx, "group", &pluginpb.InvokeRequest{
		Invocation: client.NewInvocation(), Action: action, Chat: string(c.chat), Text: words, Args: args,
	}, nil)
	must(c.t, err)
	return result.GetResult()
}

// info is what somebody knows of the group; nothing before he has heard of it.
func (c *circle) info(p *someone) (info group.Info) {
	result, err := p.client.InvokeAction(c.t.Context(), "group", &pluginpb.InvokeRequest{
		Invocation: client.NewInvocation(), Action: "info", Chat: string(c.chat),
	}, nil)
	if err == nil {
		must(c.t, json.Unmarshal(result.GetResult(), &info))
	}
	return info
}

// mayWrite says whether somebody's core takes what is sent to the group.
func (c *circle) mayWrite(p *someone) bool {
	resp, err := p.client.ListChats(c.t.Context(), &controlpb.ListChatsRequest{})
	must(c.t, err)
	return slices.ContainsFunc(resp.GetChats(), func(chat *controlpb.Chat) bool {
		return chat.GetId() == string(c.chat) && slices.Contains(chat.GetMembers(), p.name)
	})
}

func (c *circle) roleOf(p *someone, user packet.UserID) string {
	for _, person := range c.info(p).People {
		if person.User == user {
			return person.Role
		}
	}
	return ""
}

// standing is who is what in the group, and what it is called.
func (c *circle) standing(p *someone) string {
	info := c.info(p)
	words := []string{info.Title}
	for _, person := range info.People {
		words = append(words, string(person.User)+" "+person.Role)
	}
	return strings.Join(words, ", ")
}

// history is all that somebody shows of the group: each message's author, kind and
// body.
func (c *circle) history(p *someone) (lines []string) {
	var before []byte
	for {
		resp, err := p.client.ListMessages(c.t.Context(), &controlpb.ListMessagesRequest{Chat: string(c.chat), Before: before, Limit: 500})
		must(c.t, err)
		var page []string
		for _, m := range resp.GetMessages() {
			page = append(page, m.GetAuthor()+" "+m.GetKind()+": "+m.GetBody())
		}
		lines = append(page, lines...)
		if !resp.GetMore() {
			return lines
		}
		before = resp.GetMessages()[0].GetId()
	}
}

// shows says whether somebody's history has a message: its packet's id, and its body.
func (c *circle) shows(p *someone, id []byte, body string) bool {
	resp, err := p.client.ListMessages(c.t.Context(), &controlpb.ListMessagesRequest{Chat: string(c.chat), Ids: [][]byte{id}})
	must(c.t, err)
	return len(resp.GetMessages()) == 1 && resp.GetMessages()[0].GetBody() == body
}

// tells is how often somebody's history says something.
func (c *circle) tells(p *someone, words string) (times int) {
	for _, line := range c.history(p) {
		if strings.Contains(line, words) {
			times++
		}
	}
	return times
}

func (c *circle) says(p *someone, id []byte, body string) {
	c.t.Helper()
	must(c.t, c.trySay(p, id, body))
}

func (c *circle) trySay(p *someone, id []byte, body string) error {
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	_, err := p.client.InvokeAction(ctx, "text", &pluginpb.InvokeRequest{Invocation: id, Action: "send", Chat: string(c.chat), Text: body}, nil)
	return err
}

// talk has all honest people say something, and waits until each has all of it.
func (c *circle) talk(about string) {
	c.t.Helper()
	ids := map[*someone][]byte{}
	for _, p := range c.honest {
		ids[p] = client.NewInvocation()
		c.says(p, ids[p], p.name+" "+about)
	}
	for _, p := range c.honest {
		c.until(p.name+" has what was said "+about, func() bool {
			return c.all(func(by *someone) bool { return c.shows(p, ids[by], by.name+" "+about) })
		})
	}
}

// agree waits until all honest people have one history and one list of members.
func (c *circle) agree(when string) {
	c.t.Helper()
	defer func() {
		if c.t.Failed() {
			for _, p := range c.honest {
				lines := c.history(p)
				c.t.Logf("%s: %s; %d lines:\n%s", p.name, c.standing(p), len(lines), strings.Join(lines[max(0, len(lines)-60):], "\n"))
			}
		}
	}()
	c.until("all agree "+when, func() bool {
		lines, standing := c.history(c.alice), c.standing(c.alice)
		return c.all(func(p *someone) bool {
			return !c.info(p).Split && c.standing(p) == standing && slices.Equal(c.history(p), lines)
		})
	})
}

// hearOfPeople notes where they listen.
func (m *member) hearOfPeople() {
	for {
		r, err := m.session.Recv()
		if err != nil {
			return
		}
		presence := r.GetPresence()
		if !presence.GetOnline() {
			continue
		}
		for _, e := range presence.GetEndpoints() {
			if e.GetHost() == "127.0.0.1" {
				m.mu.Lock()
				m.at[presence.GetUser()] = net.JoinHostPort(e.GetHost(), itoa(e.GetPort()))
				m.mu.Unlock()
			}
		}
	}
}

// meets makes a link with somebody, and asks for all of the group.
func (m *member) meets(p *someone) {
	m.t.Helper()
	var conn *tls.Conn
	m.until("mallory has a link with "+p.name, func() bool {
		m.mu.Lock()
		at := m.at[p.name]
		m.mu.Unlock()
		if at == "" {
			return false
		}
		var err error
		if conn, err = m.link(at, m.id, nil); err != nil {
			time.Sleep(200 * time.Millisecond) // one counts
		}
		return err == nil
	})
	m.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Time{})
	m.mu.Lock()
	m.conns[p.name] = conn
	m.mu.Unlock()
	m.sends(p.name, &packet.Vectors{Chats: []packet.ChatVector{{Chat: m.chat}}, Complete: true})
	go m.hear(conn)
}

// hear takes what comes over a link.
func (m *member) hear(conn *tls.Conn) {
	for {
		f, err := packet.ReadFrame(conn, packet.MaxFrame)
		if err != nil {
			return
		}
		var answers []packet.Frame
		switch f := f.(type) {
		case *packet.Ping:
			answers = append(answers, &packet.Pong{Nonce: f.Nonce})
		case *packet.Packet:
			m.take(f)
		case *packet.Vectors:
			answers = m.wants(f)
		}
		for _, a := range answers {
			b, err := packet.AppendFrame(nil, a)
			if err == nil {
				_, err = conn.Write(b)
			}
			if err != nil {
				return
			}
		}
	}
}

// wants asks for all of what others wrote that somebody says he has.
func (m *member) wants(v *packet.Vectors) (wants []packet.Frame) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range v.Chats {
		for _, l := range c.Logs {
			log := packet.Log{Chat: c.Chat, Device: l.Device, Epoch: l.Epoch}
			if c.Chat != m.chat || l.Device == m.id.Device() || l.Upto <= m.wanted[log] {
				continue
			}
			wants = append(wants, &packet.Want{Log: log, Ranges: []packet.Range{{First: m.wanted[log] + 1, Last: l.Upto}}})
			m.wanted[log] = l.Upto
		}
	}
	return wants
}

func (m *member) take(p *packet.Packet) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.got[p.Header.ID] = p
	if p.Header.Type == group.TypeChange && p.Header.Chat == m.chat {
		if s, err := group.Sign(m.chat, p.Header.Author, p.Header.ID, p.Content); err == nil {
			m.early = append(m.early, s)
			m.admit()
		}
	}
}

// admit puts what came early into the graph; the caller holds mu.
func (m *member) admit() {
	for again := true; again; {
		again = false
		m.early = slices.DeleteFunc(m.early, func(s group.Signed) bool {
			had := m.graph.Has(s.ID)
			list, err := m.graph.Add(s)
			var missing *group.MissingError
			if errors.As(err, &missing) {
				return false
			}
			if err == nil && !had {
				m.changes[s.ID], m.versions[s.ID], m.latest, again = s, list.Version, s.ID, true
			}
			return true
		})
	}
}

// heard says whether mallory was given a text.
func (m *member) heard(body string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.got {
		if p.Header.Type == "text" && bytes.Contains(p.Content, []byte(body)) {
			return true
		}
	}
	return false
}

func (m *member) role(user packet.UserID) group.Role {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.graph.Known().State.Person(user).Role
}

// version is the list that mallory writes under: the newest that he knows.
func (m *member) version() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.versions[m.latest]
}

// Mallory's logs.
const (
	talking  uint64 = iota + 1 // texts
	changing                   // changes
	endless                    // with gaps
	nowhere                    // under lists that are not there, which hold up what follows in their log
	copying  uint64 = 100      // and on: with others' ids
)

// entry is the next one of one of mallory's logs.
func (m *member) entry(epoch uint64, t packet.Type, content []byte, edit func(h *packet.Header)) *packet.Packet {
	m.t.Helper()
	m.mu.Lock()
	m.numbers[epoch]++
	number := m.numbers[epoch]
	m.mu.Unlock()
	h := packet.Header{
		ID: packet.NewPacketID(), Chat: m.chat, Type: t, Author: "mallory", Device: m.id.Device(), Epoch: epoch, Number: number, Depth: 1000 + number,
		Membership: m.version(), SentAt: time.Now().UnixMicro(), Delivery: packet.Reliable,
	}
	if edit != nil {
		edit(&h)
	}
	p, err := packet.Seal(h, content, m.id.Sign)
	must(m.t, err)
	return &p
}

// says is a text of mallory's.
func (m *member) says(body string) *packet.Packet {
	return m.entry(talking, "text", said(m.t, body), nil)
}

func said(t testing.TB, body string) []byte {
	t.Helper()
	b, err := text.Text{Body: body}.Encode()
	must(t, err)
	return b
}

// change is a change of mallory's behind others, or behind all that he knows. If
// his core would take it he knows it too.
func (m *member) change(parents []group.ChangeID, operations ...group.Operation) *packet.Packet {
	m.t.Helper()
	if parents == nil {
		m.mu.Lock()
		parents, _ = m.graph.Parents()
		m.mu.Unlock()
	}
	content, err := group.Change{Parents: parents, Operations: operations}.Encode()
	must(m.t, err)
	p := m.entry(changing, group.TypeChange, content, nil)
	m.take(p)
	return p
}

func idOf(p *packet.Packet) group.ChangeID {
	return group.IDOf(p.Header.Chat, p.Header.Author, p.Header.ID, p.Content)
}

// sends gives frames to somebody, who must be there to read them.
func (m *member) sends(to string, frames ...packet.Frame) {
	m.t.Helper()
	m.mu.Lock()
	conn := m.conns[to]
	m.mu.Unlock()
	_, err := conn.Write(encode(m.t, frames...))
	must(m.t, err)
}

// pours sends as much as it can of frames, up to a size: to be cut off, or held
// back, is what is hoped for.
func (m *member) pours(to string, size int, frames ...packet.Frame) (sent int) {
	m.mu.Lock()
	conn := m.conns[to]
	m.mu.Unlock()
	once := encode(m.t, frames...)
	_ = conn.SetWriteDeadline(time.Now().Add(3 * time.Second))
	for sent < size {
		n, err := conn.Write(once)
		if sent += n; err != nil {
			break
		}
	}
	return sent
}

func frames(packets ...*packet.Packet) []packet.Frame {
	all := make([]packet.Frame, len(packets))
	for i, p := range packets {
		all[i] = p
	}
	return all
}

// TestByzantineMember: one of a group's four people is not what he seems. The
// others go on talking, and have one history and one list of members.
func TestByzantineMember(t *testing.T) {
	t.Parallel()
	c := gather(t)
	m := c.mallory
	noticed := map[*someone]func(words ...string) bool{}
	for _, p := range c.honest {
		noticed[p] = p.notices()
	}
	hello := m.says("good evening")
	m.sends("alice", hello)
	c.talk("in peace")
	c.until("mallory is heard", func() bool {
		return c.all(func(p *someone) bool { return c.shows(p, hello.Header.ID[:], "good evening") })
	})
	c.until("mallory hears all", func() bool {
		return c.all(func(p *someone) bool { return m.heard(p.name + " in peace") })
	})
	before := c.standing(c.alice)

	c.forges(noticed)
	c.equivocates(noticed)
	c.usurps(before)
	c.copies(noticed)
	c.floods()
	c.isRemoved(before)
	for _, p := range c.honest {
		c.bounded(p.name+"'s core", p.core)
	}
}

// forges: in others' names, under lists that are not there.
func (c *circle) forges(noticed map[*someone]func(words ...string) bool) {
	c.t.Helper()
	m := c.mallory
	stranger, err := identity.Generate("alice")
	must(c.t, err)
	device := func(p *someone) packet.DeviceID {
		m.mu.Lock()
		defer m.mu.Unlock()
		for _, k := range m.got {
			if k.Header.Author == packet.UserID(p.name) {
				return k.Header.Device
			}
		}
		c.t.Fatalf("mallory has nothing of %s", p.name)
		return packet.DeviceID{}
	}
	// With numbers that are the next ones, so that nothing but the signature is wrong.
	as := func(author *someone, of packet.DeviceID, body string) *packet.Packet {
		next, epoch := uint64(1), uint64(1)
		m.mu.Lock()
		for _, k := range m.got {
			if h := &k.Header; h.Device == of && h.Type == "text" {
				next, epoch = max(next, h.Number+1), h.Epoch
			}
		}
		m.mu.Unlock()
		return m.entry(talking, "text", said(c.t, body), func(h *packet.Header) {
			h.Author, h.Device, h.Number, h.Epoch = packet.UserID(author.name), of, next, epoch
			m.mu.Lock()
			m.numbers[talking]--
			m.mu.Unlock()
		})
	}
	m.sends("bob", frames(
		as(c.alice, device(c.alice), "forged as alice"), as(c.carol, device(c.carol), "forged as carol"), as(c.bob, device(c.bob), "forged as bob"),
		as(c.alice, m.id.Device(), "forged with my own device"), as(c.alice, stranger.Device(), "forged with nobody's device"))...)
	for range 50 {
		m.sends("bob", m.entry(nowhere, "text", said(c.t, "forged, under no list"), func(h *packet.Header) { h.Membership = 999 << 40 }))
	}
	c.until("bob is told who forges", func() bool { return noticed[c.bob]("contact:mallory", "as if alice had written it") })
	c.talk("after that")
	c.agree("after what is not his")
	for _, line := range c.history(c.bob) {
		if strings.Contains(line, "forged") {
			c.t.Errorf("bob shows %q", line)
		}
	}
}

// equivocates: two texts with one number, and two changes, each to another. All come to
// have all of it, though nobody refers to the texts, and know whose it is.
func (c *circle) equivocates(noticed map[*someone]func(words ...string) bool) {
	c.t.Helper()
	m := c.mallory
	again := func(epoch uint64, t packet.Type, content []byte, one *packet.Packet) *packet.Packet {
		return m.entry(epoch, t, content, func(h *packet.Header) {
			h.Number, h.Depth = one.Header.Number, one.Header.Depth
			m.mu.Lock()
			m.numbers[epoch]--
			m.mu.Unlock()
		})
	}
	one := m.says("heads")
	other := again(talking, "text", said(c.t, "tails"), one)
	m.mu.Lock()
	parents, _ := m.graph.Parents()
	m.mu.Unlock()
	joint := m.change(parents)
	twin := again(changing, group.TypeChange, joint.Content, joint)
	m.take(twin)
	m.sends("bob", one, joint)
	m.sends("carol", other, twin)
	c.until("all are shown both", func() bool {
		return c.all(func(p *someone) bool {
			return c.shows(p, one.Header.ID[:], "heads") && c.shows(p, other.Header.ID[:], "tails")
		})
	})
	c.until("bob and carol are told who contradicts himself", func() bool {
		return noticed[c.bob]("contact:mallory", "two different") && noticed[c.carol]("contact:mallory", "two different")
	})
	c.talk("after a contradiction")
	c.agree("after a contradiction")
}

// usurps: changes that he has no right to, the owner's under other ids, and such as
// build on what is forged.
func (c *circle) usurps(before string) {
	c.t.Helper()
	m := c.mallory
	var owners *packet.Packet
	m.mu.Lock()
	for _, p := range m.got {
		if p.Header.Author != "alice" || p.Header.Type != group.TypeChange {
			continue
		}
		// Not one that just joins what was changed apart, which anybody may repeat.
		if change, err := group.DecodeChange(p.Content); err == nil && len(change.Operations) > 0 {
			owners = p
		}
	}
	m.mu.Unlock()
	key := m.id.Key()
	seizure := m.change(nil, group.Operation{Verb: group.VerbSetRole, User: "mallory", Role: group.RoleOwner})
	wrong := []*packet.Packet{
		seizure,
		m.change(nil, group.Operation{Verb: group.VerbRemove, User: "alice"}),
		m.change(nil, group.Operation{Verb: group.VerbInvite, User: "dave", Keys: [][]byte{key}}),
		m.change(nil, group.Operation{Verb: group.VerbSetTitle, Text: "mallory's"}),
		m.change([]group.ChangeID{idOf(seizure)}, group.Operation{Verb: group.VerbRemove, User: "bob"}),
		m.change([]group.ChangeID{idOf(seizure)}),
		m.entry(changing, group.TypeChange, owners.Content, nil),
		m.entry(changing, group.TypeChange, bytes.Repeat([]byte{0xff}, 1000), nil),
	}
	m.sends("bob", frames(wrong...)...)
	// The owner's own words again, as they are, and as if she had said them twice.
	again := *owners
	again.Header.ID = packet.NewPacketID()
	twice := m.entry(changing, group.TypeChange, owners.Content, func(h *packet.Header) {
		id := h.ID
		*h = owners.Header
		h.ID, h.Number = id, h.Number+1
		m.mu.Lock()
		m.numbers[changing]--
		m.mu.Unlock()
	})
	m.sends("bob", owners, &again, twice, owners)
	c.talk("while somebody wants to rule")
	const named = "mallory tried to change the group without having the right to; it was ignored"
	c.until("all are told", func() bool { return c.all(func(p *someone) bool { return c.tells(p, named) > 0 }) })
	c.agree("who rules")
	for _, p := range c.honest {
		if now := c.standing(p); now != before {
			c.t.Errorf("%s has the group %s, which was %s", p.name, now, before)
		}
		if times := c.tells(p, named); times > 3 {
			c.t.Errorf("%s is told %d times", p.name, times)
		}
	}
}

// floods: texts, changes that he has a right to and such as he has not, a log
// without end, vectors and wants of everything.
func (c *circle) floods() {
	c.t.Helper()
	m := c.mallory
	var texts, changes []packet.Frame
	for i := range 1000 {
		texts = append(texts, m.says(fmt.Sprintf("flood %d %s", i, strings.Repeat("~", 1000))))
	}
	forged, known := m.change(nil, group.Operation{Verb: group.VerbSetTitle, Text: "flooded"}), []group.ChangeID(nil)
	m.mu.Lock()
	known, _ = m.graph.Parents()
	m.mu.Unlock()
	changes = append(changes, forged)
	for i := range 150 { // joins of nothing: any member may make them
		changes = append(changes, m.change(nil))
		if i%5 == 0 {
			changes = append(changes, m.change([]group.ChangeID{idOf(forged)}))
		}
	}
	for range 40 { // and apart from each other
		changes = append(changes, m.change(known))
	}
	for i, p := range c.honest {
		m.sends(p.name, texts[i:]...) // each lacks some, that the others have
		m.sends(p.name, changes...)
	}
	c.talk("in the flood")
	last := texts[len(texts)-1].(*packet.Packet).Header.ID
	c.until("all have all of the flood", func() bool {
		return c.all(func(p *someone) bool { return c.shows(p, last[:], "flood 999 "+strings.Repeat("~", 1000)) })
	})
	c.until("all changes are there", func() bool {
		return c.all(func(p *someone) bool { return c.info(p).Changes > 190 && c.info(p).Waiting == 0 })
	})

	log := packet.Log{Chat: m.chat, Device: m.id.Device(), Epoch: endless}
	var far, wants []packet.Frame
	vector := packet.ChatVector{Chat: m.chat, Membership: 1 << 60}
	var refusals packet.Refusals
	for i := range uint64(200) {
		at := 1000 + 2*i
		if i%2 == 0 {
			at = 1<<40 + i
		}
		far = append(far, m.entry(endless, "text", make([]byte, 4<<10), func(h *packet.Header) { h.Number = at }))
		vector.Logs = append(vector.Logs,
			packet.LogVector{Device: packet.DeviceIDOf([]byte(fmt.Sprint(i))), Epoch: i + 1, Upto: 1 << 40},
			packet.LogVector{Device: m.id.Device(), Epoch: 1000 + i, Upto: 1 << 60})
		wants = append(wants, &packet.Want{Log: packet.Log{Chat: m.chat, Device: packet.DeviceIDOf([]byte(fmt.Sprint(i))), Epoch: 1}, Ranges: []packet.Range{{First: 1, Last: 1 << 40}}})
		refusals.Refusals = append(refusals.Refusals, packet.Refusal{Key: packet.EntryKey{Log: log, Number: i + 1}, Reason: packet.ReasonTooLarge, Text: "no"})
	}
	var gaps []packet.Range
	for i := range uint64(packet.MaxRanges) {
		gaps = append(gaps, packet.Range{First: 1<<40 + 2*i, Last: 1<<40 + 2*i})
	}
	vector.Logs = append(vector.Logs, packet.LogVector{Device: log.Device, Epoch: log.Epoch, Upto: 1, Beyond: gaps})
	var epochs []packet.Frame
	for i := range uint64(300) {
		epochs = append(epochs, m.entry(10_000+i, "text", said(c.t, "of an epoch without end"), func(h *packet.Header) { h.Number = 7 }))
	}
	for _, f := range []struct {
		what   string
		frames []packet.Frame
	}{
		{"numbers far ahead", far}, {"a vector of everything", []packet.Frame{&packet.Vectors{Chats: []packet.ChatVector{vector}}}},
		{"wants of everything", wants}, {"refusals", []packet.Frame{&refusals}}, {"epochs", epochs},
	} {
		sent := m.pours("bob", 4<<20, f.frames...) + m.pours("carol", 4<<20, f.frames...)
		c.talk("during " + f.what)
		c.t.Logf("%s: %d KB", f.what, sent/1000)
		for _, p := range c.honest[1:] { // perhaps he was cut off
			m.mu.Lock()
			_ = m.conns[p.name].Close()
			m.mu.Unlock()
			m.meets(p)
		}
	}
	c.agree("after the flood")
}

// copies: a message of mallory's has the id of one of alice's, and is at carol's
// before it. Carol is shown both, and told.
func (c *circle) copies(noticed map[*someone]func(words ...string) bool) {
	c.t.Helper()
	m := c.mallory
	for epoch := copying; ; epoch++ {
		id := client.NewInvocation()
		// Alice and bob have another of that number, or would be given the copy by
		// carol. If she was given theirs first, it takes one more try.
		decoy := m.entry(epoch, "text", said(c.t, "decoy"), nil)
		copied := m.entry(epoch, "text", said(c.t, "copied"), func(h *packet.Header) { h.ID, h.Number = packet.PacketID(id), decoy.Header.Number })
		m.sends("carol", copied)
		m.sends("alice", decoy)
		m.sends("bob", decoy)
		has := func(p *someone) bool {
			return c.shows(p, decoy.Header.ID[:], "decoy") || c.shows(p, id, "copied")
		}
		c.until("all have one of the two", func() bool { return c.all(has) })
		if !c.shows(c.carol, id, "copied") {
			continue
		}
		// So does it if the copy gets from carol to another before alice has said hers,
		// since who contradicts himself has all hear of it.
		first := func() bool { return !c.shows(c.alice, id, "copied") && !c.shows(c.bob, id, "copied") }
		truth := fmt.Sprintf("the true one, in epoch %d", epoch)
		if !first() {
			continue
		}
		if err := c.trySay(c.alice, id, truth); err != nil && first() {
			c.t.Fatal(err)
		}
		c.until("bob has one of the two", func() bool { return c.shows(c.bob, id, truth) || !first() })
		if !first() {
			continue
		}
		c.until("carol has it too", func() bool { return c.tells(c.carol, truth) == 1 && c.shows(c.carol, id, "copied") })
		break
	}
	c.until("carol is told of the copy", func() bool { return noticed[c.carol]("contact:alice", "mallory", "has the same id") })
	c.talk("after a copy")
	c.agree("after a copy")
}

// isRemoved: who is out gets nothing new, and what he dates back changes nothing.
func (c *circle) isRemoved(before string) {
	c.t.Helper()
	m := c.mallory
	c.does(c.alice, "role", "", map[string]string{"user": "mallory", "role": "admin"})
	c.until("mallory knows that he is an admin", func() bool { return m.role("mallory") == group.RoleAdmin })
	m.mu.Lock()
	parents, _ := m.graph.Parents()
	m.mu.Unlock()
	under := m.version()
	c.does(c.alice, "remove", "mallory", nil)
	c.until("all know that mallory is out", func() bool { return c.all(func(p *someone) bool { return c.roleOf(p, "mallory") == "" }) })
	c.until("mallory knows it", func() bool { return m.role("mallory") == group.RoleNone })
	after := c.standing(c.alice)
	if strings.Contains(after, "mallory") || after == before {
		c.t.Errorf("the group is %s", after)
	}
	// As if he had not heard of it: what an admin may do.
	m.sends("alice",
		m.change(parents, group.Operation{Verb: group.VerbInvite, User: "dave", Keys: [][]byte{m.id.Key()}}),
		m.change(parents, group.Operation{Verb: group.VerbSetTitle, Text: "mallory's"}),
		m.change(parents, group.Operation{Verb: group.VerbSetRole, User: "carol", Role: group.RoleAdmin}),
		m.change(parents, group.Operation{Verb: group.VerbRemove, User: "alice"}),
		m.change(nil, group.Operation{Verb: group.VerbAccept}),
		m.entry(talking, "text", said(c.t, "back again"), func(h *packet.Header) { h.Membership = under }))
	c.talk("when mallory is out")
	c.agree("when mallory is out")
	for _, p := range c.honest {
		if now := c.standing(p); now != after {
			c.t.Errorf("%s has the group %s, which was %s", p.name, now, after)
		}
		if c.tells(p, "back again") > 0 {
			c.t.Errorf("%s shows what mallory wrote afterwards", p.name)
		}
	}
	// He asks for all that there is; alice, whose contact he is, answers him elsewhere.
	m.mu.Lock()
	wants := map[packet.Log]bool{}
	for _, p := range m.got {
		if p.Header.Delivery == packet.Reliable && p.Header.Chat == m.chat {
			wants[p.Header.Key().Log] = true
		}
	}
	m.mu.Unlock()
	for log := range wants {
		m.sends("alice", &packet.Want{Log: log, Ranges: []packet.Range{{First: 1, Last: 1 << 40}}})
	}
	m.sends("alice", &packet.Vectors{Chats: []packet.ChatVector{{Chat: m.chat, Membership: 1 << 60}, {Chat: chatOf("alice", "mallory")}}})
	must(c.t, c.alice.send("mallory", "what do you want?"))
	c.until("alice answers mallory", func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		for _, p := range m.got {
			if p.Header.Chat == chatOf("alice", "mallory") {
				return true
			}
		}
		return false
	})
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.got {
		if bytes.Contains(p.Content, []byte("when mallory is out")) {
			c.t.Errorf("mallory was given what %s said when he was out", p.Header.Author)
		}
	}
}
