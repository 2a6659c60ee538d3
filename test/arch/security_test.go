package arch

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// named is a test in docs/security.md: `core/conn: TestHandshakeIsStrict`.
var named = regexp.MustCompile("`([a-z0-9/_-]+): ((?:Test|Fuzz)[A-Za-z0-9_]+|[a-z0-9_]+\\.txtar)`")

// TestSecurityPromises: each promise of docs/security.md names tests, and all of
// them are there.
func TestSecurityPromises(t *testing.T) {
	root := repository(t)
	b, err := os.ReadFile(filepath.Join(root, "docs", "security.md"))
	if err != nil {
		t.Fatal(err)
	}
	promises, inside := 0, false
	for i, line := range strings.Split(string(b), "\n") {
		switch {
		case line == "| promise | shown by |":
			inside = true
		case !strings.HasPrefix(line, "|"):
			inside = false
		case inside && !strings.HasPrefix(line, "|---"):
			promises++
			tests := named.FindAllStringSubmatch(line, -1)
			if len(tests) == 0 {
				t.Errorf("docs/security.md:%d: no test shows this promise", i+1)
			}
			for _, test := range tests {
				if !there(t, filepath.Join(root, test[1]), test[2]) {
					t.Errorf("docs/security.md:%d: %s has no %s", i+1, test[1], test[2])
				}
			}
		}
	}
	if promises < 20 {
		t.Errorf("found %d promises", promises)
	}
}

// there says whether a folder has a test.
func there(t *testing.T, folder, name string) bool {
	t.Helper()
	if strings.HasSuffix(name, ".txtar") {
		_, err := os.Stat(filepath.Join(folder, "testdata", name))
		return err == nil
	}
	files, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(b), "\nfunc "+name+"(") {
			return true
		}
	}
	return false
}
