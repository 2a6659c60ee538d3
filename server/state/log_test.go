package state

import "testing"

func TestWhatNATSSaysNamesNobody(t *testing.T) {
	for in, want := range map[string]string{
		`Internal subscription on "$KV.accounts.zoe=quux" took too long: 3s`:     `nats: Internal subscription on "$KV.accounts.*" took too long: 3s`,
		`$KV.requests.zoe.yan.chat=request and parley.relay.zoe.yan`:             `nats: $KV.requests.* and parley.relay.*`,
		`JetStream failed to store a msg on stream '$G > KV_accounts': no space`: `nats: JetStream failed to store a msg on stream '$G > KV_accounts': no space`,
	} {
		if got := say("%s", []any{in}); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}
