package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// examples has the plugins of examples/ as their authors would publish them:
// version 1.0.0 in the folder 1, version 1.1.0 in the folder 2. The one in Python
// is missing where that cannot be built.
var examples string

// buildExamples builds them; remove is never nil.
func buildExamples() (remove func(), err error) {
	examples, err = os.MkdirTemp("", "parley-examples-")
	if err != nil {
		return func() {}, err
	}
	remove = func() { _ = os.RemoveAll(examples) }
	for folder, version := range map[string]string{"1": "1.0.0", "2": "1.1.0"} {
		out := filepath.Join(examples, folder)
		poll := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -X example.org/poll.Version="+version, "-o", out+"/", "./parley-plugin-poll")
		poll.Dir, poll.Env = "../../examples/poll", append(os.Environ(), "CGO_ENABLED=0")
		if said, err := poll.CombinedOutput(); err != nil {
			return remove, fmt.Errorf("build examples/poll: %w\n%s", err, said)
		}
		if !pythonGRPC() {
			continue
		}
		if err := buildEcho(version, out); err != nil {
			return remove, err
		}
	}
	return remove, nil
}

// buildEcho builds the plugin in Python from a copy of its sources.
func buildEcho(version, out string) error {
	source := filepath.Join(examples, "echo-"+version)
	if err := os.CopyFS(source, os.DirFS("../../examples/echo-py")); err != nil {
		return err
	}
	path := filepath.Join(source, "src", "echo.py")
	feature, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	feature = bytes.Replace(feature, []byte(`version="1.0.0"`), fmt.Appendf(nil, `version="%s"`, version), 1)
	if err := os.WriteFile(path, feature, 0o600); err != nil {
		return err
	}
	proto, err := filepath.Abs("../../protocol/pluginpb")
	if err != nil {
		return err
	}
	build := exec.Command(filepath.Join(source, "build.sh"), out)
	build.Env = append(os.Environ(), "PROTO_DIR="+proto)
	if said, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build examples/echo-py: %w\n%s", err, said)
	}
	return nil
}

func pythonGRPC() bool {
	return exec.Command("/usr/bin/python3", "-c", "import grpc, google.protobuf").Run() == nil
}
