package core

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/directory"
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
	s.diagnoseFirewall(d, machine())
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

// diagnoseDirectory goes the way to the directory step by step; where one fails
// those behind it say nothing.
func (s *session) diagnoseDirectory(ctx context.Context, d *diagnosis) {
	host, _, err := net.SplitHostPort(s.account.Directory)
	if err != nil {
		d.failed("directory", "its address %q is not HOST:PORT: log out and in again", s.account.Directory)
		return
	}
	s.diagnoseName(ctx, d, host)
	probeCtx, cancel := context.WithTimeout(ctx, diagnoseTimeout)
	probe := s.directory.Probe(probeCtx)
	cancel()
	switch {
	case errors.Is(probe.Err, directory.ErrPin), errors.Is(probe.Err, directory.ErrUntrusted):
		d.ok("reachable", "%s answers", s.account.Directory)
		d.failed("certificate", "%v", probe.Err)
	case probe.Err != nil:
		d.failed("reachable", "%v", probe.Err)
	default:
		d.ok("reachable", "%s answers in %s", s.account.Directory, probe.Took.Round(10*time.Microsecond))
		s.diagnoseCertificate(d, probe.Fingerprint)
	}
	s.diagnoseLogin(d, probe.Err == nil)
}

func (s *session) diagnoseName(ctx context.Context, d *diagnosis, host string) {
	if net.ParseIP(host) != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, diagnoseTimeout)
	defer cancel()
	addresses, err := net.DefaultResolver.LookupHost(ctx, host)
	var dns *net.DNSError
	switch {
	case err == nil:
		d.ok("name", "%s is %s", host, strings.Join(addresses, ", "))
	case errors.As(err, &dns) && dns.IsNotFound:
		d.failed("name", "there is no %s: check the spelling in parley status, and ask the directory's operator whether it has moved", host)
	default:
		d.failed("name", "%s cannot be looked up (%v): check this machine's network and DNS, for instance with resolvectl status", host, err)
	}
}

func (s *session) diagnoseCertificate(d *diagnosis, fingerprint string) {
	if s.account.Pin == "" {
		d.ok("certificate", "an authority vouches for it; its fingerprint is %s", fingerprint)
		return
	}
	d.ok("certificate", "is the one known from the first log-in, with the fingerprint %s", fingerprint)
}

// diagnoseLogin looks at the session. reachable says whether the way to the
// directory is free, so that the session's own reason counts.
func (s *session) diagnoseLogin(d *diagnosis, reachable bool) {
	state := s.directory.State()
	switch {
	case state.Connected:
		d.ok("login", "the directory knows this device, and sees it at %s", state.Observed)
		s.diagnoseClock(d, state)
	case errors.Is(state.Err, directory.ErrNotLoggedIn):
		d.failed("login", "%v parley login %s@%s", state.Err, s.identity.User(), s.account.Directory)
	case errors.Is(state.Err, directory.ErrReplaced):
		d.failed("login", "%v Another program uses this device's key, perhaps a copy of this profile on another machine: end it, and log in there anew", state.Err)
	case !reachable:
		d.failed("login", "there is no session, for the reason above; links that live go on without")
	case errors.Is(state.Err, directory.ErrUnreachable):
		d.warning("login", "there is no session yet, and the directory answers: it is tried again by itself, ask again in a moment")
	default:
		d.failed("login", "%v", state.Err)
	}
}

// A clock that is off sorts one's messages oddly; nothing breaks.
const clockTolerance = 30 * time.Second

func (s *session) diagnoseClock(d *diagnosis, state bus.DirectoryState) {
	off := state.ClockOffset
	if off.Abs() > clockTolerance {
		ahead := "ahead of"
		if off < 0 {
			ahead = "behind"
		}
		d.warning("clock", "this machine's clock is %s %s the directory's: messages show wrong times; set it, or switch on NTP (timedatectl set-ntp true)", off.Abs().Round(time.Second), ahead)
		return
	}
	d.ok("clock", "agrees with the directory's (%s apart)", off.Abs().Round(time.Millisecond))
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
