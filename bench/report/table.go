package report

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// table gives rows with a head, as Markdown that is aligned and so can be read
// as it is.
func (r *results) table() string {
	compared, aimed := r.bench.Baseline != "", false
	for _, m := range r.bench.Metrics {
		aimed = aimed || m.Goal.set
		for _, a := range m.Against {
			aimed = aimed || a.Goal.set
		}
	}
	head := []string{"figure", "variant", "median", "spread"}
	if compared {
		head = append(head, "ratio to "+r.bench.Baseline)
	}
	if aimed {
		head = append(head, "goal")
	}
	rows := [][]string{head}
	for _, m := range r.bench.Metrics {
		name := m.Name
		for _, v := range r.bench.Variants {
			s := summarize(r.values[m.Name][v.Name])
			if s.n == 0 {
				continue
			}
			numbers, unit := m.Unit.format(s.median, s.low, s.high)
			row := []string{name, v.Name, strings.TrimSpace(numbers[0] + " " + unit), numbers[1] + " .. " + numbers[2]}
			if compared {
				row = append(row, r.ratio(m, v.Name))
			}
			if aimed {
				row = append(row, r.goal(m, v.Name, s.median))
			}
			rows = append(rows, row)
			name = "" // told once
		}
		for _, a := range m.Against {
			s := summarize(ratios(r.values[m.Name][a.Variant], r.values[m.Name][a.To]))
			if s.n == 0 {
				continue
			}
			row := []string{"in times of " + a.To, a.Variant, number(s.median), number(s.low) + " .. " + number(s.high)}
			if compared {
				row = append(row, "")
			}
			if aimed {
				row = append(row, a.Goal.verdict(Count, s.median))
			}
			rows = append(rows, row)
		}
	}
	return align(rows)
}

// ratio tells how a variant compares with the baseline.
func (r *results) ratio(m Metric, variant string) string {
	if variant == r.bench.Baseline {
		return "1"
	}
	s := summarize(ratios(r.values[m.Name][variant], r.values[m.Name][r.bench.Baseline]))
	if s.n == 0 {
		return ""
	}
	word := "worse"
	switch {
	// A spread on both sides of 1 decides nothing.
	case s.low <= 1 && s.high >= 1:
		word = "equal"
	case s.median < 1 == (m.Better == Lower):
		word = "better"
	}
	return fmt.Sprintf("%.2f (%.2f .. %.2f) %s", s.median, s.low, s.high, word)
}

func (r *results) goal(m Metric, variant string, median float64) string {
	if variant == r.bench.Baseline {
		return ""
	}
	return m.Goal.verdict(m.Unit, median)
}

// verdict says what the goal is and whether it is met; nothing where there is
// none.
func (g Goal) verdict(u Unit, median float64) string {
	if !g.set {
		return ""
	}
	word, result := "at most", "missed"
	if g.atLeast {
		word = "at least"
	}
	if g.met(median) {
		result = "met"
	}
	return fmt.Sprintf("%s %s: %s", word, u.one(g.limit), result)
}

// align makes the columns of a Markdown table equally wide.
func align(rows [][]string) string {
	width := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	line := func(cells func(column int) string) {
		for i := range width {
			cell := cells(i)
			b.WriteString("| " + cell + strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell)) + " ")
		}
		b.WriteString("|\n")
	}
	for n, row := range rows {
		line(func(i int) string { return row[i] })
		if n == 0 {
			line(func(i int) string { return strings.Repeat("-", width[i]) })
		}
	}
	return b.String()
}
