package control

import (
	"context"
	"slices"

	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/packet"
)

// ListContacts implements controlpb.ControlServer.
func (s *Server) ListContacts(ctx context.Context, req *controlpb.ListContactsRequest) (*controlpb.ListContactsResponse, error) {
	a, err := s.account()
	if err != nil {
		return nil, err
	}
	contacts, err := a.People.Contacts(ctx)
	if !req.GetAcquaintances() {
		contacts = slices.DeleteFunc(contacts, acquainted)
	}
	return &controlpb.ListContactsResponse{Contacts: contacts}, err
}

// acquainted says whether somebody is no contact, only a member of a common
// group.
func acquainted(c *controlpb.Contact) bool {
	return c.GetState() == controlpb.ContactState_CONTACT_STATE_ACQUAINTANCE
}

// RequestContact implements controlpb.ControlServer.
func (s *Server) RequestContact(ctx context.Context, req *controlpb.RequestContactRequest) (*controlpb.Contact, error) {
	a, user, err := s.person(req.GetUser())
	if err != nil {
		return nil, err
	}
	if err := a.People.Request(ctx, user, req.GetGreeting()); err != nil {
		return nil, err
	}
	return a.People.Contact(ctx, user)
}

// AnswerContact implements controlpb.ControlServer.
func (s *Server) AnswerContact(ctx context.Context, req *controlpb.AnswerContactRequest) (*controlpb.AnswerContactResponse, error) {
	a, user, err := s.person(req.GetUser())
	if err != nil {
		return nil, err
	}
	return &controlpb.AnswerContactResponse{}, a.People.Answer(ctx, user, req.GetAccept())
}

// RemoveContact implements controlpb.ControlServer.
func (s *Server) RemoveContact(ctx context.Context, req *controlpb.RemoveContactRequest) (*controlpb.RemoveContactResponse, error) {
	a, user, err := s.person(req.GetUser())
	if err != nil {
		return nil, err
	}
	return &controlpb.RemoveContactResponse{}, a.People.Remove(ctx, user, req.GetEraseHistory())
}

// BlockContact implements controlpb.ControlServer.
func (s *Server) BlockContact(ctx context.Context, req *controlpb.BlockContactRequest) (*controlpb.BlockContactResponse, error) {
	a, user, err := s.person(req.GetUser())
	if err != nil {
		return nil, err
	}
	return &controlpb.BlockContactResponse{}, a.People.Block(ctx, user, req.GetBlock())
}

// RenameContact implements controlpb.ControlServer.
func (s *Server) RenameContact(ctx context.Context, req *controlpb.RenameContactRequest) (*controlpb.RenameContactResponse, error) {
	a, user, err := s.person(req.GetUser())
	if err != nil {
		return nil, err
	}
	return &controlpb.RenameContactResponse{}, a.People.Rename(ctx, user, req.GetNickname())
}

// TrustContact implements controlpb.ControlServer.
func (s *Server) TrustContact(ctx context.Context, req *controlpb.TrustContactRequest) (*controlpb.TrustContactResponse, error) {
	a, user, err := s.person(req.GetUser())
	if err != nil {
		return nil, err
	}
	if number := req.GetNewSafetyNumber(); number != "" {
		if err := a.People.AcceptKeys(ctx, user, number); err != nil {
			return nil, err
		}
	}
	if req.GetSetVerified() {
		if err := a.People.SetVerified(ctx, user, req.GetVerified()); err != nil {
			return nil, err
		}
	}
	return &controlpb.TrustContactResponse{}, nil
}

func (s *Server) person(id string) (Account, packet.UserID, error) {
	a, err := s.account()
	if err != nil {
		return Account{}, "", err
	}
	user, err := userID(id)
	return a, user, err
}
