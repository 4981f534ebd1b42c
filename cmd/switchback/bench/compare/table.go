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
		first := l.of(m, results[t.servers[0].name])
		for i, s := range t.servers {
			f := l.of(m, results[s.name])
			row = append(row, f.cell(m))
			if i > 0 {
				ratios = append(ratios, ratio(first.median, f.median))
			}
		}
		t.rows = append(t.rows, append(row, ratios...))
	}
}

// A figure is what runs gave for a metric.
type figure struct {
	median float64 // of the runs in which nothing was broken; 0 where there are none
	runs   int
	broken []string // what was, in the others
}

func (l load) of(m metric, runs []result) figure {
	f := figure{runs: len(runs)}
	var values []float64
	for i := range runs {
		if broken := l.broken(&runs[i]); broken != "" {
			f.broken = append(f.broken, strings.ReplaceAll(broken, "|", "/"))
			continue
		}
		values = append(values, m.of(&runs[i]))
	}
	f.median = median(values)
	return f
}

func (f figure) cell(m metric) string {
	value := strings.TrimSpace(fmt.Sprintf("%.*f %s", m.digits, f.median, m.unit))
	switch {
	case len(f.broken) == 0:
		return value
	case len(f.broken) == f.runs:
		return "broken: " + f.broken[0]
	}
	return fmt.Sprintf("%s; %d of %d runs broken: %s", value, len(f.broken), f.runs, f.broken[0])
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

func ratio(first, other float64) string {
	if first == 0 || other == 0 {
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
