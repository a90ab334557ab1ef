package protobuf

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/schema/internal/codec"
	"github.com/eventbus-go/eventbus/schema/internal/protofile"
	"github.com/eventbus-go/eventbus/schema/registry"
)

// ContentType is the datacontenttype of the events.
const ContentType = "application/protobuf"

// Codec returns a codec for the message T, a pointer to a generated type: a topic of
// *pb.OrderPlaced has a Codec[*pb.OrderPlaced]. The registry may be nil with framing
// None. With framing Prefix the data is not a plain message, although its content type
// says so.
//
// Like eventbus.NewTopic it panics on a faulty declaration.
func Codec[T proto.Message](r *registry.Registry, f registry.Framing, options ...registry.Option) eventbus.Codec {
	var zero T
	name := "protobuf.Codec[" + reflect.TypeFor[T]().String() + "]"
	if reflect.TypeFor[T]().Kind() != reflect.Pointer {
		panic("eventbus: " + name + ": write the pointer to a generated message, as protobuf.Codec[*pb.OrderPlaced]")
	}
	format := &format{message: zero.ProtoReflect().Descriptor(), encode: encoderOf(zero), decode: decoderOf(zero)}
	o := registry.Collect(options)
	o.Dependencies = append(imports(format.message.ParentFile()), o.Dependencies...)
	return codec.New(name, r, f, format, o)
}

// importedFiles returns the files that a file imports, directly or not, each after its
// own imports. It omits Google's well-known types, which are part of every registry.
func importedFiles(file protoreflect.FileDescriptor, have []protoreflect.FileDescriptor) []protoreflect.FileDescriptor {
	all := file.Imports()
	for i := range all.Len() {
		imported := all.Get(i).FileDescriptor
		if protofile.WellKnown(imported.Path()) || slices.ContainsFunc(have, func(f protoreflect.FileDescriptor) bool { return f.Path() == imported.Path() }) {
			continue
		}
		have = append(importedFiles(imported, have), imported)
	}
	return have
}

// imports returns the dependencies of a file.
func imports(file protoreflect.FileDescriptor) (all []registry.Dependency) {
	for _, f := range importedFiles(file, nil) {
		all = append(all, registry.Dependency{Name: f.Path(), Subject: f.Path(), Text: textOf(f)})
	}
	return all
}

// textOf returns a file in the form that registries accept.
func textOf(file protoreflect.FileDescriptor) string {
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(protodesc.ToFileDescriptorProto(file))
	if err != nil {
		panic("eventbus: protobuf: the descriptor of " + file.Path() + ": " + err.Error()) // of generated code: can't be
	}
	return base64.StdEncoding.EncodeToString(raw)
}

type format struct {
	message protoreflect.MessageDescriptor
	encode  codec.Encoder
	decode  func(data []byte, v any) error
}

func (f *format) ContentType() string { return ContentType }

func (f *format) Record() string { return string(f.message.FullName()) }

func (f *format) Definition() registry.Definition {
	return registry.Definition{Type: registry.Protobuf, Text: textOf(f.message.ParentFile())}
}

// Text returns the message's name, its file and all files that it imports, in the JSON
// form of descriptors. Package catalog compares it without depending on Protobuf.
func (f *format) Text() string {
	file := f.message.ParentFile()
	text := struct {
		Message string            `json:"message"`
		Files   []json.RawMessage `json:"files"`
	}{Message: string(f.message.FullName())}
	for _, file := range append(importedFiles(file, nil), file) {
		descriptor, err := protojson.Marshal(protodesc.ToFileDescriptorProto(file))
		if err != nil {
			panic("eventbus: protobuf: the descriptor of " + file.Path() + ": " + err.Error()) // of generated code: can't be
		}
		text.Files = append(text.Files, descriptor)
	}
	whole, err := json.Marshal(&text) // which also removes the white space that protojson varies
	if err != nil {
		panic("eventbus: protobuf: " + err.Error())
	}
	return string(whole)
}

func (f *format) Refers(text, name string) bool {
	file, err := protofile.Of(&registry.Definition{Type: registry.Protobuf, Text: text})
	return err == nil && slices.Contains(file.GetDependency(), name)
}

// Index looks the message up in s, since a file of the registry may have it at another
// place than the codec's own.
func (f *format) Index(s *registry.Schema) ([]byte, error) {
	file, err := protofile.Of(&s.Definition)
	if err != nil {
		return nil, err
	}
	index := protofile.IndexOf(file, f.message.FullName())
	if index == nil {
		return nil, fmt.Errorf("the schema has no message %s", f.message.FullName())
	}
	return registry.AppendIndex(nil, index), nil
}

// ZeroFirst returns false: a message begins with the tag of a field, and field numbers
// begin at 1 (Protobuf's encoding, "Message Structure").
func (f *format) ZeroFirst() bool { return false }

func (f *format) Writer(*registry.Schema, codec.Load) (codec.Encoder, error) { return f.encode, nil }

// Reader decodes into T whatever version of the schema wrote the data, as is usual
// with Protobuf. The schema is only used to check that the event's index is that of
// T's message.
func (f *format) Reader(s *registry.Schema, _ codec.Load) (codec.Decoder, error) {
	own := new(registry.Schema)
	own.Definition = f.Definition()
	if s == nil {
		s = own
	}
	file, err := protofile.Of(&s.Definition)
	if err != nil {
		return nil, err
	}
	var expected []byte
	if index := protofile.IndexOf(file, f.message.FullName()); index != nil {
		expected = registry.AppendIndex(nil, index)
	}
	return func(data, index []byte, prefixed bool, v any) error {
		switch {
		case prefixed && expected != nil && bytes.HasPrefix(data, expected):
			data = data[len(expected):]
		case prefixed:
			path, rest, err := registry.ParseIndex(data)
			if err != nil {
				return err
			}
			if data, err = rest, f.check(file, path); err != nil {
				return err
			}
		case len(index) > 0 && (expected == nil || !bytes.Equal(index, expected)):
			path, _, err := registry.ParseIndex(index)
			if err != nil {
				return err
			}
			if err := f.check(file, path); err != nil {
				return err
			}
		}
		return f.decode(data, v)
	}, nil
}

// check refuses data of another message, which Protobuf might read without an error.
func (f *format) check(file *descriptorpb.FileDescriptorProto, path []int) error {
	name, err := protofile.NameAt(file, path)
	if err == nil && name != f.message.FullName() {
		err = fmt.Errorf("the data is a message %s, not %s", name, f.message.FullName())
	}
	return err
}
