package host

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/parley-chat/parley/protocol/pluginpb"
)

// PluginStatus is a plugin as front ends show it; see controlpb.Plugin.
type PluginStatus struct {
	Name      string
	State     State
	Path      string
	Bundled   bool
	Confined  bool               // runs, or would run, under bubblewrap
	SHA256    string             // in hex
	Manifest  *pluginpb.Manifest // nil while not known
	ProcessID int
	CPUTime   time.Duration // since the start of the process, with its children
	Resident  int64         // bytes, with its children
	Crashes   uint32        // since the core started
	Error     string        // why it is broken, with its last log lines
	SetAside  uint32        // packets set aside because of it
}

// Plugins looks through the folders and lists what is there, by name.
func (h *Host) Plugins(ctx context.Context) ([]PluginStatus, error) {
	if err := h.scan(ctx); err != nil {
		return nil, err
	}
	usage := readUsage()
	var list []PluginStatus
	for _, p := range h.all() {
		list = append(list, h.status(p, usage))
	}
	return list, nil
}

// Plugin gives one without looking into the folders. ErrNoPlugin.
func (h *Host) Plugin(ctx context.Context, name string) (PluginStatus, error) {
	p, err := h.find(ctx, name)
	if err != nil {
		return PluginStatus{}, err
	}
	return h.status(p, nil), nil
}

func (h *Host) status(p *plugin, u usage) PluginStatus {
	sandboxed := h.sandboxed()
	p.mu.Lock()
	state, why := p.state()
	s := PluginStatus{
		Name: p.name, State: state, Path: p.file.path, Bundled: p.file.bundled, Confined: !p.file.bundled && sandboxed,
		SHA256: p.file.sha256, Crashes: p.crashes.total, Error: why, SetAside: p.aside,
	}
	if p.manifest != nil {
		s.Manifest = proto.CloneOf(p.manifest)
	}
	sess := p.session
	if sess != nil {
		s.Confined = p.confined
	}
	p.mu.Unlock()
	if sess == nil {
		return s
	}
	s.ProcessID, _ = strconv.Atoi(sess.run.process.ID())
	if u == nil {
		u = usageOf(s.ProcessID)
	}
	s.CPUTime, s.Resident = u.of(s.ProcessID)
	return s
}

// usage is what processes use, by process id.
type usage map[int]processUsage

type processUsage struct {
	parent   int
	cpu      time.Duration
	resident int64
}

// clockTick is USER_HZ, which Linux fixes at 100 for all that programs see.
const clockTick = time.Second / 100

// readUsage reads /proc. Processes come and go meanwhile; what cannot be read is
// left out.
func readUsage() usage {
	u := usage{}
	paths, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is well-formed
	for _, path := range paths {
		raw, err := os.ReadFile(path) //nolint:gosec // /proc
		if err != nil {
			continue
		}
		if pid, p, ok := parseStat(raw); ok {
			u[pid] = p
		}
	}
	return u
}

// maxTree bounds the processes of one plugin that are looked at, so that one which
// starts many costs no more than all of them do.
const maxTree = 1 << 10

// usageOf reads of /proc what is about a process and those below it alone: of a
// plugin that is told of again and again, all others would cost many times more. A
// process that comes or goes meanwhile may be missed.
func usageOf(root int) usage {
	u := usage{}
	for pids := []int{root}; len(pids) > 0 && len(u) < maxTree; pids = pids[1:] {
		folder := filepath.Join("/proc", strconv.Itoa(pids[0]))
		raw, err := os.ReadFile(filepath.Join(folder, "stat")) //nolint:gosec // /proc
		if err != nil {
			continue
		}
		pid, p, ok := parseStat(raw)
		if _, again := u[pid]; !ok || again {
			continue
		}
		u[pid] = p
		threads, _ := os.ReadDir(filepath.Join(folder, "task")) // gone since
		for _, t := range threads {
			raw, err := os.ReadFile(filepath.Join(folder, "task", t.Name(), "children")) //nolint:gosec // /proc
			if errors.Is(err, fs.ErrNotExist) && t.Name() == strconv.Itoa(root) {
				return readUsage() // a kernel that does not tell
			}
			for _, child := range bytes.Fields(raw) {
				if n, err := strconv.Atoi(string(child)); err == nil {
					pids = append(pids, n)
				}
			}
		}
	}
	return u
}

// parseStat reads /proc/<pid>/stat: "pid (name) state ppid ...", where the name
// may hold anything.
func parseStat(raw []byte) (pid int, p processUsage, ok bool) {
	end := bytes.LastIndexByte(raw, ')')
	first, _, found := bytes.Cut(raw, []byte(" "))
	if !found || end < 0 {
		return 0, p, false
	}
	pid, err := strconv.Atoi(string(first))
	fields := bytes.Fields(raw[end+1:])
	if err != nil || len(fields) < 22 {
		return 0, p, false
	}
	number := func(field int) int64 {
		n, _ := strconv.ParseInt(string(fields[field-3]), 10, 64) // the kernel writes numbers
		return n
	}
	p.parent = int(number(4))
	p.cpu = time.Duration(number(14)+number(15)) * clockTick
	p.resident = number(24) * int64(os.Getpagesize())
	return pid, p, true
}

// of sums up a process and all below it.
func (u usage) of(pid int) (cpu time.Duration, resident int64) {
	for id, p := range u {
		if u.below(id, pid) {
			cpu += p.cpu
			resident += p.resident
		}
	}
	return cpu, resident
}

// count counts a process and all below it.
func (u usage) count(pid int) int {
	n := 0
	for id := range u {
		if u.below(id, pid) {
			n++
		}
	}
	return n
}

// below says whether id is pid or was started by it, directly or not.
func (u usage) below(id, pid int) bool {
	for up, steps := id, 0; up > 1 && steps < 64; up, steps = u[up].parent, steps+1 {
		if up == pid {
			return true
		}
	}
	return false
}
