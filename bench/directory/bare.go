package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/parley-chat/parley/bench/process"
	"github.com/parley-chat/parley/bench/report"
	"github.com/parley-chat/parley/protocol/directorypb"
)

// bareCommand has this program serve bare streams.
const bareCommand = "bare-server"

// bareServer answers the first message of each stream.
type bareServer struct {
	directorypb.UnimplementedDirectoryServer
}

func (bareServer) Session(s directorypb.Directory_SessionServer) error {
	if _, err := s.Recv(); err != nil {
		return err
	}
	if err := s.Send(&directorypb.SessionResponse{Response: &directorypb.SessionResponse_Begun{Begun: &directorypb.Begun{}}}); err != nil {
		return err
	}
	for {
		if _, err := s.Recv(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// serveBare serves until it is interrupted.
func serveBare() error {
	_, cert, err := deviceKey(-1)
	if err != nil {
		return err
	}
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s := grpc.NewServer(
		grpc.Creds(credentials.NewTLS(&tls.Config{
			MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAnyClientCert, SessionTicketsDisabled: true,
		})),
		grpc.ReadBufferSize(0), grpc.WriteBufferSize(0),
	)
	directorypb.RegisterDirectoryServer(s, bareServer{})
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, terminate)
	go func() {
		<-stop
		s.Stop()
	}()
	fmt.Printf("listening on %s\n", l.Addr())
	return s.Serve(l)
}

func (w *world) bare(ctx context.Context, r *report.Round) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	began := time.Now()
	p, err := process.Start(process.Config{Program: self, Args: []string{bareCommand}})
	if err != nil {
		return err
	}
	defer p.Kill()
	address, err := p.Await(ctx, "listening on ")
	if err != nil {
		return err
	}
	r.Record(start, time.Since(began).Seconds())
	fleet := newFleet(address, 0)
	defer fleet.close()
	before, err := w.settled(ctx, p)
	if err != nil {
		return err
	}
	rate, err := fleet.grow(ctx, w.sessions)
	if err != nil {
		return err
	}
	r.Record(begins, rate)
	r.Record(held, float64(fleet.size()))
	after, err := w.settled(ctx, p)
	r.Record(memory, float64(after-before)/float64(fleet.size()))
	return err
}
