package server_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/parley-chat/parley/protocol/directorypb"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/server"
	"github.com/parley-chat/parley/server/api"
	"github.com/parley-chat/parley/server/certificate/acmetest"
	"github.com/parley-chat/parley/server/password"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, acmetest.Leaves()) }

// patience bounds how long a test waits for what must happen.
const patience = 2 * time.Minute

const goodPassword = "correct horse"

// running is a server in this process.
type running struct {
	t    *testing.T
	cfg  server.Config
	addr string
	// from is where devices connect from; nil: anywhere.
	from net.Addr
	// server is the one that runs now.
	server *server.Server
	stop   func() // and wait; idempotent
}

func testConfig(t *testing.T) server.Config {
	t.Helper()
	return server.Config{
		Listen: "127.0.0.1:0", Data: t.TempDir(), Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Limits: &api.Limits{}, PasswordCost: password.Cost{MemoryKiB: 64, Passes: 1, Lanes: 1},
		Lease: time.Hour, // or who waits in silence is let go on a slow machine
	}
}

// start starts a server; change may alter its configuration.
func start(t *testing.T, change func(*server.Config)) *running {
	t.Helper()
	cfg := testConfig(t)
	if change != nil {
		change(&cfg)
	}
	r := &running{t: t, cfg: cfg}
	r.start()
	t.Cleanup(func() { r.stop() })
	return r
}

func (r *running) start() {
	r.t.Helper()
	s, err := server.New(r.cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	r.addr, r.server = s.Addr().String(), s
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Serve(ctx); err != nil {
			r.t.Errorf("Serve: %v", err)
		}
	}()
	r.stop = func() {
		cancel()
		<-done
	}
}

// device is a client with a device key and one connection.
type device struct {
	directorypb.DirectoryClient
	t    *testing.T
	key  ed25519.PrivateKey
	conn *grpc.ClientConn
}

func (r *running) device() *device {
	r.t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		r.t.Fatal(err)
	}
	return r.connect(key)
}

// connect makes a new connection of a device.
func (r *running) connect(key ed25519.PrivateKey) *device {
	r.t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		r.t.Fatal(err)
	}
	return r.connectWith(key, &tls.Config{
		InsecureSkipVerify: true, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
	})
}

func (r *running) connectWith(key ed25519.PrivateKey, cfg *tls.Config) *device {
	r.t.Helper()
	dial := func(ctx context.Context, addr string) (net.Conn, error) {
		return (&net.Dialer{LocalAddr: r.from}).DialContext(ctx, "tcp", addr)
	}
	conn, err := grpc.NewClient(r.addr, grpc.WithTransportCredentials(credentials.NewTLS(cfg)), grpc.WithContextDialer(dial))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = conn.Close() })
	return &device{DirectoryClient: directorypb.NewDirectoryClient(conn), t: r.t, key: key, conn: conn}
}

// registered is a device with a new account.
func (r *running) registered(user string) *device {
	r.t.Helper()
	d := r.device()
	if err := d.register(user, goodPassword); err != nil {
		r.t.Fatal(err)
	}
	return d
}

func (d *device) register(user, pass string) error {
	_, err := d.Register(d.t.Context(), &directorypb.RegisterRequest{User: user, Password: pass})
	return err
}

func (d *device) logIn(user, pass string, replace bool) error {
	_, err := d.LogIn(d.t.Context(), &directorypb.LogInRequest{User: user, Password: pass, Replace: replace})
	return err
}

func (d *device) lookUp(user string) (*directorypb.LookUpResponse, error) {
	return d.LookUp(d.t.Context(), &directorypb.LookUpRequest{User: user})
}

func (d *device) public() ed25519.PublicKey { return d.key.Public().(ed25519.PublicKey) }

// packet makes a signed packet of the device.
func (d *device) packet(kind packet.Type, from, to packet.UserID, content string) []byte {
	d.t.Helper()
	p, err := packet.Seal(packet.Header{
		ID: packet.NewPacketID(), Chat: packet.DirectChat(from, to), Type: kind, Author: from, Device: packet.DeviceIDOf(d.public()),
		Epoch: 1, Number: 1, Depth: 1, SentAt: time.Now().UnixMicro(), Delivery: packet.Reliable,
	}, []byte(content), func(m []byte) []byte { return ed25519.Sign(d.key, m) })
	if err != nil {
		d.t.Fatal(err)
	}
	b, err := p.Marshal()
	if err != nil {
		d.t.Fatal(err)
	}
	return b
}

// session is a Session call whose messages are read as they come.
type session struct {
	directorypb.Directory_SessionClient
	t      *testing.T
	cancel context.CancelFunc
	in     chan *directorypb.SessionResponse
	err    chan error
	// seen keeps what was passed over while waiting for something else.
	presence map[string]*directorypb.Presence
}

type lists struct{ contacts, blocked []string }

// open opens a stream and sends nothing.
func (d *device) open() *session {
	d.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	d.t.Cleanup(cancel)
	stream, err := d.Session(ctx)
	if err != nil {
		d.t.Fatal(err)
	}
	s := &session{
		Directory_SessionClient: stream, t: d.t, cancel: cancel,
		in: make(chan *directorypb.SessionResponse, 1000), err: make(chan error, 1), presence: map[string]*directorypb.Presence{},
	}
	go func() {
		for {
			m, err := stream.Recv()
			if err != nil {
				s.err <- err
				close(s.in)
				return
			}
			s.in <- m
		}
	}()
	return s
}

// begin opens a session and waits until it has begun.
func (d *device) begin(l lists, endpoints ...*directorypb.Endpoint) *session {
	d.t.Helper()
	s := d.open()
	s.send(&directorypb.SessionRequest{Request: &directorypb.SessionRequest_Begin{Begin: &directorypb.Begin{
		Publish:  &directorypb.Publish{Endpoints: endpoints},
		Contacts: &directorypb.SetContacts{Contacts: l.contacts, Blocked: l.blocked},
	}}})
	s.await("begun", func(m *directorypb.SessionResponse) bool { return m.GetBegun() != nil })
	return s
}

func (s *session) send(m *directorypb.SessionRequest) {
	s.t.Helper()
	// io.EOF says that the session is over; why, says who reads it.
	if err := s.Send(m); err != nil && !errors.Is(err, io.EOF) {
		s.t.Fatalf("send: %v", err)
	}
}

func (s *session) setContacts(l lists) {
	s.t.Helper()
	s.send(&directorypb.SessionRequest{Request: &directorypb.SessionRequest_SetContacts{
		SetContacts: &directorypb.SetContacts{Contacts: l.contacts, Blocked: l.blocked},
	}})
}

func (s *session) deliver(id uint64, to string, b []byte) *directorypb.Receipt {
	s.t.Helper()
	s.send(&directorypb.SessionRequest{Request: &directorypb.SessionRequest_Deliver{Deliver: &directorypb.Deliver{Id: id, To: to, Packet: b}}})
	m := s.await("receipt", func(m *directorypb.SessionResponse) bool {
		return m.GetReceipt().GetId() == id && m.GetReceipt() != nil
	})
	return m.GetReceipt()
}

func (s *session) took(delivery uint64) {
	s.t.Helper()
	s.send(&directorypb.SessionRequest{Request: &directorypb.SessionRequest_Took{Took: &directorypb.Took{Delivery: delivery}}})
}

// await gives the next message for which ok is true, passing over others.
func (s *session) await(what string, ok func(*directorypb.SessionResponse) bool) *directorypb.SessionResponse {
	s.t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case m, open := <-s.in:
			if !open {
				s.t.Fatalf("waiting for %s: session ended: %v", what, <-s.err)
			}
			if p := m.GetPresence(); p != nil {
				s.presence[p.GetUser()] = p
			}
			if ok(m) {
				return m
			}
		case <-timeout:
			s.t.Fatalf("%s did not come", what)
		}
	}
}

// awaitPresence waits until user is as told, and gives that presence.
func (s *session) awaitPresence(user string, online bool) *directorypb.Presence {
	s.t.Helper()
	m := s.await("presence of "+user, func(m *directorypb.SessionResponse) bool {
		return m.GetPresence().GetUser() == user && m.GetPresence().GetOnline() == online
	})
	return m.GetPresence()
}

func (s *session) awaitDelivered() *directorypb.Delivered {
	s.t.Helper()
	return s.await("delivered packet", func(m *directorypb.SessionResponse) bool { return m.GetDelivered() != nil }).GetDelivered()
}

// quiet passes a keep-alive through and checks that nothing matches before the
// answer. What was caused before this call and is not there yet could still
// come, so it is used after something that came later.
func (s *session) quiet(what string, bad func(*directorypb.SessionResponse) bool) {
	s.t.Helper()
	for _, m := range s.heard(bad) {
		s.t.Errorf("%s: %v", what, m)
	}
}

// heard passes a keep-alive through and gives what matches before the answer.
func (s *session) heard(match func(*directorypb.SessionResponse) bool) (all []*directorypb.SessionResponse) {
	s.t.Helper()
	s.send(&directorypb.SessionRequest{Request: &directorypb.SessionRequest_KeepAlive{KeepAlive: &directorypb.KeepAlive{}}})
	s.await("keep-alive", func(m *directorypb.SessionResponse) bool {
		if match(m) {
			all = append(all, m)
		}
		return m.GetKeepAlive() != nil
	})
	return all
}

// ended waits for the end of the session and gives its code.
func (s *session) ended() codes.Code {
	s.t.Helper()
	return status.Code(s.endedWith())
}

// endedWith waits for the end of the session and gives its error.
func (s *session) endedWith() error {
	s.t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case _, open := <-s.in:
			if !open {
				return <-s.err
			}
		case <-timeout:
			s.t.Fatal("the session did not end")
		}
	}
}

func wantCode(t *testing.T, err error, want codes.Code) {
	t.Helper()
	if status.Code(err) != want {
		t.Fatalf("got %v, want %s", err, want)
	}
	if err != nil && !strings.HasSuffix(strings.TrimSpace(status.Convert(err).Message()), ".") {
		t.Errorf("not a sentence: %q", status.Convert(err).Message())
	}
}
