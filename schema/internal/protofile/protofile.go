// Package protofile reads Protocol Buffers files as schema registries store them, and
// finds messages in them by the indexes that events carry.
//
// Registries store files in two forms: as .proto text, which people register, and as
// descriptors in base64, which some clients register because they have no text. The
// package reads both. It parses text but does not compile it: what a file imports is not
// needed to find a message.
package protofile

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/bufbuild/protocompile/parser"
	"github.com/bufbuild/protocompile/reporter"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/eventbus-go/eventbus/schema/registry"
)

// WellKnown reports whether a file is one of Google's, which every registry and compiler
// has.
func WellKnown(path string) bool { return strings.HasPrefix(path, "google/protobuf/") }

// Of reads a schema of a registry, binary in base64 or .proto text. It ignores imports.
func Of(d *registry.Definition) (*descriptorpb.FileDescriptorProto, error) {
	if raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(d.Text)); err == nil {
		file := new(descriptorpb.FileDescriptorProto)
		if err := proto.Unmarshal(raw, file); err != nil {
			return nil, fmt.Errorf("the schema is no file of Protobuf: %w", err)
		}
		return file, nil
	}
	// Names and numbers may hold characters that base64 has too, but a text has a space
	// or a semicolon somewhere, which base64 has not.
	handler := reporter.NewHandler(nil)
	tree, err := parser.Parse("schema.proto", strings.NewReader(d.Text), handler)
	if err != nil {
		return nil, fmt.Errorf("the schema is no file of Protobuf: %w", err)
	}
	result, err := parser.ResultFromAST(tree, false, handler)
	if err != nil {
		return nil, fmt.Errorf("the schema is no file of Protobuf: %w", err)
	}
	return result.FileDescriptorProto(), nil
}

// IndexOf returns the path to a message in its file: its index among the messages, then
// among those nested in that, and so on. It returns nil if there is no such message.
func IndexOf(file *descriptorpb.FileDescriptorProto, name protoreflect.FullName) []int {
	// The package is a prefix of the name, but not all of a prefix is the package: shop
	// and shop.v2 are two.
	rest := string(name)
	if p := file.GetPackage(); p != "" {
		var ok bool
		if rest, ok = strings.CutPrefix(rest, p+"."); !ok {
			return nil
		}
	}
	messages := file.GetMessageType()
	var path []int
	for part := range strings.SplitSeq(rest, ".") {
		at := -1
		for i, m := range messages {
			if m.GetName() == part {
				at = i
			}
		}
		if at < 0 {
			return nil
		}
		path, messages = append(path, at), messages[at].GetNestedType()
	}
	return path
}

// NameAt returns the name of the message at a path, as an event has it.
func NameAt(file *descriptorpb.FileDescriptorProto, path []int) (protoreflect.FullName, error) {
	name, messages := file.GetPackage(), file.GetMessageType()
	if len(path) == 0 {
		return "", errors.New("the event names no message of its schema")
	}
	for _, i := range path {
		if i >= len(messages) {
			return "", fmt.Errorf("the schema has no message at the indexes %v", path)
		}
		name = strings.TrimPrefix(name+"."+messages[i].GetName(), ".")
		messages = messages[i].GetNestedType()
	}
	return protoreflect.FullName(name), nil
}
