package certificate

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/parley-chat/parley/internal/freeport"
	"github.com/parley-chat/parley/server/certificate/acmetest"
)

// serveTLS lets a keeper's certificate be seen at a port.
func serveTLS(t *testing.T, l net.Listener, k Keeper) {
	cfg := k.TLS()
	cfg.ClientAuth = tls.RequireAnyClientCert // as the directory does
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				_ = tls.Server(c, cfg).HandshakeContext(t.Context())
			}()
		}
	}()
}

func port(t *testing.T, address string) int {
	t.Helper()
	n, err := strconv.Atoi(address[strings.LastIndexByte(address, ':')+1:])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// free is an address where nobody listens.
func free(t *testing.T) string {
	t.Helper()
	address, err := freeport.Local(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return address
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func TestACME(t *testing.T) {
	for _, way := range []string{"tls-alpn-01", "http-01"} {
		t.Run(way, func(t *testing.T) {
			l, questions := listen(t), free(t)
			p := acmetest.Start(t, port(t, questions), port(t, l.Addr().String()))
			var log journal
			cfg := ACME{
				Data: t.TempDir(), Domains: []string{"localhost"}, Email: "ops@example.org", Directory: p.Directory(), Client: p.Client(),
				Log: log.logger(),
				// Due a moment after it was given.
				early: func(lifetime time.Duration) time.Duration { return lifetime - 2*time.Second },
			}
			if way == "http-01" {
				cfg.HTTP = questions
			}
			k, err := cfg.Open()
			if err != nil {
				t.Fatal(err)
			}
			own := Fingerprint(k.Leaf())
			vouched := func(k Keeper) bool {
				leaf := k.Leaf()
				chain := x509.NewCertPool()
				for _, der := range k.(*authority).current.Load().Certificate[1:] {
					if c, err := x509.ParseCertificate(der); err == nil {
						chain.AddCert(c)
					}
				}
				_, err := leaf.Verify(x509.VerifyOptions{DNSName: "localhost", Roots: p.Roots, Intermediates: chain})
				return err == nil
			}
			if vouched(k) {
				t.Fatal("vouched for before anybody was asked")
			}
			serveTLS(t, l, k)
			stop := run(t, k)
			eventually(t, "the authority's certificate is there", func() bool { return vouched(k) })
			first := k.Leaf()
			eventually(t, "it is renewed", func() bool { return !k.Leaf().Equal(first) })
			if now := Fingerprint(k.Leaf()); now != own || !vouched(k) {
				t.Errorf("the fingerprint went from %s to %s", own, now)
			}
			stop() // on a slow machine it is about to be renewed again
			if a := k.(*authority); len(a.proofs)+len(a.answers) != 0 {
				t.Error("proofs are left behind")
			}

			// The next start has it at once, without asking.
			cfg.HTTP, cfg.Client = "", &http.Client{Transport: nobody{}}
			again, err := cfg.Open()
			if err != nil {
				t.Fatal(err)
			}
			if !vouched(again) {
				t.Error("it was not kept")
			}
			// Another name needs another certificate.
			cfg.Domains = []string{"localhost", "elsewhere.example.org"}
			if other, err := cfg.Open(); err != nil || Fingerprint(other.Leaf()) != own || other.(*authority).due(time.Now()) > 0 {
				t.Errorf("another name: %v", err)
			}
		})
	}
}

type nobody struct{}

func (nobody) RoundTrip(*http.Request) (*http.Response, error) { return nil, net.ErrClosed }

// As long as the authority gives nothing the server's own certificate is used,
// the log says why, and who has mended it does not have to wait.
func TestACMEThatFails(t *testing.T) {
	l, nowhere := listen(t), port(t, free(t))
	p := acmetest.Start(t, nowhere, nowhere) // asks where nobody is
	var log journal
	k, err := ACME{
		Data: t.TempDir(), Domains: []string{"localhost"}, Directory: p.Directory(), Client: p.Client(), Log: log.logger(),
	}.Open()
	if err != nil {
		t.Fatal(err)
	}
	serveTLS(t, l, k)
	run(t, k)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(log.b.String())
		}
	})
	eventually(t, "the log says why", func() bool {
		return log.count("the authority gave no TLS certificate") == 1 && log.count("prove that localhost is ours") == 1 && log.count("Failed to connect") > 0
	})
	own := k.Leaf()
	if own.DNSNames[0] == "localhost" {
		t.Error("there is a certificate")
	}
	k.Reload()
	eventually(t, "it is tried again when asked to", func() bool { return log.count("the authority gave no TLS certificate") == 2 })
	if !k.Leaf().Equal(own) {
		t.Error("another certificate is used")
	}
}

func TestACMEKeepsNothingUnusable(t *testing.T) {
	data := t.TempDir()
	open := func() Keeper {
		t.Helper()
		k, err := ACME{Data: data, Domains: []string{"localhost"}, Log: quiet}.Open()
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	own := open().Leaf()
	foreign, _ := pair(t, time.Now().Add(time.Hour)) // of another key
	for _, b := range [][]byte{[]byte("rubbish"), foreign, nil} {
		write(t, filepath.Join(data, acmeFolder, chainFile), b)
		write(t, filepath.Join(data, acmeFolder, accountFile), b)
		k := open()
		if !k.Leaf().Equal(own) {
			t.Errorf("%.20q is used", b)
		}
		key, err := k.(*authority).accountKey()
		if err != nil || key == nil {
			t.Errorf("no account key after %.20q: %v", b, err)
		}
	}
	info, err := os.Stat(filepath.Join(data, acmeFolder, accountFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the account's key is %v, %v", info, err)
	}
}
