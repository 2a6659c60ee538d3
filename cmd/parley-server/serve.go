package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"github.com/parley-chat/parley/server"
	"github.com/parley-chat/parley/server/api"
	"github.com/parley-chat/parley/server/certificate"
	"github.com/parley-chat/parley/server/config"
)

// serveFlags are the flags of serve, which count more than the file.
type serveFlags struct {
	listen, cert, key, metrics, registration, level string
	net2019, net2019Password, net2019LogOutReply    string
}

func (a *app) serveCommand() *cobra.Command {
	var f serveFlags
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve the directory until interrupted",
		Long: `Serve the directory until interrupted.

Without --tls-cert and --tls-key, and without [acme] in the configuration, the
server makes its own certificate; give its fingerprint, printed at start, to the
people who log in, so that they can compare it.

--net2019 has it serve the protocol of 2019 too, for clients of the original. That is
not encrypted, and whoever knows the password can be anybody.

SIGHUP has it look at once for a newer certificate. SIGTERM and SIGINT end it in
order, a second one at once.`,
		Args: args(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, level, err := a.serverConfig(f)
			if err != nil {
				return err
			}
			cfg.Log = slog.New(slog.NewTextHandler(a.errs, &slog.HandlerOptions{Level: level}))
			saveMemory()
			s, err := server.New(cfg)
			if err != nil {
				return err
			}
			if err := a.started(s); err != nil {
				s.Close()
				return err
			}
			defer onHangUp(s.Reload)()
			defer notify(cmd.Context(), cfg.Log)()
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
	flags.StringVar(&f.net2019, "net2019", "", fmt.Sprintf("address and port for the protocol of 2019, NOT ENCRYPTED, such as :%d (default none)", server.DefaultNet2019Port))
	flags.StringVar(&f.net2019Password, "net2019-password", "", "the one word with which all clients of 2019 log in")
	flags.StringVar(&f.net2019LogOutReply, "net2019-logout-reply", "", "what a log-out is replied to with: loo or 100")
	if err := flags.MarkHidden("net2019-logout-reply"); err != nil {
		panic(err) // there is no such flag
	}
	return cmd
}

// onHangUp calls do at each SIGHUP until stop is called.
func onHangUp(do func()) (stop func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP)
	go func() {
		for range signals {
			do()
		}
	}()
	return func() {
		signal.Stop(signals)
		close(signals)
	}
}

// notify tells systemd, if it has started us, that the server serves, and when
// ctx ends that it is stopping.
func notify(ctx context.Context, log *slog.Logger) (stop func() bool) {
	tell := func(state string) {
		if _, err := daemon.SdNotify(false, state); err != nil {
			log.Warn("systemd was not told how the server is", "error", err)
		}
	}
	tell(daemon.SdNotifyReady)
	return context.AfterFunc(ctx, func() { tell(daemon.SdNotifyStopping) })
}

func (a *app) started(s *server.Server) error {
	object := map[string]string{"listening": s.Addr().String(), "fingerprint": s.Fingerprint()}
	text := fmt.Sprintf("listening on %s\nfingerprint %s\n", s.Addr(), s.Fingerprint())
	if m := s.MetricsAddr(); m != nil {
		object["metrics"] = m.String()
		text = fmt.Sprintf("metrics on %s\n", m) + text
	}
	if n := s.Net2019Addr(); n != nil {
		object["net2019"], object["net2019_encryption"] = n.String(), "none"
		text = fmt.Sprintf("WARNING: the protocol of 2019 is NOT ENCRYPTED; everybody on the way reads it\nnet2019 on %s, not encrypted\n", n) + text
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
	for name, addr := range map[string]string{"listen": f.listen, "metrics": f.metrics, "net2019": f.net2019} {
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
	if cfg.Net2019, err = net2019Config(f, file.Net2019); err != nil {
		return server.Config{}, 0, err
	}
	if acme := file.ACME; len(acme.Domains) > 0 && cfg.CertFile == "" {
		cfg.ACME = &certificate.ACME{Domains: acme.Domains, Email: acme.Email, HTTP: acme.HTTP, Directory: acme.Directory}
	}
	if n := file.Connections.Max; n != nil {
		cfg.MaxConnections = *n
	}
	if n := file.Connections.PerAddress; n != nil {
		cfg.MaxConnectionsPerAddress = *n
	}
	return cfg, level, nil
}

// net2019Config is nil where the protocol of 2019 is not to be served.
func net2019Config(f serveFlags, file config.Net2019) (*server.Net2019, error) {
	file.Listen, file.Password = cmp.Or(f.net2019, file.Listen), cmp.Or(f.net2019Password, file.Password)
	file.LogOutReply = cmp.Or(f.net2019LogOutReply, file.LogOutReply)
	if err := file.Check(); err != nil {
		return nil, usageError{fmt.Errorf("--net2019: %w", err)}
	}
	if file.Listen == "" {
		return nil, nil
	}
	limits := file.Limits()
	return &server.Net2019{Listen: file.Listen, Password: file.Password, LogOutReply: file.LogOutReply, Limits: &limits}, nil
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
