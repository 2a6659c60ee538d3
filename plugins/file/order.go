package file

import (
	"context"

	"google.golang.org/grpc/codes"

	"github.com/parley-chat/parley/plugins/file/filepb"
	"github.com/parley-chat/parley/plugins/sdk"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// target is what an action was asked on.
type target struct {
	message *sdk.Message
	data    Data
	id      packet.BlobID // the message's
	blob    *sdk.Blob     // as it is here, or nil: never fetched
}

// target finds the message of an action: the one it was asked on, or the one of
// the blob that the argument "blob" names.
func (p *Plugin) target(ctx context.Context, call sdk.Invocation) (*target, error) {
	chat, message := call.Chat, call.Message
	if name := call.Args["blob"]; message.IsZero() && name != "" {
		id, err := packet.ParseBlobID(name)
		if err != nil {
			return nil, sdk.Errorf(codes.InvalidArgument, "%.40q is not the id of a transfer", name)
		}
		b, err := p.blob(ctx, id)
		if err != nil {
			return nil, err
		}
		if b == nil || b.Message.IsZero() {
			return nil, sdk.Errorf(codes.NotFound, "there is no transfer %s", id).Because("NO_TRANSFER")
		}
		chat, message = b.Chat, b.Message
	}
	if chat == "" || message.IsZero() {
		return nil, sdk.Errorf(codes.InvalidArgument, "no message was given to %s", call.Action)
	}
	m, err := p.find(ctx, chat, message)
	if err != nil {
		return nil, err
	}
	if m == nil {
		return nil, sdk.Errorf(codes.NotFound, "there is no file message %s in this chat", message).Because("NO_MESSAGE")
	}
	t := &target{message: m}
	if m.Deleted {
		return t, nil
	}
	if t.data, err = readData(m); err != nil {
		return nil, err
	}
	if t.id, err = t.data.blob(); err != nil {
		return nil, err
	}
	if t.blob, err = p.blob(ctx, t.id); err != nil {
		return nil, err
	}
	switch {
	case t.blob == nil || t.blob.Message == m.ID:
	case t.blob.State == pluginpb.BlobState_BLOB_STATE_OFFERED && !m.Own:
		t.blob = nil // another message offers it too, and nothing was asked for: this one may be it
	default:
		return nil, sdk.Errorf(codes.FailedPrecondition, "the content of %s was offered by an earlier message too: use that one", t.data.Name).Because("OFFERED_BEFORE", "file", t.data.Name)
	}
	return t, nil
}

// changed is the result of an order: the message's new data, and what the others
// are told, if kind says something.
func (t *target) changed(call sdk.Invocation, kind filepb.Kind, effects ...sdk.Effect) (sdk.Result, error) {
	c, err := change(t.message, t.data)
	if err != nil {
		return sdk.Result{}, err
	}
	effects = append(effects, c)
	if kind != filepb.Kind_KIND_UNSPECIFIED {
		content, err := State{Message: t.message.ID, Kind: kind}.Encode()
		if err != nil {
			return sdk.Result{}, err
		}
		effects = append(effects, tell(call.ID, t.message.Chat, content))
	}
	return t.done(effects...)
}

func (t *target) done(effects ...sdk.Effect) (sdk.Result, error) {
	return done([]packet.PacketID{t.message.ID}, effects...)
}

// stop gives what stops the transfer, if there is one.
func (t *target) stop() []sdk.Effect {
	if t.blob == nil {
		return nil
	}
	return []sdk.Effect{sdk.SteerBlob{Blob: t.id, Order: pluginpb.BlobOrder_BLOB_ORDER_CANCEL}}
}

// refused gives the error of an order that cannot be, or nil.
func (t *target) refused(verb string) error {
	switch {
	case t.message.Deleted:
		return sdk.Errorf(codes.FailedPrecondition, "the message was deleted: there is nothing to %s", verb).Because("DELETED")
	case t.data.State == Withdrawn:
		return sdk.Errorf(codes.FailedPrecondition, "%s was withdrawn by its sender: ask for it again", t.data.Name).Because("WITHDRAWN", "file", t.data.Name)
	}
	return nil
}

// accept has the content fetched, be it for the first time or again.
func (p *Plugin) accept(call sdk.Invocation, t *target) (sdk.Result, error) {
	if err := t.refused("download"); err != nil {
		return sdk.Result{}, err
	}
	var told filepb.Kind
	switch {
	case t.message.Own:
		return sdk.Result{}, sdk.Errorf(codes.FailedPrecondition, "%s is your own: send it again for others to have it again", t.data.Name).Because("OWN_FILE", "file", t.data.Name)
	case t.data.State == Received:
		return sdk.Result{}, sdk.Errorf(codes.FailedPrecondition, "%s is here already: %s", t.data.Name, t.data.Path).Because("HERE_ALREADY", "file", t.data.Name)
	case t.data.State == Fetching && t.blob != nil && t.blob.State == pluginpb.BlobState_BLOB_STATE_PAUSED:
		return t.done(sdk.SteerBlob{Blob: t.id, Order: pluginpb.BlobOrder_BLOB_ORDER_RESUME})
	case t.data.State == Fetching:
		return t.done()
	case t.message.Chat.Kind() == packet.Net2019 && (t.data.State == Declined || t.data.State == Cancelled):
		return sdk.Result{}, sdk.Errorf(codes.FailedPrecondition, "%s was not kept, and the protocol of 2019 cannot ask for it again: its sender must send it once more", t.data.Name).Because("NET2019_NOT_KEPT", "file", t.data.Name)
	case p.core.Setting(settingFolder) == "":
		return sdk.Result{}, sdk.Errorf(codes.FailedPrecondition, "there is no folder to put %s into: set download-folder of the file plugin", t.data.Name).Because("NO_FOLDER", "file", t.data.Name)
	case t.data.State != Offered:
		told = filepb.Kind_KIND_WANTED // after the others were told something else
	}
	t.data.State, t.data.Reason = Fetching, ""
	return t.changed(call, told, p.fetch(t.id, t.message.ID, t.data))
}

func (p *Plugin) decline(call sdk.Invocation, t *target) (sdk.Result, error) {
	if err := t.refused("decline"); err != nil {
		return sdk.Result{}, err
	}
	switch {
	case t.message.Own:
		return sdk.Result{}, sdk.Errorf(codes.FailedPrecondition, "%s is your own: cancel it", t.data.Name).Because("OWN_FILE", "file", t.data.Name)
	case t.data.State == Received:
		return sdk.Result{}, sdk.Errorf(codes.FailedPrecondition, "%s is here already: %s", t.data.Name, t.data.Path).Because("HERE_ALREADY", "file", t.data.Name)
	case t.data.State == Declined:
		return t.done()
	}
	return p.giveUp(call, t, Declined, filepb.Kind_KIND_DECLINED)
}

// cancel stops fetching what is another's, and takes back what is one's own.
func (p *Plugin) cancel(call sdk.Invocation, t *target) (sdk.Result, error) {
	if t.message.Own && (t.message.Deleted || t.data.State == Withdrawn) {
		return t.done()
	}
	if err := t.refused("cancel"); err != nil {
		return sdk.Result{}, err
	}
	switch {
	case t.message.Own && t.blob != nil && t.blob.State == pluginpb.BlobState_BLOB_STATE_DONE:
		return sdk.Result{}, sdk.Errorf(codes.FailedPrecondition, "%s has gone to all who are to have it: there is nothing to cancel", t.data.Name).Because("GONE_ALREADY", "file", t.data.Name)
	case t.message.Own:
		effects := append(t.stop(), p.forgetCopy(t.message.ID)...)
		t.data.State, t.data.Reason = Withdrawn, ""
		return t.changed(call, filepb.Kind_KIND_WITHDRAWN, effects...)
	case t.data.State == Received || t.blob != nil && t.blob.State == pluginpb.BlobState_BLOB_STATE_DONE:
		return sdk.Result{}, sdk.Errorf(codes.FailedPrecondition, "%s is here already: remove it from its folder if you do not want it", t.data.Name).Because("HERE_ALREADY", "file", t.data.Name)
	case t.data.State == Cancelled || t.data.State == Declined:
		return t.done()
	case t.data.State == Offered:
		return p.giveUp(call, t, Declined, filepb.Kind_KIND_DECLINED)
	}
	return p.giveUp(call, t, Cancelled, filepb.Kind_KIND_CANCELLED)
}

func (p *Plugin) giveUp(call sdk.Invocation, t *target, state string, kind filepb.Kind) (sdk.Result, error) {
	p.settled(t.message.Author, t.id)
	t.data.State, t.data.Reason = state, ""
	return t.changed(call, kind, t.stop()...)
}

// steer gives the action that pauses or resumes; in which of them a blob is, the
// core says.
func steer(order pluginpb.BlobOrder) func(sdk.Invocation, *target) (sdk.Result, error) {
	return func(call sdk.Invocation, t *target) (sdk.Result, error) {
		if err := t.refused(call.Action); err != nil {
			return sdk.Result{}, err
		}
		if t.blob == nil || t.blob.State == pluginpb.BlobState_BLOB_STATE_OFFERED {
			return sdk.Result{}, sdk.Errorf(codes.FailedPrecondition, "%s is not being transferred: there is nothing to %s", t.data.Name, call.Action).Because("NOT_MOVING", "file", t.data.Name)
		}
		return t.done(sdk.SteerBlob{Blob: t.id, Order: order})
	}
}

// delete deletes a message for everybody, with what can be had by it. What
// others have stays with them.
func (p *Plugin) delete(call sdk.Invocation, t *target) (sdk.Result, error) {
	switch {
	case !t.message.Own:
		return sdk.Result{}, sdk.Errorf(codes.PermissionDenied,
			"only its author can delete a message for everyone; this one is by %s: delete it for yourself", t.message.Author).
			Because("NOT_AUTHOR", "user", t.message.Author)
	case t.message.Deleted:
		return t.done()
	}
	content, err := Delete{Message: t.message.ID}.Encode()
	if err != nil {
		return sdk.Result{}, err
	}
	effects := append(t.stop(), p.forgetCopy(t.message.ID)...)
	return t.done(append(effects,
		sdk.SendPacket{ID: call.ID, Chat: t.message.Chat, Type: TypeDelete, Content: content}, sdk.DeleteMessage{ID: t.message.ID})...)
}

// deleteForMe deletes a message here. What is one's own can be had by others
// still; what is another's is not fetched any further.
func (p *Plugin) deleteForMe(_ sdk.Invocation, t *target) (sdk.Result, error) {
	if t.message.Deleted {
		return t.done()
	}
	var effects []sdk.Effect
	if !t.message.Own {
		p.settled(t.message.Author, t.id)
		effects = t.stop()
	}
	return t.done(append(effects, sdk.DeleteMessage{ID: t.message.ID, Local: true})...)
}
