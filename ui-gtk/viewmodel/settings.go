package viewmodel

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// Settings are what the core, or one plugin, can be set to.
type Settings struct {
	session *Session
	plugin  string // empty: the core
	// problems say why what was set last was not taken, by setting.
	problems map[string]string

	Rows List[SettingRow]
	// Problem says why they could not be read, for people; empty when they were.
	Problem Value[string]
}

// SettingRow is one setting.
type SettingRow struct {
	Setting *pluginpb.Setting
	// Value as it is now, the default filled in. What was just set and is on its
	// way counts already.
	Value string
	// Label and Description in the language, when it is known.
	Label, Description string
	// Problem says why what was set last was not taken.
	Problem string
}

// RowKey implements Row.
func (r SettingRow) RowKey() string { return r.Setting.GetName() }

// Same implements Row.
func (r SettingRow) Same(o SettingRow) bool {
	return r.Value == o.Value && r.Problem == o.Problem && r.Label == o.Label && r.Description == o.Description && proto.Equal(r.Setting, o.Setting)
}

// SettingsOf makes the settings of a plugin, or of the core when plugin is empty,
// and reads them.
func (s *Session) SettingsOf(plugin string) *Settings {
	x := &Settings{session: s, plugin: plugin, problems: map[string]string{}}
	x.Load()
	return x
}

// Load reads them anew.
func (x *Settings) Load() {
	var resp *controlpb.Settings
	x.session.call(func(ctx context.Context, core Core) (err error) {
		resp, err = core.GetSettings(ctx, &controlpb.GetSettingsRequest{Plugin: x.plugin})
		return err
	}, func(err error) {
		if err != nil {
			x.Problem.set(x.session.Sentence(err))
			return
		}
		x.Problem.set("")
		x.Rows.set(x.rows(resp))
	})
}

func (x *Settings) rows(settings *controlpb.Settings) []SettingRow {
	rows := make([]SettingRow, 0, len(settings.GetSchema()))
	for _, s := range settings.GetSchema() {
		value, ok := settings.GetValues()[s.GetName()]
		if !ok {
			value = s.GetDefaultValue()
		}
		r := SettingRow{Setting: s, Value: value, Problem: x.problems[s.GetName()], Label: x.session.Label(s.GetLabel()), Description: x.session.Label(s.GetDescription())}
		if r.Label == "" {
			r.Label = s.GetName()
		}
		rows = append(rows, r)
	}
	return rows
}

// Set sets one; empty goes back to the default. What the core does not take is
// told in the row, beside the value that holds.
func (x *Settings) Set(name, value string) {
	i := x.Rows.Index(name)
	if i < 0 || x.Rows.At(i).Value == value && value != "" {
		return
	}
	row := x.Rows.At(i)
	if problem := x.check(row.Setting, value); problem != "" {
		x.problems[name] = problem
		row.Problem = problem
		x.replace(row)
		return
	}
	delete(x.problems, name)
	row.Value, row.Problem = value, ""
	x.replace(row)
	var resp *controlpb.Settings
	x.session.call(func(ctx context.Context, core Core) (err error) {
		resp, err = core.SetSetting(ctx, &controlpb.SetSettingRequest{Plugin: x.plugin, Name: name, Value: value})
		return err
	}, func(err error) {
		if err == nil {
			x.Rows.set(x.rows(resp))
			return
		}
		x.problems[name] = x.session.Sentence(err)
		x.Load() // what holds, the core knows
	})
}

// check says what is wrong with a value before the core is asked.
func (x *Settings) check(s *pluginpb.Setting, value string) string {
	if value == "" || s.GetType() != pluginpb.SettingType_SETTING_TYPE_INT {
		return ""
	}
	t := x.session.Texts()
	n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
	if err != nil {
		return t.T("This must be a whole number.")
	}
	if s.GetMin() == 0 && s.GetMax() == 0 || n >= s.GetMin() && n <= s.GetMax() {
		return ""
	}
	return t.F("This must be from %[1]d to %[2]d.", s.GetMin(), s.GetMax())
}

func (x *Settings) replace(row SettingRow) {
	rows := append([]SettingRow(nil), x.Rows.Rows()...)
	for i := range rows {
		if rows[i].RowKey() == row.RowKey() {
			rows[i] = row
		}
	}
	x.Rows.set(rows)
}

// PluginView is how a plugin is, in words.
type PluginView struct {
	State string
	// Problem is why it does not run, or what to know before it is enabled.
	Problem string
	// Use is its processor time and memory, empty while it does not run.
	Use string
	// Enabled is where the switch stands, CanSwitch whether it may be moved.
	Enabled, CanSwitch bool
	// NeedsTrust says that enabling it is a decision about its file.
	NeedsTrust bool
	// Capabilities it asks for, in words.
	Capabilities []string
}

// PluginView tells of a plugin.
func (s *Session) PluginView(p *controlpb.Plugin) PluginView {
	t := s.Texts()
	v := PluginView{CanSwitch: true}
	switch p.GetState() {
	case controlpb.PluginState_PLUGIN_STATE_NEW:
		v.State, v.NeedsTrust = t.T("Not enabled yet"), true
	case controlpb.PluginState_PLUGIN_STATE_CHANGED:
		v.State, v.NeedsTrust = t.T("Its file has changed"), true
		v.Problem = t.T("The file is not the one that you enabled. Enable it again only if you know why.")
	case controlpb.PluginState_PLUGIN_STATE_DISABLED:
		v.State = t.T("Disabled")
		v.NeedsTrust = !p.GetBundled()
	case controlpb.PluginState_PLUGIN_STATE_IDLE:
		v.State, v.Enabled = t.T("Starts when needed"), true
	case controlpb.PluginState_PLUGIN_STATE_RUNNING:
		v.State, v.Enabled = t.T("Running"), true
	case controlpb.PluginState_PLUGIN_STATE_BACKOFF:
		v.State, v.Enabled = t.T("Has crashed and will start again"), true
	case controlpb.PluginState_PLUGIN_STATE_BROKEN:
		v.State, v.Enabled = t.T("Does not work"), true
	default:
		v.State, v.CanSwitch = t.T("Unknown"), false
	}
	if p.GetError() != "" {
		v.Problem = p.GetError()
	}
	if v.NeedsTrust && !p.GetConfined() && v.Problem == "" {
		v.Problem = t.T("It would run without a sandbox, and could read all your files.")
	}
	if p.GetProcessId() != 0 {
		// Translators: processor time in seconds, and memory.
		v.Use = t.F("%[1]s s of processor time, %[2]s", fmt.Sprintf("%.1f", float64(p.GetCpuTime())/1e6), t.Size(uint64(max(0, p.GetResident())))) //nolint:gosec // not negative
	}
	names := map[pluginpb.Capability]string{
		pluginpb.Capability_CAPABILITY_NETWORK:    t.T("the network"),
		pluginpb.Capability_CAPABILITY_FILES:      t.T("files that you choose"),
		pluginpb.Capability_CAPABILITY_MICROPHONE: t.T("the microphone"),
		pluginpb.Capability_CAPABILITY_CAMERA:     t.T("the camera"),
		pluginpb.Capability_CAPABILITY_HISTORY:    t.T("all messages"),
		pluginpb.Capability_CAPABILITY_CLIPBOARD:  t.T("the clipboard"),
		pluginpb.Capability_CAPABILITY_MEMBERS:    t.T("the members of groups"),
	}
	for _, c := range p.GetManifest().GetCapabilities() {
		if name := names[c]; name != "" {
			v.Capabilities = append(v.Capabilities, name)
		}
	}
	return v
}
