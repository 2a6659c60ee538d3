package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strconv"

	"google.golang.org/protobuf/proto"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/internal/failure"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// What is kept in the store, in this namespace:
//
//	plugin:<name>      pin, as JSON
//	manifest:<sha256>  encoded pluginpb.Manifest
//	aside:<name>       packets set aside because of it, a decimal number
const namespace = "host"

// pin is what the user decided about a plugin.
type pin struct {
	SHA256    string `json:"sha256,omitempty"` // of the file that was enabled
	EnabledAt int64  `json:"enabled_at,omitempty"`
	Disabled  bool   `json:"disabled,omitempty"`
}

// known is what the store knows of a file.
type known struct {
	pin      pin
	aside    uint32
	manifest *pluginpb.Manifest
}

func readKnown(tx store.ReadTx, f file) (known, error) {
	var k known
	raw, err := optional(tx.Value(namespace, "plugin:"+f.name))
	if err != nil {
		return k, err
	}
	if raw != nil {
		if err := json.Unmarshal(raw, &k.pin); err != nil {
			// Trust that cannot be read is no trust.
			k.pin = pin{Disabled: f.bundled}
		}
	}
	if k.aside, err = readAside(tx, f.name); err != nil || f.sha256 == "" {
		return k, err
	}
	raw, err = optional(tx.Value(namespace, "manifest:"+f.sha256))
	if err != nil || raw == nil {
		return k, err
	}
	m := &pluginpb.Manifest{}
	if proto.Unmarshal(raw, m) == nil && checkManifest(f, m) == nil {
		k.manifest = m
	}
	return k, nil
}

// optional makes nil of a value that is not there.
func optional(v []byte, err error) ([]byte, error) {
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	return v, err
}

func readAside(tx store.ReadTx, plugin string) (uint32, error) {
	raw, err := optional(tx.Value(namespace, "aside:"+plugin))
	if err != nil {
		return 0, err
	}
	n, _ := strconv.ParseUint(string(raw), 10, 32) // nothing, or what countAside wrote
	return uint32(n), nil
}

// countAside counts packets set aside because of a plugin.
func countAside(tx store.Tx, plugin string, more uint32) (uint32, error) {
	n, err := readAside(tx, plugin)
	if err != nil {
		return 0, err
	}
	n += more
	return n, tx.PutValue(namespace, "aside:"+plugin, strconv.AppendUint(nil, uint64(n), 10))
}

func (h *Host) keepManifest(ctx context.Context, sha256 string, m *pluginpb.Manifest) error {
	raw, err := proto.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode manifest of %s: %w", m.GetName(), err)
	}
	return h.cfg.Store.Update(ctx, store.Lazy, func(tx store.Tx) error {
		return tx.PutValue(namespace, "manifest:"+sha256, raw)
	})
}

// scan looks through the folders and takes up what is new, changed or gone.
func (h *Host) scan(ctx context.Context) error {
	select {
	case h.scanning <- struct{}{}:
		defer func() { <-h.scanning }()
	case <-ctx.Done():
		return ctx.Err()
	}
	files := h.findAll()
	facts := map[string]known{}
	err := h.cfg.Store.View(ctx, func(tx store.ReadTx) error {
		for _, f := range files {
			k, err := readKnown(tx, f)
			if err != nil {
				return err
			}
			facts[f.name] = k
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read what is known of plugins: %w", err)
	}
	h.takeUp(files, facts)
	h.settleOwners()
	return nil
}

// findAll gives the files of all folders with their hashes, by name.
func (h *Host) findAll() map[string]file {
	found := map[string]file{}
	for _, folder := range h.cfg.Folders {
		files, err := findFiles(folder)
		if err != nil {
			h.once(folder.Path, func() { h.reportFolder(folder, err) })
			continue
		}
		for _, f := range files {
			if first, taken := found[f.name]; taken {
				h.once(f.path, func() {
					h.cfg.Log.Warn("plugin is hidden by another of the same name", "plugin", f.name, "path", f.path, "used", first.path)
				})
				continue
			}
			if f.problem == "" {
				h.hashes.fill(&f)
			}
			found[f.name] = f
		}
	}
	return found
}

func (h *Host) reportFolder(folder Folder, err error) {
	missing := errors.Is(err, fs.ErrNotExist)
	if missing && !folder.Bundled {
		return // whoever drops in the first plugin makes it
	}
	h.cfg.Log.Warn("plugin folder cannot be read", "folder", folder.Path, "bundled", folder.Bundled, "error", err)
	switch {
	case missing:
		bus.Publish(h.cfg.Bus, bus.Noticed, bus.Notice{Level: "error", Subject: "plugins", Text: fmt.Sprintf("The folder of Parley's own plugins, %s, is missing: install Parley again.", folder.Path),
			Reason: failure.Because("PLUGINS_MISSING", "folder", folder.Path)})
	default:
		bus.Publish(h.cfg.Bus, bus.Noticed, bus.Notice{Level: "error", Subject: "plugins", Text: clean(err.Error())})
	}
}

// once runs fn the first time it is asked to for key.
func (h *Host) once(key string, fn func()) {
	h.mu.Lock()
	done := h.noticed[key]
	h.noticed[key] = true
	h.mu.Unlock()
	if !done {
		fn()
	}
}

// takeUp brings the plugins in line with what was found.
func (h *Host) takeUp(files map[string]file, facts map[string]known) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for name, p := range h.plugins {
		if _, ok := files[name]; !ok {
			delete(h.plugins, name)
			p.unsubscribe()
			p.change(func() {
				p.file.problem = "the file is gone"
				p.endRun()
				if p.cancel != nil {
					p.cancel()
				}
			})
		}
	}
	for name, f := range files {
		p := h.plugins[name]
		if p == nil {
			p = newPlugin(h, name)
			h.plugins[name] = p
			p.take(f, facts[name])
			h.launchPlugin(p)
			continue
		}
		p.take(f, facts[name])
	}
}

// take takes what a scan found. A running plugin whose file was exchanged is
// stopped; if it may run it starts anew, as the new file.
func (p *plugin) take(f file, k known) {
	p.mu.Lock()
	exchanged := p.file.sha256 != f.sha256
	same := p.file == f && p.pin == k.pin
	p.mu.Unlock()
	if same {
		return
	}
	p.change(func() {
		p.file, p.pin, p.aside = f, k.pin, k.aside
		if exchanged {
			p.broken, p.crashes.recent, p.retryAt = "", nil, p.host.cfg.Now()
			p.manifest, p.checked = k.manifest, k.manifest != nil
		}
		if exchanged || !p.runnable() {
			p.endRun()
		}
	})
	if p.desk.waiting() {
		p.need()
	}
}

// settleOwners decides anew who owns what, and has each plugin listen for what
// it owns.
func (h *Host) settleOwners() {
	h.mu.Lock()
	defer h.mu.Unlock()
	var claims []claim
	for _, p := range h.plugins {
		p.mu.Lock()
		if p.allowed() && p.checked {
			claims = append(claims, claim{name: p.name, bundled: p.file.bundled, enabledAt: p.pin.EnabledAt, manifest: p.manifest})
		}
		p.mu.Unlock()
	}
	owners, losers := settle(claims)
	h.owners.Store(owners)
	for _, p := range h.plugins {
		p.mu.Lock()
		moved := p.conflict != losers[p.name]
		p.mu.Unlock()
		if moved {
			p.change(func() {
				p.conflict = losers[p.name]
				if p.conflict != "" {
					p.endRun()
				}
			})
			if losers[p.name] != "" {
				h.notice("warning", p.name, fmt.Sprintf("The plugin %s is not started: %s.", p.name, losers[p.name]),
					failure.Because("PLUGIN_NOT_STARTED", "plugin", p.name, "why", losers[p.name]))
			}
		}
		if h.service != nil {
			p.subscribe(h.service)
		}
	}
	if h.service == nil {
		return
	}
	for _, p := range h.plugins {
		if p.unknown() {
			return
		}
	}
	h.knownOnce.Do(func() { close(h.allKnown) })
}

// SetEnabled enables or disables a plugin. Enabling pins the file's hash;
// sha256, if not empty, must be it. Errors: ErrNoPlugin, ErrFileChanged,
// ErrUnavailable (the file cannot be used; says why), the store's.
func (h *Host) SetEnabled(ctx context.Context, name string, enabled bool, sha256 string) (PluginStatus, error) {
	if err := h.scan(ctx); err != nil {
		return PluginStatus{}, err
	}
	p, err := h.find(ctx, name)
	if err != nil {
		return PluginStatus{}, err
	}
	p.mu.Lock()
	f, next := p.file, p.pin
	p.mu.Unlock()
	next.Disabled = !enabled
	if enabled {
		switch {
		case f.problem != "":
			return PluginStatus{}, fmt.Errorf("plugin %s: %w: %s", name, ErrUnavailable, f.problem)
		case sha256 != "" && sha256 != f.sha256:
			return PluginStatus{}, fmt.Errorf("plugin %s: %w since you saw it: look at it again", name, ErrFileChanged)
		}
		next.SHA256, next.EnabledAt = f.sha256, h.cfg.Now().UnixMicro()
	}
	raw, err := json.Marshal(next)
	if err != nil {
		return PluginStatus{}, fmt.Errorf("encode pin of %s: %w", name, err)
	}
	err = h.cfg.Store.Update(ctx, store.Synced, func(tx store.Tx) error {
		if enabled && !f.bundled {
			// Enabling is also the answer to one that described itself anew.
			if err := tx.PutValue(namespace, "manifest:"+f.sha256, nil); err != nil {
				return err
			}
		}
		return tx.PutValue(namespace, "plugin:"+name, raw)
	})
	if err != nil {
		return PluginStatus{}, fmt.Errorf("keep decision about plugin %s: %w", name, err)
	}
	p.change(func() {
		p.pin = next
		switch {
		case !enabled:
			p.endRun()
		case p.file.sha256 == next.SHA256:
			p.broken, p.crashes.recent, p.retryAt = "", nil, h.cfg.Now()
			if !f.bundled {
				p.checked = false
			}
		}
	})
	h.settleOwners()
	return h.status(p, nil), nil
}

// Restart stops a plugin's process, which starts again when needed; one that
// crashed too often is given another chance. ErrNoPlugin, ErrUnavailable.
func (h *Host) Restart(ctx context.Context, name string) (PluginStatus, error) {
	p, err := h.find(ctx, name)
	if err != nil {
		return PluginStatus{}, err
	}
	p.change(func() {
		p.broken, p.crashes.recent, p.retryAt = "", nil, h.cfg.Now()
		p.endRun()
	})
	p.mu.Lock()
	err = p.unusable()
	p.mu.Unlock()
	if err != nil {
		return PluginStatus{}, err
	}
	if p.desk.waiting() {
		p.need()
	}
	h.settleOwners()
	return h.status(p, nil), nil
}
