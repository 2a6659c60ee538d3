package core

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/directory"
	"github.com/parley-chat/parley/core/identity"
	"github.com/parley-chat/parley/internal/freeport"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/packet"
)

// findings are what a diagnosis tells, by check.
type findings map[string][]*controlpb.Finding

func (p *person) diagnose(user packet.UserID) findings {
	p.t.Helper()
	f := findings{}
	err := facade{p.core}.Diagnose(p.t.Context(), user, f.add)
	if err != nil {
		p.t.Fatal(err)
	}
	return f
}

func (f findings) add(found *controlpb.Finding) error {
	f[found.GetCheck()] = append(f[found.GetCheck()], found)
	return nil
}

// want checks that a check has a finding with that result and all the words.
func (f findings) want(t *testing.T, check, result string, words ...string) {
	t.Helper()
	for _, found := range f[check] {
		ok := found.GetResult() == result
		for _, word := range words {
			ok = ok && strings.Contains(found.GetText(), word)
		}
		if ok {
			return
		}
	}
	t.Errorf("%s: got %v, want %s with %q", check, f[check], result, words)
}

func TestDiagnoseWhenAllIsWell(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.person("alice"), w.person("bob")
	w.befriend(alice, bob)
	f := alice.diagnose("bob")
	for _, check := range []string{"account", "reachable", "certificate", "login", "clock", "port", "contact"} {
		f.want(t, check, "ok")
		for _, found := range f[check] {
			if found.GetResult() != "ok" {
				t.Errorf("%s", found)
			}
		}
	}
	f.want(t, "contact", "ok", "linked with bob", "loopback")
	f.want(t, "plugins", "failed", "no text plugin", "install") // these cores have none
}

func TestDiagnoseWithoutAnAccount(t *testing.T) {
	w := newWorld(t)
	p := &person{world: w, name: "nobody"}
	p.begin()
	p.diagnose("").want(t, "account", "failed", "nobody is logged in", "parley login")
}

func TestDiagnoseDirectory(t *testing.T) {
	tests := []struct {
		name    string
		spoil   func(*testing.T, *world, *person)
		check   string
		words   []string
		session bool // it is there still
	}{
		{"nothing there", func(_ *testing.T, w *world, _ *person) { w.leaveServer() }, "reachable", []string{"Nothing listens", "check the port"}, false},
		{"something else there", func(t *testing.T, w *world, _ *person) {
			w.leaveServer()
			talk(t, w.directory, "SSH-2.0-OpenSSH\r\n")
		}, "reachable", []string{"not a Parley directory", "check the host and the port"}, false},
		{"another certificate", func(_ *testing.T, w *world, _ *person) {
			w.leaveServer()
			w.startServer(w.directory, "another")
		}, "certificate", []string{"another certificate than before", "Ask its operator"}, false},
		{"no such name", func(_ *testing.T, _ *world, p *person) {
			p.session().account.Directory = "nowhere.invalid:7410"
		}, "name", []string{"nowhere.invalid", "check"}, true},
		{"address that is none", func(_ *testing.T, _ *world, p *person) {
			p.session().account.Directory = "nowhere"
		}, "directory", []string{"HOST:PORT"}, true},
		{"another device", func(t *testing.T, w *world, p *person) {
			id, err := identity.Generate("alice")
			if err != nil {
				t.Fatal(err)
			}
			_, err = directory.LogIn(t.Context(), directory.Target{Address: w.directory, Identity: id}, directory.Credentials{Password: testPassword, Replace: true})
			if err != nil {
				t.Fatal(err)
			}
			w.until("the old device has noticed", func() bool { return errors.Is(p.session().directory.State().Err, directory.ErrNotLoggedIn) })
		}, "login", []string{"another device has taken its place", "parley login alice@127.0.0.1"}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			p := w.person("alice")
			test.spoil(t, w, p)
			if !test.session {
				w.until("the session is lost", func() bool { return !p.session().directory.State().Connected })
			}
			f := p.diagnose("")
			f.want(t, test.check, "failed", test.words...)
			if !test.session {
				f.want(t, "login", "failed")
			}
		})
	}
}

// leaveServer ends the directory and waits until nobody listens there: a process that
// is being started, as cores try their sandbox, has until it runs its own program what
// this one had open.
func (w *world) leaveServer() {
	w.t.Helper()
	w.stopServer()
	w.until("nobody listens where the directory was", func() bool {
		c, err := net.Dial("tcp", w.directory)
		if err == nil {
			_ = c.Close()
		}
		return errors.Is(err, syscall.ECONNREFUSED)
	})
}

// talk listens, and says the same to everybody; an empty text is silence.
func talk(t *testing.T, address, text string) bus.Endpoint {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = c.Close() })
			if text != "" {
				_, _ = c.Write([]byte(text))
			}
		}
	}()
	return endpointOf(l.Addr().String())
}

func endpointOf(address string) bus.Endpoint {
	a := netip.MustParseAddrPort(address)
	return bus.Endpoint{Host: a.Addr().String(), Port: a.Port()}
}

func TestDiagnosePath(t *testing.T) {
	w := newWorld(t)
	alice, bob, carol := w.person("alice"), w.person("bob"), w.person("carol")
	w.befriend(alice, bob)
	closed, err := freeport.Local(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	refuses := endpointOf(closed)
	answers := bob.session().conn.Endpoints()[0]
	tests := []struct {
		name      string
		endpoints []bus.Endpoint
		result    string
		words     []string
	}{
		{"answers", []bus.Endpoint{answers}, "ok", []string{"bob answers at 127.0.0.1"}},
		{"one of two answers", []bus.Endpoint{refuses, answers}, "ok", []string{"does not answer (connection refused); another one does"}},
		{"closed port", []bus.Endpoint{refuses}, "failed", []string{"nothing listens at 127.0.0.1", "start Parley again"}},
		{"silence", []bus.Endpoint{talk(t, "127.0.0.1:0", "")}, "failed", []string{"gives no answer", "firewall", "let in TCP port"}},
		{"another program", []bus.Endpoint{talk(t, "127.0.0.1:0", "220 mail ESMTP\r\n")}, "failed", []string{"is no Parley"}},
		{"another person", []bus.Endpoint{carol.session().conn.Endpoints()[0]}, "failed", []string{"none of bob's", "somebody else's"}},
		{"address that is none", []bus.Endpoint{{Host: "bob", Port: 1}}, "failed", []string{"bob:1"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := findings{}
			alice.session().diagnosePath(t.Context(), &diagnosis{found: f.add}, "bob", test.endpoints)
			f.want(t, "path", test.result, test.words...)
			if len(f["path"]) != len(test.endpoints) {
				t.Errorf("%d findings for %d endpoints", len(f["path"]), len(test.endpoints))
			}
		})
	}
}

func TestDiagnoseContact(t *testing.T) {
	w := newWorld(t)
	alice, bob, carol := w.person("alice"), w.person("bob"), w.person("carol")
	w.befriend(alice, bob)
	alice.diagnose("mallory").want(t, "contact", "failed", "mallory is not a contact", "parley contacts add mallory")
	if err := alice.session().roster.Request(t.Context(), "carol", "hi"); err != nil {
		t.Fatal(err)
	}
	alice.diagnose("carol").want(t, "contact", "failed", "has not answered your request")
	w.until("the request arrives", func() bool {
		c, err := carol.session().roster.Contact(t.Context(), "alice")
		return err == nil && c.GetState() == controlpb.ContactState_CONTACT_STATE_INCOMING
	})
	carol.diagnose("alice").want(t, "contact", "failed", "waits for your answer", "parley contacts accept alice")
	bob.stop()
	w.until("bob is offline", func() bool {
		p, _ := alice.session().directory.Presence("bob")
		return !p.Online && len(alice.session().conn.Links()) == 0
	})
	alice.diagnose("bob").want(t, "contact", "warning", "bob is offline", "messages wait")
}

func TestDiagnosePort(t *testing.T) {
	w := newWorld(t)
	s := w.person("alice").session()
	deaf := errors.New("port 7000 is in use by another program: choose another")
	s.deaf.Store(&deaf)
	f := findings{}
	s.diagnosePort(t.Context(), &diagnosis{found: f.add})
	f.want(t, "port", "failed", "nobody can connect", "choose another")
	s.deaf.Store(nil)
}

func TestDiagnoseClock(t *testing.T) {
	for offset, want := range map[time.Duration][]string{
		3 * time.Second: {"ok", "agrees"}, 2 * time.Minute: {"warning", "2m0s ahead of", "NTP"}, -time.Hour: {"warning", "1h0m0s behind", "NTP"},
	} {
		f := findings{}
		(&session{}).diagnoseClock(&diagnosis{found: f.add}, bus.DirectoryState{ClockOffset: offset})
		f.want(t, "clock", want[0], want[1:]...)
	}
}

func TestDiagnoseFirewall(t *testing.T) {
	w := newWorld(t)
	s := w.person("alice").session()
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	for _, test := range []struct {
		name   string
		files  fstest.MapFS
		result string
		words  []string
	}{
		{"none", fstest.MapFS{}, "ok", []string{"no ufw"}},
		{"ufw is off", fstest.MapFS{"etc/ufw/ufw.conf": file("# ENABLED=yes\nENABLED=no\n")}, "ok", nil},
		{"ufw", fstest.MapFS{"etc/ufw/ufw.conf": file("# comment\nENABLED=yes\n")}, "warning", []string{"ufw is on", "sudo ufw allow ", "/tcp"}},
		{"firewalld", fstest.MapFS{"run/firewalld.pid": file("1")}, "warning", []string{"firewall-cmd --add-port="}},
		{"nftables", fstest.MapFS{"etc/systemd/system/sysinit.target.wants/nftables.service": file("")}, "warning", []string{"sudo nft add rule"}},
	} {
		f := findings{}
		s.diagnoseFirewall(&diagnosis{found: f.add}, test.files)
		f.want(t, "firewall", test.result, test.words...)
	}
}

// TestDiagnoseEnds: a front end that has gone is told nothing more.
func TestDiagnoseEnds(t *testing.T) {
	p := newWorld(t).person("alice")
	gone := errors.New("gone")
	n := 0
	err := facade{p.core}.Diagnose(context.Background(), "", func(*controlpb.Finding) error { n++; return gone })
	if !errors.Is(err, gone) || n != 1 {
		t.Errorf("%v after %d findings", err, n)
	}
}
