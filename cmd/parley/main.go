// Command parley is the command line of Parley and its headless core. It is a
// client of the core like every other front end, but for `parley daemon`, which
// is the core.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Exit statuses.
const (
	exitFailure = 1
	exitUsage   = 2
)

func main() {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // nohup
		signals = append(signals, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), signals...)
	// A second signal ends the process at once.
	context.AfterFunc(ctx, stop)
	code := run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// run runs one command and gives its exit status.
func run(ctx context.Context, args []string) int {
	a := &app{in: os.Stdin, out: os.Stdout, errs: os.Stderr}
	root := a.rootCommand()
	root.SetArgs(args)
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.errs)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	if text := sentence(err); text != "" {
		_, _ = fmt.Fprintln(a.errs, "parley: "+text)
	}
	var usage usageError
	// The commands that cobra brings check their own arguments, and the core what
	// only it can check.
	if errors.As(err, &usage) || strings.HasPrefix(err.Error(), "unknown command ") || status.Code(err) == codes.InvalidArgument {
		return exitUsage
	}
	return exitFailure
}
