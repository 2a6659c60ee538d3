package version

import (
	"runtime/debug"
	"strings"
	"testing"
)

func TestString(t *testing.T) {
	tests := []struct {
		name string
		info debug.BuildInfo
		want string
	}{
		{"released module", debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}}, "v1.2.3"},
		{"nothing known", debug.BuildInfo{Main: debug.Module{Version: "(devel)"}}, "devel"},
		{"commit", debug.BuildInfo{Settings: []debug.BuildSetting{
			{Key: "vcs.revision", Value: "0123456789abcdef0123"},
		}}, "devel-0123456789ab"},
		{"changed since the commit", debug.BuildInfo{Settings: []debug.BuildSetting{
			{Key: "vcs.revision", Value: "0123456789abcdef0123"}, {Key: "vcs.modified", Value: "true"},
		}}, "devel-0123456789ab-dirty"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := describe(&test.info); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestStampWins(t *testing.T) {
	defer func(old string) { stamped = old }(stamped)
	stamped = "v9.9.9-" + strings.Repeat("x", 100)
	if String() != stamped {
		t.Errorf("got %q", String())
	}
	if agent := Agent("parley"); len(agent) != 64 || !strings.HasPrefix(agent, "parley/v9.9.9-") {
		t.Errorf("agent %q of %d bytes", agent, len(agent))
	}
}
