package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-chat/parley/core/client"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

func (a *app) pluginsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "plugins",
		Short: "List plugins, or enable and disable them",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withCore(cmd, a.listPlugins)
		},
	}
	var hash string
	enable := a.pluginAction("enable NAME", "Trust and use a plugin, as its file is now",
		func(ctx context.Context, c *client.Client, name string) (*controlpb.Plugin, error) {
			return c.SetPlugin(ctx, &controlpb.SetPluginRequest{Name: name, Enabled: true, Sha256: hash})
		})
	enable.Flags().StringVar(&hash, "sha256", "", "only if the file has this `HASH`")
	cmd.AddCommand(enable,
		a.pluginAction("disable NAME", "Stop a plugin and do not start it again",
			func(ctx context.Context, c *client.Client, name string) (*controlpb.Plugin, error) {
				return c.SetPlugin(ctx, &controlpb.SetPluginRequest{Name: name})
			}),
		a.pluginAction("restart NAME", "Stop a plugin; it starts again when needed",
			func(ctx context.Context, c *client.Client, name string) (*controlpb.Plugin, error) {
				return c.RestartPlugin(ctx, &controlpb.RestartPluginRequest{Name: name})
			}))
	return cmd
}

func (a *app) pluginAction(use, short string, act func(ctx context.Context, c *client.Client, name string) (*controlpb.Plugin, error)) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: needArgs(1, 1), ValidArgsFunction: a.pluginNames(),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withCore(cmd, func(ctx context.Context, c *client.Client) error {
				p, err := act(ctx, c, args[0])
				if err != nil {
					return err
				}
				return a.done(pluginJSON(p), "%s is %s.", p.GetName(), pluginWord(p.GetState()))
			})
		},
	}
}

func (a *app) listPlugins(ctx context.Context, c *client.Client) error {
	resp, err := c.ListPlugins(ctx, &controlpb.ListPluginsRequest{})
	if err != nil {
		return err
	}
	if len(resp.GetPlugins()) == 0 && !a.json {
		folders, err := client.FoldersOf(a.profile)
		if err != nil {
			return err
		}
		a.printf("No plugins found. Parley's own come with the installation; others go into %s\n", folders.Plugins)
		return nil
	}
	rows := [][]string{{"NAME", "VERSION", "STATE", "CPU", "MEMORY", "CRASHES", "WHERE", "NOTE"}}
	for _, p := range resp.GetPlugins() {
		if a.json {
			if err := a.object(pluginJSON(p)); err != nil {
				return err
			}
			continue
		}
		rows = append(rows, pluginRow(p))
	}
	if !a.json {
		a.table(rows)
	}
	return nil
}

func pluginRow(p *controlpb.Plugin) []string {
	cpu, memory := "-", "-"
	if p.GetProcessId() > 0 {
		cpu = (time.Duration(p.GetCpuTime()) * time.Microsecond).Round(10 * time.Millisecond).String()
		memory = fmt.Sprintf("%.1f MB", float64(p.GetResident())/1e6)
	}
	where := "dropped in"
	if p.GetBundled() {
		where = "bundled"
	} else if !p.GetConfined() {
		where += ", not confined"
	}
	var notes []string
	switch n := p.GetSetAside(); n {
	case 0:
	case 1:
		notes = append(notes, "1 message set aside")
	default:
		notes = append(notes, fmt.Sprintf("%d messages set aside", n))
	}
	if p.GetError() != "" {
		notes = append(notes, client.PrintableLine(p.GetError()))
	}
	if s := p.GetState(); s == controlpb.PluginState_PLUGIN_STATE_NEW || s == controlpb.PluginState_PLUGIN_STATE_CHANGED {
		notes = append(notes, "to use it: parley plugins enable "+p.GetName())
	}
	return []string{
		p.GetName(), orDash(p.GetManifest().GetVersion()), pluginWord(p.GetState()), cpu, memory, fmt.Sprint(p.GetCrashes()), where, strings.Join(notes, "; "),
	}
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return client.PrintableLine(s)
}

func pluginWord(s controlpb.PluginState) string {
	switch s {
	case controlpb.PluginState_PLUGIN_STATE_NEW:
		return "new"
	case controlpb.PluginState_PLUGIN_STATE_DISABLED:
		return "disabled"
	case controlpb.PluginState_PLUGIN_STATE_CHANGED:
		return "changed"
	case controlpb.PluginState_PLUGIN_STATE_IDLE:
		return "idle"
	case controlpb.PluginState_PLUGIN_STATE_RUNNING:
		return "running"
	case controlpb.PluginState_PLUGIN_STATE_BACKOFF:
		return "crashed, restarting"
	case controlpb.PluginState_PLUGIN_STATE_BROKEN:
		return "broken"
	default:
		return "unknown"
	}
}

type jsonPlugin struct {
	Name     string  `json:"name"`
	State    string  `json:"state"`
	Version  string  `json:"version,omitempty"`
	Path     string  `json:"path"`
	Bundled  bool    `json:"bundled"`
	Confined bool    `json:"confined"`
	SHA256   string  `json:"sha256"`
	PID      int64   `json:"pid,omitempty"`
	CPU      float64 `json:"cpu_seconds,omitempty"`
	Memory   int64   `json:"memory_bytes,omitempty"`
	Crashes  uint32  `json:"crashes"`
	SetAside uint32  `json:"set_aside"`
	Error    string  `json:"error,omitempty"`
}

func pluginJSON(p *controlpb.Plugin) jsonPlugin {
	return jsonPlugin{
		Name: p.GetName(), State: pluginWord(p.GetState()), Version: p.GetManifest().GetVersion(), Path: p.GetPath(), Bundled: p.GetBundled(),
		Confined: p.GetConfined(), SHA256: p.GetSha256(), PID: p.GetProcessId(), CPU: float64(p.GetCpuTime()) / 1e6, Memory: p.GetResident(),
		Crashes: p.GetCrashes(), SetAside: p.GetSetAside(), Error: p.GetError(),
	}
}

func (a *app) settingsCommand() *cobra.Command {
	var plugin string
	cmd := &cobra.Command{
		Use:   "settings",
		Short: "Show settings, or set one",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withCore(cmd, func(ctx context.Context, c *client.Client) error {
				s, err := c.GetSettings(ctx, &controlpb.GetSettingsRequest{Plugin: plugin})
				if err != nil {
					return err
				}
				return a.printSettings(s)
			})
		},
	}
	cmd.PersistentFlags().StringVar(&plugin, "plugin", "", "those of the plugin `NAME`")
	cmd.AddCommand(&cobra.Command{
		Use: "set NAME [VALUE]", Short: "Set one; without VALUE go back to its default", Args: needArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withCore(cmd, func(ctx context.Context, c *client.Client) error {
				s, err := c.SetSetting(ctx, &controlpb.SetSettingRequest{Plugin: plugin, Name: args[0], Value: strings.Join(args[1:], "")})
				if err != nil {
					return err
				}
				return a.done(map[string]any{"name": args[0], "value": shownValue(s, args[0])}, "%s is %q.", args[0], shownValue(s, args[0]))
			})
		},
	})
	return cmd
}

// shownValue hides secrets.
func shownValue(s *controlpb.Settings, name string) string {
	for _, def := range s.GetSchema() {
		if def.GetName() == name && def.GetType() == pluginpb.SettingType_SETTING_TYPE_SECRET && s.GetValues()[name] != "" {
			return "(secret)"
		}
	}
	return s.GetValues()[name]
}

func (a *app) printSettings(s *controlpb.Settings) error {
	labels := map[string]string{}
	for _, def := range s.GetSchema() {
		labels[def.GetName()] = def.GetLabel()
	}
	var rows [][]string
	for _, name := range slices.Sorted(maps.Keys(s.GetValues())) {
		value := shownValue(s, name)
		if a.json {
			if err := a.object(map[string]any{"name": name, "value": value, "label": labels[name]}); err != nil {
				return err
			}
			continue
		}
		rows = append(rows, []string{name, value, client.PrintableLine(labels[name])})
	}
	if !a.json {
		a.table(rows)
	}
	return nil
}
