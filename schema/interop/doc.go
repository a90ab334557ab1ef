// Package interop contains only tests of the codecs, against a real schema registry
// and Confluent's serializers in Python. scripts/registry.sh starts the registry,
// scripts/python.sh runs the serializers; make test-registry does both.
package interop
