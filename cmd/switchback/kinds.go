package main

import (
	"maps"
	"net"
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap/zapcore"

	"switchback/session/option"
	"switchback/transport"
)

// A kind is what a value may be: in words, for whoever got it wrong, and in
// code. It reads flags, the environment and the configuration file alike.
type kind[T any] struct {
	want  string
	parse func(text string) (T, bool)
}

var (
	addressKind   = kind[string]{"a host and port such as 127.0.0.1:8081, or :8081 for all interfaces", parseAddress}
	clientURLKind = kind[string]{"an http or https URL, or a path on this host such as /sockjs.min.js", parseClientURL}
	levelKind     = kind[zapcore.Level]{"debug, info, warn or error", parseLevel}
	boolKind      = kind[bool]{"true or false", parseBool}
	durationKind  = kind[time.Duration]{"a duration such as 10s or 1m30s", parseDuration}
	heartbeatKind = kind[time.Duration]{"a duration such as 25s, or off", parseHeartbeat}
	countKind     = kind[int]{"a whole number from 1", parseCount}
	sizeKind      = kind[int]{wantSize, parseSize[int]}
	bigSizeKind   = kind[int64]{wantSize, parseSize[int64]}
	prefixKind    = kind[netip.Prefix]{"an address or a range such as 10.0.0.0/8", parsePrefix}
	pathKind      = kind[string]{"a path such as /echo, with no slash at its end, or / for the root", parsePath}
	transportKind = oneOf(transport.Transports()...)
	originKind    = kind[string]{`an origin such as https://example.com, a pattern such as https://*.example.com:[8080,8081], null, file://, or "*"`, parseOrigin}
	hostKind      = kind[string]{"a name or an address without scheme and port, such as chat.example.com", parseHost}
	fileKind      = kind[string]{"the name of a file", parseFile}
	folderKind    = kind[string]{"the name of a folder", parseFile}
)

const wantSize = "a number of bytes from 1, such as 4096 or 128KiB (KiB, MiB, GiB)"

// oneOf is the kind of a name from a list.
func oneOf(names ...string) kind[string] {
	return kind[string]{alternatives(names), func(text string) (string, bool) {
		return text, slices.Contains(names, text)
	}}
}

// nameIn is the kind of a name in a table.
func nameIn[T any](table map[string]T) kind[string] {
	return oneOf(slices.Sorted(maps.Keys(table))...)
}

// alternatives are names as a sentence lists them: "a, b or c".
func alternatives(names []string) string {
	last := len(names) - 1
	if last < 1 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

func parseAddress(text string) (string, bool) {
	host, port, err := net.SplitHostPort(text)
	if err != nil || strings.ContainsAny(host, " /") {
		return "", false
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return text, err == nil
}

func parseClientURL(text string) (string, bool) {
	u, err := url.Parse(text)
	if err != nil || strings.ContainsAny(text, "\"'<> ") {
		return "", false
	}
	if u.Scheme == "" {
		return text, strings.HasPrefix(text, "/")
	}
	return text, (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

func parseLevel(text string) (zapcore.Level, bool) {
	level, err := zapcore.ParseLevel(text)
	return level, err == nil && level <= zapcore.ErrorLevel && text != ""
}

func parseBool(text string) (value, ok bool) {
	return text == "true", text == "true" || text == "false"
}

// parseDuration refuses zero: it would stand for the default.
func parseDuration(text string) (time.Duration, bool) {
	d, err := time.ParseDuration(text)
	return d, err == nil && d > 0
}

func parseHeartbeat(text string) (time.Duration, bool) {
	if text == "off" {
		return -1, true
	}
	return parseDuration(text)
}

// parseCount refuses zero: it would stand for the default.
func parseCount(text string) (int, bool) {
	n, err := strconv.ParseInt(text, 0, strconv.IntSize)
	return int(n), err == nil && n > 0
}

func parseSize[T int | int64](text string) (T, bool) {
	n, err := option.ParseSize(text)
	return T(n), err == nil && int64(T(n)) == n
}

// parsePrefix takes a single address as the range of itself.
func parsePrefix(text string) (netip.Prefix, bool) {
	if address, err := netip.ParseAddr(text); err == nil && address.Zone() == "" {
		return netip.PrefixFrom(address, address.BitLen()), true
	}
	prefix, err := netip.ParsePrefix(text)
	return prefix, err == nil
}

// parsePath takes the paths that look the same decoded and encoded, so that
// there is one way to write each.
func parsePath(text string) (string, bool) {
	encoded := (&url.URL{Path: text}).EscapedPath()
	return text, path.IsAbs(text) && path.Clean(text) == text && encoded == text
}

// hostForm is a name or an IPv4 address; IPv6 ones are parsed.
var hostForm = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?$`)

func parseHost(text string) (string, bool) {
	_, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"))
	return text, err == nil || hostForm.MatchString(text)
}

func parseFile(text string) (string, bool) { return text, text != "" }

// originForm is a scheme and a host, perhaps with a port; * and a list of ports
// are the endpoint's to read.
var originForm = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*://[^/?#@\s]+/?$`)

func parseOrigin(text string) (string, bool) {
	return text, text == "*" || text == "null" || text == "file://" || originForm.MatchString(text)
}
