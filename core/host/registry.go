package host

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// registry says who owns what. It is made anew whenever a manifest becomes
// known or trust changes, and never changed.
type registry struct {
	types    map[packet.Type]owned
	kinds    map[string]kind
	commands map[string]string // slash command -> plugin
}

type owned struct {
	plugin    string
	max       int
	opensChat bool
}

type kind struct {
	plugin       string
	presentation pluginpb.Presentation
	notifies     bool
}

// claim is what a plugin that may run asks to own.
type claim struct {
	name      string
	bundled   bool
	enabledAt int64
	manifest  *pluginpb.Manifest
}

// settle gives each type and kind one owner: a bundled plugin before another,
// then the one that was enabled first. Who loses gets nothing, and a reason.
func settle(claims []claim) (*registry, map[string]string) {
	claims = slices.Clone(claims)
	slices.SortFunc(claims, func(a, b claim) int {
		if a.bundled != b.bundled {
			if a.bundled {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(a.enabledAt, b.enabledAt), cmp.Compare(a.name, b.name))
	})
	r := &registry{types: map[packet.Type]owned{}, kinds: map[string]kind{}, commands: map[string]string{}}
	losers := map[string]string{}
	for _, c := range claims {
		if reason := r.conflict(c.manifest); reason != "" {
			losers[c.name] = reason
			continue
		}
		r.add(c)
	}
	return r, losers
}

func (r *registry) conflict(m *pluginpb.Manifest) string {
	for _, t := range m.GetPacketTypes() {
		if o, ok := r.types[packet.Type(t.GetName())]; ok {
			return fmt.Sprintf("packets of type %s belong to the plugin %s: disable one of the two", t.GetName(), o.plugin)
		}
	}
	for _, k := range m.GetMessageKinds() {
		if o, ok := r.kinds[k.GetName()]; ok {
			return fmt.Sprintf("messages of kind %s belong to the plugin %s: disable one of the two", k.GetName(), o.plugin)
		}
	}
	return ""
}

func (r *registry) add(c claim) {
	for _, t := range c.manifest.GetPacketTypes() {
		limit := int(t.GetMaxContent())
		if limit == 0 {
			limit = packet.MaxContent
		}
		r.types[packet.Type(t.GetName())] = owned{plugin: c.name, max: limit, opensChat: t.GetOpensChat()}
	}
	for _, k := range c.manifest.GetMessageKinds() {
		r.kinds[k.GetName()] = kind{plugin: c.name, presentation: k.GetPresentation(), notifies: k.GetNotifies()}
	}
	for _, a := range c.manifest.GetActions() {
		if _, taken := r.commands[a.GetName()]; !taken && slices.Contains(a.GetPlaces(), pluginpb.Place_PLACE_SLASH_COMMAND) {
			r.commands[a.GetName()] = c.name
		}
	}
}
