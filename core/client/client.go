package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// ErrNotRunning says that no core runs for the profile.
var ErrNotRunning = errors.New("parley is not running")

// Client is a connection to a core. It is safe for concurrent use.
type Client struct {
	controlpb.ControlClient
	conn *grpc.ClientConn
}

// maxMessage bounds one answer of the core: a page of 500 messages of the
// largest size.
const maxMessage = 128 << 20

// Connect connects to the core of a profile; ErrNotRunning when there is none.
func Connect(ctx context.Context, f Folders) (*Client, error) {
	socket := f.Socket()
	// gRPC would try again for long: ask once and plainly whether anybody is there.
	probe, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "unix", socket)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
			return nil, fmt.Errorf("profile %s: %w", f.Profile, ErrNotRunning)
		}
		if errors.Is(err, syscall.ENOTDIR) {
			if err := f.Make(); err != nil {
				return nil, err
			}
		}
		return nil, fmt.Errorf("connect to parley at %s: %w", socket, err)
	}
	_ = probe.Close()
	conn, err := grpc.NewClient("passthrough:///parley",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)),
	)
	if err != nil {
		return nil, fmt.Errorf("connect to parley at %s: %w", socket, err)
	}
	return &Client{ControlClient: controlpb.NewControlClient(conn), conn: conn}, nil
}

// Ended says whether no core of a profile runs: none answers, and one that did has
// let go of its files.
func Ended(ctx context.Context, f Folders) (bool, error) {
	c, err := Connect(ctx, f)
	if err == nil {
		return false, c.Close()
	}
	if !errors.Is(err, ErrNotRunning) {
		return false, err
	}
	file, err := os.Open(f.Lock())
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("open the profile's lock: %w", err)
	}
	defer func() { _ = file.Close() }()
	// A core holds it until it has closed all else. Shared, so that two who ask do
	// not take each other for one.
	err = unix.Flock(int(file.Fd()), unix.LOCK_SH|unix.LOCK_NB) //nolint:gosec // a file's descriptor is small
	if errors.Is(err, unix.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}

// Close ends the connection. Idempotent.
func (c *Client) Close() error {
	if err := c.conn.Close(); err != nil && status.Code(err) != codes.Canceled { // it was closed before
		return fmt.Errorf("close connection to parley: %w", err)
	}
	return nil
}

// NewInvocation makes an id for an Invoke. Whoever repeats an Invoke because
// its answer did not come repeats the id.
func NewInvocation() []byte {
	id := uuid.Must(uuid.NewV7())
	return id[:]
}

// InvokeAction runs a plugin's action and gives its result. update, which may
// be nil, gets what the plugin shows meanwhile.
func (c *Client) InvokeAction(ctx context.Context, plugin string, req *pluginpb.InvokeRequest, update func(*pluginpb.InvokeUpdate)) (*controlpb.InvokeResult, error) {
	stream, err := c.Invoke(ctx, &controlpb.InvokeRequest{Plugin: plugin, Request: req})
	if err != nil {
		return nil, err
	}
	for {
		resp, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("plugin %s gave no result for %q", plugin, req.GetAction())
		}
		if err != nil {
			return nil, err
		}
		if result := resp.GetResult(); result != nil {
			return result, nil
		}
		if u := resp.GetUpdate(); u != nil && update != nil {
			update(u)
		}
	}
}

// Info gives the reason of an error, with its domain: "parley" for the core's own,
// "directory" for what the directory said, else the name of the plugin that failed.
// What it says of names and numbers may come from others. nil when it has none.
func Info(err error) *errdetails.ErrorInfo {
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			return info
		}
	}
	return nil
}

// Reason gives the reason of an error of the core itself, such as "NO_ACCOUNT",
// "LOCKED" or "OTHER_DEVICE"; empty when it has none.
func Reason(err error) string {
	if info := Info(err); info.GetDomain() == "parley" {
		return info.GetReason()
	}
	return ""
}

// Message gives the sentence of an error of the core, without gRPC's prefix.
func Message(err error) string {
	if s, ok := status.FromError(err); ok {
		return s.Message()
	}
	return err.Error()
}
