package original

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"time"
)

// longestRead bounds what one read asks for.
const longestRead = 1 << 20

// Link is a connection with somebody. Its thread reads it, if it has one; what it
// has heard is kept as it came, but for files.
type Link struct {
	client *Client
	conn   net.Conn
	dialed bool
	begun  sync.Once  // its thread
	said   sync.Mutex // one write at a time

	// The client's mu guards all below.
	peer   string // id of the other side; empty until it has said so
	raw    []byte
	frames []Frame
	failed error
}

// Peer is the id of the other side; empty until it has said so.
func (l *Link) Peer() string {
	l.client.mu.Lock()
	defer l.client.mu.Unlock()
	return l.peer
}

// Dialed says whether this side has dialed.
func (l *Link) Dialed() bool { return l.dialed }

// Raw are all bytes that have been read, without those of files.
func (l *Link) Raw() []byte {
	l.client.mu.Lock()
	defer l.client.mu.Unlock()
	return slices.Clone(l.raw)
}

// Frames are all that have been read.
func (l *Link) Frames() []Frame {
	l.client.mu.Lock()
	defer l.client.mu.Unlock()
	return slices.Clone(l.frames)
}

// Failed says why nothing is read here any more, which the client's user does not
// learn; nil while it is.
func (l *Link) Failed() error {
	l.client.mu.Lock()
	defer l.client.mu.Unlock()
	return l.failed
}

// Send sends a frame in one write.
func (l *Link) Send(f Frame) error { return l.Write(f.Bytes()) }

// Write sends bytes as they are.
func (l *Link) Write(b []byte) error {
	l.said.Lock()
	defer l.said.Unlock()
	_, err := l.conn.Write(b)
	return err
}

// Read reads as many bytes as fit, once. It is for links without a thread.
func (l *Link) Read(b []byte) (int, error) { return l.conn.Read(b) }

// SetReadDeadline is for links without a thread.
func (l *Link) SetReadDeadline(at time.Time) error { return l.conn.SetReadDeadline(at) }

// Close ends the connection; the client does not notice.
func (l *Link) Close() { _ = l.conn.Close() }

// CloseWrite says no more, and still reads.
func (l *Link) CloseWrite() error { return l.conn.(*net.TCPConn).CloseWrite() }

// Begin starts its thread. Idempotent.
func (l *Link) Begin() {
	l.begun.Do(func() { l.client.serving.Go(l.listen) })
}

func (c *Client) accept() {
	for {
		conn, err := c.listener.Accept()
		if err != nil {
			return
		}
		c.serving.Go(func() { c.meet(conn) })
	}
}

// adopt makes a link of a connection, to who is named if it was dialed.
func (c *Client) adopt(conn net.Conn, peer string) *Link {
	l := &Link{client: c, conn: conn, peer: peer, dialed: peer != ""}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.links = append(c.links, l)
	if c.ctx.Err() != nil {
		_ = conn.Close()
	}
	c.tell()
	return l
}

// meet reads the first frame of who has dialed.
func (c *Client) meet(conn net.Conn) {
	l := c.adopt(conn, "")
	f, err := l.frame()
	if err != nil {
		l.fail(err)
		_ = conn.Close()
		return
	}
	switch f.Kind {
	case Request:
		if c.has(f.Chat) {
			l.fail(fmt.Errorf("a request of %s, who is a friend already, is ignored", f.Sender))
			if !c.cfg.KeepsIgnored {
				_ = conn.Close()
			}
			return
		}
		c.join(f.Chat, l)
	case GroupRequest:
		c.join(f.Chat, l)
		c.dialMembers(f)
	case GroupAccept:
		c.join(f.Chat, l)
	default:
		l.fail(fmt.Errorf("kind %d is no beginning", f.Kind))
		_ = conn.Close()
	}
}

// join makes a link one of a chat, which is read once there are all.
func (c *Client) join(name string, l *Link) {
	c.mu.Lock()
	h := c.list(name)
	h.links[l.peer] = l
	var whole []*Link
	if len(h.links) == strings.Count(name, "-") {
		for _, l := range h.links {
			whole = append(whole, l)
		}
	}
	c.tell()
	c.mu.Unlock()
	for _, l := range whole {
		l.Begin()
	}
}

// dialMembers dials those members of a group who have a greater id, except for who
// started it.
func (c *Client) dialMembers(f Frame) {
	wait := time.NewTimer(c.cfg.GroupDelay)
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-c.ctx.Done():
		return
	}
	for id := range strings.SplitSeq(f.Chat, "-") {
		if id > c.cfg.ID && id != f.Sender {
			_ = c.connect(c.ctx, f.Chat, id, GroupAccept) // who cannot be reached is missed for ever
		}
	}
}

// fail ends what is read here.
func (l *Link) fail(err error) {
	l.client.mu.Lock()
	defer l.client.mu.Unlock()
	l.failed = err
	l.client.tell()
}

// recv reads once, and at least one byte.
func (l *Link) recv(most int64) ([]byte, error) {
	b := make([]byte, min(most, longestRead))
	n, err := l.conn.Read(b)
	if n > 0 {
		return b[:n], nil
	}
	if err == nil {
		err = errors.New("nothing was asked for")
	}
	return nil, err
}

// frame reads a frame: one read for the length, one for what it says.
func (l *Link) frame() (Frame, error) {
	length, err := l.recv(4)
	if err == nil {
		l.heard(length, nil)
		if len(length) < 4 {
			err = fmt.Errorf("a length of %d bytes", len(length))
		}
	}
	if err != nil {
		return Frame{}, err
	}
	b, err := l.recv(int64(binary.BigEndian.Uint32(length)))
	if err != nil {
		return Frame{}, err
	}
	l.heard(b, nil)
	f, err := Parse(b)
	if err != nil {
		return Frame{}, err
	}
	l.heard(nil, &f)
	return f, nil
}

// heard keeps what was read.
func (l *Link) heard(b []byte, f *Frame) {
	l.client.mu.Lock()
	defer l.client.mu.Unlock()
	l.raw = append(l.raw, b...)
	if f != nil {
		l.frames = append(l.frames, *f)
		if l.peer == "" {
			l.peer = f.Sender
		}
	}
	l.client.tell()
}

// listen is the thread that reads a link.
func (l *Link) listen() {
	for {
		f, err := l.frame()
		if err == nil {
			err = l.take(f)
		}
		if err != nil {
			l.fail(err)
			return
		}
	}
}

// errLeft ends the thread of who has left.
var errLeft = fmt.Errorf("the other side has left: %w", io.EOF)

func (l *Link) take(f Frame) error {
	c := l.client
	m := Message{Kind: f.Kind, Sender: f.Sender, Content: f.Content}
	switch f.Kind {
	case Image, File:
		var err error
		if m.File, err = l.receive(f); err != nil {
			return err
		}
	case Deleted, LoggedOut:
		c.erase(f.Chat)
		return errLeft
	case VideoRequest:
		if c.cfg.Video != "" {
			if err := l.Send(c.Frame(f.Chat, VideoAnswer, c.cfg.Video)); err != nil {
				return err
			}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if h := c.chats[f.Chat]; h != nil {
		h.history = append(h.history, m)
	}
	c.tell()
	return nil
}
