// Package interop has tests alone: the codecs against a real schema registry and
// against Confluent's serializers in Python. scripts/registry.sh starts the one,
// scripts/python.sh runs the other; make test-registry does both.
package interop
