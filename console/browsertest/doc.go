// Package browsertest opens the console's pages in a browser. It is a module of its
// own, so that nobody who uses the console requires what drives one.
package browsertest
