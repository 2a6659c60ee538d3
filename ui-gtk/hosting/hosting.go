// Package hosting runs a directory on this computer, for people who have none:
// the program parley-server, in the background and with a folder of its own. It
// goes on when the window is closed, because others may be logged in there, and is
// started again with the window after the computer was off, unless it was stopped.
package hosting

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/pelletier/go-toml/v2"
)

// Host is a directory on this computer, which may never have been started.
type Host struct {
	// Folder is where all of it lies: server.toml, data/, directory.log, and stopped
	// while it shall not run.
	Folder string
	// Program is the parley-server executable.
	Program string
	// Port is the one to take if it is free when the directory is first started;
	// the usual one, 7410, when it is 0.
	Port int
}

// Directory is a directory that runs.
type Directory struct {
	// Address is for this computer: "localhost:7410".
	Address string
	// Others are addresses for others in the same networks.
	Others []string
	// Invite is a code with which accounts can be made, for this computer's people
	// and others; good for a week.
	Invite string
}

const (
	defaultPort = 7410
	// startTimeout is how long a server may take to be there, on a busy machine.
	startTimeout = 30 * time.Second
	// inviteUses is how many accounts one invite is for.
	inviteUses = 20
	maxConfig  = 64 << 10
	maxOthers  = 4
)

func (h Host) config() string  { return filepath.Join(h.Folder, "server.toml") }
func (h Host) data() string    { return filepath.Join(h.Folder, "data") }
func (h Host) logFile() string { return filepath.Join(h.Folder, "directory.log") }
func (h Host) stopped() string { return filepath.Join(h.Folder, "stopped") }

// Known says whether it was started once.
func (h Host) Known() bool {
	_, err := os.Stat(h.config())
	return err == nil
}

// Start starts it, unless it runs, and makes an invite. At the first time a port is
// chosen, which it keeps: the usual one if that is free.
func (h Host) Start(ctx context.Context) (Directory, error) {
	port, err := h.port()
	if errors.Is(err, fs.ErrNotExist) {
		port, err = h.begin(ctx)
	}
	if err != nil {
		return Directory{}, fmt.Errorf("start a directory on this computer: %w", err)
	}
	if err := h.run(ctx, port); err != nil {
		return Directory{}, fmt.Errorf("start a directory on this computer: %w", err)
	}
	if err := os.Remove(h.stopped()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Directory{}, fmt.Errorf("start a directory on this computer: %w", err)
	}
	invite, err := h.invite(ctx)
	if err != nil {
		return Directory{}, fmt.Errorf("make an invite for the directory on this computer: %w", err)
	}
	return Directory{Address: net.JoinHostPort("localhost", strconv.Itoa(port)), Others: others(port), Invite: invite}, nil
}

// Resume starts it again, if it was started once, does not run, and was not stopped.
func (h Host) Resume(ctx context.Context) error {
	if _, err := os.Stat(h.stopped()); !h.Known() || err == nil {
		return nil
	}
	port, err := h.port()
	if err == nil {
		err = h.run(ctx, port)
	}
	if err != nil {
		return fmt.Errorf("start the directory on this computer: %w", err)
	}
	return nil
}

// Reachable gives the address by which others in the same networks reach the
// directory at an address, which is another one only if it is this host's own.
func (h Host) Reachable(address string) string {
	host, text, err := net.SplitHostPort(address)
	if err != nil || host != "localhost" && !net.ParseIP(host).IsLoopback() {
		return address
	}
	port, err := h.port()
	if err != nil || text != strconv.Itoa(port) {
		return address
	}
	if list := others(port); len(list) > 0 {
		return list[0]
	}
	return address
}

// port reads the port that was chosen; fs.ErrNotExist before the first start.
func (h Host) port() (int, error) {
	info, err := os.Stat(h.config())
	if err != nil {
		return 0, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxConfig {
		return 0, fmt.Errorf("%s is no configuration of parley-server: mend it, or move its folder away to begin anew", h.config())
	}
	b, err := os.ReadFile(h.config())
	if err != nil {
		return 0, err
	}
	var cfg struct {
		Listen string `toml:"listen"`
	}
	if err := toml.Unmarshal(b, &cfg); err != nil {
		return 0, fmt.Errorf("%s: %w: mend it, or move its folder away to begin anew", h.config(), err)
	}
	_, text, err := net.SplitHostPort(cfg.Listen)
	if err != nil {
		return 0, fmt.Errorf("%s: listen: %w", h.config(), err)
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || port == 0 {
		return 0, fmt.Errorf("%s: %q is no port", h.config(), text)
	}
	return int(port), nil
}

// begin chooses a port and writes the configuration.
func (h Host) begin(ctx context.Context) (int, error) {
	if err := os.MkdirAll(h.Folder, 0o700); err != nil {
		return 0, err
	}
	var port int
	for _, wish := range []int{cmp.Or(h.Port, defaultPort), 0} {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort("", strconv.Itoa(wish)))
		if err != nil && wish == 0 {
			return 0, err
		}
		if err == nil {
			if at, ok := l.Addr().(*net.TCPAddr); ok {
				port = at.Port
			}
			_ = l.Close()
			break
		}
	}
	config := fmt.Sprintf("# Parley's directory on this computer, which its window starts. Whoever has an invite may make an account.\n"+
		"listen = \":%d\"\nregistration = \"invite\"\n", port)
	next := h.config() + ".new"
	if err := os.WriteFile(next, []byte(config), 0o600); err != nil {
		return 0, err
	}
	return port, os.Rename(next, h.config())
}

// run starts the server unless it runs, and waits until it answers.
func (h Host) run(ctx context.Context, port int) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if answers(ctx, port) {
		return nil
	}
	log, err := os.OpenFile(h.logFile(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	// Not CommandContext: it must outlive the window.
	cmd := exec.Command(h.Program, "--config", h.config(), "--data", h.data(), "serve") //nolint:gosec,noctx // our own program, by its full path
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	offset, err := log.Seek(0, 2)
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // what it wrote says more
		close(ended)
	}()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !answers(ctx, port) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("parley-server did not come up: see %s", h.logFile())
		case <-ended:
			return errors.New(lastWords(h.logFile(), offset))
		}
	}
	return nil
}

// answers says whether something listens at a port of this computer.
func answers(ctx context.Context, port int) bool {
	c, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", net.JoinHostPort("localhost", strconv.Itoa(port)))
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}

// invite makes an invite. A server that has begun to listen takes no orders for a
// moment yet.
func (h Host) invite(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		cmd := exec.CommandContext(ctx, h.Program, "--config", h.config(), "--data", h.data(), //nolint:gosec // our own program, by its full path
			"invite", "create", "--uses", strconv.Itoa(inviteUses), "--note", "from the window")
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		err := cmd.Run()
		if err == nil {
			return strings.TrimSpace(out.String()), nil
		}
		why := strings.TrimPrefix(strings.TrimSpace(errs.String()), "parley-server: ")
		if ctx.Err() == nil && strings.Contains(why, "starting") {
			<-tick.C
			continue
		}
		return "", fmt.Errorf("%w: %s", err, why)
	}
}

// lastWords gives the last line that a program wrote into its log.
func lastWords(path string, offset int64) string {
	const most = 2048
	again := "parley-server ended at once: see " + path
	f, err := os.Open(path)
	if err != nil {
		return again
	}
	defer func() { _ = f.Close() }()
	if info, err := f.Stat(); err == nil {
		offset = max(offset, info.Size()-most)
	}
	b := make([]byte, most)
	n, _ := f.ReadAt(b, offset) // at the end it is less
	lines := strings.Split(strings.TrimSpace(string(b[:n])), "\n")
	last := strings.TrimPrefix(lines[len(lines)-1], "parley-server: ")
	if last == "" {
		return again
	}
	return last
}

// others gives addresses by which others in the same networks reach a port here.
func others(port int) []string {
	var list []string
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	for _, a := range addresses {
		ip, ok := a.(*net.IPNet)
		if !ok || !ip.IP.IsGlobalUnicast() || ip.IP.To4() == nil || len(list) == maxOthers {
			continue
		}
		list = append(list, net.JoinHostPort(ip.IP.String(), strconv.Itoa(port)))
	}
	return list
}
