package server_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/parley-chat/parley/protocol/directorypb"
	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/server"
	"github.com/parley-chat/parley/server/admin"
	"github.com/parley-chat/parley/server/api"
	"github.com/parley-chat/parley/server/backup"
	"github.com/parley-chat/parley/server/directory"
)

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func (r *running) backup(path string) error {
	r.t.Helper()
	to, closeAdmin, err := admin.Open(r.t.Context(), r.cfg.Data, quiet())
	if err != nil {
		r.t.Fatal(err)
	}
	defer closeAdmin()
	_, _, err = backup.WriteFile(path, func(w io.Writer) error { return to.Backup(r.t.Context(), w) })
	return err
}

// A backup that is taken while people register, by invite, and change their
// pictures restores to a directory that has all that was acknowledged before it,
// whose invites have as many uses as there are accounts, and where each picture
// that is named is there.
func TestBackupUnderLoad(t *testing.T) {
	r := start(t, mode(api.RegistrationInvite))
	_, code := r.invite(directory.MaxInviteUses, time.Now().AddDate(1, 0, 0))
	alice := r.device()
	wantCode(t, alice.registerWith("alice", code), codes.OK)
	bob := r.device()
	wantCode(t, bob.registerWith("bob", code), codes.OK)
	session := bob.begin(lists{})
	if got := session.deliver(1, "alice", bob.packet(packet.TypeRequest, "bob", "alice", "hello")); got.GetCode() != 0 {
		t.Fatal(got)
	}

	const writers = 3
	stop := make(chan struct{})
	var all sync.WaitGroup
	var mu sync.Mutex
	var acknowledged []*device
	var enough sync.WaitGroup
	enough.Add(writers)
	for i := range writers {
		all.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				d := r.device()
				if err := d.registerWith(fmt.Sprintf("user%d.%d", i, n), code); err != nil {
					t.Error(err)
					return
				}
				for pic := range 3 {
					if _, err := d.SetProfile(context.Background(), &directorypb.SetProfileRequest{
						Profile: &directorypb.Profile{DisplayName: fmt.Sprint(n), Avatar: append(bytes.Clone(png), byte(i), byte(n), byte(pic))},
					}); err != nil {
						t.Error(err)
						return
					}
				}
				_ = d.conn.Close() // one address has only so many
				mu.Lock()
				acknowledged = append(acknowledged, d)
				mu.Unlock()
				if n == 2 {
					enough.Done()
				}
			}
		})
	}
	enough.Wait()
	path := filepath.Join(t.TempDir(), "backup")
	mu.Lock()
	before := len(acknowledged)
	mu.Unlock()
	if err := r.backup(path); err != nil {
		t.Fatal(err)
	}
	close(stop)
	all.Wait()

	restored := filepath.Join(t.TempDir(), "restored")
	if _, _, err := backup.Restore(t.Context(), path, restored, quiet()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := backup.Restore(t.Context(), path, restored, quiet()); !errors.Is(err, backup.ErrNotEmpty) {
		t.Errorf("restore into what is not empty: %v", err)
	}
	r2 := start(t, func(cfg *server.Config) {
		cfg.Data, cfg.Registration = restored, api.RegistrationInvite
	})
	if r2.server.Fingerprint() != r.server.Fingerprint() {
		t.Error("the certificate is another")
	}
	dir := r2.server.Directory()
	accounts := dir.Accounts()
	if invites := dir.Invites(); len(invites) != 1 || invites[0].Used != len(accounts) {
		t.Errorf("%d accounts, invites %v", len(accounts), invites)
	}
	for _, a := range accounts {
		if avatar, err := dir.Avatar(t.Context(), a); err != nil || len(a.AvatarHash) > 0 && len(avatar) == 0 {
			t.Errorf("%s has no picture: %v", a.User, err)
		}
	}
	for _, d := range acknowledged[:before] {
		if _, err := dir.Owner(d.public()); err != nil {
			t.Errorf("an account was lost: %v", err)
		}
	}
	again := r2.connect(alice.key)
	wantCode(t, again.logIn("alice", goodPassword, false), codes.OK)
	if got := again.begin(lists{}).awaitDelivered(); got.GetFrom() != "bob" {
		t.Errorf("request is %v", got)
	}
	wantCode(t, r2.device().registerWith("late", code), codes.OK)
}

// What is damaged is refused, and nothing is made of it.
func TestDamagedBackup(t *testing.T) {
	r := start(t, nil)
	r.registered("alice")
	path := filepath.Join(t.TempDir(), "backup")
	if err := r.backup(path); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(what string, b []byte, want error) {
		t.Helper()
		if _, _, err := backup.Verify(bytes.NewReader(b)); !errors.Is(err, want) {
			t.Errorf("%s: %v", what, err)
		}
	}
	const line = len("parley-backup 1\n")
	for i := line; i < len(whole); i += 7 {
		refused(fmt.Sprintf("cut at %d", i), whole[:i], backup.ErrDamaged)
		flipped := bytes.Clone(whole)
		flipped[i] ^= 4
		refused(fmt.Sprintf("bit flipped at %d", i), flipped, backup.ErrDamaged)
	}
	refused("more after its end", append(bytes.Clone(whole), 0), backup.ErrDamaged)
	refused("another file", []byte("hello, this is no backup"), backup.ErrFormat)
	refused("empty", nil, backup.ErrFormat)
	refused("later", bytes.Replace(whole, []byte("backup 1\n"), []byte("backup 2\n"), 1), backup.ErrVersion)

	folder := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(path, whole[:len(whole)-1], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := backup.Restore(t.Context(), path, folder, quiet()); !errors.Is(err, backup.ErrDamaged) {
		t.Errorf("restore: %v", err)
	}
	if _, err := os.Stat(folder); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder was made: %v", err)
	}
	// A restore that was cut short is not served.
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "restoring"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := testConfig(t)
	cfg.Data = folder
	if _, err := server.New(cfg); err == nil {
		t.Error("half a restore is served")
	}
	if err := r.server.Directory().Import(t.Context(), directory.Record{Bucket: "presence", Key: "x"}); !errors.Is(err, directory.ErrRecord) {
		t.Errorf("a record of no bucket: %v", err)
	}
}
