package certificate

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/crypto/acme"
)

const (
	// acmeFolder, in the data folder, keeps what the authority gave. What is lost
	// of it is had again.
	acmeFolder = "acme"
	chainFile  = "certificate.pem"
	// After a failure it is tried again after minRetry, then twice as long. Let's
	// Encrypt allows five failures an hour.
	minRetry = 5 * time.Minute
	maxRetry = 6 * time.Hour
)

// ACME is how to have a certificate of an authority.
type ACME struct {
	// Data is the server's data folder.
	Data string
	// Domains are the names that the certificate is for.
	Domains []string
	// Email, which may be empty, is told to the authority.
	Email string
	// HTTP is where to listen for the authority's question, "host:port"; it asks at
	// port 80. Empty: it asks over TLS, at port 443, which must lead here.
	HTTP string
	// Directory is the URL of the authority's directory; empty: Let's Encrypt.
	Directory string
	// Client reaches the authority; nil: http.DefaultClient.
	Client *http.Client
	Log    *slog.Logger

	// early is how long before its end a certificate is renewed; nil: renewEarly.
	early func(lifetime time.Duration) time.Duration
}

// renewEarly leaves a month of the usual three for what can go wrong.
func renewEarly(lifetime time.Duration) time.Duration { return lifetime / 3 }

// authority is a certificate that an ACME authority gives. Until it has, the
// server's own is used, which has the same key.
type authority struct {
	ACME
	key      crypto.Signer
	current  atomic.Pointer[tls.Certificate]
	reload   chan struct{}
	listener net.Listener // for questions over HTTP, or nil

	mu sync.Mutex // guards the questions that are being asked
	// answers by path, and certificates by name.
	answers map[string]string
	proofs  map[string]*tls.Certificate
}

// Open reads what the authority gave before, and takes the port of HTTP.
func (a ACME) Open() (Keeper, error) {
	own, err := readOwn(a.Data)
	if err != nil {
		return nil, err
	}
	if a.Directory == "" {
		a.Directory = acme.LetsEncryptURL
	}
	if a.early == nil {
		a.early = renewEarly
	}
	keeper := &authority{
		ACME: a, key: own.PrivateKey.(crypto.Signer), // every key that crypto/tls reads signs
		reload: make(chan struct{}, 1), answers: map[string]string{}, proofs: map[string]*tls.Certificate{},
	}
	keeper.current.Store(&own)
	if err := os.MkdirAll(filepath.Join(a.Data, acmeFolder), 0o700); err != nil {
		return nil, fmt.Errorf("make the folder for certificates: %w", err)
	}
	given, err := keeper.read()
	switch {
	case err == nil:
		keeper.current.Store(given)
	case !errors.Is(err, fs.ErrNotExist):
		a.Log.Warn("the authority's certificate that is kept cannot be used; another is asked for", "error", err)
	}
	if a.HTTP != "" {
		keeper.listener, err = (&net.ListenConfig{}).Listen(context.Background(), "tcp", a.HTTP)
		if errors.Is(err, syscall.EACCES) {
			return nil, fmt.Errorf("listen on %s for the authority's questions: a port below 1024 needs CAP_NET_BIND_SERVICE: %w", a.HTTP, err)
		}
		if err != nil {
			return nil, fmt.Errorf("listen on %s for the authority's questions: %w", a.HTTP, err)
		}
	}
	return keeper, nil
}

// Close implements Keeper.
func (a *authority) Close() {
	if a.listener != nil {
		_ = a.listener.Close()
	}
}

// read gives the kept certificate, if it is still good for this configuration.
func (a *authority) read() (*tls.Certificate, error) {
	b, err := os.ReadFile(filepath.Join(a.Data, acmeFolder, chainFile))
	if err != nil {
		return nil, err
	}
	var chain [][]byte
	for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
		chain = append(chain, block.Bytes)
	}
	return a.check(chain)
}

// check makes a certificate of a chain, if it is good here and now.
func (a *authority) check(chain [][]byte) (*tls.Certificate, error) {
	if len(chain) == 0 {
		return nil, errors.New("there is no certificate in it")
	}
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		return nil, err
	}
	if public, ok := a.key.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !public.Equal(leaf.PublicKey) {
		return nil, errors.New("it is for another key")
	}
	for _, name := range a.Domains {
		if err := leaf.VerifyHostname(name); err != nil {
			return nil, err
		}
	}
	if err := usable(leaf, time.Now()); err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: chain, PrivateKey: a.key, Leaf: leaf}, nil
}

// install takes over a certificate that was given.
func (a *authority) install(chain [][]byte) error {
	cert, err := a.check(chain)
	if err != nil {
		return fmt.Errorf("the authority's certificate cannot be used: %w", err)
	}
	var b []byte
	for _, der := range chain {
		b = append(b, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	a.current.Store(cert)
	if err := writeSecret(filepath.Join(a.Data, acmeFolder, chainFile), b); err != nil {
		a.Log.Error("the authority's certificate is used and cannot be kept; another is asked for at the next start", "error", err)
	}
	return nil
}

// TLS implements Keeper.
func (a *authority) TLS() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS13,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return a.current.Load(), nil },
		// The authority shows no device certificate, and gets nothing but an answer.
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			if !slices.Equal(hello.SupportedProtos, []string{acme.ALPNProto}) {
				return nil, nil
			}
			return &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{acme.ALPNProto}, GetCertificate: a.proof}, nil
		},
	}
}

var errNotAsked = errors.New("the authority was not asked about this name")

// proof answers the authority's question over TLS.
func (a *authority) proof(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if cert := a.proofs[hello.ServerName]; cert != nil {
		return cert, nil
	}
	return nil, errNotAsked
}

// Leaf implements Keeper.
func (a *authority) Leaf() *x509.Certificate { return a.current.Load().Leaf }

// Reload implements Keeper: what has failed is tried at once.
func (a *authority) Reload() {
	select {
	case a.reload <- struct{}{}:
	default:
	}
}

// Serve implements Keeper.
func (a *authority) Serve(ctx context.Context) {
	var others sync.WaitGroup
	defer others.Wait()
	if a.listener != nil {
		others.Go(func() { a.serveHTTP(ctx) })
	}
	failures := 0
	for wait := a.due(time.Now()); ; {
		timer := time.NewTimer(max(wait, 0))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-a.reload:
			timer.Stop()
			failures, wait = 0, a.due(time.Now())
			continue
		case <-timer.C:
		}
		err := a.obtain(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			failures, wait = 0, a.due(time.Now())
			leaf := a.Leaf()
			a.Log.Info("the authority gave a TLS certificate", "names", leaf.DNSNames, "expires", until(leaf))
			continue
		}
		failures++
		wait = retryAfter(failures)
		a.Log.Error("the authority gave no TLS certificate; it is asked again", "names", a.Domains, "error", err,
			"in", wait.Round(time.Second), "the one in use expires", until(a.Leaf()))
	}
}

// due is how long until the authority is to be asked.
func (a *authority) due(now time.Time) time.Duration {
	leaf := a.Leaf()
	if slices.ContainsFunc(a.Domains, func(name string) bool { return leaf.VerifyHostname(name) != nil }) {
		return 0 // the server's own
	}
	return leaf.NotAfter.Add(-a.early(leaf.NotAfter.Sub(leaf.NotBefore))).Sub(now)
}

// retryAfter is how long to wait after so many failures.
func retryAfter(failures int) time.Duration {
	wait := maxRetry
	if n := failures - 1; n < 7 {
		wait = min(minRetry<<n, maxRetry)
	}
	return wait/2 + rand.N(wait/2+1)
}

const httpTimeout = 10 * time.Second

// serveHTTP answers the authority's questions over HTTP, and nobody else's.
func (a *authority) serveHTTP(ctx context.Context) {
	answer := func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		text, ok := a.answers[r.URL.Path]
		a.mu.Unlock()
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/plain")
		_, _ = w.Write([]byte(text))
	}
	server := &http.Server{
		Handler: http.HandlerFunc(answer), ReadTimeout: httpTimeout, WriteTimeout: httpTimeout, MaxHeaderBytes: 16 << 10,
		// What strangers do wrong is of no use to the operator.
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
	}
	server.SetKeepAlivesEnabled(false)
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(a.listener); !errors.Is(err, http.ErrServerClosed) {
		a.Log.Error("the authority's questions are not answered any more", "error", err)
	}
}
