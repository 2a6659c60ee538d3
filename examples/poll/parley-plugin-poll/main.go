// Command parley-plugin-poll is the process of the poll plugin.
package main

import (
	"os"

	"example.org/poll"
	"github.com/parley-chat/parley/plugins/sdk"
)

func main() { os.Exit(sdk.Serve(poll.New())) }
