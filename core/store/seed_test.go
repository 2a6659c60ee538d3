package store_test

import "flag"

// Random tests take the same way at each run, unless -rapid.seed says another.
func init() { _ = flag.Set("rapid.seed", "2019") }
