package plugintest

import (
	"crypto/ed25519"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/parley-chat/parley/plugins/sdk"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// Limits of plugin.proto, in bytes unless said otherwise.
const (
	maxManifest   = 64 << 10
	maxEffects    = 256
	maxBody       = 64 << 10
	maxData       = 64 << 10
	maxCard       = 256 << 10
	maxAnnotation = 4 << 10
	maxKind       = 64
	maxSearchText = 64 << 10
	maxKey        = 256
	maxValue      = 256 << 10
	maxEvent      = 64
	maxEventData  = 16 << 10
	maxResult     = 64 << 10
	maxLogText    = 1 << 10
	maxTitle      = 256
	maxMembers    = 1000
	maxVouched    = 2000
)

var (
	namePattern    = regexp.MustCompile(`^[a-z0-9-]{1,32}$`)
	versionPattern = regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$`)
	actionPattern  = regexp.MustCompile(`^[a-z0-9.-]{1,32}$`)
	settingPattern = regexp.MustCompile(`^[a-z0-9.-]{1,64}$`)
)

// checker keeps the first rule that was broken.
type checker struct{ err error }

func (c *checker) must(ok bool, format string, args ...any) {
	if !ok && c.err == nil {
		c.err = fmt.Errorf(format, args...)
	}
}

func (c *checker) within(what string, size, limit int) {
	c.must(size <= limit, "%s: %d bytes, at most %d are allowed", what, size, limit)
}

// checkManifest checks the rules of plugin.proto about manifests.
func checkManifest(m *pluginpb.Manifest, bundled bool) error {
	c := &checker{}
	c.within("manifest", proto.Size(m), maxManifest)
	c.must(namePattern.MatchString(m.GetName()), "manifest.name: %q is not 1 to 32 of a-z, 0-9 and \"-\"", m.GetName())
	c.must(versionPattern.MatchString(m.GetVersion()), "manifest.version: %q is not a semantic version", m.GetVersion())
	c.must(m.GetApiVersion() == sdk.APIVersion, "manifest.api_version: %d, this is %d", m.GetApiVersion(), sdk.APIVersion)
	c.within("manifest.summary", len(m.GetSummary()), 200)
	once := map[string]bool{}
	unique := func(what, name string) {
		c.must(!once[what+name], "manifest.%s: %q is there twice", what, name)
		once[what+name] = true
	}
	for _, t := range m.GetPacketTypes() {
		unique("packet_types", t.GetName())
		c.typeName("manifest.packet_types", t.GetName(), bundled)
		c.must(t.GetMaxContent() <= packet.MaxContent, "manifest.packet_types: max_content of %s is %d, at most %d", t.GetName(), t.GetMaxContent(), packet.MaxContent)
	}
	for _, k := range m.GetMessageKinds() {
		unique("message_kinds", k.GetName())
		c.typeName("manifest.message_kinds", k.GetName(), bundled)
		_, known := pluginpb.Presentation_name[int32(k.GetPresentation())]
		c.must(known && k.GetPresentation() != 0, "manifest.message_kinds: presentation of %s is %d", k.GetName(), k.GetPresentation())
	}
	for _, topic := range m.GetTopics() {
		c.must(slices.Contains([]string{"presence", "link", "message"}, topic), "manifest.topics: there is no topic %q", topic)
	}
	for _, capability := range m.GetCapabilities() {
		_, known := pluginpb.Capability_name[int32(capability)]
		c.must(known && capability != 0, "manifest.capabilities: there is no %d", capability)
		c.must(bundled || capability != pluginpb.Capability_CAPABILITY_MEMBERS, "manifest.capabilities: CAPABILITY_MEMBERS is for bundled plugins")
	}
	for _, a := range m.GetActions() {
		unique("actions", a.GetName())
		c.must(actionPattern.MatchString(a.GetName()), "manifest.actions: %q is not 1 to 32 of a-z, 0-9, \".\" and \"-\"", a.GetName())
		c.within("manifest.actions: label of "+a.GetName(), len(a.GetLabel()), 64)
	}
	for _, s := range m.GetSettings() {
		unique("settings", s.GetName())
		c.must(settingPattern.MatchString(s.GetName()), "manifest.settings: %q is not 1 to 64 of a-z, 0-9, \".\" and \"-\"", s.GetName())
		_, known := pluginpb.SettingType_name[int32(s.GetType())]
		c.must(known && s.GetType() != 0, "manifest.settings: type of %s is %d", s.GetName(), s.GetType())
	}
	return c.err
}

func (c *checker) typeName(what, name string, bundled bool) {
	t, err := packet.ParseType(name)
	c.must(err == nil, "%s: %q is not well-formed", what, name)
	c.must(bundled || t.Foreign(), "%s: %q lacks a reverse-DNS prefix, as in org.example.poll/%s", what, name, name)
	c.must(!slices.Contains([]packet.Type{packet.TypeRequest, packet.TypeAccept, packet.TypeLeave}, t), "%s: %s is the core's own", what, name)
}

func actionOf(m *pluginpb.Manifest, name string) *pluginpb.Action {
	for _, a := range m.GetActions() {
		if a.GetName() == name {
			return a
		}
	}
	return nil
}

// checkEffects checks what can be checked of effects without looking at what is
// stored.
func checkEffects(m *pluginpb.Manifest, bundled bool, effects []*pluginpb.Effect) error {
	c := &checker{}
	c.must(len(effects) <= maxEffects, "%d effects, at most %d are allowed", len(effects), maxEffects)
	for i, e := range effects {
		if c.effect(m, bundled, e); c.err != nil {
			return fmt.Errorf("effects[%d]: %w", i, c.err)
		}
	}
	return c.err
}

func (c *checker) effect(m *pluginpb.Manifest, bundled bool, e *pluginpb.Effect) {
	switch e := e.GetEffect().(type) {
	case *pluginpb.Effect_AddMessage:
		c.addMessage(m, e.AddMessage)
	case *pluginpb.Effect_ChangeMessage:
		c.id("change_message.id", e.ChangeMessage.GetId())
		c.within("change_message.body", len(e.ChangeMessage.GetBody()), maxBody)
		c.within("change_message.data", len(e.ChangeMessage.GetData()), maxData)
		c.card(m, "change_message.card", e.ChangeMessage.GetCard())
		if of := e.ChangeMessage.GetHandled(); of != nil {
			c.must(len(of.GetContentHash()) == len(packet.Hash{}), "change_message.handled.content_hash has %d bytes", len(of.GetContentHash()))
		}
	case *pluginpb.Effect_SetCard:
		c.id("set_card.id", e.SetCard.GetId())
		c.card(m, "set_card.card", e.SetCard.GetCard())
	case *pluginpb.Effect_DeleteMessage:
		c.id("delete_message.id", e.DeleteMessage.GetId())
	case *pluginpb.Effect_DropContent:
		c.id("drop_content.id", e.DropContent.GetId())
	case *pluginpb.Effect_Annotate:
		c.id("annotate.message", e.Annotate.GetMessage())
		c.annotationKind(m, bundled, "annotate.kind", e.Annotate.GetKind())
		c.within("annotate.value", len(e.Annotate.GetValue()), maxAnnotation)
		c.within("annotate.search_text", len(e.Annotate.GetSearchText()), maxSearchText)
	case *pluginpb.Effect_RemoveAnnotation:
		c.id("remove_annotation.message", e.RemoveAnnotation.GetMessage())
		c.annotationKind(m, bundled, "remove_annotation.kind", e.RemoveAnnotation.GetKind())
	case *pluginpb.Effect_SendPacket:
		c.sendPacket(m, e.SendPacket)
	case *pluginpb.Effect_SetMembers:
		c.must(bundled && slices.Contains(m.GetCapabilities(), pluginpb.Capability_CAPABILITY_MEMBERS), "set_members needs CAPABILITY_MEMBERS")
		c.setMembers(e.SetMembers)
	case *pluginpb.Effect_PutValue:
		c.must(e.PutValue.GetKey() != "", "put_value.key is empty")
		c.within("put_value.key", len(e.PutValue.GetKey()), maxKey)
		c.within("put_value.value", len(e.PutValue.GetValue()), maxValue)
	case *pluginpb.Effect_PublishEvent:
		c.publish(m, e.PublishEvent)
	case *pluginpb.Effect_ShareBlob:
		c.blobID("share_blob.blob", e.ShareBlob.GetBlob())
		c.id("share_blob.message", e.ShareBlob.GetMessage())
	case *pluginpb.Effect_FetchBlob:
		c.fetchBlob(e.FetchBlob)
	case *pluginpb.Effect_SteerBlob:
		c.steerBlob(e.SteerBlob)
	default:
		c.must(false, "is none that API %d knows", sdk.APIVersion)
	}
}

func (c *checker) id(what string, b []byte) {
	_, err := packet.PacketIDFromBytes(b)
	c.must(err == nil, "%s: %d bytes that are no UUID, 16 are needed", what, len(b))
}

func (c *checker) addMessage(m *pluginpb.Manifest, e *pluginpb.AddMessage) {
	c.id("add_message.id", e.GetId())
	declared := slices.ContainsFunc(m.GetMessageKinds(), func(k *pluginpb.MessageKind) bool { return k.GetName() == e.GetKind() })
	c.must(declared, "add_message.kind: %q is not declared in the manifest", e.GetKind())
	c.within("add_message.body", len(e.GetBody()), maxBody)
	if len(e.GetReplyTo()) > 0 {
		c.id("add_message.reply_to", e.GetReplyTo())
	}
	c.within("add_message.data", len(e.GetData()), maxData)
	c.card(m, "add_message.card", e.GetCard())
	if of := e.GetHandled(); of != nil {
		c.must(len(of.GetContentHash()) == len(packet.Hash{}), "add_message.handled.content_hash has %d bytes", len(of.GetContentHash()))
		c.must(!e.GetLocal(), "add_message.local: a message of a packet is not local")
	}
}

func (c *checker) card(m *pluginpb.Manifest, what string, card *pluginpb.Card) {
	c.within(what, proto.Size(card), maxCard)
	for _, b := range card.GetButtons() {
		c.must(actionOf(m, b.GetAction()) != nil, "%s.buttons: action %q is not declared in the manifest", what, b.GetAction())
	}
}

// annotationKind: a kind belongs to a plugin by a prefix that it uses elsewhere
// too, or for bundled ones by having none.
func (c *checker) annotationKind(m *pluginpb.Manifest, bundled bool, what, kind string) {
	c.within(what, len(kind), maxKind)
	base, _, _ := strings.Cut(kind, "#")
	_, err := packet.ParseType(base)
	c.must(err == nil, "%s: %q is not an annotation kind", what, kind)
	prefix, _, foreign := strings.Cut(base, "/")
	own := bundled && !foreign
	for _, t := range m.GetPacketTypes() {
		own = own || foreign && strings.HasPrefix(t.GetName(), prefix+"/")
	}
	for _, k := range m.GetMessageKinds() {
		own = own || foreign && strings.HasPrefix(k.GetName(), prefix+"/")
	}
	c.must(own, "%s: %q needs the prefix of a packet type or message kind of the manifest", what, kind)
}

func (c *checker) sendPacket(m *pluginpb.Manifest, e *pluginpb.SendPacket) {
	if len(e.GetId()) > 0 {
		c.id("send_packet.id", e.GetId())
	}
	declared := slices.ContainsFunc(m.GetPacketTypes(), func(t *pluginpb.PacketType) bool { return t.GetName() == e.GetType() })
	c.must(declared, "send_packet.type: %q is not declared in the manifest", e.GetType())
	c.within("send_packet.content", len(e.GetContent()), packet.MaxContent)
	c.must(e.GetEphemeral() || len(e.GetTo()) == 0, "send_packet.to is for ephemeral packets")
	c.must(!e.GetEphemeral() || !e.GetHandle(), "send_packet.handle is for packets that are not ephemeral")
}

func (c *checker) setMembers(e *pluginpb.SetMembers) {
	chat, err := packet.ParseChatID(e.GetChat())
	c.must(err == nil && chat.Kind() != packet.Direct, "set_members.chat: %q is not the chat of a group", e.GetChat())
	c.must(e.GetVersion() > 0 && e.GetVersion() < 1<<62, "set_members.version: %d", e.GetVersion())
	c.within("set_members.title", len(e.GetTitle()), maxTitle)
	c.must(len(e.GetMembers()) <= maxMembers, "set_members.members: %d, at most %d are allowed", len(e.GetMembers()), maxMembers)
	seen := map[string]bool{}
	for _, user := range e.GetMembers() {
		_, err := packet.ParseUserID(user)
		c.must(err == nil && !seen[user], "set_members.members: %q is there twice, or no user id", user)
		seen[user] = true
	}
	for _, user := range e.GetInvited() {
		c.must(seen[user], "set_members.invited: %q is no member, or there twice", user)
		delete(seen, user)
	}
	c.must(pluginpb.History_name[int32(e.GetHistory())] != "", "set_members.history: %d", e.GetHistory())
	c.must(len(e.GetCutoffs()) <= 4*maxMembers, "set_members.cutoffs: %d, at most %d are allowed", len(e.GetCutoffs()), 4*maxMembers)
	for _, cut := range e.GetCutoffs() {
		_, err := packet.ParseUserID(cut.GetUser())
		c.must(err == nil, "set_members.cutoffs.user: %q is no user id", cut.GetUser())
		c.must(len(cut.GetDevice()) == len(packet.DeviceID{}), "set_members.cutoffs.device: %d bytes, 20 are needed", len(cut.GetDevice()))
		c.must(cut.GetEpoch() > 0 && cut.GetEpoch() < 1<<62 && cut.GetNumber() < 1<<62, "set_members.cutoffs: a counter out of range")
		log := string(cut.GetDevice()) + fmt.Sprint(cut.GetEpoch())
		c.must(!seen[log], "set_members.cutoffs: epoch %d of the device %x is there twice", cut.GetEpoch(), cut.GetDevice())
		seen[log] = true
	}
	c.must(len(e.GetVouched()) <= maxVouched, "set_members.vouched: %d, at most %d are allowed", len(e.GetVouched()), maxVouched)
	for _, k := range e.GetVouched() {
		_, err := packet.ParseUserID(k.GetUser())
		c.must(err == nil && len(k.GetKey()) == ed25519.PublicKeySize, "set_members.vouched: a key of %d bytes of %q", len(k.GetKey()), k.GetUser())
	}
}

func (c *checker) publish(m *pluginpb.Manifest, e *pluginpb.PublishEvent) {
	name, own := strings.CutPrefix(e.GetName(), m.GetName()+".")
	c.must(e.GetName() == "typing" || own && name != "", "publish_event.name: %q is neither \"typing\" nor \"%s.<event>\"", e.GetName(), m.GetName())
	c.within("publish_event.name", len(e.GetName()), maxEvent)
	c.within("publish_event.data", len(e.GetData()), maxEventData)
}
