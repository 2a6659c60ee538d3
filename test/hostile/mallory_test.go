package hostile

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/parley-chat/parley/core/identity"
	"github.com/parley-chat/parley/protocol/directorypb"
	"github.com/parley-chat/parley/protocol/packet"
)

const mallorysHost = "127.0.0.66"

// mallory has an account, and nobody's program.
type mallory struct {
	*world
	id      *identity.Identity
	conn    *grpc.ClientConn
	rpc     directorypb.DirectoryClient
	session directorypb.Directory_SessionClient
}

// tlsOf is what a client with a device key uses.
func tlsOf(id *identity.Identity, protocols ...string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{id.Certificate()}, NextProtos: protocols,
		InsecureSkipVerify: true, //nolint:gosec // an attacker has no one to trust
	}
}

// caller makes a gRPC client of the directory, from mallory's host.
func (w *world) caller(id *identity.Identity) *grpc.ClientConn {
	w.t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+w.address, grpc.WithTransportCredentials(credentials.NewTLS(tlsOf(id))),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			return from(mallorysHost).DialContext(ctx, "tcp", address)
		}))
	must(w.t, err)
	w.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func (w *world) mallory() *mallory {
	w.t.Helper()
	id, err := identity.Generate("mallory")
	must(w.t, err)
	conn := w.caller(id)
	m := &mallory{world: w, id: id, conn: conn, rpc: directorypb.NewDirectoryClient(conn)}
	_, err = m.rpc.Register(w.t.Context(), &directorypb.RegisterRequest{User: "mallory", Password: password})
	must(w.t, err)
	return m
}

func (m *mallory) ask(r *directorypb.SessionRequest) {
	m.t.Helper()
	must(m.t, m.session.Send(r))
}

// befriend becomes a contact of p, by p's own will.
func (m *mallory) befriend(p *someone) {
	m.t.Helper()
	var err error
	m.session, err = m.rpc.Session(m.t.Context())
	must(m.t, err)
	m.ask(&directorypb.SessionRequest{Request: &directorypb.SessionRequest_Begin{Begin: &directorypb.Begin{
		Contacts: &directorypb.SetContacts{Contacts: []string{p.name}},
	}}})
	request, err := packet.Seal(packet.Header{
		ID: packet.NewPacketID(), Chat: chatOf(p.name, "mallory"), Type: packet.TypeRequest, Author: "mallory", Device: m.id.Device(),
		SentAt: time.Now().UnixMicro(), Delivery: packet.Ephemeral,
	}, []byte("be my friend"), m.id.Sign)
	must(m.t, err)
	raw, err := request.Marshal()
	must(m.t, err)
	m.ask(&directorypb.SessionRequest{Request: &directorypb.SessionRequest_Deliver{Deliver: &directorypb.Deliver{Id: 1, To: p.name, Packet: raw}}})
	p.accept("mallory")
}

// port waits until mallory is told where p listens.
func (m *mallory) port(p *someone) string {
	m.t.Helper()
	for {
		r, err := m.session.Recv()
		must(m.t, err)
		presence := r.GetPresence()
		if presence.GetUser() != p.name || !presence.GetOnline() {
			continue
		}
		for _, e := range presence.GetEndpoints() {
			if e.GetHost() == "127.0.0.1" {
				return net.JoinHostPort(e.GetHost(), itoa(e.GetPort()))
			}
		}
	}
}

// link connects with a core as id does, and says hello.
func (m *mallory) link(address string, id *identity.Identity, cache tls.ClientSessionCache) (*tls.Conn, error) {
	cfg := tlsOf(id, "parley/1")
	cfg.ClientSessionCache = cache
	c, err := (&tls.Dialer{NetDialer: from(mallorysHost), Config: cfg}).DialContext(m.t.Context(), "tcp", address)
	if err != nil {
		return nil, err
	}
	conn := c.(*tls.Conn)
	hello, err := packet.AppendFrame(nil, &packet.Hello{Version: packet.Version, User: "mallory", Device: id.Device(), Port: 1, Agent: "evil"})
	must(m.t, err)
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := conn.Write(hello); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	f, err := packet.ReadFrame(conn, packet.MaxFrame)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	if bye, ok := f.(*packet.Bye); ok {
		return nil, errors.Join(errors.New("bye: "+bye.Text), conn.Close())
	}
	return conn, nil
}

// linked is link, again and again until it is let in: after a broken protocol
// one has to wait.
func (m *mallory) linked(address string) *tls.Conn {
	m.t.Helper()
	var conn *tls.Conn
	m.until("mallory is let in", func() bool {
		var err error
		if conn, err = m.link(address, m.id, nil); err != nil {
			time.Sleep(500 * time.Millisecond) // one counts
		}
		return err == nil
	})
	m.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// sealed is an entry of a log, by whomever it says.
func sealed(t testing.TB, key *identity.Identity, chat packet.ChatID, author packet.UserID, device packet.DeviceID, number uint64, content []byte) *packet.Packet {
	t.Helper()
	p, err := packet.Seal(packet.Header{
		ID: packet.NewPacketID(), Chat: chat, Type: "text", Author: author, Device: device, Epoch: 1, Number: number, Depth: number,
		Membership: 1, SentAt: time.Now().UnixMicro(), Delivery: packet.Reliable,
	}, content, key.Sign)
	must(t, err)
	return &p
}

func encode(t testing.TB, frames ...packet.Frame) []byte {
	t.Helper()
	var b []byte
	var err error
	for _, f := range frames {
		b, err = packet.AppendFrame(b, f)
		must(t, err)
	}
	return b
}
