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
		"vectors-anew": &Vectors{Chats: []ChatVector{
			{Chat: "abcdefghijklmnopqrstuvwxyz", Membership: 12, Logs: []LogVector{{Device: alice, Epoch: epoch, Upto: 3}}, Anew: true},
		}},
		"want":      &Want{Log: Log{"alice-bob", bob, epoch}, Ranges: []Range{{1, 4}, {6, maxCounter}}},
		"refusals":  &Refusals{[]Refusal{{EntryKey{Log: Log{"alice-bob", alice, epoch}, Number: 3}, ReasonTooLarge, "larger than 64 KiB"}}},
		"registers": &Registers{[]Register{register}},
		"ping":      &Ping{Nonce: 0x0123456789abcdef},
		"pong":      &Pong{Nonce: 0x0123456789abcdef},
		"bye":       &Bye{Reason: ByeProtocol, Text: "frame of 2097152 bytes, at most 1048576 here"},
		"compare": &Compare{Chat: "abcdefghijklmnopqrstuvwxyz", Logs: []LogDigest{
			{Device: alice, Epoch: epoch, Places: Range{1, 5000}, Digests: []Digest{DigestOf([]byte("all"))}},
			{Device: alice, Epoch: epoch, Places: Range{4097, 4225}, Digests: []Digest{{1}, {2}, Combine([]Digest{{3}, {4}})}},
			{Device: bob, Epoch: epoch + 1, Places: Range{7, 7}, Digests: []Digest{{5}, {6}}, Answer: true},
		}},
		"stream":    &Stream{Token: testToken, Dial: true},
		"blob-news": &BlobNews{Chat: "alice-bob", Blobs: []BlobID{testBlob(t), BlobID(text.Header.ID)}},
	}
}

var testToken = Token{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}

func testBlob(t testing.TB) BlobID {
	t.Helper()
	id, err := ParseBlobID("018fd5c2-9d10-7abc-8def-00000000b10b")
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// testManifest is of a folder of two pieces and a bit.
func testManifest(t testing.TB) Manifest {
	t.Helper()
	m, err := SealManifest(Manifest{
		Blob: testBlob(t), Chat: "alice-bob", Author: "alice", Device: DeviceIDOf(public(aliceKey)),
		Size: 2*PieceSize + 5, IndexSize: 77, Root: HashOf([]byte("hashes")),
	}, signer(aliceKey))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// streamFrames are one of each kind.
func streamFrames(t testing.TB) map[string]StreamFrame {
	t.Helper()
	m := testManifest(t)
	return map[string]StreamFrame{
		"stream-open":         &StreamOpen{Token: testToken},
		"blob-request":        &BlobRequest{Request: 7, Blob: testBlob(t), Chat: "alice-bob", First: 1, Count: 2, Offset: 65536},
		"blob-request-hashes": &BlobRequest{Request: 8, Blob: testBlob(t), Chat: "abcdefghijklmnopqrstuvwxyz", Hashes: true},
		"blob-cancel":         &BlobCancel{Request: 7},
		"blob-info":           &BlobInfo{Request: 7, Size: m.Size, IndexSize: m.IndexSize, Manifest: &m, Have: []Range{{0, 0}, {2, 2}}},
		"blob-info-growing":   &BlobInfo{Request: 7, Size: MaxBlob},
		"piece":               &Piece{Request: 7, Number: 2, Offset: 1, Length: 4, Hash: HashOf([]byte("hello"))},
		"blob-hashes":         &BlobHashes{Request: 8, First: 1, Hashes: []Hash{HashOf(nil), HashOf([]byte("hello"))}},
		"blob-end":            &BlobEnd{Request: 7, Code: BlobChanged, Text: "holiday.mp4 was changed"},
	}
}

// testFolder has all kinds of entries.
func testFolder() Folder {
	return Folder{
		{Path: "notes.txt", Kind: FolderFile, Mode: 0o644, Size: 5, Modified: 1_700_000_123_456_789},
		{Path: "empty", Kind: FolderFolder, Mode: 0o755, Modified: -1},
		{Path: "图片", Kind: FolderFolder, Mode: 0o700},
		{Path: "图片/run", Kind: FolderFile, Mode: 0o755, Size: PieceSize},
		{Path: "图片/link", Kind: FolderLink, Mode: 0o777, Target: "../notes.txt"},
	}
}
