package identity

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zalando/go-keyring"
)

// fakeService is a Secret Service. While hang is open, calls do not return.
type fakeService struct {
	absent  bool
	hang    chan struct{}
	err     error
	secrets map[string]string
	gets    int
}

func newService() *fakeService { return &fakeService{secrets: map[string]string{}} }

func (s *fakeService) Reachable() bool { return !s.absent }

func (s *fakeService) wait() error {
	if s.hang != nil {
		<-s.hang
	}
	return s.err
}

func (s *fakeService) Set(_, user, secret string) error {
	if err := s.wait(); err != nil {
		return err
	}
	s.secrets[user] = secret
	return nil
}

func (s *fakeService) Get(_, user string) (string, error) {
	s.gets++
	if err := s.wait(); err != nil {
		return "", err
	}
	secret, ok := s.secrets[user]
	if !ok {
		return "", keyring.ErrNotFound
	}
	return secret, nil
}

func (s *fakeService) Delete(_, user string) error {
	delete(s.secrets, user)
	return nil
}

func testFolder(t *testing.T) string {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "account")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	return folder
}

// vaultAt makes a vault whose passphrases cost little and which has a fake
// Secret Service.
func vaultAt(cfg VaultConfig, service secretService) *Vault {
	v := NewVault(cfg)
	v.service, v.argon = service, argonParams{Time: 1, Memory: 64, Threads: 1}
	return v
}

func mustCreate(t *testing.T, v *Vault, place Place, passphrase string) []byte {
	t.Helper()
	key, err := v.Create(t.Context(), place, passphrase)
	if err != nil {
		t.Fatal(err)
	}
	if len(key) != KeySize || bytes.Equal(key, make([]byte, KeySize)) {
		t.Fatalf("key %x", key)
	}
	return key
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// pipe gives a descriptor from which text can be read.
func pipe(t *testing.T, text string) *Descriptor {
	t.Helper()
	var fds [2]int
	if err := syscall.Pipe(fds[:]); err != nil {
		t.Fatal(err)
	}
	if _, err := syscall.Write(fds[1], []byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Close(fds[1]); err != nil {
		t.Fatal(err)
	}
	return NewDescriptor(fds[0])
}

const someKey = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

func TestVaultPlaces(t *testing.T) {
	const passphrase = "correct horse"
	tests := []struct {
		name       string
		place      Place
		passphrase string
		service    *fakeService
		prepare    func(*testing.T, *VaultConfig)
		want       Place
	}{
		{name: "service if there is one", service: newService(), want: PlaceService},
		{name: "file if there is no service", service: &fakeService{absent: true}, want: PlaceFile},
		{name: "file if the service fails", service: &fakeService{err: errors.New("no provider")}, want: PlaceFile},
		{name: "file by force", place: PlaceFile, service: newService(), want: PlaceFile},
		{name: "service by force", place: PlaceService, service: newService(), want: PlaceService},
		{name: "passphrase if one is given", passphrase: passphrase, service: newService(), want: PlacePassphrase},
		{name: "passphrase by force", place: PlacePassphrase, passphrase: passphrase, service: newService(), want: PlacePassphrase},
		{name: "descriptor if there is one", service: newService(), want: PlaceDescriptor, prepare: func(t *testing.T, cfg *VaultConfig) {
			cfg.Descriptor = pipe(t, someKey+"\n")
		}},
		{name: "credential if there is one", service: newService(), want: PlaceCredential, prepare: func(t *testing.T, cfg *VaultConfig) {
			cfg.Credentials = t.TempDir()
			write(t, filepath.Join(cfg.Credentials, "parley.key"), []byte(someKey))
		}},
		{name: "credentials of others", service: newService(), want: PlaceService, prepare: func(t *testing.T, cfg *VaultConfig) {
			cfg.Credentials = t.TempDir()
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := VaultConfig{Folder: testFolder(t)}
			if tt.prepare != nil {
				tt.prepare(t, &cfg)
			}
			if _, err := vaultAt(cfg, tt.service).Open(t.Context(), ""); !errors.Is(err, ErrNoVault) {
				t.Errorf("open before create: %v", err)
			}
			key := mustCreate(t, vaultAt(cfg, tt.service), tt.place, tt.passphrase)
			if tt.want == PlaceDescriptor || tt.want == PlaceCredential {
				if hex.EncodeToString(key) != someKey {
					t.Errorf("key %x", key)
				}
			}
			v := vaultAt(cfg, tt.service)
			if place, err := v.Place(); err != nil || place != tt.want {
				t.Errorf("place %q, %v; want %q", place, err, tt.want)
			}
			got, err := v.Open(t.Context(), tt.passphrase)
			if err != nil || !bytes.Equal(got, key) {
				t.Errorf("opened %x, %v; want %x", got, err, key)
			}
			if _, err := v.Create(t.Context(), "", tt.passphrase); !errors.Is(err, ErrVaultExists) {
				t.Errorf("create again: %v", err)
			}
			checkFiles(t, cfg.Folder, tt.want, key)
		})
	}
}

// checkFiles checks that nobody else can read what lies in the folder, and that
// the key lies there in the clear only if that is its place.
func checkFiles(t *testing.T, folder string, place Place, key []byte) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	clearText := false
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %o", e.Name(), info.Mode().Perm())
		}
		if strings.HasPrefix(e.Name(), ".") {
			t.Errorf("%s was left behind", e.Name())
		}
		b, err := os.ReadFile(filepath.Join(folder, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		clearText = clearText || bytes.Contains(b, []byte(hex.EncodeToString(key))) || bytes.Contains(b, key)
	}
	if clearText != (place == PlaceFile) {
		t.Errorf("place %s: key in the clear: %v", place, clearText)
	}
}

func TestVaultChoiceRefused(t *testing.T) {
	tests := []struct {
		name       string
		place      Place
		passphrase string
		service    *fakeService
		want       error
	}{
		{"service that is not there", PlaceService, "", &fakeService{absent: true}, ErrPlace},
		{"service that fails", PlaceService, "", &fakeService{err: errors.New("no provider")}, ErrPlace},
		{"passphrase for a file", PlaceFile, "correct horse", newService(), ErrPlace},
		{"no passphrase", PlacePassphrase, "", newService(), ErrPassphrase},
		{"short passphrase", PlacePassphrase, "1234567", newService(), ErrPassphrase},
		{"long passphrase", PlacePassphrase, strings.Repeat("x", 1025), newService(), ErrPassphrase},
		{"passphrase that is no text", PlacePassphrase, "\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8", newService(), ErrPassphrase},
		{"no descriptor", PlaceDescriptor, "", newService(), ErrLocked},
		{"no credential", PlaceCredential, "", newService(), ErrLocked},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			folder := testFolder(t)
			v := vaultAt(VaultConfig{Folder: folder}, tt.service)
			if _, err := v.Create(t.Context(), tt.place, tt.passphrase); !errors.Is(err, tt.want) {
				t.Errorf("%v, want %v", err, tt.want)
			}
			if entries, err := os.ReadDir(folder); err != nil || len(entries) > 0 {
				t.Errorf("left behind: %v, %v", entries, err)
			}
		})
	}
	if _, err := ParsePlace("cloud"); !errors.Is(err, ErrPlace) {
		t.Errorf("place cloud: %v", err)
	}
}

func TestVaultPassphrase(t *testing.T) {
	cfg := VaultConfig{Folder: testFolder(t)}
	v := vaultAt(cfg, newService())
	key := mustCreate(t, v, "", "b\u00fccherwurm") // ü as one character
	open := func(passphrase string) ([]byte, error) { return v.Open(t.Context(), passphrase) }

	if _, err := open(""); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), "parley unlock") {
		t.Errorf("no passphrase: %v", err)
	}
	for _, wrong := range []string{"x", "bucherwurm", strings.Repeat("x", 2000)} {
		if _, err := open(wrong); !errors.Is(err, ErrWrongPassphrase) {
			t.Errorf("passphrase %.20q: %v", wrong, err)
		}
	}
	if got, err := open("bu\u0308cherwurm"); err != nil || !bytes.Equal(got, key) { // ü as two
		t.Errorf("composed otherwise: %v", err)
	}

	if err := v.ChangePassphrase(t.Context(), "wrong one", "another phrase"); !errors.Is(err, ErrWrongPassphrase) {
		t.Errorf("change with a wrong one: %v", err)
	}
	if err := v.ChangePassphrase(t.Context(), "b\u00fccherwurm", "short"); !errors.Is(err, ErrPassphrase) {
		t.Errorf("change to a short one: %v", err)
	}
	if got, err := open("b\u00fccherwurm"); err != nil || !bytes.Equal(got, key) {
		t.Errorf("after changes that failed: %v", err)
	}
	if err := v.ChangePassphrase(t.Context(), "b\u00fccherwurm", "another phrase"); err != nil {
		t.Fatal(err)
	}
	if got, err := open("another phrase"); err != nil || !bytes.Equal(got, key) {
		t.Errorf("after the change: %v", err)
	}
	if _, err := open("b\u00fccherwurm"); !errors.Is(err, ErrWrongPassphrase) {
		t.Errorf("the old one after the change: %v", err)
	}
	checkFiles(t, cfg.Folder, PlacePassphrase, key)
}

func TestVaultChangePassphraseElsewhere(t *testing.T) {
	v := vaultAt(VaultConfig{Folder: testFolder(t)}, newService())
	if err := v.ChangePassphrase(t.Context(), "a", "correct horse"); !errors.Is(err, ErrNoVault) {
		t.Errorf("before create: %v", err)
	}
	mustCreate(t, v, PlaceFile, "")
	if err := v.ChangePassphrase(t.Context(), "a", "correct horse"); !errors.Is(err, ErrPlace) {
		t.Errorf("of a file: %v", err)
	}
}

// The costs that are used in earnest are within the bounds that reading allows.
func TestVaultDefaultCosts(t *testing.T) {
	s, err := seal(make([]byte, KeySize), "id", "correct horse", argonParams{Time: 1, Memory: 64, Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	s.argonParams = defaultArgon
	if err := s.validate(); err != nil {
		t.Error(err)
	}
}

func TestVaultTampered(t *testing.T) {
	// edit changes one place in key.json.
	edit := func(path ...string) func(value any) func(*testing.T, string) {
		return func(value any) func(*testing.T, string) {
			return func(t *testing.T, folder string) {
				file := filepath.Join(folder, vaultFile)
				b, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				var m map[string]any
				if err := json.Unmarshal(b, &m); err != nil {
					t.Fatal(err)
				}
				at := m
				for _, p := range path[:len(path)-1] {
					at = at[p].(map[string]any)
				}
				if _, ok := at[path[len(path)-1]]; !ok {
					t.Fatalf("no %v in key.json", path)
				}
				at[path[len(path)-1]] = value
				if b, err = json.Marshal(m); err != nil {
					t.Fatal(err)
				}
				write(t, file, b)
			}
		}
	}
	put := func(name, text string) func(*testing.T, string) {
		return func(t *testing.T, folder string) { write(t, filepath.Join(folder, name), []byte(text)) }
	}
	remove := func(name string) func(*testing.T, string) {
		return func(t *testing.T, folder string) {
			if err := os.Remove(filepath.Join(folder, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	mode := func(name string, mode os.FileMode) func(*testing.T, string) {
		return func(t *testing.T, folder string) {
			if err := os.Chmod(filepath.Join(folder, name), mode); err != nil {
				t.Fatal(err)
			}
		}
	}
	link := func(name string) func(*testing.T, string) {
		return func(t *testing.T, folder string) {
			path := filepath.Join(folder, name)
			if err := errors.Join(os.Rename(path, path+".real"), os.Symlink(path+".real", path)); err != nil {
				t.Fatal(err)
			}
		}
	}
	fifo := func(t *testing.T, folder string) {
		path := filepath.Join(folder, keyFile)
		if err := errors.Join(os.Remove(path), syscall.Mkfifo(path, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	const zeros = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" // 48 bytes

	tests := []struct {
		name   string
		place  Place
		tamper func(*testing.T, string)
		want   error
	}{
		{"key file gone", PlaceFile, remove(keyFile), ErrKeyMissing},
		{"key file empty", PlaceFile, put(keyFile, ""), ErrDamaged},
		{"key file cut", PlaceFile, put(keyFile, someKey[:60]), ErrDamaged},
		{"key file huge", PlaceFile, put(keyFile, strings.Repeat("a", 1<<20)), ErrDamaged},
		{"another key", PlaceFile, put(keyFile, someKey), ErrWrongKey},
		{"key file open to others", PlaceFile, mode(keyFile, 0o640), ErrPermissions},
		{"key.json open to others", PlaceFile, mode(vaultFile, 0o604), ErrPermissions},
		{"folder others can write", PlaceFile, mode(".", 0o770), ErrPermissions},
		{"key file a link", PlaceFile, link(keyFile), ErrDamaged},
		{"key file a pipe", PlaceFile, fifo, ErrDamaged},
		{"key.json gone", PlaceFile, remove(vaultFile), ErrNoVault},
		{"key.json empty", PlaceFile, put(vaultFile, ""), ErrDamaged},
		{"key.json huge", PlaceFile, put(vaultFile, strings.Repeat(" ", 1<<20)+"{}"), ErrDamaged},
		{"unknown place", PlaceFile, edit("place")("cloud"), ErrDamaged},
		{"no place", PlaceFile, edit("place")(""), ErrDamaged},
		{"place without content", PlaceFile, edit("place")("passphrase"), ErrDamaged},
		{"newer version", PlaceFile, edit("version")(2), ErrDamaged},
		{"version 0", PlaceFile, edit("version")(0), ErrDamaged},
		{"malformed id", PlaceFile, edit("id")("../../x"), ErrDamaged},
		{"other check", PlaceFile, edit("check")(someKey[:32]), ErrWrongKey},
		{"endless time", PlacePassphrase, edit("sealed", "time")(1 << 31), ErrDamaged},
		{"all memory", PlacePassphrase, edit("sealed", "memory_kib")(1 << 31), ErrDamaged},
		{"no memory", PlacePassphrase, edit("sealed", "memory_kib")(0), ErrDamaged},
		{"no threads", PlacePassphrase, edit("sealed", "threads")(0), ErrDamaged},
		{"other time", PlacePassphrase, edit("sealed", "time")(2), ErrWrongPassphrase},
		{"other algorithm", PlacePassphrase, edit("sealed", "kdf")("none"), ErrDamaged},
		{"short salt", PlacePassphrase, edit("sealed", "salt")("AAAA"), ErrDamaged},
		{"short key", PlacePassphrase, edit("sealed", "key")("AAAA"), ErrDamaged},
		{"other key", PlacePassphrase, edit("sealed", "key")(zeros), ErrWrongPassphrase},
		{"other id", PlacePassphrase, edit("id")(someKey[:32]), ErrWrongPassphrase},
		{"secret gone", PlaceService, edit("id")(someKey[:32]), ErrKeyMissing},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := vaultAt(VaultConfig{Folder: testFolder(t)}, newService())
			passphrase := ""
			if tt.place == PlacePassphrase {
				passphrase = "correct horse"
			}
			mustCreate(t, v, tt.place, passphrase)
			tt.tamper(t, v.cfg.Folder)
			key, err := v.Open(t.Context(), passphrase)
			if !errors.Is(err, tt.want) || key != nil {
				t.Errorf("%x, %v; want %v", key, err, tt.want)
			}
			if errors.Is(tt.want, ErrPermissions) && !strings.Contains(err.Error(), "chmod") {
				t.Errorf("%v: does not say what to do", err)
			}
		})
	}
}

// A key without key.json may be that of a database: it is used again, and never
// overwritten.
func TestVaultStrayKey(t *testing.T) {
	v := vaultAt(VaultConfig{Folder: testFolder(t)}, newService())
	key := mustCreate(t, v, PlaceFile, "")
	if err := os.Remove(v.path(vaultFile)); err != nil {
		t.Fatal(err)
	}
	for _, place := range []Place{PlaceService, PlacePassphrase} {
		passphrase := ""
		if place == PlacePassphrase {
			passphrase = "correct horse"
		}
		if _, err := v.Create(t.Context(), place, passphrase); !errors.Is(err, ErrVaultExists) {
			t.Errorf("%s: %v", place, err)
		}
	}
	if got := mustCreate(t, v, "", ""); !bytes.Equal(got, key) {
		t.Errorf("key %x, want %x", got, key)
	}
}

func TestVaultServiceSecretReplaced(t *testing.T) {
	service := newService()
	v := vaultAt(VaultConfig{Folder: testFolder(t)}, service)
	mustCreate(t, v, "", "")
	for user := range service.secrets {
		service.secrets[user] = "not a key"
	}
	if _, err := v.Open(t.Context(), ""); !errors.Is(err, ErrWrongKey) {
		t.Errorf("no key: %v", err)
	}
	for user := range service.secrets {
		service.secrets[user] = someKey
	}
	if _, err := v.Open(t.Context(), ""); !errors.Is(err, ErrWrongKey) {
		t.Errorf("another key: %v", err)
	}
}

// The place never changes by itself: a service that is gone locks the account
// and does not make it begin anew in a file.
func TestVaultServiceGone(t *testing.T) {
	service := newService()
	v := vaultAt(VaultConfig{Folder: testFolder(t)}, service)
	key := mustCreate(t, v, "", "")
	service.absent = true
	if _, err := v.Open(t.Context(), ""); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), "parley unlock") {
		t.Errorf("absent: %v", err)
	}
	service.absent, service.err = false, errors.New("collection is locked")
	if _, err := v.Open(t.Context(), ""); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), "collection is locked") {
		t.Errorf("failing: %v", err)
	}
	service.err = nil
	if got, err := v.Open(t.Context(), ""); err != nil || !bytes.Equal(got, key) {
		t.Errorf("back again: %v", err)
	}
}

func TestVaultServiceHangsAtCreate(t *testing.T) {
	folder := testFolder(t)
	synctest.Test(t, func(t *testing.T) {
		service := newService()
		service.hang = make(chan struct{})
		v := vaultAt(VaultConfig{Folder: folder}, service)
		began := time.Now()
		mustCreate(t, v, "", "")
		if took := time.Since(began); took != 10*time.Second {
			t.Errorf("gave up after %s", took)
		}
		if place, err := v.Place(); err != nil || place != PlaceFile {
			t.Errorf("place %q, %v", place, err)
		}
		close(service.hang)
		synctest.Wait()
		if len(service.secrets) > 0 {
			t.Error("the service has a key that is not used")
		}
	})
}

func TestVaultServiceHangsAtOpen(t *testing.T) {
	folder := testFolder(t)
	synctest.Test(t, func(t *testing.T) {
		service := newService()
		v := vaultAt(VaultConfig{Folder: folder}, service)
		key := mustCreate(t, v, "", "")
		service.hang, service.gets = make(chan struct{}), 0
		for range 3 {
			if _, err := v.Open(t.Context(), ""); !errors.Is(err, ErrLocked) {
				t.Errorf("hanging: %v", err)
			}
		}
		synctest.Wait()
		if service.gets != 1 {
			t.Errorf("asked %d times", service.gets)
		}
		close(service.hang) // the user unlocked the keyring
		if got, err := v.Open(t.Context(), ""); err != nil || !bytes.Equal(got, key) {
			t.Errorf("after it answered: %v", err)
		}
		if got, err := v.Open(t.Context(), ""); err != nil || !bytes.Equal(got, key) {
			t.Errorf("and once more: %v", err)
		}
	})
}

func TestVaultCancelled(t *testing.T) {
	folder := testFolder(t)
	service := newService()
	mustCreate(t, vaultAt(VaultConfig{Folder: folder}, service), "", "")
	service.hang = make(chan struct{})
	defer close(service.hang)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := vaultAt(VaultConfig{Folder: folder}, service).Open(ctx, ""); err == nil {
		t.Error("opened")
	}
}

// With the real library, whose backend is replaced by one in memory.
func TestVaultKeyring(t *testing.T) {
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent")
	keyring.MockInit()
	v := NewVault(VaultConfig{Folder: testFolder(t)})
	key := mustCreate(t, v, "", "")
	if place, err := v.Place(); err != nil || place != PlaceService {
		t.Errorf("place %q, %v", place, err)
	}
	if got, err := v.Open(t.Context(), ""); err != nil || !bytes.Equal(got, key) {
		t.Errorf("open: %v", err)
	}
	keyring.MockInitWithError(errors.New("dbus: connection closed"))
	if _, err := v.Open(t.Context(), ""); !errors.Is(err, ErrLocked) {
		t.Errorf("failing: %v", err)
	}
	v = NewVault(VaultConfig{Folder: testFolder(t)})
	mustCreate(t, v, "", "")
	if place, err := v.Place(); err != nil || place != PlaceFile {
		t.Errorf("place with a failing keyring %q, %v", place, err)
	}
}

func TestVaultReachable(t *testing.T) {
	runtime := t.TempDir()
	t.Setenv("XDG_RUNTIME_DIR", runtime)
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "")
	if (desktopService{}).Reachable() {
		t.Error("reachable without a bus")
	}
	write(t, filepath.Join(runtime, "bus"), nil)
	if !(desktopService{}).Reachable() {
		t.Error("not reachable with a bus")
	}
}

func TestDescriptor(t *testing.T) {
	raw, err := hex.DecodeString(someKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"bytes": string(raw), "hexadecimal": someKey, "with a line's end": someKey + "\r\n",
		"base64": "ABEiM0RVZneImaq7zN3u/wARIjNEVWZ3iJmqu8zd7v8=",
	} {
		t.Run(name, func(t *testing.T) {
			d := pipe(t, text)
			for range 2 { // it remembers what cannot be read twice
				v := vaultAt(VaultConfig{Folder: testFolder(t), Descriptor: d}, newService())
				if key := mustCreate(t, v, "", ""); !bytes.Equal(key, raw) {
					t.Errorf("key %x", key)
				}
			}
		})
	}
	for name, text := range map[string]string{"nothing": "", "too little": "abc", "too much": strings.Repeat("a", 1000)} {
		t.Run(name, func(t *testing.T) {
			v := vaultAt(VaultConfig{Folder: testFolder(t), Descriptor: pipe(t, text)}, newService())
			if _, err := v.Create(t.Context(), "", ""); !errors.Is(err, ErrLocked) {
				t.Errorf("%v", err)
			}
		})
	}
	t.Run("another key later", func(t *testing.T) {
		folder := testFolder(t)
		mustCreate(t, vaultAt(VaultConfig{Folder: folder, Descriptor: pipe(t, someKey)}, newService()), "", "")
		v := vaultAt(VaultConfig{Folder: folder, Descriptor: pipe(t, strings.Repeat("0", 64))}, newService())
		if _, err := v.Open(t.Context(), ""); !errors.Is(err, ErrWrongKey) {
			t.Errorf("another key: %v", err)
		}
		v = vaultAt(VaultConfig{Folder: folder}, newService())
		if _, err := v.Open(t.Context(), ""); !errors.Is(err, ErrLocked) {
			t.Errorf("no descriptor: %v", err)
		}
	})
}

// A writer that never writes must not hold up the core.
func TestDescriptorHangs(t *testing.T) {
	var fds [2]int
	if err := syscall.Pipe(fds[:]); err != nil {
		t.Fatal(err)
	}
	v := vaultAt(VaultConfig{Folder: testFolder(t), Descriptor: NewDescriptor(fds[0]), Timeout: time.Millisecond}, newService())
	if _, err := v.Create(t.Context(), "", ""); !errors.Is(err, ErrLocked) {
		t.Errorf("%v", err)
	}
	if err := syscall.Close(fds[1]); err != nil {
		t.Fatal(err)
	}
}

func TestVaultCredential(t *testing.T) {
	cfg := VaultConfig{Folder: testFolder(t), Credentials: t.TempDir()}
	path := filepath.Join(cfg.Credentials, unitKey)
	write(t, path, []byte(someKey))
	if err := os.Chmod(path, 0o440); err != nil { // as systemd's access lists look
		t.Fatal(err)
	}
	v := vaultAt(cfg, newService())
	mustCreate(t, v, "", "")
	if err := errors.Join(os.Chmod(path, 0o600), os.WriteFile(path, []byte("no key"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Open(t.Context(), ""); !errors.Is(err, ErrDamaged) {
		t.Errorf("no key: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Open(t.Context(), ""); !errors.Is(err, ErrKeyMissing) {
		t.Errorf("missing: %v", err)
	}
}

func TestVaultUnwritableFolder(t *testing.T) {
	v := vaultAt(VaultConfig{Folder: filepath.Join(t.TempDir(), "missing")}, newService())
	if _, err := v.Create(t.Context(), PlaceFile, ""); err == nil {
		t.Error("made a key in a folder that is not there")
	}
}
