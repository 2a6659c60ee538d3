package identity

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/zeebo/blake3"

	"github.com/parley-chat/parley/internal/failure"
)

// KeySize is the length of a database's key in bytes.
const KeySize = 32

// Place is where a database's key is kept.
type Place string

// The places. They are written to disk: never rename.
const (
	// PlaceService: the desktop's Secret Service.
	PlaceService Place = "secret-service"
	// PlaceFile: a file that only the user can read, beside the database. It
	// protects a backup that leaves it out, and nothing else.
	PlaceFile Place = "file"
	// PlacePassphrase: a file that a passphrase opens.
	PlacePassphrase Place = "passphrase"
	// PlaceDescriptor: whoever starts the core hands the key in.
	PlaceDescriptor Place = "descriptor"
	// PlaceCredential: a systemd credential.
	PlaceCredential Place = "credential"
)

// ParsePlace checks s; empty stays empty.
func ParsePlace(s string) (Place, error) {
	switch p := Place(s); p {
	case "", PlaceService, PlaceFile, PlacePassphrase, PlaceDescriptor, PlaceCredential:
		return p, nil
	}
	return "", failure.New(ErrPlace, "%.40q is no place to keep a key: use secret-service, file, passphrase, descriptor or credential", s)
}

// VaultConfig says where a vault may keep its key.
type VaultConfig struct {
	// Folder of the account; it must exist.
	Folder string
	// Descriptor hands the key in; nil when there is none.
	Descriptor *Descriptor
	// Credentials is systemd's $CREDENTIALS_DIRECTORY, empty when there is none.
	Credentials string
	// Timeout bounds what the Secret Service may take, which can hang, or ask
	// the user to unlock it; 10 s if 0.
	Timeout time.Duration
}

// Vault keeps the key of one account's database. Where it is kept is decided
// once, by Create, is written to the file key.json, and never changes by
// itself. Its methods may be called concurrently.
type Vault struct {
	cfg     VaultConfig
	service secretService
	argon   argonParams // for new passphrases

	mu     sync.Mutex     // guards lookup; not held while it runs
	lookup *serviceLookup // a question to the Secret Service without an answer yet
}

// NewVault gives the vault of a folder; it reads nothing yet.
func NewVault(cfg VaultConfig) *Vault {
	if cfg.Timeout <= 0 {
		cfg.Timeout = 10 * time.Second
	}
	return &Vault{cfg: cfg, service: desktopService{}, argon: defaultArgon}
}

const (
	vaultFile    = "key.json"
	keyFile      = "db.key"
	vaultVersion = 1
	maxVaultFile = 16 << 10
)

// record is what key.json says.
type record struct {
	Version int   `json:"version"`
	Place   Place `json:"place"`
	// ID names the key in the Secret Service; 32 hexadecimal digits.
	ID string `json:"id"`
	// Check tells this key from others without telling anything of it; 32
	// hexadecimal digits.
	Check  string  `json:"check"`
	Sealed *sealed `json:"sealed,omitempty"` // the key, when a passphrase opens it
}

// Place says where the key is kept. ErrNoVault before Create.
func (v *Vault) Place() (Place, error) {
	rec, err := v.read()
	if err != nil {
		return "", err
	}
	return rec.Place, nil
}

// Create makes the key and keeps it. An empty place means the best there is:
// the passphrase, if one is given; what is handed in; the Secret Service, if it
// answers; else a file. ErrVaultExists when there is a key already, ErrPlace
// when the place is asked for and cannot be used.
func (v *Vault) Create(ctx context.Context, place Place, passphrase string) ([]byte, error) {
	if _, err := v.read(); err == nil {
		return nil, failure.New(ErrVaultExists, "%s is there already: the account has its key", v.path(vaultFile))
	} else if !errors.Is(err, ErrNoVault) {
		return nil, err
	}
	place, err := v.choose(place, passphrase)
	if err != nil {
		return nil, err
	}
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails, see crypto/rand
	rec := &record{Version: vaultVersion, Place: place, ID: hex.EncodeToString(id[:])}
	key, err := v.keep(ctx, rec, passphrase)
	if err != nil {
		return nil, err
	}
	rec.Check = checkOf(key)
	if err := v.write(rec); err != nil {
		return nil, err
	}
	return key, nil
}

// choose decides where a new key goes. "" means the Secret Service or, if that
// does not answer, a file.
func (v *Vault) choose(place Place, passphrase string) (Place, error) {
	_, err := os.Lstat(v.path(keyFile))
	stray := err == nil
	switch {
	case place == "" && passphrase != "":
		place = PlacePassphrase
	case place == "" && stray:
		place = PlaceFile
	case place == "" && v.cfg.Descriptor != nil:
		place = PlaceDescriptor
	case place == "" && v.hasCredential():
		place = PlaceCredential
	}
	switch {
	case place != PlaceFile && stray:
		return "", failure.New(ErrVaultExists, "%s is there, but %s, which says how it is used, is not: put %s back, or move the key away if it is of no use",
			v.path(keyFile), vaultFile, vaultFile)
	case place != "" && place != PlacePassphrase && passphrase != "":
		return "", failure.New(ErrPlace, "a key kept in the place %q has no passphrase: leave one of the two out", place)
	}
	return place, nil
}

// keep makes or takes the key and puts it where rec says, which it completes.
func (v *Vault) keep(ctx context.Context, rec *record, passphrase string) ([]byte, error) {
	switch rec.Place {
	case PlaceDescriptor:
		return v.handedIn(ctx)
	case PlaceCredential:
		return v.credential()
	case PlaceFile:
		return v.keepFile()
	case PlacePassphrase:
		if err := checkPassphrase(passphrase); err != nil {
			return nil, err
		}
		key := newKey()
		var err error
		rec.Sealed, err = seal(key, rec.ID, passphrase, v.argon)
		return key, err
	}
	key := newKey()
	err := v.keepService(ctx, rec.ID, key)
	switch {
	case err == nil:
		rec.Place = PlaceService
		return key, nil
	case rec.Place == PlaceService:
		return nil, failure.New(ErrPlace, "the Secret Service cannot keep the key (%v): unlock the desktop's keyring and try again, or choose the place \"file\"", err).Because("KEYRING", "why", err)
	}
	rec.Place = PlaceFile
	return v.keepFile()
}

// Open gives the key. passphrase is used only if the key is kept so. ErrNoVault
// before Create; ErrLocked when the user has to do something first;
// ErrWrongPassphrase, ErrKeyMissing, ErrWrongKey, ErrPermissions, ErrDamaged.
func (v *Vault) Open(ctx context.Context, passphrase string) ([]byte, error) {
	rec, err := v.read()
	if err != nil {
		return nil, err
	}
	var key []byte
	switch rec.Place {
	case PlaceService:
		key, err = v.fromService(ctx, rec.ID)
	case PlaceFile:
		key, err = v.fromFile()
	case PlacePassphrase:
		key, err = v.fromPassphrase(rec, passphrase)
	case PlaceDescriptor:
		key, err = v.handedIn(ctx)
	case PlaceCredential:
		key, err = v.credential()
	}
	if err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare([]byte(checkOf(key)), []byte(rec.Check)) != 1 {
		return nil, failure.New(ErrWrongKey, "the key kept in the place %q is not the one of this account: put back the one that was there", rec.Place)
	}
	return key, nil
}

// ChangePassphrase replaces the passphrase of a key that has one. After a crash
// one of the two opens it.
func (v *Vault) ChangePassphrase(_ context.Context, old, passphrase string) error {
	rec, err := v.read()
	if err != nil {
		return err
	}
	if rec.Place != PlacePassphrase {
		return failure.New(ErrPlace, "the key is kept in the place %q and has no passphrase to change", rec.Place)
	}
	if err := checkPassphrase(passphrase); err != nil {
		return err
	}
	key, err := v.fromPassphrase(rec, old)
	if err != nil {
		return err
	}
	defer clear(key)
	if rec.Sealed, err = seal(key, rec.ID, passphrase, v.argon); err != nil {
		return err
	}
	return v.write(rec)
}

func (v *Vault) path(name string) string { return filepath.Join(v.cfg.Folder, name) }

func (v *Vault) read() (*record, error) {
	path := v.path(vaultFile)
	b, err := readPrivate(path, maxVaultFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, failure.New(ErrNoVault, "no key was made in %s yet", v.cfg.Folder)
	}
	if err != nil {
		return nil, err
	}
	return parseRecord(path, b)
}

func parseRecord(path string, b []byte) (*record, error) {
	rec := &record{}
	err := json.Unmarshal(b, rec)
	if err == nil && rec.Version > vaultVersion {
		return nil, failure.New(ErrDamaged, "%s was written by a newer version of Parley: use that one", path)
	}
	if err == nil {
		err = rec.validate()
	}
	if err != nil {
		return nil, failure.New(ErrDamaged, "%s is damaged (%v): put it back from a backup; without it the messages cannot be read", path, err)
	}
	return rec, nil
}

func (rec *record) validate() error {
	isHex := func(s string) bool {
		b, err := hex.DecodeString(s)
		return err == nil && len(b) == 16
	}
	place, err := ParsePlace(string(rec.Place))
	switch {
	case err != nil || place == "":
		return errors.New("unknown place")
	case rec.Version < 1:
		return errors.New("unknown version")
	case !isHex(rec.ID) || !isHex(rec.Check):
		return errors.New("malformed id or check")
	case (rec.Sealed != nil) != (place == PlacePassphrase):
		return errors.New("place and content do not fit")
	case rec.Sealed != nil:
		return rec.Sealed.validate()
	}
	return nil
}

func (v *Vault) write(rec *record) error {
	b, err := json.MarshalIndent(rec, "", "  ")
	if err != nil {
		return failure.New(ErrDamaged, "encode %s: %v", vaultFile, err)
	}
	return writePrivate(v.path(vaultFile), append(b, '\n'))
}

func newKey() []byte {
	key := make([]byte, KeySize)
	_, _ = rand.Read(key) // never fails, see crypto/rand
	return key
}

// checkOf is half of a hash of the key for this purpose alone.
func checkOf(key []byte) string {
	var sum [16]byte
	blake3.DeriveKey("parley 2026 database key check v1", key, sum[:])
	return hex.EncodeToString(sum[:])
}
