package viewmodel

import (
	"cmp"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

// done does steps.
func done(rows []testRow, steps []Change[testRow]) []testRow {
	for _, x := range steps {
		switch x.Kind {
		case Inserted:
			rows = slices.Insert(rows, x.At, x.Row)
		case Changed:
			rows[x.At] = x.Row
		case Removed:
			rows = slices.Delete(rows, x.At, x.At+1)
		}
	}
	return rows
}

// TestSortedKeepsTheOrder: whatever is put and taken out, few rows or many, the rows
// are those of a list sorted as a whole, and the steps lead to them.
func TestSortedKeepsTheOrder(t *testing.T) {
	byLook := func(a, b testRow) int { return cmp.Compare(a.look/2, b.look/2) }
	row := rapid.Custom(func(t *rapid.T) testRow {
		return testRow{key: strconv.Itoa(rapid.IntRange(0, 200).Draw(t, "key")), look: rapid.IntRange(0, 20).Draw(t, "look")}
	})
	rapid.Check(t, func(t *rapid.T) {
		var l List[testRow]
		s := newSorted(&l, byLook)
		s.set(rapid.SliceOfNDistinct(row, 0, 40, testRow.RowKey).Draw(t, "first"))
		want := map[string]testRow{}
		for _, r := range l.Rows() {
			want[r.key] = r
		}
		var mirror []testRow
		l.Observe(func(steps []Change[testRow]) { mirror = done(mirror, steps) })
		for range 5 {
			most := rapid.SampledFrom([]int{1, 5, 100}).Draw(t, "most")
			rows := rapid.SliceOfNDistinct(row, 0, most, testRow.RowKey).Draw(t, "rows")
			var gone []string
			for _, r := range rapid.SliceOfNDistinct(row, 0, most, testRow.RowKey).Draw(t, "gone") {
				if !slices.ContainsFunc(rows, func(x testRow) bool { return x.key == r.key }) {
					gone = append(gone, r.key)
					delete(want, r.key)
				}
			}
			for _, r := range rows {
				want[r.key] = r
			}
			s.update(rows, gone...)
			all := make([]testRow, 0, len(want))
			for _, r := range want {
				all = append(all, r)
			}
			slices.SortFunc(all, func(a, b testRow) int { return cmp.Or(byLook(a, b), cmp.Compare(a.key, b.key)) })
			if !slices.Equal(l.Rows(), all) {
				t.Fatalf("the rows are %v, want %v", l.Rows(), all)
			}
			if !slices.Equal(mirror, all) {
				t.Fatalf("the steps lead to %v, want %v", mirror, all)
			}
		}
	})
}

// TestSortedKeepsAWidget: a row that stays where it is is changed, not made anew.
func TestSortedKeepsAWidget(t *testing.T) {
	var l List[testRow]
	s := newSorted(&l, func(a, b testRow) int { return cmp.Compare(b.look, a.look) })
	s.set([]testRow{{"a", 3}, {"b", 2}, {"c", 1}})
	var kinds []ChangeKind
	stop := l.Observe(func(steps []Change[testRow]) {
		for _, x := range steps {
			kinds = append(kinds, x.Kind)
		}
	})
	defer stop()
	kinds = nil
	s.update([]testRow{{"a", 9}})
	s.update([]testRow{{"a", 9}})
	if !slices.Equal(kinds, []ChangeKind{Changed}) {
		t.Errorf("the first row, which stays the first, and then the same again: %v", kinds)
	}
}

func TestPartFollowsItsList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var l List[testRow]
		s := newSorted(&l, func(a, b testRow) int { return cmp.Compare(a.look, b.look) })
		row := rapid.Custom(func(t *rapid.T) testRow {
			return testRow{key: strconv.Itoa(rapid.IntRange(0, 60).Draw(t, "key")), look: rapid.IntRange(0, 20).Draw(t, "look")}
		})
		p := NewPart(&l, 10)
		defer p.Close()
		var drawn []testRow
		p.Rows.Observe(func(steps []Change[testRow]) { drawn = done(drawn, steps) })
		for range 8 {
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				s.set(rapid.SliceOfNDistinct(row, 0, 50, testRow.RowKey).Draw(t, "all"))
			case 1:
				s.update(rapid.SliceOfNDistinct(row, 0, 3, testRow.RowKey).Draw(t, "rows"))
			case 2:
				s.update(nil, strconv.Itoa(rapid.IntRange(0, 60).Draw(t, "gone")))
			case 3:
				p.MoveTo(rapid.IntRange(-5, 60).Draw(t, "from"))
			}
			around := p.Around.Get()
			if n := min(10, l.Len()); p.Rows.Len() != n || around.Before < 0 || around.Before+n+around.After != l.Len() {
				t.Fatalf("%d rows of %d, around them %+v", p.Rows.Len(), l.Len(), around)
			}
			if want := l.Rows()[around.Before:][:p.Rows.Len()]; !slices.Equal(p.Rows.Rows(), want) {
				t.Fatalf("the part is %v, want %v", p.Rows.Rows(), want)
			} else if !slices.Equal(drawn, want) {
				t.Fatalf("the steps lead to %v, want %v", drawn, want)
			}
		}
	})
}
