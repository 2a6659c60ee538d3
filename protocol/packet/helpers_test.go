package packet

import (
	"crypto/ed25519"
	"testing"
)

// The two devices of the tests: their keys are made of fixed seeds, so that
// every byte of the golden vectors is fixed.
var (
	aliceKey = testKey(0)
	bobKey   = testKey(100)
)

func testKey(first byte) ed25519.PrivateKey {
	seed := make([]byte, ed25519.SeedSize)
	for i := range seed {
		seed[i] = first + byte(i)
	}
	return ed25519.NewKeyFromSeed(seed)
}

func public(key ed25519.PrivateKey) ed25519.PublicKey { return key.Public().(ed25519.PublicKey) }

func signer(key ed25519.PrivateKey) Signer {
	return func(message []byte) []byte { return ed25519.Sign(key, message) }
}

func testID(t testing.TB, s string) PacketID {
	t.Helper()
	id, err := ParsePacketID(s)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// textHeader is the header of the third entry of alice's log in her chat with
// bob.
func textHeader(t testing.TB) Header {
	t.Helper()
	return Header{
		ID: testID(t, "018fd5c2-9d10-7abc-8def-0123456789ab"), Chat: "alice-bob", Type: "text",
		Author: "alice", Device: DeviceIDOf(public(aliceKey)),
		Epoch: 1_700_000_000_000_000, Number: 3, Depth: 7, SentAt: 1_700_000_123_456_789, Delivery: Reliable,
	}
}

func seal(t testing.TB, h Header, content string) Packet {
	t.Helper()
	p, err := Seal(h, []byte(content), signer(aliceKey))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func readRegister(t testing.TB) Register {
	t.Helper()
	h := textHeader(t)
	key := h.Order()
	r, err := SealRegister(Register{
		Chat: "alice-bob", Author: "bob", Device: DeviceIDOf(public(bobKey)),
		Name: RegisterRead, Value: key[:], Version: 1_700_000_200_000_000,
	}, signer(bobKey))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// frames has one of every kind, by name.
func frames(t testing.TB) map[string]Frame {
	t.Helper()
	alice, bob := DeviceIDOf(public(aliceKey)), DeviceIDOf(public(bobKey))
	const epoch = 1_700_000_000_000_000
	text := seal(t, textHeader(t), "hello")

	unicode := textHeader(t)
	unicode.ID, unicode.Number, unicode.Depth = testID(t, "018fd5c2-9d10-7abc-8def-0123456789ac"), 4, 8
	chinese := seal(t, unicode, "你好，世界 👋🏽 e\u0301 \u202eabc")

	typing := textHeader(t)
	typing.ID, typing.Type = testID(t, "018fd5c2-9d10-7abc-8def-0123456789ad"), "text.typing"
	typing.Epoch, typing.Number, typing.Delivery = 0, 0, Ephemeral
	ephemeral, err := Seal(typing, nil, nil)
	if err != nil {
		t.Fatal(err)
	}

	deleted := text
	deleted.Content = nil

	group := textHeader(t)
	group.Chat, group.Type, group.Membership = "abcdefghijklmnopqrstuvwxyz", "org.example.poll/vote", 12
	group.Number, group.Depth, group.SentAt = maxCounter, maxCounter, maxCounter
	foreign := seal(t, group, "\x00\xff")

	register := readRegister(t)
	return map[string]Frame{
		"packet-text":      &text,
		"packet-unicode":   &chinese,
		"packet-ephemeral": &ephemeral,
		"packet-deleted":   &deleted,
		"packet-group":     &foreign,
		"hello": &Hello{
			Version: Version, User: "alice", Device: alice, Port: 41234, Features: []string{"blob", "x-test"}, Agent: "parley/v1.2.3",
		},
		"hello-minimal": &Hello{Version: Version, User: "a", Device: alice},
		"vectors": &Vectors{Complete: true, Chats: []ChatVector{
			{Chat: "alice-bob", Logs: []LogVector{
				{Device: alice, Epoch: epoch, Upto: 3, Beyond: []Range{{5, 5}, {7, 900}}},
				{Device: bob, Epoch: epoch + 1},
			}},
			{Chat: "abcdefghijklmnopqrstuvwxyz", Membership: 12},
		}},
		"want":      &Want{Log: Log{"alice-bob", bob, epoch}, Ranges: []Range{{1, 4}, {6, maxCounter}}},
		"refusals":  &Refusals{[]Refusal{{EntryKey{Log{"alice-bob", alice, epoch}, 3}, ReasonTooLarge, "larger than 64 KiB"}}},
		"registers": &Registers{[]Register{register}},
		"ping":      &Ping{Nonce: 0x0123456789abcdef},
		"pong":      &Pong{Nonce: 0x0123456789abcdef},
		"bye":       &Bye{Reason: ByeProtocol, Text: "frame of 2097152 bytes, at most 1048576 here"},
	}
}
