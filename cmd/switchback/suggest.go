package main

import (
	"maps"
	"slices"
	"strings"
)

// suggest names the known key that is nearest to name, or all of them.
func suggest(name string, settings map[string]setting) string {
	best, distance := "", max(2, len(name)/3)+1
	for _, known := range slices.Sorted(maps.Keys(settings)) {
		if d := editDistance(name, known); d < distance {
			best, distance = known, d
		}
	}
	if best != "" {
		return "did you mean " + best + "?"
	}
	return "the keys are " + keysOf(settings)
}

func keysOf(settings map[string]setting) string {
	return strings.Join(slices.Sorted(maps.Keys(settings)), ", ")
}

// editDistance is the number of bytes to insert, delete or replace that make b
// of a (Levenshtein).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
