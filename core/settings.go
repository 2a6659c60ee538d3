package core

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/internal/failure"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// settingsSpace is the store's namespace of the core's own settings.
const settingsSpace = "settings"

// Names of the core's settings.
const (
	settingReceipts = "privacy.receipts"
	settingLanguage = "language"
	settingUpload   = "files.upload-limit"
	settingDownload = "files.download-limit"
)

var settings = []*pluginpb.Setting{
	{
		Name: settingReceipts, Type: pluginpb.SettingType_SETTING_TYPE_BOOL, DefaultValue: "true",
		Label: "Read receipts", Description: "Tell others how far you have read.",
	},
	{
		Name: settingLanguage, Type: pluginpb.SettingType_SETTING_TYPE_CHOICE, DefaultValue: "en", Choices: []string{"en", "zh-Hans"},
		Label: "Language", Description: "Language of what Parley and its plugins say.",
	},
	{
		Name: settingUpload, Type: pluginpb.SettingType_SETTING_TYPE_INT, DefaultValue: "0", Max: maxLimit,
		Label: "Upload limit", Description: "KiB a second that files may take on the way out, at least 16; 0 is no limit.",
	},
	{
		Name: settingDownload, Type: pluginpb.SettingType_SETTING_TYPE_INT, DefaultValue: "0", Max: maxLimit,
		Label: "Download limit", Description: "KiB a second that files may take on the way in, at least 16; 0 is no limit.",
	},
}

// ErrSetting says that there is no such setting, or that it cannot have that
// value.
var ErrSetting = errors.New("setting cannot be set")

// Settings implements control.Core.
func (f facade) Settings(ctx context.Context) (*controlpb.Settings, error) {
	s, err := f.current()
	if err != nil {
		return nil, err
	}
	result := &controlpb.Settings{Schema: settings, Values: map[string]string{}}
	err = s.store.View(ctx, func(tx store.ReadTx) error {
		for _, def := range settings {
			if result.Values[def.GetName()], err = settingValue(tx, def.GetName()); err != nil {
				return err
			}
		}
		return nil
	})
	return result, err
}

// SetSetting implements control.Core.
func (f facade) SetSetting(ctx context.Context, name, value string) error {
	s, err := f.current()
	if err != nil {
		return err
	}
	def := settingDefinition(name)
	if def == nil {
		return fmt.Errorf("there is no setting %.70q; those there are: parley settings: %w", name, ErrSetting)
	}
	if err := checkSetting(def, value); err != nil {
		return err
	}
	err = s.store.Update(ctx, store.Synced, func(tx store.Tx) error {
		if value == "" {
			return tx.PutValue(settingsSpace, name, nil)
		}
		return tx.PutValue(settingsSpace, name, []byte(value))
	})
	if err != nil {
		return err
	}
	bus.Publish(f.bus, bus.SettingsChanged, "")
	return nil
}

func settingDefinition(name string) *pluginpb.Setting {
	for _, def := range settings {
		if def.GetName() == name {
			return def
		}
	}
	return nil
}

// Bounds of the limits of transfers in KiB a second. Below the lower one a
// stream would look dead.
const (
	minLimit = 16
	maxLimit = 1 << 30
)

func checkSetting(def *pluginpb.Setting, value string) error {
	if value != "" && def.GetType() == pluginpb.SettingType_SETTING_TYPE_INT {
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil || n != 0 && n < minLimit || n > def.GetMax() {
			return failure.New(ErrSetting, "%s is 0 or a number from %d to %d, not %.70q", def.GetName(), minLimit, def.GetMax(), value).
				Because("SETTING_RANGE", "min", minLimit, "max", def.GetMax())
		}
		return nil
	}
	choices := def.GetChoices()
	if def.GetType() == pluginpb.SettingType_SETTING_TYPE_BOOL {
		choices = []string{"true", "false"}
	}
	if value != "" && !slices.Contains(choices, value) {
		return fmt.Errorf("%s is one of %q, not %.70q: %w", def.GetName(), choices, value, ErrSetting)
	}
	return nil
}

// settingValue gives a setting as it counts now.
func settingValue(tx store.ReadTx, name string) (string, error) {
	b, err := tx.Value(settingsSpace, name)
	if errors.Is(err, store.ErrNotFound) {
		return settingDefinition(name).GetDefaultValue(), nil
	}
	return string(b), err
}
