package desktop_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"

	"github.com/parley-chat/parley/ui-gtk/desktop"
)

func TestInstanceName(t *testing.T) {
	usual, one, two := desktop.InstanceName(""), desktop.InstanceName("/tmp/one"), desktop.InstanceName("/tmp/two")
	if usual != "chat.parley.Parley" || one == two || one == usual || one != desktop.InstanceName("/tmp/../tmp/one/") {
		t.Errorf("%s, %s, %s", usual, one, two)
	}
}

// TestSecondStart: it tells the first of what it was asked for, and once the first
// is gone it is the first itself.
func TestSecondStart(t *testing.T) {
	address := newBus(t)
	name := desktop.InstanceName("/tmp/x")
	starts := make(chan desktop.Start, 8)
	first, err := desktop.Claim(connect(t, address), name, func(s desktop.Start) { starts <- s })
	if err != nil || first == nil {
		t.Fatal(first, err)
	}
	bus := connect(t, address)
	second, err := desktop.Claim(bus, name, func(desktop.Start) { t.Error("the second is told") })
	if err != nil || second != nil {
		t.Fatal("there are two", err)
	}
	for _, c := range []struct {
		tell  desktop.Start
		heard []desktop.Start
	}{
		{desktop.Start{}, []desktop.Start{{}}},
		{desktop.Start{Token: "leave"}, []desktop.Start{{Token: "leave"}}},
		{desktop.Start{Profile: "work", Token: "t"}, []desktop.Start{{Profile: "work", Token: "t"}}},
		{desktop.Start{Links: []string{"parley:bob"}}, []desktop.Start{{Links: []string{"parley:bob"}}}},
		{desktop.Start{Profile: "work", Links: []string{"parley:bob", "x"}}, []desktop.Start{{Profile: "work"}, {Links: []string{"parley:bob", "x"}}}},
		{desktop.Start{Background: true}, nil},
	} {
		if err := desktop.Tell(t.Context(), bus, name, c.tell); err != nil {
			t.Errorf("%+v: %v", c.tell, err)
		}
		for _, want := range c.heard {
			if got := next(t, "a start", starts); !reflect.DeepEqual(got, want) {
				t.Errorf("%+v was heard as %+v", c.tell, got)
			}
		}
	}
	first.Close()
	if err := desktop.Tell(t.Context(), bus, name, desktop.Start{}); err == nil {
		t.Error("one that is gone was told")
	}
	third, err := desktop.Claim(bus, name, func(desktop.Start) {})
	if err != nil || third == nil {
		t.Fatal("nobody can be the first any more", err)
	}
	third.Close()
	if len(starts) != 0 {
		t.Errorf("more was heard: %+v", <-starts)
	}
}

// TestHostileStart: anybody on the bus may call; what cannot be meant so is refused.
func TestHostileStart(t *testing.T) {
	address := newBus(t)
	name := desktop.InstanceName("")
	first, err := desktop.Claim(connect(t, address), name, func(s desktop.Start) { t.Errorf("%+v was taken", s) })
	if err != nil || first == nil {
		t.Fatal(first, err)
	}
	defer first.Close()
	app := connect(t, address).Object(name, "/chat/parley/Parley")
	none := map[string]dbus.Variant{}
	many := make([]string, 17)
	for what, args := range map[string][]any{
		"Open": {[]string{}, none}, "Open ": {many, none}, "Open  ": {[]string{strings.Repeat("x", 5000)}, none},
		"Open   ":        {"no list", none},
		"ActivateAction": {"quit", []dbus.Variant{}, none}, "ActivateAction ": {"open-profile", []dbus.Variant{dbus.MakeVariant(7)}, none},
		"ActivateAction  ":  {"open-profile", []dbus.Variant{dbus.MakeVariant(strings.Repeat("x", 5000))}, none},
		"ActivateAction   ": {"open-profile", []dbus.Variant{}, none},
		"Quit":              {},
	} {
		if err := app.CallWithContext(t.Context(), "org.freedesktop.Application."+strings.TrimSpace(what), 0, args...).Err; err == nil {
			t.Errorf("%s %.80v was taken", what, args)
		}
	}
}
