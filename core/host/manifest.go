package host

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

const (
	apiVersion  = 1
	maxManifest = 64 << 10
)

var (
	actionPattern  = regexp.MustCompile(`^[a-z0-9.-]{1,32}$`)
	settingPattern = regexp.MustCompile(`^[a-z0-9.-]{1,64}$`)
	versionPattern = regexp.MustCompile(`^(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$`)
	topics         = []string{topicPresence, topicLink, topicMessage}
	coreTypes      = []packet.Type{packet.TypeRequest, packet.TypeAccept, packet.TypeLeave}
)

// checkManifest checks every rule of plugin.proto about manifests.
func checkManifest(f file, m *pluginpb.Manifest) error {
	c := checker{plugin: f.name}
	if m == nil {
		return c.fail("manifest", "is missing")
	}
	c.within("manifest", proto.Size(m), maxManifest)
	c.must(m.Name == f.name, "manifest.name", "is %.40q, but the file is named %s%s", m.Name, filePrefix, f.name)
	c.must(len(m.Version) <= 64 && versionPattern.MatchString(m.Version), "manifest.version", "%.70q is not a semantic version", m.Version)
	c.must(m.ApiVersion >= 1, "manifest.api_version", "is missing")
	c.must(m.ApiVersion <= apiVersion, "manifest.api_version", "is %d; this Parley speaks %d: update Parley", m.ApiVersion, apiVersion)
	c.within("manifest.summary", len(m.Summary), 200)
	c.types(f, m)
	c.kinds(f, m)
	c.actions(m)
	c.settings(m)
	for _, topic := range m.Topics {
		c.must(slices.Contains(topics, topic), "manifest.topics", "%.40q is no topic of API %d", topic, apiVersion)
	}
	for _, capability := range m.Capabilities {
		_, known := pluginpb.Capability_name[int32(capability)]
		c.must(known && capability != 0, "manifest.capabilities", "%d is no capability of API %d", capability, apiVersion)
		c.must(f.bundled || capability != pluginpb.Capability_CAPABILITY_MEMBERS, "manifest.capabilities", "CAPABILITY_MEMBERS is for bundled plugins")
	}
	return c.err
}

func (c *checker) types(f file, m *pluginpb.Manifest) {
	seen := map[string]bool{}
	for _, t := range m.PacketTypes {
		parsed, err := packet.ParseType(t.GetName())
		c.must(err == nil, "manifest.packet_types", "%.70q is not a packet type", t.GetName())
		c.must(!seen[t.GetName()], "manifest.packet_types", "%s is there twice", parsed)
		c.must(f.bundled || parsed.Foreign(), "manifest.packet_types", "%s lacks a reverse-DNS prefix, as in org.example.%s/%s", parsed, m.Name, parsed)
		c.must(!slices.Contains(coreTypes, parsed), "manifest.packet_types", "%s is the core's own", parsed)
		c.must(t.GetMaxContent() <= packet.MaxContent, "manifest.packet_types.max_content", "of %s is %d, at most %d", parsed, t.GetMaxContent(), packet.MaxContent)
		seen[t.GetName()] = true
	}
}

func (c *checker) kinds(f file, m *pluginpb.Manifest) {
	seen := map[string]bool{}
	for _, k := range m.MessageKinds {
		parsed, err := packet.ParseType(k.GetName())
		c.must(err == nil, "manifest.message_kinds", "%.70q is not a message kind", k.GetName())
		c.must(!seen[k.GetName()], "manifest.message_kinds", "%s is there twice", parsed)
		c.must(f.bundled || parsed.Foreign(), "manifest.message_kinds", "%s lacks a reverse-DNS prefix", parsed)
		_, known := pluginpb.Presentation_name[int32(k.GetPresentation())]
		c.must(known && k.GetPresentation() != 0, "manifest.message_kinds.presentation", "of %s is %d", parsed, k.GetPresentation())
		seen[k.GetName()] = true
	}
}

func (c *checker) actions(m *pluginpb.Manifest) {
	seen := map[string]bool{}
	for _, a := range m.Actions {
		c.must(actionPattern.MatchString(a.GetName()), "manifest.actions.name", "%.40q: 1 to 32 of a-z, 0-9, \".\" and \"-\"", a.GetName())
		c.must(!seen[a.GetName()], "manifest.actions", "%s is there twice", a.GetName())
		c.within("manifest.actions.label", len(a.GetLabel()), 64)
		c.within("manifest.actions.icon", len(a.GetIcon()), 64)
		c.within("manifest.actions.accelerator", len(a.GetAccelerator()), 64)
		for _, place := range a.GetPlaces() {
			_, known := pluginpb.Place_name[int32(place)]
			c.must(known && place != 0, "manifest.actions.places", "%d is no place of API %d", place, apiVersion)
		}
		seen[a.GetName()] = true
	}
}

func (c *checker) settings(m *pluginpb.Manifest) {
	seen := map[string]bool{}
	for _, s := range m.Settings {
		c.must(settingPattern.MatchString(s.GetName()), "manifest.settings.name", "%.70q: 1 to 64 of a-z, 0-9, \".\" and \"-\"", s.GetName())
		c.must(!seen[s.GetName()], "manifest.settings", "%s is there twice", s.GetName())
		_, known := pluginpb.SettingType_name[int32(s.GetType())]
		c.must(known && s.GetType() != 0, "manifest.settings.type", "of %s is %d", s.GetName(), s.GetType())
		if s.GetDefaultValue() != "" {
			err := checkSetting(s, s.GetDefaultValue())
			c.must(err == nil, "manifest.settings.default_value", "of %s: %v", s.GetName(), err)
		}
		seen[s.GetName()] = true
	}
}

const maxSetting = 4 << 10

// checkSetting checks a value against its schema.
func checkSetting(s *pluginpb.Setting, value string) error {
	if len(value) > maxSetting {
		return fmt.Errorf("%d bytes, at most %d: %w", len(value), maxSetting, ErrInvalid)
	}
	switch s.GetType() {
	case pluginpb.SettingType_SETTING_TYPE_BOOL:
		if value != "true" && value != "false" {
			return fmt.Errorf("%.40q is not \"true\" or \"false\": %w", value, ErrInvalid)
		}
	case pluginpb.SettingType_SETTING_TYPE_INT:
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return fmt.Errorf("%.40q is not a whole number: %w", value, ErrInvalid)
		}
		if (s.GetMin() != 0 || s.GetMax() != 0) && (n < s.GetMin() || n > s.GetMax()) {
			return fmt.Errorf("%d is not from %d to %d: %w", n, s.GetMin(), s.GetMax(), ErrInvalid)
		}
	case pluginpb.SettingType_SETTING_TYPE_CHOICE:
		if !slices.Contains(s.GetChoices(), value) {
			return fmt.Errorf("%.40q is not one of %s: %w", value, strings.Join(s.GetChoices(), ", "), ErrInvalid)
		}
	case pluginpb.SettingType_SETTING_TYPE_FOLDER:
		if !filepath.IsAbs(value) || strings.ContainsRune(value, 0) {
			return fmt.Errorf("%.200q is not an absolute path: %w", value, ErrInvalid)
		}
	}
	return nil
}

// checker collects the first rule that was broken.
type checker struct {
	plugin string
	err    error
}

func (c *checker) fail(field, format string, args ...any) error {
	if c.err == nil {
		c.err = &answerError{plugin: c.plugin, field: field, err: fmt.Errorf(format, args...)}
	}
	return c.err
}

func (c *checker) must(ok bool, field, format string, args ...any) {
	if !ok {
		_ = c.fail(field, format, args...)
	}
}

func (c *checker) within(field string, size, limit int) {
	c.must(size <= limit, field, "%d bytes, at most %d are allowed", size, limit)
}
