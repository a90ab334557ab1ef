package secret

import (
	"errors"
	"fmt"
	"log/slog"
)

// shown stands for every secret.
const shown = "[secret]"

// String returns "[secret]", and "" for the zero Value.
func (v Value) String() string {
	if v.IsZero() {
		return ""
	}
	return shown
}

// Format prints String for every verb of package fmt.
func (v Value) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(v.String())) }

// LogValue returns String, for package log/slog.
func (v Value) LogValue() slog.Value { return slog.StringValue(v.String()) }

// MarshalText returns String, so that JSON, YAML and XML, and loggers that use them, show no
// secret.
func (v Value) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText sets the secret, so that a configuration in JSON or YAML can contain it. It
// refuses the text that MarshalText returns.
func (v *Value) UnmarshalText(text []byte) error {
	if string(text) == shown {
		return errors.New(`secret: "[secret]" is how a secret is shown, not what it is`)
	}
	*v = Text(string(text))
	return nil
}

// GobEncode encodes nothing.
func (v Value) GobEncode() ([]byte, error) { return []byte{}, nil }

// GobDecode sets the zero Value: a gob holds no secrets.
func (v *Value) GobDecode([]byte) error {
	*v = Value{}
	return nil
}
