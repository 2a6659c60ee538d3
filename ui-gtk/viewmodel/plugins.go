package viewmodel

import (
	"context"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// Plugins are the plugins that the core found.
type Plugins struct {
	session *Session

	// Rows are all of them, by name.
	Rows List[PluginRow]
}

// PluginRow is a plugin as a list shows it.
type PluginRow struct{ Plugin *controlpb.Plugin }

// RowKey implements Row.
func (r PluginRow) RowKey() string { return r.Plugin.GetName() }

// Same implements Row.
func (r PluginRow) Same(o PluginRow) bool { return proto.Equal(r.Plugin, o.Plugin) }

func newPlugins(s *Session) *Plugins { return &Plugins{session: s} }

// Get gives a plugin, or nil. It must not be changed.
func (p *Plugins) Get(name string) *controlpb.Plugin {
	if i := p.Rows.Index(name); i >= 0 {
		return p.Rows.At(i).Plugin
	}
	return nil
}

// PluginAction is an action with the plugin whose it is.
type PluginAction struct {
	Plugin string
	Action *pluginpb.Action
}

// Actions gives the actions that enabled plugins offer in a place; on a message,
// those for its kind.
func (p *Plugins) Actions(place pluginpb.Place, kind string) []PluginAction {
	var list []PluginAction
	for _, r := range p.Rows.Rows() {
		switch r.Plugin.GetState() {
		case controlpb.PluginState_PLUGIN_STATE_IDLE, controlpb.PluginState_PLUGIN_STATE_RUNNING, controlpb.PluginState_PLUGIN_STATE_BACKOFF:
		default:
			continue
		}
		for _, a := range r.Plugin.GetManifest().GetActions() {
			if !slices.Contains(a.GetPlaces(), place) {
				continue
			}
			if kind != "" && len(a.GetMessageKinds()) > 0 && !slices.Contains(a.GetMessageKinds(), kind) {
				continue
			}
			list = append(list, PluginAction{Plugin: r.Plugin.GetName(), Action: a})
		}
	}
	return list
}

func (p *Plugins) load(all []*controlpb.Plugin) {
	rows := make([]PluginRow, 0, len(all))
	for _, x := range all {
		rows = append(rows, PluginRow{x})
	}
	p.arrange(rows)
}

func (p *Plugins) arrange(rows []PluginRow) {
	slices.SortFunc(rows, func(a, b PluginRow) int { return strings.Compare(a.RowKey(), b.RowKey()) })
	p.Rows.set(rows)
}

func (p *Plugins) handle(batch []*controlpb.Event) {
	var rows []PluginRow
	for _, e := range batch {
		x := e.GetPlugin()
		if x == nil {
			continue
		}
		if rows == nil {
			rows = slices.Clone(p.Rows.Rows())
		}
		if i := slices.IndexFunc(rows, func(r PluginRow) bool { return r.RowKey() == x.GetName() }); i >= 0 {
			rows[i] = PluginRow{x}
		} else {
			rows = append(rows, PluginRow{x})
		}
	}
	if rows != nil {
		p.arrange(rows)
	}
}

// followEvery is how often what changes by itself is read anew.
const followEvery = 2 * time.Second

// Follow reads processor time and memory every now and then, until stop is called.
func (p *Plugins) Follow() (stop func()) {
	stopped := false
	stopTimer := func() {}
	var refresh func()
	refresh = func() {
		var all []*controlpb.Plugin
		p.session.call(func(ctx context.Context, core Core) error {
			resp, err := core.ListPlugins(ctx, &controlpb.ListPluginsRequest{})
			all = resp.GetPlugins()
			return err
		}, func(err error) {
			if stopped {
				return
			}
			if err == nil {
				p.load(all)
			}
			stopTimer = p.session.cfg.After(followEvery, refresh)
		})
	}
	refresh()
	return func() { stopped = true; stopTimer() }
}

// Enable enables the file with the hash that was shown, or disables the plugin.
func (p *Plugins) Enable(name string, enable bool, sha256 string) {
	p.session.ask(func(ctx context.Context, core Core) error {
		_, err := core.SetPlugin(ctx, &controlpb.SetPluginRequest{Name: name, Enabled: enable, Sha256: sha256})
		return err
	})
}

// Restart stops the plugin's process, which starts again when needed.
func (p *Plugins) Restart(name string) {
	p.session.ask(func(ctx context.Context, core Core) error {
		_, err := core.RestartPlugin(ctx, &controlpb.RestartPluginRequest{Name: name})
		return err
	})
}
