package viewmodel

import (
	"testing"

	emojiplugin "github.com/parley-chat/parley/plugins/emoji"
	"github.com/parley-chat/parley/plugins/file"
	"github.com/parley-chat/parley/plugins/group"
	"github.com/parley-chat/parley/plugins/text"
	"github.com/parley-chat/parley/protocol/pluginpb"
	"github.com/parley-chat/parley/ui-gtk/texts"
)

// TestLabelsAreTranslated: what Parley's own plugins call things is said in
// Chinese too.
func TestLabelsAreTranslated(t *testing.T) {
	s := NewSession(Config{Loop: NewQueue(func() {}), Texts: texts.New("zh-Hans")})
	check := func(of, label string) {
		t.Helper()
		if label != "" && s.Label(label) == label {
			t.Errorf("%s: %q is not translated: add it to labels.go and to the catalogue", of, label)
		}
	}
	for _, m := range []*pluginpb.Manifest{text.New().Manifest(), file.New().Manifest(), group.New().Manifest(), emojiplugin.New().Manifest()} {
		check(m.GetName(), m.GetSummary())
		for _, a := range m.GetActions() {
			check(m.GetName(), a.GetLabel())
		}
		for _, x := range m.GetSettings() {
			check(m.GetName(), x.GetLabel())
			check(m.GetName(), x.GetDescription())
			for _, c := range x.GetChoices() {
				check(m.GetName(), c)
			}
		}
	}
	if got := s.Label("A label\nof\u202e another plugin"); got != "A label of\uFFFD another plugin" {
		t.Errorf("another plugin's label is shown as %q", got)
	}
}
