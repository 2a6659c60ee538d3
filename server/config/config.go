// Package config reads parley-server's configuration file, in TOML, and says of
// each mistake in which line it is.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/mail"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	wire "github.com/parley-chat/parley/protocol/packet/net2019"
	"github.com/parley-chat/parley/server/api"
	"github.com/parley-chat/parley/server/net2019"
)

const maxFile = 1 << 20

// Config is a configuration file. Nil and empty values are not in it.
type Config struct {
	Listen       string           `toml:"listen"`
	Metrics      string           `toml:"metrics"`
	Data         string           `toml:"data"`
	Registration api.Registration `toml:"registration"`
	LogLevel     *slog.Level      `toml:"log-level"`
	TLS          TLS              `toml:"tls"`
	ACME         ACME             `toml:"acme"`
	Net2019      Net2019          `toml:"net2019"`
	Connections  Connections      `toml:"connections"`
	Limits       Limits           `toml:"limits"`
}

// TLS names the files of the certificate.
type TLS struct {
	Cert string `toml:"cert"`
	Key  string `toml:"key"`
}

// ACME names the authority that gives the certificate, and for what.
type ACME struct {
	Domains   []string `toml:"domains"`
	Email     string   `toml:"email"`
	HTTP      string   `toml:"http"`
	Directory string   `toml:"directory"`
}

// Net2019 says where the protocol of 2019 is served.
type Net2019 struct {
	Listen      string `toml:"listen"`
	Password    string `toml:"password"`
	LogOutReply string `toml:"logout-reply"`
	LogIn       *Limit `toml:"log-in"`
	Command     *Limit `toml:"command"`
}

// Connections are at most so many, in all and from one address.
type Connections struct {
	Max        *int `toml:"max"`
	PerAddress *int `toml:"per-address"`
}

// Limits are those of api.Limits.
type Limits struct {
	Register       *Limit `toml:"register"`
	LogInAddress   *Limit `toml:"log-in-address"`
	LogInAccount   *Limit `toml:"log-in-account"`
	ChangePassword *Limit `toml:"change-password"`
	SetProfile     *Limit `toml:"set-profile"`
	LookUp         *Limit `toml:"look-up"`
	Deliver        *Limit `toml:"deliver"`
	Session        *Limit `toml:"session"`
	Message        *Limit `toml:"message"`
}

// Limit is burst at once, then one more each every.
type Limit struct {
	Burst int      `toml:"burst"`
	Every Duration `toml:"every"`
}

// Duration is written "1m30s".
type Duration time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err != nil {
		return fmt.Errorf("%q is no duration; write \"90s\" or \"1m30s\"", b)
	}
	*d = Duration(v)
	return nil
}

// Load reads a file. Its errors name the file and the line.
func Load(path string) (Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return Config{}, fmt.Errorf("read the configuration: %w", err)
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return Config{}, fmt.Errorf("read the configuration %s: %w", path, err)
	}
	if len(b) > maxFile {
		return Config{}, fmt.Errorf("%s: a configuration has at most %d KiB", path, maxFile>>10)
	}
	return parse(path, b)
}

func parse(path string, b []byte) (Config, error) {
	var c Config
	d := toml.NewDecoder(bytes.NewReader(b)).DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		return Config{}, located(path, err)
	}
	var all []error
	for _, p := range c.problems() {
		all = append(all, fmt.Errorf("%s:%d: %s: %s", path, lineOf(b, p.key), p.key, p.text))
	}
	return c, errors.Join(all...)
}

// located puts the file and the line before what the decoder says.
func located(path string, err error) error {
	var unknown *toml.StrictMissingError
	if errors.As(err, &unknown) {
		var all []error
		for _, e := range unknown.Errors {
			line, _ := e.Position()
			all = append(all, fmt.Errorf("%s:%d: there is no setting %s", path, line, strings.Join(e.Key(), ".")))
		}
		return errors.Join(all...)
	}
	var bad *toml.DecodeError
	if errors.As(err, &bad) {
		line, _ := bad.Position()
		text := strings.TrimPrefix(bad.Error(), "toml: ")
		if key := strings.Join(bad.Key(), "."); key != "" {
			text = key + ": " + text
		}
		return fmt.Errorf("%s:%d: %s", path, line, text)
	}
	return fmt.Errorf("%s: %w", path, err)
}

type problem struct{ key, text string }

// problems are what is well written and cannot be meant so.
func (c *Config) problems() (all []problem) {
	say := func(key, format string, args ...any) { all = append(all, problem{key, fmt.Sprintf(format, args...)}) }
	for _, a := range []struct{ key, addr string }{{"listen", c.Listen}, {"metrics", c.Metrics}, {"acme.http", c.ACME.HTTP}, {"net2019.listen", c.Net2019.Listen}} {
		if a.addr != "" {
			if err := CheckAddress(a.addr); err != nil {
				say(a.key, "%v", err)
			}
		}
	}
	if c.Registration != "" {
		// The decoder takes a string for a string, without asking it.
		if err := new(api.Registration).UnmarshalText([]byte(c.Registration)); err != nil {
			say("registration", "%v", err)
		}
	}
	if (c.TLS.Cert == "") != (c.TLS.Key == "") {
		say("tls", "a certificate needs its key, and a key its certificate: give both or none")
	}
	c.ACME.problems(say)
	c.Net2019.problems(say)
	if c.TLS.Cert != "" && len(c.ACME.Domains) > 0 {
		say("acme", "the certificate is either in files or given by an authority: remove [tls] or [acme]")
	}
	for _, n := range []struct {
		key   string
		value *int
	}{{"connections.max", c.Connections.Max}, {"connections.per-address", c.Connections.PerAddress}} {
		if n.value != nil && *n.value < 1 {
			say(n.key, "%d is less than 1", *n.value)
		}
	}
	for _, l := range c.Limits.all(&api.Limits{}) {
		l.problems("limits.", say)
	}
	for _, l := range c.Net2019.limits(&net2019.Limits{}) {
		l.problems("net2019.", say)
	}
	return all
}

func (l limitOf) problems(table string, say func(key, format string, args ...any)) {
	if l.from == nil {
		return
	}
	if l.from.Burst < 0 {
		say(table+l.key+".burst", "%d is less than 0; 0 means no limit", l.from.Burst)
	}
	if l.from.Burst > 0 && l.from.Every <= 0 {
		say(table+l.key+".every", "a limit needs how long until one more is let through, such as \"10s\"")
	}
}

func (n *Net2019) problems(say func(key, format string, args ...any)) {
	if err := n.Check(); err != nil {
		say("net2019", "%v", err)
	}
}

// Check says whether the protocol of 2019 can be served so, or is not to be served.
func (n *Net2019) Check() error {
	if (n.Listen == "") != (n.Password == "") {
		return errors.New("the protocol of 2019 needs an address to listen on and a password, the one word with which its clients log in: give both or none")
	}
	if n.LogOutReply != "" {
		if err := wire.CheckLogOutReply(n.LogOutReply); err != nil {
			return err
		}
	}
	if n.Password == "" {
		return nil
	}
	return wire.CheckPassword(n.Password)
}

const maxDomains = 100 // of one certificate; Let's Encrypt's own bound

var domainPattern = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

func (a *ACME) problems(say func(key, format string, args ...any)) {
	switch n := len(a.Domains); {
	case n == 0 && (a.Email != "" || a.HTTP != "" || a.Directory != ""):
		say("acme.domains", "say for which names the certificate is, such as [\"directory.example.org\"]")
	case n > maxDomains:
		say("acme.domains", "%d names; a certificate is for at most %d", n, maxDomains)
	}
	for _, name := range a.Domains {
		if _, err := netip.ParseAddr(name); err == nil || len(name) > 253 || !domainPattern.MatchString(name) {
			say("acme.domains", "%.100q is no host name; write it in lower case, as in DNS, without a port", name)
		}
	}
	if a.Email != "" {
		if parsed, err := mail.ParseAddress(a.Email); err != nil || parsed.Address != a.Email {
			say("acme.email", "%.100q is no e-mail address", a.Email)
		}
	}
	if a.Directory != "" {
		if u, err := url.Parse(a.Directory); err != nil || u.Scheme != "https" || u.Host == "" {
			say("acme.directory", "%.100q is no https address of an ACME directory", a.Directory)
		}
	}
}

// CheckAddress says whether an address is "host:port" or ":port".
func CheckAddress(addr string) error {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("%q is no address; write \"host:port\", or \":port\" for all addresses", addr)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("%q is no port; it is 0 to 65535", port)
	}
	return nil
}

type limitOf struct {
	key  string
	from *Limit
	to   *api.Limit
}

func (l *Limits) all(to *api.Limits) []limitOf {
	return []limitOf{
		{"register", l.Register, &to.Register}, {"log-in-address", l.LogInAddress, &to.LogInAddress},
		{"log-in-account", l.LogInAccount, &to.LogInAccount}, {"change-password", l.ChangePassword, &to.ChangePassword},
		{"set-profile", l.SetProfile, &to.SetProfile}, {"look-up", l.LookUp, &to.LookUp}, {"deliver", l.Deliver, &to.Deliver},
		{"session", l.Session, &to.Session}, {"message", l.Message, &to.Message},
	}
}

func (n *Net2019) limits(to *net2019.Limits) []limitOf {
	return []limitOf{{"log-in", n.LogIn, &to.LogIn}, {"command", n.Command, &to.Command}}
}

// Limits gives the limits, with the defaults for those that are not set.
func (n *Net2019) Limits() net2019.Limits {
	limits := net2019.DefaultLimits()
	set(n.limits(&limits))
	return limits
}

// set copies the limits that are set.
func set(limits []limitOf) {
	for _, l := range limits {
		if l.from != nil {
			*l.to = api.Limit{Burst: l.from.Burst, Every: time.Duration(l.from.Every)}
		}
	}
}

// API gives the limits, with the defaults for those that are not set.
func (l *Limits) API() api.Limits {
	limits := api.DefaultLimits()
	set(l.all(&limits))
	return limits
}

// lineOf gives the line of a dotted key, or of what it is in.
func lineOf(b []byte, key string) int {
	var p unstable.Parser
	p.Reset(b)
	line, longest, table := 1, 0, ""
	for p.NextExpression() {
		e := p.Expression()
		if e.Kind != unstable.Table && e.Kind != unstable.KeyValue {
			continue
		}
		var parts []string
		at := 0
		for it := e.Key(); it.Next(); {
			if at == 0 {
				at = p.Shape(it.Node().Raw).Start.Line
			}
			parts = append(parts, string(it.Node().Data))
		}
		name := strings.Join(parts, ".")
		if e.Kind == unstable.Table {
			table = name + "."
		} else {
			name = strings.TrimPrefix(table+name, ".")
		}
		if len(name) > longest && (key == name || strings.HasPrefix(key, name+".")) {
			line, longest = at, len(name)
		}
	}
	return line
}
