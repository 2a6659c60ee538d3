package text

import (
	"time"

	"github.com/parley-chat/parley/plugins/sdk"
	"github.com/parley-chat/parley/protocol/packet"
)

const (
	typingEvery  = 3 * time.Second // at most so often a notice is sent
	typingFades  = 6 * time.Second // front ends forget a notice after this
	typingMemory = 1024            // chats and people that are remembered
)

// typing remembers notices. It is guarded by the plugin's mu.
type typing struct {
	sent  map[packet.ChatID]time.Time // when "typing" was sent last
	shown map[typist]time.Time        // when it was shown last
}

type typist struct {
	chat packet.ChatID
	user packet.UserID
}

func newTyping() typing {
	return typing{sent: map[packet.ChatID]time.Time{}, shown: map[typist]time.Time{}}
}

// forget keeps a map small; what it drops has faded, or can be spared.
func forget[K comparable](m map[K]time.Time) {
	if len(m) < typingMemory {
		return
	}
	for k, at := range m {
		if time.Since(at) > typingFades {
			delete(m, k)
		}
	}
	if len(m) >= typingMemory {
		clear(m)
	}
}

func (p *Plugin) typingOn() bool { return p.core.Setting(settingTyping) != "false" }

func typingEvent(chat packet.ChatID, user packet.UserID, on bool) sdk.Effect {
	data := []byte(`{"typing":true}`)
	if !on {
		data = []byte(`{"typing":false}`)
	}
	return sdk.PublishEvent{Name: "typing", Chat: chat, User: user, Data: data}
}

func (p *Plugin) handleTyping(k sdk.Packet) ([]sdk.Effect, error) {
	t, err := DecodeTyping(k.Content)
	if err != nil {
		return nil, sdk.Refuse("%v", err)
	}
	if k.Own || !p.typingOn() {
		return nil, nil
	}
	if !t.Typing {
		p.stoppedTyping(k.Chat, k.Author)
		return []sdk.Effect{typingEvent(k.Chat, k.Author, false)}, nil
	}
	p.mu.Lock()
	forget(p.typing.shown)
	p.typing.shown[typist{k.Chat, k.Author}] = time.Now()
	p.mu.Unlock()
	return []sdk.Effect{typingEvent(k.Chat, k.Author, true)}, nil
}

// stoppedTyping says whether a notice of this person may still be shown, and
// forgets it.
func (p *Plugin) stoppedTyping(chat packet.ChatID, user packet.UserID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	at, ok := p.typing.shown[typist{chat, user}]
	delete(p.typing.shown, typist{chat, user})
	return ok && time.Since(at) < typingFades
}

// sendTyping sends a notice, unless one was sent a moment ago. With the argument
// typing=false it takes the last one back.
func (p *Plugin) sendTyping(call sdk.Invocation) (sdk.Result, error) {
	on := call.Args["typing"] != "false"
	if !p.typingOn() || call.Chat.Kind() == packet.Net2019 { // nobody there could be told
		return sdk.Result{}, nil
	}
	p.mu.Lock()
	at, sent := p.typing.sent[call.Chat]
	fresh := sent && time.Since(at) < typingFades
	due := on && (!sent || time.Since(at) >= typingEvery) || !on && fresh
	if due && on {
		forget(p.typing.sent)
		p.typing.sent[call.Chat] = time.Now()
	} else if due {
		delete(p.typing.sent, call.Chat)
	}
	p.mu.Unlock()
	if !due {
		return sdk.Result{}, nil
	}
	content, err := Typing{Typing: on}.Encode()
	if err != nil {
		return sdk.Result{}, err
	}
	return sdk.Result{Effects: []sdk.Effect{sdk.SendPacket{
		ID: call.ID, Chat: call.Chat, Type: TypeTyping, Content: content, Ephemeral: true,
	}}}, nil
}

// sentText: whoever gets a text knows that its author has stopped typing.
func (p *Plugin) sentText(chat packet.ChatID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.typing.sent, chat)
}
