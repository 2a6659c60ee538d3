package certificate

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/parley-chat/parley/server/certificate/acmetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, acmetest.Leaves()) }

// patience bounds how long a test waits for what must happen.
const patience = time.Minute

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: it did not happen", what)
		}
	}
}

// journal is a log that is read.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(b)
}

func (j *journal) count(text string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Count(j.b.String(), text)
}

func (j *journal) logger() *slog.Logger { return slog.New(slog.NewTextHandler(j, nil)) }

// pair makes a certificate for localhost and its key.
func pair(t *testing.T, notAfter time.Time) (certPEM, keyPEM []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: serial, DNSNames: []string{"localhost"}, NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: notAfter}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func link(t *testing.T, to, at string) {
	t.Helper()
	if err := os.Symlink(to, at+".new"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(at+".new", at); err != nil {
		t.Fatal(err)
	}
}

// run serves a keeper until the test ends, or until stop, which waits.
func run(t *testing.T, k Keeper) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { k.Serve(ctx) })
	stop = func() {
		cancel()
		done.Wait()
		k.Close()
	}
	t.Cleanup(stop)
	return stop
}

// shown is the certificate that a client gets to see.
func shown(t *testing.T, k Keeper) *x509.Certificate {
	t.Helper()
	a, b := net.Pipe()
	defer func() { _, _ = a.Close(), b.Close() }()
	go func() { _ = tls.Server(a, k.TLS()).HandshakeContext(t.Context()) }()
	client := tls.Client(b, &tls.Config{InsecureSkipVerify: true})
	if err := client.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	return client.ConnectionState().PeerCertificates[0]
}

// What certbot does: links in live/ are moved to other files in archive/, one
// after the other.
func TestFilesAreReadAnewThroughLinks(t *testing.T) {
	folder := t.TempDir()
	cert, key := filepath.Join(folder, "fullchain.pem"), filepath.Join(folder, "privkey.pem")
	lay := func(n int) {
		c, k := pair(t, time.Now().Add(time.Hour))
		write(t, fmt.Sprintf("%s.%d", cert, n), c)
		write(t, fmt.Sprintf("%s.%d", key, n), k)
	}
	lay(1)
	link(t, cert+".1", cert)
	link(t, key+".1", key)
	var log journal
	k, err := Files{Cert: cert, Key: key, Check: time.Millisecond, Log: log.logger()}.Open()
	if err != nil {
		t.Fatal(err)
	}
	run(t, k)
	for n := 2; n < 5; n++ {
		before := shown(t, k)
		lay(n)
		link(t, fmt.Sprintf("%s.%d", cert, n), cert)
		link(t, fmt.Sprintf("%s.%d", key, n), key)
		eventually(t, "the new certificate is used", func() bool { return !shown(t, k).Equal(before) })
		if !k.Leaf().Equal(shown(t, k)) {
			t.Error("what is told of is not what is shown")
		}
	}
	// It is said when the last one is in use already.
	eventually(t, "it is said that clients that have pinned it will refuse", func() bool { return log.count("has another key") == 3 })
}

func TestBrokenFilesChangeNothing(t *testing.T) {
	folder := t.TempDir()
	cert, key := filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem")
	goodCert, goodKey := pair(t, time.Now().Add(time.Hour))
	write(t, cert, goodCert)
	write(t, key, goodKey)
	var log journal
	opened, err := Files{Cert: cert, Key: key, Check: time.Hour, Log: log.logger()}.Open()
	if err != nil {
		t.Fatal(err)
	}
	f := opened.(*files)
	before := shown(t, f)
	otherCert, otherKey := pair(t, time.Now().Add(time.Hour))
	expiredCert, expiredKey := pair(t, time.Now().Add(-time.Hour))
	tests := []struct {
		name      string
		cert, key []byte // nil: no file
		says      string
	}{
		{"rubbish", []byte("rubbish"), goodKey, "failed to find any PEM data"},
		{"key of another", goodCert, otherKey, "does not match"},
		{"no file", nil, goodKey, "no such file"},
		{"expired", expiredCert, expiredKey, "expired"},
		{"too long", bytes.Repeat([]byte("x"), maxPEM+1), goodKey, "too long"},
		{"half written", otherCert[:len(otherCert)/2], otherKey, "PEM"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			log.b.Reset()
			if tt.cert == nil {
				if err := os.Remove(cert); err != nil {
					t.Fatal(err)
				}
			} else {
				write(t, cert, tt.cert)
			}
			write(t, key, tt.key)
			f.look(false)
			if log.count("cannot be used") != 0 {
				t.Error("complains of what may be half done")
			}
			f.look(false)
			f.look(false)
			if log.count("cannot be used; the old one stays") != 1 || log.count(tt.says) == 0 {
				t.Errorf("want one complaint with %q:\n%s", tt.says, log.b.String())
			}
			f.look(true)
			if log.count("cannot be used; the old one stays") != 2 {
				t.Error("who asks gets no answer")
			}
			if !shown(t, f).Equal(before) {
				t.Error("another certificate is used")
			}
			write(t, cert, goodCert)
			write(t, key, goodKey)
			f.look(true)
			if log.count("has not changed") != 1 {
				t.Errorf("it is well again, and nobody says so:\n%s", log.b.String())
			}
		})
	}
	write(t, cert, otherCert)
	write(t, key, otherKey)
	f.look(false)
	if shown(t, f).Equal(before) {
		t.Error("a good one is not used after bad ones")
	}
}

func TestFilesThatCannotBeUsedAtStart(t *testing.T) {
	folder := t.TempDir()
	cert, key := filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem")
	open := func() (*journal, error) {
		var log journal
		_, err := Files{Cert: cert, Key: key, Log: log.logger()}.Open()
		return &log, err
	}
	if _, err := open(); err == nil || !strings.Contains(err.Error(), cert) || !strings.Contains(err.Error(), key) {
		t.Errorf("no files: %v", err)
	}
	c, k := pair(t, time.Now().Add(-time.Hour))
	write(t, cert, c)
	write(t, key, k)
	// Those who have pinned it do not mind.
	if log, err := open(); err != nil || log.count("expired") != 1 {
		t.Errorf("expired: %v", err)
	}
}

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))
