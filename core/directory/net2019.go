package directory

import (
	"fmt"
	"net/netip"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/protocol/directorypb"
	"github.com/parley-chat/parley/protocol/packet/net2019"
)

// maxNet2019 is how many ids of 2019 a directory watches for a session.
const maxNet2019 = 1000

// net2019Wish is what the directory is to do for the account among clients of
// 2019; nothing while the id is empty.
type net2019Wish struct {
	id      net2019.ID
	port    uint16
	watched []net2019.ID // ascending, each once
	serial  uint64       // of the call that wished so; 0: nobody ever did
}

// SetNet2019 has the directory show the user to clients of 2019 under an id,
// listening on port, and watch others of 2019, up to a thousand; an empty id ends
// it. The directory is told even if nothing changed, so that it can be asked again. It never blocks. bus.Net2019Answered says what came of it, in each session
// anew, and bus.Net2019Located where those are who are watched.
func (c *Client) SetNet2019(id net2019.ID, port uint16, watched []net2019.ID) {
	watched = slices.Compact(slices.Sorted(slices.Values(watched)))
	if len(watched) > maxNet2019 {
		c.cfg.Log.Warn("list is too long for the directory, and cut", "list", "net2019", "ids", len(watched))
		watched = watched[:maxNet2019]
	}
	if id == "" {
		watched = nil
	}
	c.mu.Lock()
	c.net2019 = net2019Wish{id, port, watched, c.net2019.serial + 1}
	c.mu.Unlock()
	c.Refresh()
}

// sendNet2019 sends what was wished since it was last sent.
func (s *session) sendNet2019() error {
	c := s.client
	c.mu.Lock()
	wish := c.net2019
	c.mu.Unlock()
	if wish.serial == s.net2019 {
		return nil
	}
	s.net2019 = wish.serial
	pb := &directorypb.SetNet2019{Id: string(wish.id), Port: uint32(wish.port)}
	for _, id := range wish.watched {
		pb.Watched = append(pb.Watched, string(id))
	}
	return s.stream.Send(&directorypb.SessionRequest{Request: &directorypb.SessionRequest_SetNet2019{SetNet2019: pb}})
}

// net2019Answered passes on what the directory says to what was asked.
func (c *Client) net2019Answered(state *directorypb.Net2019State) {
	answer := bus.Net2019Answer{On: state.GetOn()}
	if code := codes.Code(state.GetCode()); code != codes.OK && code <= codes.Unauthenticated {
		text := sentence(state.GetMessage())
		if text == "" {
			text = fmt.Sprintf("The directory refused, and did not say why (%s).", code)
		}
		answer.Err = status.Error(code, text)
	} else if !answer.On {
		c.mu.Lock()
		wanted := c.net2019.id != ""
		c.mu.Unlock()
		if wanted { // the answer to an earlier question, or none that makes sense
			return
		}
	}
	bus.Publish(c.cfg.Bus, bus.Net2019Answered, answer)
}

// setLocated takes what the directory says of where somebody of 2019 is.
func (c *Client) setLocated(pb *directorypb.Presence) {
	place, ok := parsePlace(pb)
	if !ok {
		c.cfg.Log.Warn("malformed presence from the directory ignored")
		return
	}
	c.order.Lock()
	defer c.order.Unlock()
	c.mu.Lock()
	_, asked := slices.BinarySearch(c.net2019.watched, place.ID)
	revision, had := c.located[place.ID]
	old := !asked || had && pb.GetRevision() < revision
	if !old {
		c.located[place.ID] = pb.GetRevision()
	}
	c.mu.Unlock()
	if !old {
		bus.Publish(c.cfg.Bus, bus.Net2019Located, place)
	}
}

// parsePlace reads a presence of 2019; not ok when no directory sends such a one.
func parsePlace(pb *directorypb.Presence) (bus.Net2019Place, bool) {
	id, err := net2019.ParseName(pb.GetUser())
	place := bus.Net2019Place{ID: id, Online: pb.GetOnline()}
	if err != nil || !place.Online {
		return place, err == nil
	}
	if len(pb.GetEndpoints()) != 1 {
		return place, false
	}
	e := pb.GetEndpoints()[0]
	addr, err := netip.ParseAddr(e.GetHost())
	if err != nil || addr.Zone() != "" || addr.IsUnspecified() || addr.IsMulticast() || e.GetPort() == 0 || e.GetPort() > 65535 {
		return place, false
	}
	place.Where = netip.AddrPortFrom(addr.Unmap(), uint16(e.GetPort()))
	return place, true
}
