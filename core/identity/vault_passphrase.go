package identity

import (
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/chacha20poly1305"
	"golang.org/x/text/unicode/norm"

	"github.com/parley-chat/parley/internal/failure"
)

// argonParams are the costs of Argon2id.
type argonParams struct {
	Time    uint32 `json:"time"`
	Memory  uint32 `json:"memory_kib"`
	Threads uint8  `json:"threads"`
}

// defaultArgon is the second recommendation of RFC 9106.
var defaultArgon = argonParams{Time: 3, Memory: 64 << 10, Threads: 4}

// maxArgon bounds what a file somebody tampered with can make us spend.
var maxArgon = argonParams{Time: 16, Memory: 1 << 20, Threads: 16}

const (
	saltSize      = 16
	minPassphrase = 8    // characters
	maxPassphrase = 1024 // bytes
)

// sealed is a key that a passphrase opens: ChaCha20-Poly1305 under a key that
// Argon2id makes of the passphrase (in form NFKC) and a fresh salt.
type sealed struct {
	argonParams
	KDF   string `json:"kdf"`  // "argon2id"
	AEAD  string `json:"aead"` // "chacha20poly1305"
	Salt  []byte `json:"salt"`
	Nonce []byte `json:"nonce"`
	Key   []byte `json:"key"`
}

func (s *sealed) validate() error {
	switch {
	case s.KDF != "argon2id" || s.AEAD != "chacha20poly1305":
		return errors.New("unknown algorithm")
	case s.Time < 1 || s.Time > maxArgon.Time || s.Threads < 1 || s.Threads > maxArgon.Threads ||
		s.Memory < 8*uint32(s.Threads) || s.Memory > maxArgon.Memory:
		return errors.New("costs out of range")
	case len(s.Salt) != saltSize || len(s.Nonce) != chacha20poly1305.NonceSize || len(s.Key) != KeySize+chacha20poly1305.Overhead:
		return errors.New("malformed key")
	}
	return nil
}

func checkPassphrase(passphrase string) error {
	switch {
	case !utf8.ValidString(passphrase) || len(passphrase) > maxPassphrase:
		return failure.New(ErrPassphrase, "a passphrase is text of at most %d bytes: choose another", maxPassphrase).Because("PASSPHRASE_TOO_LONG", "limit", maxPassphrase)
	case utf8.RuneCountInString(norm.NFKC.String(passphrase)) < minPassphrase:
		return failure.New(ErrPassphrase, "a passphrase has at least %d characters: choose a longer one", minPassphrase).Because("PASSPHRASE_TOO_SHORT", "limit", minPassphrase)
	}
	return nil
}

func (s *sealed) aead(passphrase string) (cipher.AEAD, error) {
	// Input methods differ in how they compose characters.
	text := norm.NFKC.Bytes([]byte(passphrase))
	derived := argon2.IDKey(text, s.Salt, s.Time, s.Memory, s.Threads, chacha20poly1305.KeySize)
	defer clear(derived)
	return chacha20poly1305.New(derived)
}

func associated(id string) []byte { return []byte("parley vault v1\x00" + id) }

func seal(key []byte, id, passphrase string, params argonParams) (*sealed, error) {
	s := &sealed{
		argonParams: params, KDF: "argon2id", AEAD: "chacha20poly1305",
		Salt: make([]byte, saltSize), Nonce: make([]byte, chacha20poly1305.NonceSize),
	}
	_, _ = rand.Read(s.Salt) // never fails, see crypto/rand
	_, _ = rand.Read(s.Nonce)
	aead, err := s.aead(passphrase)
	if err != nil {
		return nil, fmt.Errorf("protect key: %w", err)
	}
	s.Key = aead.Seal(nil, s.Nonce, key, associated(id))
	return s, nil
}

func (v *Vault) fromPassphrase(rec *record, passphrase string) ([]byte, error) {
	if passphrase == "" {
		return nil, failure.New(ErrLocked, "the account is protected by a passphrase: run  parley unlock")
	}
	if len(passphrase) > maxPassphrase {
		return nil, failure.New(ErrWrongPassphrase, "that is not the passphrase: try again").Because("WRONG_PASSPHRASE")
	}
	aead, err := rec.Sealed.aead(passphrase)
	if err != nil {
		return nil, fmt.Errorf("open key: %w", err)
	}
	key, err := aead.Open(nil, rec.Sealed.Nonce, rec.Sealed.Key, associated(rec.ID))
	if err != nil {
		return nil, failure.New(ErrWrongPassphrase, "that is not the passphrase (or %s was changed): try again", v.path(vaultFile)).Because("WRONG_PASSPHRASE")
	}
	return key, nil
}
