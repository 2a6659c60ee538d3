package original

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Word is the password that clients and directories have unless they are given
// another.
const Word = "net2019"

// DefaultPort is where a client listens that names no port.
const DefaultPort = 2333

// ServerConfig of a Server.
type ServerConfig struct {
	Listen      string // "127.0.0.1:0" when empty
	Password    string // Word when empty
	LogOutReply string // "loo" when empty
	// Course has it take only log-ins that name no port, as the course's server does.
	Course bool
}

// Server is the directory. One read is one command to it, and nobody is offline
// until he has logged out.
type Server struct {
	cfg      ServerConfig
	listener net.Listener
	serving  sync.WaitGroup

	mu       sync.Mutex // guards all below
	users    map[string]string
	conns    map[net.Conn]struct{}
	commands []string
	closed   bool
}

// Serve starts a directory.
func Serve(ctx context.Context, cfg ServerConfig) (*Server, error) {
	cfg.Listen = cmp.Or(cfg.Listen, "127.0.0.1:0")
	cfg.Password = cmp.Or(cfg.Password, Word)
	cfg.LogOutReply = cmp.Or(cfg.LogOutReply, "loo")
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", cfg.Listen)
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, listener: l, users: map[string]string{}, conns: map[net.Conn]struct{}{}}
	s.serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			if s.closed {
				_ = conn.Close()
			} else {
				s.conns[conn] = struct{}{}
				s.serving.Go(func() { s.serve(conn) })
			}
			s.mu.Unlock()
		}
	})
	return s, nil
}

// Addr is where it listens.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Commands are all that it was sent, each as one read gave it.
func (s *Server) Commands() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.commands)
}

// Drop ends all connections. Who is online stays so.
func (s *Server) Drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn := range s.conns {
		_ = conn.Close()
	}
}

// Close ends it, and waits. Idempotent.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	_ = s.listener.Close()
	s.Drop()
	s.serving.Wait()
}

func (s *Server) serve(conn net.Conn) {
	defer func() {
		_ = conn.Close()
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.conns, conn)
	}()
	course := false
	b := make([]byte, 1024)
	for {
		n, err := conn.Read(b)
		if err != nil {
			return
		}
		reply, last := s.reply(string(b[:n]), conn, &course)
		if _, err := conn.Write([]byte(reply)); err != nil || last {
			return
		}
	}
}

var (
	logIn  = regexp.MustCompile(`^(20\d{8})_([^_]+)(?:_(\d{1,6}))?$`)
	query  = regexp.MustCompile(`^q(20\d{8})$`)
	logOut = regexp.MustCompile(`^logout(20\d{8})$`)
)

// refused are ports that the directory does not take.
var refused = []int{3306, 5432, 6379, 8080, 8888, 9200, 27017, 22122}

func (s *Server) reply(command string, conn net.Conn, course *bool) (reply string, last bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.commands = append(s.commands, command)
	if m := logIn.FindStringSubmatch(command); m != nil && m[2] == s.cfg.Password {
		port, err := strconv.Atoi(cmp.Or(m[3], strconv.Itoa(DefaultPort)))
		if err == nil && port > 1024 && port < 1<<16 && !slices.Contains(refused, port) && (m[3] == "" || !s.cfg.Course) {
			*course = m[3] == ""
			host, _, _ := net.SplitHostPort(conn.RemoteAddr().String())
			s.users[m[1]] = fmt.Sprintf("%s_%d", host, port)
			return "lol", false
		}
	}
	if m := query.FindStringSubmatch(command); m != nil {
		where, online := s.users[m[1]]
		if !online {
			return "n", false
		}
		if *course {
			where, _, _ = strings.Cut(where, "_")
		}
		return where, false
	}
	if m := logOut.FindStringSubmatch(command); m != nil {
		delete(s.users, m[1])
		return s.cfg.LogOutReply, true
	}
	return "Invalid Command!", false
}
