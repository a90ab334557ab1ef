package config

import (
	"os"
	"slices"
)

// Option changes where Load looks.
type Option func(*settings)

// settings is what the options add up to.
type settings struct {
	files      []string // in place of the default ones
	directory  string
	environ    []string
	service    string
	connection string
	section    string
	beside     string // a section that LoadSection reads
}

func defaultSettings() settings {
	return settings{environ: os.Environ(), connection: "Messaging", section: "EventBus"}
}

// Files names the files to read, in this order and in place of the default ones
// and of EVENTBUS_CONFIG. Each must exist; .json, .yaml and .yml are understood.
func Files(paths ...string) Option {
	return func(s *settings) { s.files = slices.Clone(paths) }
}

// Directory is where the default files are looked for, in place of the working
// directory.
func Directory(path string) Option { return func(s *settings) { s.directory = path } }

// Environ is the environment, as os.Environ writes it and in its place: for
// tests, which can run side by side with it.
func Environ(variables ...string) Option {
	return func(s *settings) { s.environ = slices.Clone(variables) }
}

// Service is the name of the service where the configuration has none: most
// programs know their own.
func Service(name string) Option { return func(s *settings) { s.service = name } }

// Connection is the name of the connection string. Default "Messaging". With
// Section it serves programs that talk to several clusters.
func Connection(name string) Option { return func(s *settings) { s.connection = name } }

// Section is the name of the section that configures the bus. Default "EventBus".
func Section(name string) Option { return func(s *settings) { s.section = name } }
