package net2019

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/parley-chat/parley/test/net2019/original"
)

// cli runs parley as a person types it, with what is typed into it, and gives what
// it says and its exit status.
func (p *someone) cli(input string, args ...string) (string, int) {
	p.t.Helper()
	cmd := exec.CommandContext(p.soon(), "../../bin/parley", args...)
	cmd.Env = append(os.Environ(), "PARLEY_HOME="+p.home, "PARLEY_PROFILE=")
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.t.Fatalf("parley %s: %v", strings.Join(args, " "), err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// types does what must work, and say those words.
func (p *someone) types(input, words string, args ...string) {
	p.t.Helper()
	if out, status := p.cli(input, args...); status != 0 || !strings.Contains(out, words) {
		p.t.Errorf("parley %s: exit status %d:\n%s\nwhich should say %q", strings.Join(args, " "), status, out, words)
	}
}

// All of it in a terminal, with an original server.
func TestCommandLine(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.serve()
	s, err := original.Serve(t.Context(), original.ServerConfig{})
	must(t, err)
	t.Cleanup(s.Close)
	w.net2019 = s.Addr()
	c, d := w.loggedIn(one, nil), w.loggedIn(three, nil)
	p := w.person("alice", two)
	port := freePort(t)

	for _, bad := range []struct {
		input, words string
		status       int
		args         []string
	}{
		{"guess", "password", 1, []string{"--net2019", s.Addr(), "--id", two}},
		{original.Word, "20", 1, []string{"--net2019", s.Addr(), "--id", "1917000002"}},
		{original.Word, "ten digits", 2, []string{"--net2019", s.Addr(), "--id", "201700000"}},
		{original.Word, "ten digits", 2, []string{"--net2019", s.Addr()}},
		{original.Word, "3306", 2, []string{"--net2019", s.Addr(), "--id", two, "--port", "3306"}},
		{original.Word, "2333", 2, []string{"--net2019", s.Addr(), "--id", two, "--course", "--port", "2444"}},
		{original.Word, "reached", 1, []string{"--net2019", "127.0.0.1:1", "--id", two}},
		{"", "--id", 2, []string{"alice@" + w.address, "--id", two}},
	} {
		out, status := p.cli(bad.input+"\n", append([]string{"login"}, bad.args...)...)
		if status != bad.status || !strings.Contains(out, bad.words) {
			t.Errorf("parley login %v: exit status %d:\n%s\nwhich should say %q", bad.args, status, out, bad.words)
		}
	}
	if out, status := p.cli("", "contacts", "add", nameOf(one)); status == 0 || !strings.Contains(out, "off") {
		t.Errorf("while it is off: exit status %d:\n%s", status, out)
	}

	p.types(original.Word+"\n", "Nothing there is encrypted", "login", "--net2019", s.Addr(), "--id", two, "--port", itoa(port))
	p.types("", "NOT ENCRYPTED", "status")
	for _, other := range []*original.Client{c, d} {
		p.types("", "is a contact now", "contacts", "add", nameOf(other.ID()))
		p.linked(other.ID())
	}
	p.types("", "", "send", nameOf(one), "你好 _ :tada:")
	chat := original.ChatOf(one, two)
	w.hears(c, chat, two, "你好 _ 🎉")
	must(t, c.Say(chat, "and you"))
	p.hears(p.chatWith(one), one, "and you")
	p.types("", "and you", "history", nameOf(one))
	p.types("", "NOT ENCRYPTED", "chats")
	p.types("", `"encrypted":false`, "chats", "--json")
	path := filepath.Join(w.folder, "note_1.txt")
	must(t, os.WriteFile(path, []byte("a note"), 0o600))
	p.types("", "", "file", "send", nameOf(one), path)
	w.received(c, "note_1.txt", []byte("a note"))
	if out, status := p.cli("", "file", "send", nameOf(one), w.folder); status == 0 || !strings.Contains(out, "2019") {
		t.Errorf("a folder: exit status %d:\n%s", status, out)
	}
	if out, status := p.cli("", "contacts", "keys", nameOf(one)); status == 0 || !strings.Contains(out, "no keys") {
		t.Errorf("keys: exit status %d:\n%s", status, out)
	}

	p.types("", "group of 2019", "group", "create", nameOf(one), nameOf(three))
	group := original.ChatOf(one, two, three)
	w.await(d, "connected with all", func() bool { return d.Connected(group) == 2 })
	p.types("", "", "send", p.chatWith(one, three), "to both")
	for _, other := range []*original.Client{c, d} {
		w.hears(other, group, two, "to both")
	}
	p.types("", "left the group", "group", "leave", p.chatWith(one, three))
	w.await(c, "left", func() bool { return !slices.Contains(c.Chats(), group) })

	p.types("", "off", "logout", "--net2019")
	w.await(c, "left", func() bool { return len(c.Chats()) == 0 })
	w.until("it has logged out", func() bool { return slices.Contains(s.Commands(), "logout"+two) })
	want := two + "_" + original.Word + "_" + itoa(port)
	if !slices.Contains(s.Commands(), want) {
		t.Errorf("the server heard %q, which %q should be among", s.Commands(), want)
	}
	p.types("", "and you", "history", nameOf(one))
}
