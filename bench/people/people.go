// Package people starts a directory and cores of people for the benchmarks: the
// real programs, on this machine's loopback addresses or in a network of their
// own.
package people

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/parley-chat/parley/bench/network"
	"github.com/parley-chat/parley/bench/process"
	"github.com/parley-chat/parley/core/client"
	"github.com/parley-chat/parley/internal/freeport"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// patience is how long anything may take that is not measured.
const patience = time.Minute

const password = "correct horse battery"

// World is a directory and the people on it.
type World struct {
	folder  string
	kept    bool   // the folder stays
	short   string // a path of the folder that is short enough for sockets below it
	address string
	network *network.Network // nil: this machine's
	server  *process.Process
	people  []*Person
}

// DirectoryHost is the host of a network on which the directory is.
const DirectoryHost = "directory"

// NewWorld starts a directory whose files, like those of the people, lie in a
// new folder. Close ends it all.
func NewWorld(ctx context.Context) (*World, error) {
	folder, err := os.MkdirTemp("", "pb") // short: sockets lie below it
	if err != nil {
		return nil, err
	}
	return begin(ctx, &World{folder: folder, short: folder})
}

// OpenWorld starts a directory whose files, like those of the people, lie in a
// folder that is kept. It listens on the same address each time, because people's
// cores have it in their files.
func OpenWorld(ctx context.Context, folder string) (*World, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	address, err := os.ReadFile(filepath.Join(folder, "address"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	links, err := os.MkdirTemp("", "pb")
	if err != nil {
		return nil, err
	}
	w := &World{folder: folder, kept: true, short: filepath.Join(links, "w"), address: string(address)}
	if err := os.Symlink(folder, w.short); err != nil {
		return nil, err
	}
	return begin(ctx, w)
}

// NewWorldIn starts a directory at an address of the DirectoryHost of a network.
// People's cores run at the hosts that have their names.
func NewWorldIn(ctx context.Context, n *network.Network, address string) (*World, error) {
	folder, err := os.MkdirTemp("", "pb") // short: sockets lie below it
	if err != nil {
		return nil, err
	}
	return begin(ctx, &World{folder: folder, short: folder, network: n, address: address})
}

// NewPair is NewWorld with two people on it who are linked contacts.
func NewPair(ctx context.Context) (w *World, a, b *Person, err error) {
	if w, err = NewWorld(ctx); err != nil {
		return nil, nil, nil, err
	}
	return w.pair(ctx)
}

// NewPairIn is NewWorldIn with two people, anna and bob, who are linked contacts.
func NewPairIn(ctx context.Context, n *network.Network, address string) (w *World, a, b *Person, err error) {
	if w, err = NewWorldIn(ctx, n, address); err != nil {
		return nil, nil, nil, err
	}
	return w.pair(ctx)
}

// pair adds the two; on an error the world is closed.
func (w *World) pair(ctx context.Context) (_ *World, a, b *Person, err error) {
	defer func() {
		if err != nil {
			w.Close()
		}
	}()
	if a, err = w.Add(ctx, "anna"); err != nil {
		return nil, nil, nil, err
	}
	if b, err = w.Add(ctx, "bob"); err != nil {
		return nil, nil, nil, err
	}
	return w, a, b, Befriend(ctx, a, b)
}

func begin(ctx context.Context, w *World) (*World, error) {
	if err := w.serve(ctx); err != nil {
		w.Close()
		return nil, err
	}
	return w, nil
}

// inside has what is started be at a host.
func (w *World) inside(host string) func(func() error) error {
	return func(start func() error) error { return w.network.Inside(host, start) }
}

func (w *World) serve(ctx context.Context) error {
	inside := w.inside(DirectoryHost)
	err := inside(func() error {
		address, err := freeport.Local(ctx)
		w.address = cmp.Or(w.address, address)
		return err
	})
	if err != nil {
		return err
	}
	if w.kept {
		if err := os.WriteFile(filepath.Join(w.folder, "address"), []byte(w.address), 0o600); err != nil {
			return err
		}
	}
	// Everybody comes from one address, at which many at once are held up.
	config := filepath.Join(w.folder, "server.toml")
	if err := os.WriteFile(config, []byte("[limits]\nregister = { burst = 0, every = \"1s\" }\nlog-in-address = { burst = 0, every = \"1s\" }\n"), 0o600); err != nil {
		return err
	}
	w.server, err = process.Start(process.Config{
		Program: "parley-server", Args: []string{"serve", "--config", config, "--listen", w.address, "--data", filepath.Join(w.folder, "server")},
		Inside: inside,
	})
	if err != nil {
		return err
	}
	return Until(ctx, "the directory answers", func(ctx context.Context) (bool, error) {
		err := inside(func() error {
			c, err := (&net.Dialer{}).DialContext(ctx, "tcp", w.address)
			if err == nil {
				_ = c.Close()
			}
			return err
		})
		return err == nil, nil //nolint:nilerr // not yet
	})
}

// Close ends all programs and removes their files.
func (w *World) Close() {
	for _, p := range w.people {
		_ = p.Stop() // it may have ended before
	}
	if w.server != nil {
		_ = w.server.Stop()
	}
	if w.kept {
		_ = os.RemoveAll(filepath.Dir(w.short))
		return
	}
	_ = os.RemoveAll(w.folder)
}

// Person is somebody with a core.
type Person struct {
	Name   string
	Home   string // PARLEY_HOME
	Core   *process.Process
	Client *client.Client

	listen string // the address for the core to listen at
	inside func(func() error) error
}

// Add gives somebody an account and a core.
func (w *World) Add(ctx context.Context, name string) (*Person, error) {
	p := w.Known(name)
	return p, w.register(ctx, p)
}

// atOnce is how many people begin at once: they wait for each other's hashes of
// passwords, and for disks.
const atOnce = 4

// AddAll gives people an account and a core each.
func (w *World) AddAll(ctx context.Context, names ...string) ([]*Person, error) {
	all := make([]*Person, len(names))
	begin, ctx := errgroup.WithContext(ctx)
	begin.SetLimit(atOnce)
	for i, name := range names {
		all[i] = w.Known(name)
		begin.Go(func() error { return w.register(ctx, all[i]) })
	}
	return all, begin.Wait()
}

func (w *World) register(ctx context.Context, p *Person) error {
	if err := p.Start(ctx); err != nil {
		return err
	}
	_, err := p.Client.LogIn(ctx, &controlpb.LogInRequest{Directory: w.address, User: p.Name, Password: password, Register: true})
	if err != nil {
		return fmt.Errorf("log in as %s: %w", p.Name, err)
	}
	return nil
}

// Known is somebody who has an account in a folder that was kept. Their core does
// not run yet.
func (w *World) Known(name string) *Person {
	p := &Person{Name: name, Home: filepath.Join(w.short, name), listen: "127.0.0.1:0", inside: w.inside(name)}
	if w.network != nil {
		p.listen = "0.0.0.0:0"
	}
	w.people = append(w.people, p)
	return p
}

// Folders are those of the person's profile.
func (p *Person) Folders() client.Folders {
	return client.Folders{
		Profile: client.DefaultProfile,
		Data:    filepath.Join(p.Home, "profiles", client.DefaultProfile), Run: filepath.Join(p.Home, "run", client.DefaultProfile),
	}
}

// Start starts the core and returns when it answers.
func (p *Person) Start(ctx context.Context) (err error) {
	p.Core, err = process.Start(process.Config{
		Program: "parley", Args: []string{"daemon", "--listen", p.listen},
		Env:    []string{"PARLEY_HOME=" + p.Home, "PARLEY_PROFILE=", "PARLEY_KEY=file", "PARLEY_PLUGINS="},
		Inside: p.inside,
	})
	if err != nil {
		return err
	}
	return Until(ctx, p.Name+"'s core answers", func(ctx context.Context) (bool, error) {
		p.Client, err = client.Connect(ctx, p.Folders())
		if errors.Is(err, client.ErrNotRunning) {
			return false, nil
		}
		return err == nil, err
	})
}

// AwaitOpen returns when the account is open.
func (p *Person) AwaitOpen(ctx context.Context) error {
	return Until(ctx, "the account is open", func(ctx context.Context) (bool, error) {
		s, err := p.Client.GetStatus(ctx, &controlpb.GetStatusRequest{})
		return s.GetState() == controlpb.AccountState_ACCOUNT_STATE_OPEN, err
	})
}

// Stop ends the core.
func (p *Person) Stop() error {
	var errs []error
	if p.Client != nil {
		errs = append(errs, p.Client.Close())
	}
	if p.Core != nil {
		errs = append(errs, p.Core.Stop())
	}
	return errors.Join(errs...)
}

// Befriend makes two people contacts and waits for their link.
func Befriend(ctx context.Context, a, b *Person) error {
	if _, err := a.Client.RequestContact(ctx, &controlpb.RequestContactRequest{User: b.Name}); err != nil {
		return err
	}
	err := Until(ctx, "the request arrives", func(ctx context.Context) (bool, error) {
		c, err := b.contact(ctx, a)
		return c.GetState() == controlpb.ContactState_CONTACT_STATE_INCOMING, err
	})
	if err != nil {
		return err
	}
	if _, err := b.Client.AnswerContact(ctx, &controlpb.AnswerContactRequest{User: a.Name, Accept: true}); err != nil {
		return err
	}
	if err := Linked(ctx, a, b); err != nil {
		return err
	}
	return Until(ctx, "the answer arrives", func(ctx context.Context) (bool, error) { // which may be after the link
		c, err := a.contact(ctx, b)
		return c.GetState() == controlpb.ContactState_CONTACT_STATE_CONTACT, err
	})
}

// Linked waits until two people have a link.
func Linked(ctx context.Context, a, b *Person) error {
	return Until(ctx, a.Name+" and "+b.Name+" are linked", func(ctx context.Context) (bool, error) {
		ab, err := a.contact(ctx, b)
		if err != nil || !ab.GetLinked() {
			return false, err
		}
		ba, err := b.contact(ctx, a)
		return ba.GetLinked(), err
	})
}

func (p *Person) contact(ctx context.Context, other *Person) (*controlpb.Contact, error) {
	resp, err := p.Client.ListContacts(ctx, &controlpb.ListContactsRequest{})
	for _, c := range resp.GetContacts() {
		if c.GetUser() == other.Name {
			return c, nil
		}
	}
	return nil, err
}

// CPU is the processor time that people's cores have used.
func CPU(all ...*Person) (time.Duration, error) {
	var sum time.Duration
	for _, p := range all {
		u, err := p.Core.Usage()
		if err != nil {
			return 0, err
		}
		sum += u.CPU
	}
	return sum, nil
}

// Plugins are the process ids of somebody's plugins that run.
func (p *Person) Plugins(ctx context.Context) ([]int, error) {
	resp, err := p.Client.ListPlugins(ctx, &controlpb.ListPluginsRequest{})
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, plugin := range resp.GetPlugins() {
		if pid := plugin.GetProcessId(); pid > 0 {
			pids = append(pids, int(pid))
		}
	}
	return pids, nil
}

// Directory is the process id of the directory.
func (w *World) Directory() int { return w.server.PID() }

// ChatWith is the direct chat of two people.
func (p *Person) ChatWith(other *Person) packet.ChatID {
	return packet.DirectChat(packet.UserID(p.Name), packet.UserID(other.Name))
}

// Send sends a text and returns when it is on disk here.
func (p *Person) Send(ctx context.Context, chat packet.ChatID, text string) error {
	_, err := p.Client.InvokeAction(ctx, "text", &pluginpb.InvokeRequest{
		Invocation: client.NewInvocation(), Action: "send", Chat: string(chat), Text: text,
	}, nil)
	if err != nil {
		return fmt.Errorf("%s sends: %w", p.Name, err)
	}
	return nil
}

// Until waits for a condition.
func Until(ctx context.Context, what string, done func(context.Context) (bool, error)) error {
	return UntilIn(ctx, patience, what, done)
}

// UntilIn is Until, for at most so long.
func UntilIn(ctx context.Context, within time.Duration, what string, done func(context.Context) (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := done(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		if ok {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("waited in vain until %s: %w", what, ctx.Err())
		}
	}
}
