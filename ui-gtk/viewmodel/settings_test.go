package viewmodel

import (
	"context"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

func (f *fakeCore) GetSettings(_ context.Context, r *controlpb.GetSettingsRequest) (*controlpb.Settings, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s := f.settings[r.GetPlugin()]; s != nil {
		return proto.Clone(s).(*controlpb.Settings), nil
	}
	return nil, status.Error(codes.NotFound, "there is no such plugin")
}

func (f *fakeCore) SetSetting(_ context.Context, r *controlpb.SetSettingRequest) (*controlpb.Settings, error) {
	if err := f.take(r); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.settings[r.GetPlugin()]
	s.Values[r.GetName()] = r.GetValue()
	return proto.Clone(s).(*controlpb.Settings), nil
}

func (f *fakeCore) Diagnose(r *controlpb.DiagnoseRequest, stream grpc.ServerStreamingServer[controlpb.Finding]) error {
	if r.GetUser() == "nobody" { // never ends by itself
		<-stream.Context().Done()
		return stream.Context().Err()
	}
	for _, x := range []*controlpb.Finding{
		{Check: "name", Result: "ok", Text: "found"}, {Check: "port", Result: "warning", Text: "closed\u202e"}, {Check: "new", Result: "failed", Text: "x"},
	} {
		if err := stream.Send(x); err != nil {
			return err
		}
	}
	return nil
}

func settingsCore() *fakeCore {
	core := newFakeCore()
	core.settings = map[string]*controlpb.Settings{"file": {
		Schema: []*pluginpb.Setting{
			{Name: "largest", Type: pluginpb.SettingType_SETTING_TYPE_INT, Label: "Largest", DefaultValue: "100", Min: 1, Max: 1000},
			{Name: "strip", Type: pluginpb.SettingType_SETTING_TYPE_BOOL, DefaultValue: "true"},
		},
		Values: map[string]string{"largest": "50"},
	}}
	return core
}

func TestSettings(t *testing.T) {
	core := settingsCore()
	w := openWindow(t, core)
	x := w.session.SettingsOf("file")
	w.until("the settings are read", func() bool { return x.Rows.Len() == 2 })
	row := func(name string) SettingRow { return x.Rows.At(x.Rows.Index(name)) }
	if row("largest").Value != "50" || row("strip").Value != "true" || row("strip").Label != "strip" {
		t.Errorf("rows %v", x.Rows.Rows())
	}
	x.Set("largest", "7")
	if row("largest").Value != "7" {
		t.Error("what was set does not count at once")
	}
	w.until("the core has it", func() bool {
		core.mu.Lock()
		defer core.mu.Unlock()
		return core.settings["file"].Values["largest"] == "7"
	})
	for _, bad := range []string{"seven", "0", "1001"} {
		x.Set("largest", bad)
		if r := row("largest"); r.Value != "7" || r.Problem == "" {
			t.Errorf("%q: %+v", bad, r)
		}
	}
	x.Set("largest", "8")
	w.until("a good value ends the problem", func() bool {
		core.mu.Lock()
		defer core.mu.Unlock()
		return core.settings["file"].Values["largest"] == "8" && row("largest").Problem == "" && row("largest").Value == "8"
	})
	core.tell(func() { core.refuse = status.Error(codes.InvalidArgument, "not on this disk") })
	x.Set("largest", "9")
	w.until("what the core does not take is said beside the value that holds", func() bool {
		return row("largest").Problem == "not on this disk" && row("largest").Value == "8"
	})
	missing := w.session.SettingsOf("none")
	w.until("it is said that there are none", func() bool { return missing.Problem.Get() == "there is no such plugin" })
}

func TestDoctor(t *testing.T) {
	w := openWindow(t, settingsCore())
	d := w.session.NewDoctor()
	d.Examine("nobody")
	d.Examine("") // the first one is ended
	w.until("the examination ends", func() bool { return !d.Running.Get() })
	if d.Findings.Len() != 3 {
		t.Fatalf("findings %v", d.Findings.Rows())
	}
	if f := d.Findings.At(1); f.Result != FindingWarning || f.Check != "Port for others" || f.Text != "closed\uFFFD" {
		t.Errorf("a warning is %+v", f)
	}
	if f := d.Findings.At(2); f.Result != FindingFailed || f.Check != "new" {
		t.Errorf("an unknown check is %+v", f)
	}
	d.Examine("nobody")
	d.Stop()
	if d.Running.Get() {
		t.Error("it runs after Stop")
	}
}

func TestPluginView(t *testing.T) {
	w := openWindow(t, newFakeCore())
	v := w.session.PluginView(&controlpb.Plugin{State: controlpb.PluginState_PLUGIN_STATE_NEW})
	if !v.NeedsTrust || v.Enabled || !strings.Contains(v.Problem, "without a sandbox") {
		t.Errorf("a new plugin that cannot be confined: %+v", v)
	}
	v = w.session.PluginView(&controlpb.Plugin{State: controlpb.PluginState_PLUGIN_STATE_RUNNING, ProcessId: 7, CpuTime: 1_500_000, Resident: 15_000_000})
	if !v.Enabled || v.Use != "1.5 s of processor time, 15.0 MB" {
		t.Errorf("a running plugin: %+v", v)
	}
	v = w.session.PluginView(&controlpb.Plugin{State: controlpb.PluginState_PLUGIN_STATE_BROKEN, Error: "no such file"})
	if v.Problem != "no such file" {
		t.Errorf("a broken plugin: %+v", v)
	}
}
