package core

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"github.com/parley-chat/parley/core/client"
	"github.com/parley-chat/parley/protocol/packet"
)

// account says who is logged in on a profile, and where. It is kept in
// account.json beside the accounts' folders; logging out removes it and leaves
// the folders.
type account struct {
	User      packet.UserID `json:"user"`
	Directory string        `json:"directory"` // "host:port"
	// Pin is the fingerprint that the directory must have; empty when an
	// authority vouches for its certificate.
	Pin string `json:"pin,omitempty"`

	// vouched says that Pin is empty because an authority vouched, not because the
	// directory was never met.
	vouched bool
}

var errNoAccount = errors.New("no account")

// maxAccountFile bounds account.json.
const maxAccountFile = 16 << 10

const accountName = "account.json"

func accountFile(f client.Folders) string { return filepath.Join(f.Data, accountName) }

// readAccount reads the account that is logged in; errNoAccount when none is.
func readAccount(f client.Folders) (*account, error) { return readAccountFile(accountFile(f)) }

func readAccountFile(path string) (*account, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNoAccount
	}
	if err != nil {
		return nil, fmt.Errorf("read account: %w", err)
	}
	if info.Size() > maxAccountFile {
		return nil, damagedAccount(path, fmt.Sprintf("%d bytes", info.Size()))
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read account: %w", err)
	}
	return parseAccount(path, b)
}

func damagedAccount(path string, why any) error {
	return fmt.Errorf("%s is damaged (%v): remove it and log in again, the account's messages are kept", path, why)
}

func parseAccount(path string, b []byte) (*account, error) {
	var a account
	if err := json.Unmarshal(b, &a); err != nil {
		return nil, damagedAccount(path, err)
	}
	if _, err := packet.ParseUserID(string(a.User)); err != nil {
		return nil, damagedAccount(path, err)
	}
	return &a, nil
}

// writeAccount makes a the account that is logged in. A copy in the account's
// own folder keeps the pin for the next log-in.
func writeAccount(f client.Folders, a *account) error {
	b, err := json.MarshalIndent(a, "", "  ")
	if err != nil {
		return fmt.Errorf("encode account: %w", err)
	}
	b = append(b, '\n')
	if err := writeFile(filepath.Join(a.folder(f), accountName), b); err != nil {
		return err
	}
	return writeFile(accountFile(f), b)
}

// writeFile replaces a small private file; after a crash it is the old or the
// new one.
func writeFile(path string, b []byte) error {
	temp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = temp.Write(b)
	if err == nil {
		err = temp.Sync()
	}
	if err2 := temp.Close(); err == nil {
		err = err2
	}
	if err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		_ = os.Remove(temp.Name())
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

func removeAccount(f client.Folders) error {
	if err := os.Remove(accountFile(f)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove account: %w", err)
	}
	return nil
}

var unsafeInName = regexp.MustCompile(`[^A-Za-z0-9._-]`)

// folder is where the account's database and key lie.
func (a *account) folder(f client.Folders) string {
	return filepath.Join(f.Data, "accounts", string(a.User)+"@"+unsafeInName.ReplaceAllString(a.Directory, "_"))
}

func (a *account) database(f client.Folders) string { return filepath.Join(a.folder(f), "parley.db") }
