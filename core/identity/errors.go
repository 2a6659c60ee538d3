package identity

import "errors"

// Errors of a Vault. They come as a sentence that says what to do.
var (
	// ErrNoVault: no key was made yet in this folder.
	ErrNoVault = errors.New("no key yet")
	// ErrVaultExists: a key was made here already.
	ErrVaultExists = errors.New("key exists already")
	// ErrLocked: the key cannot be had until the user does something.
	ErrLocked = errors.New("locked")
	// ErrWrongPassphrase: the passphrase does not open the key.
	ErrWrongPassphrase = errors.New("wrong passphrase")
	// ErrPassphrase: a new passphrase is too short or not text.
	ErrPassphrase = errors.New("unusable passphrase")
	// ErrKeyMissing: the place where the key was kept does not have it any more.
	ErrKeyMissing = errors.New("key is missing")
	// ErrWrongKey: the place has another key than the one that was made.
	ErrWrongKey = errors.New("another key")
	// ErrPermissions: others could read or replace the key.
	ErrPermissions = errors.New("permissions too open")
	// ErrDamaged: a file of the vault cannot be what was written.
	ErrDamaged = errors.New("damaged")
	// ErrPlace: no such place, or it cannot be used here.
	ErrPlace = errors.New("unusable place")
)
