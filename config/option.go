package config

import (
	"os"
	"slices"
)

// Option changes where Load looks. Of two that set the same, the later wins.
type Option func(*settings)

// settings is the sum of the options.
type settings struct {
	// files are read in place of the default ones; nil means these.
	files []string
	// directory has the default files; empty is the working directory.
	directory string
	// environ is the environment, as os.Environ returns it.
	environ []string
	// service is the name for a configuration that has none.
	service string
	// connection and section are the names of the connection string and of the
	// bus's section.
	connection string
	section    string
	// beside is a section that LoadSection reads, in place of the bus's; put keeps
	// it too.
	beside string
}

// defaultSettings returns the settings without options.
func defaultSettings() settings {
	return settings{environ: os.Environ(), connection: "Messaging", section: "EventBus"}
}

// Files names the files to read, in this order and in place of the default ones
// and of EVENTBUS_CONFIG. Each must exist; .json, .yaml and .yml are understood.
func Files(paths ...string) Option {
	return func(s *settings) { s.files = slices.Clone(paths) }
}

// Directory names the directory of the default files, in place of the working
// directory.
func Directory(path string) Option { return func(s *settings) { s.directory = path } }

// Environ gives the environment, in the form of os.Environ and in its place: tests
// that use it can run in parallel.
func Environ(variables ...string) Option {
	return func(s *settings) { s.environ = slices.Clone(variables) }
}

// Service names the service where the configuration does not: most programs know
// their own name.
func Service(name string) Option { return func(s *settings) { s.service = name } }

// Connection names the connection string. Default "Messaging". With Section it
// serves programs that talk to several clusters.
func Connection(name string) Option { return func(s *settings) { s.connection = name } }

// Section names the section that configures the bus. Default "EventBus".
func Section(name string) Option { return func(s *settings) { s.section = name } }
