package protobuf

import (
	"slices"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// generatedMarshal and generatedUnmarshal are the methods that protoc-gen-go-vtproto
// adds to a message. They are specific to the message and take less time than Google's
// runtime, which walks tables and allocates. A message has them if its owner generates
// them, so nothing is imported for them.
type (
	generatedMarshal interface {
		SizeVT() int
		MarshalToSizedBufferVT(dst []byte) (int, error)
	}
	generatedUnmarshal interface {
		UnmarshalVT(data []byte) error
	}
)

// marshal is deterministic, so that encoding an event always gives the same bytes.
// Only maps cost more.
var marshal = proto.MarshalOptions{Deterministic: true}

func encode(dst []byte, v any) ([]byte, error) { return marshal.MarshalAppend(dst, v.(proto.Message)) }

func encodeGenerated(dst []byte, v any) ([]byte, error) {
	m := v.(generatedMarshal)
	from, size := len(dst), m.SizeVT()
	dst = slices.Grow(dst, size)[:from+size]
	// The message is written backwards, so the buffer must have exactly its size.
	_, err := m.MarshalToSizedBufferVT(dst[from:])
	return dst, err
}

func decode(data []byte, v any) error { return proto.Unmarshal(data, v.(proto.Message)) }

func decodeGenerated(data []byte, v any) error { return v.(generatedUnmarshal).UnmarshalVT(data) }

// encoderOf returns the encoder of a type of message. It is chosen once, when the
// codec is declared.
func encoderOf(m proto.Message) func([]byte, any) ([]byte, error) {
	if _, ok := m.(generatedMarshal); ok {
		return encodeGenerated
	}
	return encode
}

// decoderOf returns the decoder of a type of message. Generated code does not bound
// the depth of nested messages, so a few megabytes of data could overflow the stack,
// which ends the process. Google's runtime stops at a depth of 10,000, so it reads the
// messages that can contain themselves.
func decoderOf(m proto.Message) func([]byte, any) error {
	if _, ok := m.(generatedUnmarshal); ok && !recursive(m.ProtoReflect().Descriptor(), make(map[protoreflect.FullName]bool)) {
		return decodeGenerated
	}
	return decode
}

// recursive reports whether a message can contain itself. seen has the messages that
// were visited, with true for those that contain m.
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
