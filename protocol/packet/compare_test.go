package packet

import (
	"errors"
	"testing"

	"pgregory.net/rapid"
)

// The parts of places are all of them, none twice, and few; and so are the parts
// of a part.
func TestParts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		first := rapid.Uint64Range(1, maxCounter).Draw(t, "first")
		places := Range{first, rapid.Uint64Range(first, maxCounter).Draw(t, "last")}
		for depth := 0; places.First < places.Last; depth++ {
			parts := Parts(places)
			if len(parts) < 2 || len(parts) > MaxParts || parts[0].First != places.First || parts[len(parts)-1].Last != places.Last || depth > 11 {
				t.Fatalf("%v has the parts %v", places, parts)
			}
			for i := 1; i < len(parts); i++ {
				if parts[i].First != parts[i-1].Last+1 || parts[i].Last < parts[i].First {
					t.Fatalf("%v has the parts %v", places, parts)
				}
			}
			places = parts[rapid.IntRange(0, len(parts)-1).Draw(t, "part")]
		}
		if Parts(places) != nil {
			t.Fatalf("one place has the parts %v", Parts(places))
		}
	})
}

func TestMalformedCompare(t *testing.T) {
	good := func() *Compare {
		return &Compare{Chat: "alice-bob", Logs: []LogDigest{{Epoch: 1, Places: Range{1, 130}, Digests: make([]Digest, 1)}}}
	}
	for name, c := range map[string]struct {
		spoil func(c *Compare)
		want  error
	}{
		"no chat":           {func(c *Compare) { c.Chat = "" }, ErrMalformed},
		"no epoch":          {func(c *Compare) { c.Logs[0].Epoch = 0 }, ErrMalformed},
		"place 0":           {func(c *Compare) { c.Logs[0].Places.First = 0 }, ErrMalformed},
		"backwards":         {func(c *Compare) { c.Logs[0].Places.First = 131 }, ErrMalformed},
		"too far":           {func(c *Compare) { c.Logs[0].Places.Last = maxCounter + 1 }, ErrMalformed},
		"no digest":         {func(c *Compare) { c.Logs[0].Digests = nil }, ErrMalformed},
		"two of three":      {func(c *Compare) { c.Logs[0].Digests = make([]Digest, 2) }, ErrMalformed},
		"too many parts":    {func(c *Compare) { c.Logs[0].Digests = make([]Digest, MaxParts+1) }, ErrTooLarge},
		"too many at once":  {func(c *Compare) { c.Logs[0].Places.Last, c.Logs[0].Digests = 1, make([]Digest, MaxTwins+1) }, ErrTooLarge},
		"too many parts in": {func(c *Compare) { c.Logs = append(make([]LogDigest, MaxCompared), c.Logs...) }, ErrTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			f := good()
			if _, err := AppendFrame(nil, f); err != nil {
				t.Fatal(err)
			}
			c.spoil(f)
			if _, err := AppendFrame(nil, f); !errors.Is(err, c.want) {
				t.Errorf("encoding gives %v, not %v", err, c.want)
			}
		})
	}
}
