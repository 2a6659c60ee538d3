package desktop_test

import (
	"context"
	"errors"
	"testing"

	"github.com/godbus/dbus/v5"

	"github.com/parley-chat/parley/ui-gtk/desktop"
)

const (
	portal     = "org.freedesktop.portal.Desktop"
	settings   = "org.freedesktop.portal.Settings"
	portalPath = dbus.ObjectPath("/org/freedesktop/portal/desktop")
)

// fakePortal is the part of xdg-desktop-portal that tells settings.
type fakePortal struct {
	bus    *dbus.Conn
	scheme uint32
}

func (p *fakePortal) Read(group, name string) (dbus.Variant, *dbus.Error) {
	if group != "org.freedesktop.appearance" || name != "color-scheme" {
		return dbus.Variant{}, dbus.MakeFailedError(errors.New("no such setting"))
	}
	return dbus.MakeVariant(dbus.MakeVariant(p.scheme)), nil
}

func (p *fakePortal) tell(t *testing.T, group, name string, value any) {
	t.Helper()
	if err := p.bus.Emit(portalPath, settings+".SettingChanged", group, name, dbus.MakeVariant(value)); err != nil {
		t.Fatal(err)
	}
}

func TestSchemeIsFollowed(t *testing.T) {
	address := newBus(t)
	p := &fakePortal{bus: connect(t, address), scheme: 1}
	if err := p.bus.Export(p, portalPath, settings); err != nil {
		t.Fatal(err)
	}
	if _, err := p.bus.RequestName(portal, dbus.NameFlagDoNotQueue); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	dark, ended := make(chan bool, 8), make(chan error, 1)
	go func() {
		ended <- desktop.FollowScheme(ctx, connect(t, address), func(is bool) { dark <- is })
	}()
	if !next(t, "what is set first", dark) {
		t.Error("dark is told as light")
	}
	p.tell(t, "org.freedesktop.appearance", "accent-color", "blue")
	p.tell(t, "org.gnome.desktop.interface", "color-scheme", uint32(1))
	p.tell(t, "org.freedesktop.appearance", "color-scheme", "nonsense")
	if next(t, "a value that is none", dark) {
		t.Error("nonsense is dark")
	}
	p.tell(t, "org.freedesktop.appearance", "color-scheme", uint32(1))
	if !next(t, "the change to dark", dark) {
		t.Error("dark is told as light")
	}
	p.tell(t, "org.freedesktop.appearance", "color-scheme", uint32(2))
	if next(t, "the change to light", dark) {
		t.Error("light is told as dark")
	}
	cancel()
	if err := next(t, "the end", ended); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestSchemeWithoutPortal(t *testing.T) {
	bus := connect(t, newBus(t))
	if err := desktop.FollowScheme(t.Context(), bus, func(bool) { t.Error("something was told") }); err == nil {
		t.Error("no error without a portal")
	}
}
