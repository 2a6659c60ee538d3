// Package bytesize says numbers of bytes in words, the same everywhere.
package bytesize

import "fmt"

// Text is a number of bytes for people, in powers of 1,000: "512 B", "1.5 kB",
// "5.0 MB", "2.34 GB".
func Text(n uint64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.2f GB", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	case n >= 1e3:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	}
	return fmt.Sprintf("%d B", n)
}
