package arch

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A rule says what the packages in some folders may import of this module,
// besides what lies in the same folder and in internal.
type rule struct {
	of     []string // folders; the first rule that fits a package counts
	may    []string // folders, or "=path" for that package alone
	advice string   // what to do instead
	cgo    cgo      // how far they have to do with C
}

// cgo is how far a package has to do with C.
type cgo int

const (
	none      cgo = iota // builds with CGO_ENABLED=0
	byImports            // imports what needs a C compiler, and has no C itself
	itself
)

// rules is the table of docs/architecture.md.
var rules = []rule{
	{
		of:     []string{"internal/*"},
		advice: "everybody imports these, so they import nothing of ours",
	},
	{
		of:     []string{"protocol"},
		may:    []string{"protocol/packet/peerpb"},
		advice: "protocol holds the shapes that cross a boundary: what does something belongs in core, server or plugins",
	},
	{
		of:     []string{"core/bus", "core/identity", "core/store"},
		may:    []string{"protocol"},
		advice: "the others of the core build on these three, so they know none of the others: take what you need as a parameter",
	},
	{
		of:     []string{"core/client"},
		may:    []string{"protocol"},
		advice: "front ends import core/client, and must not get the core with it: ask the core through protocol/controlpb",
	},
	{
		of:     []string{"core/*"},
		may:    []string{"protocol", "core/bus", "core/identity", "core/store"},
		advice: "parts of the core never import each other: declare a small interface for what you need where you need it, and let package core pass it in",
	},
	{
		of:     []string{"core"},
		may:    []string{"core", "protocol"},
		advice: "the core knows no feature, no front end and no server",
	},
	{
		of:     []string{"plugins/sdk"},
		may:    []string{"protocol/packet", "protocol/pluginpb"},
		advice: "what plugin authors import must not bring the core along: put what both need into protocol",
	},
	{
		of:     []string{"plugins/internal/media"},
		advice: "media knows devices and codecs, no feature",
		cgo:    itself,
	},
	{
		of:     []string{"plugins/voice", "plugins/video", "plugins/stt"},
		may:    []string{"plugins/sdk", "protocol/packet", "protocol/pluginpb", "plugins/internal/media"},
		advice: "a plugin sees the core through the SDK only, and other plugins never: what two plugins need is a service of the core",
		cgo:    byImports,
	},
	{
		of:     []string{"plugins/*"},
		may:    []string{"plugins/sdk", "protocol/packet", "protocol/pluginpb", "plugins/internal/media"},
		advice: "a plugin sees the core through the SDK only, and other plugins never: what two plugins need is a service of the core",
	},
	{
		of:     []string{"ui-gtk/viewmodel"},
		may:    []string{"core/client", "protocol/controlpb", "protocol/pluginpb", "ui-gtk/assets", "ui-gtk/texts"},
		advice: "what the window shows is made without a window: give what draws it a function or a channel",
	},
	{
		of:     []string{"ui-gtk/gtkx"},
		advice: "gtkx knows GTK, and nothing of Parley",
		cgo:    itself,
	},
	{
		of:     []string{"ui-gtk/texts"},
		may:    []string{"ui-gtk/assets"},
		advice: "what is said to people knows neither widgets nor the core",
	},
	{
		of:     []string{"ui-gtk/notify", "ui-gtk/assets", "ui-gtk/desktop", "ui-gtk/hosting"},
		advice: "these know neither widgets nor the core: take what you need as a parameter",
	},
	{
		of:     []string{"ui-gtk"},
		may:    []string{"core/client", "protocol/controlpb", "protocol/pluginpb"},
		advice: "the window is a client like any other: ask the core through core/client",
		cgo:    byImports,
	},
	{
		of:     []string{"server"},
		may:    []string{"protocol/directorypb", "protocol/packet"},
		advice: "the directory shares nothing with the core but the protocol",
	},
	{
		of:     []string{"cmd/parley"},
		may:    []string{"=core", "core/client", "core/identity", "protocol"},
		advice: "commands hold flags and wiring only: move what does the work into core or core/client",
	},
	{
		of:     []string{"cmd/parley-server"},
		may:    []string{"server"},
		advice: "commands hold flags and wiring only: move what does the work into server",
	},
	{
		of:     []string{"cmd/parley-gtk"},
		may:    []string{"ui-gtk/app", "core/client"},
		advice: "commands hold flags and wiring only: move what does the work into ui-gtk",
		cgo:    byImports,
	},
	{
		of:     []string{"examples"},
		may:    []string{"plugins/sdk", "protocol/packet", "protocol/pluginpb"},
		advice: "an example shows what people outside this repository can do, with what they can import",
	},
	{
		of:     []string{"test/net2019/original"},
		advice: "it knows the protocol of 2019 from its description alone, so that no mistake is in it and in what it tests",
	},
	{
		of:  []string{"test", "bench"},
		may: []string{"core", "plugins", "protocol", "server", "ui-gtk", "test", "bench"},
	},
}

// ruleFor gives the rule of a package and the folder of it that fits.
func ruleFor(path string) (rule, string, bool) {
	for _, r := range rules {
		for _, dir := range r.of {
			if under(path, dir) {
				depth := strings.Count(dir, "/") + 1
				return r, strings.Join(strings.Split(path, "/")[:depth], "/"), true
			}
		}
	}
	return rule{}, "", false
}

func (r rule) allows(home, path string) bool {
	if under(path, home) && home != "core" || under(path, "internal") && !under(home, "internal") {
		return true
	}
	return slices.ContainsFunc(r.may, func(may string) bool {
		if only, ok := strings.CutPrefix(may, "="); ok {
			return path == only
		}
		return under(path, may)
	})
}

// TestImports keeps docs/architecture.md's table of who may import whom. Tests
// may import what they like.
func TestImports(t *testing.T) {
	for _, p := range packages(t) {
		r, home, ok := ruleFor(p.path())
		if !ok {
			t.Errorf("%s is in no rule: add it to the table in docs/architecture.md and to this test", p.path())
			continue
		}
		for _, imported := range p.Imports {
			if ours(imported) && !r.allows(home, within(imported)) {
				t.Errorf("%s imports %s: %s", p.path(), within(imported), r.advice)
			}
		}
		if len(p.CgoFiles) > 0 && r.cgo != itself {
			t.Errorf("%s uses cgo in %v: only ui-gtk/gtkx and plugins/internal/media may", p.path(), p.CgoFiles)
		}
	}
}

// TestRules checks the table itself, which would otherwise allow what nobody
// tries.
func TestRules(t *testing.T) {
	tests := []struct {
		from, to string
		want     bool
	}{
		{"core/conn", "core/bus", true},
		{"core/conn", "core/roster", false},
		{"core/conn", "core", false},
		{"core/conn", "internal/version", true},
		{"core/store", "core/bus", false},
		{"core/store/storetest", "core/store", true},
		{"core/client", "core/control", false},
		{"core", "core/conn", true},
		{"core", "server", false},
		{"core", "plugins/sdk", false},
		{"plugins/text", "plugins/sdk", true},
		{"plugins/text", "plugins/text/textpb", true},
		{"plugins/text", "plugins/file", false},
		{"plugins/text", "protocol/pluginpb", true},
		{"plugins/text", "protocol/controlpb", false},
		{"plugins/text", "core/store", false},
		{"plugins/sdk/plugintest", "plugins/sdk", true},
		{"protocol/packet", "protocol/packet/peerpb", true},
		{"protocol/packet", "core/bus", false},
		{"server/api", "server/directory", true},
		{"server/api", "core/identity", false},
		{"ui-gtk/app", "ui-gtk/roster", true},
		{"ui-gtk/app", "core", false},
		{"ui-gtk/app", "protocol/packet", false},
		{"ui-gtk/roster", "protocol/controlpb", true},
		{"ui-gtk/roster", "ui-gtk/gtkx", true},
		{"ui-gtk/viewmodel", "core/client", true},
		{"ui-gtk/viewmodel", "protocol/controlpb", true},
		{"ui-gtk/viewmodel", "ui-gtk/gtkx", false},
		{"ui-gtk/gtkx", "ui-gtk/viewmodel", false},
		{"ui-gtk/notify", "core/client", false},
		{"cmd/parley-gtk", "ui-gtk/app", true},
		{"cmd/parley-gtk", "ui-gtk/roster", false},
		{"test/net2019/original", "protocol/packet/net2019", false},
		{"test/net2019", "test/net2019/original", true},
		{"cmd/parley", "core", true},
		{"cmd/parley", "core/store", false},
		{"cmd/parley-server", "core", false},
		{"server/admin", "internal/ownsocket", true},
		{"internal/ownsocket", "internal/version", false},
	}
	for _, test := range tests {
		r, home, ok := ruleFor(test.from)
		if got := ok && r.allows(home, test.to); got != test.want {
			t.Errorf("%s may import %s: %v, want %v", test.from, test.to, got, test.want)
		}
	}
	if _, _, ok := ruleFor("utils"); ok {
		t.Error("a package that nobody planned has a rule")
	}
}

// A fence keeps a library inside the folders that know its pitfalls.
type fence struct {
	library string
	in      []string
	advice  string
}

// widgets are the packages that know GTK.
var widgets = []string{"ui-gtk/app", "ui-gtk/gtkx", "ui-gtk/widget", "ui-gtk/welcome", "ui-gtk/roster", "ui-gtk/conversation", "ui-gtk/emoji", "ui-gtk/call", "ui-gtk/settings"}

var fences = []fence{
	{"github.com/asaskevich/EventBus", []string{"core/bus"}, "it deadlocks, reorders and panics when used plainly: use core/bus"},
	{"github.com/gotk3/gotk3", widgets, "the window's toolkit stays in the packages that draw it, so that all else is built and tested without"},
	{"github.com/ncruces/go-sqlite3", []string{"core/store"}, "ask core/store, which keeps the database whole"},
	{"github.com/nats-io", []string{"server"}, "the directory's state belongs to server"},
	{"github.com/hashicorp/go-plugin", []string{"core/host", "plugins/sdk"}, "processes of plugins belong to core/host, their side of it to plugins/sdk"},
	{"github.com/spf13/cobra", []string{"cmd"}, "flags belong to cmd"},
	{"github.com/zalando/go-keyring", []string{"core"}, "where the key is kept is the core's business"},
}

// TestNoForbidden keeps libraries inside their fences, in tests too.
func TestNoForbidden(t *testing.T) {
	for _, p := range packages(t) {
		for _, imported := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
			for _, f := range fences {
				if !under(imported, f.library) || slices.ContainsFunc(f.in, func(dir string) bool { return under(p.path(), dir) }) {
					continue
				}
				if under(p.path(), "test") || under(p.path(), "bench") {
					continue
				}
				t.Errorf("%s imports %s: %s", p.path(), imported, f.advice)
			}
		}
	}
}

// The example shows other authors what they may import: the SDK, and the two
// packages in whose types it speaks.
func TestExampleImports(t *testing.T) {
	cmd := exec.Command("go", "list", "-f", `{{join .Imports "\n"}}`, "./...")
	cmd.Dir = filepath.Join(repository(t), "examples", "poll")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	used := 0
	for _, path := range strings.Fields(string(out)) {
		switch within(path) {
		case "plugins/sdk", "protocol/packet", "protocol/pluginpb":
			used++
		default:
			if ours(path) {
				t.Errorf("examples/poll imports %s: authors outside this repository have plugins/sdk", path)
			}
		}
	}
	if used == 0 {
		t.Error("examples/poll does not import the SDK")
	}
}
