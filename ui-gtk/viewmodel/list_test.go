package viewmodel

import (
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

type testRow struct {
	key  string
	look int
}

func (r testRow) RowKey() string      { return r.key }
func (r testRow) Same(o testRow) bool { return r == o }
func rowsOf(keys ...string) []testRow {
	var rows []testRow
	for _, k := range keys {
		rows = append(rows, testRow{key: k})
	}
	return rows
}

// TestListTellsEveryStep: who does the steps has the rows.
func TestListTellsEveryStep(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var l List[testRow]
		rows := rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) testRow {
			return testRow{key: strconv.Itoa(rapid.IntRange(0, 30).Draw(t, "key")), look: rapid.IntRange(0, 1).Draw(t, "look")}
		}), 0, 20, func(r testRow) string { return r.key })
		l.set(rows.Draw(t, "rows"))
		var mirror []testRow
		l.Observe(func(steps []Change[testRow]) {
			for _, s := range steps {
				switch s.Kind {
				case Inserted:
					mirror = slices.Insert(mirror, s.At, s.Row)
				case Changed:
					if mirror[s.At].key != s.Row.key || mirror[s.At] == s.Row {
						t.Fatalf("%v is changed to %v", mirror[s.At], s.Row)
					}
					mirror[s.At] = s.Row
				case Removed:
					if mirror[s.At].key != s.Row.key {
						t.Fatalf("%v is removed where %v is", s.Row, mirror[s.At])
					}
					mirror = slices.Delete(mirror, s.At, s.At+1)
				}
			}
		})
		for range 5 {
			next := rows.Draw(t, "next")
			l.set(next)
			if !slices.Equal(mirror, next) {
				t.Fatalf("the steps lead to %v, the rows are %v", mirror, next)
			}
		}
	})
}

func TestListMovesOneRow(t *testing.T) {
	var l List[testRow]
	l.set(rowsOf("a", "b", "c", "d"))
	steps := -4
	l.Observe(func(s []Change[testRow]) { steps += len(s) })
	l.set(rowsOf("d", "a", "b", "c"))
	if steps != 2 {
		t.Errorf("one row moved to the top in %d steps, want 2", steps)
	}
}

func TestObserversMayStopWhileCalled(t *testing.T) {
	var v Value[int]
	var heard []int
	var stopSecond func()
	stopFirst := v.Observe(func(n int) {
		if n == 1 {
			stopSecond()
		}
	})
	stopSecond = v.Observe(func(n int) { heard = append(heard, n) })
	v.set(1)
	stopFirst()
	stopFirst()
	v.set(2)
	if !slices.Equal(heard, []int{0}) {
		t.Errorf("the second heard %v", heard)
	}
}
