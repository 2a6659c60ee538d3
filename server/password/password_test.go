package password_test

import (
	"errors"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/parley-chat/parley/server/password"
)

var cheap = password.Cost{MemoryKiB: 64, Passes: 1, Lanes: 1}

func newHasher(t *testing.T, waiting int) *password.Hasher {
	t.Helper()
	h, err := password.New(cheap, waiting)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestVerify(t *testing.T) {
	h := newHasher(t, 8)
	hash, err := h.Hash(t.Context(), "p\u00e4sswords") // one letter
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(hash, "$argon2id$v=19$m=64,t=1,p=1$") {
		t.Errorf("not in PHC format: %s", hash)
	}
	tests := []struct {
		name, hash, password string
		want                 error
	}{
		{"right", hash, "p\u00e4sswords", nil},
		{"right, typed as letter and accent", hash, "pa\u0308sswords", nil},
		{"wrong", hash, "p\u00e4sswordS", password.ErrMismatch},
		{"empty", hash, "", password.ErrMismatch},
		{"too long to be anybody's", hash, strings.Repeat("x", 10_000), password.ErrMismatch},
		{"user who does not exist", "", "p\u00e4sswords", password.ErrMismatch},
		{"the dummy's own", "", "xxxxxxxx", password.ErrMismatch},
		{"damaged", "$argon2id$v=19$m=64,t=1$x$y", "p\u00e4sswords", password.ErrFormat},
		{"too costly", strings.Replace(hash, "m=64", "m=4000000000", 1), "p\u00e4sswords", password.ErrFormat},
		{"no lanes", strings.Replace(hash, "p=1", "p=0", 1), "p\u00e4sswords", password.ErrFormat},
		{"another algorithm", strings.Replace(hash, "argon2id", "argon2i", 1), "p\u00e4sswords", password.ErrFormat},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := h.Verify(t.Context(), tt.hash, tt.password); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

func TestHashBounds(t *testing.T) {
	h := newHasher(t, 8)
	for _, bad := range []string{"", "1234567", strings.Repeat("x", 257), "12345678\xff"} {
		if _, err := h.Hash(t.Context(), bad); !errors.Is(err, password.ErrBounds) {
			t.Errorf("%.20q: got %v, want %v", bad, err, password.ErrBounds)
		}
	}
	for _, good := range []string{"12345678", strings.Repeat("x", 256)} {
		if _, err := h.Hash(t.Context(), good); err != nil {
			t.Errorf("%.20q: %v", good, err)
		}
	}
}

func TestManyAtOnceAreRefusedNotQueued(t *testing.T) {
	slow, err := password.New(password.Cost{MemoryKiB: 16 << 10, Passes: 2, Lanes: 1}, 0)
	if err != nil {
		t.Fatal(err)
	}
	callers := 32 + runtime.GOMAXPROCS(0) // of whom half as many as there are processors have their turn
	errs := make([]error, callers)
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() { _, errs[i] = slow.Hash(t.Context(), "12345678") })
	}
	all.Wait()
	done, busy := 0, 0
	for _, err := range errs {
		switch {
		case err == nil:
			done++
		case errors.Is(err, password.ErrBusy):
			busy++
		default:
			t.Error(err)
		}
	}
	if done == 0 || busy == 0 {
		t.Errorf("%d done and %d refused of %d, want some of both", done, busy, callers)
	}
}
