package control

import (
	"context"

	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/packet/net2019"
)

// LogInNet2019 implements controlpb.ControlServer.
func (s *Server) LogInNet2019(ctx context.Context, req *controlpb.LogInNet2019Request) (*controlpb.Net2019Status, error) {
	a, err := s.account()
	if err != nil {
		return nil, err
	}
	return a.Net2019.LogIn(ctx, req)
}

// LogOutNet2019 implements controlpb.ControlServer.
func (s *Server) LogOutNet2019(ctx context.Context, _ *controlpb.LogOutNet2019Request) (*controlpb.LogOutNet2019Response, error) {
	a, err := s.account()
	if err != nil {
		return nil, err
	}
	return &controlpb.LogOutNet2019Response{}, a.Net2019.LogOut(ctx)
}

// CreateNet2019Group implements controlpb.ControlServer.
func (s *Server) CreateNet2019Group(ctx context.Context, req *controlpb.CreateNet2019GroupRequest) (*controlpb.Chat, error) {
	a, err := s.account()
	if err != nil {
		return nil, err
	}
	if n := len(req.GetUsers()); n > net2019.MaxMembers {
		return nil, invalid("%d people, at most %d can be in a group of 2019", n, net2019.MaxMembers).Because("NET2019_GROUP_SIZE", "limit", net2019.MaxMembers)
	}
	var users []packet.UserID
	for _, name := range req.GetUsers() {
		user, err := userID(name)
		if err != nil {
			return nil, err
		}
		if !net2019.IsName(name) {
			return nil, invalid("%s is none of 2019: a group of 2019 has only people whose names begin with \"net2019:\"", name).Because("NET2019_MIXED_GROUP")
		}
		users = append(users, user)
	}
	id, err := a.Net2019.CreateGroup(ctx, users)
	if err != nil {
		return nil, err
	}
	var pb *controlpb.Chat
	err = a.Store.View(ctx, func(tx store.ReadTx) error {
		c, err := tx.Chat(id)
		if err == nil {
			pb, err = a.chat(tx, c)
		}
		return err
	})
	return pb, err
}

// LeaveNet2019Group implements controlpb.ControlServer.
func (s *Server) LeaveNet2019Group(ctx context.Context, req *controlpb.LeaveNet2019GroupRequest) (*controlpb.LeaveNet2019GroupResponse, error) {
	a, err := s.account()
	if err != nil {
		return nil, err
	}
	chat, err := chatID(req.GetChat())
	if err != nil {
		return nil, err
	}
	if chat.Kind() != packet.Net2019 {
		return nil, invalid("%.140q is no chat of 2019", req.GetChat())
	}
	return &controlpb.LeaveNet2019GroupResponse{}, a.Net2019.LeaveGroup(ctx, chat, req.GetEraseHistory())
}
