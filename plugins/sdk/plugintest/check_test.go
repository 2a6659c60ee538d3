package plugintest

import (
	"strings"
	"testing"

	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

func TestCheckManifest(t *testing.T) {
	for _, c := range []struct {
		name    string
		bundled bool
		change  func(m *pluginpb.Manifest)
		says    string // empty: is fine
	}{
		{"good", false, func(*pluginpb.Manifest) {}, ""},
		{"bundled", true, func(m *pluginpb.Manifest) { m.PacketTypes = []*pluginpb.PacketType{{Name: "poll"}} }, ""},
		{"no prefix", false, func(m *pluginpb.Manifest) { m.PacketTypes = []*pluginpb.PacketType{{Name: "poll"}} }, "prefix"},
		{"the core's type", true, func(m *pluginpb.Manifest) { m.PacketTypes = []*pluginpb.PacketType{{Name: string(packet.TypeLeave)}} }, "core's"},
		{"type twice", false, func(m *pluginpb.Manifest) { m.PacketTypes = append(m.PacketTypes, m.GetPacketTypes()...) }, "twice"},
		{"too much content", false, func(m *pluginpb.Manifest) { m.PacketTypes[0].MaxContent = 1 << 20 }, "at most"},
		{"name", false, func(m *pluginpb.Manifest) { m.Name = "Poll!" }, "manifest.name"},
		{"version", false, func(m *pluginpb.Manifest) { m.Version = "1" }, "semantic"},
		{"API", false, func(m *pluginpb.Manifest) { m.ApiVersion = 2 }, "api_version"},
		{"summary", false, func(m *pluginpb.Manifest) { m.Summary = strings.Repeat("x", 201) }, "at most 200"},
		{"presentation", false, func(m *pluginpb.Manifest) { m.MessageKinds[0].Presentation = 0 }, "presentation"},
		{"topic", false, func(m *pluginpb.Manifest) { m.Topics = []string{"weather"} }, "weather"},
		{"capability", false, func(m *pluginpb.Manifest) { m.Capabilities = []pluginpb.Capability{99} }, "99"},
		{"members", false, func(m *pluginpb.Manifest) {
			m.Capabilities = []pluginpb.Capability{pluginpb.Capability_CAPABILITY_MEMBERS}
		}, "bundled"},
		{"action", false, func(m *pluginpb.Manifest) { m.Actions = []*pluginpb.Action{{Name: "do it"}} }, "do it"},
		{"setting", false, func(m *pluginpb.Manifest) { m.Settings = []*pluginpb.Setting{{Name: "x"}} }, "type of x"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := &pluginpb.Manifest{
				Name: "poll", Version: "1.0.0-rc.1+5", ApiVersion: 1,
				PacketTypes:  []*pluginpb.PacketType{{Name: "org.example.poll/vote"}},
				MessageKinds: []*pluginpb.MessageKind{{Name: "org.example.poll/poll", Presentation: pluginpb.Presentation_PRESENTATION_CARD}},
			}
			c.change(m)
			err := checkManifest(m, c.bundled)
			if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %q", err, c.says)
			}
		})
	}
}
