// Package certificate keeps the server's TLS certificate: one that it made
// itself, one in files that somebody else renews, or one that an authority gives
// over ACME.
//
// What clients pin is the key. The server has one of its own, made once and kept
// in the data folder, for the certificate it makes itself and for all that ACME
// gives it: going from one to the other, renewing, and restoring a backup change
// nothing for those who pinned it.
package certificate

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"time"
)

// Keeper has a certificate and keeps it good. It is safe for concurrent use.
type Keeper interface {
	// TLS is a server's configuration that uses the certificate as it is at each
	// handshake.
	TLS() *tls.Config
	// Leaf is the certificate as it is now.
	Leaf() *x509.Certificate
	// Reload looks at once whether there is a newer one.
	Reload()
	// Serve keeps it good until ctx ends.
	Serve(ctx context.Context)
	// Close frees what was taken. Idempotent.
	Close()
}

// Fingerprint is what clients pin: the hex SHA-256 of a certificate's
// SubjectPublicKeyInfo.
func Fingerprint(leaf *x509.Certificate) string {
	sum := sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(sum[:])
}

// fixed is a certificate that never changes.
type fixed struct{ cert tls.Certificate }

// TLS implements Keeper.
func (f *fixed) TLS() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{f.cert}}
}

// Leaf implements Keeper.
func (f *fixed) Leaf() *x509.Certificate { return f.cert.Leaf }

// Reload implements Keeper: there is nothing to look at.
func (f *fixed) Reload() {}

// Serve implements Keeper.
func (f *fixed) Serve(ctx context.Context) { <-ctx.Done() }

// Close implements Keeper.
func (f *fixed) Close() {}

// until is how long a certificate is still good, for people.
func until(leaf *x509.Certificate) string { return leaf.NotAfter.UTC().Format(time.RFC3339) }
