package viewmodel

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/parley-chat/parley/core/client"
)

// Profile is an account of this person, on this computer.
type Profile struct {
	Name string
	// User and Directory are those who are logged in; empty when nobody is.
	User, Directory string
}

// Title is what a menu calls it.
func (p Profile) Title() string {
	if p.User == "" {
		return client.PrintableLine(p.Name)
	}
	return client.PrintableLine(p.User + "@" + p.Directory)
}

// most profiles that a menu lists, and bytes of what says who is logged in.
const (
	maxProfiles    = 50
	maxAccountFile = 16 << 10
)

// Profiles lists the profiles that there are, the default one first.
func Profiles() ([]Profile, error) {
	folders, err := client.FoldersOf(client.DefaultProfile)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(filepath.Dir(folders.Data))
	if err != nil && !os.IsNotExist(err) {
		return nil, fmt.Errorf("list the profiles: %w", err)
	}
	var list []Profile
	for _, e := range entries {
		f, err := client.FoldersOf(e.Name())
		if err != nil || !e.IsDir() || len(list) == maxProfiles {
			continue
		}
		p := Profile{Name: e.Name()}
		// The core keeps there who is logged in. What cannot be read is a profile
		// without a name.
		if b, err := readBounded(filepath.Join(f.Data, "account.json"), maxAccountFile); err == nil {
			var account struct{ User, Directory string }
			if json.Unmarshal(b, &account) == nil {
				p.User, p.Directory = account.User, strings.TrimSuffix(account.Directory, ":7410")
			}
		}
		list = append(list, p)
	}
	slices.SortStableFunc(list, func(a, b Profile) int {
		switch {
		case a.Name == client.DefaultProfile:
			return -1
		case b.Name == client.DefaultProfile:
			return 1
		}
		return strings.Compare(a.Name, b.Name)
	})
	return list, nil
}

// NextProfile gives a name for one more profile: that of one which nobody has
// logged in to, if there is one.
func NextProfile(all []Profile) string {
	for _, p := range all {
		if p.User == "" {
			return p.Name
		}
	}
	for n := 2; ; n++ {
		name := fmt.Sprintf("account-%d", n)
		if !slices.ContainsFunc(all, func(p Profile) bool { return p.Name == name }) {
			return name
		}
	}
}
