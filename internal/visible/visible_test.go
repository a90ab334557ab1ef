package visible

import (
	"encoding/json"
	"testing"
	"unicode/utf8"
)

// TestText: what a terminal obeys is written as an escape, and all else stays.
func TestText(t *testing.T) {
	for in, want := range map[string]string{
		"plain Åland 東京 🙂": "plain Åland 東京 🙂",
		"a\x1b[2Jb":        `a\x1b[2Jb`,
		"a\nb\tc":          `a\nb\tc`,
		"a\u202eb":         `a\u202eb`,
		"a\u009bb":         `a\u009bb`,
		"a\x9bb":           `a\x9bb`, // the C1 control as a byte alone
		"a\U000e0001b":     `a\U000e0001b`,
		"":                 "",
	} {
		if got := Text(in); got != want {
			t.Errorf("%q is shown as %s, want %s", in, got, want)
		}
	}
}

// TestMarkup keeps the layout of a document.
func TestMarkup(t *testing.T) {
	if got := string(Markup([]byte("a\n\tb\x1b\r"))); got != "a\n\tb\\x1b\\r" {
		t.Errorf("%q", got)
	}
}

// TestJSON: programs read the text that was there, and a terminal obeys none of it.
func TestJSON(t *testing.T) {
	for _, text := range []string{"\x1b", "a\u202eb", "\U000e0001", "é", "\u0085"} {
		in := []byte(`{"a":"` + text + `"}`)
		out := JSON(in)
		for rest := out; len(rest) > 0; {
			r, size := utf8.DecodeRune(rest)
			if Obeyed(r) {
				t.Errorf("%q has %U left in it: %s", in, r, out)
			}
			rest = rest[size:]
		}
		var got map[string]string
		if err := json.Unmarshal(out, &got); err != nil || got["a"] != text {
			t.Errorf("%q became %q: %v", text, got["a"], err)
		}
	}
	if got := JSON([]byte("{\"a\":\"\xff\"}")); !utf8.Valid(got) || !json.Valid(got) {
		t.Errorf("%q", got)
	}
}

// TestBytes: text, quoted where it needs that, or a number.
func TestBytes(t *testing.T) {
	for in, want := range map[string]string{"c-1": "c-1", "": `""`, "a b": `"a b"`, "a\n": `"a\n"`, "\xff\x00": "(2 bytes)"} {
		if got := Bytes([]byte(in)); got != want {
			t.Errorf("%q is shown as %s, want %s", in, got, want)
		}
	}
}
