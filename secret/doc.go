// Package secret holds passwords, tokens and keys in values that have nothing to
// print. A [Value] shows no more than that it is set, to package fmt with every verb,
// to JSON, YAML, XML and gob, to log/slog and zap, and where it lies in a field that
// is not exported, which packages print without asking it. What is behind it is read
// when it is needed, so that a secret in a file can be replaced while the program
// runs.
//
//	value.go   Value: Text, File, Func, and Reveal
//	print.go   what is shown of it
package secret
