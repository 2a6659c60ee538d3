package host

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// Limits of plugin.proto, in bytes unless said otherwise.
const (
	maxItems      = 256 // of one Handle
	maxEffects    = 256 // of one call
	maxBody       = 64 << 10
	maxData       = 64 << 10
	maxImage      = 64 << 10
	maxCard       = 256 << 10
	maxButtons    = 16
	maxAnnotation = 4 << 10
	maxKind       = 64
	maxSearchText = 64 << 10
	maxKey        = 256
	maxValue      = 256 << 10
	maxEvent      = 64
	maxEventData  = 16 << 10
	maxTitle      = 256
	maxMembers    = 1000
	maxVouched    = 2000
	maxResult     = 64 << 10
)

// checkEffects checks all of one call's effects that can be checked without the
// store. where names the call.
func checkEffects(w powers, where string, effects []*pluginpb.Effect) error {
	c := checker{plugin: w.plugin}
	c.must(len(effects) <= maxEffects, where+".effects", "%d effects, at most %d are allowed", len(effects), maxEffects)
	for i, e := range effects {
		if c.err != nil {
			break
		}
		c.effect(w, fmt.Sprintf("%s.effects[%d]", where, i), e)
	}
	return c.err
}

func (c *checker) effect(w powers, at string, e *pluginpb.Effect) {
	switch e := e.GetEffect().(type) {
	case *pluginpb.Effect_AddMessage:
		c.addMessage(w, at+".add_message", e.AddMessage)
	case *pluginpb.Effect_ChangeMessage:
		c.changeMessage(w, at+".change_message", e.ChangeMessage)
	case *pluginpb.Effect_SetCard:
		c.id(at+".set_card.id", e.SetCard.GetId())
		c.card(w, at+".set_card.card", e.SetCard.GetCard())
	case *pluginpb.Effect_DeleteMessage:
		c.id(at+".delete_message.id", e.DeleteMessage.GetId())
	case *pluginpb.Effect_DropContent:
		c.id(at+".drop_content.id", e.DropContent.GetId())
	case *pluginpb.Effect_Annotate:
		c.annotate(w, at+".annotate", e.Annotate)
	case *pluginpb.Effect_RemoveAnnotation:
		c.chat(at+".remove_annotation.chat", e.RemoveAnnotation.GetChat())
		c.id(at+".remove_annotation.message", e.RemoveAnnotation.GetMessage())
		c.annotationKind(w, at+".remove_annotation.kind", e.RemoveAnnotation.GetKind())
	case *pluginpb.Effect_SendPacket:
		c.sendPacket(w, at+".send_packet", e.SendPacket)
	case *pluginpb.Effect_SetMembers:
		c.setMembers(w, at+".set_members", e.SetMembers)
	case *pluginpb.Effect_PutValue:
		c.must(e.PutValue.GetKey() != "", at+".put_value.key", "is empty")
		c.within(at+".put_value.key", len(e.PutValue.GetKey()), maxKey)
		c.within(at+".put_value.value", len(e.PutValue.GetValue()), maxValue)
	case *pluginpb.Effect_PublishEvent:
		c.publish(w, at+".publish_event", e.PublishEvent)
	case *pluginpb.Effect_ShareBlob:
		c.blob(at+".share_blob.blob", e.ShareBlob.GetBlob())
		c.chat(at+".share_blob.chat", e.ShareBlob.GetChat())
		c.id(at+".share_blob.message", e.ShareBlob.GetMessage())
	case *pluginpb.Effect_FetchBlob:
		c.fetchBlob(at+".fetch_blob", e.FetchBlob)
	case *pluginpb.Effect_SteerBlob:
		c.steerBlob(at+".steer_blob", e.SteerBlob)
	default:
		c.must(false, at, "is none that API %d knows", apiVersion)
	}
}

func (c *checker) id(field string, b []byte) {
	_, err := packet.PacketIDFromBytes(b)
	c.must(err == nil, field, "%d bytes that are no UUID, 16 are needed", len(b))
}

func (c *checker) optionalID(field string, b []byte) {
	if len(b) > 0 {
		c.id(field, b)
	}
}

func (c *checker) chat(field, chat string) {
	_, err := packet.ParseChatID(chat)
	c.must(err == nil, field, "%.140q is not a chat id", chat)
}

func (c *checker) user(field, user string) {
	_, err := packet.ParseUserID(user)
	c.must(err == nil, field, "%.70q is not a user id", user)
}

func (c *checker) addMessage(w powers, at string, e *pluginpb.AddMessage) {
	c.id(at+".id", e.GetId())
	c.chat(at+".chat", e.GetChat())
	c.must(w.kind(e.GetKind()) != nil, at+".kind", "%.70q is not declared in the manifest", e.GetKind())
	c.within(at+".body", len(e.GetBody()), maxBody)
	c.optionalID(at+".reply_to", e.GetReplyTo())
	c.within(at+".data", len(e.GetData()), maxData)
	c.card(w, at+".card", e.GetCard())
	if of := e.GetHandled(); of != nil {
		c.handled(at, of)
		c.must(!e.GetLocal(), at+".local", "a message of a packet is not local")
	}
}

func (c *checker) handled(at string, of *pluginpb.HandledPacket) {
	c.user(at+".handled.author", of.GetAuthor())
	c.must(len(of.GetContentHash()) == len(packet.Hash{}), at+".handled.content_hash", "has %d bytes, not %d", len(of.GetContentHash()), len(packet.Hash{}))
}

func (c *checker) changeMessage(w powers, at string, e *pluginpb.ChangeMessage) {
	c.id(at+".id", e.GetId())
	c.within(at+".body", len(e.GetBody()), maxBody)
	c.within(at+".data", len(e.GetData()), maxData)
	c.card(w, at+".card", e.GetCard())
	if of := e.GetHandled(); of != nil {
		c.handled(at, of)
	}
}

var imageMagic = [][]byte{[]byte("\x89PNG\r\n\x1a\n"), {0xff, 0xd8, 0xff}, []byte("RIFF")}

func (c *checker) card(w powers, at string, card *pluginpb.Card) {
	if card == nil {
		return
	}
	c.within(at, proto.Size(card), maxCard)
	c.within(at+".title", len(card.GetTitle()), maxTitle)
	c.within(at+".body", len(card.GetBody()), maxBody)
	c.within(at+".image", len(card.GetImage()), maxImage)
	if img := card.GetImage(); len(img) > 0 {
		known := slices.ContainsFunc(imageMagic, func(m []byte) bool { return bytes.HasPrefix(img, m) })
		c.must(known, at+".image", "is no PNG, JPEG or WebP")
	}
	c.must(len(card.GetButtons()) <= maxButtons, at+".buttons", "%d, at most %d are allowed", len(card.GetButtons()), maxButtons)
	for _, b := range card.GetButtons() {
		c.within(at+".buttons.label", len(b.GetLabel()), 64)
		c.must(w.action(b.GetAction()) != nil, at+".buttons.action", "%.40q is not declared in the manifest", b.GetAction())
	}
}

func (c *checker) annotate(w powers, at string, e *pluginpb.Annotate) {
	c.chat(at+".chat", e.GetChat())
	c.id(at+".message", e.GetMessage())
	c.annotationKind(w, at+".kind", e.GetKind())
	c.within(at+".value", len(e.GetValue()), maxAnnotation)
	c.within(at+".search_text", len(e.GetSearchText()), maxSearchText)
}

// annotationKind: the manifest declares no annotation kinds, so one belongs to a
// plugin by its form: a reverse-DNS prefix that the plugin uses elsewhere too,
// or for bundled plugins none.
func (c *checker) annotationKind(w powers, field, name string) {
	c.within(field, len(name), maxKind)
	base, _, _ := strings.Cut(name, "#")
	_, err := packet.ParseType(base)
	c.must(err == nil, field, "%.70q is not an annotation kind", name)
	prefix, _, foreign := strings.Cut(base, "/")
	if w.bundled && !foreign {
		return
	}
	own := foreign && slices.ContainsFunc(w.names(), func(n string) bool { return strings.HasPrefix(n, prefix+"/") })
	c.must(own, field, "%.70q is not this plugin's: it needs the prefix of a packet type or message kind it declares", name)
}

// names are the packet types and message kinds.
func (w powers) names() []string {
	var names []string
	for _, t := range w.manifest.GetPacketTypes() {
		names = append(names, t.GetName())
	}
	for _, k := range w.manifest.GetMessageKinds() {
		names = append(names, k.GetName())
	}
	return names
}

func (c *checker) sendPacket(w powers, at string, e *pluginpb.SendPacket) {
	c.optionalID(at+".id", e.GetId())
	c.chat(at+".chat", e.GetChat())
	c.must(w.owns(packet.Type(e.GetType())), at+".type", "%.70q is not declared in the manifest", e.GetType())
	c.within(at+".content", len(e.GetContent()), packet.MaxContent)
	c.must(!e.GetEphemeral() || !e.GetHandle(), at+".handle", "is for RELIABLE packets")
	c.must(e.GetEphemeral() || len(e.GetTo()) == 0, at+".to", "is for ephemeral packets")
	c.must(len(e.GetTo()) <= maxMembers, at+".to", "%d members, at most %d are allowed", len(e.GetTo()), maxMembers)
	for _, user := range e.GetTo() {
		c.user(at+".to", user)
	}
}

func (c *checker) setMembers(w powers, at string, e *pluginpb.SetMembers) {
	c.must(w.bundled && w.can(pluginpb.Capability_CAPABILITY_MEMBERS), at, "needs CAPABILITY_MEMBERS")
	c.chat(at+".chat", e.GetChat())
	if c.err == nil {
		c.must(packet.ChatID(e.GetChat()).Kind() != packet.Direct, at+".chat", "a direct chat has the members it has")
	}
	c.must(e.GetVersion() > 0 && e.GetVersion() < 1<<62, at+".version", "%d", e.GetVersion())
	c.within(at+".title", len(e.GetTitle()), maxTitle)
	c.must(len(e.GetMembers()) <= maxMembers, at+".members", "%d, at most %d are allowed", len(e.GetMembers()), maxMembers)
	seen := map[string]bool{}
	for _, user := range e.GetMembers() {
		c.user(at+".members", user)
		c.must(!seen[user], at+".members", "%.70q is there twice", user)
		seen[user] = true
	}
	for _, user := range e.GetInvited() {
		c.must(seen[user], at+".invited", "%.70q is no member, or there twice", user)
		delete(seen, user)
	}
	_, known := pluginpb.History_name[int32(e.GetHistory())]
	c.must(known, at+".history", "%d is none that API %d knows", e.GetHistory(), apiVersion)
	c.must(len(e.GetCutoffs()) <= 4*maxMembers, at+".cutoffs", "%d are too many", len(e.GetCutoffs()))
	named := map[cutLog]bool{}
	for _, cut := range e.GetCutoffs() {
		log := cutLog{string(cut.GetDevice()), cut.GetEpoch()}
		c.must(!named[log], at+".cutoffs", "epoch %d of the device %x is there twice", log.epoch, log.device)
		named[log] = true
		c.user(at+".cutoffs.user", cut.GetUser())
		c.must(len(cut.GetDevice()) == len(packet.DeviceID{}), at+".cutoffs.device", "%d bytes, 20 are needed", len(cut.GetDevice()))
		c.must(cut.GetEpoch() > 0 && cut.GetEpoch() < 1<<62 && cut.GetNumber() < 1<<62, at+".cutoffs", "with a counter out of range")
	}
	c.vouched(at+".vouched", e.GetVouched())
}

func (c *checker) vouched(at string, keys []*pluginpb.DeviceKey) {
	c.must(len(keys) <= maxVouched, at, "%d, at most %d are allowed", len(keys), maxVouched)
	for _, k := range keys {
		c.user(at+".user", k.GetUser())
		c.must(len(k.GetKey()) == ed25519.PublicKeySize, at+".key", "%d bytes, %d are needed", len(k.GetKey()), ed25519.PublicKeySize)
	}
}

type cutLog struct {
	device string
	epoch  uint64
}

func (c *checker) publish(w powers, at string, e *pluginpb.PublishEvent) {
	c.within(at+".name", len(e.GetName()), maxEvent)
	name, own := strings.CutPrefix(e.GetName(), w.plugin+".")
	c.must(e.GetName() == "typing" || own && name != "", at+".name", "%.70q is neither \"typing\" nor \"%s.<event>\"", e.GetName(), w.plugin)
	if e.GetChat() != "" {
		c.chat(at+".chat", e.GetChat())
	}
	if e.GetUser() != "" {
		c.user(at+".user", e.GetUser())
	}
	c.within(at+".data", len(e.GetData()), maxEventData)
}

// sends says whether some effect appends to a log, so that its commit must be
// on disk before anybody hears of it.
func sends(effects []*pluginpb.Effect) bool {
	return slices.ContainsFunc(effects, func(e *pluginpb.Effect) bool {
		send := e.GetSendPacket()
		return send != nil && !send.GetEphemeral()
	})
}
