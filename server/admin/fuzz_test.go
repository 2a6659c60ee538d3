package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

// nobody is an Admin that takes what it is given.
type nobody struct{}

func (nobody) AddUser(context.Context, AddUser) error         { return nil }
func (nobody) Users(context.Context) ([]User, error)          { return nil, nil }
func (nobody) SetPassword(context.Context, SetPassword) error { return nil }
func (nobody) SetDisabled(context.Context, SetDisabled) error { return nil }
func (nobody) RemoveUser(context.Context, string) error       { return nil }
func (nobody) CreateInvite(context.Context, CreateInvite) (Created, error) {
	return Created{}, nil
}
func (nobody) Invites(context.Context) ([]Invite, error)  { return nil, nil }
func (nobody) RevokeInvite(context.Context, string) error { return nil }
func (nobody) Backup(_ context.Context, w io.Writer) error {
	_, err := w.Write([]byte("x"))
	return err
}

// FuzzRequest: what comes over the operator's socket is answered, in JSON.
func FuzzRequest(f *testing.F) {
	methods := []string{"user/add", "user/list", "user/passwd", "user/disabled", "user/remove", "invite/create", "invite/list", "invite/revoke"}
	for i := range methods {
		f.Add(uint8(i), []byte(`{}`))
		f.Add(uint8(i), []byte(`"alice"`))
		f.Add(uint8(i), []byte(`{"user":"alice","password":"x","uses":-1}`))
	}
	h := handler(nobody{})
	f.Fuzz(func(t *testing.T, method uint8, body []byte) {
		r := httptest.NewRequest(http.MethodPost, methodPrefix+methods[int(method)%len(methods)], bytes.NewReader(body))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != http.StatusOK && w.Code != contentFailure || !json.Valid(w.Body.Bytes()) {
			t.Fatalf("%d %q", w.Code, w.Body)
		}
	})
}
