package desktop

import (
	"context"

	"github.com/godbus/dbus/v5"
)

// Names of the portal that tells settings, see
// https://flatpak.github.io/xdg-desktop-portal/docs/doc-org.freedesktop.portal.Settings.html.
const (
	portalName      = "org.freedesktop.portal.Desktop"
	portalPath      = dbus.ObjectPath("/org/freedesktop/portal/desktop")
	portalSettings  = "org.freedesktop.portal.Settings"
	appearance      = "org.freedesktop.appearance"
	colorScheme     = "color-scheme"
	preferDark      = uint32(1)
	schemesGathered = 16
)

// FollowScheme calls report with whether the desktop asks for dark windows, at
// first and after each change, until ctx ends. It gives an error where no portal
// tells that; report is not called then.
func FollowScheme(ctx context.Context, bus *dbus.Conn, report func(dark bool)) error {
	match := []dbus.MatchOption{
		dbus.WithMatchSender(portalName), dbus.WithMatchObjectPath(portalPath),
		dbus.WithMatchInterface(portalSettings), dbus.WithMatchMember("SettingChanged"),
		dbus.WithMatchArg(0, appearance),
	}
	if err := bus.AddMatchSignalContext(ctx, match...); err != nil {
		return err
	}
	defer func() { _ = bus.RemoveMatchSignal(match...) }()
	changes := make(chan *dbus.Signal, schemesGathered)
	bus.Signal(changes)
	defer bus.RemoveSignal(changes)
	var now dbus.Variant
	err := bus.Object(portalName, portalPath).CallWithContext(ctx, portalSettings+".Read", 0, appearance, colorScheme).Store(&now)
	if err != nil {
		return err
	}
	report(dark(now))
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case s, ok := <-changes:
			if !ok {
				return dbus.ErrClosed
			}
			var group, name string
			var value dbus.Variant
			if s.Name == portalSettings+".SettingChanged" && s.Path == portalPath &&
				dbus.Store(s.Body, &group, &name, &value) == nil && group == appearance && name == colorScheme {
				report(dark(value))
			}
		}
	}
}

// dark reads a color-scheme, which Read wraps in a second variant.
func dark(v dbus.Variant) bool {
	if inner, ok := v.Value().(dbus.Variant); ok {
		v = inner
	}
	scheme, _ := v.Value().(uint32)
	return scheme == preferDark
}
