package viewmodel

import "context"

// Hosted is a directory on this computer that was started.
type Hosted struct {
	Address string   // for this computer
	Others  []string // for others in the same networks
	Invite  string
}

// HostState is how the directory on this computer stands.
type HostState struct {
	// Known: it was started once. Running: it runs now.
	Known, Running bool
	// Address is for this computer, Others are for others in the same networks; empty
	// unless it is known.
	Address string
	Others  []string
}

// Hosting is the directory on this computer: how it stands, starting and stopping it.
type Hosting struct {
	session *Session
	end     context.CancelFunc
	ctx     context.Context

	View Value[HostingView]
}

// HostingView is what is seen of it.
type HostingView struct {
	// Looked: how it stands is known.
	Looked bool
	HostState
	// Invite is a code for new accounts that was made since the page is there.
	Invite string
	// Busy says what is under way; empty when nothing is.
	Busy string
	// Problem is what went wrong.
	Problem string
}

// NewHosting makes it, and looks how it stands. Close ends it.
func (s *Session) NewHosting() *Hosting {
	h := &Hosting{session: s}
	h.ctx, h.end = context.WithCancel(context.Background())
	h.Look()
	return h
}

// Close ends what is under way.
func (h *Hosting) Close() { h.end() }

// Possible says whether a directory can be started on this computer.
func (h *Hosting) Possible() bool { return h.session.cfg.Host != nil }

// Look looks anew how it stands.
func (h *Hosting) Look() {
	if h.Possible() {
		h.run("", func(context.Context) error { return nil })
	}
}

// Start starts it, and makes an invite.
func (h *Hosting) Start() {
	h.start(h.session.Texts().T("Starting a directory on this computer…"))
}

// Invite makes an invite for the directory, which runs.
func (h *Hosting) Invite() { h.start(h.session.Texts().T("Making an invite code…")) }

func (h *Hosting) start(busy string) {
	h.run(busy, func(ctx context.Context) error {
		at, err := h.session.cfg.Host(ctx)
		h.session.cfg.Loop.Post(func() {
			if err == nil {
				v := h.View.Get()
				v.Invite = at.Invite
				h.View.set(v)
			}
		})
		return err
	})
}

// Stop ends it, until it is started again.
func (h *Hosting) Stop() {
	h.run(h.session.Texts().T("Stopping the directory on this computer…"), h.session.cfg.StopHost)
}

// run does something and looks afterwards how the directory stands.
func (h *Hosting) run(busy string, do func(context.Context) error) {
	v := h.View.Get()
	if v.Busy != "" {
		return
	}
	v.Busy, v.Problem = busy, ""
	h.View.set(v)
	var now HostState
	h.session.beside(func() error {
		ctx, cancel := context.WithTimeout(h.ctx, loginTimeout)
		defer cancel()
		err := do(ctx)
		state, looked := h.session.cfg.HostState(ctx)
		if err == nil {
			err = looked
		}
		now = state
		return err
	}, func(err error) {
		if h.ctx.Err() != nil {
			return
		}
		v := h.View.Get()
		v.Busy, v.Looked, v.HostState = "", true, now
		if !now.Running {
			v.Invite = ""
		}
		if err != nil {
			v.Problem = h.session.Sentence(err)
		}
		h.View.set(v)
	})
}
