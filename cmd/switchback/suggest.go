package main

import (
	"slices"
	"strings"
)

// suggest says what to write for a key that is not known: what is advised for it,
// the known key that is nearest to it, or one of all.
func suggest(name string, settings map[string]setting) string {
	for other, set := range settings {
		if set.instead != "" && fold(other) == fold(name) {
			return set.instead
		}
	}
	best, distance := "", max(2, len(name)/3)+1
	for _, known := range knownKeys(settings) {
		if d := editDistance(name, known); d < distance {
			best, distance = known, d
		}
	}
	if best != "" {
		return "did you mean " + best + "?"
	}
	return "the keys are " + keysOf(settings)
}

// fold is a key however its words are put together.
func fold(name string) string {
	return strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(name))
}

func keysOf(settings map[string]setting) string { return strings.Join(knownKeys(settings), ", ") }

// knownKeys are the keys that can be given, sorted.
func knownKeys(settings map[string]setting) []string {
	var keys []string
	for name, set := range settings {
		if set.read != nil {
			keys = append(keys, name)
		}
	}
	slices.Sort(keys)
	return keys
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
