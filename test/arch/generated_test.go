package arch

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestGenerated: the committed code is what the .proto files give.
func TestGenerated(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the generators")
	}
	repo, fresh := repository(t), t.TempDir()
	cmd := exec.CommandContext(t.Context(), "go", "tool", "-modfile=tools/go.mod", "buf", "generate", "-o", fresh)
	cmd.Dir = repo
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("buf generate: %v\n%s", err, out)
	}
	want, committed := generatedIn(t, fresh), generatedIn(t, repo)
	if len(want) == 0 {
		t.Fatal("buf generated nothing")
	}
	for path, text := range want {
		switch got, ok := committed[path]; {
		case !ok:
			t.Errorf("%s is missing: run make generate and commit it", path)
		case !bytes.Equal(got, text):
			t.Errorf("%s is not what its .proto file gives: run make generate and commit it", path)
		}
	}
	for path := range committed {
		if _, ok := want[path]; !ok {
			t.Errorf("%s comes from no .proto file of buf.yaml: remove it, or add its module there", path)
		}
	}
}

// generatedIn reads all *.pb.go files in dir, but for those of other modules.
func generatedIn(t *testing.T, dir string) map[string][]byte {
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
		if !strings.HasSuffix(path, ".pb.go") {
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
		if r, _, ok := ruleFor(p.path()); ok && !r.cgo && len(p.GoFiles) > 0 && !under(p.path(), "test") && !under(p.path(), "bench") {
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
