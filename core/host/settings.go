package host

import (
	"context"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// Hidden stands for a secret that is set, where settings are shown.
const Hidden = "********"

// settingSpace is the store's namespace of a plugin's settings.
func settingSpace(plugin string) string { return "settings:" + plugin }

// settingsOf gives all settings of a plugin, defaults filled in. What is stored
// and does not fit the schema any more counts as not set.
func (h *Host) settingsOf(ctx context.Context, name string, m *pluginpb.Manifest) (map[string]string, error) {
	values := map[string]string{}
	err := h.cfg.Store.View(ctx, func(tx store.ReadTx) error {
		stored, err := tx.Values(settingSpace(name), "", 0)
		if err != nil {
			return err
		}
		for _, s := range m.GetSettings() {
			values[s.GetName()] = s.GetDefaultValue()
			i := slices.IndexFunc(stored, func(v store.Value) bool { return v.Key == s.GetName() })
			if i >= 0 && checkSetting(s, string(stored[i].Bytes)) == nil {
				values[s.GetName()] = string(stored[i].Bytes)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("settings of plugin %s: %w", name, err)
	}
	return values, nil
}

// Settings gives a plugin's settings with their schema, for people: a secret
// that is set is given as Hidden. ErrNoPlugin, ErrUnavailable (its manifest is
// not known yet).
func (h *Host) Settings(ctx context.Context, name string) ([]*pluginpb.Setting, map[string]string, error) {
	_, m, err := h.described(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	values, err := h.settingsOf(ctx, name, m)
	if err != nil {
		return nil, nil, err
	}
	var schema []*pluginpb.Setting
	for _, s := range m.GetSettings() {
		schema = append(schema, proto.CloneOf(s))
		if s.GetType() == pluginpb.SettingType_SETTING_TYPE_SECRET && values[s.GetName()] != "" {
			values[s.GetName()] = Hidden
		}
	}
	return schema, values, nil
}

// described gives a plugin with its manifest; one of which that is not known yet
// is started, to say it.
func (h *Host) described(ctx context.Context, name string) (*plugin, *pluginpb.Manifest, error) {
	p, err := h.find(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	if m := p.known(); m != nil {
		return p, m, nil
	}
	if err := h.awaitService(ctx); err != nil {
		return nil, nil, err
	}
	if _, err := p.ready(ctx); err != nil {
		return nil, nil, err
	}
	if m := p.known(); m != nil {
		return p, m, nil
	}
	return nil, nil, fmt.Errorf("plugin %s: %w: its file was exchanged just now", name, ErrUnavailable)
}

// known gives the manifest of the file that is there now, nil when it is not
// known yet.
func (p *plugin) known() *pluginpb.Manifest {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.checked {
		return nil
	}
	return p.manifest
}

// SetSetting sets a setting; an empty value goes back to the default. A running
// plugin hears of it. ErrNoPlugin, ErrNoSetting, ErrInvalid, ErrUnavailable.
func (h *Host) SetSetting(ctx context.Context, plugin, name, value string) error {
	p, m, err := h.described(ctx, plugin)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(m.GetSettings(), func(s *pluginpb.Setting) bool { return s.GetName() == name })
	if i < 0 {
		return fmt.Errorf("plugin %s, setting %.70q: %w", plugin, name, ErrNoSetting)
	}
	var stored []byte
	if value != "" {
		if err := checkSetting(m.GetSettings()[i], value); err != nil {
			return fmt.Errorf("plugin %s, setting %s: %w", plugin, name, err)
		}
		stored = []byte(value)
	}
	err = h.cfg.Store.Update(ctx, store.Synced, func(tx store.Tx) error {
		return tx.PutValue(settingSpace(plugin), name, stored)
	})
	if err != nil {
		return fmt.Errorf("keep setting %s of plugin %s: %w", name, plugin, err)
	}
	bus.Publish(h.cfg.Bus, bus.SettingsChanged, plugin)
	values, err := h.settingsOf(ctx, plugin, m)
	if err != nil {
		return err
	}
	p.hearEvent("", &pluginpb.Event{Topic: topicSettings, Event: &pluginpb.Event_Settings{
		Settings: &pluginpb.SettingsChanged{Settings: values},
	}}, false)
	return nil
}
