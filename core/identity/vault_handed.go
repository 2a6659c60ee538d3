package identity

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/parley-chat/parley/internal/failure"
)

// unitKey is what the unit's LoadCredential calls the key.
const unitKey = "parley.key"

// Descriptor is an open file from which whoever started the core hands the key
// in. It is read once, at the first need, and remembered, because a pipe cannot
// be read again.
type Descriptor struct {
	once sync.Once
	file *os.File
	done chan struct{} // closed when read
	key  []byte        // valid, as is err, after done
	err  error
}

// NewDescriptor takes over file descriptor fd. A negative one, or one that is not
// open, shows when the key is needed.
func NewDescriptor(fd int) *Descriptor {
	return &Descriptor{file: os.NewFile(uintptr(fd), fmt.Sprintf("descriptor %d", fd)), done: make(chan struct{})}
}

// read waits for the key until ctx ends.
func (d *Descriptor) read(ctx context.Context) ([]byte, error) {
	d.once.Do(func() {
		// A writer that neither writes nor closes must not hold up the core, so
		// the read has a goroutine of its own, which ends with the writer.
		go func() {
			defer close(d.done)
			if d.file == nil {
				d.err = errors.New("it is not open")
				return
			}
			defer func() { _ = d.file.Close() }()
			b, err := io.ReadAll(io.LimitReader(d.file, maxKeyText+1))
			if err == nil {
				d.key, err = parseKey(b)
			}
			d.err = err
		}()
	})
	select {
	case <-ctx.Done():
		return nil, errors.New("nothing came in time")
	case <-d.done:
		// A copy, because callers may wipe theirs.
		return append([]byte(nil), d.key...), d.err
	}
}

// handedIn gives the key of the descriptor.
func (v *Vault) handedIn(ctx context.Context) ([]byte, error) {
	d := v.cfg.Descriptor
	if d == nil {
		return nil, failure.New(ErrLocked, "the key of the account is handed in by a file descriptor: start the core with one, parley daemon --key-fd N")
	}
	ctx, cancel := context.WithTimeout(ctx, v.cfg.Timeout)
	defer cancel()
	key, err := d.read(ctx)
	if err != nil {
		return nil, failure.New(ErrLocked, "the file descriptor gave no key (%v): start the core again with one that does", err)
	}
	return key, nil
}

func (v *Vault) hasCredential() bool {
	if v.cfg.Credentials == "" {
		return false
	}
	_, err := os.Stat(filepath.Join(v.cfg.Credentials, unitKey))
	return err == nil
}

// credential reads the systemd credential. systemd sees to its permissions, and
// may do so by an access list, which looks like a file others can read.
func (v *Vault) credential() ([]byte, error) {
	if v.cfg.Credentials == "" {
		return nil, failure.New(ErrLocked, "the key of the account is the systemd credential %q, and there are no credentials: start the core from its unit", unitKey)
	}
	f, err := openRegular(filepath.Join(v.cfg.Credentials, unitKey))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, failure.New(ErrKeyMissing, "the systemd credential %q is missing: add LoadCredentialEncrypted=%s to the unit", unitKey, unitKey)
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	b, err := readBounded(f, maxKeyText)
	if err != nil {
		return nil, err
	}
	key, err := parseKey(b)
	if err != nil {
		return nil, failure.New(ErrDamaged, "the systemd credential %q is not a key (%v): put the right one there", unitKey, err)
	}
	return key, nil
}
