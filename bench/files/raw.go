package main

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/zeebo/blake3"

	"github.com/parley-chat/parley/bench/report"
)

// receiveCommand has this program take one file.
const receiveCommand = "receive"

// way is how a file is copied.
type way struct{ tls, hash bool }

const piece = 1 << 20

// raw sends the file to another process of this program.
func raw(w way) runner {
	return func(ctx context.Context, r *report.Round) error {
		dir, remove, err := folder(r)
		if err != nil {
			return err
		}
		defer remove()
		path, err := makeFile(dir)
		if err != nil {
			return err
		}
		self, err := os.Executable()
		if err != nil {
			return err
		}
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		defer func() { _ = l.Close() }()
		// The sender is a process too, so that its memory is its own.
		taker := exec.CommandContext(ctx, self, receiveCommand, "take", l.Addr().String(), filepath.Join(dir, "copy"), fmt.Sprint(w.tls), fmt.Sprint(w.hash)) //nolint:gosec // this program
		taker.Stderr = os.Stderr
		file, err := l.(*net.TCPListener).File()
		if err != nil {
			return err
		}
		sender := exec.CommandContext(ctx, self, receiveCommand, "give", path, fmt.Sprint(w.tls), fmt.Sprint(w.hash)) //nolint:gosec // this program
		sender.Stderr, sender.ExtraFiles = os.Stderr, []*os.File{file}
		start := time.Now()
		if err := errors.Join(sender.Start(), taker.Start()); err != nil {
			return err
		}
		if err := errors.Join(taker.Wait(), sender.Wait()); err != nil {
			return err
		}
		took := time.Since(start)
		used := func(c *exec.Cmd) (time.Duration, uint64) {
			ru := c.ProcessState.SysUsage().(*syscall.Rusage)
			return c.ProcessState.UserTime() + c.ProcessState.SystemTime(), uint64(ru.Maxrss) << 10 //nolint:gosec // not negative
		}
		giverCPU, giver := used(sender)
		takerCPU, receiver := used(taker)
		record(r, took, giverCPU+takerCPU, giver, receiver)
		return nil
	}
}

// receive is the other processes: "take ADDRESS PATH TLS HASH" and "give PATH TLS
// HASH", which listens on file descriptor 3.
func receive(args []string) error {
	if len(args) < 4 {
		return errors.New("this is for the benchmark itself")
	}
	w := way{tls: args[len(args)-2] == "true", hash: args[len(args)-1] == "true"}
	if args[0] == "give" {
		return give(args[1], w)
	}
	return take(args[1], args[2], w)
}

func give(path string, w way) error {
	l, err := net.FileListener(os.NewFile(3, "listener"))
	if err != nil {
		return err
	}
	c, err := l.Accept()
	if err != nil {
		return err
	}
	if w.tls {
		cert, err := certificate()
		if err != nil {
			return err
		}
		c = tls.Server(c, &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{cert}, DynamicRecordSizingDisabled: true})
	}
	f, err := os.Open(path) //nolint:gosec // given by ourselves
	if err != nil {
		return err
	}
	b := make([]byte, 8+32+piece)
	for {
		n, err := io.ReadFull(f, b[40:])
		if n == 0 {
			return c.Close()
		}
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			return err
		}
		binary.BigEndian.PutUint64(b, uint64(n)) //nolint:gosec // not negative
		if w.hash {
			sum := blake3.Sum256(b[40 : 40+n])
			copy(b[8:], sum[:])
		}
		if _, err := c.Write(b[:40+n]); err != nil {
			return err
		}
	}
}

func take(address, path string, w way) error {
	c, err := net.Dial("tcp", address) //nolint:noctx,gosec // ended with the process; the address is ours
	if err != nil {
		return err
	}
	if w.tls {
		c = tls.Client(c, &tls.Config{MinVersion: tls.VersionTLS13, InsecureSkipVerify: true}) //nolint:gosec // ourselves
	}
	f, err := os.Create(path) //nolint:gosec // given by ourselves
	if err != nil {
		return err
	}
	b := make([]byte, 40+piece)
	for {
		if _, err := io.ReadFull(c, b[:40]); errors.Is(err, io.EOF) {
			return errors.Join(f.Sync(), f.Close())
		} else if err != nil {
			return err
		}
		p := b[40 : 40+binary.BigEndian.Uint64(b)]
		if _, err := io.ReadFull(c, p); err != nil {
			return err
		}
		if w.hash {
			if sum := blake3.Sum256(p); string(sum[:]) != string(b[8:40]) {
				return errors.New("a piece came broken")
			}
		}
		if _, err := f.Write(p); err != nil {
			return err
		}
	}
}

// certificate makes a key for one connection.
func certificate() (tls.Certificate, error) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(nil, template, template, public, private)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}, err
}
