package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/internal/failure"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/packet"
)

const (
	defaultPage   = 50
	maxPage       = 500
	maxSearchPage = 200
	maxQuery      = 1 << 10
	maxDraft      = 64 << 10
)

// ListChats implements controlpb.ControlServer.
func (s *Server) ListChats(ctx context.Context, req *controlpb.ListChatsRequest) (*controlpb.ListChatsResponse, error) {
	a, err := s.account()
	if err != nil {
		return nil, err
	}
	resp := &controlpb.ListChatsResponse{}
	err = a.Store.View(ctx, func(tx store.ReadTx) error {
		chats, err := a.selectChats(tx, req.GetId())
		if err != nil {
			return err
		}
		for _, c := range chats {
			pb, err := a.chat(tx, c)
			if err != nil {
				return err
			}
			resp.Chats = append(resp.Chats, pb)
		}
		return nil
	})
	return resp, err
}

func (a Account) selectChats(tx store.ReadTx, id string) ([]store.Chat, error) {
	if id == "" {
		chats, err := tx.Chats()
		return slices.DeleteFunc(chats, func(c store.Chat) bool { return a.removed(&c) }), err
	}
	chat, err := chatID(id)
	if err != nil {
		return nil, err
	}
	c, err := a.there(tx, chat)
	return []store.Chat{c}, err
}

// there gives a chat that is there for front ends. ErrNotFound.
func (a Account) there(tx store.ReadTx, id packet.ChatID) (store.Chat, error) {
	c, err := tx.Chat(id)
	if err == nil && a.removed(&c) {
		err = fmt.Errorf("chat %s: %w", id, store.ErrNotFound)
	}
	return c, err
}

// removed says whether a chat is none for front ends: a group of others, of which
// nothing is kept.
func (a Account) removed(c *store.Chat) bool {
	return c.ID.Kind() == packet.Group && c.Membership > 0 && c.Last.IsZero() && !slices.Contains(c.Members, a.Self)
}

// chat is a chat as front ends see it.
func (a Account) chat(tx store.ReadTx, c store.Chat) (*controlpb.Chat, error) {
	pb := &controlpb.Chat{
		Id: string(c.ID), Title: c.Title, Kind: string(c.ID.Kind()), Unread: uint32(max(c.Unread, 0)),
		Muted: c.Muted, Pinned: c.Pinned, Draft: c.Draft,
	}
	for _, m := range c.Members {
		pb.Members = append(pb.Members, string(m))
	}
	if peer, ok := c.ID.Peer(a.Self); ok {
		pb.Title = a.People.Name(peer)
	}
	if !c.Last.IsZero() {
		last, err := tx.Message(c.Last)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
		if err == nil {
			pbs, err := a.messages(tx, []store.Message{last})
			if err != nil {
				return nil, err
			}
			pb.Last = pbs[0]
		}
	}
	if err := a.readPlace(tx, c, pb); err != nil {
		return nil, err
	}
	return pb, nil
}

// readPlace fills in the messages on both sides of the place read up to.
func (a Account) readPlace(tx store.ReadTx, c store.Chat, pb *controlpb.Chat) error {
	if c.Read != (packet.OrderKey{}) {
		read, _, err := tx.Messages(c.ID, store.Page{Before: &c.Read, Inclusive: true, Limit: 1})
		if err != nil {
			return err
		}
		if len(read) == 1 {
			pb.Read = read[0].ID[:]
		}
	}
	if c.Unread == 0 {
		return nil
	}
	first, err := tx.FirstUnread(c.ID)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	pb.FirstUnread = first[:]
	return err
}

// ListMessages implements controlpb.ControlServer.
func (s *Server) ListMessages(ctx context.Context, req *controlpb.ListMessagesRequest) (*controlpb.ListMessagesResponse, error) {
	a, err := s.account()
	if err != nil {
		return nil, err
	}
	chat, err := chatID(req.GetChat())
	if err != nil {
		return nil, err
	}
	limit, err := pageLimit(req.GetLimit(), maxPage)
	if err != nil {
		return nil, err
	}
	resp := &controlpb.ListMessagesResponse{}
	err = a.Store.View(ctx, func(tx store.ReadTx) error {
		if _, err := tx.Chat(chat); err != nil {
			return err
		}
		var messages []store.Message
		var err error
		if len(req.GetIds()) > 0 {
			messages, err = messagesByID(tx, chat, req.GetIds())
		} else {
			messages, resp.More, err = messagesByPage(tx, chat, req, limit)
		}
		if err != nil {
			return err
		}
		resp.Messages, err = a.messages(tx, messages)
		return err
	})
	return resp, err
}

func messagesByID(tx store.ReadTx, chat packet.ChatID, ids [][]byte) ([]store.Message, error) {
	if len(ids) > maxPage {
		return nil, invalid("%d message ids, at most %d at once", len(ids), maxPage)
	}
	var messages []store.Message
	for _, b := range ids {
		id, err := messageID(b)
		if err != nil {
			return nil, err
		}
		m, err := tx.Message(id)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
		if err == nil && m.Chat == chat {
			messages = append(messages, m)
		}
	}
	return messages, nil
}

func messagesByPage(tx store.ReadTx, chat packet.ChatID, req *controlpb.ListMessagesRequest, limit int) ([]store.Message, bool, error) {
	page := store.Page{Inclusive: req.GetInclusive(), Limit: limit}
	if len(req.GetBefore()) > 0 && len(req.GetAfter()) > 0 {
		return nil, false, invalid("a page lies before or after a message, not both")
	}
	var err error
	if page.Before, err = messagePlace(tx, chat, req.GetBefore()); err != nil {
		return nil, false, err
	}
	if page.After, err = messagePlace(tx, chat, req.GetAfter()); err != nil {
		return nil, false, err
	}
	return tx.Messages(chat, page)
}

func messagePlace(tx store.ReadTx, chat packet.ChatID, b []byte) (*packet.OrderKey, error) {
	if len(b) == 0 {
		return nil, nil //nolint:nilnil // no message, no place
	}
	id, err := messageID(b)
	if err != nil {
		return nil, err
	}
	m, err := tx.Message(id)
	if err != nil {
		return nil, err
	}
	if m.Chat != chat {
		return nil, invalid("message %s is of another chat", id)
	}
	return &m.Order, nil
}

func pageLimit(asked uint32, most int) (int, error) {
	if asked == 0 {
		return defaultPage, nil
	}
	if asked > uint32(most) {
		return 0, invalid("a page of %d, at most %d at once", asked, most)
	}
	return int(asked), nil
}

// Search implements controlpb.ControlServer.
func (s *Server) Search(ctx context.Context, req *controlpb.SearchRequest) (*controlpb.SearchResponse, error) {
	a, err := s.account()
	if err != nil {
		return nil, err
	}
	q := store.Query{Text: req.GetQuery()}
	if len(q.Text) > maxQuery || !utf8.ValidString(q.Text) {
		return nil, invalid("a search is at most %d bytes of text", maxQuery).Because("SEARCH_TOO_LONG", "limit", maxQuery)
	}
	if q.Limit, err = pageLimit(req.GetLimit(), maxSearchPage); err != nil {
		return nil, err
	}
	if req.GetChat() != "" {
		if q.Chat, err = chatID(req.GetChat()); err != nil {
			return nil, err
		}
	}
	if len(req.GetBefore()) > 0 {
		if q.Before, err = messageID(req.GetBefore()); err != nil {
			return nil, err
		}
	}
	resp := &controlpb.SearchResponse{}
	err = a.Store.View(ctx, func(tx store.ReadTx) error {
		found, more, err := tx.Search(q)
		if err != nil {
			return err
		}
		resp.More = more
		resp.Messages, err = a.messages(tx, found)
		return err
	})
	return resp, err
}

// MarkRead implements controlpb.ControlServer.
func (s *Server) MarkRead(ctx context.Context, req *controlpb.MarkReadRequest) (*controlpb.MarkReadResponse, error) {
	a, err := s.account()
	if err != nil {
		return nil, err
	}
	chat, err := chatID(req.GetChat())
	if err != nil {
		return nil, err
	}
	var place *packet.OrderKey
	err = a.Store.View(ctx, func(tx store.ReadTx) error {
		c, err := tx.Chat(chat)
		if err != nil {
			return err
		}
		id := req.GetMessage()
		if len(id) == 0 && !c.Last.IsZero() {
			id = c.Last[:]
		}
		place, err = messagePlace(tx, chat, id)
		return err
	})
	if err != nil || place == nil {
		return &controlpb.MarkReadResponse{}, err
	}
	return &controlpb.MarkReadResponse{}, a.SetRead(ctx, chat, *place)
}

// SetChat implements controlpb.ControlServer.
func (s *Server) SetChat(ctx context.Context, req *controlpb.SetChatRequest) (*controlpb.Chat, error) {
	a, err := s.account()
	if err != nil {
		return nil, err
	}
	chat, err := chatID(req.GetId())
	if err != nil {
		return nil, err
	}
	if len(req.GetDraft()) > maxDraft || !utf8.ValidString(req.GetDraft()) {
		return nil, invalid("a draft is at most %d bytes of text", maxDraft).Because("DRAFT_TOO_LONG", "limit", maxDraft)
	}
	var pb *controlpb.Chat
	err = a.Store.Update(ctx, store.Synced, func(tx store.Tx) error {
		c, err := tx.Chat(chat)
		if err != nil {
			return err
		}
		if req.Muted != nil {
			c.Muted = req.GetMuted()
		}
		if req.Pinned != nil {
			c.Pinned = req.GetPinned()
		}
		if req.Draft != nil {
			c.Draft = req.GetDraft()
		}
		if err := tx.PutChat(c); err != nil {
			return err
		}
		pb, err = a.chat(tx, c)
		return err
	})
	if err != nil {
		return nil, err
	}
	bus.Publish(s.cfg.Bus, bus.ChatChanged, bus.ChatChange{Chat: chat, Content: true})
	return pb, nil
}

// RemoveChat implements controlpb.ControlServer.
func (s *Server) RemoveChat(ctx context.Context, req *controlpb.RemoveChatRequest) (*controlpb.RemoveChatResponse, error) {
	a, err := s.account()
	if err != nil {
		return nil, err
	}
	chat, err := chatID(req.GetId())
	if err != nil {
		return nil, err
	}
	if chat.Kind() != packet.Group {
		return nil, failure.New(ErrNotNow, "this is not a group: remove the contact with its history, or leave the group of 2019").Because("CHAT_DIRECT")
	}
	err = a.Store.Update(ctx, store.Synced, func(tx store.Tx) error {
		c, err := a.there(tx, chat)
		if err != nil {
			return err
		}
		if slices.Contains(c.Members, a.Self) {
			return failure.New(ErrNotNow, "you are in this group: leave it first, then its chat can be removed").Because("CHAT_MEMBER")
		}
		return a.ClearChat(tx, chat)
	})
	if err != nil {
		return nil, err
	}
	bus.Publish(s.cfg.Bus, bus.ChatChanged, bus.ChatChange{Chat: chat, Content: true, Cleared: true})
	return &controlpb.RemoveChatResponse{}, nil
}
