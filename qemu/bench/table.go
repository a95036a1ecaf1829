//go:build linux && amd64

package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A table holds the rows of one subject.
type table struct {
	title string
	rows  []*row
}

// A row compares the systems by one number.
type row struct {
	name, unit string
	goal       string // for Goshawk, "" if it is to be no worse than Linux
	higher     bool   // is better
	values     map[string][]float64
}

// row returns the table's row of that name, a new one if there is none.
func (t *table) row(name, unit, goal string) *row {
	for _, r := range t.rows {
		if r.name == name {
			return r
		}
	}
	r := &row{name: name, unit: unit, goal: goal, higher: strings.HasSuffix(unit, "/s") && unit != "instructions/s", values: make(map[string][]float64)}
	t.rows = append(t.rows, r)
	return r
}

func (r *row) add(g *guest, value float64) {
	r.values[g.system] = append(r.values[g.system], value)
}

// result returns the median and the best of the values.
func (r *row) result(system string) (median, best float64) {
	values := slices.Sorted(slices.Values(r.values[system]))
	if len(values) == 0 {
		return 0, 0
	}
	n := len(values)
	median = (values[(n-1)/2] + values[n/2]) / 2
	if r.higher {
		return median, values[n-1]
	}
	return median, values[0]
}

// number writes three significant digits, and all digits before the point.
func number(v float64) string {
	if v >= 100 {
		s := strconv.FormatFloat(v, 'f', 0, 64)
		for i := len(s) - 3; i > 0; i -= 3 {
			s = s[:i] + "," + s[i:]
		}
		return s
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

func (r *row) cell(system string) string {
	median, best := r.result(system)
	switch {
	case len(r.values[system]) == 0:
		return ""
	case len(r.values[system]) == 1:
		return number(median)
	}
	return number(median) + " (" + number(best) + ")"
}

// verdict compares the medians.
func (r *row) verdict() string {
	g, _ := r.result("Goshawk")
	l, _ := r.result("Linux")
	if g == 0 || l == 0 {
		return ""
	}
	better := l / g
	if r.higher {
		better = g / l
	}
	switch {
	case better >= 1.03:
		return number(better) + " × better"
	case better <= 1/1.03:
		return "**" + number(1/better) + " × worse**"
	}
	return "same"
}

// print writes the table as Markdown that also reads well as it is.
func (t *table) print(w io.Writer) {
	lines := [][]string{{t.title, "unit", "Goshawk", "Linux", "Goshawk is", "goal"}, {"---", "---", "--:", "--:", "---", "---"}}
	for _, r := range t.rows {
		lines = append(lines, []string{r.name, r.unit, r.cell("Goshawk"), r.cell("Linux"), r.verdict(), r.goal})
	}
	width := make([]int, len(lines[0]))
	for _, line := range lines {
		for i, cell := range line {
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	fmt.Fprintln(w)
	for _, line := range lines {
		for i, cell := range line {
			space := strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell))
			if lines[1][i] == "--:" {
				fmt.Fprintf(w, "| %s%s ", space, cell)
			} else {
				fmt.Fprintf(w, "| %s%s ", cell, space)
			}
		}
		fmt.Fprintln(w, "|")
	}
}
