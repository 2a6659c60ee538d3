package control

import (
	"errors"

	"google.golang.org/protobuf/proto"

	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// quoteLength is how much of an answered message is quoted, in characters.
const quoteLength = 200

// messages are messages as front ends see them, in the same order.
func (a Account) messages(tx store.ReadTx, ms []store.Message) ([]*controlpb.Message, error) {
	ids := make([]packet.PacketID, len(ms))
	for i := range ms {
		ids[i] = ms[i].ID
	}
	annotations, err := tx.Annotations(ids)
	if err != nil {
		return nil, err
	}
	byMessage := map[packet.PacketID][]*controlpb.Annotation{}
	for _, an := range annotations {
		byMessage[an.Message] = append(byMessage[an.Message], &controlpb.Annotation{Kind: an.Kind, Author: string(an.Author), Value: an.Value})
	}
	blobs, err := a.blobsOf(tx, ids)
	if err != nil {
		return nil, err
	}
	receipts := map[packet.ChatID]receiptFunc{}
	pbs := make([]*controlpb.Message, len(ms))
	for i := range ms {
		m := &ms[i]
		if pbs[i], err = a.message(tx, m, receipts); err != nil {
			return nil, err
		}
		pbs[i].Annotations, pbs[i].Blobs = byMessage[m.ID], blobs[m.ID]
	}
	return pbs, nil
}

type receiptFunc = func(m *store.Message) ([]*controlpb.RecipientState, error)

func (a Account) message(tx store.ReadTx, m *store.Message, receipts map[packet.ChatID]receiptFunc) (*controlpb.Message, error) {
	pb := &controlpb.Message{
		Id: m.ID[:], Chat: string(m.Chat), Author: string(m.Author), Kind: m.Kind, Body: m.Body, Data: m.Data,
		SentAt: m.SentAt, Edited: m.Edited, Deleted: m.Deleted, Own: m.Own, Plugin: m.Plugin,
		Presentation: a.Plugins.Presentation(m.Kind),
	}
	if len(m.Card) > 0 {
		pb.Card = &pluginpb.Card{}
		if err := proto.Unmarshal(m.Card, pb.Card); err != nil {
			pb.Card = nil // made by another version of the plugin: the body is still there
		}
	}
	if !m.ReplyTo.IsZero() {
		quote, err := quoteOf(tx, m)
		if err != nil {
			return nil, err
		}
		pb.ReplyTo = quote
	}
	if m.Own && m.Entry.Number != 0 {
		of, ok := receipts[m.Chat]
		if !ok {
			var err error
			if of, err = a.Receipts.Of(tx, m.Chat); err != nil {
				return nil, err
			}
			receipts[m.Chat] = of
		}
		states, err := of(m)
		if err != nil {
			return nil, err
		}
		pb.Recipients, pb.Delivery = states, least(states)
	}
	return pb, nil
}

// quoteOf shows the message that m answers, if it is one of the same chat.
func quoteOf(tx store.ReadTx, m *store.Message) (*controlpb.Quote, error) {
	quote := &controlpb.Quote{Id: m.ReplyTo[:]}
	to, err := tx.Message(m.ReplyTo)
	if errors.Is(err, store.ErrNotFound) || err == nil && to.Chat != m.Chat {
		return quote, nil
	}
	if err != nil {
		return nil, err
	}
	quote.Author, quote.Deleted = string(to.Author), to.Deleted
	if body := []rune(to.Body); len(body) > quoteLength {
		quote.Body = string(body[:quoteLength])
	} else {
		quote.Body = to.Body
	}
	return quote, nil
}

// least is how far a message came to everybody to whom it did not fail; failed if it
// did to all.
func least(states []*controlpb.RecipientState) controlpb.Delivery {
	if len(states) == 0 {
		return controlpb.Delivery_DELIVERY_QUEUED
	}
	result := controlpb.Delivery_DELIVERY_FAILED // the highest
	for _, s := range states {
		result = min(result, s.GetDelivery())
	}
	return result
}
