package main

import (
	"cmp"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/parley-chat/parley/server"
	"github.com/parley-chat/parley/server/api"
	"github.com/parley-chat/parley/server/config"
)

// serveFlags are the flags of serve, which count more than the file.
type serveFlags struct {
	listen, cert, key, metrics, registration, level string
}

func (a *app) serveCommand() *cobra.Command {
	var f serveFlags
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve the directory until interrupted",
		Long: "Serve the directory until interrupted.\n\nWithout --tls-cert and --tls-key the server makes its own certificate; " +
			"give its fingerprint, printed at start, to the people who log in, so that they can compare it.",
		Args: args(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, level, err := a.serverConfig(f)
			if err != nil {
				return err
			}
			cfg.Log = slog.New(slog.NewTextHandler(a.errs, &slog.HandlerOptions{Level: level}))
			s, err := server.New(cfg)
			if err != nil {
				return err
			}
			if err := a.started(s); err != nil {
				s.Close()
				return err
			}
			return s.Serve(cmd.Context())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.listen, "listen", "", fmt.Sprintf("address and port to listen on (default :%d)", server.DefaultPort))
	flags.StringVar(&f.metrics, "metrics", "", "address and port for metrics and health, for the operator only (default none)")
	flags.StringVar(&f.registration, "registration", "", "who may make an account: open, invite or closed (default open)")
	flags.StringVar(&f.cert, "tls-cert", "", "PEM file with the TLS certificate and its chain")
	flags.StringVar(&f.key, "tls-key", "", "PEM file with the certificate's key")
	flags.StringVar(&f.level, "log-level", "", "debug, info, warn or error (default info)")
	return cmd
}

func (a *app) started(s *server.Server) error {
	object := map[string]string{"listening": s.Addr().String(), "fingerprint": s.Fingerprint()}
	text := fmt.Sprintf("listening on %s\nfingerprint %s\n", s.Addr(), s.Fingerprint())
	if m := s.MetricsAddr(); m != nil {
		object["metrics"] = m.String()
		text = fmt.Sprintf("metrics on %s\n", m) + text
	}
	return a.show(object, "%s", text)
}

// serverConfig joins flags, file and defaults, in this order.
func (a *app) serverConfig(f serveFlags) (server.Config, slog.Level, error) {
	file, err := a.settings()
	if err != nil {
		return server.Config{}, 0, err
	}
	level, err := logLevel(f.level, file)
	if err != nil {
		return server.Config{}, 0, err
	}
	registration := file.Registration
	if f.registration != "" {
		if err := registration.UnmarshalText([]byte(f.registration)); err != nil {
			return server.Config{}, 0, usagef("--registration: %w", err)
		}
	}
	for name, addr := range map[string]string{"listen": f.listen, "metrics": f.metrics} {
		if addr == "" {
			continue
		}
		if err := config.CheckAddress(addr); err != nil {
			return server.Config{}, 0, usagef("--%s: %w", name, err)
		}
	}
	data, err := a.folder()
	if err != nil {
		return server.Config{}, 0, err
	}
	if (f.cert == "") != (f.key == "") {
		return server.Config{}, 0, usagef("--tls-cert needs --tls-key, and the other way round")
	}
	limits := file.Limits.API()
	cfg := server.Config{
		Listen: cmp.Or(f.listen, file.Listen, fmt.Sprintf(":%d", server.DefaultPort)), Data: data,
		Metrics:  cmp.Or(f.metrics, file.Metrics),
		CertFile: cmp.Or(f.cert, file.TLS.Cert), KeyFile: cmp.Or(f.key, file.TLS.Key),
		Registration: cmp.Or(registration, api.RegistrationOpen), Limits: &limits,
	}
	if n := file.Connections.Max; n != nil {
		cfg.MaxConnections = *n
	}
	if n := file.Connections.PerAddress; n != nil {
		cfg.MaxConnectionsPerAddress = *n
	}
	return cfg, level, nil
}

func logLevel(flag string, file config.Config) (slog.Level, error) {
	var level slog.Level
	if flag != "" {
		if err := level.UnmarshalText([]byte(flag)); err != nil {
			return 0, usagef("--log-level %q: debug, info, warn or error", flag)
		}
	} else if file.LogLevel != nil {
		level = *file.LogLevel
	}
	return level, nil
}
