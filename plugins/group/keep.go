package group

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/parley-chat/parley/plugins/group/grouppb"
	"github.com/parley-chat/parley/plugins/sdk"
	"github.com/parley-chat/parley/protocol/packet"
)

// Keys of the plugin's private values. A change is there as soon as its packet is
// handled, whether its parents are or not: what waits follows from what is there.
const (
	changePrefix  = "c/" // + chat + "/" + change id in hexadecimal: grouppb.Known
	summaryPrefix = "s/" // + chat: Summary
	queuedPrefix  = "l/" // + chat + "/" + change id: something that follows from it is left to do, see queue.go
	forgedPrefix  = "x/" // + chat + "/" + author: how often he was named
)

// Changes that wait for their parents are bounded, of one author and of all. When all
// together are too many an author may still have a few, so that nobody can use up
// what others need.
const (
	maxWaiting         = 1 << 14
	maxWaitingOfAuthor = 1 << 12
	minWaitingOfAuthor = 1 << 6
)

func changeKey(chat packet.ChatID, id ChangeID) string {
	return changePrefix + string(chat) + "/" + id.String()
}

// chat is a group as this device knows it.
type chat struct {
	id packet.ChatID
	// asking has room for one: who changes the group by a person's wish, so that the next
	// one builds on it.
	asking chan struct{}

	mu      sync.Mutex // guards all below; held while values are read, since nothing can go on without them
	loaded  bool
	graph   *Graph
	waiting map[ChangeID]Signed
	heirs   map[ChangeID][]ChangeID        // missing one -> what waits for it
	queue   []sdk.Effect                   // lists and messages that did not fit into an answer
	turned  map[ChangeID]struct{}          // whose messages are to be changed
	notes   []string                       // keys that say that something of these two is left to do, the newest last
	setting bool                           // somebody does it
	joining bool                           // somebody waits to join what was changed apart
	handled map[packet.PacketID]chan error // has room for one: who waits for his own change
}

func newChat(id packet.ChatID) *chat {
	return &chat{
		id: id, asking: make(chan struct{}, 1), handled: map[packet.PacketID]chan error{},
		graph: NewGraph(id), waiting: map[ChangeID]Signed{}, heirs: map[ChangeID][]ChangeID{}, turned: map[ChangeID]struct{}{},
	}
}

// event tells a change; false when it is not here, or has nothing to tell. The caller
// holds mu.
func (c *chat) event(id ChangeID) (Event, bool) {
	at, ok := c.graph.index[id]
	if !ok {
		return Event{}, false
	}
	e := c.graph.event(at)
	return e, len(e.Facts) > 0
}

// load reads the changes, unless they are here; the caller holds mu.
func (p *Plugin) load(ctx context.Context, c *chat) error {
	if c.loaded {
		return nil
	}
	_, err := p.reload(ctx, c)
	return err
}

// reload reads the changes anew, and gives those that do not wait. When it fails, all
// stays as it is.
func (p *Plugin) reload(ctx context.Context, c *chat) ([]admitted, error) {
	values, err := p.all(ctx, changePrefix+string(c.id)+"/")
	if err != nil {
		return nil, err
	}
	fresh := newChat(c.id)
	var ready []ChangeID
	for _, v := range values {
		k := &grouppb.Known{}
		if err := proto.Unmarshal(v.Value, k); err != nil {
			return nil, fmt.Errorf("kept change %s: %w", v.Key, err)
		}
		id, err := packet.PacketIDFromBytes(k.GetPacket())
		if err != nil {
			return nil, fmt.Errorf("kept change %s: %w", v.Key, err)
		}
		s, err := Sign(c.id, packet.UserID(k.GetAuthor()), id, k.GetContent())
		if err != nil {
			return nil, fmt.Errorf("kept change %s: %w", v.Key, err)
		}
		fresh.wait(s)
		if len(s.Parents) == 0 {
			ready = append(ready, s.ID)
		}
	}
	done := fresh.admit(ready)
	fresh.graph.Turned(0) // while they were read
	c.loaded, c.graph, c.waiting, c.heirs = true, fresh.graph, fresh.waiting, fresh.heirs
	return done, nil
}

// all gives the values whose keys begin with prefix and go on in hexadecimal,
// however many there are.
func (p *Plugin) all(ctx context.Context, prefix string) ([]sdk.Value, error) {
	const most = 1000
	values, err := p.core.Values(ctx, prefix, most)
	var e *sdk.Error
	tooMuch := errors.As(err, &e) && e.Code == codes.ResourceExhausted
	if err != nil && !tooMuch {
		return nil, err
	}
	if !tooMuch && len(values) < most {
		return values, nil
	}
	if digits := len(prefix) - strings.LastIndexByte(prefix, '/') - 1; digits >= 2*len(ChangeID{}) {
		return nil, err
	}
	values = nil
	for _, digit := range "0123456789abcdef" {
		more, err := p.all(ctx, prefix+string(digit))
		if err != nil {
			return nil, err
		}
		values = append(values, more...)
	}
	return values, nil
}

// wait keeps a change whose parents are perhaps not here.
func (c *chat) wait(s Signed) {
	c.waiting[s.ID] = s
	for _, parent := range s.Parents {
		c.heirs[parent] = append(c.heirs[parent], s.ID)
	}
}

// roomFor says whether one more change of an author may wait.
func (c *chat) roomFor(author packet.UserID) bool {
	n, limit := 0, maxWaitingOfAuthor
	if len(c.waiting) >= maxWaiting {
		limit = minWaitingOfAuthor
	}
	for id := range c.waiting {
		if c.waiting[id].Author == author {
			n++
		}
	}
	return n < limit
}

// admitted is what became of a change that waited.
type admitted struct {
	change Signed
	list   List
	err    error // of Graph.Add: it is forged, or too many
}

// admit puts the changes that are ready into the graph, and what waited for them.
func (c *chat) admit(ready []ChangeID) []admitted {
	slices.SortFunc(ready, ChangeID.compare)
	var done []admitted
	for len(ready) > 0 {
		id := ready[0]
		ready = ready[1:]
		s, waits := c.waiting[id]
		if !waits {
			continue
		}
		list, err := c.graph.Add(s)
		var missing *MissingError
		if errors.As(err, &missing) {
			continue
		}
		delete(c.waiting, id)
		done = append(done, admitted{s, list, err})
		ready = append(ready, c.heirs[id]...)
		delete(c.heirs, id)
	}
	return done
}

// follow admits what waited for a change, which was just taken or found forged.
func (c *chat) follow(id ChangeID) []admitted {
	ready := c.heirs[id]
	delete(c.heirs, id)
	return c.admit(ready)
}

// own finds the change that a packet of this account's made.
func (c *chat) own(self packet.UserID, id packet.PacketID) bool {
	for i := len(c.graph.nodes) - 1; i >= 0; i-- {
		if n := &c.graph.nodes[i]; n.packet == id && n.author == self {
			return true
		}
	}
	return false
}
