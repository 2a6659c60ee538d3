package directory_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/parley-chat/parley/core/directory"
	"github.com/parley-chat/parley/internal/freeport"
)

func TestParseAddress(t *testing.T) {
	good := map[string]string{
		"directory.example.org":    "directory.example.org:7410",
		"Directory.Example.org:99": "directory.example.org:99",
		"localhost":                "localhost:7410",
		"\tlocalhost\n":            "localhost:7410",
		"192.0.2.1":                "192.0.2.1:7410",
		"192.0.2.1:80":             "192.0.2.1:80",
		"2001:db8::1":              "[2001:db8::1]:7410",
		"[2001:db8::1]":            "[2001:db8::1]:7410",
		"[2001:db8::1]:80":         "[2001:db8::1]:80",
	}
	for in, want := range good {
		if got, err := directory.ParseAddress(in); err != nil || got != want {
			t.Errorf("%q: got %q, %v, want %q", in, got, err, want)
		}
	}
	for _, bad := range []string{
		"", " ", ":7410", "host:", "host:0", "host:65536", "host:http", "https://host", "host/path", "a b", "host:1:2", "-host", "alice@host", strings.Repeat("x", 300),
	} {
		if got, err := directory.ParseAddress(bad); !errors.Is(err, directory.ErrAddress) {
			t.Errorf("%q: got %q, %v", bad, got, err)
		}
	}
}

func TestTrust(t *testing.T) {
	r := start(t)
	id := newIdentity(t, "alice")
	tests := []struct {
		name   string
		change func(*directory.Target)
		kind   error
		pinned bool
	}{
		{"first use", func(t *directory.Target) { t.Pin = "" }, nil, true},
		{"pin", func(*directory.Target) {}, nil, false},
		{"pin as people write it", func(t *directory.Target) {
			t.Pin = strings.ToUpper(t.Pin[:2]) + ":" + t.Pin[2:4] + " " + t.Pin[4:]
		}, nil, false},
		{"another pin", func(t *directory.Target) { t.Pin = strings.Repeat("ab", 32) }, directory.ErrPin, false},
		{"pin that is none", func(t *directory.Target) { t.Pin = "rubbish" }, directory.ErrPin, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			target := r.target(id)
			tt.change(&target)
			login, err := directory.Register(t.Context(), target, directory.Registration{Password: goodPassword})
			if !errors.Is(err, tt.kind) || login.PinnedNow != tt.pinned {
				t.Errorf("got %+v, %v", login, err)
			}
			if err == nil && login.Fingerprint != r.fingerprint {
				t.Errorf("fingerprint is %s, want %s", login.Fingerprint, r.fingerprint)
			}
			if err != nil && !strings.Contains(err.Error(), r.fingerprint) {
				t.Errorf("the error does not tell the new fingerprint: %v", err)
			}
		})
	}
	t.Run("fingerprint is told when the log-in fails", func(t *testing.T) {
		target := r.target(id)
		target.Pin = ""
		login, err := directory.LogIn(t.Context(), target, directory.Credentials{Password: "wrong password"})
		if !errors.Is(err, directory.ErrPassword) || login.Fingerprint != r.fingerprint || !login.PinnedNow {
			t.Errorf("got %+v, %v", login, err)
		}
	})
	t.Run("a session is not begun on first use", func(t *testing.T) {
		serve(t, directory.Config{Address: r.addr, Identity: id}).awaitState(directory.ErrUntrusted)
	})
	t.Run("a session is not begun with another pin", func(t *testing.T) {
		serve(t, directory.Config{Address: r.addr, Pin: strings.Repeat("ab", 32), Identity: id}).awaitState(directory.ErrPin)
	})
}

// An authority's word is enough, but only for the name it is about.
func TestAuthority(t *testing.T) {
	authority := httptest.NewTLSServer(http.NotFoundHandler())
	defer authority.Close()
	roots := x509.NewCertPool()
	roots.AddCert(authority.Certificate()) // for 127.0.0.1 and example.com
	r := start(t)
	r.stop()
	dir := t.TempDir()
	r.cfg.CertFile, r.cfg.KeyFile = writePair(t, dir, authority.TLS.Certificates[0])
	r.start()

	target := r.target(newIdentity(t, "alice"))
	target.Pin, target.Roots = "", roots
	login, err := directory.Register(t.Context(), target, directory.Registration{Password: goodPassword})
	if err != nil || login.PinnedNow || login.Fingerprint != r.fingerprint {
		t.Errorf("vouched for: %+v, %v", login, err)
	}
	p := serve(t, directory.Config{Address: r.addr, Identity: target.Identity, Roots: roots})
	p.awaitConnected(true)

	// A pin counts for more; but who is asked to choose is told the difference.
	pinned := target
	pinned.Pin = strings.Repeat("ab", 32)
	if _, err = directory.LogIn(t.Context(), pinned, directory.Credentials{Password: goodPassword}); !errors.Is(err, directory.ErrPin) ||
		!strings.Contains(err.Error(), "An authority vouches for the new one") {
		t.Errorf("another pin: %v", err)
	}
	// Where an authority vouched before, no password goes to whom nobody vouches for.
	before := target
	before.Roots, before.Vouched = x509.NewCertPool(), true
	if _, err = directory.LogIn(t.Context(), before, directory.Credentials{Password: goodPassword}); !errors.Is(err, directory.ErrUntrusted) ||
		!strings.Contains(err.Error(), r.fingerprint) {
		t.Errorf("vouched for no more: %v", err)
	}

	_, port, _ := net.SplitHostPort(r.addr)
	target.Address = "localhost:" + port // which the certificate does not name
	login, err = directory.LogIn(t.Context(), target, directory.Credentials{Password: goodPassword})
	if err != nil || !login.PinnedNow {
		t.Errorf("for another name: %+v, %v", login, err)
	}
}

func TestNotADirectory(t *testing.T) {
	listen := func(handle func(net.Conn)) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				handle(c)
				_ = c.Close()
			}
		}()
		return l.Addr().String()
	}
	closed := listen(func(net.Conn) {})
	ssh := listen(func(c net.Conn) {
		_, _ = io.WriteString(c, "SSH-2.0-OpenSSH_9.2\r\n")
		_, _ = io.ReadFull(c, make([]byte, 100))
	})
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	web1 := httptest.NewTLSServer(http.NotFoundHandler())
	defer web1.Close()
	web2 := httptest.NewUnstartedServer(http.NotFoundHandler())
	web2.EnableHTTP2 = true
	web2.StartTLS()
	defer web2.Close()
	old := httptest.NewUnstartedServer(http.NotFoundHandler())
	old.TLS = &tls.Config{MaxVersion: tls.VersionTLS12}
	old.StartTLS()
	defer old.Close()
	nobody, err := freeport.Local(t.Context())
	if err != nil {
		t.Fatal(err)
	}

	host := func(url string) string { _, h, _ := strings.Cut(url, "://"); return h }
	tests := []struct {
		name, address string
		kind          error
		says          string
	}{
		{"nothing there", nobody, directory.ErrUnreachable, "Nothing listens"},
		{"closes", closed, directory.ErrUnreachable, ""},
		{"ssh", ssh, directory.ErrNotParley, "not a Parley directory"},
		{"http", host(plain.URL), directory.ErrNotParley, "not a Parley directory"},
		{"https", host(web1.URL), directory.ErrNotParley, "not a Parley directory"},
		{"http/2", host(web2.URL), directory.ErrNotParley, "not a Parley directory"},
		{"old TLS", host(old.URL), directory.ErrNotParley, "not a Parley directory"},
		{"no such name", "directory.invalid", directory.ErrUnreachable, "directory.invalid"},
		{"no address", "what?", directory.ErrAddress, "what?"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			target := directory.Target{Address: tt.address, Identity: newIdentity(t, "alice"), Agent: "test/1"}
			_, err := directory.LogIn(t.Context(), target, directory.Credentials{Password: goodPassword})
			if !errors.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v", err)
			}
			t.Log(err)
		})
	}
	t.Run("silent", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		target := directory.Target{Address: l.Addr().String(), Identity: newIdentity(t, "alice"), Agent: "test/1"}
		_, err = directory.LogIn(ctx, target, directory.Credentials{Password: goodPassword})
		if !errors.Is(err, directory.ErrUnreachable) || !strings.Contains(err.Error(), "in time") {
			t.Errorf("got %v", err)
		}
	})
}

func writePair(t *testing.T, dir string, cert tls.Certificate) (certFile, keyFile string) {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write("cert.pem", "CERTIFICATE", cert.Certificate[0]), write("key.pem", "PRIVATE KEY", key)
}
