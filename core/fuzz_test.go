package core

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/parley-chat/parley/core/client"
	"github.com/parley-chat/parley/protocol/packet"
)

// FuzzParseAccount: whatever account.json says, the account's folder is one
// below the profile's.
func FuzzParseAccount(f *testing.F) {
	f.Add([]byte(`{"user":"alice","directory":"directory.example.org:7410","pin":"00ff"}`))
	f.Add([]byte(`{"user":"alice","directory":"../../../etc"}`))
	f.Add([]byte(`{"user":"../alice","directory":"x"}`))
	f.Add([]byte(`{`))
	folders := client.Folders{Data: "/data"}
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := parseAccount("account.json", b)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "account.json is damaged") {
				t.Fatal(err)
			}
			return
		}
		if _, err := packet.ParseUserID(string(a.User)); err != nil {
			t.Fatal(err)
		}
		if folder := a.folder(folders); filepath.Dir(folder) != "/data/accounts" || filepath.Base(folder) == ".." {
			t.Fatalf("the folder is %q", folder)
		}
	})
}
