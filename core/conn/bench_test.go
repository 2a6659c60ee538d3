package conn

import (
	"fmt"
	"testing"

	"github.com/parley-chat/parley/protocol/packet"
)

// BenchmarkSend sends packets over one link, through TLS on loopback, until the
// other side has them.
func BenchmarkSend(b *testing.B) {
	for _, size := range []int{100, 10_000, packet.MaxContent} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			x, y := newNode(b, "anna"), newNode(b, "bob")
			y.forget = true
			meet(x, y)
			x.start()
			y.start()
			x.sees(y)
			l, _ := linked(b, x, y)
			p := x.text(y, string(make([]byte, size)))
			b.SetBytes(int64(size))
			for b.Loop() {
				if err := x.m.Send(b.Context(), l.ID, p); err != nil {
					b.Fatal(err)
				}
			}
			eventually(b, "everything came", func() bool { return y.received() == b.N })
		})
	}
}
