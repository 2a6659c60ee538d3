package bytesize

import "testing"

func TestText(t *testing.T) {
	for n, want := range map[uint64]string{
		0: "0 B", 999: "999 B", 1000: "1.0 kB", 1536: "1.5 kB", 5_000_000: "5.0 MB", 2_340_000_000: "2.34 GB", 1 << 44: "17592.19 GB",
	} {
		if got := Text(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
}
