package viewmodel

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
)

// fakeHost is a directory on this computer that is only a state.
type fakeHost struct {
	mu    sync.Mutex // guards all below
	state HostState
	fail  error
}

func (f *fakeHost) config(c *Config) {
	c.Host = func(context.Context) (Hosted, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.fail != nil {
			return Hosted{}, f.fail
		}
		f.state = HostState{Known: true, Running: true, Address: "localhost:7410", Others: []string{"192.0.2.7:7410"}}
		return Hosted{Address: f.state.Address, Others: f.state.Others, Invite: "code"}, nil
	}
	c.HostState = func(context.Context) (HostState, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.state, nil
	}
	c.StopHost = func(context.Context) error {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.fail == nil {
			f.state.Running = false
		}
		return f.fail
	}
}

func (f *fakeHost) setFail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail = err
}

func TestHosting(t *testing.T) {
	host := &fakeHost{}
	w := openWindow(t, newFakeCore(), host.config)
	h := w.session.NewHosting()
	defer h.Close()
	view := h.View.Get
	w.until("it is looked", func() bool { return view().Looked })
	if v := view(); v.Known || v.Running || !h.Possible() {
		t.Errorf("%+v", v)
	}
	host.setFail(errors.New("parley-server is not there"))
	h.Start()
	if view().Busy == "" {
		t.Error("nothing says that it is being started")
	}
	w.until("it says why it does not start", func() bool { return view().Problem == "parley-server is not there" && view().Busy == "" })
	host.setFail(nil)
	h.Start()
	w.until("it runs", func() bool { return view().Running && view().Busy == "" })
	if v := view(); v.Problem != "" || v.Invite != "code" || !slices.Equal(v.Others, []string{"192.0.2.7:7410"}) {
		t.Errorf("%+v", v)
	}
	host.setFail(errors.New("it does not end"))
	h.Stop()
	w.until("it says why it does not stop", func() bool { return view().Problem == "it does not end" && view().Busy == "" })
	if v := view(); !v.Running || v.Invite != "code" {
		t.Errorf("what still runs: %+v", v)
	}
	host.setFail(nil)
	h.Stop()
	w.until("it is stopped", func() bool { return view().Busy == "" && !view().Running })
	if v := view(); v.Invite != "" || !v.Known {
		t.Errorf("what is stopped: %+v", v)
	}
}

// TestHostingIsNotPossible: without the program there is nothing to start.
func TestHostingIsNotPossible(t *testing.T) {
	w := openWindow(t, newFakeCore())
	h := w.session.NewHosting()
	defer h.Close()
	if h.Possible() || h.View.Get().Looked {
		t.Error("a directory can be started without a program")
	}
}
