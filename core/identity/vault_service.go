package identity

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/zalando/go-keyring"

	"github.com/parley-chat/parley/internal/failure"
)

// serviceName is the "service" under which the desktop's keyring lists the keys.
const serviceName = "parley"

// secretService is what is used of the desktop's Secret Service. Calls may hang.
type secretService interface {
	// Reachable says whether asking makes sense at all. It does not hang.
	Reachable() bool
	Set(service, user, secret string) error
	// Get gives keyring.ErrNotFound when there is no such secret.
	Get(service, user string) (string, error)
	Delete(service, user string) error
}

type desktopService struct{}

// Reachable looks for a session bus. Without one the D-Bus library would start
// one of its own, where nobody keeps secrets.
func (desktopService) Reachable() bool {
	if os.Getenv("DBUS_SESSION_BUS_ADDRESS") != "" {
		return true
	}
	folder := os.Getenv("XDG_RUNTIME_DIR")
	if folder == "" {
		return false
	}
	_, err := os.Stat(filepath.Join(folder, "bus")) //nolint:gosec // the user's own environment
	return err == nil
}

// Set implements secretService.
func (desktopService) Set(service, user, secret string) error {
	return keyring.Set(service, user, secret)
}

// Get implements secretService.
func (desktopService) Get(service, user string) (string, error) { return keyring.Get(service, user) }

// Delete implements secretService.
func (desktopService) Delete(service, user string) error { return keyring.Delete(service, user) }

var errNoService = errors.New("there is no desktop session")

// keepService stores the key and reads it back, in the time that is allowed.
// Should it be stored after that, it is deleted again.
func (v *Vault) keepService(ctx context.Context, id string, key []byte) error {
	if !v.service.Reachable() {
		return errNoService
	}
	ctx, cancel := context.WithTimeout(ctx, v.cfg.Timeout)
	defer cancel()
	secret := hex.EncodeToString(key)
	result := make(chan error) // no buffer: the sender learns whether it was heard
	go func() {
		err := v.service.Set(serviceName, id, secret)
		if err == nil {
			var back string
			if back, err = v.service.Get(serviceName, id); err == nil && back != secret {
				err = errors.New("it gave back something else")
			}
		}
		select {
		case result <- err:
		case <-ctx.Done():
			// The user may be told "file" already.
			_ = v.service.Delete(serviceName, id)
		}
	}()
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return fmt.Errorf("it did not answer within %s", v.cfg.Timeout)
	}
}

// serviceLookup is a question to the Secret Service. done is closed when it is
// answered.
type serviceLookup struct {
	done   chan struct{}
	secret string
	err    error
}

// fromService asks the Secret Service for the key. A question that got no
// answer in time is not asked again, but its answer taken when it comes: the
// keyring asks the user for a password only once, and hung calls do not pile up.
func (v *Vault) fromService(ctx context.Context, id string) ([]byte, error) {
	if !v.service.Reachable() {
		return nil, failure.New(ErrLocked, "the key of the account is in the desktop's keyring, and there is no desktop session: log in to the desktop, then run  parley unlock")
	}
	ctx, cancel := context.WithTimeout(ctx, v.cfg.Timeout)
	defer cancel()
	l := v.startLookup(id)
	select {
	case <-ctx.Done():
		return nil, failure.New(ErrLocked, "the desktop's keyring did not answer: unlock it, then run  parley unlock")
	case <-l.done:
	}
	v.endLookup(l)
	switch {
	case errors.Is(l.err, keyring.ErrNotFound):
		return nil, failure.New(ErrKeyMissing, "the desktop's keyring has no key for this account (entry %q of %q): restore the keyring; without the key the messages cannot be read", id, serviceName)
	case l.err != nil:
		return nil, failure.New(ErrLocked, "the desktop's keyring did not give the key (%v): unlock it, then run  parley unlock", l.err)
	}
	key, err := hex.DecodeString(l.secret)
	if err != nil || len(key) != KeySize {
		return nil, failure.New(ErrWrongKey, "the desktop's keyring has something else in place of the key (entry %q of %q): restore the keyring", id, serviceName)
	}
	return key, nil
}

func (v *Vault) startLookup(id string) *serviceLookup {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.lookup != nil {
		return v.lookup
	}
	l := &serviceLookup{done: make(chan struct{})}
	v.lookup = l
	go func() {
		defer close(l.done)
		l.secret, l.err = v.service.Get(serviceName, id)
	}()
	return l
}

func (v *Vault) endLookup(l *serviceLookup) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.lookup == l {
		v.lookup = nil
	}
}
