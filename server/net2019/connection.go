package net2019

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/parley-chat/parley/protocol/packet/net2019"
	"github.com/parley-chat/parley/server/limit"
)

// bufferSize holds what may be pending, and some commands behind it.
const bufferSize = 2 * 64

var _ [bufferSize - net2019.MaxPending - 1]byte // it does not compile if it is too small

// replies lends the buffers of replies to those who have some.
var replies = sync.Pool{New: func() any { b := make([]byte, 0, 512); return &b }}

// connection is one client. All of it is owned by its goroutine.
type connection struct {
	service *Service
	conn    net.Conn
	host    netip.Addr
	scanner net2019.Scanner
	record  *record // nil until it has logged in
	course  bool    // the form of its log-in
	pace    limit.Bucket
	// written is until when replies may take; it is moved on now and then, since
	// setting it costs as much as a command.
	written time.Time
	waiting bool // a deadline is set for reading
	pending int  // bytes of buffer
	buffer  [bufferSize]byte
}

// serve answers until the client leaves, or has to.
func (c *connection) serve() {
	defer c.service.ended(c)
	for {
		silent, err := c.read()
		if errors.Is(err, io.EOF) {
			c.answer(true) // it says no more, and may still listen
			return
		}
		if err != nil || !c.answer(silent) {
			return
		}
	}
}

// read waits for more, or for the silence that ends what there is.
func (c *connection) read() (silent bool, err error) {
	wait := c.scanner.Wait()
	if wait > 0 {
		err = c.conn.SetReadDeadline(time.Now().Add(wait))
	} else if c.waiting {
		err = c.conn.SetReadDeadline(time.Time{})
	}
	if err != nil {
		return false, err
	}
	c.waiting = wait > 0
	n, err := c.conn.Read(c.buffer[c.pending:])
	c.pending += n
	if n > 0 {
		return false, nil // what came before an error counts
	}
	if c.waiting && errors.Is(err, os.ErrDeadlineExceeded) {
		return true, nil
	}
	return false, err
}

// answer answers all commands that have come; false when the connection is over.
func (c *connection) answer(silent bool) bool {
	out := replies.Get().(*[]byte)
	defer func() {
		*out = (*out)[:0]
		replies.Put(out)
	}()
	at := 0
	for {
		command, used, ok := c.scanner.Next(c.buffer[at:c.pending], silent)
		at += used
		if !ok {
			break
		}
		if !c.paced(out) {
			return false
		}
		*out = c.service.reply(*out, c, command)
		if command.Verb == net2019.LogOut {
			c.flush(out)
			return false
		}
	}
	c.pending = copy(c.buffer[:], c.buffer[at:c.pending])
	if c.scanner.Endless() {
		c.service.count(invalid)
		*out = append(*out, net2019.ReplyInvalid...)
		c.flush(out)
		return false
	}
	return c.flush(out)
}

// flush sends what waits; false when the client does not take it.
func (c *connection) flush(out *[]byte) bool {
	if len(*out) == 0 {
		return true
	}
	if now := time.Now(); c.written.Sub(now) < c.service.WriteTimeout/2 {
		c.written = now.Add(c.service.WriteTimeout)
		if c.conn.SetWriteDeadline(c.written) != nil {
			return false
		}
	}
	_, err := c.conn.Write(*out)
	*out = (*out)[:0]
	return err == nil
}

// paced waits until the client may have another command answered. What was answered
// before is sent first.
func (c *connection) paced(out *[]byte) bool {
	for {
		wait := c.pace.Take(c.service.Limits.Command, 1, time.Now())
		if wait == 0 {
			return true
		}
		if !c.flush(out) {
			return false
		}
		select {
		case <-time.After(wait):
		case <-c.service.done:
			return false
		}
	}
}

// reply appends the reply to a command.
func (s *Service) reply(out []byte, c *connection, command net2019.Command) []byte {
	switch command.Verb {
	case net2019.LogIn:
		if o := s.logIn(c, command); o != logInOK {
			s.count(o)
			break
		}
		s.count(logInOK)
		return append(out, net2019.ReplyLogIn...)
	case net2019.Query:
		if c.record == nil {
			s.count(queryDenied)
			break
		}
		where, online := s.Registry.Find(command.ID)
		if !online {
			s.count(queryOffline)
			return append(out, net2019.ReplyOffline...)
		}
		s.count(queryOnline)
		return net2019.AppendWhere(out, where, c.course)
	case net2019.LogOut:
		// Whoever it names: the end of the connection is the log-out of who is logged
		// in here, and nobody can log out others.
		s.count(logOutOK)
		s.Registry.logOut(c.record)
		c.record = nil
		return append(out, s.LogOutReply...)
	case net2019.Invalid:
		if command.Guess {
			s.guesses.Take(limit.Network(c.host))
			s.count(logInDenied)
		} else {
			s.count(invalid)
		}
	}
	return append(out, net2019.ReplyInvalid...)
}

// logIn logs a client in, whose password is right. Who has guessed too often is
// refused also then, or the guessing would not be slowed down.
func (s *Service) logIn(c *connection, command net2019.Command) outcome {
	from := limit.Network(c.host)
	if s.guesses.Take(from) > 0 {
		return logInLimited
	}
	s.guesses.GiveBack(from)
	port := command.Port
	if port == 0 {
		port = net2019.DefaultPort
	}
	rec, err := s.Registry.logIn(c.record, command.ID, netip.AddrPortFrom(c.host, port))
	if err != nil {
		return logInTaken
	}
	c.record, c.course = rec, command.Port == 0
	return logInOK
}
