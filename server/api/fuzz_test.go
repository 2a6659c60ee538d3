package api

import (
	"bytes"
	"crypto/ed25519"
	"testing"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/parley-chat/parley/protocol/directorypb"
	"github.com/parley-chat/parley/protocol/packet"
	wire "github.com/parley-chat/parley/protocol/packet/net2019"
	"github.com/parley-chat/parley/server/directory"
	"github.com/parley-chat/parley/server/net2019"
)

// refused fails for an error that does not tell the client what is wrong.
func refused(t *testing.T, err error) {
	if status.Code(err) != codes.InvalidArgument {
		t.Fatalf("error of no kind: %v", err)
	}
}

// FuzzSessionRequest: what a logged-in client sends over its session, as it comes
// off the wire.
func FuzzSessionRequest(f *testing.F) {
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{5}, ed25519.SeedSize))
	public := key.Public().(ed25519.PublicKey)
	p, err := packet.Seal(packet.Header{
		ID: packet.NewPacketID(), Chat: "alice-bob", Type: packet.TypeRequest, Author: "alice", Device: packet.DeviceIDOf(public), SentAt: 1, Delivery: packet.Ephemeral,
	}, []byte("hello"), func(b []byte) []byte { return ed25519.Sign(key, b) })
	if err != nil {
		f.Fatal(err)
	}
	raw, err := p.Marshal()
	if err != nil {
		f.Fatal(err)
	}
	for _, m := range []*directorypb.SessionRequest{
		{Request: &directorypb.SessionRequest_Deliver{Deliver: &directorypb.Deliver{To: "bob", Packet: raw}}},
		{Request: &directorypb.SessionRequest_Deliver{Deliver: &directorypb.Deliver{To: "carol", Packet: raw}}},
		{Request: &directorypb.SessionRequest_Publish{Publish: &directorypb.Publish{Endpoints: []*directorypb.Endpoint{{Host: "192.0.2.1", Port: 7}, {Host: "fe80::1%x", Port: 99999}}}}},
		{Request: &directorypb.SessionRequest_SetContacts{SetContacts: &directorypb.SetContacts{Contacts: []string{"bob"}, Blocked: []string{"Mallory"}}}},
		{Request: &directorypb.SessionRequest_SetNet2019{SetNet2019: &directorypb.SetNet2019{Id: "2017000001", Port: 2333, Watched: []string{"2017000002", "x"}}}},
	} {
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m := &directorypb.SessionRequest{}
		if proto.Unmarshal(b, m) != nil {
			return // gRPC refuses it before
		}
		switch m := m.GetRequest().(type) {
		case *directorypb.SessionRequest_Deliver:
			to, kind, err := parseDeliver(m.Deliver, "alice", public)
			if err != nil {
				refused(t, err)
				return
			}
			p, err := packet.Unmarshal(m.Deliver.GetPacket())
			if err != nil || p.Header.Author != "alice" || p.Header.Chat != packet.DirectChat("alice", to) || p.Header.Type != kind || p.Verify(public) != nil {
				t.Fatalf("carried: %+v, %v", p.Header, err)
			}
		case *directorypb.SessionRequest_Publish:
			endpoints, err := parseEndpoints(m.Publish)
			if err != nil {
				refused(t, err)
				return
			}
			for _, e := range endpoints {
				if e.Addr().Zone() != "" || e.Addr().IsMulticast() || e.Port() == 0 || len(endpoints) > directory.MaxEndpoints {
					t.Fatalf("published: %v", endpoints)
				}
			}
		case *directorypb.SessionRequest_SetContacts:
			lists, err := parseLists(m.SetContacts)
			if err != nil {
				refused(t, err)
				return
			}
			if len(lists.Contacts) > directory.MaxContacts || len(lists.Blocked) > directory.MaxContacts {
				t.Fatalf("lists of %d and %d", len(lists.Contacts), len(lists.Blocked))
			}
		case *directorypb.SessionRequest_SetNet2019:
			setting, err := parseSetNet2019(m.SetNet2019)
			if err != nil {
				refused(t, err)
				return
			}
			for _, id := range append(setting.watched, setting.id) {
				if _, err := wire.ParseID(string(id)); err != nil && id != "" {
					t.Fatal(err)
				}
			}
			if setting.id != "" && wire.CheckPort(setting.port) != nil || setting.id == "" && len(setting.watched) > 0 || len(setting.watched) > net2019.MaxWatched {
				t.Fatalf("%+v", setting)
			}
		}
	})
}

// FuzzProfile: names that others will see.
func FuzzProfile(f *testing.F) {
	f.Add("Alice", []byte("\x89PNG\r\n\x1a\n"))
	f.Add("A\u202elice\n", []byte("GIF89a"))
	f.Add("\xff", []byte{})
	f.Fuzz(func(t *testing.T, name string, avatar []byte) {
		got, err := ParseName(name, "alice")
		if err != nil {
			refused(t, err)
		} else if got == "" || utf8.RuneCountInString(got) > directory.MaxDisplayName {
			t.Fatalf("%q became %q", name, got)
		}
		if err := checkAvatar(avatar); err != nil {
			refused(t, err)
		} else if len(avatar) > directory.MaxAvatar {
			t.Fatalf("a picture of %d bytes", len(avatar))
		}
	})
}
