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
	"time"

	"github.com/zeebo/blake3"

	"github.com/parley-chat/parley/bench/process"
	"github.com/parley-chat/parley/bench/report"
)

// otherSide has this program be one side of a copy.
const otherSide = "other-side"

// way is how a file is copied.
type way struct{ tls, hash bool }

const piece = 1 << 20

const listening = "listening on "

// raw sends files from one process of this program to another.
func raw(w way) runner {
	return func(ctx context.Context, r *report.Round) error {
		large, err := transfer(ctx, r, largeFile, w.copy)
		if err != nil {
			return err
		}
		recordLarge(r, large)
		recordPeak(r, peakGiver, large.giver, "-")
		recordPeak(r, peakTaker, large.taker, "-")
		_, err = transfer(ctx, r, smallFile, w.copy)
		return err
	}
}

func (w way) copy(ctx context.Context, _ *report.Round, path, into string) (copied, error) {
	self, err := os.Executable()
	if err != nil {
		return copied{}, err
	}
	how := []string{fmt.Sprint(w.tls), fmt.Sprint(w.hash)}
	to := arrived(path, into)
	taker, err := start(process.Config{Program: self, Args: append([]string{otherSide, "take", to}, how...)})
	if err != nil {
		return copied{}, err
	}
	defer taker.abandon()
	address, err := taker.Await(ctx, listening)
	if err != nil {
		return copied{}, err
	}
	begin := time.Now()
	giver, err := start(process.Config{Program: self, Args: append([]string{otherSide, "give", path, address}, how...)})
	if err != nil {
		return copied{}, err
	}
	defer giver.abandon()
	if err := errors.Join(giver.Ended(ctx), taker.Ended(ctx)); err != nil {
		return copied{}, err
	}
	return copied{took: time.Since(begin), giver: giver.spent(), taker: taker.spent(), at: to}, nil
}

// copyOver is the other processes: "take PATH TLS HASH", which says where it
// listens, and "give PATH ADDRESS TLS HASH".
func copyOver(args []string) error {
	if len(args) < 4 {
		return errors.New("this is for the benchmark itself")
	}
	w := way{tls: args[len(args)-2] == "true", hash: args[len(args)-1] == "true"}
	if args[0] == "give" {
		return give(args[1], args[2], w)
	}
	return take(args[1], w)
}

func give(path, address string, w way) error {
	c, err := net.Dial("tcp", address) //nolint:noctx,gosec // ended with the process; the address is ours
	if err != nil {
		return err
	}
	if w.tls {
		c = tls.Client(c, &tls.Config{MinVersion: tls.VersionTLS13, InsecureSkipVerify: true, DynamicRecordSizingDisabled: true}) //nolint:gosec // ourselves
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

func take(path string, w way) error {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // ended with the process
	if err != nil {
		return err
	}
	fmt.Println(listening + l.Addr().String())
	c, err := l.Accept()
	if err != nil {
		return err
	}
	if w.tls {
		cert, err := certificate()
		if err != nil {
			return err
		}
		c = tls.Server(c, &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{cert}})
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
