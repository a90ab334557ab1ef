package config

import (
	"encoding"
	"fmt"
	"reflect"
	"time"
)

// LoadSection reads a section beside that of the bus, such as "Outbox", from the same
// sources into the struct that into points to. A key is the name of an exported field
// that holds text, a bool, an integer, a [time.Duration], an
// [encoding.TextUnmarshaler], or a struct of these, whose keys are Field:Field. Fields
// of other kinds can be set only in code. A field that no source sets stays unchanged.
// The error is an *Error that lists everything that is wrong, including keys of the
// section that are not fields.
func LoadSection(section string, into any, options ...Option) error {
	to := reflect.ValueOf(into)
	if to.Kind() != reflect.Pointer || to.IsNil() || to.Elem().Kind() != reflect.Struct {
		return fmt.Errorf("config: load section %s: pass a pointer to a struct, not %T", section, into)
	}
	s := defaultSettings()
	for _, o := range options {
		o(&s)
	}
	s.beside = section
	var wrong Error
	// The bus's section names the environment, and so a file: it is read before the
	// section is changed.
	r := &reader{values: s.read(&wrong), wrong: &wrong.Bus}
	s.section = section
	r.settings = s
	r.fields("", to.Elem())
	r.unknown()
	if len(wrong.Bus) > 0 {
		return &wrong
	}
	return nil
}

// fields reads the fields of a struct, whose keys begin with prefix.
func (r *reader) fields(prefix string, of reflect.Value) {
	for i := range of.NumField() {
		field := of.Type().Field(i)
		if !field.IsExported() {
			continue
		}
		name := prefix + field.Name
		switch to := of.Field(i).Addr().Interface().(type) {
		case *time.Duration:
			r.duration(name, to)
		case encoding.TextUnmarshaler:
			r.unmarshal(name, to)
		default:
			r.field(name, of.Field(i))
		}
	}
}

// field reads a field by the kind of its type, so that named types are read too.
func (r *reader) field(name string, to reflect.Value) {
	switch to.Kind() {
	case reflect.String:
		var text string
		if r.text(name, &text); text != "" {
			to.SetString(text)
		}
	case reflect.Bool:
		var flag bool
		if r.flag(name, &flag) {
			to.SetBool(flag)
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		var n int64
		switch {
		case !count(r, name, &n):
		case to.OverflowInt(n):
			r.wrongly(name, "too large a count")
		default:
			to.SetInt(n)
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		var n int64
		switch {
		case !count(r, name, &n):
		case to.OverflowUint(uint64(n)): //nolint:gosec // a count is not negative
			r.wrongly(name, "too large a count")
		default:
			to.SetUint(uint64(n)) //nolint:gosec // a count is not negative
		}
	case reflect.Struct:
		r.fields(name+":", to)
	}
}

// unmarshal reads a field whose type reads its own text.
func (r *reader) unmarshal(name string, to encoding.TextUnmarshaler) {
	key := r.setting(name)
	text, ok := r.string(key)
	if !ok {
		return
	}
	if err := to.UnmarshalText([]byte(text)); err != nil {
		r.fault("%s: %w", r.values.origins[key], err)
	}
}
