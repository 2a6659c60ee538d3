// Command parley-plugin-group is the process of the group plugin.
package main

import (
	"os"

	"github.com/parley-chat/parley/plugins/group"
	"github.com/parley-chat/parley/plugins/sdk"
)

func main() { os.Exit(sdk.Serve(group.New())) }
