package net2019

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/parley-chat/parley/internal/failure"
	wire "github.com/parley-chat/parley/protocol/packet/net2019"
)

// maxReply bounds a reply of a server: the longest is an address with a port.
const maxReply = 64

// serveServer is logged in to a server of 2019, again and again.
func (r *run) serveServer() {
	var wait backoff
	for {
		began := r.s.cfg.Clock()
		err := r.connectServer()
		if r.ctx.Err() != nil {
			return
		}
		r.noneOnline()
		r.tell(false, err)
		if r.s.cfg.Clock().Sub(began) > r.s.cfg.timing.pause {
			wait = backoff{} // it went well for a while
		}
		if errors.Is(err, ErrRefused) { // servers count wrong passwords
			wait.last = r.s.cfg.timing.pause
		}
		if !wait.pause(r.ctx, r.s.cfg.timing) {
			return
		}
	}
}

// server is one connection to a server of 2019.
type server struct {
	conn   net.Conn
	timing timing
	chunks chan []byte // what comes; closed with the connection
}

// connectServer has one session, and says why it ended.
func (r *run) connectServer() error {
	t := r.s.cfg.timing
	conn, err := (&net.Dialer{Timeout: t.dial}).DialContext(r.ctx, "tcp", r.set.Server)
	if err != nil {
		return failure.New(ErrUnreachable, "The server of 2019 at %s cannot be reached: %v; check the address, and whether it is running.", r.set.Server, unwrapped(err)).Because("NET2019_SERVER_UNREACHABLE", "server", r.set.Server)
	}
	s := &server{conn: conn, timing: t, chunks: make(chan []byte)}
	var reading sync.WaitGroup
	ended := make(chan struct{})
	reading.Go(func() { s.read(ended) })
	defer func() {
		close(ended)
		_ = conn.Close()
		reading.Wait()
	}()
	port := r.port
	if r.set.Course {
		port = 0
	}
	reply, err := s.ask(r.ctx, wire.AppendLogIn(nil, r.set.ID, r.set.Password, port))
	switch {
	case err != nil:
		return failure.New(ErrUnreachable, "The server of 2019 at %s did not answer the log-in: %v; is it one of 2019, with this form of log-in?", r.set.Server, unwrapped(err)).Because("NET2019_SERVER_SILENT", "server", r.set.Server)
	case reply != wire.ReplyLogIn:
		return failure.New(ErrRefused, "The server of 2019 at %s refused the log-in of %s (%.40q): check the password, and the id, which other servers want to begin with 20.", r.set.Server, r.set.ID, reply).Because("NET2019_SERVER_REFUSED", "server", r.set.Server, "id", r.set.ID)
	}
	r.tell(true, nil)
	return r.session(s)
}

// session asks where people are until the connection or the run ends.
func (r *run) session(s *server) error {
	for {
		id, wait := r.due()
		if id == "" {
			timer := time.NewTimer(wait)
			select {
			case <-r.ctx.Done():
				s.logOut(r.set.ID)
				return r.ctx.Err()
			case <-r.asks:
			case <-timer.C:
			case chunk, ok := <-s.chunks:
				timer.Stop()
				if !ok {
					return failure.New(ErrUnreachable, "The server of 2019 at %s ended the session; connecting again.", r.set.Server).Because("NET2019_SERVER_LOST", "server", r.set.Server)
				}
				return failure.New(ErrUnreachable, "The server of 2019 at %s said something that nobody asked for (%.40q); connecting again.", r.set.Server, chunk).Because("NET2019_SERVER_LOST", "server", r.set.Server)
			}
			timer.Stop()
			continue
		}
		reply, err := s.ask(r.ctx, wire.AppendQuery(nil, id))
		if r.ctx.Err() != nil {
			s.logOut(r.set.ID)
			return r.ctx.Err()
		}
		if err != nil {
			return failure.New(ErrUnreachable, "The server of 2019 at %s does not answer: %v; connecting again.", r.set.Server, unwrapped(err)).Because("NET2019_SERVER_LOST", "server", r.set.Server)
		}
		where, online, err := wire.ParseWhere(reply)
		if err != nil {
			r.s.cfg.Log.Warn("a server of 2019 answers what cannot be meant so", "server", r.set.Server, "id", id, "error", err)
		}
		r.located(id, where, online && err == nil)
	}
}

// read hands on what comes.
func (s *server) read(ended chan struct{}) {
	defer close(s.chunks)
	for {
		b := make([]byte, maxReply+1)
		n, err := s.conn.Read(b)
		if n > 0 {
			select {
			case s.chunks <- b[:n]:
			case <-ended:
				return
			}
		}
		if err != nil {
			return
		}
	}
}

var (
	errNoReply   = errors.New("no reply in time")
	errLongReply = errors.New("a reply longer than any")
)

// ask sends a command and waits for its reply, which ends with silence.
func (s *server) ask(ctx context.Context, command []byte) (string, error) {
	if err := s.send(command); err != nil {
		return "", err
	}
	timer := time.NewTimer(s.timing.reply)
	defer timer.Stop()
	var reply []byte
	for {
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-timer.C:
			if len(reply) > 0 {
				return string(reply), nil
			}
			return "", errNoReply
		case chunk, ok := <-s.chunks:
			if !ok && len(reply) == 0 {
				return "", io.ErrUnexpectedEOF
			}
			reply = append(reply, chunk...)
			if len(reply) > maxReply {
				return "", errLongReply
			}
			if !ok || complete(string(reply)) {
				return string(reply), nil
			}
			timer.Reset(s.timing.settle)
		}
	}
}

// complete says that nothing can follow a reply.
func complete(reply string) bool {
	switch reply {
	case wire.ReplyLogIn, wire.ReplyOffline, wire.ReplyLogOut, wire.ReplyInvalid:
		return true
	}
	return false
}

func (s *server) send(command []byte) error {
	if err := s.conn.SetWriteDeadline(time.Now().Add(s.timing.reply)); err != nil {
		return err
	}
	_, err := s.conn.Write(command)
	return err
}

// logOut says so, and waits a moment for the reply.
func (s *server) logOut(id wire.ID) {
	ctx, cancel := context.WithTimeout(context.Background(), s.timing.farewell)
	defer cancel()
	_, _ = s.ask(ctx, wire.AppendLogOut(nil, id))
}

// unwrapped is an error without what the sentence around it says already.
func unwrapped(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err
	}
	if text := err.Error(); strings.HasPrefix(text, "connect: ") {
		return errors.New(strings.TrimPrefix(text, "connect: "))
	}
	return err
}
