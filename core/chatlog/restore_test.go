package chatlog

import (
	"testing"
	"time"
)

func TestRestoredBackup(t *testing.T) {
	for name, c := range map[string]struct {
		before []string // written offline after the restore, before the meeting
		after  []string // written after it
		want   int
	}{
		"met at once":             {want: 7},
		"wrote after the meeting": {after: []string{"x"}, want: 8},
		"wrote before, less":      {before: []string{"x", "y"}, after: []string{"z"}, want: 10},
		"wrote before, as many":   {before: []string{"x", "y", "z", "u"}, want: 11},
		"wrote before, more":      {before: []string{"x", "y", "z", "u", "v", "w"}, after: []string{"q"}, want: 14},
	} {
		t.Run(name, func(t *testing.T) {
			n, alice, bob := pair(t)
			n.connect(alice, bob)
			for _, text := range []string{"1", "2", "3"} {
				alice.write(direct, text)
				n.quiet(time.Minute)
			}
			backup := alice.store.Copy(t)
			for _, text := range []string{"4", "5", "6", "7"} {
				alice.write(direct, text)
				n.quiet(time.Minute)
			}
			n.now = n.now.Add(time.Hour)
			alice.store = backup
			alice.restart()
			for _, text := range c.before {
				alice.write(direct, text)
			}
			n.connect(alice, bob)
			n.quiet(time.Minute)
			for _, text := range c.after {
				id := alice.write(direct, text)
				n.quiet(time.Minute)
				if got := alice.states(id); got != "bob delivered" {
					t.Errorf("state of %s is %q", text, got)
				}
			}
			if got := n.same(direct, alice, bob); len(got) != c.want {
				t.Errorf("they show %q", got)
			}
			n.noNotices()
			alice.restart()
			n.connect(alice, bob)
			alice.write(direct, "last")
			n.quiet(time.Minute)
			if got := n.same(direct, alice, bob); len(got) != c.want+1 {
				t.Errorf("they show %q", got)
			}
			n.noNotices()
		})
	}
}

// A third member got the entries of one branch before the fork was found.
func TestRestoredBackupInGroup(t *testing.T) {
	n, alice, bob, carol := trio(t)
	w := n.connect(alice, bob)
	alice.write(group, "1")
	n.quiet(time.Minute)
	backup := alice.store.Copy(t)
	alice.write(group, "2 for bob")
	alice.write(group, "3 for bob")
	n.quiet(time.Minute)
	n.cut(w)
	n.now = n.now.Add(time.Hour)
	alice.store = backup
	alice.restart()
	alice.write(group, "2 for carol")
	w = n.connect(alice, carol)
	n.quiet(time.Minute)
	n.cut(w)
	n.connect(alice, bob)
	n.quiet(time.Minute)
	n.connect(alice, carol)
	n.connect(bob, carol)
	n.quiet(time.Minute)
	if got := n.same(group, alice, bob, carol); len(got) != 4 {
		t.Errorf("they show %q", got)
	}
	n.noNotices()
}

// What a restored store lost comes back too when only a third person has it, who
// is met by others and later.
func TestRestoredBackupByOthers(t *testing.T) {
	n, alice, bob, carol := trio(t)
	alice.write(group, "1")
	w := n.connect(alice, bob)
	n.quiet(time.Minute)
	n.cut(w)
	backup := alice.store.Copy(t)
	alice.write(group, "2")
	w = n.connect(alice, carol)
	n.quiet(time.Minute)
	n.cut(w)
	alice.store = backup
	alice.restart()
	n.connect(alice, bob)
	n.quiet(time.Minute)
	n.connect(bob, carol)
	n.quiet(time.Minute)
	n.expect(group, []string{"alice: 1", "alice: 2"}, alice, bob, carol)
}

// Messages of a forked log show the receipts of their copies.
func TestReceiptsAfterFork(t *testing.T) {
	n, alice, bob := pair(t)
	w := n.connect(alice, bob)
	alice.write(direct, "1")
	n.quiet(time.Minute)
	backup := alice.store.Copy(t)
	alice.write(direct, "2")
	n.quiet(time.Minute)
	n.cut(w)
	alice.store = backup
	n.now = n.now.Add(time.Hour)
	alice.restart()
	id := alice.write(direct, "another 2")
	if got := alice.states(id); got != "bob queued" {
		t.Errorf("state is %q", got)
	}
	n.connect(alice, bob)
	n.quiet(time.Minute)
	if got := alice.states(id); got != "bob delivered" {
		t.Errorf("state is %q", got)
	}
	found := false
	for {
		ref, ok := alice.changes.TryNext()
		if !ok {
			break
		}
		found = found || ref.ID == id
	}
	if !found {
		t.Error("front ends did not hear of it")
	}
}

// A store that is known to be restored begins new epochs before it writes.
func TestRenew(t *testing.T) {
	n, alice, bob := pair(t)
	w := n.connect(alice, bob)
	alice.write(direct, "1")
	n.quiet(time.Minute)
	backup := alice.store.Copy(t)
	alice.write(direct, "2")
	n.quiet(time.Minute)
	n.cut(w)
	alice.store = backup
	alice.restart()
	must(t, alice.svc.Renew(t.Context()))
	alice.write(direct, "3")
	n.connect(alice, bob)
	n.quiet(time.Minute)
	if got := n.same(direct, alice, bob); len(got) != 3 {
		t.Errorf("they show %q", got)
	}
	if _, heads := ownLogs(t, alice); len(heads) != 2 || heads[0].Upto != 2 || heads[1].Upto != 1 {
		t.Errorf("own logs are %+v", heads)
	}
	n.noNotices()
}
