package server_test

import (
	"fmt"
	"net"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/parley-chat/parley/protocol/directorypb"
	"github.com/parley-chat/parley/server/net2019"
)

// set2019 switches the protocol of 2019 on for a session, or off, and gives the
// answer.
func (s *session) set2019(id string, port uint32, watched ...string) *directorypb.Net2019State {
	s.t.Helper()
	s.send(&directorypb.SessionRequest{Request: &directorypb.SessionRequest_SetNet2019{
		SetNet2019: &directorypb.SetNet2019{Id: id, Port: port, Watched: watched},
	}})
	return s.await("state of 2019", func(m *directorypb.SessionResponse) bool { return m.GetNet2019State() != nil }).GetNet2019State()
}

// want2019 waits until a name of 2019 is where it is wanted; "" is offline.
func (s *session) want2019(name, where string) {
	s.t.Helper()
	at := func(p *directorypb.Presence) string {
		e := p.GetEndpoints()
		if !p.GetOnline() || len(e) != 1 || len(p.GetDevices()) > 0 {
			return ""
		}
		return fmt.Sprintf("%s_%d", e[0].GetHost(), e[0].GetPort())
	}
	// Of several changes the order is open, and what was passed over counts.
	if p := s.presence[name]; p != nil && at(p) == where {
		return
	}
	s.await(name+" at "+where, func(m *directorypb.SessionResponse) bool {
		return m.GetPresence().GetUser() == name && at(m.GetPresence()) == where
	})
}

const nameOfBob = "net2019:2017000002"

// Natives and originals find each other, once a native has said so.
func TestNet2019Natives(t *testing.T) {
	r := start(t, with2019)
	r.from = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 7)}
	alice, carol := r.registered("alice"), r.registered("carol")
	a := alice.begin(lists{})
	bob := r.original("127.0.0.2")
	bob.ask("2017000002_net2019_2333", "lol")

	// Off until it is asked for.
	bob.ask("q2017000001", "n")
	_, err := alice.lookUp(nameOfBob)
	wantCode(t, err, codes.PermissionDenied)

	state := a.set2019("2017000001", 2777, "2017000002", "2017000003")
	if !state.GetOn() || state.GetCode() != 0 || state.GetEndpoint().GetHost() != "127.0.0.7" || state.GetEndpoint().GetPort() != 2777 {
		t.Errorf("%v", state)
	}
	a.want2019(nameOfBob, "127.0.0.2_2333")
	a.want2019("net2019:2017000003", "")
	bob.ask("q2017000001", "127.0.0.7_2777")
	found, err := alice.lookUp(nameOfBob)
	if err != nil || found.GetUser() != nameOfBob || len(found.GetEndpoints()) != 1 || found.GetEndpoints()[0].GetPort() != 2333 || len(found.GetDevices()) > 0 {
		t.Errorf("%v, %v", found, err)
	}
	if found, err = alice.lookUp("net2019:2017000003"); err != nil || len(found.GetEndpoints()) > 0 {
		t.Errorf("who is offline: %v, %v", found, err)
	}
	for _, name := range []string{"net2019:", "net2019:201700000", "net2019:20170000021", "net2019:2017000002-2017000003"} {
		_, err := alice.lookUp(name)
		wantCode(t, err, codes.InvalidArgument)
	}

	// What changes is told.
	bob.ask("2017000002_net2019_2444", "lol")
	a.want2019(nameOfBob, "127.0.0.2_2444")
	third := r.original("127.0.0.3")
	third.ask("2017000003_net2019", "lol")
	a.want2019("net2019:2017000003", "127.0.0.3_2333")
	third.ask("logout2017000003", "loo")
	a.want2019("net2019:2017000003", "")

	// Where the device says it listens, if what the directory sees is of no use to others.
	a.send(&directorypb.SessionRequest{Request: &directorypb.SessionRequest_Publish{
		Publish: &directorypb.Publish{Endpoints: []*directorypb.Endpoint{endpoint("2001:db8::1", 1), endpoint("127.0.0.1", 2), endpoint("192.0.2.7", 3)}},
	}})
	moved := a.await("moved", func(m *directorypb.SessionResponse) bool { return m.GetNet2019State() != nil }).GetNet2019State()
	if moved.GetEndpoint().GetHost() != "192.0.2.7" || moved.GetEndpoint().GetPort() != 2777 {
		t.Errorf("%v", moved)
	}
	bob.ask("q2017000001", "192.0.2.7_2777")

	// Nobody takes the id of a native who is online, and a native takes none either.
	r.original("127.0.0.4").ask("2017000001_net2019_2333", "Invalid Command!")
	c := carol.begin(lists{})
	for _, taken := range []string{"2017000001", "2017000002"} {
		if state := c.set2019(taken, 2777); state.GetOn() || codes.Code(state.GetCode()) != codes.AlreadyExists || state.GetMessage() == "" {
			t.Errorf("%s: %v", taken, state)
		}
	}
	if state := c.set2019("2017000005", 2777, "2017000001"); !state.GetOn() {
		t.Errorf("%v", state)
	}
	c.want2019("net2019:2017000001", "192.0.2.7_2777") // natives find each other there, without their names

	// A newer session of the same user keeps the id, and the end of the older one
	// takes nothing away.
	again := alice.begin(lists{})
	a.ended()
	if state := again.set2019("2017000001", 2888); !state.GetOn() {
		t.Errorf("%v", state)
	}
	c.want2019("net2019:2017000001", "127.0.0.7_2888")
	c.quiet("the older session took the newer one along", func(m *directorypb.SessionResponse) bool {
		return m.GetPresence().GetUser() == "net2019:2017000001" && !m.GetPresence().GetOnline()
	})

	// Off again: nobody is found, and nothing told.
	if state := again.set2019("", 0); state.GetOn() || state.GetCode() != 0 {
		t.Errorf("%v", state)
	}
	c.want2019("net2019:2017000001", "")
	bob.ask("q2017000001", "n")
	_, err = alice.lookUp(nameOfBob)
	wantCode(t, err, codes.PermissionDenied)
	if state := c.set2019("2017000001", 2777); !state.GetOn() {
		t.Errorf("an id that is free again: %v", state)
	}
	bob.ask("q2017000005", "n")
	// The end of the session is the end of it.
	c.cancel()
	bob.eventually("q2017000001", "n")
	if wrong := differ(r.scrape(), map[string]float64{
		`parley_net2019_users_online{client="original"}`: 1, `parley_net2019_users_online{client="native"}`: 0,
		`parley_net2019_commands_total{command="log_in",result="taken"}`: 1,
	}); wrong != "" {
		t.Error(wrong)
	}
}

// What is wrong with the wish is said in the answer, and the session goes on.
func TestNet2019Refused(t *testing.T) {
	r, without := start(t, with2019), start(t, nil)
	alice, bob := r.registered("alice"), without.registered("bob")
	a, b := alice.begin(lists{}), bob.begin(lists{})
	many := make([]string, net2019.MaxWatched+1)
	for i := range many {
		many[i] = "2017000002"
	}
	for what, state := range map[string]*directorypb.Net2019State{
		"a short id":         a.set2019("201700000", 2333),
		"letters":            a.set2019("alice.2019", 2333),
		"no port":            a.set2019("2017000001", 0),
		"a low port":         a.set2019("2017000001", 80),
		"a database's port":  a.set2019("2017000001", 3306),
		"no port at all":     a.set2019("2017000001", 65536+2333),
		"a bad watched":      a.set2019("2017000001", 2333, "bob"),
		"too many":           a.set2019("2017000001", 2333, many...),
		"too many, when off": a.set2019("2017000001", 2333, append(many, "x")...),
	} {
		if state.GetOn() || codes.Code(state.GetCode()) != codes.InvalidArgument || state.GetMessage() == "" {
			t.Errorf("%s: %v", what, state)
		}
	}
	if state := a.set2019("2017000001", 2333, many[1:]...); !state.GetOn() {
		t.Errorf("as many as there may be: %v", state)
	}
	if state := b.set2019("2017000001", 2333); state.GetOn() || codes.Code(state.GetCode()) != codes.Unimplemented || state.GetMessage() == "" {
		t.Errorf("where it is not served: %v", state)
	}
	if state := b.set2019("", 0); state.GetOn() {
		t.Errorf("off where it is not served: %v", state)
	}
	_, err := bob.lookUp(nameOfBob)
	wantCode(t, err, codes.NotFound)
	// Before a Begin there is no session whose wish it could be.
	early := alice.open()
	early.send(&directorypb.SessionRequest{Request: &directorypb.SessionRequest_SetNet2019{SetNet2019: &directorypb.SetNet2019{Id: "2017000001", Port: 2333}}})
	if code := early.ended(); code != codes.InvalidArgument {
		t.Errorf("before a Begin: %s", code)
	}
}

// A change of a watched id reaches a client that was slow, as it is in the end.
func TestNet2019ManyChanges(t *testing.T) {
	r := start(t, with2019)
	alice := r.registered("alice")
	a := alice.begin(lists{})
	if state := a.set2019("2017000001", 2777, "2017000002"); !state.GetOn() {
		t.Fatal(state)
	}
	bob := r.original("127.0.0.2")
	for i := range 1000 {
		bob.ask(fmt.Sprintf("2017000002_net2019_%dq2017000009", 20000+i), "loln")
	}
	a.want2019(nameOfBob, "127.0.0.2_20999")
}
