package config

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/parley-chat/parley/server/api"
	"github.com/parley-chat/parley/server/net2019"
)

func load(t *testing.T, text string) (Config, string, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "server.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(path)
	return c, path, err
}

func TestLoad(t *testing.T) {
	c, _, err := load(t, `
listen = ":7410"
data = "/var/lib/parley"
registration = "invite"
log-level = "debug"
metrics = "127.0.0.1:7411"

[tls]
cert = "cert.pem"
key = "key.pem"

[connections]
max = 5

[net2019]
listen = ":10000"
password = "net2019"
logout-reply = "100"
log-in = { burst = 3, every = "1m" }

[limits]
look-up = { burst = 7, every = "3s" }
[limits.register]
burst = 0
`)
	if err != nil {
		t.Fatal(err)
	}
	limits := c.Limits.API()
	if c.Listen != ":7410" || c.Registration != api.RegistrationInvite || *c.LogLevel != slog.LevelDebug || c.TLS.Key != "key.pem" ||
		*c.Connections.Max != 5 || c.Connections.PerAddress != nil ||
		limits.LookUp != (api.Limit{Burst: 7, Every: 3 * time.Second}) || limits.Register.Burst != 0 || limits.Deliver != api.DefaultLimits().Deliver {
		t.Errorf("%+v, %+v", c, limits)
	}
	old := c.Net2019.Limits()
	if c.Net2019.Listen != ":10000" || c.Net2019.Password != "net2019" || c.Net2019.LogOutReply != "100" ||
		old.LogIn != (api.Limit{Burst: 3, Every: time.Minute}) || old.Command != net2019.DefaultLimits().Command {
		t.Errorf("%+v, %+v", c.Net2019, old)
	}
	if c, _, err := load(t, ""); err != nil || c.Net2019.Check() != nil || c.Net2019.Limits() != net2019.DefaultLimits() || c.Limits.API() != api.DefaultLimits() {
		t.Errorf("an empty file: %+v, %v", c, err)
	}
}

// Each mistake is told with its file and line, and with what is wrong.
func TestMistakes(t *testing.T) {
	tests := []struct {
		name, text string
		line       string
		says       string
	}{
		{"not TOML", "listen = \":1\"\nthis is not", ":2: ", ""},
		{"unknown setting", "\n\nlisen = \":1\"", ":3: ", "there is no setting lisen"},
		{"unknown in a table", "[tls]\ncret = \"x\"", ":2: ", "tls.cret"},
		{"wrong type", "\nlisten = 5", ":2: ", "listen"},
		{"registration", "\n\n\nregistration = \"maybe\"", ":4: ", "open, invite or closed"},
		{"log level", "log-level = \"loud\"", ":1: ", "loud"},
		{"duration", "[limits.deliver]\nburst = 1\nevery = \"soon\"", ":3: ", "is no duration"},
		{"address", "\nlisten = \"7410\"", ":2: ", "host:port"},
		{"port", "metrics = \"localhost:http2\"", ":1: ", "is no port"},
		{"key without certificate", "\n[tls]\nkey = \"x\"", ":2: ", "give both or none"},
		{"no connections", "[connections]\n\nmax = 0", ":3: ", "less than 1"},
		{"negative burst", "[limits]\nsession = { burst = -1, every = \"1s\" }", ":2: ", "less than 0"},
		{"limit without end", "[limits]\nlook-up.burst = 3", ":", "look-up.every"},
		{"files and authority", "[tls]\ncert = \"a\"\nkey = \"b\"\n[acme]\ndomains = [\"a.example\"]", ":4: ", "remove [tls] or [acme]"},
		{"authority for nothing", "[acme]\nemail = \"ops@example.org\"", ":1: ", "for which names"},
		{"name with a port", "[acme]\ndomains = [\n\"a.example:7410\"]", ":2: ", "is no host name"},
		{"address for a name", "[acme]\ndomains = [\"192.0.2.1\"]", ":2: ", "is no host name"},
		{"wildcard", "[acme]\ndomains = [\"*.example.org\"]", ":2: ", "is no host name"},
		{"e-mail", "[acme]\ndomains = [\"a.example\"]\nemail = \"nobody\"", ":3: ", "is no e-mail address"},
		{"authority without TLS", "[acme]\ndomains = [\"a.example\"]\ndirectory = \"http://a.example\"", ":3: ", "is no https address"},
		{"port of the questions", "[acme]\ndomains = [\"a.example\"]\nhttp = \"80\"", ":3: ", "host:port"},
		{"2019 without a password", "\n[net2019]\nlisten = \":10000\"", ":2: ", "give both or none"},
		{"2019 without an address", "[net2019]\npassword = \"x\"", ":1: ", "give both or none"},
		{"two words of 2019", "[net2019]\nlisten = \":10000\"\npassword = \"two words\"", ":1: ", "without spaces"},
		{"address of 2019", "[net2019]\npassword = \"x\"\nlisten = \"10000\"", ":3: ", "host:port"},
		{"a reply of 2019", "[net2019]\nlogout-reply = \"bye\"", ":1: ", "loo"},
		{"a limit of 2019", "[net2019]\ncommand.burst = 3", ":", "net2019.command.every"},
		{"twice", "listen = \":1\"\nlisten = \":2\"", ":2: ", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, path, err := load(t, tt.text)
			if err == nil || !strings.HasPrefix(err.Error(), path+tt.line) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%v", err)
			}
		})
	}
	if _, err := Load("/nowhere/server.toml"); err == nil || !strings.Contains(err.Error(), "/nowhere/server.toml") {
		t.Errorf("no file: %v", err)
	}
}

// The guide says what the limits are.
func TestDocumentedLimits(t *testing.T) {
	guide, err := os.ReadFile("../../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(guide), "```toml\n[limits]\n")
	shown, _, found := strings.Cut(after, "```")
	c, _, err := load(t, "[limits]\n"+shown)
	if err != nil || !found {
		t.Fatalf("the guide shows no limits: %v", err)
	}
	for _, l := range c.Limits.all(&api.Limits{}) {
		if l.from == nil {
			t.Errorf("%s is not in the guide", l.key)
		}
	}
	_, after, _ = strings.Cut(string(guide), "```toml\n[net2019]\n")
	shown, _, found = strings.Cut(after, "```")
	old, _, err := load(t, "[net2019]\n"+shown)
	if err != nil || !found {
		t.Fatalf("the guide shows nothing of 2019: %v", err)
	}
	for _, l := range old.Net2019.limits(&net2019.Limits{}) {
		if l.from == nil {
			t.Errorf("net2019.%s is not in the guide", l.key)
		}
	}
	if got := old.Net2019.Limits(); got != net2019.DefaultLimits() {
		t.Errorf("the guide has %+v, want %+v", got, net2019.DefaultLimits())
	}
	if got := c.Limits.API(); got != api.DefaultLimits() {
		t.Errorf("the guide has %+v, want %+v", got, api.DefaultLimits())
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("[limits]\nlook-up = { burst = 7, every = \"3s\" }"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := parse("f", b); err != nil && !strings.HasPrefix(err.Error(), "f:") {
			t.Errorf("no line: %v", err)
		}
	})
}
