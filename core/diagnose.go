package core

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/packet"
)

// diagnoseTimeout bounds one step of a diagnosis.
const diagnoseTimeout = 5 * time.Second

// Diagnose implements control.Core.
func (f facade) Diagnose(ctx context.Context, user packet.UserID, found func(*controlpb.Finding) error) error {
	d := &diagnosis{found: found}
	s, err := f.current()
	if err != nil {
		text := err.Error()
		if errors.Is(err, ErrNoAccount) {
			text += ": parley login USER@DIRECTORY"
		}
		d.failed("account", "%s", text)
		return d.err
	}
	d.ok("account", "logged in as %s, this device is %s; its key is kept in: %s", s.identity.User(), s.identity.Device(), s.keyPlace)
	s.diagnoseDirectory(ctx, d)
	s.diagnosePort(ctx, d)
	s.diagnosePlugins(ctx, d)
	if user != "" {
		s.diagnoseContact(ctx, d, user)
	}
	return d.err
}

// diagnosis reports findings until the front end has gone.
type diagnosis struct {
	found func(*controlpb.Finding) error
	err   error
}

func (d *diagnosis) report(check, result, format string, args ...any) {
	if d.err == nil {
		d.err = d.found(&controlpb.Finding{Check: check, Result: result, Text: fmt.Sprintf(format, args...)})
	}
}

func (d *diagnosis) ok(check, format string, args ...any) { d.report(check, "ok", format, args...) }

func (d *diagnosis) warning(check, format string, args ...any) {
	d.report(check, "warning", format, args...)
}

func (d *diagnosis) failed(check, format string, args ...any) {
	d.report(check, "failed", format, args...)
}

// reach says whether a TCP connection to an address comes up, and how fast.
func reach(ctx context.Context, address string) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, diagnoseTimeout)
	defer cancel()
	start := time.Now()
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return 0, err
	}
	return time.Since(start), c.Close()
}

func (s *session) diagnoseDirectory(ctx context.Context, d *diagnosis) {
	host, _, err := net.SplitHostPort(s.account.Directory)
	if err != nil {
		d.failed("directory", "its address %q is not HOST:PORT: log out and in again", s.account.Directory)
		return
	}
	lookUpCtx, cancel := context.WithTimeout(ctx, diagnoseTimeout)
	defer cancel()
	addresses, err := net.DefaultResolver.LookupHost(lookUpCtx, host)
	if err != nil {
		d.failed("name", "%s does not resolve (%v): check the name and this machine's DNS", host, err)
		return
	}
	d.ok("name", "%s is %v", host, addresses)
	took, err := reach(ctx, s.account.Directory)
	if err != nil {
		d.failed("reachable", "no connection to %s (%v): is parley-server running there, and does a firewall let its port through?", s.account.Directory, err)
		return
	}
	d.ok("reachable", "%s answers in %s", s.account.Directory, took.Round(10*time.Microsecond))
	state := s.directory.State()
	if !state.Connected {
		if state.Err == nil {
			d.warning("session", "connecting just now: ask again in a moment")
			return
		}
		d.failed("session", "not connected: %v", state.Err)
		return
	}
	d.ok("session", "logged in; the directory sees this device at %s", state.Observed)
	s.diagnoseCertificate(d)
	s.diagnoseClock(d, state)
}

func (s *session) diagnoseCertificate(d *diagnosis) {
	if s.account.Pin == "" {
		d.ok("certificate", "an authority vouches for it")
		return
	}
	d.ok("certificate", "has the pinned fingerprint %s", s.account.Pin)
}

// A clock that is off sorts one's messages oddly; nothing breaks.
const clockTolerance = 30 * time.Second

func (s *session) diagnoseClock(d *diagnosis, state bus.DirectoryState) {
	off := state.ClockOffset
	if off.Abs() > clockTolerance {
		d.warning("clock", "this machine's clock is %s off the directory's: messages may show wrong times; set it, or switch on NTP", off.Round(time.Second))
		return
	}
	d.ok("clock", "agrees with the directory's (%s apart)", off.Abs().Round(time.Millisecond))
}

func (s *session) diagnosePort(ctx context.Context, d *diagnosis) {
	if deaf := s.deaf.Load(); deaf != nil {
		d.failed("port", "nobody can connect to this device: %v", *deaf)
		return
	}
	endpoints := s.conn.Endpoints()
	if len(endpoints) == 0 {
		d.warning("port", "this machine has no network address that others could reach: contacts can be reached, but not connect to you")
		return
	}
	for _, e := range endpoints {
		address := net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port)))
		if _, err := reach(ctx, address); err != nil {
			d.failed("port", "own address %s does not answer (%v): a firewall on this machine?", address, err)
		} else {
			d.ok("port", "listening on %s", address)
		}
	}
}

func (s *session) diagnosePlugins(ctx context.Context, d *diagnosis) {
	list, err := s.host.Plugins(ctx)
	if err != nil {
		d.failed("plugins", "%v", err)
		return
	}
	text := false
	for _, p := range list {
		text = text || p.Name == "text"
		if p.Error != "" {
			d.warning("plugins", "%s: %s", p.Name, p.Error)
		}
	}
	if !text {
		d.failed("plugins", "there is no text plugin in %s: nothing can be written or read; install Parley's own plugins there", s.core.cfg.BundledPlugins)
		return
	}
	d.ok("plugins", "%d found", len(list))
}

// noContact says why nothing goes to and fro with somebody on the list.
var noContact = map[controlpb.ContactState]string{
	controlpb.ContactState_CONTACT_STATE_OUTGOING: "%[1]s has not answered your request yet",
	controlpb.ContactState_CONTACT_STATE_INCOMING: "%[1]s waits for your answer: parley contacts accept %[1]s",
	controlpb.ContactState_CONTACT_STATE_BLOCKED:  "you blocked %[1]s: parley contacts unblock %[1]s",
	controlpb.ContactState_CONTACT_STATE_LEFT:     "%[1]s has removed you: ask again with parley contacts add %[1]s",
}

// diagnoseContact follows the path to one contact.
func (s *session) diagnoseContact(ctx context.Context, d *diagnosis, user packet.UserID) {
	contact, err := s.roster.Contact(ctx, user)
	if err != nil {
		d.failed("contact", "%s is not a contact: parley contacts add %s", user, user)
		return
	}
	if why, ok := noContact[contact.GetState()]; ok {
		d.failed("contact", why, user)
		return
	}
	if contact.GetKeyChanged() {
		d.failed("contact", "the keys of %s changed; nothing is sent until you accept them: parley contacts keys %s", user, user)
		return
	}
	for _, l := range s.conn.Links() {
		if l.User == user {
			d.ok("contact", "linked with %s: %s, %s, round trip %s", user, l.Path, l.Remote, l.RoundTrip.Round(10*time.Microsecond))
			return
		}
	}
	presence, known := s.directory.Presence(user)
	if !known || !presence.Online {
		d.warning("contact", "%s is offline; messages wait here until both are there", user)
		return
	}
	if len(presence.Endpoints) == 0 {
		d.failed("contact", "%s is online, but has no address that could be reached", user)
		return
	}
	for _, e := range presence.Endpoints {
		address := net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port)))
		if _, err := reach(ctx, address); err != nil {
			d.failed("path", "%s at %s does not answer (%v): a firewall or NAT on the way", user, address, err)
		} else {
			d.ok("path", "%s answers at %s; the link should come up within seconds", user, address)
		}
	}
}
