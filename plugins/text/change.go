package text

import (
	"bytes"
	"cmp"
	"context"
	"math"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/parley-chat/parley/plugins/sdk"
	"github.com/parley-chat/parley/plugins/text/textpb"
	"github.com/parley-chat/parley/protocol/packet"
)

// stateOf reads the plugin's data of a message; one that was never edited has
// none.
func stateOf(m *sdk.Message) *textpb.State {
	s := &textpb.State{}
	if proto.Unmarshal(m.Data, s) != nil {
		return &textpb.State{} // written by nobody but us; losing it loses one comparison
	}
	return s
}

// newer says whether an edit counts over what is there.
func newer(e Edit, id packet.PacketID, than *textpb.State) bool {
	return cmp.Or(cmp.Compare(e.Revision, than.GetRevision()), bytes.Compare(id[:], than.GetEdit())) > 0
}

// dropEdit drops the content of the edit that a message shows, if it shows one:
// what a later edit replaced, or a deletion took back, is not to lie in the log.
func dropEdit(s *textpb.State) []sdk.Effect {
	id, err := packet.PacketIDFromBytes(s.GetEdit())
	if err != nil {
		return nil
	}
	return []sdk.Effect{sdk.DropContent{ID: id}}
}

func changeTo(e Edit, id packet.PacketID) (sdk.Effect, error) {
	data, err := proto.Marshal(&textpb.State{Revision: e.Revision, Edit: id[:]})
	return sdk.ChangeMessage{ID: e.Message, Body: e.Body, Data: data, Edited: true}, err
}

func (p *Plugin) handleEdit(ctx context.Context, k sdk.Packet) ([]sdk.Effect, error) {
	e, err := DecodeEdit(k.Content)
	if err != nil {
		return nil, sdk.Refuse("%v", err)
	}
	m, err := p.findOf(ctx, k.Author, k.Chat, e.Message)
	switch {
	case err != nil:
		return nil, err
	case m == nil:
		return p.keepEarly(ctx, k, e.Message, &textpb.Early{What: &textpb.Early_Edit{Edit: e.proto()}})
	case m.Author != k.Author:
		return nil, sdk.Refuse("only its author may edit a message")
	case m.Deleted:
		return nil, nil // perhaps for this account alone: others are to get the edit
	case !newer(e, k.ID, stateOf(m)):
		return []sdk.Effect{sdk.DropContent{ID: k.ID}}, nil
	}
	change, err := changeTo(e, k.ID)
	return slices.Concat(dropEdit(stateOf(m)), []sdk.Effect{change}, mentionsNow(k.Chat, m.ID, e.Body)), err
}

func (p *Plugin) handleDelete(ctx context.Context, k sdk.Packet) ([]sdk.Effect, error) {
	d, err := DecodeDelete(k.Content)
	if err != nil {
		return nil, sdk.Refuse("%v", err)
	}
	m, err := p.findOf(ctx, k.Author, k.Chat, d.Message)
	switch {
	case err != nil:
		return nil, err
	case m == nil:
		return p.keepEarly(ctx, k, d.Message, &textpb.Early{What: &textpb.Early_Delete{Delete: d.proto()}})
	case m.Author != k.Author:
		return nil, sdk.Refuse("only its author may delete a message for everybody")
	}
	return append(dropEdit(stateOf(m)), sdk.DeleteMessage{ID: d.Message}), nil
}

func (p *Plugin) edit(ctx context.Context, call sdk.Invocation) (sdk.Result, error) {
	if err := CheckBody(call.Text); err != nil {
		return sdk.Result{}, outOfBounds(err)
	}
	m, err := p.mine(ctx, call)
	switch {
	case err != nil:
		return sdk.Result{}, err
	case !m.Own:
		return sdk.Result{}, sdk.Errorf(codes.PermissionDenied, "only its author can edit a message; this one is by %s", m.Author).Because("NOT_AUTHOR_EDIT", "user", m.Author)
	case m.Deleted:
		return sdk.Result{}, sdk.Errorf(codes.FailedPrecondition, "the message was deleted and cannot be edited: send a new one").Because("DELETED")
	case m.Body == call.Text:
		return done(m.ID)
	}
	revision := stateOf(m).GetRevision()
	if revision == math.MaxUint32 {
		return sdk.Result{}, sdk.Errorf(codes.FailedPrecondition, "the message was edited too often: send a new one").Because("EDITED_TOO_OFTEN")
	}
	e := Edit{Message: m.ID, Body: call.Text, Revision: revision + 1}
	content, err := e.Encode()
	if err != nil {
		return sdk.Result{}, err
	}
	change, err := changeTo(e, call.ID)
	if err != nil {
		return sdk.Result{}, err
	}
	return done(m.ID, slices.Concat(dropEdit(stateOf(m)), []sdk.Effect{
		sdk.SendPacket{ID: call.ID, Chat: call.Chat, Type: TypeEdit, Content: content}, change,
	}, mentionsNow(call.Chat, m.ID, call.Text))...)
}

func (p *Plugin) delete(ctx context.Context, call sdk.Invocation) (sdk.Result, error) {
	m, err := p.mine(ctx, call)
	switch {
	case err != nil:
		return sdk.Result{}, err
	case !m.Own:
		return sdk.Result{}, sdk.Errorf(codes.PermissionDenied,
			"only its author can delete a message for everyone; this one is by %s: delete it for yourself", m.Author).
			Because("NOT_AUTHOR", "user", m.Author)
	case m.Deleted:
		return done(m.ID)
	}
	content, err := Delete{Message: m.ID}.Encode()
	if err != nil {
		return sdk.Result{}, err
	}
	return done(m.ID, append(dropEdit(stateOf(m)),
		sdk.SendPacket{ID: call.ID, Chat: call.Chat, Type: TypeDelete, Content: content}, sdk.DeleteMessage{ID: m.ID})...)
}

func (p *Plugin) deleteForMe(ctx context.Context, call sdk.Invocation) (sdk.Result, error) {
	m, err := p.mine(ctx, call)
	switch {
	case err != nil:
		return sdk.Result{}, err
	case m.Deleted:
		return done(m.ID)
	}
	effects := []sdk.Effect{sdk.DeleteMessage{ID: m.ID, Local: true}}
	if !m.Own { // of one's own others may be yet to get the edit
		effects = append(dropEdit(stateOf(m)), effects...)
	}
	return done(m.ID, effects...)
}
