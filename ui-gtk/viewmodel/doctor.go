package viewmodel

import (
	"context"
	"errors"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/parley-chat/parley/core/client"
	"github.com/parley-chat/parley/protocol/controlpb"
)

// Doctor finds out why two people cannot connect.
type Doctor struct {
	session *Session
	cancel  context.CancelFunc
	run     int // counts examinations, so that late findings of an old one are left

	Findings List[Finding]
	Running  Value[bool]
	// Problem says why the examination ended early.
	Problem Value[string]
}

// Finding is one step of an examination.
type Finding struct {
	key    string
	Check  string
	Result FindingResult
	Text   string
}

// FindingResult is how well something is.
type FindingResult int

// Results.
const (
	FindingOK FindingResult = iota
	FindingWarning
	FindingFailed
)

// RowKey implements Row.
func (f Finding) RowKey() string { return f.key }

// Same implements Row.
func (f Finding) Same(o Finding) bool { return f == o }

// NewDoctor makes a doctor, who waits.
func (s *Session) NewDoctor() *Doctor { return &Doctor{session: s} }

// examination is how long one may take.
const examination = 2 * time.Minute

// Examine begins anew; with a user, also the path to that contact.
func (d *Doctor) Examine(user string) {
	d.Stop()
	d.run++
	run := d.run
	d.Findings.set(nil)
	d.Problem.set("")
	d.Running.set(true)
	s := d.session
	s.callFor(examination, func(ctx context.Context, core Core) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		s.cfg.Loop.Post(func() {
			if d.run == run {
				d.cancel = cancel
			} else {
				cancel()
			}
		})
		stream, err := core.Diagnose(ctx, &controlpb.DiagnoseRequest{User: user})
		if err != nil {
			return err
		}
		for {
			f, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			s.cfg.Loop.Post(func() {
				if d.run == run {
					d.found(f)
				}
			})
		}
	}, func(err error) {
		if d.run != run {
			return
		}
		d.cancel = nil
		d.Running.set(false)
		if err != nil {
			d.Problem.set(s.Sentence(err))
		}
	})
}

// Stop ends an examination that is under way.
func (d *Doctor) Stop() {
	d.run++
	if d.cancel != nil {
		d.cancel()
		d.cancel = nil
	}
	if d.Running.Get() {
		d.Running.set(false)
	}
}

func (d *Doctor) found(f *controlpb.Finding) {
	x := Finding{key: strconv.Itoa(d.Findings.Len()), Check: d.session.checkName(f.GetCheck()), Text: d.session.tell(f.GetReason(), f.GetText())}
	switch f.GetResult() {
	case "ok":
		x.Result = FindingOK
	case "warning":
		x.Result = FindingWarning
	default:
		x.Result = FindingFailed
	}
	d.Findings.set(append(slices.Clone(d.Findings.Rows()), x))
}

// checkName is what a check is called.
func (s *Session) checkName(check string) string {
	t := s.Texts()
	switch check {
	case "account":
		return t.T("Account")
	case "name":
		return t.T("Name of the directory")
	case "reachable":
		return t.T("Directory reachable")
	case "certificate":
		return t.T("Certificate")
	case "login":
		return t.T("Log-in")
	case "clock":
		return t.T("Clock")
	case "port":
		return t.T("Port for others")
	case "firewall":
		return t.T("Firewall")
	case "plugins":
		return t.T("Plugins")
	case "contact":
		return t.T("Contact")
	case "path":
		return t.T("Path")
	}
	return client.PrintableLine(check)
}
