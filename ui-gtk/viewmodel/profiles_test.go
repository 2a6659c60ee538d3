package viewmodel

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestProfiles(t *testing.T) {
	home := t.TempDir()
	t.Setenv("PARLEY_HOME", home)
	if all, err := Profiles(); err != nil || len(all) != 0 || NextProfile(all) != "account-2" {
		t.Errorf("without a folder: %v, %v", all, err)
	}
	for name, account := range map[string]string{
		"work":        `{"user": "alice", "directory": "work.example.org:7410"}`,
		"default":     `{"user": "al\u202eice", "directory": "example.org:99"}`,
		"broken":      "\x00{",
		"large":       `{"user": "x` + strings.Repeat("x", maxAccountFile) + `"}`,
		"not a name!": `{"user": "mallory"}`,
	} {
		folder := filepath.Join(home, "profiles", name)
		if err := os.MkdirAll(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, "account.json"), []byte(account), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(home, "profiles", "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	all, err := Profiles()
	if err != nil {
		t.Fatal(err)
	}
	var titles []string
	for _, p := range all {
		titles = append(titles, p.Title())
	}
	if got := strings.Join(titles, " "); got != "al\uFFFDice@example.org:99 broken large alice@work.example.org" {
		t.Errorf("%q", got)
	}
	if next := NextProfile(all); next != "broken" {
		t.Errorf("the next is %s", next)
	}
	if next := NextProfile([]Profile{{Name: "account-2", User: "a"}, {Name: "account-3", User: "b"}}); next != "account-4" {
		t.Errorf("the next is %s", next)
	}
}
