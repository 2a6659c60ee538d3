package arch

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

// generators are the plugins of buf.gen.yaml, which `make generate` runs.
var generators = []string{"protoc-gen-go", "protoc-gen-go-grpc"}

// TestGenerated: the committed code is what the .proto files give. The files are
// compiled by Debian's protoc and not by buf, which would have to be compiled
// itself before, for minutes on a machine that has nothing.
func TestGenerated(t *testing.T) {
	repo := repository(t)
	var sources []string
	for path := range filesOf(t, repo, ".proto") {
		if !under(filepath.ToSlash(path), "examples") { // they generate their own
			sources = append(sources, path)
		}
	}
	slices.Sort(sources)
	compiled := filepath.Join(t.TempDir(), "all.binpb")
	args := append([]string{"--proto_path=.", "--include_imports", "--include_source_info", "--descriptor_set_out=" + compiled}, sources...)
	run(t, nil, "protoc", args...)
	b, err := os.ReadFile(compiled)
	if err != nil {
		t.Fatal(err)
	}
	var set descriptorpb.FileDescriptorSet
	if err := proto.Unmarshal(b, &set); err != nil {
		t.Fatal(err)
	}
	request, err := proto.Marshal(&pluginpb.CodeGeneratorRequest{
		FileToGenerate: sources, Parameter: proto.String("paths=source_relative"), ProtoFile: set.GetFile(),
	})
	if err != nil {
		t.Fatal(err)
	}
	committed := filesOf(t, repo, ".pb.go")
	for _, generator := range generators {
		var response pluginpb.CodeGeneratorResponse
		if err := proto.Unmarshal(run(t, request, "go", "tool", "-modfile=tools/go.mod", generator), &response); err != nil {
			t.Fatal(err)
		}
		if response.Error != nil || len(response.GetFile()) == 0 {
			t.Fatalf("%s: %d files, %s", generator, len(response.GetFile()), response.GetError())
		}
		for _, file := range response.GetFile() {
			switch text, ok := committed[file.GetName()]; {
			case !ok:
				t.Errorf("%s is missing: run make generate and commit it", file.GetName())
			case string(text) != file.GetContent():
				t.Errorf("%s is not what its .proto file gives: run make generate and commit it", file.GetName())
			}
			delete(committed, file.GetName())
		}
	}
	for path := range committed {
		t.Errorf("%s comes from no .proto file: remove it", path)
	}
}

// run runs a program in the repository and gives its output.
func run(t *testing.T, input []byte, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = repository(t)
	cmd.Stdin = bytes.NewReader(input)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if errors.Is(err, exec.ErrNotFound) {
		t.Fatalf("%s is missing: run scripts/setup test", name)
	}
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, stderr.Bytes())
	}
	return out
}

// filesOf reads all files in dir whose names end so, but for those of other
// modules.
func filesOf(t *testing.T, dir, ending string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); path != dir && (strings.HasPrefix(name, ".") || name == "bin" || isModule(path)) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ending) {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		files[rel] = text
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func isModule(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return !errors.Is(err, fs.ErrNotExist)
}

// TestCGOFree: all but the window and what handles media builds without a C
// compiler, so that the binaries run on any Linux.
func TestCGOFree(t *testing.T) {
	if testing.Short() {
		t.Skip("builds everything once more")
	}
	args := []string{"build", "-trimpath", "-buildvcs=false"}
	for _, p := range packages(t) {
		if r, _, ok := ruleFor(p.path()); ok && r.cgo == none && len(p.GoFiles) > 0 && !under(p.path(), "test") && !under(p.path(), "bench") {
			args = append(args, p.ImportPath)
		}
	}
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = repository(t)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("CGO_ENABLED=0 go build: %v\n%s", err, out)
	}
}
