package certificate

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/crypto/acme"

	"github.com/parley-chat/parley/internal/version"
)

const (
	accountFile = "account.pem"
	// obtainTimeout bounds one try to get a certificate.
	obtainTimeout = 10 * time.Minute
)

// obtain orders a certificate for the domains, answers what the authority asks,
// and takes over what it gives.
func (a *authority) obtain(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, obtainTimeout)
	defer cancel()
	client, err := a.client(ctx)
	if err != nil {
		return err
	}
	order, err := client.AuthorizeOrder(ctx, acme.DomainIDs(a.Domains...))
	if err != nil {
		return fmt.Errorf("order: %w", err)
	}
	for _, url := range order.AuthzURLs {
		if err := a.authorize(ctx, client, url); err != nil {
			return err
		}
	}
	if order, err = client.WaitOrder(ctx, order.URI); err != nil {
		return fmt.Errorf("order: %w", err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: a.Domains}, a.key)
	if err != nil {
		return fmt.Errorf("make the request for a certificate: %w", err)
	}
	chain, _, err := client.CreateCertFromOrder(ctx, order, csr, true)
	if err != nil {
		return fmt.Errorf("order: %w", err)
	}
	return a.install(chain)
}

// client is the authority's client, with an account there.
func (a *authority) client(ctx context.Context) (*acme.Client, error) {
	key, err := a.accountKey()
	if err != nil {
		return nil, err
	}
	client := &acme.Client{Key: key, HTTPClient: a.Client, DirectoryURL: a.Directory, UserAgent: "parley-server/" + version.String()}
	account := &acme.Account{}
	if a.Email != "" {
		account.Contact = []string{"mailto:" + a.Email}
	}
	// The operator has accepted the terms by naming the authority.
	if _, err := client.Register(ctx, account, acme.AcceptTOS); err != nil && !errors.Is(err, acme.ErrAccountAlreadyExists) {
		return nil, fmt.Errorf("register at %s: %w", a.Directory, err)
	}
	return client, nil
}

// accountKey reads the key of the account at the authority, or makes one.
func (a *authority) accountKey() (crypto.Signer, error) {
	path := filepath.Join(a.Data, acmeFolder, accountFile)
	b, err := os.ReadFile(path)
	if err == nil {
		if block, _ := pem.Decode(b); block != nil {
			if key, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
				if signer, ok := key.(crypto.Signer); ok {
					return signer, nil
				}
			}
		}
		a.Log.Warn("the key of the account at the authority cannot be read; another account is made", "file", path)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the key of the account at the authority: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	if err := writeSecret(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})); err != nil {
		return nil, fmt.Errorf("keep the key of the account at the authority: %w", err)
	}
	return key, nil
}

// authorize shows the authority that a name of the order is ours.
func (a *authority) authorize(ctx context.Context, client *acme.Client, url string) error {
	auth, err := client.GetAuthorization(ctx, url)
	if err != nil {
		return fmt.Errorf("order: %w", err)
	}
	if auth.Status == acme.StatusValid {
		return nil // since the last time
	}
	kind, question := "tls-alpn-01", (*acme.Challenge)(nil)
	if a.listener != nil {
		kind = "http-01"
	}
	for _, c := range auth.Challenges {
		if c.Type == kind {
			question = c
		}
	}
	name := auth.Identifier.Value
	if question == nil {
		return fmt.Errorf("the authority does not offer to check %s by %s", name, kind)
	}
	forget, err := a.answer(client, question, name)
	if err != nil {
		return fmt.Errorf("make the proof for %s: %w", name, err)
	}
	defer forget()
	if _, err := client.Accept(ctx, question); err != nil {
		return fmt.Errorf("prove that %s is ours: %w", name, err)
	}
	if _, err := client.WaitAuthorization(ctx, auth.URI); err != nil {
		return fmt.Errorf("prove that %s is ours: %w", name, err)
	}
	return nil
}

// answer has a question answered until forget is called.
func (a *authority) answer(client *acme.Client, question *acme.Challenge, name string) (forget func(), err error) {
	if question.Type == "http-01" {
		text, err := client.HTTP01ChallengeResponse(question.Token)
		if err != nil {
			return nil, err
		}
		path := client.HTTP01ChallengePath(question.Token)
		return hold(a, a.answers, path, text), nil
	}
	proof, err := client.TLSALPN01ChallengeCert(question.Token, name)
	if err != nil {
		return nil, err
	}
	return hold(a, a.proofs, name, &proof), nil
}

// hold puts an entry into one of the maps that mu guards until forget is called.
func hold[V any](a *authority, m map[string]V, key string, value V) (forget func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	m[key] = value
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(m, key)
	}
}
