package control_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/control"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/core/store/storetest"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/pluginpb"
)

// raw is a codec of bytes that are messages already.
type raw struct{}

func (raw) Name() string                  { return "proto" }
func (raw) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }
func (raw) Unmarshal(b []byte, v any) error {
	*v.(*[]byte) = append([]byte(nil), b...)
	return nil
}

// FuzzRequest: a front end may send what it likes, to every method that ends by
// itself; the core answers each, and its own trouble is never the answer.
func FuzzRequest(f *testing.F) {
	var methods []string
	for _, m := range controlpb.Control_ServiceDesc.Methods {
		methods = append(methods, m.MethodName)
	}
	methods = append(methods, "Invoke", "Diagnose")
	folder := f.TempDir()
	s := storetest.New(f)
	core := &willing{control.Account{
		Self: self, Store: s, People: willingPeople{}, Plugins: willingPlugins{}, Receipts: fakeReceipts{}, Net2019: willingNet2019{},
		SetRead:        func(context.Context, packet.ChatID, packet.OrderKey) error { return nil },
		SetProfile:     func(context.Context, *controlpb.SetProfileRequest) error { return nil },
		ChangePassword: func(context.Context, string, string) error { return nil },
	}}
	id := packet.NewPacketID()
	err := s.Update(f.Context(), store.Synced, func(tx store.Tx) error {
		if err := tx.PutChat(store.Chat{ID: chat, CreatedAt: 1}); err != nil {
			return err
		}
		if err := tx.PutMembership(chat, store.Membership{Version: 1, Members: []packet.UserID{self, peer}}); err != nil {
			return err
		}
		h := packet.Header{ID: id, Chat: chat, Author: peer, Depth: 1, SentAt: 1, Epoch: 1, Number: 1}
		_, err := tx.AddMessage(store.Message{ID: id, Chat: chat, Author: peer, Plugin: "text", Kind: "text", Body: "x", SentAt: 1, Order: h.Order(), Entry: h.Key()})
		return err
	})
	if err != nil {
		f.Fatal(err)
	}
	server, err := control.Listen(control.Config{Core: core, Bus: bus.New(), Socket: filepath.Join(folder, "s"), Log: slog.New(slog.DiscardHandler), Status: statusOf})
	if err != nil {
		f.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx) }()
	conn, err := grpc.NewClient("unix:"+filepath.Join(folder, "s"), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodec(raw{})))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		_ = conn.Close()
		cancel()
		if err := <-served; !errors.Is(err, context.Canceled) {
			f.Errorf("Serve ended with %v", err)
		}
	})
	seed := func(method string, m proto.Message) {
		for i, name := range methods {
			if name == method {
				b, err := proto.Marshal(m)
				if err != nil {
					f.Fatal(err)
				}
				f.Add(uint8(i), b)
			}
		}
	}
	seed("ListMessages", &controlpb.ListMessagesRequest{Chat: string(chat), Before: id[:], Limit: 10})
	seed("ListMessages", &controlpb.ListMessagesRequest{Chat: string(chat), Ids: [][]byte{id[:], id[:3]}})
	seed("Search", &controlpb.SearchRequest{Query: "x", Chat: string(chat)})
	seed("SetChat", &controlpb.SetChatRequest{Id: string(chat)})
	seed("MarkRead", &controlpb.MarkReadRequest{Chat: string(chat), Message: id[:]})
	seed("RequestContact", &controlpb.RequestContactRequest{User: string(peer)})
	seed("Invoke", &controlpb.InvokeRequest{Plugin: "text", Request: &pluginpb.InvokeRequest{Invocation: id[:], Action: "send"}})
	for i := range methods {
		f.Add(uint8(i), []byte{})
		f.Add(uint8(i), []byte{0xff})
	}
	f.Fuzz(func(t *testing.T, method uint8, request []byte) {
		name := methods[int(method)%len(methods)]
		path := "/" + controlpb.Control_ServiceDesc.ServiceName + "/" + name
		var answer []byte
		var err error
		if name == "Invoke" || name == "Diagnose" {
			err = streamed(t.Context(), conn, path, &request)
		} else {
			err = conn.Invoke(t.Context(), path, &request, &answer)
		}
		switch code := status.Code(err); code {
		case codes.OK, codes.InvalidArgument, codes.NotFound:
		case codes.Internal:
			// What is no message at all, says gRPC.
			if !strings.Contains(err.Error(), "unmarshal") {
				t.Fatalf("%s: %v", name, err)
			}
		default:
			t.Fatalf("%s: %v", name, err)
		}
	})
}

func streamed(ctx context.Context, conn *grpc.ClientConn, path string, request *[]byte) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, path)
	if err == nil {
		err = errors.Join(stream.SendMsg(request), stream.CloseSend())
	}
	for err == nil {
		var answer []byte
		err = stream.RecvMsg(&answer)
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
