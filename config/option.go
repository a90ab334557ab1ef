package config

import (
	"os"
	"slices"
)

// Option changes where Load looks. Later options override earlier ones.
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

// Files names the files to read, in this order, instead of the default ones and those
// of EVENTBUS_CONFIG. Each must exist and end in .json, .yaml or .yml.
func Files(paths ...string) Option {
	return func(s *settings) { s.files = slices.Clone(paths) }
}

// Directory names the directory of the default files. The default is the working
// directory.
func Directory(path string) Option { return func(s *settings) { s.directory = path } }

// Environ replaces the environment. variables have the form of os.Environ. Tests that
// use Environ can run in parallel.
func Environ(variables ...string) Option {
	return func(s *settings) { s.environ = slices.Clone(variables) }
}

// Service names the service if the configuration does not: most programs know their
// own name.
func Service(name string) Option { return func(s *settings) { s.service = name } }

// Connection names the connection string. Default "Messaging". Together with Section,
// it is for programs that use several clusters.
func Connection(name string) Option { return func(s *settings) { s.connection = name } }

// Section names the section that configures the bus. Default "EventBus".
func Section(name string) Option { return func(s *settings) { s.section = name } }
