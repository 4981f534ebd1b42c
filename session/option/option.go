// Package option reads the tags of a struct of options, which say of a field what its
// type does not:
//
//	default:"25s"    stands for the zero value of a duration, a number or a text
//	unit:"bytes"     the number is a size, and its default is written as one: 128KiB
//	negative:"off"   a value below zero turns off what the option is for
//
// A default that depends on other options is code beside the struct.
package option

import (
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// SetDefaults gives each field of *options that has its zero value the default of its
// tag. It panics where that is no value of the field.
func SetDefaults[T any](options *T) {
	for field, value := range reflect.ValueOf(options).Elem().Fields() {
		if text, ok := field.Tag.Lookup("default"); ok && value.IsZero() {
			if err := set(value, field.Tag.Get("unit"), text); err != nil {
				panic(fmt.Sprintf("option: %s: %v", field.Name, err))
			}
		}
	}
}

func set(v reflect.Value, unit, text string) (err error) {
	var n int64
	switch {
	case v.Kind() == reflect.String:
		v.SetString(text)
		return nil
	case v.Type() == reflect.TypeFor[time.Duration]():
		var d time.Duration
		d, err = time.ParseDuration(text)
		n = int64(d)
	case unit == "bytes":
		n, err = ParseSize(text)
	default:
		n, err = strconv.ParseInt(text, 10, 64)
	}
	if err == nil {
		v.SetInt(n)
	}
	return err
}

// Negative returns the name and the value of the first number or duration of a struct
// of options that is below zero and must not be. The name is empty where there is none.
func Negative(options any) (name string, value int64) {
	for field, v := range reflect.ValueOf(options).Fields() {
		if v.CanInt() && v.Int() < 0 && field.Tag.Get("negative") != "off" {
			return field.Name, v.Int()
		}
	}
	return "", 0
}

var sizeUnits = map[string]int64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}

// ParseSize reads a number of bytes from 1: 4096, 0x1000, 128KiB or 2 GiB.
func ParseSize(text string) (int64, error) {
	number, unit := text, int64(1)
	for name, size := range sizeUnits {
		if before, found := strings.CutSuffix(text, name); found {
			number, unit = strings.TrimSpace(before), size
		}
	}
	n, err := strconv.ParseInt(number, 0, 64)
	if err == nil && (n < 1 || n > math.MaxInt64/unit) {
		err = strconv.ErrRange
	}
	return n * unit, err
}
