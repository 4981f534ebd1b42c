package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// A table is what is printed in the end: a row for each metric, a column for
// each server, and then one for what the first takes of what each other does.
type table struct {
	servers []server
	rows    [][]string
}

// add adds a load's rows.
func (t *table) add(l load, results map[string][]result) {
	for _, m := range l.metrics {
		row, ratios := []string{l.name + m.name}, []string{}
		first, _ := l.median(m, results[t.servers[0].name])
		for i, s := range t.servers {
			value, broken := l.median(m, results[s.name])
			row = append(row, cell(m, value, broken))
			if i > 0 {
				ratios = append(ratios, ratio(first, value, broken))
			}
		}
		t.rows = append(t.rows, append(row, ratios...))
	}
}

// median is of all runs, or what was broken in one of them.
func (l load) median(m metric, runs []result) (value float64, broken string) {
	var values []float64
	for i := range runs {
		if broken := l.broken(&runs[i]); broken != "" {
			return 0, broken
		}
		values = append(values, m.of(&runs[i]))
	}
	return median(values), ""
}

// median of nothing is 0.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	values = slices.Sorted(slices.Values(values))
	half := len(values) / 2
	if len(values)%2 == 1 {
		return values[half]
	}
	return (values[half-1] + values[half]) / 2
}

func cell(m metric, value float64, broken string) string {
	if broken != "" {
		return "broken: " + strings.ReplaceAll(broken, "|", "/")
	}
	return strings.TrimSpace(fmt.Sprintf("%.*f %s", m.digits, value, m.unit))
}

func ratio(first, other float64, broken string) string {
	if broken != "" || first == 0 || other == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", first/other)
}

// print prints the table in Markdown.
func (t *table) print(w io.Writer) {
	head := []string{""}
	for _, s := range t.servers {
		head = append(head, s.name)
	}
	for _, s := range t.servers[1:] {
		head = append(head, "of "+s.name)
	}
	line(w, head)
	line(w, slices.Repeat([]string{"---"}, len(head)))
	for _, row := range t.rows {
		line(w, row)
	}
}

func line(w io.Writer, cells []string) { fmt.Fprintf(w, "| %s |\n", strings.Join(cells, " | ")) }
