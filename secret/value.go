package secret

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// Value is a secret. The zero Value means none. Values are immutable, may be copied and
// compared, and are safe for concurrent use. Two are equal only if one is a copy of the other.
type Value struct{ source *source }

// source holds the secret in a function. Printers show only a function's address, even if they
// follow pointers into unexported fields.
type source struct{ read func() (string, error) }

// Text returns the secret s. An empty s gives the zero Value.
func Text(s string) Value {
	if s == "" {
		return Value{}
	}
	return Func(func() (string, error) { return s, nil })
}

// File returns the secret in a file, without the line break at its end. The file is read each
// time the secret is needed, for a new connection or a request that carries it. An empty path
// gives the zero Value.
func File(path string) Value {
	if path == "" {
		return Value{}
	}
	return Func(func() (string, error) { return read(path) })
}

// Func returns the secret that read returns. read is called, concurrently, each time the secret
// is needed. It should answer at once, from memory, and its errors must not contain the secret.
// A nil read gives the zero Value. If read panics, Reveal returns an error without the panic's
// text, which might contain the secret.
func Func(read func() (string, error)) Value {
	if read == nil {
		return Value{}
	}
	return Value{&source{func() (s string, err error) {
		defer func() {
			if recover() != nil {
				s, err = "", errors.New("the function that returns the secret panicked")
			}
		}()
		return read()
	}}}
}

// IsZero reports whether v is the zero Value.
func (v Value) IsZero() bool { return v.source == nil }

// Reveal returns the current secret, "" for the zero Value. If the file can't be read or is
// empty, it returns an error that names the file.
func (v Value) Reveal() (string, error) {
	if v.source == nil {
		return "", nil
	}
	s, err := v.source.read()
	if err == nil && s == "" {
		err = errors.New("the secret is empty")
	}
	return s, err
}

// maxFile bounds the size of a file, in bytes.
const maxFile = 1 << 20

func read(path string) (string, error) {
	f, err := os.Open(path) //nolint:gosec // the caller's own choice of file
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	content, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	switch {
	case err != nil:
		return "", err
	case len(content) > maxFile:
		return "", fmt.Errorf("the file %s is larger than %d bytes", path, maxFile)
	}
	s := strings.TrimRight(string(content), "\r\n")
	if s == "" {
		return "", errors.New("the file " + path + " is empty")
	}
	return s, nil
}
