package hostile

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"net"
	"slices"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/parley-chat/parley/core/identity"
	"github.com/parley-chat/parley/protocol/directorypb"
)

// liar is a directory that says what a test wants. At first that is the truth.
type liar struct {
	directorypb.UnimplementedDirectoryServer
	w *world

	mu       sync.Mutex // guards all below, and sending
	keys     map[string]ed25519.PublicKey
	online   map[string]*online
	revision uint64
	// about says what somebody is told of another; nil is the truth.
	about func(to string, truth *directorypb.Presence) *directorypb.Presence
	// handed is told of what people send by way of the directory, and says
	// whether it goes its way.
	handed func(from string, d *directorypb.Deliver) bool
}

type online struct {
	stream   directorypb.Directory_SessionServer
	contacts []string
	at       []*directorypb.Endpoint
}

// lie starts a liar as the world's directory.
func (w *world) lie() *liar {
	w.t.Helper()
	id, err := identity.Generate("directory")
	must(w.t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(w.t, err)
	w.address = l.Addr().String()
	d := &liar{w: w, keys: map[string]ed25519.PublicKey{}, online: map[string]*online{}}
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(&tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{id.Certificate()}, ClientAuth: tls.RequireAnyClientCert,
	})))
	directorypb.RegisterDirectoryServer(server, d)
	go func() { _ = server.Serve(l) }()
	w.t.Cleanup(server.Stop)
	return d
}

func keyOf(ctx context.Context) ed25519.PublicKey {
	p, _ := peer.FromContext(ctx)
	key, _ := identity.PeerKey(p.AuthInfo.(credentials.TLSInfo).State)
	return key
}

func (d *liar) Register(ctx context.Context, r *directorypb.RegisterRequest) (*directorypb.RegisterResponse, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.keys[r.GetUser()] = keyOf(ctx)
	return &directorypb.RegisterResponse{}, nil
}

func (d *liar) LookUp(ctx context.Context, r *directorypb.LookUpRequest) (*directorypb.LookUpResponse, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	said := d.truth(r.GetUser())
	if d.about != nil {
		said = d.about(d.named(keyOf(ctx)), said)
	}
	return &directorypb.LookUpResponse{User: r.GetUser(), Devices: said.GetDevices(), Profile: &directorypb.Profile{DisplayName: r.GetUser()}}, nil
}

// named gives the user with a key; the caller holds mu.
func (d *liar) named(key ed25519.PublicKey) string {
	for name, k := range d.keys {
		if k.Equal(key) {
			return name
		}
	}
	return ""
}

// truth is what there is to say of a user; the caller holds mu.
func (d *liar) truth(user string) *directorypb.Presence {
	d.revision++
	p := &directorypb.Presence{User: user, Revision: d.revision, Profile: &directorypb.Profile{DisplayName: user}}
	if o := d.online[user]; o != nil {
		p.Online, p.Endpoints = true, o.at
	}
	if key := d.keys[user]; key != nil {
		p.Devices = []*directorypb.Device{{Key: key}}
	}
	return p
}

// tell tells somebody of another; the caller holds mu.
func (d *liar) tell(to, of string) {
	o := d.online[to]
	if o == nil {
		return
	}
	p := d.truth(of)
	if d.about != nil {
		p = d.about(to, p)
	}
	_ = o.stream.Send(&directorypb.SessionResponse{Response: &directorypb.SessionResponse_Presence{Presence: p}})
}

// tellAll tells everybody of everybody.
func (d *liar) tellAll() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for to, o := range d.online {
		for _, of := range o.contacts {
			d.tell(to, of)
		}
	}
}

// say sends one message to somebody, whatever it is.
func (d *liar) say(to string, m *directorypb.SessionResponse) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	o := d.online[to]
	if o == nil {
		return status.Error(codes.NotFound, "not here")
	}
	return o.stream.Send(m)
}

func (d *liar) Session(stream directorypb.Directory_SessionServer) error {
	key := keyOf(stream.Context())
	d.mu.Lock()
	user := d.named(key)
	d.mu.Unlock()
	if user == "" {
		return status.Error(codes.Unauthenticated, "Nobody.")
	}
	me := &online{stream: stream}
	defer func() {
		d.mu.Lock()
		if d.online[user] == me {
			delete(d.online, user)
		}
		d.mu.Unlock()
		d.tellAll()
	}()
	for {
		r, err := stream.Recv()
		if err != nil {
			return err
		}
		d.hear(user, me, r)
	}
}

func (d *liar) hear(user string, me *online, r *directorypb.SessionRequest) {
	switch r := r.GetRequest().(type) {
	case *directorypb.SessionRequest_Begin:
		d.mu.Lock()
		me.at, me.contacts = r.Begin.GetPublish().GetEndpoints(), r.Begin.GetContacts().GetContacts()
		d.online[user] = me
		d.revision++
		_ = me.stream.Send(&directorypb.SessionResponse{Response: &directorypb.SessionResponse_Begun{Begun: &directorypb.Begun{Revision: d.revision}}})
		d.mu.Unlock()
	case *directorypb.SessionRequest_Publish:
		d.mu.Lock()
		me.at = r.Publish.GetEndpoints()
		d.mu.Unlock()
	case *directorypb.SessionRequest_SetContacts:
		d.mu.Lock()
		me.contacts = r.SetContacts.GetContacts()
		d.mu.Unlock()
	case *directorypb.SessionRequest_KeepAlive:
		_ = d.say(user, &directorypb.SessionResponse{Response: &directorypb.SessionResponse_KeepAlive{KeepAlive: &directorypb.KeepAlive{}}})
		return
	case *directorypb.SessionRequest_Deliver:
		d.deliver(user, r.Deliver)
		return
	default:
		return
	}
	d.tellAll()
}

func (d *liar) deliver(from string, r *directorypb.Deliver) {
	_ = d.say(from, &directorypb.SessionResponse{Response: &directorypb.SessionResponse_Receipt{Receipt: &directorypb.Receipt{Id: r.GetId()}}})
	d.mu.Lock()
	handed := d.handed
	key := slices.Clone(d.keys[from])
	d.revision++
	delivery := d.revision
	d.mu.Unlock()
	if handed != nil && !handed(from, r) {
		return
	}
	_ = d.say(r.GetTo(), delivered(delivery, from, r.GetPacket(), key))
}

func delivered(id uint64, from string, packet []byte, key ed25519.PublicKey) *directorypb.SessionResponse {
	return &directorypb.SessionResponse{Response: &directorypb.SessionResponse_Delivered{Delivered: &directorypb.Delivered{
		Delivery: id, From: from, Packet: packet, Devices: []*directorypb.Device{{Key: key}}, Profile: &directorypb.Profile{DisplayName: from},
	}}}
}

// change changes what the liar says, and says it.
func (d *liar) change(about func(to string, truth *directorypb.Presence) *directorypb.Presence) {
	d.mu.Lock()
	d.about = about
	d.mu.Unlock()
	d.tellAll()
}

func clone(p *directorypb.Presence) *directorypb.Presence { return proto.CloneOf(p) }
