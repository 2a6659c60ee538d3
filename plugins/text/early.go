package text

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/parley-chat/parley/plugins/sdk"
	"github.com/parley-chat/parley/plugins/text/textpb"
	"github.com/parley-chat/parley/protocol/packet"
)

// What waits for its message is bounded, in all and for one author, so that
// nobody can fill the database with edits of what will never come.
const (
	maxEarly         = 512
	maxEarlyAuthor   = 32
	maxEarlyBytes    = 2 << 20
	earlyPrefix      = "early/"
	earlyKeysInCache = 4 * maxEarly
)

func earlyKey(chat packet.ChatID, message packet.PacketID) string {
	return earlyPrefix + string(chat) + "/" + message.String()
}

// loadEarly fills the cache of keys. It may hold keys that are gone, and so
// spares only the look into the store for each text of which nothing waits.
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

// keepEarly keeps an edit or a deletion whose message has not come. When there
// is no room it does nothing, as one of a message that never comes does.
func (p *Plugin) keepEarly(ctx context.Context, k sdk.Packet, message packet.PacketID, early *textpb.Early) ([]sdk.Effect, error) {
	values, err := p.core.Values(ctx, earlyPrefix, maxEarly)
	if err != nil {
		return nil, err
	}
	key := earlyKey(k.Chat, message)
	early.Author, early.Id = string(k.Author), k.ID[:]
	value, err := proto.Marshal(early)
	if err != nil {
		return nil, err
	}
	count, ofAuthor, size := 0, 0, len(value)
	for _, v := range values {
		old, _ := readEarly(v.Value)
		if v.Key == key {
			if old.GetAuthor() == early.GetAuthor() && !supersedes(early, old) {
				return nil, nil
			}
			continue // is replaced
		}
		count++
		size += len(v.Value)
		if old.GetAuthor() == early.GetAuthor() {
			ofAuthor++
		}
	}
	if count >= maxEarly || ofAuthor >= maxEarlyAuthor || size > maxEarlyBytes {
		return nil, nil
	}
	p.mu.Lock()
	if len(p.early) >= earlyKeysInCache {
		clear(p.early)
		for _, v := range values {
			p.early[v.Key] = struct{}{}
		}
	}
	p.early[key] = struct{}{}
	p.mu.Unlock()
	return []sdk.Effect{sdk.PutValue{Key: key, Value: value}}, nil
}

// supersedes says whether a early change counts over another of one message.
func supersedes(a, than *textpb.Early) bool {
	if than.GetDelete() != nil || a.GetDelete() != nil {
		return than.GetDelete() == nil
	}
	e := Edit{Revision: a.GetEdit().GetRevision()}
	var id packet.PacketID
	copy(id[:], a.GetId())
	return newer(e, id, &textpb.State{Revision: than.GetEdit().GetRevision(), Edit: than.GetId()})
}

// applyEarly gives what was kept for the message that has come now.
func (p *Plugin) applyEarly(ctx context.Context, k sdk.Packet) ([]sdk.Effect, error) {
	key := earlyKey(k.Chat, k.ID)
	p.mu.Lock()
	_, kept := p.early[key]
	p.mu.Unlock()
	if !kept {
		return nil, nil
	}
	values, err := p.core.Values(ctx, key, 1)
	if err != nil {
		return nil, err
	}
	if len(values) == 0 || values[0].Key != key {
		return nil, nil
	}
	effects := []sdk.Effect{sdk.PutValue{Key: key}}
	early, ok := readEarly(values[0].Value)
	if !ok || early.GetAuthor() != string(k.Author) {
		return effects, nil // damaged, or somebody else's, which never counts
	}
	if early.GetDelete() != nil {
		return append(effects, sdk.DeleteMessage{ID: k.ID}), nil
	}
	edit := early.GetEdit()
	change, err := changeTo(Edit{Message: k.ID, Body: string(edit.GetBody()), Revision: edit.GetRevision()}, packet.PacketID(early.GetId()))
	return append(append(effects, change), mentionsNow(k.Chat, k.ID, string(edit.GetBody()))...), err
}

// readEarly reads a stored value.
func readEarly(value []byte) (*textpb.Early, bool) {
	early := &textpb.Early{}
	err := proto.Unmarshal(value, early)
	if err != nil || len(early.GetId()) != len(packet.PacketID{}) || early.GetWhat() == nil {
		return &textpb.Early{}, false
	}
	return early, true
}
