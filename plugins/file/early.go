package file

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/parley-chat/parley/plugins/file/filepb"
	"github.com/parley-chat/parley/plugins/sdk"
	"github.com/parley-chat/parley/protocol/packet"
)

// A withdrawal or deletion can come before its message, from another device of
// its author's. How many wait is bounded, in all and for one author; one too many
// is as one whose message never comes.
const (
	earlyPrefix    = "early/"
	maxEarly       = 512
	maxEarlyAuthor = 32
)

func earlyKey(k sdk.Packet, message packet.PacketID) string {
	return earlyPrefix + string(k.Chat) + "/" + string(k.Author) + "/" + message.String()
}

// loadEarly fills the set of keys, which spares a look into the store for each
// offer of which nothing waits. It may hold keys that are gone.
func (p *Plugin) loadEarly(ctx context.Context) error {
	values, err := p.core.Values(ctx, earlyPrefix, maxEarly)
	if err != nil {
		return fmt.Errorf("read what waits for its message: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, v := range values {
		p.early[v.Key] = struct{}{}
	}
	return nil
}

func (p *Plugin) keepEarly(ctx context.Context, k sdk.Packet, message packet.PacketID, early *filepb.Early) ([]sdk.Effect, error) {
	values, err := p.core.Values(ctx, earlyPrefix, maxEarly)
	if err != nil {
		return nil, err
	}
	key, ofAuthor := earlyKey(k, message), 0
	for _, v := range values {
		old, _ := readEarly(v.Value)
		if v.Key == key && old.GetDeleted() {
			return nil, nil // stays deleted
		}
		if old.GetAuthor() == string(k.Author) {
			ofAuthor++
		}
	}
	if len(values) >= maxEarly || ofAuthor >= maxEarlyAuthor {
		return nil, nil
	}
	early.Author = string(k.Author)
	value, err := proto.Marshal(early)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	if len(p.early) >= 4*maxEarly {
		clear(p.early)
		for _, v := range values {
			p.early[v.Key] = struct{}{}
		}
	}
	p.early[key] = struct{}{}
	p.mu.Unlock()
	return []sdk.Effect{sdk.PutValue{Key: key, Value: value}}, nil
}

// takeEarly gives what its author sent ahead of the message that has come now,
// and the effect that forgets it.
func (p *Plugin) takeEarly(ctx context.Context, k sdk.Packet) (*filepb.Early, []sdk.Effect, error) {
	key := earlyKey(k, k.ID)
	p.mu.Lock()
	_, kept := p.early[key]
	p.mu.Unlock()
	if !kept {
		return nil, nil, nil
	}
	values, err := p.core.Values(ctx, key, 1)
	if err != nil || len(values) == 0 || values[0].Key != key {
		return nil, nil, err
	}
	early, ok := readEarly(values[0].Value)
	if !ok {
		early = nil // damaged
	}
	return early, []sdk.Effect{sdk.PutValue{Key: key}}, nil
}

func readEarly(value []byte) (*filepb.Early, bool) {
	early := &filepb.Early{}
	err := proto.Unmarshal(value, early)
	return early, err == nil
}
