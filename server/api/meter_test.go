package api

import (
	"errors"
	"io"
	"net"
	"testing"
)

func TestMeter(t *testing.T) {
	here, there := net.Pipe()
	defer func() { _ = here.Close() }()
	go func() { _, _ = io.Copy(there, zeros{}) }()
	defer func() { _ = there.Close() }()
	m := &meter{Conn: here}
	m.left.Store(strangerBytes)
	take := func(most int64) int64 {
		t.Helper()
		n, err := io.CopyN(io.Discard, m, most)
		if err != nil && !errors.Is(err, errSaysTooMuch) {
			t.Fatal(err)
		}
		return n
	}
	if n := take(10 << 20); n != strangerBytes {
		t.Errorf("a stranger sent %d bytes", n)
	}
	m.known()
	if n := take(10 << 20); n != ownerBytes {
		t.Errorf("an account's device sent %d bytes", n)
	}
	restrict := m.lift()
	if n := take(10 << 20); n != 10<<20 {
		t.Errorf("a session sent %d bytes", n)
	}
	restrict()
	m.known()
	if n := take(10 << 20); n != ownerBytes {
		t.Errorf("after its session a device sent %d bytes", n)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }
