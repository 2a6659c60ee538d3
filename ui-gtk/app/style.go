package app

import (
	"log/slog"
	"strings"

	"github.com/gotk3/gotk3/gdk"
	"github.com/gotk3/gotk3/gtk"

	"github.com/parley-chat/parley/ui-gtk/assets"
	"github.com/parley-chat/parley/ui-gtk/viewmodel"
)

// Names of GTK's settings.
const (
	settingDark  = "gtk-application-prefer-dark-theme"
	settingTheme = "gtk-theme-name"
	settingDPI   = "gtk-xft-dpi"
)

// plainDPI is the resolution, in GTK's 1/1024 dots an inch, where the system says
// none.
const plainDPI = 96 * 1024

// style is how all windows look: GTK's settings, and Parley's style sheet.
type style struct {
	log      *slog.Logger
	settings *gtk.Settings
	provider *gtk.CssProvider
	dpi      int  // the system's
	system   bool // the system asks for dark windows

	wanted viewmodel.Preferences
	shown  struct {
		drawn, dark bool
		size        int
	}
}

// newStyle takes over what the system has set, before anything is changed.
func newStyle(log *slog.Logger) (*style, error) {
	settings, err := gtk.SettingsGetDefault()
	if err != nil {
		return nil, err
	}
	provider, err := gtk.CssProviderNew()
	if err != nil {
		return nil, err
	}
	screen, err := gdk.ScreenGetDefault()
	if err != nil {
		return nil, err
	}
	s := &style{log: log, settings: settings, provider: provider, dpi: plainDPI}
	if dpi, ok := property[int](settings, settingDPI); ok && dpi > 0 {
		s.dpi = dpi
	}
	theme, _ := property[string](settings, settingTheme)
	dark, _ := property[bool](settings, settingDark)
	s.system = dark || strings.HasSuffix(strings.ToLower(theme), "-dark")
	if !strings.HasPrefix(theme, "HighContrast") {
		// The style sheet says how things differ from this theme. Who needs high
		// contrast keeps it.
		_ = settings.SetProperty(settingTheme, "Adwaita")
	}
	gtk.AddProviderForScreen(screen, provider, uint(gtk.STYLE_PROVIDER_PRIORITY_APPLICATION))
	return s, nil
}

// property reads a property of a type.
func property[T any](o interface {
	GetProperty(string) (any, error)
}, name string,
) (value T, ok bool) {
	v, err := o.GetProperty(name)
	if err == nil {
		value, ok = v.(T)
	}
	return value, ok
}

// follow draws what is preferred.
func (s *style) follow(p viewmodel.Preferences) {
	s.wanted = p
	s.draw()
}

// setSystem notes what the desktop asks for.
func (s *style) setSystem(dark bool) {
	s.system = dark
	s.draw()
}

func (s *style) draw() {
	dark := s.wanted.Dark(s.system)
	if !s.shown.drawn || s.shown.dark != dark {
		_ = s.settings.SetProperty(settingDark, dark)
		if err := s.provider.LoadFromData(assets.Style(dark)); err != nil {
			s.log.Error("style sheet", "error", err) // a mistake of the build; the rest of it holds
		}
	}
	if s.shown.size != s.wanted.TextSize {
		_ = s.settings.SetProperty(settingDPI, s.dpi*s.wanted.TextSize/100)
	}
	s.shown.drawn, s.shown.dark, s.shown.size = true, dark, s.wanted.TextSize
}
