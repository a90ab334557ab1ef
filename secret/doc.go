// Package secret holds passwords, tokens and keys in values that can't be printed. A [Value]
// shows only whether it is set: to package fmt with every verb, to JSON, YAML, XML and gob, to
// log/slog and zap, and even in an unexported field, which packages print without calling its
// methods. The secret is read when it is needed, so that one in a file can be replaced while
// the program runs.
//
//	value.go   Value: Text, File, Func, and Reveal
//	print.go   how it is shown
package secret
