// Package identity is who this device is and whom it trusts: the device key,
// the certificate made of it, the book of other people's keys, and the safety
// numbers people compare.
package identity

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/parley-chat/parley/protocol/packet"
)

// Identity is this device of this account. It is immutable.
type Identity struct {
	user packet.UserID
	key  ed25519.PrivateKey
	cert tls.Certificate
}

// Generate makes a new device key for user.
func Generate(user packet.UserID) (*Identity, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generate device key: %w", err)
	}
	return New(user, key.Seed())
}

// New makes an identity of a key's 32-byte seed.
func New(user packet.UserID, seed []byte) (*Identity, error) {
	if len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("device key of %s has %d bytes, not %d", user, len(seed), ed25519.SeedSize)
	}
	key := ed25519.NewKeyFromSeed(seed)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "parley device"},
		// Trust comes from the pinned key alone; dates only have to parse.
		NotBefore:   time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:    time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make device certificate: %w", err)
	}
	return &Identity{user: user, key: key, cert: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}}, nil
}

// Seed is what New makes the same identity of: 32 secret bytes.
func (i *Identity) Seed() []byte { return i.key.Seed() }

// User is the account's user id.
func (i *Identity) User() packet.UserID { return i.user }

// Key is the device's public key, 32 bytes.
func (i *Identity) Key() ed25519.PublicKey { return i.key.Public().(ed25519.PublicKey) }

// Device is the device's key id.
func (i *Identity) Device() packet.DeviceID { return packet.DeviceIDOf(i.Key()) }

// Certificate is the self-signed certificate for TLS.
func (i *Identity) Certificate() tls.Certificate { return i.cert }

// Sign signs message with the device key; 64 bytes.
func (i *Identity) Sign(message []byte) []byte { return ed25519.Sign(i.key, message) }

// ErrNoDeviceKey says that a TLS peer showed no usable device certificate.
var ErrNoDeviceKey = errors.New("peer has no Ed25519 device certificate")

// PeerKey gives the device key that a TLS peer proved to hold. For use in
// VerifyConnection, which also runs for resumed sessions.
func PeerKey(cs tls.ConnectionState) (ed25519.PublicKey, error) {
	if len(cs.PeerCertificates) != 1 {
		return nil, ErrNoDeviceKey
	}
	key, ok := cs.PeerCertificates[0].PublicKey.(ed25519.PublicKey)
	if !ok || len(key) != ed25519.PublicKeySize {
		return nil, ErrNoDeviceKey
	}
	return key, nil
}
