package certificate

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"time"
)

// OwnFile is the file in the data folder with the server's own certificate and
// key.
const OwnFile = "certificate.pem"

// Own reads the certificate that the server made for itself, which is made if
// there is none.
func Own(folder string) (Keeper, error) {
	cert, err := readOwn(folder)
	if err != nil {
		return nil, err
	}
	return &fixed{cert}, nil
}

func readOwn(folder string) (tls.Certificate, error) {
	path := filepath.Join(folder, OwnFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if b, err = makeCertificate(); err == nil {
			err = writeSecret(path, b)
		}
	}
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("the server's own TLS certificate: %w", err)
	}
	cert, err := tls.X509KeyPair(b, b)
	if err != nil {
		// Not made anew: all clients have pinned it.
		return tls.Certificate{}, fmt.Errorf("the server's own TLS certificate in %s cannot be read; restore it from a backup, "+
			"or remove it to make another, which every client has to accept: %w", path, err)
	}
	return cert, nil
}

// makeCertificate makes a self-signed certificate with its key, in PEM. P-256,
// which every TLS library takes; names and dates do not matter to who pins it.
func makeCertificate() ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "parley directory"},
		DNSNames:     []string{"parley-directory.invalid"},
		NotBefore:    time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:     time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	out := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return append(out, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})...), nil
}

// writeSecret writes a file that is there as a whole or not at all, also after
// a power cut, and that nobody else can read.
func writeSecret(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // gone already when all went well
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
