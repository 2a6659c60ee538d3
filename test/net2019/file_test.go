package net2019

import (
	"bytes"
	"image"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parley-chat/parley/protocol/pluginpb"
	"github.com/parley-chat/parley/test/net2019/original"
)

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

func (w *world) received(c *original.Client, name string, want []byte) {
	w.t.Helper()
	w.await(c, "got "+name, func() bool { return c.Received(name) != "" })
	got, err := os.ReadFile(c.Received(name))
	must(w.t, err)
	if !bytes.Equal(got, want) {
		w.t.Fatalf("%s: %s has %d bytes, which are not the %d that were sent", c.ID(), name, len(got), len(want))
	}
}

// offered waits for a file of somebody in a chat.
func (p *someone) offered(chat, id, name string) (message []byte) {
	p.t.Helper()
	p.until(p.name+" is offered "+name, func() bool {
		for _, m := range p.messages(chat) {
			if m.GetAuthor() == nameOf(id) && len(m.GetBlobs()) == 1 && m.GetBlobs()[0].GetBlob().GetName() == name {
				message = m.GetId()
			}
		}
		return message != nil
	})
	return message
}

func (p *someone) blob(chat string, message []byte) *pluginpb.Blob {
	p.t.Helper()
	return p.transfer(chat, message).GetBlob()
}

// accepts takes a file and gives its content.
func (p *someone) accepts(chat, id, name string) []byte {
	p.t.Helper()
	message := p.offered(chat, id, name)
	if p.blob(chat, message).GetState() == pluginpb.BlobState_BLOB_STATE_OFFERED {
		must(p.t, p.invoke("file", &pluginpb.InvokeRequest{Action: "accept", Chat: chat, Message: message}))
	}
	p.until(p.name+" has "+name, func() bool {
		b := p.blob(chat, message)
		if b.GetState() == pluginpb.BlobState_BLOB_STATE_FAILED {
			p.t.Fatalf("%s failed: %s", name, b.GetReason())
		}
		return b.GetState() == pluginpb.BlobState_BLOB_STATE_DONE
	})
	got, err := os.ReadFile(p.blob(chat, message).GetPath())
	must(p.t, err)
	return got
}

// rests gives what rests now and then when it is called.
func rests() func() {
	n := 0
	return func() {
		if n++; n%50 == 0 {
			time.Sleep(time.Millisecond) // slowness is what it is about
		}
	}
}

// A file of 20 MB goes to an original that is slow, and what is said meanwhile comes
// after it.
func TestFileToOriginal(t *testing.T) {
	t.Parallel()
	w, c, p := befriended(t, func(c *original.Config) { c.BeforeRead = rests() })
	chat, name := original.ChatOf(one, two), p.chatWith(one)
	content := random(20 << 20)
	path := filepath.Join(w.folder, "大_文件_1.bin")
	must(t, os.WriteFile(path, content, 0o600))
	must(t, p.invoke("file", &pluginpb.InvokeRequest{Action: "send", Chat: name, Paths: []string{path}}))
	p.send(name, "behind it")
	w.received(c, "大_文件_1.bin", content)
	w.hears(c, chat, two, "behind it")
	p.sent(name, "behind it")
	p.wellFormed(c)
	for _, f := range c.Links()[0].Frames() {
		if f.Kind == original.File && (f.Length != int64(len(content)) || f.Content != "./大_文件_1.bin") {
			t.Errorf("it heard %+v", f)
		}
	}
}

// A file of 20 MB comes from an original that is slow; one of which bytes are
// missing fails, and takes nothing else along.
func TestFileFromOriginal(t *testing.T) {
	t.Parallel()
	rest, short := rests(), false
	w, c, p := befriended(t, func(c *original.Config) {
		c.Writes = func(n int) int {
			if rest(); short {
				return n - 1
			}
			return n
		}
	})
	chat, name := original.ChatOf(one, two), p.chatWith(one)
	content := random(20 << 20)
	must(t, c.SendFile(chat, original.File, "C:/Users/one/来_1.bin", bytes.NewReader(content), int64(len(content))))
	must(t, c.Say(chat, "behind mine"))
	if got := p.accepts(name, one, "来_1.bin"); !bytes.Equal(got, content) {
		t.Errorf("alice has %d bytes, which are not those that were sent", len(got))
	}
	p.hears(name, one, "behind mine")
	for _, empty := range []string{"/empty_", "/0_0"} {
		must(t, c.SendFile(chat, original.File, empty, bytes.NewReader(nil), 0))
		if got := p.accepts(name, one, strings.TrimPrefix(empty, "/")); len(got) > 0 {
			t.Errorf("%s has %d bytes", empty, len(got))
		}
	}

	short = true
	must(t, c.SendFile(chat, original.File, "/short.bin", bytes.NewReader(content[:1<<20]), 1<<20))
	must(t, c.Say(chat, "lost in the file"))
	message := p.offered(name, one, "short.bin")
	p.until("the short one has failed", func() bool {
		return p.blob(name, message).GetState() == pluginpb.BlobState_BLOB_STATE_FAILED
	})
	if reason := p.blob(name, message).GetReason(); reason == "" {
		t.Error("nothing says why")
	} else {
		t.Log(reason)
	}
	if left := p.pieces(); len(left) > 0 {
		t.Errorf("it leaves %q", left)
	}
	w.await(c, "left", func() bool { return !slices.Contains(c.Chats(), chat) })
	_, err := c.Add(w.soon(), two)
	must(t, err)
	p.linked(one)
	p.talk(c, "after it")
	if p.message(name, nameOf(one), "first!") == nil {
		t.Error("what was said before is gone")
	}
}

// A picture is one on both sides, and shown as one once it is there.
func TestPictures(t *testing.T) {
	t.Parallel()
	w, c, p := befriended(t, nil)
	chat, name := original.ChatOf(one, two), p.chatWith(one)
	var b bytes.Buffer
	must(t, png.Encode(&b, image.NewGray(image.Rect(0, 0, 60, 40))))
	must(t, c.SendFile(chat, original.Image, "/home/one/theirs_1.png", bytes.NewReader(b.Bytes()), int64(b.Len())))
	if got := p.accepts(name, one, "theirs_1.png"); !bytes.Equal(got, b.Bytes()) {
		t.Errorf("alice has %d bytes, which are not those that were sent", len(got))
	}
	p.until("it is shown as a picture", func() bool {
		for _, m := range p.messages(name) {
			if m.GetPresentation() == pluginpb.Presentation_PRESENTATION_IMAGE && bytes.Contains(m.GetData(), []byte(`"width":60,"height":40`)) {
				return true
			}
		}
		return false
	})

	path := filepath.Join(w.folder, "ours.png")
	must(t, os.WriteFile(path, b.Bytes(), 0o600))
	must(t, p.invoke("file", &pluginpb.InvokeRequest{Action: "send", Chat: name, Paths: []string{path}}))
	w.received(c, "ours.png", b.Bytes())
	kinds := 0
	for _, f := range c.Links()[0].Frames() {
		if f.Kind == original.Image {
			kinds++
		}
	}
	if kinds != 1 {
		t.Errorf("it heard of %d images", kinds)
	}
}

// Names of files are names, whatever paths they were.
func TestPathTricks(t *testing.T) {
	t.Parallel()
	_, c, p := befriended(t, nil)
	chat, name := original.ChatOf(one, two), p.chatWith(one)
	content := []byte("content")
	for path, want := range map[string]string{
		"/../../../../../../tmp/p19_evil": "p19_evil",
		"/home/one/":                      "file",
		`C:\Windows\evil_2`:               "evil_2",
		"/a\x00b\n_c":                     "ab_c",
		"/" + strings.Repeat("名", 200):    strings.Repeat("名", 85),
		"/\u202egpj.exe":                  "gpj.exe",
		"plain":                           "plain",
		"/~/.bashrc":                      "_bashrc", // not hidden
	} {
		must(t, c.SendFile(chat, original.File, path, bytes.NewReader(content), int64(len(content))))
		if got := p.accepts(name, one, want); !bytes.Equal(got, content) {
			t.Errorf("%q: %q", path, got)
		}
	}
	if _, err := os.Stat("/tmp/p19_evil"); err == nil {
		t.Error("a path was followed")
	}
	folders := map[string]bool{}
	for _, m := range p.messages(name) {
		for _, b := range m.GetBlobs() {
			folders[filepath.Dir(b.GetBlob().GetPath())] = true
		}
	}
	if len(folders) != 1 {
		t.Errorf("they lie in %v", folders)
	}
	p.talk(c, "after it")
}

// A file goes to each of a group, once.
func TestFilesInGroup(t *testing.T) {
	t.Parallel()
	g := newMixed(t)
	g.everybody("before")
	content := bytes.Repeat([]byte("content "), 5000)
	must(t, g.a.SendFile(g.chat, original.File, "/home/one/of_all.dat", bytes.NewReader(content), int64(len(content))))
	for _, p := range []*someone{g.bob, g.carol} {
		if got := p.accepts(g.name, one, "of_all.dat"); !bytes.Equal(got, content) {
			t.Errorf("%s has %d bytes", p.name, len(got))
		}
	}
	path := filepath.Join(g.folder, "of_bob.dat")
	must(t, os.WriteFile(path, content, 0o600))
	must(t, g.bob.invoke("file", &pluginpb.InvokeRequest{Action: "send", Chat: g.name, Paths: []string{path}}))
	for _, c := range []*original.Client{g.a, g.d} {
		g.received(c, "of_bob.dat", content)
	}
	if got := g.carol.accepts(g.name, two, "of_bob.dat"); !bytes.Equal(got, content) {
		t.Errorf("carol has %d bytes", len(got))
	}
	g.everybody("after")
}

// A core that is killed in the middle of files claims none to be whole, and once the
// original has added its person again they go through.
func TestKilledInFile(t *testing.T) {
	t.Parallel()
	pause := pausingAt(500)
	content := random(1 << 20)
	again := func(w *world, c *original.Client, p *someone) {
		t.Helper()
		p.again()
		c.Leave(original.ChatOf(one, two))
		_, err := c.Add(w.soon(), two)
		must(t, err)
		p.linked(one)
	}
	t.Run("that goes", func(t *testing.T) {
		w, c, p := befriended(t, func(c *original.Config) { c.BeforeRead = pause.call })
		path, name := filepath.Join(w.folder, "going.bin"), p.chatWith(one)
		must(t, os.WriteFile(path, content, 0o600))
		must(t, p.invoke("file", &pluginpb.InvokeRequest{Action: "send", Chat: name, Paths: []string{path}}))
		p.send(name, "behind it")
		<-pause.there
		p.core.Kill()
		close(pause.on)
		again(w, c, p)
		w.received(c, "going.bin", content)
		w.hears(c, original.ChatOf(one, two), two, "behind it")
		p.sent(name, "behind it")
	})
	pause = pausingAt(500)
	t.Run("that comes", func(t *testing.T) {
		w, c, p := befriended(t, func(c *original.Config) {
			c.Writes = func(n int) int { pause.call(); return n }
		})
		chat, name := original.ChatOf(one, two), p.chatWith(one)
		sent := make(chan error, 1)
		go func() { sent <- c.SendFile(chat, original.File, "/coming.bin", bytes.NewReader(content), 1<<20) }()
		<-pause.there
		first := p.offered(name, one, "coming.bin")
		p.until("some of it is kept", func() bool { return len(p.pieces()) == 1 })
		p.core.Kill()
		close(pause.on)
		if err := <-sent; err != nil {
			t.Logf("it could not send all: %v", err)
		}
		again(w, c, p)
		p.until("what came of it is gone", func() bool { return len(p.pieces()) == 0 })
		if b := p.blob(name, first); b.GetState() == pluginpb.BlobState_BLOB_STATE_DONE {
			t.Errorf("half of it is taken for the whole: %v", b)
		} else {
			t.Logf("%s: %s", b.GetState(), b.GetReason())
		}
		must(t, c.SendFile(chat, original.File, "/once more.bin", bytes.NewReader(content), 1<<20))
		if got := p.accepts(name, one, "once more.bin"); !bytes.Equal(got, content) {
			t.Errorf("alice has %d bytes", len(got))
		}
		p.talk(c, "after it")
	})
}
