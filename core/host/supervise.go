package host

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"

	"golang.org/x/sync/errgroup"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/internal/failure"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// supervise runs the plugin whenever it is wanted, until ctx ends.
func (p *plugin) supervise(ctx context.Context, l *launcher) {
	for p.awaitWork(ctx) {
		err := p.runOnce(ctx, l)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			p.crashed(err)
			p.host.settleOwners() // nobody waits for what it owns any more
		}
		if p.desk.waiting() {
			p.need()
		}
	}
}

// awaitWork waits until the plugin is to be started; false when ctx ended.
func (p *plugin) awaitWork(ctx context.Context) bool {
	for {
		p.mu.Lock()
		// One that is not known has to run once to say what it is.
		ready := p.runnable() && (p.wanted || !p.checked)
		changed, wait := p.changed, p.retryAt.Sub(p.host.cfg.Now())
		p.mu.Unlock()
		if ctx.Err() != nil {
			return false
		}
		if ready && wait <= 0 {
			return true
		}
		timer := time.NewTimer(wait)
		due := timer.C
		if !ready {
			due = nil
		}
		select {
		case <-ctx.Done():
		case <-changed:
		case <-due:
		}
		timer.Stop()
	}
}

// runOnce starts the plugin and serves it until it dies (an error) or is told
// to end (nil).
func (p *plugin) runOnce(ctx context.Context, l *launcher) error {
	ctx, halt := context.WithCancel(ctx)
	defer halt()
	out := newLines(p.log)
	var s spec
	p.mu.Lock()
	p.halt, p.lines = halt, out
	s.file = p.file
	if p.checked {
		s.capabilities = p.manifest.GetCapabilities()
	}
	if !p.file.bundled {
		s.confine, s.limits = l.works(), &p.host.cfg.limits
	}
	p.confined = s.confine
	stillWanted := p.runnable()
	p.mu.Unlock()
	defer p.change(func() { p.halt = nil })
	if !stillWanted {
		return nil
	}
	s.data, s.cache = p.host.cfg.dataFolders(p.name)

	run, err := l.launch(ctx, s, out)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	defer run.close()
	sess, err := newSession(p.name, run)
	if err != nil {
		return err
	}
	defer sess.close()
	err = p.live(ctx, sess, s)
	if ctx.Err() != nil || err == nil {
		sess.stop(p.host.cfg.timing.stop)
		return nil
	}
	return p.autopsy(sess, err)
}

// live takes a session through its life. It gives nil when it is to be stopped,
// errDead or another error when it failed.
func (p *plugin) live(ctx context.Context, sess *session, s spec) error {
	t := p.host.cfg.timing
	answer, err := sess.call(ctx, "Describe", &pluginpb.HookRequest{Hook: &pluginpb.HookRequest_Describe{
		Describe: &pluginpb.DescribeRequest{ApiVersion: apiVersion},
	}}, t.describe)
	if err != nil {
		return err
	}
	manifest := answer.GetDescribe().GetManifest()
	if err := checkManifest(s.file, manifest); err != nil {
		return err
	}
	fresh, err := p.learned(ctx, s.file.sha256, manifest)
	if err != nil {
		return err
	}
	p.mu.Lock()
	wanted := p.wanted && p.runnable()
	p.mu.Unlock()
	// A confined one was run with no capabilities at first; it comes up again
	// with those it declared.
	if !wanted || fresh && s.confine && len(manifest.GetCapabilities()) > 0 {
		return nil
	}
	return p.serve(ctx, sess, s, manifest)
}

// serve starts the plugin and does all that goes on while it runs.
func (p *plugin) serve(ctx context.Context, sess *session, s spec, m *pluginpb.Manifest) error {
	group, gctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		select {
		case <-sess.dead:
			return errDead
		case <-gctx.Done():
			return nil
		}
	})
	// It may need the host in order to start.
	group.Go(func() error { return p.serveRequests(gctx, sess) })
	group.Go(func() error {
		if err := p.start(gctx, sess, s, m); err != nil {
			return err
		}
		p.change(func() {
			if ctx.Err() == nil { // endRun holds the lock too
				p.session = sess
			}
		})
		p.log.Info("plugin runs", "process", sess.run.process.ID())
		for range maxChats {
			group.Go(func() error { return p.work(ctx, gctx, sess) })
		}
		return p.watch(gctx, sess, s.limits)
	})
	defer p.change(func() { p.session = nil })
	return group.Wait()
}

func (p *plugin) start(ctx context.Context, sess *session, s spec, m *pluginpb.Manifest) error {
	settings, err := p.host.settingsOf(ctx, p.name, m)
	if err != nil {
		return err
	}
	_, err = sess.call(ctx, "Start", &pluginpb.HookRequest{Hook: &pluginpb.HookRequest_Start{Start: &pluginpb.StartRequest{
		User: string(p.host.cfg.User), DisplayName: p.host.cfg.People.DisplayName(), DataFolder: s.data, CacheFolder: s.cache,
		Settings: settings, Locale: p.host.cfg.Locale,
	}}}, p.host.cfg.timing.start)
	return err
}

// watch pings, and looks at what the plugin uses.
func (p *plugin) watch(ctx context.Context, sess *session, l *limits) error {
	t := p.host.cfg.timing
	for {
		err := sess.run.ping(ctx, t.hang)
		if err == nil && l != nil {
			err = l.excess(readUsage(), sess.run.process.cmd.Process.Pid)
		}
		if err != nil && ctx.Err() == nil {
			sess.fail(err)
			return errDead
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(t.ping):
		}
	}
}

// autopsy says why a plugin died: what the session saw, and how the process
// ended, if it did by itself.
func (p *plugin) autopsy(sess *session, err error) error {
	if !errors.Is(err, errDead) {
		return err
	}
	err = sess.reason()
	select {
	case <-sess.run.process.done:
		return fmt.Errorf("%w (%s)", err, sess.run.process.state)
	case <-time.After(500 * time.Millisecond):
		return fmt.Errorf("%w (it was killed)", err)
	}
}

// crashed counts a crash, and says when the plugin is started again, if ever.
func (p *plugin) crashed(err error) {
	t := p.host.cfg.timing
	var tooMany bool
	var wait time.Duration
	text := clean(err.Error())
	p.change(func() {
		now := p.host.cfg.Now()
		wait, tooMany = p.crashes.add(now, t.backoff, t.backoffMax)
		p.retryAt = now.Add(wait)
		var wrong *answerError
		switch {
		case errors.Is(err, ErrFileChanged):
			// Not its fault: the scan that follows tells what the file is now.
			tooMany = false
			return
		case errors.As(err, &wrong):
			// Its manifest, which will be as wrong the next time.
			tooMany = true
		case !tooMany:
			return
		default:
			text = fmt.Sprintf("it crashed %d times in ten minutes, the last time: %s", maxCrashes, text)
		}
		if last := p.lines.last(); last != "" {
			text += "\nIts last lines were:\n" + last
		}
		p.broken = text
	})
	p.log.Warn("plugin crashed", "error", err, "restart_in", wait, "gives_up", tooMany)
	if tooMany {
		p.desk.dropLive()
		p.host.notice("error", p.name, fmt.Sprintf("The plugin %s is stopped: %s\nRestart it, or disable it.", p.name, text),
			failure.Because("PLUGIN_STOPPED", "plugin", p.name, "why", text))
		return
	}
	if errors.Is(err, ErrFileChanged) {
		p.host.rescan()
	}
}

// notice tells a person something about a plugin.
func (h *Host) notice(level, plugin, text string, reason *errdetails.ErrorInfo) {
	bus.Publish(h.cfg.Bus, bus.Noticed, bus.Notice{Level: level, Subject: "plugin:" + plugin, Text: text, Reason: reason})
}
