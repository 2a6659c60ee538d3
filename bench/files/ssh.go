package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"time"

	"github.com/parley-chat/parley/bench/people"
	"github.com/parley-chat/parley/bench/process"
	"github.com/parley-chat/parley/bench/report"
	"github.com/parley-chat/parley/internal/freeport"
)

// sshd is an SSH server of this measurement's own, for this account alone.
type sshd struct {
	*watched
	dir  string
	port string
	user string
}

const sshdProgram = "/usr/sbin/sshd"

// startSSHD makes keys and a configuration in a folder, and starts the server.
func startSSHD(ctx context.Context, dir string) (*sshd, error) {
	me, err := user.Current()
	if err != nil {
		return nil, err
	}
	address, err := freeport.Local(ctx)
	if err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(address)
	s := &sshd{dir: dir, port: port, user: me.Username}
	if err := s.configure(ctx); err != nil {
		return nil, err
	}
	if os.Geteuid() == 0 {
		// The package's service makes this folder, and it is not running.
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil { //nolint:gosec // what sshd asks for
			return nil, err
		}
	}
	s.watched, err = start(process.Config{Program: sshdProgram, Args: []string{"-D", "-e", "-f", filepath.Join(dir, "sshd_config")}})
	if err != nil {
		return nil, err
	}
	return s, people.Until(ctx, "sshd listens, and has nobody connected", func(ctx context.Context) (bool, error) {
		select {
		case <-s.Exited():
			return false, s.Ended(ctx)
		default:
		}
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err != nil {
			return false, nil //nolint:nilerr // not yet
		}
		if err := c.Close(); err != nil {
			return false, err
		}
		return true, s.alone(ctx)
	})
}

func (s *sshd) configure(ctx context.Context) error {
	for _, name := range []string{"host", "user"} {
		out, err := exec.CommandContext(ctx, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "bench", "-f", filepath.Join(s.dir, name)).CombinedOutput() //nolint:gosec // below our own folder
		if err != nil {
			return fmt.Errorf("ssh-keygen: %w: %s", err, out)
		}
	}
	host, err := os.ReadFile(filepath.Join(s.dir, "host.pub"))
	if err != nil {
		return err
	}
	sftp := "/usr/lib/openssh/sftp-server"
	if _, err := os.Stat(sftp); err != nil {
		sftp = "internal-sftp"
	}
	config := strings.Join([]string{
		"Port " + s.port, "ListenAddress 127.0.0.1", "PidFile none", "UsePAM no", "LogLevel ERROR",
		"HostKey " + filepath.Join(s.dir, "host"), "AuthorizedKeysFile " + filepath.Join(s.dir, "user.pub"),
		"PasswordAuthentication no", "KbdInteractiveAuthentication no", "PermitRootLogin prohibit-password",
		"AllowUsers " + s.user, "StrictModes no", // the folder lies below one that everybody may write to
		"Subsystem sftp " + sftp, "",
	}, "\n")
	return errors.Join(
		os.WriteFile(filepath.Join(s.dir, "sshd_config"), []byte(config), 0o600),
		os.WriteFile(filepath.Join(s.dir, "known_hosts"), []byte("[127.0.0.1]:"+s.port+" "+string(host)), 0o600), //nolint:gosec // below our own folder
	)
}

// options are for ssh and scp alike: nothing of the user's own configuration.
func (s *sshd) options() []string {
	return []string{
		"-q", "-F", "none", "-i", filepath.Join(s.dir, "user"), "-o", "Port=" + s.port, "-o", "User=" + s.user, "-o", "IdentitiesOnly=yes",
		"-o", "IdentityAgent=none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes",
		"-o", "UserKnownHostsFile=" + filepath.Join(s.dir, "known_hosts"), "-o", "GlobalKnownHostsFile=none",
	}
}

// alone waits until no connection is left: what its process used is the server's
// only then.
func (s *sshd) alone(ctx context.Context) error {
	return people.Until(ctx, "sshd's connections have ended", func(context.Context) (bool, error) {
		return process.Members(s.PID()) == 1, nil
	})
}

// end stops the server, and gives what it and all its connections took.
func (s *sshd) end(ctx context.Context) (party, error) {
	if err := s.alone(ctx); err != nil {
		return party{}, err
	}
	if err := s.Stop(); err != nil {
		return party{}, err
	}
	return s.spent(), nil
}

// withSSHD copies with a server that runs for that alone.
func withSSHD(send func(ctx context.Context, s *sshd, path, into string) (copied, error)) copier {
	return func(ctx context.Context, r *report.Round, path, into string) (copied, error) {
		dir, err := os.MkdirTemp(r.Dir, "ssh-")
		if err != nil {
			return copied{}, err
		}
		s, err := startSSHD(ctx, dir)
		if s != nil && s.watched != nil {
			defer s.abandon()
		}
		if err != nil {
			return copied{}, err
		}
		c, err := send(ctx, s, path, into)
		if err != nil {
			return copied{}, fmt.Errorf("%w\n%w", err, s.said())
		}
		c.taker, err = s.end(ctx)
		return c, err
	}
}

// said is an error with what the server said, for one of the client.
func (s *sshd) said() error {
	s.Kill()
	return s.Ended(context.Background())
}

func scp(ctx context.Context, r *report.Round) error {
	send := withSSHD(func(ctx context.Context, s *sshd, path, into string) (copied, error) {
		begin := time.Now()
		p, err := start(process.Config{Program: "/usr/bin/scp", Args: append(s.options(), path, "127.0.0.1:"+into)})
		if err != nil {
			return copied{}, err
		}
		defer p.abandon()
		if err := p.Ended(ctx); err != nil {
			return copied{}, err
		}
		return copied{took: time.Since(begin), giver: p.spent(), at: arrived(path, into)}, nil
	})
	large, err := transfer(ctx, r, largeFile, send)
	if err != nil {
		return err
	}
	recordLarge(r, large)
	recordPeak(r, peakGiver, large.giver, "scp")
	recordPeak(r, peakBeside, large.giver, "ssh")
	recordPeak(r, peakTaker, large.taker, "sftp-server")
	recordPeak(r, peakBeside2, large.taker, "-sftp-server")
	_, err = transfer(ctx, r, smallFile, send)
	return err
}

func tarOverSSH(ctx context.Context, r *report.Round) error {
	folder, err := transfer(ctx, r, smallFiles, withSSHD(tarCopy))
	if err != nil {
		return err
	}
	r.Record(metricFolderCPU, (folder.giver.cpu + folder.taker.cpu).Seconds())
	recordPeak(r, peakFolderGiver, folder.giver, "tar")
	recordPeak(r, peakFolderTaker, folder.taker, "tar")
	return nil
}

// tarCopy packs a folder into a pipe to ssh, which has it unpacked.
func tarCopy(ctx context.Context, s *sshd, path, into string) (copied, error) {
	reader, writer, err := os.Pipe()
	if err != nil {
		return copied{}, err
	}
	defer func() { _, _ = reader.Close(), writer.Close() }() // closed before, if all went well
	begin := time.Now()
	tar, err := start(process.Config{Program: "/usr/bin/tar", Args: []string{"-C", filepath.Dir(path), "-cf", "-", filepath.Base(path)}, Stdout: writer})
	if err != nil {
		return copied{}, err
	}
	defer tar.abandon()
	ssh, err := start(process.Config{Program: "/usr/bin/ssh", Args: append(s.options(), "127.0.0.1", "tar -C "+into+" -xf -"), Stdin: reader})
	if err != nil {
		return copied{}, err
	}
	defer ssh.abandon()
	if err := errors.Join(reader.Close(), writer.Close(), tar.Ended(ctx), ssh.Ended(ctx)); err != nil {
		return copied{}, err
	}
	c := copied{took: time.Since(begin), giver: tar.spent(), at: arrived(path, into)}
	c.giver.cpu += ssh.spent().cpu
	return c, nil
}
