// Package registry reads and registers schemas at a schema registry that speaks
// Confluent's API (Confluent's own, Apicurio Registry, Redpanda, Karapace), and
// says how an event names its schema. The codecs are in the packages avro,
// protobuf and jsonschema beside it.
//
// # Framing
//
// How an event names its schema is a choice that each codec has to make, since
// it decides who can read the data:
//
//   - [Header]: the value stays plain, and the header __value_schema_id names the
//     schema. CloudEvents' readers and Confluent's clients of 2025 and later
//     understand it.
//   - [Prefix]: five bytes before the value, and Protobuf's message indexes. Every
//     Confluent client understands it; the value is then not what its
//     datacontenttype says.
//   - [None]: the attribute dataschema alone, where the codec registers or uses a
//     schema of the registry; else nothing, for readers that have the same schema.
//
// A reader takes all of them: the header first, then the prefix, then dataschema,
// then its own schema. A plain Avro value may begin with a zero byte as a prefix
// does, so a value without the header is taken for prefixed by codecs that are
// declared with Prefix or Header, and never by those with None. Protobuf and JSON
// never begin with one.
//
// # Errors
//
// A registry that can't be reached, is overloaded or refuses the credentials makes
// events wait (eventbus.Unavailable); an id that is known needs no registry. An id
// that the registry does not know may be on its way to a replica: it is waited for
// during Config.UnknownFor, asked for again at least eight times, and is permanent then,
// so that the event becomes a dead letter whose error names the id. A schema that the registry calls incompatible
// is [ErrIncompatible] with the registry's own words.
//
// # Limits
//
// An answer of a server is read up to 8 MiB, a directory up to 10,000 schemas; 1,000
// schemas are remembered by default. A call takes 5 s at most by default, and several
// callers that need one schema share it. References between schemas are followed 32
// deep. Nothing is written but by Register, no redirect is followed, and credentials go
// to the configured addresses alone.
//
// # Configuration
//
// A package of contracts declares its topics before anything is configured. It uses
// [FromEnvironment], or [Lazy] with [Settings] that package config reads from the
// service's own files: the first codec that starts or works asks for the configuration,
// and a mistake in it is an error of the bus's start. New is for programs that know their
// Config when they declare.
//
// # Files
//
//	registry.go                      the calls
//	config.go                        where they go, and what is wrong with it
//	settings.go, environment.go      the same from files and variables
//	client.go                        HTTP, its bounds and its credentials
//	schema.go, cache.go              values, and what is remembered of them
//	offline.go                       a directory in place of a server
//	framing.go, subject.go, option.go  what the codecs share
//	errors.go                        the classes of errors
package registry
