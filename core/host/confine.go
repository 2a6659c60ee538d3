package host

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/parley-chat/parley/protocol/pluginpb"
)

// sandbox runs plugins that did not come with the installation under
// bubblewrap. They see system libraries, their own file, their two folders and
// the folder of their socket; not the home folder, not other processes, not the
// session bus, and no network unless the manifest says so.
type sandbox struct {
	bwrap string // empty: none that works
	why   string
}

// probeSandbox finds out whether bubblewrap works here, by running it.
func probeSandbox(path string) sandbox {
	if path == NoSandbox {
		return sandbox{why: "confinement is switched off"}
	}
	if path == "" {
		found, err := exec.LookPath("bwrap")
		if err != nil {
			return sandbox{why: "bubblewrap is not installed"}
		}
		path = found
	}
	truth, err := exec.LookPath("true")
	if err != nil {
		return sandbox{why: "bubblewrap could not be tried"}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	try := append(systemView(), "--unshare-net", "--size", "4096", "--tmpfs", "/tmp", truth)
	cmd := exec.CommandContext(ctx, path, try...) //nolint:gosec // the configured bwrap
	// It forks: killed while it sets things up, its child would wait for ever.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		return sandbox{why: fmt.Sprintf("bubblewrap does not work here: %v: %.200s", err, clean(string(out)))}
	}
	return sandbox{bwrap: path}
}

func (s sandbox) works() bool { return s.bwrap != "" }

// systemView is what every confined plugin gets.
func systemView() []string {
	args := []string{
		"--unshare-user-try", "--unshare-ipc", "--unshare-pid", "--unshare-uts", "--unshare-cgroup-try",
		"--cap-drop", "ALL", "--die-with-parent", "--new-session",
		"--ro-bind", "/usr", "/usr",
	}
	for _, dir := range []string{"/bin", "/sbin", "/lib", "/lib32", "/lib64"} {
		info, err := os.Lstat(dir)
		switch {
		case err != nil:
		case info.Mode()&os.ModeSymlink != 0:
			if target, err := os.Readlink(dir); err == nil {
				args = append(args, "--symlink", target, dir)
			}
		case info.IsDir():
			args = append(args, "--ro-bind", dir, dir)
		}
	}
	for _, path := range []string{"/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime", "/etc/fonts"} {
		args = append(args, "--ro-bind-try", path, path)
	}
	return append(args, "--proc", "/proc", "--dev", "/dev")
}

// view is what one confined plugin sees of the machine.
type view struct {
	path          string // of the plugin; its content is that of descriptor 3
	folders       []string
	capabilities  []pluginpb.Capability
	runtimeFolder string // XDG_RUNTIME_DIR, for sound
	scratch       int64  // bytes of its /tmp
}

// command gives the arguments to run the plugin with.
func (s sandbox) command(v view) []string {
	args := append([]string{s.bwrap}, systemView()...)
	args = append(args, barrierArguments()...)
	// What lies in memory is bounded too.
	for _, folder := range []string{"/tmp", "/dev/shm"} {
		args = append(args, "--size", strconv.FormatInt(v.scratch, 10), "--tmpfs", folder)
	}
	has := func(c pluginpb.Capability) bool { return slices.Contains(v.capabilities, c) }
	if has(pluginpb.Capability_CAPABILITY_NETWORK) {
		for _, path := range []string{"/etc/ssl", "/etc/ca-certificates", "/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/services"} {
			args = append(args, "--ro-bind-try", path, path)
		}
	} else {
		args = append(args, "--unshare-net")
	}
	if has(pluginpb.Capability_CAPABILITY_MICROPHONE) && v.runtimeFolder != "" {
		for _, name := range []string{"pulse/native", "pipewire-0"} {
			path := filepath.Join(v.runtimeFolder, name)
			args = append(args, "--ro-bind-try", path, path)
		}
	}
	if has(pluginpb.Capability_CAPABILITY_CAMERA) {
		cameras, _ := filepath.Glob("/dev/video*") // the pattern is well-formed
		for _, path := range cameras {
			args = append(args, "--dev-bind-try", path, path)
		}
	}
	for _, folder := range v.folders {
		args = append(args, "--bind", folder, folder)
	}
	// The open descriptor is bound, not the name: what runs is what was hashed.
	self := fmt.Sprintf("/proc/self/fd/%d", fdPlugin)
	args = append(args, "--ro-bind", self, v.path, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/", v.path)
	return args
}

// environment gives a plugin's environment. A bundled one gets the core's, but
// for what is meant for the core alone; another gets what programs need to run.
func environment(bundled bool, data string) []string {
	keep := []string{"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=" + data, "TMPDIR=/tmp"}
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		secret := name == "CREDENTIALS_DIRECTORY" || name == "NOTIFY_SOCKET" || strings.HasPrefix(name, "PLUGIN_") ||
			strings.HasPrefix(name, "LISTEN_") || strings.Contains(name, "PASSPHRASE") || strings.Contains(name, "PASSWORD")
		switch {
		case secret:
		case bundled:
			keep = append(keep, v)
		case name == "LANG", name == "TZ", name == "XDG_RUNTIME_DIR", strings.HasPrefix(name, "LC_"):
			keep = append(keep, v)
		}
	}
	if bundled {
		return keep[3:]
	}
	return keep
}
