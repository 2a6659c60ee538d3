package desktop

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/godbus/dbus/v5"
)

// Names on the bus. The interface is that of
// https://specifications.freedesktop.org/desktop-entry-spec/latest/dbus.html, by
// which desktops start and call programs as well.
const (
	applicationName  = "chat.parley.Parley"
	applicationPath  = dbus.ObjectPath("/chat/parley/Parley")
	applicationIface = "org.freedesktop.Application"
)

// ActionOpenProfile opens the window of the profile that is its parameter.
const ActionOpenProfile = "open-profile"

// What others may send; more is not taken.
const (
	maxLinks = 16
	maxText  = 4096
)

// InstanceName gives the name on the bus for a PARLEY_HOME, which is empty for the
// usual folders: those who keep Parley's data elsewhere run another one.
func InstanceName(home string) string {
	if home == "" {
		return applicationName
	}
	if abs, err := filepath.Abs(home); err == nil {
		home = abs
	}
	sum := sha256.Sum256([]byte(home))
	return applicationName + ".h" + hex.EncodeToString(sum[:8])
}

// Start is what a start of the program asks for.
type Start struct {
	// Profile whose window is shown; empty for those that were open last.
	Profile string
	// Links are followed.
	Links []string
	// Background shows no window.
	Background bool
	// Token is the desktop's leave to come to the front; may be empty.
	Token string
}

// Instance is this process, as the one that others are told of. Close gives the
// name up.
type Instance struct {
	bus  *dbus.Conn
	name string
}

// Claim makes this process the one of a name. It gives nil when there is one
// already. started is called, on other goroutines, for each further start.
func Claim(bus *dbus.Conn, name string, started func(Start)) (*Instance, error) {
	// What the name promises is there before the name is.
	if err := bus.Export(application{started}, applicationPath, applicationIface); err != nil {
		return nil, fmt.Errorf("be the only one of %s: %w", name, err)
	}
	reply, err := bus.RequestName(name, dbus.NameFlagDoNotQueue)
	if err == nil && (reply == dbus.RequestNameReplyPrimaryOwner || reply == dbus.RequestNameReplyAlreadyOwner) {
		return &Instance{bus: bus, name: name}, nil
	}
	_ = bus.Export(nil, applicationPath, applicationIface)
	if err != nil {
		return nil, fmt.Errorf("be the only one of %s: %w", name, err)
	}
	return nil, nil //nolint:nilnil // there is another one
}

// Close gives the name up.
func (i *Instance) Close() {
	_, _ = i.bus.ReleaseName(i.name) // the bus is gone, then
	_ = i.bus.Export(nil, applicationPath, applicationIface)
}

// Tell tells the one that runs of a start.
func Tell(ctx context.Context, bus *dbus.Conn, name string, s Start) error {
	platform := map[string]dbus.Variant{}
	if s.Token != "" {
		platform["desktop-startup-id"] = dbus.MakeVariant(s.Token)
		platform["activation-token"] = dbus.MakeVariant(s.Token)
	}
	app := bus.Object(name, applicationPath)
	call := func(method string, args ...any) error {
		if err := app.CallWithContext(ctx, applicationIface+"."+method, 0, args...).Err; err != nil {
			return fmt.Errorf("tell the Parley that is running: %w", err)
		}
		return nil
	}
	switch {
	case s.Profile != "":
		if err := call("ActivateAction", ActionOpenProfile, []dbus.Variant{dbus.MakeVariant(s.Profile)}, platform); err != nil {
			return err
		}
	case len(s.Links) == 0 && !s.Background:
		return call("Activate", platform)
	}
	if len(s.Links) > 0 {
		return call("Open", s.Links, platform)
	}
	return nil
}

// application is what is exported.
type application struct{ started func(Start) }

// Activate shows the windows.
func (a application) Activate(platform map[string]dbus.Variant) *dbus.Error {
	a.started(Start{Token: token(platform)})
	return nil
}

// Open follows links.
func (a application) Open(links []string, platform map[string]dbus.Variant) *dbus.Error {
	if len(links) == 0 || len(links) > maxLinks {
		return dbus.MakeFailedError(fmt.Errorf("%d links, not 1 to %d", len(links), maxLinks))
	}
	for _, l := range links {
		if len(l) > maxText {
			return dbus.MakeFailedError(errors.New("a link is too long"))
		}
	}
	a.started(Start{Links: links, Token: token(platform)})
	return nil
}

// ActivateAction does something by its name.
func (a application) ActivateAction(action string, parameters []dbus.Variant, platform map[string]dbus.Variant) *dbus.Error {
	if action != ActionOpenProfile || len(parameters) != 1 {
		return dbus.MakeFailedError(fmt.Errorf("there is no action %.40q with %d parameters", action, len(parameters)))
	}
	profile, ok := parameters[0].Value().(string)
	if !ok || profile == "" || len(profile) > maxText {
		return dbus.MakeFailedError(errors.New("the parameter is no name of a profile"))
	}
	a.started(Start{Profile: profile, Token: token(platform)})
	return nil
}

// token reads the leave to come to the front.
func token(platform map[string]dbus.Variant) string {
	for _, name := range []string{"activation-token", "desktop-startup-id"} {
		if s, ok := platform[name].Value().(string); ok && len(s) <= maxText {
			return s
		}
	}
	return ""
}
