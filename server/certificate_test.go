package server_test

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/parley-chat/parley/core/directory"
	"github.com/parley-chat/parley/core/identity"
	"github.com/parley-chat/parley/internal/freeport"
	"github.com/parley-chat/parley/protocol/directorypb"
	"github.com/parley-chat/parley/server"
	"github.com/parley-chat/parley/server/certificate"
	"github.com/parley-chat/parley/server/certificate/acmetest"
)

// An authority asks at the port where devices show their certificates, and then
// vouches for the directory; who has pinned its key before does not notice.
func TestAuthoritysCertificate(t *testing.T) {
	address, err := freeport.Local(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, func(c *server.Config) { c.Listen = address })
	pin := r.server.Fingerprint()
	r.stop()
	_, port, _ := net.SplitHostPort(address)
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	authority := acmetest.Start(t, n, n)
	r.cfg.ACME = &certificate.ACME{Domains: []string{"localhost"}, Directory: authority.Directory(), Client: authority.Client()}
	r.start()

	id, err := identity.Generate("alice")
	if err != nil {
		t.Fatal(err)
	}
	pinned := directory.Target{Address: "localhost:" + port, Pin: pin, Identity: id, Agent: "test/1"}
	if _, err := directory.Register(t.Context(), pinned, directory.Registration{Password: goodPassword}); err != nil {
		t.Errorf("with the pin: %v", err)
	}
	vouched := pinned
	vouched.Pin, vouched.Vouched, vouched.Roots = "", true, authority.Roots
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		login, err := directory.LogIn(t.Context(), vouched, directory.Credentials{Password: goodPassword})
		if err == nil && !login.PinnedNow {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the authority does not vouch: %+v, %v", login, err)
		}
	}
	if _, err := directory.LogIn(t.Context(), pinned, directory.Credentials{Password: goodPassword}); err != nil {
		t.Errorf("with the pin of before: %v", err)
	}
}

// The server's certificate is that of the files as they are, told by its
// fingerprint too, and connections that are there stay.
func TestCertificateIsReloaded(t *testing.T) {
	dir := t.TempDir()
	made := func(name string) []byte {
		t.Helper()
		if _, err := certificate.Own(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(dir, name, certificate.OwnFile))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, name := range []string{"a", "b"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "both.pem")
	if err := os.WriteFile(file, made("a"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := start(t, func(c *server.Config) { c.CertFile, c.KeyFile, c.CertCheck = file, file, time.Hour })
	session := r.registered("alice").begin(lists{})
	before := r.server.Fingerprint()
	if err := os.WriteFile(file, made("b"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.server.Reload()
	for end := time.Now().Add(patience); r.server.Fingerprint() == before; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the new certificate is not used")
		}
	}
	session.quiet("the session lives on", func(*directorypb.SessionResponse) bool { return false })
	id, err := identity.Generate("bob")
	if err != nil {
		t.Fatal(err)
	}
	target := directory.Target{Address: r.addr, Pin: r.server.Fingerprint(), Identity: id, Agent: "test/1"}
	if _, err := directory.Register(t.Context(), target, directory.Registration{Password: goodPassword}); err != nil {
		t.Errorf("with the new fingerprint: %v", err)
	}
}
