package group

import (
	"github.com/parley-chat/parley/plugins/sdk"
	"github.com/parley-chat/parley/protocol/packet"
)

// TypeCreate says, in a chat of 2019 alone, who opened it. Such a group has the
// people in its name for ever, and nothing else of groups: no roles, no title.
const TypeCreate packet.Type = "group.create"

// maxCreate bounds the content, which has no meaning.
const maxCreate = 4 << 10

// opened tells of it.
func opened(k sdk.Packet) []sdk.Effect {
	event := Event{By: k.Author, Facts: []Fact{{What: "created"}}}
	return []sdk.Effect{sdk.AddMessage{
		ID: k.ID, Chat: k.Chat, Kind: KindEvent, Body: string(k.Author) + " opened the group. Nothing in it is encrypted.", Data: mustJSON(event),
	}}
}
