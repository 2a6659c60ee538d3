// Package acmetest is an ACME authority for tests: Let's Encrypt's own, Pebble.
package acmetest

import (
	"crypto/x509"
	"encoding/pem"
	"io"
	"log" //nolint:depguard // Pebble wants it
	"net/http/httptest"
	"testing"
	"time"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"go.uber.org/goleak"
)

// Leaves is what Pebble leaves behind.
func Leaves() goleak.Option {
	return goleak.IgnoreAnyFunction("github.com/letsencrypt/pebble/v2/va.VAImpl.processTasks")
}

// Authority gives certificates that are good for an hour.
type Authority struct {
	*httptest.Server
	// Roots vouch for what it gives.
	Roots *x509.CertPool
}

// Directory is its URL.
func (a *Authority) Directory() string { return a.URL + wfe.DirectoryPath }

// Start starts one that asks at these ports of this machine, instead of at 80 and
// 443.
func Start(t *testing.T, httpPort, tlsPort int) *Authority {
	t.Helper()
	t.Setenv("PEBBLE_VA_NOSLEEP", "1")
	t.Setenv("PEBBLE_AUTHZREUSE", "0")
	t.Setenv("PEBBLE_WFE_NONCEREJECT", "0")
	quiet := log.New(io.Discard, "", 0)
	store := db.NewMemoryStore()
	profiles := map[string]ca.Profile{"default": {ValidityPeriod: uint64(time.Hour / time.Second)}}
	authority := ca.New(quiet, store, "", "ecdsa", 0, 1, profiles)
	front := wfe.New(quiet, store, va.New(quiet, httpPort, tlsPort, true, "", store), authority, nil, true, false, 0, 0)
	p := &Authority{httptest.NewTLSServer(front.Handler()), x509.NewCertPool()}
	t.Cleanup(p.Close)
	block, _ := pem.Decode(authority.GetRootCert(0).PEM())
	root, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	p.Roots.AddCert(root)
	return p
}
