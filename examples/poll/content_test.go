package poll_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"example.org/poll"
	"github.com/parley-chat/parley/protocol/packet"
)

// Golden contents: what one version sent, every later one must read.
const (
	goldenQuestion = `{"question":"Lunch? 午饭","options":["Noodles","Rice"]}`
	goldenVote     = `{"poll":"0198c0de-0000-7000-8000-000000000001","option":1,"turn":2}`
	goldenClosing  = `{"poll":"0198c0de-0000-7000-8000-000000000001","turns":{"alice":1,"bob":3}}`
)

func same(t *testing.T, golden string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s was read as %+v", golden, got)
	}
	if b, err := json.Marshal(got); err != nil || string(b) != golden {
		t.Errorf("%s was written as %s (%v)", golden, b, err)
	}
}

func TestGolden(t *testing.T) {
	const id = "0198c0de-0000-7000-8000-000000000001"
	q, err := poll.DecodeQuestion([]byte(goldenQuestion))
	if err != nil {
		t.Fatal(err)
	}
	same(t, goldenQuestion, q, poll.Question{Text: "Lunch? 午饭", Options: []string{"Noodles", "Rice"}})
	_, v, err := poll.DecodeVote([]byte(goldenVote))
	if err != nil {
		t.Fatal(err)
	}
	same(t, goldenVote, v, poll.Vote{Poll: id, Option: 1, Turn: 2})
	of, c, err := poll.DecodeClosing([]byte(goldenClosing))
	if err != nil || of.String() != id {
		t.Fatalf("%v of %s", err, of)
	}
	same(t, goldenClosing, c, poll.Closing{Poll: id, Turns: map[packet.UserID]int{"alice": 1, "bob": 3}})
	if _, err := poll.DecodeQuestion([]byte(`{"question":"x","options":["a","b"],"later":true}`)); err != nil {
		t.Errorf("a field of a later version: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{goldenQuestion, goldenVote, goldenClosing} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if q, err := poll.DecodeQuestion(b); err == nil && (len(q.Options) < 2 || len(q.Options) > poll.MaxOptions || len(q.Text) > poll.MaxQuestion) {
			t.Errorf("question %+v", q)
		}
		if _, v, err := poll.DecodeVote(b); err == nil && (v.Option < 0 || v.Turn < 1 || v.Turn > poll.MaxVotes) {
			t.Errorf("vote %+v", v)
		}
		if _, c, err := poll.DecodeClosing(b); err == nil {
			for user, turn := range c.Turns {
				if user == "" || turn < 1 || turn > poll.MaxVotes {
					t.Errorf("closing %+v", c)
				}
			}
		}
	})
}
