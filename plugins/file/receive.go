package file

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/parley-chat/parley/plugins/file/filepb"
	"github.com/parley-chat/parley/plugins/sdk"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// maxAuto is how much of one person's is accepted by the setting and not settled,
// so that nobody can have a disk filled by thousands of offers; the rest waits
// to be accepted by hand.
const maxAuto = 100

// sourceLost is what recipients are told when one's own blob failed; the core's
// reason has paths in it that are nobody's business.
const sourceLost = "it was changed or removed before everybody had it"

// words are the kinds of a State, as marks and Data say them.
var words = map[filepb.Kind]string{
	filepb.Kind_KIND_RECEIVED: Received, filepb.Kind_KIND_FAILED: Failed, filepb.Kind_KIND_DECLINED: Declined, filepb.Kind_KIND_CANCELLED: Cancelled,
}

func (p *Plugin) handleOffer(ctx context.Context, k sdk.Packet) ([]sdk.Effect, error) {
	o, err := decodeIn(k)
	if err != nil {
		return nil, sdk.Refuse("%v", err)
	}
	early, effects, err := p.takeEarly(ctx, k)
	if err != nil {
		return nil, err
	}
	d := dataOf(o, Offered)
	var fetch []sdk.Effect
	switch {
	case early != nil && !early.GetDeleted():
		d.State, d.Reason = Withdrawn, string(early.GetReason())
	case k.Own:
		d.State = Shared // from another device
	case early == nil:
		wanted, err := p.wants(ctx, k.Author, o)
		if err != nil {
			return nil, err
		}
		if wanted {
			d.State = Fetching
			fetch = append(fetch, p.fetch(o.Blob, k.ID, d))
		} else {
			fetch = append(fetch, sdk.FetchBlob{Blob: o.Blob, Message: k.ID, Name: d.Name, Size: d.Size, Offer: true})
		}
	}
	data, err := d.encode()
	if err != nil {
		return nil, err
	}
	effects = append(effects, sdk.AddMessage{ID: k.ID, Chat: k.Chat, Kind: string(k.Type), Body: d.body(), ReplyTo: o.ReplyTo, Data: data})
	if early.GetDeleted() {
		return append(effects, sdk.DeleteMessage{ID: k.ID}), nil
	}
	return append(effects, fetch...), nil
}

// fetch is the effect that has the content of a message fetched.
func (p *Plugin) fetch(blob packet.BlobID, message packet.PacketID, d Data) sdk.Effect {
	return sdk.FetchBlob{Blob: blob, Message: message, Name: d.Name, Folder: p.core.Setting(settingFolder), Size: d.Size}
}

// wants says whether an offer is accepted by the setting.
func (p *Plugin) wants(ctx context.Context, author packet.UserID, o Offer) (bool, error) {
	whose := p.core.Setting(settingAccept)
	if whose != acceptContacts && whose != acceptEveryone || o.Size > p.largest() || p.core.Setting(settingFolder) == "" {
		return false, nil
	}
	if whose == acceptContacts {
		contacts, err := p.core.Contacts(ctx)
		if err != nil {
			return false, err
		}
		if !slices.ContainsFunc(contacts, func(c sdk.Contact) bool { return c.User == author }) {
			return false, nil
		}
	}
	// An id that is here already belongs to another message: that one's blob.
	here, err := p.blob(ctx, o.Blob)
	if err != nil || here != nil {
		return false, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	pending := p.auto[author]
	if _, again := pending[o.Blob]; again {
		return true, nil
	}
	if len(pending) >= maxAuto {
		return false, nil
	}
	if pending == nil {
		pending = map[packet.BlobID]struct{}{}
		p.auto[author] = pending
	}
	pending[o.Blob] = struct{}{}
	return true, nil
}

// settled: a blob counts no more.
func (p *Plugin) settled(author packet.UserID, blob packet.BlobID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.auto[author], blob)
	if len(p.auto[author]) == 0 {
		delete(p.auto, author)
	}
}

func (p *Plugin) handleState(ctx context.Context, k sdk.Packet) ([]sdk.Effect, error) {
	s, err := DecodeState(k.Content)
	if err != nil {
		return nil, sdk.Refuse("%v", err)
	}
	m, err := p.find(ctx, k.Chat, s.Message)
	withdrawn := s.Kind == filepb.Kind_KIND_WITHDRAWN
	switch {
	case err != nil:
		return nil, err
	case m == nil && withdrawn:
		return p.keepEarly(ctx, k, s.Message, &filepb.Early{Reason: []byte(s.Reason)})
	case m == nil || m.Deleted:
		return nil, nil
	case withdrawn != (m.Author == k.Author):
		return nil, sdk.Refuse("its author withdraws an offer, others say what became of it")
	case withdrawn:
		return p.withdrawn(ctx, m, s.Reason)
	case s.Kind == filepb.Kind_KIND_WANTED:
		return []sdk.Effect{sdk.RemoveAnnotation{Chat: k.Chat, Message: m.ID, Kind: Annotation}}, nil
	}
	word, known := words[s.Kind]
	if !known {
		return nil, nil
	}
	value, err := json.Marshal(mark{State: word, Reason: s.Reason})
	return []sdk.Effect{sdk.Annotate{Chat: k.Chat, Message: m.ID, Kind: Annotation, Value: value}}, err
}

// withdrawn: there is nothing to fetch any more. What is here stays.
func (p *Plugin) withdrawn(ctx context.Context, m *sdk.Message, reason string) ([]sdk.Effect, error) {
	d, err := readData(m)
	if err != nil || d.State == Received || d.State == Withdrawn {
		return nil, err
	}
	why := string(m.Author) + " took it back"
	if reason != "" {
		why = string(m.Author) + " says: " + reason
	}
	effects, err := p.stop(ctx, m, d, why)
	if err != nil {
		return nil, err
	}
	d.State, d.Reason = Withdrawn, reason
	changed, err := change(m, d)
	return append(effects, changed), err
}

// stop cancels the transfer of a message, if there is one that is not over.
func (p *Plugin) stop(ctx context.Context, m *sdk.Message, d Data, why string) ([]sdk.Effect, error) {
	id, err := d.blob()
	if err != nil {
		return nil, err
	}
	p.settled(m.Author, id)
	b, err := p.blob(ctx, id)
	if err != nil || b == nil || b.Message != m.ID {
		return nil, err
	}
	return []sdk.Effect{sdk.SteerBlob{Blob: id, Order: pluginpb.BlobOrder_BLOB_ORDER_CANCEL, Reason: why}}, nil
}

func (p *Plugin) handleDelete(ctx context.Context, k sdk.Packet) ([]sdk.Effect, error) {
	gone, err := DecodeDelete(k.Content)
	if err != nil {
		return nil, sdk.Refuse("%v", err)
	}
	m, err := p.find(ctx, k.Chat, gone.Message)
	switch {
	case err != nil:
		return nil, err
	case m == nil:
		return p.keepEarly(ctx, k, gone.Message, &filepb.Early{Deleted: true})
	case m.Author != k.Author:
		return nil, sdk.Refuse("only its author may delete a message for everybody")
	case m.Deleted:
		return nil, nil
	}
	var effects []sdk.Effect
	if d, err := readData(m); err == nil { // else there is nothing to stop
		if effects, err = p.stop(ctx, m, d, string(m.Author)+" deleted the message"); err != nil {
			return nil, err
		}
	}
	return append(effects, sdk.DeleteMessage{ID: m.ID}), nil
}

// HandleEvent hears how a blob ended, perhaps again.
func (p *Plugin) HandleEvent(ctx context.Context, e sdk.Event) ([]sdk.Effect, error) {
	if e.Blob == nil {
		return nil, nil
	}
	m, err := p.find(ctx, e.Chat, e.Blob.Message)
	if err != nil || m == nil {
		return nil, err
	}
	p.settled(m.Author, e.Blob.ID)
	// It may have been begun anew since.
	b, err := p.blob(ctx, e.Blob.ID)
	if err != nil || m.Deleted || b == nil || b.State != e.Blob.State {
		return nil, err
	}
	d, err := readData(m)
	if err != nil || d.Blob != b.ID.String() {
		return nil, err
	}
	kind := ended(&d, m.Own, b)
	if kind == filepb.Kind_KIND_UNSPECIFIED {
		return nil, nil
	}
	p.look2019(m, &d)
	state := State{Message: m.ID, Kind: kind, Reason: tellable(b.Reason)}
	var effects []sdk.Effect
	if m.Own {
		effects = p.forgetCopy(m.ID)
		if b.State == pluginpb.BlobState_BLOB_STATE_FAILED {
			state.Reason = sourceLost
		}
	}
	content, err := state.Encode()
	if err != nil {
		return nil, err
	}
	changed, err := change(m, d)
	return append(effects, changed, tell(packet.PacketID{}, m.Chat, content)), err
}

// ended brings d to how its blob ended, and gives what the others are to be told;
// nothing when d says so already.
func ended(d *Data, own bool, b *sdk.Blob) filepb.Kind {
	over := d.State == Received || d.State == Withdrawn
	was := d.State
	switch b.State {
	case pluginpb.BlobState_BLOB_STATE_DONE:
		if own || was == Received {
			return 0
		}
		d.State, d.Reason, d.Path = Received, "", b.Path
		return filepb.Kind_KIND_RECEIVED
	case pluginpb.BlobState_BLOB_STATE_FAILED:
		if over || was == Failed || was == Declined || was == Cancelled {
			return 0
		}
		d.State, d.Reason = Failed, b.Reason
		if own {
			return filepb.Kind_KIND_WITHDRAWN
		}
		return filepb.Kind_KIND_FAILED
	case pluginpb.BlobState_BLOB_STATE_CANCELLED:
		if over || was == Declined || was == Cancelled || own && was == Failed {
			return 0
		}
		d.State, d.Reason = Cancelled, ""
		if own {
			d.State = Withdrawn
			return filepb.Kind_KIND_WITHDRAWN
		}
		return filepb.Kind_KIND_CANCELLED
	}
	return 0
}

// tellable is a reason as it may be told to others: without paths of this
// device, and not too long.
func tellable(reason string) string {
	reason = strings.ToValidUTF8(reason, "_")
	if strings.Contains(reason, "/") {
		return ""
	}
	n := min(len(reason), MaxReason)
	for n < len(reason) && !utf8.RuneStart(reason[n]) {
		n--
	}
	return reason[:n]
}
