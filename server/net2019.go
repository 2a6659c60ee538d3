package server

import (
	"net"

	wire "github.com/parley-chat/parley/protocol/packet/net2019"
	"github.com/parley-chat/parley/server/net2019"
)

// DefaultNet2019Port is where clients of the original look for a directory.
const DefaultNet2019Port = wire.DirectoryPort

// Net2019 says where the protocol of 2019 is served, for clients of the original.
// It is not encrypted, and who knows its one password can be anybody.
type Net2019 struct {
	// Listen is "host:port".
	Listen string
	// Password is the word with which clients log in.
	Password string
	// LogOutReply is what a log-out is replied to with: "loo", which empty means, or
	// "100".
	LogOutReply string
	// Limits nil means net2019.DefaultLimits.
	Limits *net2019.Limits
}

// openNet2019 takes the port of the protocol of 2019, and gives who is online there;
// nil when it is not served.
func (s *Server) openNet2019(cfg Config, crowd *crowd) (*net2019.Registry, error) {
	if cfg.Net2019 == nil {
		return nil, nil
	}
	registry, limits := net2019.NewRegistry(), net2019.DefaultLimits()
	if cfg.Net2019.Limits != nil {
		limits = *cfg.Net2019.Limits
	}
	var err error
	s.net2019, err = net2019.New(net2019.Config{
		Registry: registry, Password: cfg.Net2019.Password, LogOutReply: cfg.Net2019.LogOutReply, Limits: limits, Log: cfg.Log,
	})
	if err != nil {
		return nil, err
	}
	s.net2019Listener, err = listen(net2019.ListenConfig(), cfg.Net2019.Listen, crowd)
	return registry, err
}

// Net2019Addr is where the protocol of 2019 is served, or nil.
func (s *Server) Net2019Addr() net.Addr {
	if s.net2019Listener == nil {
		return nil
	}
	return s.net2019Listener.Addr()
}
