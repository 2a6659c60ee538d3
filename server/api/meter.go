package api

import (
	"errors"
	"net"
	"sync/atomic"

	"google.golang.org/grpc/credentials"
)

// What a connection may send, in bytes on the wire. gRPC keeps a message until
// it is whole, for as many calls at a time as there may be, so that without this
// a device that nobody knows could have megabytes kept for each connection.
const (
	// strangerBytes are all that a device may send that is bound to no account:
	// its handshake and some hundred tries of Register and LogIn.
	strangerBytes = 64 << 10
	// ownerBytes are what one that is may send after a call of its that was
	// answered, outside of a session: a picture, and some.
	ownerBytes = 512 << 10
	unmetered  = int64(1) << 62
)

var errSaysTooMuch = errors.New("connection sent more than it may before it has a session")

// meter is a connection that ends when it sends too much.
type meter struct {
	net.Conn
	left atomic.Int64
}

// Read implements net.Conn.
func (m *meter) Read(b []byte) (int, error) {
	left := m.left.Load()
	if left <= 0 {
		return 0, errSaysTooMuch
	}
	n, err := m.Conn.Read(b[:min(int64(len(b)), left)])
	if left < unmetered {
		m.left.CompareAndSwap(left, left-int64(n)) // else it was given more meanwhile
	}
	return n, err
}

// known is told of a call by an account's device.
func (m *meter) known() {
	if left := m.left.Load(); left < ownerBytes {
		m.left.CompareAndSwap(left, ownerBytes)
	}
}

// lift is for as long as there is a session, which has limits of its own.
func (m *meter) lift() (restrict func()) {
	m.left.Store(unmetered)
	return func() { m.left.Store(ownerBytes) }
}

// meteredTLS has the handshake's result lead back to the meter.
type meteredTLS struct {
	credentials.TransportCredentials
}

// deviceInfo is the AuthInfo of a connection.
type deviceInfo struct {
	credentials.TLSInfo
	meter *meter
}

// ServerHandshake implements credentials.TransportCredentials.
func (t meteredTLS) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	m := &meter{Conn: raw}
	m.left.Store(strangerBytes)
	conn, info, err := t.TransportCredentials.ServerHandshake(m)
	if err != nil {
		return nil, nil, err
	}
	proved, ok := info.(credentials.TLSInfo)
	if !ok {
		return nil, nil, errors.Join(errNoDeviceKey, conn.Close())
	}
	return conn, deviceInfo{proved, m}, nil
}

// Clone implements credentials.TransportCredentials.
func (t meteredTLS) Clone() credentials.TransportCredentials {
	return meteredTLS{t.TransportCredentials.Clone()}
}
