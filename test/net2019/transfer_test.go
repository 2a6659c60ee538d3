package net2019

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/pluginpb"
	"github.com/parley-chat/parley/test/net2019/original"
)

// pausing stops who calls it for the nth time until it is let go on.
type pausing struct {
	at, calls int
	there, on chan struct{}
}

func pausingAt(n int) *pausing {
	return &pausing{at: n, there: make(chan struct{}), on: make(chan struct{})}
}

func (p *pausing) call() {
	if p.calls++; p.calls == p.at {
		close(p.there)
		<-p.on
	}
}

// transfer is the file of a message, and how far it is.
func (p *someone) transfer(chat string, message []byte) *controlpb.Blob {
	p.t.Helper()
	resp, err := p.client.ListMessages(p.soon(), &controlpb.ListMessagesRequest{Chat: chat, Ids: [][]byte{message}})
	must(p.t, err)
	if len(resp.GetMessages()) != 1 || len(resp.GetMessages()[0].GetBlobs()) != 1 {
		p.t.Fatalf("%v", resp)
	}
	return resp.GetMessages()[0].GetBlobs()[0]
}

// offers sends a file and gives its message.
func (p *someone) offers(chat, path string) (message []byte) {
	p.t.Helper()
	must(p.t, p.invoke("file", &pluginpb.InvokeRequest{Action: "send", Chat: chat, Paths: []string{path}}))
	for _, m := range p.messages(chat) {
		if m.GetOwn() && len(m.GetBlobs()) == 1 && m.GetBlobs()[0].GetBlob().GetName() == filepath.Base(path) {
			message = m.GetId()
		}
	}
	return message
}

// becomes waits until a file is in a state.
func (p *someone) becomes(chat string, message []byte, state pluginpb.BlobState) {
	p.t.Helper()
	p.until(p.name+"'s file is "+state.String(), func() bool { return p.transfer(chat, message).GetBlob().GetState() == state })
}

// underWay waits until some of a file has moved and not all, and wants that said in a
// terminal; it gives the id by which it is called there.
func (p *someone) underWay(chat string, message []byte, words string) (id string) {
	p.t.Helper()
	var b *controlpb.Blob
	p.until("some of the file has moved", func() bool {
		b = p.transfer(chat, message)
		return b.GetDone() > 0
	})
	if b.GetDone() >= b.GetBlob().GetSize() || len(b.GetPeers()) != 1 || b.GetPeers()[0] != nameOf(one) {
		p.t.Errorf("under way: %v", b)
	}
	out, _ := p.cli("", "file", "list")
	line := regexp.MustCompile(`(?m)^([0-9a-f]+) +\S+ +` + regexp.QuoteMeta(b.GetBlob().GetName()) + ` .*` + words + `.*$`).FindStringSubmatch(out)
	if line == nil {
		p.t.Fatalf("parley file list:\n%s\nwhich should say %q", out, words)
	}
	return line[1]
}

// refuses does what must fail with one sentence.
func (p *someone) refuses(words string, args ...string) {
	p.t.Helper()
	if out, status := p.cli("", args...); status == 0 || !strings.Contains(out, words) || strings.Count(out, "\n") != 1 {
		p.t.Errorf("parley %s: exit status %d:\n%s\nwhich should say %q", strings.Join(args, " "), status, out, words)
	}
}

// pieces are what is kept of files that come.
func (p *someone) pieces() []string {
	p.t.Helper()
	found, err := filepath.Glob(filepath.Join(p.home, "profiles", "default", "*", "*", "net2019", "*"))
	must(p.t, err)
	return found
}

// A file that goes shows how far it is, cannot be paused, and is cancelled without the
// original noticing anything but that the file is none.
func TestCancelToOriginal(t *testing.T) {
	t.Parallel()
	pause := pausingAt(500)
	w, c, p := befriended(t, func(c *original.Config) { c.BeforeRead = pause.call })
	chat, name := original.ChatOf(one, two), p.chatWith(one)
	content := bytes.Repeat([]byte("a secret"), 512<<10)
	path := filepath.Join(w.folder, "of_mine.bin")
	must(t, os.WriteFile(path, content, 0o600))
	message := p.offers(name, path)
	<-pause.there
	id := p.underWay(name, message, `\d+%`)
	p.refuses("The protocol of 2019 cannot pause", "file", "pause", id)
	if b := p.transfer(name, message); b.GetBlob().GetState() != pluginpb.BlobState_BLOB_STATE_SHARED {
		t.Errorf("after it was not paused: %v", b)
	}
	p.send(name, "behind it")
	p.types("", "cancelled", "file", "cancel", id)
	close(pause.on)

	w.hears(c, chat, two, "of_mine.bin was broken off while it was sent: what you have of it is not the file. Delete it.")
	w.hears(c, chat, two, "behind it")
	got, err := os.ReadFile(c.Received("of_mine.bin"))
	must(t, err)
	given := bytes.TrimRight(got, "\x00")
	if len(got) != len(content) || len(given) == len(content) || !bytes.HasPrefix(content, given) {
		t.Errorf("it has %d bytes, of which %d are the file's %d", len(got), len(given), len(content))
	}
	p.talk(c, "after it")
	if len(c.Links()) != 1 || c.Links()[0].Failed() != nil {
		t.Errorf("it has %d links, the first of which failed: %v", len(c.Links()), c.Links()[0].Failed())
	}
	p.becomes(name, message, pluginpb.BlobState_BLOB_STATE_CANCELLED)
	p.wellFormed(c)

	whole := filepath.Join(w.folder, "whole.bin")
	must(t, os.WriteFile(whole, content[:100_000], 0o600))
	message = p.offers(name, whole)
	w.received(c, "whole.bin", content[:100_000])
	p.becomes(name, message, pluginpb.BlobState_BLOB_STATE_DONE)
	p.types("", "sent", "file", "list", "--all", nameOf(one))
}

// A file that comes shows how far it is, and leaves nothing when it is cancelled; what
// comes behind it is heard, and another file is taken.
func TestCancelFromOriginal(t *testing.T) {
	t.Parallel()
	pause := pausingAt(500)
	_, c, p := befriended(t, func(c *original.Config) {
		c.Writes = func(n int) int { pause.call(); return n }
	})
	chat, name := original.ChatOf(one, two), p.chatWith(one)
	content := random(1 << 20)
	sent := make(chan error, 1)
	go func() { sent <- c.SendFile(chat, original.File, "/coming.bin", bytes.NewReader(content), 1<<20) }()
	<-pause.there
	message := p.offered(name, one, "coming.bin")
	id := p.underWay(name, message, `offered, \d+% is here`)
	p.types("", "", "file", "accept", id)
	p.underWay(name, message, `\d+%`)
	p.refuses("The protocol of 2019 cannot pause", "file", "pause", id)
	if n := len(p.pieces()); n != 1 {
		t.Errorf("%d files are kept of what comes", n)
	}
	p.types("", "cancelled", "file", "cancel", id)
	close(pause.on)
	must(t, <-sent)
	must(t, c.Say(chat, "behind mine"))
	p.hears(name, one, "behind mine")
	p.until("it leaves nothing", func() bool { return len(p.pieces()) == 0 })
	p.becomes(name, message, pluginpb.BlobState_BLOB_STATE_CANCELLED)
	p.refuses("its sender must send it once more", "file", "accept", id)
	must(t, c.SendFile(chat, original.File, "/once more.bin", bytes.NewReader(content), 1<<20))
	if got := p.accepts(name, one, "once more.bin"); !bytes.Equal(got, content) {
		t.Errorf("alice has %d bytes", len(got))
	}
	p.until("nothing is left", func() bool { return len(p.pieces()) == 0 })
	p.talk(c, "after it")

	// A text that needs more than one message, and one that is too long.
	long := strings.Repeat("很长_", 50_000)
	must(t, c.Say(chat, long))
	p.until("the long text", func() bool {
		var all strings.Builder
		for _, m := range p.messages(name) {
			if !m.GetOwn() && strings.Contains(m.GetBody(), "很") {
				all.WriteString(m.GetBody())
			}
		}
		return all.String() == long
	})
	must(t, c.Say(chat, strings.Repeat("x", 2<<20)))
	p.told("which is lost")
	p.talk(c, "after all")
	if len(c.Links()) != 1 {
		t.Errorf("it has %d links", len(c.Links()))
	}
}
