// Command parley-plugin-emoji is the process of the emoji plugin.
package main

import (
	"os"

	"github.com/parley-chat/parley/plugins/emoji"
	"github.com/parley-chat/parley/plugins/sdk"
)

func main() { os.Exit(sdk.Serve(emoji.New())) }
