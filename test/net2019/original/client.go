package original

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Config of a Client.
type Config struct {
	ID        string
	Directory string // its address; empty: it never logs in
	Password  string // Word when empty
	// Course has it log in without its port, which is 2333 then.
	Course bool
	Host   string // its address; "127.0.0.1" when empty
	Port   int    // 0 takes one that is free
	Folder string // for files that it receives
	// Video is what it answers a video request with, "y" or "n"; empty: nothing.
	Video string
	// KeepsIgnored leaves the connection of a request open that it ignores. It never
	// reads what comes there.
	KeepsIgnored bool
	// GroupDelay is how long it waits before it dials another member; 0 means a second.
	GroupDelay time.Duration
	// BeforeRead, if not nil, is called before each read of a file's bytes: it makes
	// the client slow.
	BeforeRead func()
	// Writes, if not nil, says how many of n bytes of a file a write takes.
	Writes func(n int) int
}

// Message is a line of a chat.
type Message struct {
	Kind    int
	Sender  string
	Content string
	// File is where the file lies that has come; empty for others.
	File string
}

// chat is a friend or a group.
type chat struct {
	name    string
	links   map[string]*Link // by the id of the other side
	history []Message
}

// Client is the published client.
type Client struct {
	cfg      Config
	listener net.Listener
	ctx      context.Context // ends with it
	end      context.CancelFunc
	serving  sync.WaitGroup

	asking    sync.Mutex // one command at a time
	directory net.Conn   // guarded by asking

	mu      sync.Mutex       // guards all below
	chats   map[string]*chat // by name
	links   []*Link          // all there ever were
	changed chan struct{}    // closed, and made anew, whenever anything changes
}

// Start starts a client, which listens and is not yet logged in.
func Start(ctx context.Context, cfg Config) (*Client, error) {
	cfg.Password = cmp.Or(cfg.Password, Word)
	cfg.Host = cmp.Or(cfg.Host, "127.0.0.1")
	cfg.GroupDelay = cmp.Or(cfg.GroupDelay, time.Second)
	if cfg.Course {
		cfg.Port = DefaultPort
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(cfg.Host, strconv.Itoa(cfg.Port)))
	if err != nil {
		return nil, err
	}
	cfg.Port = l.Addr().(*net.TCPAddr).Port
	c := &Client{cfg: cfg, listener: l, chats: map[string]*chat{}, changed: make(chan struct{})}
	c.ctx, c.end = context.WithCancel(context.WithoutCancel(ctx))
	c.serving.Go(c.accept)
	return c, nil
}

// Close ends it as the end of its process would, and waits: nobody is told.
// Idempotent.
func (c *Client) Close() {
	c.end()
	_ = c.listener.Close()
	c.mu.Lock()
	for _, l := range c.links {
		_ = l.conn.Close()
	}
	c.mu.Unlock()
	c.asking.Lock()
	if c.directory != nil {
		_ = c.directory.Close()
	}
	c.asking.Unlock()
	c.serving.Wait()
}

// ID is its id.
func (c *Client) ID() string { return c.cfg.ID }

// Addr is where it listens.
func (c *Client) Addr() string { return c.listener.Addr().String() }

// Port is where it listens.
func (c *Client) Port() int { return c.cfg.Port }

// Frame makes a frame of this client's.
func (c *Client) Frame(chat string, kind int, content string) Frame {
	return Frame{Chat: chat, Port: c.cfg.Port, Kind: kind, Sender: c.cfg.ID, Content: content}
}

func (c *Client) dial(ctx context.Context, address string) (net.Conn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(c.cfg.Host)}, Timeout: 10 * time.Second}
	return d.DialContext(ctx, "tcp", address)
}

// LogIn logs in at the directory, twice on one connection.
func (c *Client) LogIn(ctx context.Context) error {
	conn, err := c.dial(ctx, c.cfg.Directory)
	if err != nil {
		return err
	}
	c.asking.Lock()
	if c.directory != nil {
		_ = c.directory.Close()
	}
	c.directory = conn
	c.asking.Unlock()
	command := c.cfg.ID + "_" + c.cfg.Password
	if !c.cfg.Course {
		command += "_" + strconv.Itoa(c.cfg.Port)
	}
	for range 2 {
		if reply, err := c.Ask(ctx, command); err != nil || reply != "lol" {
			return fmt.Errorf("%s is replied to with %q: %w", command, reply, cmp.Or(err, errRefused))
		}
	}
	return nil
}

var errRefused = errors.New("refused")

// Ask gives the directory a command, and takes what one read gives for the reply.
func (c *Client) Ask(ctx context.Context, command string) (string, error) {
	c.asking.Lock()
	defer c.asking.Unlock()
	if c.directory == nil {
		return "", errors.New("it has never logged in")
	}
	conn := c.directory
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })()
	if _, err := conn.Write([]byte(command)); err != nil {
		return "", err
	}
	b := make([]byte, 1024)
	n, err := conn.Read(b)
	return string(b[:n]), err
}

// Where asks the directory where somebody is; empty: offline.
func (c *Client) Where(ctx context.Context, id string) (address string, err error) {
	reply, err := c.Ask(ctx, "q"+id)
	if err != nil || reply == "n" {
		return "", err
	}
	host, port, named := strings.Cut(reply, "_")
	if !named {
		port = strconv.Itoa(DefaultPort)
	}
	if net.ParseIP(host) == nil {
		return "", fmt.Errorf("where is %s: %q", id, reply)
	}
	return net.JoinHostPort(host, port), nil
}

// LogOut takes leave of everybody, with 8, and of the directory. Friends and
// histories are gone.
func (c *Client) LogOut(ctx context.Context) error {
	for _, chat := range c.Chats() {
		c.leave(chat, LoggedOut)
	}
	reply, err := c.Ask(ctx, "logout"+c.cfg.ID)
	if err == nil && reply != "loo" && reply != "100" {
		err = fmt.Errorf("a log-out is replied to with %q", reply)
	}
	return err
}

// Add makes somebody a friend, asks him, and gives their chat. Of who is one
// already, nothing is asked.
func (c *Client) Add(ctx context.Context, id string) (chat string, err error) {
	if chat := ChatOf(c.cfg.ID, id); c.has(chat) {
		return chat, nil
	}
	return c.Request(ctx, c.List(id), id)
}

// List has somebody be a friend who is not asked yet. It is the moment between the
// two halves of Add, in which he may ask.
func (c *Client) List(id string) (chat string) {
	name := ChatOf(c.cfg.ID, id)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list(name)
	c.tell()
	return name
}

// Request asks a friend.
func (c *Client) Request(ctx context.Context, chat, id string) (string, error) {
	return chat, c.connect(ctx, chat, id, Request)
}

// connect dials somebody, for a chat, with that as the first frame.
func (c *Client) connect(ctx context.Context, chat, id string, kind int) error {
	address, err := c.Where(ctx, id)
	if err != nil {
		return err
	}
	if address == "" {
		return fmt.Errorf("%s is offline", id)
	}
	l, err := c.Dial(ctx, address, id)
	if err != nil {
		return err
	}
	if err := l.Send(c.Frame(chat, kind, "")); err != nil {
		return err
	}
	c.join(chat, l)
	return nil
}

// Dial connects with somebody, and does nothing else by itself.
func (c *Client) Dial(ctx context.Context, address, id string) (*Link, error) {
	conn, err := c.dial(ctx, address)
	if err != nil {
		return nil, err
	}
	return c.adopt(conn, id), nil
}

// Group starts a group with others: all of them are dialed, and each is told of the
// others.
func (c *Client) Group(ctx context.Context, others ...string) (chat string, err error) {
	name := ChatOf(append(slices.Clone(others), c.cfg.ID)...)
	c.mu.Lock()
	c.list(name)
	c.mu.Unlock()
	for _, id := range others {
		if err := c.connect(ctx, name, id, GroupRequest); err != nil {
			return name, err
		}
	}
	return name, nil
}

// Say says a text: one frame to each of the chat, however long.
func (c *Client) Say(chat, text string) error {
	c.mu.Lock()
	if h := c.chats[chat]; h != nil {
		h.history = append(h.history, Message{Kind: Text, Sender: c.cfg.ID, Content: text})
	}
	c.tell()
	c.mu.Unlock()
	return c.send(chat, Text, text)
}

// Call asks somebody for a video call.
func (c *Client) Call(chat string) error { return c.send(chat, VideoRequest, "") }

// Leave leaves a chat, with 7. Nothing of it is left.
func (c *Client) Leave(chat string) { c.leave(chat, Deleted) }

func (c *Client) send(chat string, kind int, content string) error {
	links := c.linksOf(chat)
	if len(links) == 0 {
		return fmt.Errorf("%s is connected with nobody in %s", c.cfg.ID, chat)
	}
	for _, l := range links {
		if err := l.Send(c.Frame(chat, kind, content)); err != nil {
			return err
		}
	}
	return nil
}

func (c *Client) leave(chat string, kind int) {
	_ = c.send(chat, kind, "") // who is away is not told
	c.erase(chat)
}

// erase forgets a chat and ends its connections.
func (c *Client) erase(chat string) {
	for _, l := range c.linksOf(chat) {
		_ = l.conn.Close()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.chats, chat)
	c.tell()
}

// Chats are all friends and groups, by name, ascending.
func (c *Client) Chats() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var names []string
	for name := range c.chats {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (c *Client) has(chat string) bool { return slices.Contains(c.Chats(), chat) }

// History is what was said in a chat, as this client has it.
func (c *Client) History(chat string) []Message {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.chats[chat]
	if h == nil {
		return nil
	}
	return slices.Clone(h.history)
}

// Heard says whether somebody has said a text in a chat.
func (c *Client) Heard(chat, sender, text string) bool {
	return slices.Contains(c.History(chat), Message{Kind: Text, Sender: sender, Content: text})
}

// Received is the file of that name that has come whole, as this client counts;
// empty: none.
func (c *Client) Received(name string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, h := range c.chats {
		for _, m := range h.history {
			if m.File != "" && filepath.Base(m.File) == name {
				return m.File
			}
		}
	}
	return ""
}

// Links are all connections with others that there ever were, the first one first.
func (c *Client) Links() []*Link {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.links)
}

// Connected says with how many of a chat it is connected, as far as it knows.
func (c *Client) Connected(chat string) int { return len(c.linksOf(chat)) }

// linksOf are the connections of a chat.
func (c *Client) linksOf(chat string) (links []*Link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h := c.chats[chat]; h != nil {
		for _, l := range h.links {
			links = append(links, l)
		}
	}
	return links
}

// Await waits until something is so, which is looked at whenever anything changes
// here.
func (c *Client) Await(ctx context.Context, what string, so func() bool) error {
	for {
		c.mu.Lock()
		changed := c.changed
		c.mu.Unlock()
		if so() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%s: never %s: %w", c.cfg.ID, what, ctx.Err())
		}
	}
}

// tell must be called with mu held.
func (c *Client) tell() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// list must be called with mu held.
func (c *Client) list(name string) *chat {
	if c.chats[name] == nil {
		c.chats[name] = &chat{name: name, links: map[string]*Link{}}
	}
	return c.chats[name]
}
