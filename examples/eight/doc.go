// Package eight has two services that do the eight usual tasks: publish and handle typed
// events, retry and dead-letter, 64 workers in key order, the test of a handler, traces,
// health, a clean stop, and an admin handler to inspect and redrive by. Its test counts
// the lines that this takes.
package eight
