package directory

import (
	"errors"
	"strings"
	"testing"

	"github.com/parley-chat/parley/protocol/packet"
)

// FuzzRequestKey: the keys of kept requests.
func FuzzRequestKey(f *testing.F) {
	f.Add(requestKey("alice", keptKey{"b.o_b", string(packet.TypeRequest)}))
	f.Add("a.b")
	f.Add("...")
	f.Fuzz(func(t *testing.T, s string) {
		to, key, err := parseRequestKey(s)
		if err != nil {
			if !errors.Is(err, packet.ErrMalformed) {
				t.Fatalf("error of no kind: %v", err)
			}
			return
		}
		again, key2, err := parseRequestKey(requestKey(to, key))
		if err != nil || again != to || key2 != key {
			t.Fatalf("%q: %q %+v became %q %+v, %v", s, to, key, again, key2, err)
		}
	})
}

// FuzzCode: an invite's code means the same however it is typed.
func FuzzCode(f *testing.F) {
	f.Add(newCode())
	f.Add("ABCDEF-ghijkl mnopqr-stuvwx")
	f.Add("\xff\u0130")
	f.Fuzz(func(t *testing.T, code string) {
		hash := hashCode(code)
		if len(hash) != 64 {
			t.Fatalf("hash %q", hash)
		}
		if other := hashCode(" " + strings.ReplaceAll(code, "-", " - ") + "-"); other != hash {
			t.Fatalf("%q is another with other separators", code)
		}
	})
}

// FuzzRecord: what a backup brings in belongs to a bucket and a user.
func FuzzRecord(f *testing.F) {
	f.Add("accounts", keyOf("alice"), []byte(`{"user":"alice"}`))
	f.Add("accounts", invitePrefix+"00", []byte(`{"uses":1}`))
	f.Add("avatars", keyOf("alice")+".00", []byte("x"))
	f.Add("requests", requestKey("alice", keptKey{"bob", "chat.request"}), []byte("x"))
	f.Add("nothing", "", []byte{})
	d := &Directory{}
	f.Fuzz(func(t *testing.T, bucket, key string, value []byte) {
		b, err := d.checkRecord(Record{Bucket: bucket, Key: key, Value: value})
		if err != nil && !errors.Is(err, ErrRecord) {
			t.Fatalf("error of no kind: %v", err)
		}
		if err == nil && b == nil {
			t.Fatal("no bucket")
		}
	})
}
