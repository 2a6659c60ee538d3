// Command parley-plugin-text is the process of the text plugin.
package main

import (
	"os"

	"github.com/parley-chat/parley/plugins/sdk"
	"github.com/parley-chat/parley/plugins/text"
)

func main() { os.Exit(sdk.Serve(text.New())) }
