package sdk

import (
	"strings"
	"sync"

	"github.com/parley-chat/parley/protocol/packet"
)

// pending is what the items of a Handle led to that were handled already, and
// whose effects the core commits when it has the answer. What another item reads
// of that is not there yet; anything else is.
type pending struct {
	mu          sync.Mutex // guards all below
	any         bool
	blobs       bool
	messages    map[packet.PacketID]struct{}
	annotations map[packet.PacketID]struct{} // by their messages
	values      map[string]struct{}
}

// note takes up the effects of an item.
func (p *pending) note(effects []Effect) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.any = p.any || len(effects) > 0
	for _, e := range effects {
		switch e := e.(type) {
		case AddMessage:
			p.message(e.ID)
		case ChangeMessage:
			p.message(e.ID)
		case DeleteMessage:
			p.blobs = true // with those of the message
			p.message(e.ID)
		case SetCard, DropContent, SendPacket, PublishEvent, SetMembers:
			// Of these tell only those calls that wait for anything.
		case Annotate:
			add(&p.annotations, e.Message)
		case RemoveAnnotation:
			add(&p.annotations, e.Message)
		case PutValue:
			add(&p.values, e.Key)
		default: // ShareBlob, FetchBlob, SteerBlob
			p.blobs = true
		}
	}
}

// message notes one with its annotations, which it takes with it when it goes.
func (p *pending) message(id packet.PacketID) {
	add(&p.messages, id)
	add(&p.annotations, id)
}

func add[K comparable](set *map[K]struct{}, k K) {
	if *set == nil {
		*set = map[K]struct{}{}
	}
	(*set)[k] = struct{}{}
}

func has[K comparable](set map[K]struct{}, keys []K) bool {
	for _, k := range keys {
		if _, ok := set[k]; ok {
			return true
		}
	}
	return false
}

// The functions below say whether what a host call reads may change yet.

func anything(p *pending) bool { return p.any }
func aPage(p *pending) bool    { return len(p.messages) > 0 }
func aBlob(p *pending) bool    { return p.blobs }

func oneOfMessages(ids []packet.PacketID) func(*pending) bool {
	return func(p *pending) bool { return has(p.messages, ids) }
}

func annotationOf(ids []packet.PacketID) func(*pending) bool {
	return func(p *pending) bool { return has(p.annotations, ids) }
}

func valueWith(prefix string) func(*pending) bool {
	return func(p *pending) bool {
		for key := range p.values {
			if strings.HasPrefix(key, prefix) {
				return true
			}
		}
		return false
	}
}
