// Package version says which build of Parley this is.
package version

import (
	"runtime/debug"
	"strings"
)

// stamped is set by the Makefile:
// -ldflags "-X github.com/parley-chat/parley/internal/version.stamped=v1.2.3".
var stamped string

// String is the version for people and logs: what the build was stamped with,
// else what Go recorded of the module or of the commit, else "devel".
func String() string {
	if stamped != "" {
		return stamped
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "devel"
	}
	return describe(info)
}

func describe(info *debug.BuildInfo) string {
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	settings := map[string]string{}
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	commit := settings["vcs.revision"]
	if commit == "" {
		return "devel"
	}
	v := "devel-" + commit[:min(len(commit), 12)]
	if settings["vcs.modified"] == "true" {
		v += "-dirty"
	}
	return v
}

// Agent is the name and version that a program tells its peers, at most 64
// bytes: "parley/v1.2.3".
func Agent(program string) string {
	agent := program + "/" + String()
	return strings.ToValidUTF8(agent[:min(len(agent), 64)], "")
}
