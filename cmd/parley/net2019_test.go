package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/parley-chat/parley/protocol/controlpb"
)

// TestNet2019IsMarked: what is not encrypted says so, and what was never switched
// on says nothing.
func TestNet2019IsMarked(t *testing.T) {
	var out bytes.Buffer
	a := &app{out: &out}
	a.printNet2019(&controlpb.Net2019Status{Id: "2017000001"})
	if out.Len() != 0 || net2019JSON(&controlpb.Net2019Status{}) != nil {
		t.Errorf("while it is off: %q", out.String())
	}
	s := &controlpb.Net2019Status{On: true, Id: "2017000001", Port: 2333, Error: "no\x1b[31mway"}
	a.printNet2019(s)
	for _, want := range []string{"NOT ENCRYPTED", "2017000001", "not logged in", "2333"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in %q", want, out.String())
		}
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Errorf("an escape sequence reached the terminal: %q", out.String())
	}
	if j := net2019JSON(s); j.Encrypted || j.Server != net2019Native {
		t.Errorf("%+v", j)
	}
	if notEncrypted("net2019:2017000001-2017000002") == "" || notEncrypted("alice-bob") != "" || notEncrypted("") != "" {
		t.Error("the wrong chats are marked")
	}
	row := (&statusRow{chat: "net2019:2017000001-2017000002"}).row()
	if !strings.Contains(row, "NOT ENCRYPTED") {
		t.Errorf("the status row is %q", row)
	}
}
