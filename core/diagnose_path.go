package core

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strconv"
	"syscall"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/conn"
	"github.com/parley-chat/parley/internal/failure"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/packet"
)

// reach says whether a TCP connection to an address comes up.
func reach(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, diagnoseTimeout)
	defer cancel()
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return c.Close()
}

func addressOf(e bus.Endpoint) string { return net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port))) }

// diagnosePort looks whether others could connect to this device.
func (s *session) diagnosePort(ctx context.Context, d *diagnosis) {
	if deaf := s.deaf.Load(); deaf != nil {
		d.failed("port", failure.Because("CANNOT_LISTEN", "why", *deaf), "nobody can connect to this device: %v", *deaf)
		return
	}
	endpoints := s.conn.Endpoints()
	if len(endpoints) == 0 {
		d.warning("port", failure.Because("DOCTOR_NO_ADDRESS"), "this machine has no network address that others could reach: you can connect to contacts, and they not to you")
		return
	}
	observed := s.directory.State().Observed
	for _, e := range endpoints {
		err := reach(ctx, addressOf(e))
		switch {
		case err == nil:
			d.ok("port", failure.Because("DOCTOR_LISTENS", "address", addressOf(e)), "listening on %s", addressOf(e))
		case e.Host == observed:
			// The router's: few let their own side in by it.
			d.warning("port", failure.Because("DOCTOR_BEHIND_ROUTER", "address", addressOf(e), "port", e.Port),
				"the directory sees this device at %s, where it cannot be reached from here: contacts outside this network can connect only if the router forwards TCP port %d to it",
				addressOf(e), e.Port)
		default:
			d.failed("port", failure.Because("DOCTOR_OWN_FIREWALL", "address", addressOf(e), "why", reason(err), "port", e.Port),
				"the own address %s does not answer (%s): a firewall on this machine keeps out TCP port %d", addressOf(e), reason(err), e.Port)
		}
	}
}

// diagnoseFirewall names the firewalls that are on. Whether they let the port in
// only root can see.
func (s *session) diagnoseFirewall(d *diagnosis, root fs.FS) {
	endpoints := s.conn.Endpoints()
	if len(endpoints) == 0 {
		return
	}
	found := false
	for _, f := range firewalls {
		if f.on(root) {
			found = true
			d.warning("firewall", failure.Because("DOCTOR_FIREWALL", "firewall", f.name, "port", endpoints[0].Port, "command", fmt.Sprintf(f.allow, endpoints[0].Port)),
				"%s is on; if contacts cannot connect to this device, let them: "+f.allow, f.name, endpoints[0].Port)
		}
	}
	if !found {
		d.ok("firewall", failure.Because("DOCTOR_NO_FIREWALL"), "no ufw, firewalld or nftables is on")
	}
}

// noContact says why nothing goes to and fro with somebody on the list, or nothing.
func noContact(c *controlpb.Contact) (reason *errdetails.ErrorInfo, text string) {
	user := c.GetUser()
	switch c.GetState() {
	case controlpb.ContactState_CONTACT_STATE_OUTGOING:
		return failure.Because("DOCTOR_UNANSWERED", "user", user), "%[1]s has not answered your request yet"
	case controlpb.ContactState_CONTACT_STATE_INCOMING:
		return failure.Because("DOCTOR_WAITS", "user", user), "%[1]s waits for your answer: parley contacts accept %[1]s"
	case controlpb.ContactState_CONTACT_STATE_BLOCKED:
		return failure.Because("DOCTOR_BLOCKED", "user", user), "you blocked %[1]s: parley contacts unblock %[1]s"
	case controlpb.ContactState_CONTACT_STATE_LEFT:
		return failure.Because("DOCTOR_LEFT", "user", user), "%[1]s has removed you: ask again with parley contacts add %[1]s"
	}
	return nil, ""
}

// diagnoseContact follows the path to one contact.
func (s *session) diagnoseContact(ctx context.Context, d *diagnosis, user packet.UserID) {
	contact, err := s.roster.Contact(ctx, user)
	if err != nil {
		d.failed("contact", failure.Because("NO_CONTACT", "user", user), "%s is not a contact: parley contacts add %s", user, user)
		return
	}
	if reason, why := noContact(contact); reason != nil {
		d.failed("contact", reason, why, user)
		return
	}
	if contact.GetKeyChanged() {
		d.failed("contact", failure.Because("ACCEPT_KEYS_FIRST", "user", user), "the keys of %s changed; nothing is sent until you accept them: parley contacts keys %s", user, user)
		return
	}
	for _, l := range s.conn.Links() {
		if l.User == user {
			took := l.RoundTrip.Round(10 * time.Microsecond)
			d.ok("contact", failure.Because("DOCTOR_LINKED", "user", user, "path", l.Path, "address", l.Remote, "took", took),
				"linked with %s: %s, %s, round trip %s", user, l.Path, l.Remote, took)
			return
		}
	}
	presence, known := s.directory.Presence(user)
	if !known || !presence.Online {
		d.warning("contact", failure.Because("DOCTOR_OFFLINE", "user", user), "%s is offline; messages wait here until both are there", user)
		return
	}
	d.ok("contact", failure.Because("DOCTOR_ONLINE", "user", user), "%s is online", user)
	if len(presence.Endpoints) == 0 {
		d.failed("path", failure.Because("DOCTOR_NO_PATH", "user", user), "%s has no address that others could reach; they can still connect to you", user)
		return
	}
	s.diagnosePath(ctx, d, user, presence.Endpoints)
}

// diagnosePath tries all endpoints of a contact at once. One that answers is
// enough.
func (s *session) diagnosePath(ctx context.Context, d *diagnosis, user packet.UserID, endpoints []bus.Endpoint) {
	ctx, cancel := context.WithTimeout(ctx, diagnoseTimeout)
	defer cancel()
	errs := make([]error, len(endpoints))
	done := make(chan struct{})
	for i, e := range endpoints {
		go func() {
			errs[i] = s.conn.Try(ctx, user, e)
			done <- struct{}{}
		}()
	}
	answered := false
	for range endpoints {
		<-done
	}
	for _, err := range errs {
		answered = answered || err == nil
	}
	for i, e := range endpoints {
		switch err := errs[i]; {
		case err == nil:
			d.ok("path", failure.Because("DOCTOR_PATH", "user", user, "address", addressOf(e)), "%s answers at %s; the link comes up within seconds", user, addressOf(e))
		case answered:
			d.ok("path", failure.Because("DOCTOR_OTHER_PATH", "user", user, "address", addressOf(e), "why", reason(err)), "%s of %s does not answer (%s); another one does", addressOf(e), user, reason(err))
		default:
			why, text := blocked(user, e, err)
			d.failed("path", why, "%s", text)
		}
	}
}

// blocked says why a contact is not reached at an endpoint, and what to do.
func blocked(user packet.UserID, e bus.Endpoint, err error) (*errdetails.ErrorInfo, string) {
	address := addressOf(e)
	var timeout net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return failure.Because("DOCTOR_NOBODY", "user", user, "address", address),
			fmt.Sprintf("nothing listens at %s any more: %s must start Parley again there, or another program has the port", address, user)
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return failure.Because("DOCTOR_NO_WAY", "user", user, "address", address, "port", e.Port),
			fmt.Sprintf("there is no way from here to %s (%s): it is an address of another network; both must be in one network, or %s's router must forward TCP port %d",
				address, reason(err), user, e.Port)
	case errors.Is(err, conn.ErrWrongPeer), errors.Is(err, conn.ErrUnknownKey), errors.Is(err, conn.ErrNotWanted):
		return failure.Because("DOCTOR_WRONG_PEER", "user", user, "address", address),
			fmt.Sprintf("at %s a device answers that is none of %s's: the address is somebody else's by now, or somebody stands between; %s must connect to you", address, user, user)
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return failure.Because("DOCTOR_NO_ANSWER", "user", user, "address", address, "port", e.Port),
			fmt.Sprintf("%s gives no answer within %s: a firewall or a router on the way keeps it from you; %s can let in TCP port %d, or connect to you", address, diagnoseTimeout, user, e.Port)
	default:
		return failure.Because("DOCTOR_NOT_PARLEY", "address", address, "why", reason(err)),
			fmt.Sprintf("what answers at %s is no Parley (%s): another program has taken the port, or something between changes what is sent", address, reason(err))
	}
}

// reason is the innermost of an error, without what is told beside it.
func reason(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer within " + diagnoseTimeout.String()
	}
	return err.Error()
}
