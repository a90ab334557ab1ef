package protosource

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jhump/protoreflect/v2/protoprint"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	// These register Google's own files, which schemas leave out.
	_ "google.golang.org/protobuf/types/known/anypb"
	_ "google.golang.org/protobuf/types/known/durationpb"
	_ "google.golang.org/protobuf/types/known/emptypb"
	_ "google.golang.org/protobuf/types/known/fieldmaskpb"
	_ "google.golang.org/protobuf/types/known/structpb"
	_ "google.golang.org/protobuf/types/known/timestamppb"
	_ "google.golang.org/protobuf/types/known/wrapperspb"
)

// formats has AsyncAPI's media type for each syntax.
var formats = map[protoreflect.Syntax]string{
	protoreflect.Proto2: "application/vnd.google.protobuf;version=2",
	protoreflect.Proto3: "application/vnd.google.protobuf;version=3",
}

// ErrSeveral means that the schema does not fit into a single file, which a document
// needs.
var ErrSeveral = errors.New("the schema is of several files")

// Of returns the schema that package protobuf declares for an event as one file, and
// AsyncAPI's media type for it. The file contains the event's message, marked as the
// root, and the messages that it uses. Of returns an error if the event's message is nested
// in another, or if its files have several packages, custom options or an edition.
func Of(schema json.RawMessage) (format, text string, err error) {
	var whole struct {
		Message string            `json:"message"`
		Files   []json.RawMessage `json:"files"`
	}
	if err := json.Unmarshal(schema, &whole); err != nil {
		return "", "", fmt.Errorf("the schema is not from package protobuf: %w", err)
	}
	var files protoregistry.Files
	for _, raw := range whole.Files {
		if err := add(&files, raw); err != nil {
			return "", "", fmt.Errorf("the schema's descriptors: %w", err)
		}
	}
	found, err := files.FindDescriptorByName(protoreflect.FullName(whole.Message))
	if err != nil {
		return "", "", fmt.Errorf("the schema has no message %q: %w", whole.Message, err)
	}
	message, ok := found.(protoreflect.MessageDescriptor)
	if !ok || message.Parent() != message.ParentFile() {
		return "", "", fmt.Errorf("%s is no message of its own", whole.Message)
	}
	format = formats[message.ParentFile().Syntax()]
	if format == "" {
		return "", "", fmt.Errorf("a file of %s has no media type", message.ParentFile().Syntax())
	}
	one, err := single(message)
	if err != nil {
		return "", "", err
	}
	file, err := protodesc.NewFile(one, protoregistry.GlobalFiles)
	if err != nil {
		return "", "", fmt.Errorf("the file of %s: %w", whole.Message, err)
	}
	text, err = (&protoprint.Printer{Compact: true}).PrintProtoToString(file)
	return format, text, err
}

// add adds a file. Its imports were added before.
func add(files *protoregistry.Files, raw json.RawMessage) error {
	described := new(descriptorpb.FileDescriptorProto)
	if err := protojson.Unmarshal(raw, described); err != nil {
		return err
	}
	file, err := protodesc.NewFile(described, resolver{files})
	if err != nil {
		return err
	}
	return files.RegisterFile(file)
}

// resolver finds the schema's own files before Google's.
type resolver struct{ *protoregistry.Files }

// FindFileByPath implements protodesc.Resolver.
func (r resolver) FindFileByPath(path string) (protoreflect.FileDescriptor, error) {
	if f, err := r.Files.FindFileByPath(path); err == nil {
		return f, nil
	}
	return protoregistry.GlobalFiles.FindFileByPath(path)
}

// FindDescriptorByName implements protodesc.Resolver.
func (r resolver) FindDescriptorByName(name protoreflect.FullName) (protoreflect.Descriptor, error) {
	if d, err := r.Files.FindDescriptorByName(name); err == nil {
		return d, nil
	}
	return protoregistry.GlobalFiles.FindDescriptorByName(name)
}

// single returns a file with a message and all the types that it contains.
func single(root protoreflect.MessageDescriptor) (*descriptorpb.FileDescriptorProto, error) {
	of := root.ParentFile()
	file := &descriptorpb.FileDescriptorProto{Name: new("event.proto"), Package: new(string(of.Package()))}
	if of.Syntax() == protoreflect.Proto3 {
		file.Syntax = new("proto3")
	}
	imports := make(map[string]bool)
	seen := make(map[protoreflect.FullName]bool)
	// take adds the top-level declaration that contains d, once, and the types of its
	// fields.
	var take func(d protoreflect.Descriptor) error
	var fields func(m protoreflect.MessageDescriptor) error
	take = func(d protoreflect.Descriptor) error {
		for d.Parent() != d.ParentFile() {
			d = d.Parent()
		}
		if path := d.ParentFile().Path(); strings.HasPrefix(path, "google/protobuf/") {
			imports[path] = true
			return nil
		}
		if seen[d.FullName()] {
			return nil
		}
		seen[d.FullName()] = true
		if d.ParentFile().Package() != of.Package() || d.ParentFile().Syntax() != of.Syntax() {
			return fmt.Errorf("%w, of several packages", ErrSeveral)
		}
		switch d := d.(type) {
		case protoreflect.EnumDescriptor:
			file.EnumType = append(file.EnumType, protodesc.ToEnumDescriptorProto(d))
		case protoreflect.MessageDescriptor:
			file.MessageType = append(file.MessageType, protodesc.ToDescriptorProto(d))
			return fields(d)
		}
		return nil
	}
	fields = func(m protoreflect.MessageDescriptor) error {
		for i := range m.Fields().Len() {
			var of protoreflect.Descriptor
			switch f := m.Fields().Get(i); {
			case f.Message() != nil:
				of = f.Message()
			case f.Enum() != nil:
				of = f.Enum()
			default:
				continue
			}
			if err := take(of); err != nil {
				return err
			}
		}
		for i := range m.Messages().Len() {
			if err := fields(m.Messages().Get(i)); err != nil {
				return err
			}
		}
		return nil
	}
	if err := take(root); err != nil {
		return nil, err
	}
	file.Dependency = slices.Sorted(maps.Keys(imports))
	// AsyncAPI's parser needs to know which of several messages is the event. The path
	// is that of the first message (field 4 of a file).
	file.SourceCodeInfo = &descriptorpb.SourceCodeInfo{Location: []*descriptorpb.SourceCodeInfo_Location{
		{Path: []int32{4, 0}, Span: []int32{0, 0, 0}, LeadingComments: new(" @RootNode\n")},
	}}
	return file, nil
}
