package core

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/parley-chat/parley/core/client"
	"github.com/parley-chat/parley/core/directory"
	"github.com/parley-chat/parley/core/host"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/internal/failure"
	"github.com/parley-chat/parley/protocol/controlpb"
)

// Front ends ask and watch all the while somebody logs in and out: they get an
// answer or a plain no, and what they watch goes on.
func TestCallsAcrossLogIns(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.person("alice"), w.person("bob")
	w.befriend(alice, bob)
	c, err := client.Connect(t.Context(), alice.core.cfg.Folders)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var resyncs int
	events, err := c.Watch(ctx, &controlpb.WatchRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var fronts sync.WaitGroup
	fronts.Go(func() {
		for {
			e, err := events.Recv()
			if err != nil {
				if ctx.Err() == nil {
					t.Errorf("watching ended: %v", err)
				}
				return
			}
			if e.GetResync() != nil {
				resyncs++
			}
		}
	})
	for name, ask := range map[string]func() error{
		"status":   func() error { _, err := c.GetStatus(ctx, &controlpb.GetStatusRequest{}); return err },
		"contacts": func() error { _, err := c.ListContacts(ctx, &controlpb.ListContactsRequest{}); return err },
		"chats":    func() error { _, err := c.ListChats(ctx, &controlpb.ListChatsRequest{}); return err },
		"plugins":  func() error { _, err := c.ListPlugins(ctx, &controlpb.ListPluginsRequest{}); return err },
		"settings": func() error { _, err := c.GetSettings(ctx, &controlpb.GetSettingsRequest{}); return err },
		"rename": func() error {
			_, err := c.RenameContact(ctx, &controlpb.RenameContactRequest{User: "bob", Nickname: "Bobby"})
			return err
		},
		"read": func() error {
			_, err := c.MarkRead(ctx, &controlpb.MarkReadRequest{Chat: "alice-bob"})
			return err
		},
	} {
		fronts.Go(func() {
			for ctx.Err() == nil {
				switch err := ask(); status.Code(err) {
				case codes.OK, codes.Unavailable, codes.FailedPrecondition, codes.Canceled:
				default:
					t.Errorf("%s: %v", name, err)
					return
				}
			}
		})
	}
	again := &controlpb.LogInRequest{Directory: w.directory, User: "alice", Password: testPassword}
	for range 3 {
		if _, err := c.LogIn(ctx, again); err != nil {
			t.Fatalf("log in over it: %v", err)
		}
		if _, err := c.LogOut(ctx, &controlpb.LogOutRequest{}); err != nil {
			t.Fatalf("log out: %v", err)
		}
		if _, err := c.LogIn(ctx, again); err != nil {
			t.Fatalf("log in: %v", err)
		}
	}
	w.linked(alice, bob)
	cancel()
	fronts.Wait()
	if resyncs == 0 {
		t.Error("a front end was not told to read all anew")
	}
}

// A front end that goes away while the account is opened leaves it open, not
// locked because of that.
func TestLogInOutlivesItsFrontEnd(t *testing.T) {
	w := newWorld(t)
	p := &person{world: w, name: "alice"}
	p.begin()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	// The directory's answer comes, account.json is written, and then nobody
	// waits for the rest.
	go func() {
		for ctx.Err() == nil {
			if _, err := os.Stat(accountFile(p.core.cfg.Folders)); err == nil {
				cancel()
			}
		}
	}()
	_, err := facade{p.core}.LogIn(ctx, &controlpb.LogInRequest{Directory: w.directory, User: "alice", Password: testPassword, Register: true})
	if err != nil && ctx.Err() == nil {
		t.Fatal(err)
	}
	if _, err := p.core.current(); err != nil {
		t.Errorf("the account is not open: %v", err)
	}
}

// A log-in that cannot be written down leaves what was open before.
func TestLogInThatCannotBeKept(t *testing.T) {
	w := newWorld(t)
	alice := w.person("alice")
	folder := alice.core.account.folder(alice.core.cfg.Folders)
	// A folder where account.json belongs cannot be replaced by a file.
	path := folder + "/" + accountName
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(path+"/full", 0o700); err != nil {
		t.Fatal(err)
	}
	again := &controlpb.LogInRequest{Directory: w.directory, User: "alice", Password: testPassword}
	if _, err := (facade{alice.core}).LogIn(t.Context(), again); err == nil {
		t.Fatal("logged in, and it could not be written down")
	}
	w.until("the session is back", func() bool {
		s, err := alice.core.current()
		return err == nil && s.directory.State().Connected
	})
}

func TestNoLogInAfterTheEnd(t *testing.T) {
	w := newWorld(t)
	alice := w.person("alice")
	alice.stop()
	f := facade{alice.core}
	if _, err := f.LogIn(t.Context(), &controlpb.LogInRequest{Directory: w.directory, User: "alice", Password: testPassword}); err == nil {
		t.Error("an account was opened in a core that has ended")
	}
	if err := f.Unlock(t.Context(), ""); err == nil {
		t.Error("an account was unlocked in a core that has ended")
	}
}

// What a person reads says what happened, also where programs get a kind.
func TestStatusOf(t *testing.T) {
	w := newWorld(t)
	f := facade{w.person("alice").core}
	_, pin := f.LogIn(t.Context(), &controlpb.LogInRequest{Directory: w.directory, User: "alice", Password: testPassword, Pin: "abc"})
	a, err := f.Account()
	if err != nil {
		t.Fatal(err)
	}
	_, plugin := a.Plugins.Plugin(t.Context(), "nope")
	for _, test := range []struct {
		name   string
		err    error
		code   codes.Code
		reason string
		says   string
	}{
		{"no account", ErrNoAccount, codes.FailedPrecondition, "NO_ACCOUNT", "nobody is logged in"},
		{"a log-in is under way", &LockedError{Cause: errLoggingIn}, codes.Unavailable, "BUSY", "ask again in a moment"},
		{"locked", &LockedError{Cause: os.ErrPermission}, codes.FailedPrecondition, "LOCKED", "the account cannot be opened: permission denied"},
		{"a pin that is none", pin, codes.InvalidArgument, "FINGERPRINT", "64 hexadecimal digits"},
		{"a kind that comes wrapped", fmt.Errorf("store: %w", store.ErrFull), codes.ResourceExhausted, "DISK_FULL", "store: "},
		{"its own reason, not its kind's", failure.New(directory.ErrUnreachable, "it is gone").Because("DIRECTORY_LOST"), codes.Unavailable, "DIRECTORY_LOST", "it is gone"},
		{"a plugin's reason is not the core's", &host.PluginError{Code: codes.NotFound, Text: "gone", Why: &errdetails.ErrorInfo{Domain: "poll", Reason: "LOCKED"}}, codes.NotFound, "", "gone"},
		{"no such plugin", plugin, codes.NotFound, "", "no such plugin"},
		{"unknown setting", f.SetSetting(t.Context(), "nope", "x"), codes.InvalidArgument, "", "parley settings"},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := statusOf(test.err)
			if status.Code(err) != test.code || client.Reason(err) != test.reason || !strings.Contains(client.Message(err), test.says) {
				t.Errorf("%s, reason %q: %s", status.Code(err), client.Reason(err), client.Message(err))
			}
		})
	}
}
