package net2019

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const (
	word  = "net2019"
	alice = ID("2017000001")
	bob   = ID("2017000002")
)

// scan feeds pieces to a scanner as a connection does, and gives what it found.
// Between pieces the client is silent for as long as gap.
func scan(t testing.TB, password string, gap time.Duration, pieces ...string) []Command {
	t.Helper()
	s := Scanner{Password: password}
	var pending []byte
	var all []Command
	next := func(silent bool) {
		for {
			c, used, ok := s.Next(pending, silent)
			if used < 0 || used > len(pending) || ok && used == 0 && !silent {
				t.Fatalf("%q: used %d of it", pending, used)
			}
			pending = pending[used:]
			if !ok {
				return
			}
			all = append(all, c)
		}
	}
	silence := func(long time.Duration) {
		if wait := s.Wait(); wait > 0 && long >= wait {
			next(true)
			if len(pending) > 0 || s.Wait() != 0 {
				t.Fatalf("%q is left after silence, and %s to wait", pending, s.Wait())
			}
		}
	}
	for i, piece := range pieces {
		if i > 0 {
			silence(gap)
		}
		pending = append(pending, piece...)
		next(false)
		if len(pending) > MaxPending {
			t.Fatalf("%d bytes are pending", len(pending))
		}
	}
	silence(time.Hour)
	return all
}

func TestScanner(t *testing.T) {
	in := func(id ID, port uint16) Command { return Command{Verb: LogIn, ID: id, Port: port} }
	query := func(id ID) Command { return Command{Verb: Query, ID: id} }
	out := Command{Verb: LogOut, ID: alice}
	bad, guess := Command{}, Command{Guess: true}
	tests := []struct {
		name   string
		pieces []string
		want   []Command
	}{
		{"a log-in", []string{"2017000001_net2019_2333"}, []Command{in(alice, 2333)}},
		{"of the course", []string{"2017000001_net2019"}, []Command{in(alice, 0)}},
		{"an id that does not start with 20", []string{"0000000000_net2019_65535"}, []Command{in("0000000000", 65535)}},
		{"a query", []string{"q2017000002"}, []Command{query(bob)}},
		{"a log-out", []string{"logout2017000001"}, []Command{out}},
		{"twice, together", []string{"2017000001_net2019_23332017000001_net2019_2333"}, []Command{in(alice, 2333), in(alice, 2333)}},
		{"twice, five digits", []string{"2017000001_net2019_233332017000001_net2019_23333"}, []Command{in(alice, 23333), in(alice, 23333)}},
		{"twice, the course's", []string{"2017000001_net20192017000001_net2019"}, []Command{in(alice, 0), in(alice, 0)}},
		{"the course's and the other", []string{"2017000001_net20192017000001_net2019_2333"}, []Command{in(alice, 0), in(alice, 2333)}},
		{"all together", []string{"2017000001_net2019_2333q2017000002q2017000001logout2017000001"}, []Command{in(alice, 2333), query(bob), query(alice), out}},
		{"the course's and a query", []string{"2017000001_net2019q2017000002"}, []Command{in(alice, 0), query(bob)}},
		{"a query and a log-in", []string{"q20170000022017000001_net2019_2333"}, []Command{query(bob), in(alice, 2333)}},
		{"two pieces", []string{"2017000001_net", "2019_2333"}, []Command{in(alice, 2333)}},
		{"pieces within the port", []string{"2017000001_net2019_23", "33"}, []Command{in(alice, 2333)}},
		{"before the port", []string{"2017000001_net2019_", "2333"}, []Command{in(alice, 2333)}},
		{"together, cut in the second", []string{"2017000001_net2019_2333201700", "0001_net2019_2333"}, []Command{in(alice, 2333), in(alice, 2333)}},
		{"together, cut behind a digit", []string{"2017000001_net2019_23332", "017000001_net2019_2333"}, []Command{in(alice, 2333), in(alice, 2333)}},
		{"a query in pieces", []string{"q2017", "000002"}, []Command{query(bob)}},
		{"letter by letter", strings.Split("2017000001_net2019_2333q2017000002logout2017000001", ""), []Command{in(alice, 2333), query(bob), out}},

		{"nothing", []string{""}, nil},
		{"junk", []string{"hello"}, []Command{bad}},
		{"junk in pieces is one", []string{"hello", "q2017000002"}, []Command{bad}},
		{"junk behind", []string{"q2017000002\n"}, []Command{query(bob), bad}},
		{"binary", []string{"\xff\x00\x01"}, []Command{bad}},
		{"short ids", []string{"q201700002"}, []Command{bad}},
		{"a long id", []string{"q20170000023"}, []Command{query(bob), bad}},
		{"a short log-in", []string{"201700001_net2019_2333"}, []Command{bad}},
		{"a long one", []string{"20170000011_net2019_2333"}, []Command{bad}},
		{"digits of others", []string{"q２０１７０００００２"}, []Command{bad}},
		{"only an id", []string{"2017000001"}, []Command{bad}},
		{"no password", []string{"2017000001_"}, []Command{bad}},
		{"part of the password", []string{"2017000001_net"}, []Command{guess}},
		{"another password", []string{"2017000001_secret_2333"}, []Command{guess}},
		{"no port", []string{"2017000001_net2019_"}, []Command{bad}},
		{"port of letters", []string{"2017000001_net2019_abc"}, []Command{bad}},
		{"port 1024", []string{"2017000001_net2019_1024"}, []Command{bad}},
		{"port 1025", []string{"2017000001_net2019_1025"}, []Command{in(alice, 1025)}},
		{"port 65536", []string{"2017000001_net2019_65536"}, []Command{bad}},
		{"port of a database", []string{"2017000001_net2019_3306"}, []Command{bad}},
		{"port of six digits", []string{"2017000001_net2019_123456"}, []Command{bad}},
		{"endless port", []string{"2017000001_net2019_" + strings.Repeat("1", 100)}, []Command{bad}},
		{"half a log-out", []string{"logout"}, []Command{bad}},
		{"log-out of another kind", []string{"logoff2017000001"}, []Command{bad}},
		{"a log-in and junk", []string{"2017000001_net2019_2333_x"}, []Command{in(alice, 2333), bad}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, scan(t, word, 0, test.pieces...)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// What silence means: it ends a log-in that may have ended, and what is none; a
// command that has only begun it ends much later.
func TestScannerSilence(t *testing.T) {
	for _, test := range []struct {
		gap    time.Duration
		pieces []string
		want   []Command
	}{
		{Silence, []string{"2017000001_net2019", "_2333"}, []Command{{Verb: LogIn, ID: alice}, {}}},
		{Silence - 1, []string{"2017000001_net2019", "_2333"}, []Command{{Verb: LogIn, ID: alice, Port: 2333}}},
		{Silence, []string{"2017000001_net2019_2333", "3"}, []Command{{Verb: LogIn, ID: alice, Port: 2333}, {}}},
		{Silence, []string{"2017000001_net2019_2333", "q2017000002"}, []Command{{Verb: LogIn, ID: alice, Port: 2333}, {Verb: Query, ID: bob}}},
		{Silence, []string{"hello", "q2017000002"}, []Command{{}, {Verb: Query, ID: bob}}},
		{LongSilence - 1, []string{"q2017", "000002"}, []Command{{Verb: Query, ID: bob}}},
		{LongSilence - 1, []string{"20170", "00001_net2019_2", "333"}, []Command{{Verb: LogIn, ID: alice, Port: 2333}}},
		{LongSilence, []string{"q2017", "000002"}, []Command{{}, {}}},
	} {
		if diff := cmp.Diff(test.want, scan(t, word, test.gap, test.pieces...)); diff != "" {
			t.Errorf("%q, %s apart (-want +got):\n%s", test.pieces, test.gap, diff)
		}
	}
}

func TestScannerPasswords(t *testing.T) {
	for _, password := range []string{"a", "pass_word", "_", "1234567890_x", "密码", strings.Repeat("x", MaxPassword)} {
		if err := CheckPassword(password); err != nil {
			t.Errorf("%q: %v", password, err)
		}
		text := string(AppendLogIn(nil, alice, password, 2333)) + string(AppendLogIn(nil, alice, password, 0))
		want := []Command{{Verb: LogIn, ID: alice, Port: 2333}, {Verb: LogIn, ID: alice}}
		if diff := cmp.Diff(want, scan(t, password, 0, strings.SplitAfter(text, "")...)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", password, diff)
		}
	}
	for _, password := range []string{"", "two words", "line\n", "\xff", "\u202e", strings.Repeat("x", MaxPassword+1)} {
		if CheckPassword(password) == nil {
			t.Errorf("%q can be the password", password)
		}
	}
}

// What never ends is noticed, and costs nothing.
func TestScannerEndless(t *testing.T) {
	s := Scanner{Password: word}
	for i := 0; !s.Endless(); i++ {
		if i > maxJunk {
			t.Fatal("never noticed")
		}
		if _, used, ok := s.Next([]byte("xx"), false); used != 2 || ok {
			t.Fatalf("used %d, %v", used, ok)
		}
	}
	if c, _, ok := s.Next(nil, true); !ok || c != (Command{}) || s.Endless() {
		t.Errorf("at its end: %+v %v", c, ok)
	}
	if c, used, ok := s.Next([]byte("q2017000002"), false); !ok || used != 11 || c.Verb != Query {
		t.Errorf("and then: %+v %d %v", c, used, ok)
	}
}

// FuzzScanner: whatever comes, how it is cut changes nothing, and all is used up.
func FuzzScanner(f *testing.F) {
	for _, s := range []string{
		"2017000001_net2019_23332017000001_net2019_2333", "2017000001_net20192017000001_net2019q2017000002logout2017000001",
		"q20170000023", "2017000001_net2019_123456", "hello", "logoutq", "2017000001_net2019_2333_x",
	} {
		f.Add([]byte(s), uint8(3))
	}
	f.Fuzz(func(t *testing.T, b []byte, piece uint8) {
		together := scan(t, word, 0, string(b))
		var pieces []string
		for c := range slices.Chunk(b, int(piece%20)+1) {
			pieces = append(pieces, string(c))
		}
		if diff := cmp.Diff(together, scan(t, word, 0, pieces...)); diff != "" {
			t.Errorf("in pieces of %d it is something else (-together +pieces):\n%s", piece%20+1, diff)
		}
		for _, c := range together {
			if c.Verb == Invalid {
				continue
			}
			if _, err := ParseID(string(c.ID)); err != nil {
				t.Errorf("%+v: %v", c, err)
			}
			if c.Port != 0 && CheckPort(c.Port) != nil {
				t.Errorf("%+v: the port is refused", c)
			}
		}
	})
}

func ExampleAppendLogIn() {
	fmt.Printf("%s\n", AppendLogIn(nil, "2017000001", "net2019", 2333))
	fmt.Printf("%s\n", AppendQuery(nil, "2017000002"))
	fmt.Printf("%s\n", AppendLogOut(nil, "2017000001"))
	// Output:
	// 2017000001_net2019_2333
	// q2017000002
	// logout2017000001
}
