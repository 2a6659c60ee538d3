package e2e

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/parley-chat/parley/bench/network"
	"github.com/parley-chat/parley/bench/network/networktest"
	"github.com/parley-chat/parley/core/client"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// TestShapedLink sends two files at once over a slow link with a long queue, with
// the congestion control that fills such queues. Texts would stand in it, too: so
// it is to be mostly empty.
func TestShapedLink(t *testing.T) {
	t.Parallel()
	if networktest.Need(t) {
		return
	}
	n := newNetwork(t, "server", map[string]string{"server": "10.77.0.1/24", "alice": "10.77.0.2/24", "bob": "10.77.0.3/24"})
	const rate, queue = 40e6, 400 * time.Millisecond
	for _, host := range []string{"alice", "bob"} {
		n.must(n.Shape(host, network.Shape{Rate: rate, Queue: queue}))
		if err := n.SetCongestionControl(host, "cubic"); err != nil {
			t.Skipf("this kernel has no other congestion control: %v", err)
		}
	}
	w := newWorldAt(t, "10.77.0.1:7410", "0.0.0.0:0", n)
	alice, bob := w.person("alice"), w.person("bob")
	w.befriend(alice, bob)
	downloads := filepath.Join(w.folder, "downloads")
	_, err := bob.client.SetSetting(t.Context(), &controlpb.SetSettingRequest{Plugin: "file", Name: "download-folder", Value: downloads})
	n.must(err)
	var contents [][]byte
	for _, name := range []string{"first", "second"} {
		content := make([]byte, 12<<20)
		_, _ = rand.Read(content) // never fails
		contents = append(contents, content)
		path := filepath.Join(w.folder, name)
		n.must(os.WriteFile(path, content, 0o600))
		bob.accepts(alice, alice.offers(bob, path))
	}
	var queued []uint64
	w.within(longPatience, "both files arrive", func() bool {
		port, err := n.Port("bob")
		n.must(err)
		queued = append(queued, port.Queued)
		for _, name := range []string{"first", "second"} {
			if _, err := os.Lstat(filepath.Join(downloads, name)); err != nil {
				return false
			}
		}
		return true
	})
	for i, name := range []string{"first", "second"} {
		if got, err := os.ReadFile(filepath.Join(downloads, name)); err != nil || !slices.Equal(got, contents[i]) {
			t.Errorf("%s is another file than was sent: %v", name, err)
		}
	}
	slices.Sort(queued)
	const room = rate / 8 * uint64(queue/time.Millisecond) / 1000
	if median := queued[len(queued)/2]; median > room/8 {
		t.Errorf("in the middle of %d looks %d bytes wait in a queue of %d", len(queued), median, room)
	}
}

// TestFileAcrossNetworks has bob change to another network in the middle of a file.
// It goes on, and neither side reads again what was there: what a process reads,
// from files and sockets, the kernel counts.
func TestFileAcrossNetworks(t *testing.T) {
	t.Parallel()
	if networktest.Need(t) {
		return
	}
	n := newNetwork(t, "server", map[string]string{"server": "10.79.0.1/24", "alice": "10.79.0.2/24", "bob": "10.79.0.3/24"})
	for _, host := range []string{"alice", "bob"} {
		n.must(n.Shape(host, network.Shape{Rate: 100e6, Queue: 100 * time.Millisecond}))
	}
	w := newWorldAt(t, "10.79.0.1:7410", "0.0.0.0:0", n)
	alice, bob := w.person("alice"), w.person("bob")
	w.befriend(alice, bob)
	downloads := filepath.Join(w.folder, "downloads")
	_, err := bob.client.SetSetting(t.Context(), &controlpb.SetSettingRequest{Plugin: "file", Name: "download-folder", Value: downloads})
	n.must(err)
	content := make([]byte, 48<<20)
	_, _ = rand.Read(content) // never fails
	path := filepath.Join(w.folder, "film")
	n.must(os.WriteFile(path, content, 0o600))
	message := alice.offers(bob, path)
	bob.accepts(alice, message)
	here := func() uint64 {
		resp, err := bob.client.ListBlobs(t.Context(), &controlpb.ListBlobsRequest{Chat: bob.chatWith(alice)})
		n.must(err)
		if len(resp.GetBlobs()) != 1 {
			t.Fatalf("bob's core knows of %d files", len(resp.GetBlobs()))
		}
		return resp.GetBlobs()[0].GetDone()
	}
	w.until("half of the file is here", func() bool { return here() > uint64(len(content)/2) })
	n.must(n.RemoveAddress("bob", "10.79.0.3/24"))
	before := map[*someone]int{alice: alice.hasRead(), bob: bob.hasRead()}
	at := here()
	if at == uint64(len(content)) {
		t.Skip("the file was here before the network changed")
	}
	n.must(n.AddAddress("bob", "10.79.0.4/24"))
	w.within(longPatience, "the file arrives", func() bool {
		got, err := os.ReadFile(filepath.Join(downloads, "film"))
		return err == nil && slices.Equal(got, content)
	})
	for p, began := range before {
		// Some of it is for other things; a second look at what was here is more.
		if read := p.hasRead() - began; read > len(content)-int(at)+len(content)/4 {
			t.Errorf("%s's core read %d bytes after the network changed, when %d of %d were here", p.name, read, at, len(content))
		}
	}
}

// hasRead is how many bytes the core has read since it began.
func (p *someone) hasRead() (n int) {
	p.t.Helper()
	io, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", p.core.Process.Pid))
	if err == nil {
		_, err = fmt.Sscanf(string(io), "rchar: %d", &n)
	}
	if err != nil {
		p.t.Fatal(err)
	}
	return n
}

// offers offers a file, and gives its message.
func (p *someone) offers(to *someone, path string) []byte {
	p.t.Helper()
	result, err := p.client.InvokeAction(p.t.Context(), "file", &pluginpb.InvokeRequest{
		Invocation: client.NewInvocation(), Action: "send", Chat: p.chatWith(to), Paths: []string{path},
	}, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	return result.GetSent()[0]
}

// accepts fetches what was offered once the offer is here.
func (p *someone) accepts(from *someone, message []byte) {
	p.t.Helper()
	p.until("the offer arrives", func() bool {
		resp, err := p.client.ListMessages(p.t.Context(), &controlpb.ListMessagesRequest{Chat: p.chatWith(from), Ids: [][]byte{message}})
		return err == nil && len(resp.GetMessages()) == 1
	})
	_, err := p.client.InvokeAction(p.t.Context(), "file", &pluginpb.InvokeRequest{
		Invocation: client.NewInvocation(), Action: "accept", Chat: p.chatWith(from), Message: message,
	}, nil)
	if err != nil {
		p.t.Fatal(err)
	}
}
