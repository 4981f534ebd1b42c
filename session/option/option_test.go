package option

import (
	"testing"
	"time"
)

type options struct {
	Name    string        `default:"/user"`
	Delay   time.Duration `default:"1m30s" negative:"off"`
	Timeout time.Duration `default:"5s"`
	Size    int64         `default:"128KiB" unit:"bytes"`
	Count   int           `default:"16384"`
	Limit   int
	Switch  bool
	List    []string
	Func    func()
}

func TestDefaultsStandForZeroValues(t *testing.T) {
	var got options
	SetDefaults(&got)
	if got.Name != "/user" || got.Delay != 90*time.Second || got.Timeout != 5*time.Second || got.Size != 128<<10 || got.Count != 16384 ||
		got.Limit != 0 || got.Switch || got.List != nil || got.Func != nil {
		t.Errorf("got %+v", got)
	}
	got = options{Name: "/me", Delay: -1, Timeout: 1, Size: 2, Count: 3, Limit: 4}
	SetDefaults(&got)
	if got.Name != "/me" || got.Delay != -1 || got.Timeout != 1 || got.Size != 2 || got.Count != 3 || got.Limit != 4 {
		t.Errorf("what is given is lost: %+v", got)
	}
}

func TestTagThatIsNoValuePanics(t *testing.T) {
	for name, set := range map[string]func(){
		"duration": func() {
			SetDefaults(&struct {
				A time.Duration `default:"25"`
			}{})
		},
		"size": func() {
			SetDefaults(&struct {
				A int `default:"1KB" unit:"bytes"`
			}{})
		},
		"size without a unit": func() {
			SetDefaults(&struct {
				A int `default:"1KiB"`
			}{})
		},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			set()
		}()
	}
}

func TestNegativeIsTheFirstThatMustNotBe(t *testing.T) {
	for _, c := range []struct {
		o     options
		name  string
		value int64
	}{
		{options{}, "", 0},
		{options{Delay: -1}, "", 0},
		{options{Delay: -1, Limit: -2, Size: -3}, "Size", -3},
		{options{Limit: -2}, "Limit", -2},
		{options{Timeout: -time.Second}, "Timeout", -1e9},
	} {
		if name, value := Negative(c.o); name != c.name || value != c.value {
			t.Errorf("%+v: got %q, %d", c.o, name, value)
		}
	}
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]int64{
		"7": 7, "0x1000": 4096, "1_000": 1000, "1KiB": 1024, "2 MiB": 2 << 20, "3GiB": 3 << 30,
		"": 0, "0": 0, "-1": 0, "1KB": 0, "KiB": 0, "1.5MiB": 0, "9007199254740992KiB": 0, "9223372036854775808": 0,
	} {
		if got, err := ParseSize(text); (err == nil) != (want > 0) || err == nil && got != want {
			t.Errorf("%q: got %d, %v", text, got, err)
		}
	}
}
