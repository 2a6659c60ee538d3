package dashboard

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/parley-chat/parley/core/identity"
	"github.com/parley-chat/parley/protocol/directorypb"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/server"
	"github.com/parley-chat/parley/server/api"
	"github.com/parley-chat/parley/server/certificate"
	"github.com/parley-chat/parley/server/password"
)

const (
	patience = time.Minute
	secret   = "correct horse"
)

// running is a server in this process.
type running struct {
	t      *testing.T
	server *server.Server
	data   string
}

func startDirectory(t *testing.T) *running {
	t.Helper()
	data := t.TempDir()
	s, err := server.New(server.Config{
		Listen: "127.0.0.1:0", Metrics: "127.0.0.1:0", Data: data, Log: quiet(), PasswordCost: password.Cost{MemoryKiB: 64, Passes: 1, Lanes: 1},
		Limits:  &api.Limits{LookUp: api.Limit{Burst: 3, Every: time.Hour}, LogInAccount: api.Limit{Burst: 1, Every: time.Hour}},
		Net2019: &server.Net2019{Listen: "127.0.0.1:0", Password: "net2019"},
		Lease:   time.Hour, // or who waits in silence is let go on a slow machine
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return &running{t, s, data}
}

// scrape gives all numbers as Prometheus reads them.
func (r *running) scrape() []series {
	r.t.Helper()
	b, err := get(r.t.Context(), "http://"+r.server.MetricsAddr().String()+"/metrics")
	if err != nil {
		r.t.Fatal(err)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(b))
	if err != nil {
		r.t.Fatal(err)
	}
	var all []series
	for name, family := range families {
		for _, m := range family.GetMetric() {
			all = append(all, flat(name, m)...)
		}
	}
	return all
}

// flat gives the series of a metric, of which a histogram has many.
func flat(name string, m *dto.Metric) []series {
	with := func(more ...string) map[string]string {
		l := map[string]string{}
		for _, pair := range m.GetLabel() {
			l[pair.GetName()] = pair.GetValue()
		}
		for i := 0; i < len(more); i += 2 {
			l[more[i]] = more[i+1]
		}
		return l
	}
	switch {
	case m.GetCounter() != nil:
		return []series{{name, with(), m.GetCounter().GetValue()}}
	case m.GetGauge() != nil:
		return []series{{name, with(), m.GetGauge().GetValue()}}
	case m.GetHistogram() != nil:
		h := m.GetHistogram()
		all := []series{{name + "_count", with(), float64(h.GetSampleCount())}, {name + "_sum", with(), h.GetSampleSum()}}
		for _, b := range h.GetBucket() {
			le := strconv.FormatFloat(b.GetUpperBound(), 'g', -1, 64)
			all = append(all, series{name + "_bucket", with("le", le), float64(b.GetCumulativeCount())})
		}
		return all
	default:
		return nil // summaries of the Go collector
	}
}

// settled scrapes until what has happened is counted: of a session that has ended,
// the call, and that its presence is gone, come one after the other.
func (r *running) settled() []series {
	r.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		all := r.scrape()
		var called, online, changes float64
		for _, s := range all {
			switch {
			case s.name == "parley_calls_total" && s.labels["method"] == "Session" && s.labels["code"] == codes.Canceled.String():
				called = s.value
			case s.name == "parley_users_online":
				online = s.value
			case s.name == "parley_presence_changes_total":
				changes = s.value
			}
		}
		if called == 1 && online == 2 && changes == 4 {
			return all
		}
		if time.Now().After(end) {
			r.t.Fatalf("%v sessions have ended, %v users are online after %v changes", called, online, changes)
		}
	}
}

func (r *running) expires() int64 {
	r.t.Helper()
	b, err := os.ReadFile(filepath.Join(r.data, certificate.OwnFile))
	if err != nil {
		r.t.Fatal(err)
	}
	block, _ := pem.Decode(b)
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		r.t.Fatal(err)
	}
	return leaf.NotAfter.Unix()
}

func (r *running) version() string {
	r.t.Helper()
	for _, s := range r.scrape() {
		if s.name == "parley_build_info" {
			return s.labels["version"]
		}
	}
	return "none"
}

// device is one with a key, and a connection.
type device struct {
	directorypb.DirectoryClient
	t  *testing.T
	id *identity.Identity
}

func (r *running) device(user packet.UserID) *device {
	r.t.Helper()
	id, err := identity.Generate(user)
	if err != nil {
		r.t.Fatal(err)
	}
	conn, err := grpc.NewClient(r.server.Addr().String(), grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
		InsecureSkipVerify: true, Certificates: []tls.Certificate{id.Certificate()},
	})))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = conn.Close() })
	return &device{directorypb.NewDirectoryClient(conn), r.t, id}
}

func (d *device) want(err error, code codes.Code) {
	d.t.Helper()
	if status.Code(err) != code {
		d.t.Fatalf("got %v, want %s", err, code)
	}
}

func (d *device) register(code codes.Code) {
	d.t.Helper()
	_, err := d.Register(d.t.Context(), &directorypb.RegisterRequest{User: string(d.id.User()), Password: secret})
	d.want(err, code)
}

func (d *device) logIn(pass string, code codes.Code) {
	d.t.Helper()
	_, err := d.LogIn(d.t.Context(), &directorypb.LogInRequest{User: string(d.id.User()), Password: pass})
	d.want(err, code)
}

func (d *device) lookUp(user string, code codes.Code) {
	d.t.Helper()
	_, err := d.LookUp(d.t.Context(), &directorypb.LookUpRequest{User: user})
	d.want(err, code)
}

// begin begins a session and gives its end.
func (d *device) begin() (directorypb.Directory_SessionClient, context.CancelFunc) {
	d.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	d.t.Cleanup(cancel)
	s, err := d.Session(ctx)
	if err != nil {
		d.t.Fatal(err)
	}
	if err := s.Send(&directorypb.SessionRequest{Request: &directorypb.SessionRequest_Begin{Begin: &directorypb.Begin{}}}); err != nil {
		d.t.Fatal(err)
	}
	for {
		m, err := s.Recv()
		if err != nil {
			d.t.Fatal(err)
		}
		if m.GetBegun() != nil {
			return s, cancel
		}
	}
}

// original has a client of 2019 ask, and stays connected.
func (r *running) original(command, reply string) {
	r.t.Helper()
	conn, err := (&net.Dialer{Timeout: patience}).DialContext(r.t.Context(), "tcp", r.server.Net2019Addr().String())
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	_, err = io.WriteString(conn, command)
	b := make([]byte, len(reply))
	if _, read := io.ReadFull(conn, b); err != nil || read != nil || string(b) != reply {
		r.t.Fatalf("%q: %q, %v %v", command, b, err, read)
	}
}

// scenario is what the dashboard must show: TestDashboard has the numbers.
func (r *running) scenario() {
	r.original("2017000001_net2019_2333q2017000002", "loln")
	r.original("2017000001_guess_2333", "Invalid Command!")
	alice, bob, carol := r.device("alice"), r.device("bob"), r.device("carol")
	for _, d := range []*device{alice, bob, carol} {
		d.register(codes.OK)
	}
	r.device("alice").register(codes.AlreadyExists)
	alice.logIn(secret, codes.OK)
	alice.logIn("wrong password", codes.Unauthenticated)
	other := r.device("alice")
	other.logIn(secret, codes.FailedPrecondition)
	other.logIn("wrong password", codes.Unauthenticated)
	other.logIn(secret, codes.ResourceExhausted)
	alice.lookUp("bob", codes.OK)
	alice.lookUp("carol", codes.OK)
	alice.lookUp("nobody", codes.NotFound)
	for range 2 {
		alice.lookUp("bob", codes.ResourceExhausted)
	}
	session, _ := alice.begin()
	_, _ = bob.begin()
	_, leave := carol.begin()
	leave()
	// Waits for carol, who is gone or going.
	p, err := packet.Seal(packet.Header{
		ID: packet.NewPacketID(), Chat: packet.DirectChat("alice", "carol"), Type: packet.TypeRequest, Author: "alice", Device: alice.id.Device(),
		Epoch: 1, Number: 1, Depth: 1, SentAt: time.Now().UnixMicro(), Delivery: packet.Reliable,
	}, []byte("hello"), alice.id.Sign)
	if err != nil {
		r.t.Fatal(err)
	}
	b, err := p.Marshal()
	if err != nil {
		r.t.Fatal(err)
	}
	if err := session.Send(&directorypb.SessionRequest{Request: &directorypb.SessionRequest_Deliver{Deliver: &directorypb.Deliver{Id: 1, To: "carol", Packet: b}}}); err != nil {
		r.t.Fatal(err)
	}
	for {
		m, err := session.Recv()
		if err != nil {
			r.t.Fatal(err)
		}
		if receipt := m.GetReceipt(); receipt != nil {
			if receipt.GetCode() != 0 {
				r.t.Fatal(receipt)
			}
			return
		}
	}
}
