package bus_test

import (
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// exports gives the compiled form of this package and what it imports.
func exports(t *testing.T) func(path string) (io.ReadCloser, error) {
	t.Helper()
	const pkg = "github.com/parley-chat/parley/core/bus"
	out, err := exec.CommandContext(t.Context(), "go", "list", "-export", "-deps", "-f", "{{.ImportPath}} {{.Export}}", pkg).Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	files := map[string]string{}
	for line := range strings.Lines(string(out)) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), " ")
		files[path] = file
	}
	return func(path string) (io.ReadCloser, error) { return os.Open(files[path]) }
}

// TestWrongPayloadDoesNotCompile type-checks uses of this package.
func TestWrongPayloadDoesNotCompile(t *testing.T) {
	const frame = `package p
import (
	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/protocol/packet"
)
var b = bus.New()
var _ packet.ChatID
func f() { `
	tests := []struct{ name, use, want string }{
		{"right", `bus.Publish(b, bus.EntryAppended, packet.ChatID("a-b"))`, ""},
		{"right way to feed", `bus.Feed(b, bus.PluginChanged, bus.NewQueue[int](1), func(s string) (int, bool) { return len(s), true })`, ""},
		{"another topic's payload", `bus.Publish(b, bus.EntryAppended, bus.Notice{})`, "bus.Notice"},
		{"pointer to the payload", `bus.Publish(b, bus.Noticed, &bus.Notice{})`, "*bus.Notice"},
		{"string for a chat", `var s string; bus.Publish(b, bus.EntryAppended, s)`, "(variable of type string) as packet.ChatID"},
		{"no payload", `bus.Publish(b, bus.Noticed)`, "not enough arguments"},
		{"queue of another type", `var q *bus.Queue[bus.Notice] = bus.Subscribe(b, bus.LinkUp, 1); _ = q`, "cannot use"},
		{"convert from another type", `bus.Feed(b, bus.LinkUp, bus.NewQueue[int](1), func(bus.Notice) (int, bool) { return 0, true })`, "func(bus.Notice)"},
		{"convert to another type", `bus.Feed(b, bus.LinkUp, bus.NewQueue[int](1), func(bus.Link) (string, bool) { return "", true })`, "(string, bool)"},
		{"topic made elsewhere", `_ = bus.Topic[int]{"mine"}`, "implicit assignment to unexported field"},
	}
	files := token.NewFileSet()
	from := importer.ForCompiler(files, "gc", exports(t))
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			file, err := parser.ParseFile(files, "p.go", frame+test.use+" }", 0)
			if err != nil {
				t.Fatal(err)
			}
			conf := types.Config{Importer: from}
			_, err = conf.Check("p", files, []*ast.File{file}, nil)
			switch {
			case test.want == "" && err != nil:
				t.Errorf("does not compile: %v", err)
			case test.want != "" && err == nil:
				t.Errorf("%s compiles", test.use)
			case test.want != "" && !strings.Contains(err.Error(), test.want):
				t.Errorf("does not compile, but for another reason: %v", err)
			}
		})
	}
}
