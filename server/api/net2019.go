package api

import (
	"errors"
	"net/netip"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/parley-chat/parley/protocol/directorypb"
	"github.com/parley-chat/parley/protocol/packet"
	wire "github.com/parley-chat/parley/protocol/packet/net2019"
	"github.com/parley-chat/parley/server/directory"
	"github.com/parley-chat/parley/server/net2019"
)

var (
	errNet2019NotServed = status.Error(codes.Unimplemented, "This directory does not serve the protocol of 2019; ask whoever runs it.")
	errNet2019Taken     = status.Error(codes.AlreadyExists, "Somebody else is online with this id; log out there, or take another.")
)

// legacy is what a session has to do with the protocol of 2019.
type legacy struct {
	member *net2019.Member // nil where it is not served
	setting

	mu    sync.Mutex                // guards all below; taken under the registry's own
	busy  bool                      // an answer is being made, before which nothing is told
	state *directorypb.Net2019State // to be told, if not nil
	dirty map[wire.ID]struct{}      // whose state is to be told
}

// setting is what the client has asked for. It is owned by the stream's receiver.
type setting struct {
	id      wire.ID // empty: off
	port    uint16
	watched []wire.ID
}

// setNet2019 handles the client's wish. What is wrong with it concerns that alone,
// and is said in the answer.
func (st *stream) setNet2019(session *directory.Session, pb *directorypb.SetNet2019) {
	l := st.legacy.Load()
	if l == nil {
		l = &legacy{}
		if registry := st.service.net2019; registry != nil {
			l.member = registry.Join(st.user, func(id wire.ID) {
				l.mark(id)
				st.wake()
			})
		}
		st.legacy.Store(l)
	}
	setting, err := parseSetNet2019(pb)
	if l.member == nil {
		err = errNet2019NotServed
	}
	if err != nil {
		setting.id = ""
	}
	l.setting = setting
	st.applyNet2019(session, l, err)
}

// moved has clients of 2019 sent to where the device is now.
func (st *stream) moved(session *directory.Session) {
	if l := st.legacy.Load(); l != nil && l.id != "" {
		st.applyNet2019(session, l, nil)
	}
}

// applyNet2019 does as was asked, unless that failed, and answers.
func (st *stream) applyNet2019(session *directory.Session, l *legacy, err error) {
	l.mu.Lock()
	l.busy = true
	l.mu.Unlock()
	where := netip.AddrPortFrom(shownAt(st.caller.addr, session.Endpoints()), l.port)
	switch {
	case l.id == "":
		l.end()
	default:
		if err = l.member.Set(l.id, where, l.watched); errors.Is(err, net2019.ErrTaken) {
			l.id, err = "", errNet2019Taken
		}
	}
	s := status.Convert(err)
	state := &directorypb.Net2019State{On: l.id != "", Code: int32(s.Code()), Message: s.Message()}
	if state.On {
		state.Endpoint = endpointOf(where)
	}
	l.mu.Lock()
	l.state, l.busy = state, false
	if !state.On {
		l.dirty = nil
	}
	l.mu.Unlock()
	st.wake()
}

// shownAt is the address to which clients of 2019 are sent: that from which the
// session comes, as with their own. They know IPv4 only, and a device on the
// directory's own machine is elsewhere for others; then it is one that the device
// has published, if there is one.
func shownAt(observed netip.Addr, published []netip.AddrPort) netip.Addr {
	if observed.Is4() && !observed.IsLoopback() {
		return observed
	}
	for _, e := range published {
		if a := e.Addr(); a.Is4() && !a.IsLoopback() {
			return a
		}
	}
	return observed
}

func parseSetNet2019(pb *directorypb.SetNet2019) (setting, error) {
	if pb.GetId() == "" {
		return setting{}, nil
	}
	id, err := wire.ParseID(pb.GetId())
	if err != nil {
		return setting{}, invalid("%.40q is no id of 2019: it has ten digits.", pb.GetId())
	}
	if pb.GetPort() > 65535 || wire.CheckPort(uint16(pb.GetPort())) != nil {
		return setting{}, invalid("Port %d is not possible in the protocol of 2019; take another between 1025 and 65535.", pb.GetPort())
	}
	if len(pb.GetWatched()) > net2019.MaxWatched {
		return setting{}, invalid("%d people of 2019 are watched; %d are possible.", len(pb.GetWatched()), net2019.MaxWatched)
	}
	watched := make([]wire.ID, len(pb.GetWatched()))
	for i, name := range pb.GetWatched() {
		if watched[i], err = wire.ParseID(name); err != nil {
			return setting{}, invalid("%.40q is no id of 2019: it has ten digits.", name)
		}
	}
	return setting{id, uint16(pb.GetPort()), watched}, nil
}

// end switches it off; l may be nil.
func (l *legacy) end() {
	if l != nil && l.member != nil {
		l.member.Leave()
	}
}

func (l *legacy) mark(id wire.ID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dirty == nil {
		l.dirty = map[wire.ID]struct{}{}
	}
	l.dirty[id] = struct{}{}
}

// next gives the next message for the client, or nil; l may be nil.
func (l *legacy) next() *directorypb.SessionResponse {
	if l == nil {
		return nil
	}
	state, id, ok := l.pop()
	if !ok {
		return nil
	}
	if state != nil {
		return &directorypb.SessionResponse{Response: &directorypb.SessionResponse_Net2019State{Net2019State: state}}
	}
	// As it is now, so that the last word is right.
	where, revision, online := l.member.Watched(id)
	presence := &directorypb.Presence{User: id.Name(), Online: online, Revision: revision}
	if online {
		presence.Endpoints = []*directorypb.Endpoint{endpointOf(where)}
	}
	return &directorypb.SessionResponse{Response: &directorypb.SessionResponse_Presence{Presence: presence}}
}

func (l *legacy) pop() (state *directorypb.Net2019State, id wire.ID, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.busy {
		return nil, "", false
	}
	if l.state != nil {
		state, l.state = l.state, nil
		return state, "", true
	}
	for id := range l.dirty {
		if delete(l.dirty, id); len(l.dirty) == 0 {
			l.dirty = nil
		}
		return nil, id, true
	}
	return nil, "", false
}

func endpointOf(where netip.AddrPort) *directorypb.Endpoint {
	return &directorypb.Endpoint{Host: where.Addr().String(), Port: uint32(where.Port())}
}

// lookUpNet2019 says where a name of 2019 is, to who can be found there as well.
func (s *Service) lookUpNet2019(me packet.UserID, name string) (*directorypb.LookUpResponse, error) {
	id, err := wire.ParseName(name)
	if err != nil {
		return nil, invalid("%.40q is no name of 2019: it is \"net2019:\" and ten digits.", name)
	}
	if s.net2019 == nil {
		return nil, status.Error(codes.NotFound, status.Convert(errNet2019NotServed).Message())
	}
	if !s.net2019.Has(me) {
		return nil, status.Error(codes.PermissionDenied, "To find people of 2019, switch on that they find you.")
	}
	if wait := s.limits.lookUp.Take(string(me)); wait > 0 {
		return nil, exhausted("Too many people were looked up.", wait)
	}
	pb := &directorypb.LookUpResponse{User: id.Name()}
	if where, online := s.net2019.Find(id); online {
		pb.Endpoints = []*directorypb.Endpoint{endpointOf(where)}
	}
	return pb, nil
}
