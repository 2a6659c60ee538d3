package sdk_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/parley-chat/parley/plugins/sdk"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// processPlugin is what the test binary serves when it runs as a plugin.
func processPlugin(string) sdk.Plugin {
	return &feature{handle: func(_ context.Context, p sdk.Packet) ([]sdk.Effect, error) {
		if string(p.Content) == "panic" {
			panic("poisoned packet")
		}
		return nil, nil
	}}
}

// child is the test binary as a plugin process, spoken to without go-plugin's
// help.
type child struct {
	cmd     *exec.Cmd
	stdin   io.Closer
	stderr  *strings.Builder
	conn    *grpc.ClientConn
	session pluginpb.Plugin_SessionClient
}

func startChild(t *testing.T) *child {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	c := &child{cmd: exec.CommandContext(ctx, os.Args[0]), stderr: &strings.Builder{}} //nolint:gosec // this test
	c.cmd.Env = append(os.Environ(), "SDK_TEST_PLUGIN=1", "PARLEY_PLUGIN=parley", "PLUGIN_PROTOCOL_VERSIONS=1", "PLUGIN_UNIX_SOCKET_DIR="+t.TempDir())
	c.cmd.Stderr = c.stderr
	stdin, err := c.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.stdin = stdin
	stdout, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatalf("handshake: %v", err)
	}
	parts := strings.Split(strings.TrimSpace(line), "|")
	if len(parts) < 5 || strings.Join(parts[:3], "|") != "1|1|unix" || parts[4] != "grpc" {
		t.Fatalf("handshake line %q", line)
	}
	if c.conn, err = grpc.NewClient("unix:"+parts[3], grpc.WithTransportCredentials(insecure.NewCredentials())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.conn.Close() })
	if c.session, err = pluginpb.NewPluginClient(c.conn).Session(ctx); err != nil {
		t.Fatal(err)
	}
	c.ask(t, &pluginpb.HookRequest{Id: 1, Hook: &pluginpb.HookRequest_Start{Start: &pluginpb.StartRequest{}}})
	return c
}

func (c *child) ask(t *testing.T, r *pluginpb.HookRequest) {
	t.Helper()
	if err := c.session.Send(&pluginpb.CoreMessage{Requests: []*pluginpb.HookRequest{r}}); err != nil {
		t.Fatal(err)
	}
	if m, err := c.session.Recv(); err != nil || len(m.GetResponses()) != 1 || m.GetResponses()[0].GetError() != nil {
		t.Fatalf("answer %v, %v", m, err)
	}
}

func TestProcessEnds(t *testing.T) {
	for _, c := range []struct {
		name string
		by   func(t *testing.T, c *child)
	}{
		{"when its input closes", func(_ *testing.T, c *child) { _ = c.stdin.Close() }},
		{"when the stream ends", func(_ *testing.T, c *child) { _ = c.session.CloseSend() }},
		{"when the connection ends", func(_ *testing.T, c *child) { _ = c.conn.Close() }},
		{"when it is stopped", func(t *testing.T, c *child) {
			r := stop()
			r.Id = 2
			c.ask(t, r)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := startChild(t)
			c.by(t, p)
			if err := p.cmd.Wait(); err != nil {
				t.Errorf("%v\n%s", err, p.stderr)
			}
		})
	}
}

func TestPanicEndsTheProcess(t *testing.T) {
	p := startChild(t)
	r := handle(chatA, "panic")
	r.Id = 2
	if err := p.session.Send(&pluginpb.CoreMessage{Requests: []*pluginpb.HookRequest{r}}); err != nil {
		t.Fatal(err)
	}
	if m, err := p.session.Recv(); err == nil {
		t.Errorf("answered %v", m)
	}
	var exit *exec.ExitError
	if err := p.cmd.Wait(); !errors.As(err, &exit) || !strings.Contains(p.stderr.String(), "poisoned packet") {
		t.Errorf("%v\n%s", err, p.stderr)
	}
}

func TestStartedByHand(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0]) //nolint:gosec // this test
	cmd.Env = append(os.Environ(), "SDK_TEST_PLUGIN=1")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "parley-plugin-test 1.0.0, a plugin of Parley") {
		t.Errorf("%v\n%s", err, out)
	}
}
