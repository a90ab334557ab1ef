// Package registry reads and registers schemas at a schema registry with Confluent's API
// (Confluent's own, Apicurio Registry, Redpanda, Karapace), and defines how an event
// names its schema. The codecs are in the packages avro, protobuf and jsonschema.
//
// # Framing
//
// Each codec must choose how an event names its schema, since that decides who can read
// the data:
//
//   - [Header]: the value stays plain, and the header __value_schema_id names the
//     schema. CloudEvents' readers and Confluent's clients of 2025 and later
//     understand it.
//   - [Prefix]: five bytes before the value, and Protobuf's message indexes. Every
//     Confluent client understands it; the value is then not what its
//     datacontenttype says.
//   - [None]: only the attribute dataschema, if the codec registers or uses a
//     schema of the registry; otherwise nothing, for readers that have the same schema.
//
// A reader accepts all of them: it tries the header, then the prefix, then dataschema,
// then its own schema. A plain Avro value may begin with a zero byte like a prefix. So
// codecs with Prefix or Header treat such a value without the header as prefixed;
// codecs with None never do. Protobuf and JSON never begin with a zero byte.
//
// # Errors
//
// A registry that can't be reached, is overloaded or refuses the credentials makes
// events wait (eventbus.Unavailable); a known id needs no registry. An unknown id may
// be on its way to a replica: for Config.UnknownFor it is waited for and requested
// again, at least eight times. After that it is a permanent error, and the event
// becomes a dead letter whose error names the id. If the registry calls a schema
// incompatible, the error is [ErrIncompatible], with the registry's reasons.
//
// # Limits
//
// An answer of a server is read up to 8 MiB, a directory up to 10,000 schemas. 1,000
// schemas are cached by default. A call takes at most 5 s by default, and callers that
// need the same schema share it. References between schemas are followed 32 deep. Only
// Register writes, no redirect is followed, and credentials are sent only to the
// configured addresses.
//
// # Configuration
//
// A package of contracts declares its topics before anything is configured. It uses
// [FromEnvironment], or [Lazy] with [Settings] that package config reads from the
// service's files. The first codec that starts or works requests the configuration; a
// mistake in it is an error of the bus's start. New is for programs that know their
// Config when they declare their topics.
//
// # Files
//
//	registry.go                      the calls to a registry
//	config.go                        the configuration, and its check
//	settings.go, environment.go      the same from files and variables
//	client.go                        HTTP, its bounds and its credentials
//	schema.go, cache.go              schemas, and those that are cached
//	offline.go                       a directory in place of a server
//	framing.go, subject.go, option.go  framing, subjects and options of the codecs
//	errors.go                        the classes of errors
package registry
