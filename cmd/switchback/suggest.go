package main

import (
	"maps"
	"slices"
	"strings"
)

// suggest says what to write for a key that a mapping does not know: what is advised
// for it, where in the file it belongs, the key that is nearest to it, or one of all.
func suggest(name string, settings map[string]setting) string {
	for text, names := range advice {
		if slices.ContainsFunc(names, func(other string) bool { return fold(other) == fold(name) }) {
			return text
		}
	}
	best, distance := nearest(name, settings)
	where := belongs(name)
	switch {
	case where != "" && distance > 0:
		return where
	case best != "":
		return "did you mean " + best + "?"
	}
	return "the keys are " + keysOf(settings)
}

// belongs says in which mappings of the file a key is known; it is empty for one
// that is known nowhere.
func belongs(name string) string {
	root := new(config).settings("").keys
	var places []string
	for _, m := range []struct {
		place string
		keys  map[string]setting
	}{
		{"at the top of the file, beside endpoints", root},
		{"to an endpoint, an entry of endpoints", new(endpointConfig).settings().keys},
		{"under stomp, beside endpoints", root["stomp"].keys},
		{"under auth, beside endpoints", root["auth"].keys},
		{"under auth.jwt", root["auth"].keys["jwt"].keys},
		{"under auth.tickets", root["auth"].keys["tickets"].keys},
		{"under http, beside endpoints", root["http"].keys},
		{"under tls, beside endpoints", root["tls"].keys},
		{"under static, beside endpoints", root["static"].keys},
		{"under admin, beside endpoints", root["admin"].keys},
	} {
		for key := range m.keys {
			if fold(key) == fold(name) {
				places = append(places, m.place)
			}
		}
	}
	if places == nil {
		return ""
	}
	return "it belongs " + strings.Join(places, "; or ")
}

// nearest returns the key that is nearest to a name, and how far it is; empty where
// none is near.
func nearest(name string, settings map[string]setting) (best string, distance int) {
	distance = max(2, len(name)/3) + 1
	for _, known := range slices.Sorted(maps.Keys(settings)) {
		if d := editDistance(fold(name), fold(known)); d < distance {
			best, distance = known, d
		}
	}
	return best, distance
}

// fold is a key however its words are put together, and where it is the name of a
// function that sets it.
func fold(name string) string {
	return strings.TrimPrefix(strings.ToLower(joints.Replace(name)), "set")
}

// joints are what stands between the words of a name.
var joints = strings.NewReplacer("_", "", "-", "")

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
