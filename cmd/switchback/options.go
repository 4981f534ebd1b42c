package main

import (
	"net/netip"
	"reflect"
	"strings"
	"time"
)

// withFields adds to settings the fields of a struct of options that have no key there
// yet, as their types and units say. Texts have to be there: what one may be, no type
// says. What is neither a number, a duration, a switch nor a list of ranges is for
// programs in Go.
func withFields(options any, settings map[string]setting) map[string]setting {
	for field, value := range reflect.ValueOf(options).Elem().Fields() {
		key := snakeCase(field.Name)
		if _, there := settings[key]; there {
			continue
		}
		switch dst := value.Addr().Interface().(type) {
		case *bool:
			settings[key] = scalar(dst, boolKind)
		case *time.Duration:
			settings[key] = scalar(dst, durationKind)
		case *int:
			if field.Tag.Get("unit") == "bytes" {
				settings[key] = scalar(dst, sizeKind)
			} else {
				settings[key] = scalar(dst, countKind)
			}
		case *[]netip.Prefix:
			settings[key] = list(dst, prefixKind)
		}
	}
	return settings
}

// snakeCase is the name of a field in snake case: client_url. WebSocket is one word.
func snakeCase(name string) string {
	name = strings.ReplaceAll(name, "WebSocket", "Websocket")
	isUpper := func(c byte) bool { return 'A' <= c && c <= 'Z' }
	var key []byte
	for i := range len(name) {
		if i > 0 && isUpper(name[i]) && !isUpper(name[i-1]) {
			key = append(key, '_')
		}
		key = append(key, name[i])
	}
	return strings.ToLower(string(key))
}
