// Package protofile reads Protocol Buffers files as schema registries store them, and
// finds messages in them by the indexes that events carry.
//
// Registries store files in two forms: .proto text, and base64 descriptors, which some
// clients register because they have no text. The package reads both. It parses text
// but does not compile it, since finding a message does not need the imports.
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

// WellKnown reports whether a file is one of Google's well-known files, which every
// registry and compiler has.
func WellKnown(path string) bool { return strings.HasPrefix(path, "google/protobuf/") }

// Of parses a schema of a registry: a base64 descriptor or .proto text. It ignores
// imports.
func Of(d *registry.Definition) (*descriptorpb.FileDescriptorProto, error) {
	if raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(d.Text)); err == nil {
		file := new(descriptorpb.FileDescriptorProto)
		if err := proto.Unmarshal(raw, file); err != nil {
			return nil, fmt.Errorf("the schema is no file of Protobuf: %w", err)
		}
		return file, nil
	}
	// Text never decodes as base64, since it contains spaces or semicolons.
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

// IndexOf returns the path to a message in its file: the index of the top-level
// message, then of the message nested in it, and so on. It returns nil if there is no
// such message.
func IndexOf(file *descriptorpb.FileDescriptorProto, name protoreflect.FullName) []int {
	// The package must be cut with its dot: shop.v2.M is not in a package shop.v.
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

// NameAt returns the name of the message at a path.
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
