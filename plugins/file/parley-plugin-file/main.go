// Command parley-plugin-file is the process of the file plugin.
package main

import (
	"os"

	"github.com/parley-chat/parley/plugins/file"
	"github.com/parley-chat/parley/plugins/sdk"
)

func main() { os.Exit(sdk.Serve(file.New())) }
