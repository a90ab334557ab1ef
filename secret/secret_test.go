package secret_test

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.yaml.in/yaml/v3"

	"github.com/eventbus-go/eventbus/secret"
)

const hidden = "hunter2"

// settings is a user's struct with secrets in every position.
type settings struct {
	Password secret.Value
	Pointer  *secret.Value
	Nested   struct{ Token secret.Value }
	List     []secret.Value
	Map      map[string]secret.Value
	private  secret.Value
	inner    struct{ token *secret.Value }
}

type embedding struct {
	secret.Value
	Name string
}

func all() (settings, embedding) {
	v := secret.Text(hidden)
	s := settings{Password: v, Pointer: &v, List: []secret.Value{v}, Map: map[string]secret.Value{"a": v}, private: v}
	s.Nested.Token, s.inner.token = v, &v
	return s, embedding{v, "x"}
}

// TestNothingToPrint prints a secret in every way that programs print their
// configuration.
func TestNothingToPrint(t *testing.T) {
	s, e := all()
	var out strings.Builder
	for _, v := range []any{s.Password, &s.Password, s, &s, e, &e, []settings{s}, map[string]any{"x": s}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%p", "%T", "%10.3s", "%w"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		if b, err := json.Marshal(v); err != nil {
			t.Errorf("json of %T: %v", v, err)
		} else {
			out.Write(b)
		}
		if b, err := yaml.Marshal(v); err != nil {
			t.Errorf("yaml of %T: %v", v, err)
		} else {
			out.Write(b)
		}
		var logged bytes.Buffer
		slog.New(slog.NewTextHandler(&logged, nil)).Info("x", "v", v)
		slog.New(slog.NewJSONHandler(&logged, nil)).Info("x", "v", v)
		core := zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(&logged), zap.DebugLevel)
		zap.New(core).Info("x", zap.Any("v", v), zap.Reflect("r", v))
		zap.New(core).Sugar().Infow("x", "v", v)
		out.Write(logged.Bytes())
	}
	for _, v := range []any{s.Password, s, e} {
		var encoded bytes.Buffer
		if err := gob.NewEncoder(&encoded).Encode(v); err != nil {
			t.Errorf("gob of %T: %v", v, err)
		}
		out.Write(encoded.Bytes())
	}
	if b, err := xml.Marshal(s.Password); err != nil {
		t.Errorf("xml: %v", err)
	} else {
		out.Write(b)
	}
	printed := out.String()
	for _, form := range []string{hidden, fmt.Sprintf("%x", hidden), fmt.Sprintf("%X", hidden), fmt.Sprintf("%d", []byte(hidden))} {
		if strings.Contains(printed, form) {
			t.Errorf("the secret shows as %q", form)
		}
	}
	if !strings.Contains(printed, "[secret]") {
		t.Error("nothing says that there is a secret")
	}
	if text := fmt.Sprint(secret.Value{}); text != "" {
		t.Errorf("the zero Value is printed as %q", text)
	}
}

// TestRead: secrets come in by configurations, and what is shown of one is not taken
// for one.
func TestRead(t *testing.T) {
	var s struct{ Password secret.Value }
	if err := json.Unmarshal([]byte(`{"Password":"hunter2"}`), &s); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Password.Reveal(); got != hidden || err != nil {
		t.Errorf("from JSON: %q, %v", got, err)
	}
	if err := yaml.Unmarshal([]byte("password: swordfish"), &s); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Password.Reveal(); got != "swordfish" || err != nil {
		t.Errorf("from YAML: %q, %v", got, err)
	}
	shown, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(shown, &s); err == nil {
		t.Error("what is shown of a secret was taken for one")
	}
	var encoded bytes.Buffer
	if err := gob.NewEncoder(&encoded).Encode(s); err != nil {
		t.Fatal(err)
	}
	if err := gob.NewDecoder(&encoded).Decode(&s); err != nil || !s.Password.IsZero() {
		t.Errorf("from gob: %v, %v", s.Password, err)
	}
}

// TestFile: a file is read again each time, and an error names it.
func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "password")
	v := secret.File(path)
	if _, err := v.Reveal(); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("no file: %v", err)
	}
	for _, test := range []struct{ content, want string }{{"first\n", "first"}, {"second\r\n", "second"}, {" third", " third"}} {
		if err := os.WriteFile(path, []byte(test.content), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := v.Reveal(); got != test.want || err != nil {
			t.Errorf("%q gives %q, %v", test.content, got, err)
		}
	}
	for name, content := range map[string][]byte{"empty": []byte("\n"), "larger": make([]byte, 1<<20+1)} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := v.Reveal(); err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s file: %v", name, err)
		}
	}
}

func TestZero(t *testing.T) {
	for _, v := range []secret.Value{{}, secret.Text(""), secret.File(""), secret.Func(nil)} {
		if got, err := v.Reveal(); !v.IsZero() || got != "" || err != nil {
			t.Errorf("%v: %q, %v", v.IsZero(), got, err)
		}
	}
	if _, err := secret.Func(func() (string, error) { return "", nil }).Reveal(); err == nil {
		t.Error("an empty secret is taken for one")
	}
	v := secret.Text("x")
	if w := v; v != w {
		t.Error("a copy is not equal")
	}
}

// TestFuncThatPanics: an error without the panic's text, and no crash.
func TestFuncThatPanics(t *testing.T) {
	s, err := secret.Func(func() (string, error) { panic("hunter2") }).Reveal()
	if s != "" || err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("%q, %v", s, err)
	}
}
