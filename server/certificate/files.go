package certificate

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync/atomic"
	"time"
)

// DefaultCheck is how often files are looked at.
const DefaultCheck = 10 * time.Second

// maxPEM bounds a file with certificates or a key.
const maxPEM = 1 << 20

// Files are a certificate with its chain and its key, in PEM.
type Files struct {
	Cert, Key string
	// Check is how often they are looked at; 0 means DefaultCheck.
	Check time.Duration
	Log   *slog.Logger
}

// files is a certificate that somebody else renews. It is read anew when what
// is in the files has changed, whichever way: they are read, and not watched,
// because certbot replaces links, Kubernetes links to folders, and others move a
// file into place. What cannot be used changes nothing.
type files struct {
	Files
	reload  chan struct{}
	current atomic.Pointer[loaded]

	// The rest belongs to Serve.

	// suspect is what was wrong when they were looked at last. It is told when it
	// is there a second time: between the writing of the one file and the other
	// they do not fit.
	suspect string
	told    string
}

type loaded struct {
	certPEM, keyPEM []byte
	cert            tls.Certificate
}

// Open reads the files.
func (f Files) Open() (Keeper, error) {
	if f.Check == 0 {
		f.Check = DefaultCheck
	}
	keeper := &files{Files: f, reload: make(chan struct{}, 1)}
	l, err := keeper.load()
	if err != nil {
		return nil, err
	}
	keeper.current.Store(l)
	if err := usable(l.cert.Leaf, time.Now()); err != nil {
		f.Log.Warn("clients that have not pinned the TLS certificate will refuse it", "file", f.Cert, "error", err)
	}
	return keeper, nil
}

func (f *files) load() (*loaded, error) {
	l := &loaded{}
	var err1, err2 error
	l.certPEM, err1 = readPEM(f.Cert)
	l.keyPEM, err2 = readPEM(f.Key)
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("read the TLS certificate: %w", err)
	}
	var err error
	if l.cert, err = tls.X509KeyPair(l.certPEM, l.keyPEM); err != nil {
		return nil, fmt.Errorf("read the TLS certificate %s with key %s: %w", f.Cert, f.Key, err)
	}
	return l, nil
}

func readPEM(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, maxPEM+1))
	if err == nil && len(b) > maxPEM {
		err = errors.New("too long")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return b, nil
}

func usable(leaf *x509.Certificate, now time.Time) error {
	switch {
	case now.After(leaf.NotAfter):
		return fmt.Errorf("it expired at %s", until(leaf))
	case now.Before(leaf.NotBefore):
		return fmt.Errorf("it is not good before %s; check this machine's clock", leaf.NotBefore.UTC().Format(time.RFC3339))
	}
	return nil
}

// TLS implements Keeper.
func (f *files) TLS() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS13, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		return &f.current.Load().cert, nil
	}}
}

// Leaf implements Keeper.
func (f *files) Leaf() *x509.Certificate { return f.current.Load().cert.Leaf }

// Reload implements Keeper.
func (f *files) Reload() {
	select {
	case f.reload <- struct{}{}:
	default:
	}
}

// Close implements Keeper.
func (f *files) Close() {}

// Serve implements Keeper.
func (f *files) Serve(ctx context.Context) {
	tick := time.NewTicker(f.Check)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			f.look(false)
		case <-f.reload:
			f.look(true)
		}
	}
}

// look takes over what is new in the files. Asked means that somebody waits for
// an answer in the log.
func (f *files) look(asked bool) {
	before := f.current.Load()
	now, err := f.load()
	if err == nil && bytes.Equal(now.certPEM, before.certPEM) && bytes.Equal(now.keyPEM, before.keyPEM) {
		f.suspect, f.told = "", ""
		if asked {
			f.Log.Info("the TLS certificate has not changed", "file", f.Cert, "expires", until(before.cert.Leaf))
		}
		return
	}
	if err == nil {
		err = usable(now.cert.Leaf, time.Now())
	}
	if err != nil {
		text := err.Error()
		if asked || f.suspect == text && f.told != text {
			f.Log.Error("the new TLS certificate cannot be used; the old one stays", "file", f.Cert, "error", err, "old expires", until(before.cert.Leaf))
			f.told = text
		}
		f.suspect = text
		return
	}
	f.suspect, f.told = "", ""
	f.current.Store(now)
	f.Log.Info("the TLS certificate was read anew", "file", f.Cert, "expires", until(now.cert.Leaf))
	if old, met := Fingerprint(before.cert.Leaf), Fingerprint(now.cert.Leaf); old != met {
		f.Log.Warn("the new TLS certificate has another key; clients that have pinned the old one have to log in again with the new fingerprint",
			"old", old, "new", met)
	}
}
