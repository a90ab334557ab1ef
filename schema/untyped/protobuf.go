package untyped

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/eventbus-go/eventbus/schema/internal/protofile"
	"github.com/eventbus-go/eventbus/schema/registry"
)

// own is the path of the schema itself; registries don't keep one.
const own = "eventbus-own-schema.proto"

// mostImports bounds the files that one schema imports, with all that those import.
const mostImports = 1000

// imports resolves imports for the compiler. all has the files of a schema by the
// paths in import statements.
type imports struct {
	load load
	mu   sync.Mutex // the compiler asks concurrently
	all  map[string]*registry.Schema
}

// FindFileByPath implements protocompile.Resolver.
func (f *imports) FindFileByPath(path string) (protocompile.SearchResult, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.all[path]
	// Google's own files come with the compiler.
	if s == nil {
		return protocompile.SearchResult{}, protoregistry.NotFound
	}
	file, err := protofile.Of(&s.Definition)
	if err != nil {
		return protocompile.SearchResult{}, err
	}
	// Registries keep no paths, and the compiler expects the path that it asked for.
	file = proto.CloneOf(file)
	file.Name = &path
	return protocompile.SearchResult{Proto: file}, nil
}

// add loads the schemas that a schema refers to before compiling, since the compiler
// would not pass on the request's context.
func (f *imports) add(s *registry.Schema, depth int) error {
	if depth > deepest || len(f.all) > mostImports {
		return errors.New("it has too many references")
	}
	for _, r := range s.References {
		if f.all[r.Name] != nil {
			continue
		}
		referred, err := f.load(r)
		if err != nil {
			return fmt.Errorf("the schema %s that it refers to: %w", r.Name, err)
		}
		f.all[r.Name] = referred
		if err := f.add(referred, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// protobufDecoder compiles the schema's files and decodes into dynamic messages. The
// result is Protobuf's own JSON form.
func protobufDecoder(s *registry.Schema, load load) (decode, func(string) fields, error) {
	files := &imports{load: load, all: map[string]*registry.Schema{own: s}}
	if err := files.add(s, 0); err != nil {
		return nil, nil, err
	}
	compiler := protocompile.Compiler{Resolver: protocompile.WithStandardImports(files), MaxParallelism: 1}
	// All files are loaded, so compiling does no I/O that needs a context.
	compiled, err := compiler.Compile(context.Background(), own)
	if err != nil {
		return nil, nil, err
	}
	file := compiled[0]
	types := compiled.AsResolver()
	describe := func(record string) fields {
		message, _ := file.FindDescriptorByName(protoreflect.FullName(record)).(protoreflect.MessageDescriptor)
		if message == nil {
			return nil
		}
		return protobufFields(message)
	}
	return func(data, index []byte, prefixed bool, typ string) (string, []byte, error) {
		message, data, err := messageOf(file, data, index, prefixed, typ)
		if err != nil {
			return "", nil, err
		}
		// The resolver has the schema's own files, since this program may link
		// different types with the same names.
		v := dynamicpb.NewMessage(message)
		if err := (proto.UnmarshalOptions{Resolver: types}).Unmarshal(data, v); err != nil {
			return string(message.FullName()), nil, err
		}
		text, err := protojson.MarshalOptions{Resolver: types}.Marshal(v)
		if err != nil {
			return string(message.FullName()), nil, err
		}
		var b bytes.Buffer // protojson varies its white space on purpose
		err = json.Compact(&b, text)
		return string(message.FullName()), b.Bytes(), err
	}, describe, nil
}

// messageOf finds the message of an event by its indexes, or by the event's type if it
// has none. It also returns the data after the indexes.
func messageOf(file protoreflect.FileDescriptor, data, index []byte, prefixed bool, typ string) (protoreflect.MessageDescriptor, []byte, error) {
	var path []int
	var err error
	switch {
	// A prefix always has indexes after the id; a header may have them.
	case prefixed:
		path, data, err = registry.ParseIndex(data)
	case len(index) > 0:
		path, _, err = registry.ParseIndex(index)
	default:
		path, err = byType(file.Messages(), typ)
	}
	if err != nil {
		return nil, nil, err
	}
	// The path leads from the messages of the file to those nested in them.
	messages := file.Messages()
	var message protoreflect.MessageDescriptor
	for _, i := range path {
		if i >= messages.Len() {
			return nil, nil, fmt.Errorf("the schema has no message at the indexes %v", path)
		}
		message = messages.Get(i)
		messages = message.Messages()
	}
	if message == nil {
		return nil, nil, errors.New("the event names no message of its schema")
	}
	return message, data, nil
}

// byType finds the message with the name of the event's type, which is the default of
// topics, or else the only one of the file. It does not guess, since Protobuf reads
// almost anything as the wrong message.
func byType(messages protoreflect.MessageDescriptors, typ string) ([]int, error) {
	if m := messages.ByName(protoreflect.Name(typ)); m != nil {
		return []int{m.Index()}, nil
	}
	if messages.Len() == 1 {
		return []int{0}, nil
	}
	return nil, errors.New("the event names no message of its schema")
}
