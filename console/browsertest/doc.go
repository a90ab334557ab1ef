// Package browsertest opens the console's pages in a browser. It is a separate module, so
// that users of the console need no browser driver.
package browsertest
