// Package personal encrypts the personal data in events, so that a person's data can be erased
// from a log that keeps everything: each subject has a key, and without the key the data is
// unreadable, in every copy of the log.
//
//	type Registered struct {
//		CustomerID string `json:"customerId"`
//		Email      string `json:"email" data:"personal"`
//	}
//
//	Codec: personal.New(eventbus.JSON(), keys, personal.Config{})
//
// Strings in fields tagged data:"personal" are encrypted wherever they are in the event: in
// nested structs, pointers, slices and maps. They stay strings, so schemas and foreign readers
// still work. A field of another type can't be encrypted in place, since that would break its
// schema, and is an error; Config.Whole encrypts the data as a whole instead. What a field of an
// interface type holds is not searched, since a reader would not know its type: it stays readable.
//
// The subject is the event's key unless Config.Subject says otherwise. If the subject's key was
// deleted, the event is handled with those fields empty, and Envelope.Shredded is set.
//
// The cipher is AES-256-GCM with a random nonce for each string, bound to the event's id and
// type and to the field, so that a ciphertext can't be moved elsewhere.
//
// Decoded events contain the plain text: what a handler stores, or publishes without this
// codec, is not encrypted.
//
// The files:
//
//	codec   the codec and its Config
//	fields  finds personal strings in a value, and replaces them in a copy
//	seal    the cipher and the form of its output
//	keys    Keys, and a Ring of keys in memory
package personal
