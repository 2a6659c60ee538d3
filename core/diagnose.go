package core

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/directory"
	"github.com/parley-chat/parley/internal/failure"
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
		reason, text := failure.Because("LOCKED"), err.Error()
		if errors.Is(err, ErrNoAccount) {
			reason = failure.Because("NO_ACCOUNT")
			text += ": parley login USER@DIRECTORY"
		}
		d.failed("account", reason, "%s", text)
		return d.err
	}
	d.ok("account", failure.Because("DOCTOR_ACCOUNT", "user", s.identity.User(), "device", s.identity.Device(), "place", s.keyPlace), "logged in as %s, this device is %s; its key is kept in: %s", s.identity.User(), s.identity.Device(), s.keyPlace)
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

// report reports one. reason is the text for programs; nil for none.
func (d *diagnosis) report(check, result string, reason *errdetails.ErrorInfo, format string, args ...any) {
	if d.err == nil {
		d.err = d.found(&controlpb.Finding{Check: check, Result: result, Text: fmt.Sprintf(format, args...), Reason: controlpb.ReasonOf(reason)})
	}
}

func (d *diagnosis) ok(check string, reason *errdetails.ErrorInfo, format string, args ...any) {
	d.report(check, "ok", reason, format, args...)
}

func (d *diagnosis) warning(check string, reason *errdetails.ErrorInfo, format string, args ...any) {
	d.report(check, "warning", reason, format, args...)
}

func (d *diagnosis) failed(check string, reason *errdetails.ErrorInfo, format string, args ...any) {
	d.report(check, "failed", reason, format, args...)
}

// diagnoseDirectory goes the way to the directory step by step; where one fails
// those behind it say nothing.
func (s *session) diagnoseDirectory(ctx context.Context, d *diagnosis) {
	host, _, err := net.SplitHostPort(s.account.Directory)
	if err != nil {
		d.failed("directory", failure.Because("DOCTOR_ADDRESS", "address", s.account.Directory), "its address %q is not HOST:PORT: log out and in again", s.account.Directory)
		return
	}
	s.diagnoseName(ctx, d, host)
	probeCtx, cancel := context.WithTimeout(ctx, diagnoseTimeout)
	probe := s.directory.Probe(probeCtx)
	cancel()
	switch {
	case errors.Is(probe.Err, directory.ErrPin), errors.Is(probe.Err, directory.ErrUntrusted):
		d.ok("reachable", failure.Because("DOCTOR_ANSWERS", "address", s.account.Directory), "%s answers", s.account.Directory)
		d.failed("certificate", failure.Reason(probe.Err), "%v", probe.Err)
	case probe.Err != nil:
		d.failed("reachable", failure.Reason(probe.Err), "%v", probe.Err)
	default:
		took := probe.Took.Round(10 * time.Microsecond)
		d.ok("reachable", failure.Because("DOCTOR_ANSWERS_IN", "address", s.account.Directory, "took", took), "%s answers in %s", s.account.Directory, took)
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
		d.ok("name", failure.Because("DOCTOR_NAME", "name", host, "addresses", strings.Join(addresses, ", ")), "%s is %s", host, strings.Join(addresses, ", "))
	case errors.As(err, &dns) && dns.IsNotFound:
		d.failed("name", failure.Because("DOCTOR_NO_NAME", "name", host), "there is no %s: check the spelling in parley status, and ask the directory's operator whether it has moved", host)
	default:
		d.failed("name", failure.Because("DOCTOR_LOOKUP", "name", host, "why", err), "%s cannot be looked up (%v): check this machine's network and DNS, for instance with resolvectl status", host, err)
	}
}

func (s *session) diagnoseCertificate(d *diagnosis, fingerprint string) {
	if s.account.Pin == "" {
		d.ok("certificate", failure.Because("DOCTOR_VOUCHED", "fingerprint", fingerprint), "an authority vouches for it; its fingerprint is %s", fingerprint)
		return
	}
	d.ok("certificate", failure.Because("DOCTOR_KNOWN", "fingerprint", fingerprint), "is the one known from the first log-in, with the fingerprint %s", fingerprint)
}

// diagnoseLogin looks at the session. reachable says whether the way to the
// directory is free, so that the session's own reason counts.
func (s *session) diagnoseLogin(d *diagnosis, reachable bool) {
	state := s.directory.State()
	switch {
	case state.Connected:
		d.ok("login", failure.Because("DOCTOR_LOGGED_IN", "address", state.Observed), "the directory knows this device, and sees it at %s", state.Observed)
		s.diagnoseClock(d, state)
	case errors.Is(state.Err, directory.ErrNotLoggedIn):
		d.failed("login", failure.Because("DOCTOR_LOGGED_OUT"), "%v parley login %s@%s", state.Err, s.identity.User(), s.account.Directory)
	case errors.Is(state.Err, directory.ErrReplaced):
		d.failed("login", failure.Because("DOCTOR_REPLACED"), "%v Another program uses this device's key, perhaps a copy of this profile on another machine: end it, and log in there anew", state.Err)
	case !reachable:
		d.failed("login", failure.Because("DOCTOR_NO_SESSION"), "there is no session, for the reason above; links that live go on without")
	case errors.Is(state.Err, directory.ErrUnreachable):
		d.warning("login", failure.Because("DOCTOR_NO_SESSION_YET"), "there is no session yet, and the directory answers: it is tried again by itself, ask again in a moment")
	default:
		d.failed("login", failure.Reason(state.Err), "%v", state.Err)
	}
}

// A clock that is off sorts one's messages oddly; nothing breaks.
const clockTolerance = 30 * time.Second

func (s *session) diagnoseClock(d *diagnosis, state bus.DirectoryState) {
	off := state.ClockOffset
	if off.Abs() > clockTolerance {
		apart := off.Abs().Round(time.Second)
		ahead, reason := "ahead of", failure.Because("DOCTOR_CLOCK_AHEAD", "by", apart)
		if off < 0 {
			ahead, reason = "behind", failure.Because("DOCTOR_CLOCK_BEHIND", "by", apart)
		}
		d.warning("clock", reason, "this machine's clock is %s %s the directory's: messages show wrong times; set it, or switch on NTP (timedatectl set-ntp true)", apart, ahead)
		return
	}
	apart := off.Abs().Round(time.Millisecond)
	d.ok("clock", failure.Because("DOCTOR_CLOCK", "by", apart), "agrees with the directory's (%s apart)", apart)
}

func (s *session) diagnosePlugins(ctx context.Context, d *diagnosis) {
	list, err := s.host.Plugins(ctx)
	if err != nil {
		d.failed("plugins", failure.Reason(err), "%v", err)
		return
	}
	text := false
	for _, p := range list {
		text = text || p.Name == "text"
		if p.Error != "" {
			d.warning("plugins", failure.Because("DOCTOR_PLUGIN", "plugin", p.Name, "why", p.Error), "%s: %s", p.Name, p.Error)
		}
	}
	if !text {
		d.failed("plugins", failure.Because("DOCTOR_NO_TEXT", "folder", s.core.cfg.BundledPlugins), "there is no text plugin in %s: nothing can be written or read; install Parley's own plugins there", s.core.cfg.BundledPlugins)
		return
	}
	d.ok("plugins", failure.Because("DOCTOR_PLUGINS", "number", len(list)), "%d found", len(list))
}
