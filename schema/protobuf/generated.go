package protobuf

import (
	"slices"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// generatedMarshal and generatedUnmarshal are the methods that
// protoc-gen-go-vtproto adds to a message. They are code for the one message, where
// Google's runtime walks a table and allocates for its walk, and take a third of its
// time. A message has them or not, depending on how its owner generates it, so they
// are looked for and nothing is imported.
type (
	generatedMarshal interface {
		SizeVT() int
		MarshalToSizedBufferVT(dst []byte) (int, error)
	}
	generatedUnmarshal interface {
		UnmarshalVT(data []byte) error
	}
)

// marshal is deterministic, so that one event is the same bytes each time it is
// encoded. Only maps cost more by it.
var marshal = proto.MarshalOptions{Deterministic: true}

func encode(dst []byte, v any) ([]byte, error) { return marshal.MarshalAppend(dst, v.(proto.Message)) }

func encodeGenerated(dst []byte, v any) ([]byte, error) {
	m := v.(generatedMarshal)
	from, size := len(dst), m.SizeVT()
	dst = slices.Grow(dst, size)[:from+size]
	// The message is written from its end, within exactly its size.
	_, err := m.MarshalToSizedBufferVT(dst[from:])
	return dst, err
}

func decode(data []byte, v any) error { return proto.Unmarshal(data, v.(proto.Message)) }

func decodeGenerated(data []byte, v any) error { return v.(generatedUnmarshal).UnmarshalVT(data) }

// encoderOf and decoderOf choose for a type of message once, when its codec is
// declared.
func encoderOf(m proto.Message) func([]byte, any) ([]byte, error) {
	if _, ok := m.(generatedMarshal); ok {
		return encodeGenerated
	}
	return encode
}

// Generated code follows messages inside messages without counting how deep it is:
// data of some megabytes could make it use up the stack, which ends the process. Google's
// runtime stops at a depth of 10,000, so it reads the messages that can be inside
// themselves.
func decoderOf(m proto.Message) func([]byte, any) error {
	if _, ok := m.(generatedUnmarshal); ok && !recursive(m.ProtoReflect().Descriptor(), make(map[protoreflect.FullName]bool)) {
		return decodeGenerated
	}
	return decode
}

// recursive reports whether a message can be inside one of its own kind. Seen holds
// the messages that were looked at: true for those that m is inside of.
func recursive(m protoreflect.MessageDescriptor, seen map[protoreflect.FullName]bool) bool {
	if outer, ok := seen[m.FullName()]; ok {
		return outer
	}
	seen[m.FullName()] = true
	fields := m.Fields()
	for i := range fields.Len() {
		if inner := fields.Get(i).Message(); inner != nil && recursive(inner, seen) {
			return true
		}
	}
	seen[m.FullName()] = false
	return false
}
