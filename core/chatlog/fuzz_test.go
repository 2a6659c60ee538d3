package chatlog

import (
	"bytes"
	"testing"
	"time"

	"github.com/parley-chat/parley/protocol/packet"
)

// FuzzMember: whatever frames a member of a chat sends, in whatever order, what
// is kept for its link is bounded, nobody else's entries come of it, and honest
// messages go on.
func FuzzMember(f *testing.F) {
	seed := newNetwork(f, 1, "alice", "bob")
	text := forge(f, seed.nodes[0].id, packet.Header{Chat: direct, Author: "alice", Device: seed.nodes[0].id.Device()}, "x")
	second := forge(f, seed.nodes[0].id, packet.Header{Chat: direct, Author: "alice", Device: seed.nodes[0].id.Device()}, "y")
	log := text.Header.Key().Log
	register, err := packet.SealRegister(packet.Register{Chat: direct, Author: "alice", Device: log.Device, Name: "fuzz", Value: []byte("x"), Version: 3}, seed.nodes[0].id.Sign)
	must(f, err)
	stream := func(frames ...packet.Frame) {
		var b []byte
		for _, frame := range frames {
			b, err = packet.AppendFrame(b, frame)
			must(f, err)
		}
		f.Add(b)
	}
	vector := packet.LogVector{Device: log.Device, Epoch: 1, Upto: 3, Beyond: []packet.Range{{First: 5, Last: 9}}}
	stream(text, second)
	stream(&packet.Vectors{Complete: true, Chats: []packet.ChatVector{{Chat: direct, Membership: 1, Logs: []packet.LogVector{vector}}}}, text)
	stream(&packet.Want{Log: log, Ranges: []packet.Range{{First: 1, Last: 1 << 40}}}, &packet.Registers{Registers: []packet.Register{register}})
	stream(&packet.Refusals{Refusals: []packet.Refusal{{Key: packet.EntryKey{Log: log, Number: 1}, Reason: packet.ReasonTooLarge, Text: "no"}}})
	f.Fuzz(func(t *testing.T, b []byte) {
		n := newNetwork(t, 1, "alice", "bob")
		n.chat(direct, n.nodes...)
		alice, bob := n.nodes[0], n.nodes[1]
		bob.write(direct, "before")
		w := n.connect(alice, bob)
		r := bytes.NewReader(b)
		for range 32 {
			frame, err := packet.ReadFrame(r, packet.MaxFrame)
			if err != nil {
				break
			}
			if frame != nil {
				n.give(w, bob, frame)
			}
			bob.work()
			n.pump(w, 1)
		}
		for _, l := range bob.svc.links {
			if len(l.claims) > maxStrangeLogs+maxStrangeDevices || len(l.audits) > maxStrangeLogs || len(l.serve) > maxServing || len(l.shared) > 1 {
				t.Fatalf("kept: %d claims, %d audits, %d to serve, %d chats", len(l.claims), len(l.audits), len(l.serve), len(l.shared))
			}
		}
		n.cut(w)
		n.connect(alice, bob)
		bob.write(direct, "after")
		n.quiet(time.Hour)
		mine := 0
		for _, line := range bob.lines(direct) {
			if line == "bob: before" || line == "bob: after" {
				mine++
			}
		}
		if mine != 2 {
			t.Fatalf("bob shows %q", bob.lines(direct))
		}
	})
}
