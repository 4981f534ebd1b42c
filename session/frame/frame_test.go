package frame

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCloseFrame(t *testing.T) {
	got := string(AppendClose(nil, 3000, `Go "away"!`))
	if want := `c[3000,"Go \"away\"!"]`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestQuotedText(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", `""`},
		{"plain é 漢 😀 ~\x7f", "\"plain é 漢 😀 ~\x7f\""},
		{`"\/`, `"\"\\/"`},
		{"  \x00\n\r ", `"  \u0000\n\r "`},
		{"\b\t\f\x1f", `"\b\t\f\u001f"`},
		{"\u200b\u200c\u200f\u2010\u2027\u2028\u202f\u2030", "\"\u200b\\u200c\\u200f\u2010\u2027\\u2028\\u202f\u2030\""},
		{"\u205f\u2060\u206f\u2070\uffef\ufff0\uffff", "\"\u205f\\u2060\\u206f\u2070\uffef\\ufff0\\uffff\""},
		{"a\xed\xa0\x80b\xed\xbf\xbf", `"a\ud800b\udfff"`}, // lone surrogates go out as they came
		{"\xff\xc3", `"\ufffd\ufffd"`},
		{"\xed\xa0", `"\ufffd\ufffd"`},
	} {
		if got := string(AppendQuoted(nil, []byte(c.text))); got != c.want {
			t.Errorf("%q: got %s, want %s", c.text, got, c.want)
		}
	}
}

func TestScriptNeverEndsItself(t *testing.T) {
	got := `"` + string(AppendScript(nil, []byte(`a["</script><!--","\"\\"]`))) + `"`
	if want := `"a[\"\u003c/script\u003e\u003c!--\",\"\\\"\\\\\"]"`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestDecode(t *testing.T) {
	for _, c := range []struct {
		in   string
		want []string
		err  error
	}{
		{`["a"]`, []string{"a"}, nil},
		{" [ \"a\" , \"\"\t,\n\"b\"\r] ", []string{"a", "", "b"}, nil},
		{`[]`, nil, nil},
		{`["\"\\\/\b\f\n\r\té"]`, []string{"\"\\/\b\f\n\r\té"}, nil},
		{`["\ud83d\ude00"]`, []string{"😀"}, nil},
		{`["\ud83d","\ude00x\uD83D\ud83d\ude00"]`, []string{"\xed\xa0\xbd", "\xed\xb8\x80x\xed\xa0\xbd😀"}, nil},
		{`["漢\n字"]`, []string{"漢\n字"}, nil},
		{``, nil, ErrEmpty},
		{" \n", nil, ErrEmpty},
		{`["x`, nil, ErrSyntax},
		{`["a"`, nil, ErrSyntax},
		{`["a",]`, nil, ErrSyntax},
		{`["a"]["b"]`, nil, ErrSyntax},
		{`["a"]x`, nil, ErrSyntax},
		{"[\"a\"]\x00", nil, ErrSyntax},
		{`["\x"]`, nil, ErrSyntax},
		{`["\u12g4"]`, nil, ErrSyntax},
		{`["\u12`, nil, ErrSyntax},
		{"[\"a\nb\"]", nil, ErrSyntax},
		{"[\"\\n\x01\"]", nil, ErrSyntax},
		{"[\"\xff\"]", nil, ErrSyntax},
		{"[\"\\n\xff\"]", nil, ErrSyntax},
		{"[\"\xed\xa0\x80\"]", nil, ErrSyntax}, // a surrogate is no UTF-8
		{`{}`, nil, ErrStrings},
		{`"abc"`, nil, ErrStrings},
		{`[1]`, nil, ErrStrings},
		{`["a",null]`, nil, ErrStrings},
		{`["a",["b"]]`, nil, ErrStrings},
		{`["a","a","a","a"]`, nil, ErrMany},
	} {
		got, err := Decode([]byte(c.in), 3)
		if !errors.Is(err, c.err) || !equal(got, c.want) {
			t.Errorf("%q: got %q, %v, want %q, %v", c.in, got, err, c.want, c.err)
		}
	}
}

func TestDecodeText(t *testing.T) {
	for _, c := range []struct {
		in   string
		want []string
		err  error
	}{
		{``, nil, nil},
		{` `, nil, nil},
		{`[]`, nil, nil},
		{`["a","b"]`, []string{"a", "b"}, nil},
		{` "a\n" `, []string{"a\n"}, nil},
		{`"a" "b"`, nil, ErrSyntax},
		{`"a`, nil, ErrSyntax},
		{`7`, nil, ErrStrings},
		{"\x00", nil, ErrSyntax},
	} {
		got, err := DecodeText([]byte(c.in), 3)
		if !errors.Is(err, c.err) || !equal(got, c.want) {
			t.Errorf("%q: got %q, %v, want %q, %v", c.in, got, err, c.want, c.err)
		}
	}
}

// A message is refused wherever it is cut, and nothing is read past the cut.
func TestCutAnywhere(t *testing.T) {
	whole := `["a\n\u00e9\ud83d\ude00","漢"]`
	for i := range whole {
		if got, err := Decode([]byte(whole)[:i:i], 10); err == nil {
			t.Errorf("%q: got %q, want an error", whole[:i], got)
		}
	}
}

func TestValidText(t *testing.T) {
	for in, want := range map[string]string{
		"a😀":                        "a😀",
		"\xed\xa0\xbd\xed\xb8\x80":  "😀",
		"\xed\xa0\xbdx\xed\xb8\x80": "\ufffdx\ufffd",
		"\xff\xed\xa0":              "\ufffd\ufffd\ufffd",
	} {
		if got := string(ValidText([]byte(in))); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func equal(got [][]byte, want []string) bool {
	if len(got) != len(want) {
		return false
	}
	for i := range got {
		if string(got[i]) != want[i] {
			return false
		}
	}
	return true
}

// What Decode takes, encoding/json takes too, with the same result but for lone
// surrogates; and of what encoding/json takes, Decode takes all that is UTF-8.
func FuzzDecode(f *testing.F) {
	seeds, err := os.ReadFile("../../testdata/fuzz/bodies.txt")
	if err != nil {
		f.Fatal(err)
	}
	for seed := range bytes.Lines(seeds) {
		f.Add(seed)
	}
	f.Add([]byte("[\"\xff\"]"))
	f.Fuzz(func(t *testing.T, p []byte) {
		var want []*string
		jsonErr := json.Unmarshal(p, &want)
		got, err := Decode(bytes.Clone(p), len(p))
		if err != nil {
			if jsonErr == nil && utf8.Valid(p) && want != nil && !holdsNull(want) {
				t.Fatalf("%q: %v, encoding/json takes it", p, err)
			}
			return
		}
		if jsonErr != nil || len(got) != len(want) {
			t.Fatalf("%q: got %q, encoding/json: %v", p, got, jsonErr)
		}
		for i, message := range got {
			if lossy(message) != *want[i] {
				t.Fatalf("%q: got %q, encoding/json has %q", p, message, *want[i])
			}
			back, err := Decode(append(append([]byte{'['}, AppendQuoted(nil, message)...), ']'), 1)
			if err != nil || !bytes.Equal(back[0], message) {
				t.Fatalf("%q came back as %q, %v", message, back, err)
			}
		}
	})
}

func holdsNull(texts []*string) bool {
	for _, s := range texts {
		if s == nil {
			return true
		}
	}
	return false
}

// lossy is a text as encoding/json gives it: U+FFFD for a lone surrogate.
func lossy(text []byte) string {
	var b strings.Builder
	for i := 0; i < len(text); {
		r, size := decodeRune(text[i:])
		if surrogate(r) {
			r = utf8.RuneError
		}
		b.WriteRune(r)
		i += size
	}
	return b.String()
}

// Whatever is quoted is a JSON string that holds none of the characters that
// browsers mangle.
func FuzzQuoted(f *testing.F) {
	f.Add([]byte("a\u2028\xed\xa0\x80\xff"))
	f.Fuzz(func(t *testing.T, text []byte) {
		quoted := AppendQuoted(nil, text)
		var s string
		if err := json.Unmarshal(quoted, &s); err != nil {
			t.Fatalf("%q: %v", quoted, err)
		}
		for _, r := range string(quoted) {
			if r < 0x20 || escaped(r) {
				t.Fatalf("%q holds %U", quoted, r)
			}
		}
		if n := EscapedLen(text); n != len(quoted)-2 {
			t.Fatalf("%q: the length is said to be %d", quoted, n)
		}
		script := append(AppendScript([]byte{'"'}, quoted), '"')
		if bytes.ContainsAny(script, "<>") {
			t.Fatalf("%q could end its script", script)
		}
		if err := json.Unmarshal(script, &s); err != nil || s != string(quoted) {
			t.Fatalf("%q reads as %q, %v", script, s, err)
		}
	})
}

var short = []byte(strings.Repeat("a quiet message ", 6))

func BenchmarkQuoted(b *testing.B) {
	b.ReportAllocs()
	var dst []byte
	for b.Loop() {
		dst = AppendQuoted(dst[:0], short)
	}
}

func BenchmarkDecode(b *testing.B) {
	b.ReportAllocs()
	in := append(append([]byte{'['}, AppendQuoted(nil, short)...), ']')
	for b.Loop() {
		if _, err := Decode(in, 10); err != nil {
			b.Fatal(err)
		}
	}
}
