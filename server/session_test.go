package server_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/parley-chat/parley/protocol/directorypb"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/server"
	"github.com/parley-chat/parley/server/api"
)

func endpoint(host string, port uint32) *directorypb.Endpoint {
	return &directorypb.Endpoint{Host: host, Port: port}
}

func TestPresenceOfMutualContacts(t *testing.T) {
	r := start(t, nil)
	alice, bob := r.registered("alice"), r.registered("bob")
	a := alice.begin(lists{contacts: []string{"bob"}}, endpoint("192.0.2.1", 4000))
	offline := a.awaitPresence("bob", false)

	b := bob.begin(lists{contacts: []string{"alice", "nobody"}}, endpoint("2001:db8::2", 5000))
	seen := b.awaitPresence("alice", true)
	if len(seen.GetEndpoints()) != 1 || seen.GetEndpoints()[0].GetHost() != "192.0.2.1" || seen.GetEndpoints()[0].GetPort() != 4000 {
		t.Errorf("endpoints of alice are %v", seen.GetEndpoints())
	}
	if len(seen.GetDevices()) != 1 || string(seen.GetDevices()[0].GetKey()) != string(alice.public()) || seen.GetProfile().GetDisplayName() != "alice" {
		t.Errorf("presence of alice is %v", seen)
	}
	online := a.awaitPresence("bob", true)
	if online.GetRevision() <= offline.GetRevision() {
		t.Errorf("revision went from %d to %d", offline.GetRevision(), online.GetRevision())
	}

	b.send(&directorypb.SessionRequest{Request: &directorypb.SessionRequest_Publish{Publish: &directorypb.Publish{
		Endpoints: []*directorypb.Endpoint{endpoint("192.0.2.2", 6000)},
	}}})
	if moved := a.awaitPresence("bob", true); len(moved.GetEndpoints()) != 1 || moved.GetEndpoints()[0].GetPort() != 6000 {
		t.Errorf("published endpoints are %v", moved.GetEndpoints())
	}
	_, err := bob.SetProfile(t.Context(), &directorypb.SetProfileRequest{Profile: &directorypb.Profile{DisplayName: "Bob", Avatar: png}})
	wantCode(t, err, codes.OK)
	if p := a.awaitPresence("bob", true).GetProfile(); p.GetDisplayName() != "Bob" || len(p.GetAvatar()) != 0 || len(p.GetAvatarHash()) != 32 {
		t.Errorf("changed profile is %v", p)
	}

	b.cancel()
	gone := a.awaitPresence("bob", false)
	if len(gone.GetEndpoints()) != 0 || len(gone.GetDevices()) != 0 || gone.GetRevision() <= online.GetRevision() {
		t.Errorf("presence of who has gone is %v", gone)
	}
}

// The cases in which alice must not learn that bob is online.
func TestPresenceIsHidden(t *testing.T) {
	tests := []struct {
		name       string
		alice, bob lists
	}{
		{"not listed by bob", lists{contacts: []string{"bob"}}, lists{contacts: []string{"carol"}}},
		{"not listed by alice", lists{contacts: []string{"carol"}}, lists{contacts: []string{"alice"}}},
		{"blocked by bob", lists{contacts: []string{"bob"}}, lists{contacts: []string{"alice"}, blocked: []string{"alice"}}},
		{"blocked by alice", lists{contacts: []string{"bob"}, blocked: []string{"bob"}}, lists{contacts: []string{"alice"}}},
	}
	for _, tt := range tests {
		for _, order := range []string{"alice first", "bob first"} {
			t.Run(tt.name+", "+order, func(t *testing.T) {
				r := start(t, nil)
				alice, bob := r.registered("alice"), r.registered("bob")
				var a, b *session
				if order == "alice first" {
					a = alice.begin(tt.alice)
					b = bob.begin(tt.bob, endpoint("192.0.2.2", 1))
				} else {
					b = bob.begin(tt.bob, endpoint("192.0.2.2", 1))
					a = alice.begin(tt.alice)
				}
				hidden := func(m *directorypb.SessionResponse) bool { return m.GetPresence().GetOnline() }
				a.quiet("alice sees bob", hidden)
				b.quiet("bob sees alice", hidden)
			})
		}
	}
}

func TestSetContactsIsPushed(t *testing.T) {
	r := start(t, nil)
	alice, bob := r.registered("alice"), r.registered("bob")
	a, b := alice.begin(lists{contacts: []string{"bob"}}), bob.begin(lists{})
	for range 2 {
		b.setContacts(lists{contacts: []string{"alice"}})
		b.awaitPresence("alice", true)
		before := a.awaitPresence("bob", true)
		b.setContacts(lists{contacts: []string{"alice"}, blocked: []string{"alice"}})
		if after := a.awaitPresence("bob", false); after.GetRevision() < before.GetRevision() {
			t.Errorf("revision fell from %d to %d", before.GetRevision(), after.GetRevision())
		}
		b.setContacts(lists{contacts: []string{"alice"}})
		a.awaitPresence("bob", true)
		b.setContacts(lists{})
		a.awaitPresence("bob", false)
	}
}

func TestAddedContactWhoIsAwayIsTold(t *testing.T) {
	r := start(t, nil)
	a := r.registered("alice").begin(lists{})
	a.setContacts(lists{contacts: []string{"bob"}})
	a.awaitPresence("bob", false)
}

func TestNewerSessionReplaces(t *testing.T) {
	r := start(t, nil)
	alice, bob := r.registered("alice"), r.registered("bob")
	a := alice.begin(lists{contacts: []string{"bob"}})
	first := bob.begin(lists{contacts: []string{"alice"}}, endpoint("192.0.2.1", 1))
	a.awaitPresence("bob", true)
	second := r.connect(bob.key).begin(lists{contacts: []string{"alice"}}, endpoint("192.0.2.1", 2))
	if code := first.ended(); code != codes.Aborted {
		t.Errorf("replaced session ended with %s", code)
	}
	// The end of the first must not take the second's presence away.
	second.quiet("", func(*directorypb.SessionResponse) bool { return false })
	p := a.awaitPresence("bob", true)
	if p.GetEndpoints()[0].GetPort() != 2 {
		t.Errorf("endpoints are %v", p.GetEndpoints())
	}
	a.quiet("presence after the old session has ended", func(m *directorypb.SessionResponse) bool {
		return m.GetPresence() != nil && !m.GetPresence().GetOnline()
	})
}

func TestManySessionsOfOneUserLeaveOne(t *testing.T) {
	r := start(t, nil)
	alice, bob := r.registered("alice"), r.registered("bob")
	a := alice.begin(lists{contacts: []string{"bob"}})
	var all []*session
	for range 6 {
		s := r.connect(bob.key).open()
		s.send(&directorypb.SessionRequest{Request: &directorypb.SessionRequest_Begin{
			Begin: &directorypb.Begin{Contacts: &directorypb.SetContacts{Contacts: []string{"alice"}}},
		}})
		all = append(all, s)
	}
	over := make(chan struct{}, len(all))
	for _, s := range all {
		go func() {
			for range s.in {
			}
			over <- struct{}{}
		}()
	}
	for range len(all) - 1 {
		select {
		case <-over:
		case <-time.After(patience):
			t.Fatal("more than one session is left")
		}
	}
	a.awaitPresence("bob", true)
	select {
	case <-over:
		t.Error("no session is left")
	default:
	}
	for _, s := range all {
		s.cancel()
	}
	a.awaitPresence("bob", false)
}

func TestLeaseRunsOut(t *testing.T) {
	t.Parallel()
	// Long enough that alice's keep-alives are not late on a busy machine.
	r := start(t, func(c *server.Config) { c.Lease = 10 * time.Second })
	alice, bob := r.registered("alice"), r.registered("bob")
	b := bob.begin(lists{contacts: []string{"alice"}})
	a := alice.begin(lists{contacts: []string{"bob"}})
	never := bob.open() // which begins no session
	stop := make(chan struct{})
	defer close(stop)
	go func() { // alice keeps her session alive
		for {
			select {
			case <-stop:
				return
			case <-time.After(50 * time.Millisecond):
				_ = a.Send(&directorypb.SessionRequest{Request: &directorypb.SessionRequest_KeepAlive{KeepAlive: &directorypb.KeepAlive{}}})
			}
		}
	}()
	if code := b.ended(); code != codes.DeadlineExceeded {
		t.Errorf("silent session ended with %s", code)
	}
	a.awaitPresence("bob", false)
	if code := never.ended(); code != codes.DeadlineExceeded {
		t.Errorf("session that never began ended with %s", code)
	}
}

func TestRequestForWhoIsAway(t *testing.T) {
	r := start(t, nil)
	alice, bob := r.registered("alice"), r.registered("bob")
	a := alice.begin(lists{})
	a.deliver(1, "bob", alice.packet(packet.TypeRequest, "alice", "bob", "first"))
	second := alice.packet(packet.TypeRequest, "alice", "bob", "second")
	if receipt := a.deliver(2, "bob", second); receipt.GetCode() != 0 {
		t.Fatal(receipt)
	}
	a.deliver(3, "bob", alice.packet(packet.TypeLeave, "alice", "bob", ""))

	delivery := uint64(0)
	for range 2 { // it comes until it is taken
		b := bob.begin(lists{})
		d := b.awaitDelivered()
		if string(d.GetPacket()) != string(second) || len(d.GetDevices()) != 1 || string(d.GetDevices()[0].GetKey()) != string(alice.public()) {
			t.Fatalf("delivered %v", d)
		}
		if kind := kindOf(t, b.awaitDelivered()); kind != packet.TypeLeave {
			t.Errorf("then %s", kind)
		}
		delivery = d.GetDelivery()
		b.cancel()
	}
	b := bob.begin(lists{})
	b.awaitDelivered()
	b.awaitDelivered()
	for range 2 { // idempotent
		b.took(delivery)
	}
	b.quiet("", func(*directorypb.SessionResponse) bool { return false })
	b.cancel()
	b = bob.begin(lists{})
	if kind := kindOf(t, b.awaitDelivered()); kind != packet.TypeLeave {
		t.Errorf("what was taken came again: %s", kind)
	}
}

func kindOf(t *testing.T, d *directorypb.Delivered) packet.Type {
	t.Helper()
	p, err := packet.Unmarshal(d.GetPacket())
	if err != nil {
		t.Fatal(err)
	}
	return p.Header.Type
}

func TestRequestIsHandedOverAtOnce(t *testing.T) {
	r := start(t, nil)
	alice, bob := r.registered("alice"), r.registered("bob")
	a, b := alice.begin(lists{}), bob.begin(lists{})
	want := alice.packet(packet.TypeRequest, "alice", "bob", "hello")
	if receipt := a.deliver(7, "bob", want); receipt.GetCode() != 0 {
		t.Fatal(receipt)
	}
	if d := b.awaitDelivered(); string(d.GetPacket()) != string(want) {
		t.Errorf("delivered %v", d)
	}
}

func TestBlockedRequestsAreDroppedUnseen(t *testing.T) {
	r := start(t, nil)
	alice, bob := r.registered("alice"), r.registered("bob")
	a := alice.begin(lists{})
	request := func(id uint64) {
		t.Helper()
		if receipt := a.deliver(id, "bob", alice.packet(packet.TypeRequest, "alice", "bob", "hello")); receipt.GetCode() != 0 {
			t.Errorf("the sender learns of it: %v", receipt)
		}
	}
	seen := func(m *directorypb.SessionResponse) bool { return m.GetDelivered() != nil }

	request(1) // kept while bob is away, and dropped when he comes
	b := bob.begin(lists{blocked: []string{"alice"}})
	b.quiet("kept request of a blocked user", seen)
	request(2) // while he is there
	b.quiet("request of a blocked user", seen)
	b.setContacts(lists{})
	b.quiet("dropped request after unblocking", seen)
	request(3)
	b.awaitDelivered()
	b.setContacts(lists{blocked: []string{"alice"}}) // removes the one that is kept
	b.quiet("", func(*directorypb.SessionResponse) bool { return false })
	b.cancel()
	b = bob.begin(lists{})
	b.quiet("request of who was blocked meanwhile", seen)
}

func TestRequestOfReplacedDeviceIsDropped(t *testing.T) {
	r := start(t, nil)
	alice, bob := r.registered("alice"), r.registered("bob")
	alice.begin(lists{}).deliver(1, "bob", alice.packet(packet.TypeRequest, "alice", "bob", "hello"))
	wantCode(t, r.device().logIn("alice", goodPassword, true), codes.OK)
	b := bob.begin(lists{})
	b.quiet("request nobody can check", func(m *directorypb.SessionResponse) bool { return m.GetDelivered() != nil })
}

func TestBadDelivers(t *testing.T) {
	r := start(t, nil)
	alice, mallory := r.registered("alice"), r.registered("mallory")
	r.registered("bob")
	other := &device{t: t, key: mallory.key}
	good := alice.packet(packet.TypeRequest, "alice", "bob", "hello")
	damaged := []byte(string(good[:len(good)-1]) + "x")
	tests := []struct {
		name string
		to   string
		b    []byte
		want codes.Code
	}{
		{"another type", "bob", alice.packet("text", "alice", "bob", "hello"), codes.InvalidArgument},
		{"another author", "bob", alice.packet(packet.TypeRequest, "mallory", "bob", "hello"), codes.InvalidArgument},
		{"another recipient", "mallory", good, codes.InvalidArgument},
		{"another device's signature", "bob", other.packet(packet.TypeRequest, "alice", "bob", "hello"), codes.InvalidArgument},
		{"changed content", "bob", damaged, codes.InvalidArgument},
		{"long content", "bob", alice.packet(packet.TypeRequest, "alice", "bob", strings.Repeat("x", 1025)), codes.InvalidArgument},
		{"rubbish", "bob", []byte("rubbish"), codes.InvalidArgument},
		{"nothing", "bob", nil, codes.InvalidArgument},
		{"large rubbish", "bob", make([]byte, 1<<20), codes.InvalidArgument},
		{"to oneself", "alice", good, codes.InvalidArgument},
		{"to no user id", "B*b", good, codes.InvalidArgument},
		{"to nobody", "nobody", alice.packet(packet.TypeRequest, "alice", "nobody", "hello"), codes.NotFound},
		{"good, after all of these", "bob", good, codes.OK},
	}
	s := alice.begin(lists{})
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if receipt := s.deliver(uint64(i), tt.to, tt.b); codes.Code(receipt.GetCode()) != tt.want {
				t.Errorf("got %v, want %s", receipt, tt.want)
			}
		})
	}
}

func TestAtMostHundredRequestsAreKept(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	r.registered("bob")
	deliver := func(i int) *directorypb.Receipt {
		user := fmt.Sprintf("user%d", i)
		d := r.registered(user)
		s := d.begin(lists{})
		defer s.cancel()
		return s.deliver(1, "bob", d.packet(packet.TypeRequest, packet.UserID(user), "bob", "hello"))
	}
	for i := range 100 {
		if receipt := deliver(i); receipt.GetCode() != 0 {
			t.Fatalf("request %d: %v", i, receipt)
		}
	}
	if receipt := deliver(100); codes.Code(receipt.GetCode()) != codes.ResourceExhausted {
		t.Errorf("one too many: %v", receipt)
	}
}

func TestDeliversAreLimited(t *testing.T) {
	r := start(t, func(c *server.Config) { c.Limits = &api.Limits{Deliver: api.Limit{Burst: 2, Every: time.Hour}} })
	alice := r.registered("alice")
	r.registered("bob")
	s := alice.begin(lists{})
	for i, want := range []codes.Code{codes.OK, codes.OK, codes.ResourceExhausted} {
		receipt := s.deliver(uint64(i), "bob", alice.packet(packet.TypeRequest, "alice", "bob", "hello"))
		if codes.Code(receipt.GetCode()) != want {
			t.Errorf("deliver %d: got %v, want %s", i, receipt, want)
		}
		if want == codes.ResourceExhausted && !inAnHour(receipt.GetMessage(), "Too many requests were sent.") {
			t.Errorf("it says %q", receipt.GetMessage())
		}
	}
}

func TestRelay(t *testing.T) {
	r := start(t, nil)
	alice, bob, mallory := r.registered("alice"), r.registered("bob"), r.registered("mallory")
	a := alice.begin(lists{contacts: []string{"bob"}})
	b := bob.begin(lists{contacts: []string{"alice"}})
	m := mallory.begin(lists{contacts: []string{"bob"}})
	relay := func(s *session, payload string) {
		s.send(&directorypb.SessionRequest{Request: &directorypb.SessionRequest_Relay{Relay: &directorypb.Relay{User: "bob", Payload: []byte(payload)}}})
	}
	relay(m, "from a stranger")
	m.quiet("", func(*directorypb.SessionResponse) bool { return false })
	a.awaitPresence("bob", true)
	relay(a, "from a contact")
	got := b.await("relay", func(m *directorypb.SessionResponse) bool { return m.GetRelay() != nil }).GetRelay()
	if got.GetUser() != "alice" || string(got.GetPayload()) != "from a contact" {
		t.Errorf("relayed %v", got)
	}
	// Who blocks gets nothing, and who is blocked does not learn of it.
	unseen := func(m *directorypb.SessionResponse) bool { return m.GetRelay() != nil }
	b.setContacts(lists{contacts: []string{"alice"}, blocked: []string{"alice"}})
	a.awaitPresence("bob", false)
	relay(a, "from who is blocked")
	a.quiet("", func(*directorypb.SessionResponse) bool { return false })
	b.quiet("relayed from who is blocked", unseen)
	relay(a, strings.Repeat("x", 16<<10+1))
	if code := a.ended(); code != codes.InvalidArgument {
		t.Errorf("too large a relay ended with %s", code)
	}
}

func TestHostileSessions(t *testing.T) {
	t.Parallel()
	begin := func(b *directorypb.Begin) *directorypb.SessionRequest {
		return &directorypb.SessionRequest{Request: &directorypb.SessionRequest_Begin{Begin: b}}
	}
	at := func(e ...*directorypb.Endpoint) *directorypb.SessionRequest {
		return begin(&directorypb.Begin{Publish: &directorypb.Publish{Endpoints: e}})
	}
	many := make([]string, 10_001)
	for i := range many {
		many[i] = fmt.Sprint("user", i)
	}
	tests := []struct {
		name string
		send []*directorypb.SessionRequest
		want codes.Code
	}{
		{"no begin", []*directorypb.SessionRequest{{Request: &directorypb.SessionRequest_KeepAlive{}}}, codes.InvalidArgument},
		{"empty message", []*directorypb.SessionRequest{{}}, codes.InvalidArgument},
		{"two begins", []*directorypb.SessionRequest{begin(&directorypb.Begin{}), begin(&directorypb.Begin{})}, codes.InvalidArgument},
		{"host name", []*directorypb.SessionRequest{at(endpoint("example.org", 1))}, codes.InvalidArgument},
		{"zone", []*directorypb.SessionRequest{at(endpoint("fe80::1%eth0", 1))}, codes.InvalidArgument},
		{"any address", []*directorypb.SessionRequest{at(endpoint("0.0.0.0", 1))}, codes.InvalidArgument},
		{"multicast", []*directorypb.SessionRequest{at(endpoint("ff02::1", 1))}, codes.InvalidArgument},
		{"no port", []*directorypb.SessionRequest{at(endpoint("192.0.2.1", 0))}, codes.InvalidArgument},
		{"high port", []*directorypb.SessionRequest{at(endpoint("192.0.2.1", 65536))}, codes.InvalidArgument},
		{"many endpoints", []*directorypb.SessionRequest{at(make([]*directorypb.Endpoint, 33)...)}, codes.InvalidArgument},
		{"many contacts", []*directorypb.SessionRequest{begin(&directorypb.Begin{Contacts: &directorypb.SetContacts{Contacts: many}})}, codes.InvalidArgument},
		{"contact that is no user id", []*directorypb.SessionRequest{begin(&directorypb.Begin{Contacts: &directorypb.SetContacts{Contacts: []string{">"}}})}, codes.InvalidArgument},
		{"long agent", []*directorypb.SessionRequest{begin(&directorypb.Begin{Agent: strings.Repeat("x", 65)})}, codes.InvalidArgument},
		{"larger than any message", []*directorypb.SessionRequest{begin(&directorypb.Begin{Agent: strings.Repeat("x", 2<<20)})}, codes.ResourceExhausted},
	}
	r := start(t, nil)
	alice := r.registered("alice")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := alice.open()
			for _, m := range tt.send {
				_ = s.Send(m) // it may have ended already
			}
			if code := s.ended(); code != tt.want {
				t.Errorf("ended with %s, want %s", code, tt.want)
			}
		})
	}
	t.Run("longest lists that are allowed", func(t *testing.T) {
		long := make([]string, 10_000)
		for i := range long {
			long[i] = fmt.Sprintf("%064d", i)
		}
		s := alice.begin(lists{contacts: long, blocked: long})
		for range long {
			s.await("presence", func(m *directorypb.SessionResponse) bool { return m.GetPresence() != nil })
		}
	})
}

// A client that sends and never reads must not make the server keep without
// bound, nor stay online when it is cut off.
func TestClientThatDoesNotRead(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	alice, bob := r.registered("alice"), r.registered("bob")
	a := alice.begin(lists{contacts: []string{"bob"}})
	stream, err := bob.Session(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&directorypb.SessionRequest{Request: &directorypb.SessionRequest_Begin{Begin: &directorypb.Begin{
		Contacts: &directorypb.SetContacts{Contacts: []string{"alice"}},
	}}}); err != nil {
		t.Fatal(err)
	}
	a.awaitPresence("bob", true)
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		for i := uint64(0); ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			if stream.Send(&directorypb.SessionRequest{Request: &directorypb.SessionRequest_Deliver{Deliver: &directorypb.Deliver{Id: i}}}) != nil {
				return
			}
		}
	}()
	a.awaitPresence("bob", false)
}

func TestConnectionsPerAddress(t *testing.T) {
	r := start(t, func(c *server.Config) { c.MaxConnectionsPerAddress = 2 })
	first, second := r.registered("alice"), r.registered("bob")
	third := func() error {
		d := r.device()
		defer func() { _ = d.conn.Close() }() // or it tries again, and takes the place from those after it
		return d.register("carol", goodPassword)
	}
	if err := third(); err == nil {
		t.Error("a third connection was let in")
	}
	_ = first.conn.Close()
	for end := time.Now().Add(patience); third() != nil; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the place of a closed connection was not given to another")
		}
	}
	_, err := second.lookUp("alice")
	wantCode(t, err, codes.OK)
}
