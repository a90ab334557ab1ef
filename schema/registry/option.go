package registry

// Option changes how a codec uses the registry. The set is closed.
type Option func(*Options)

// Options is what the options of a codec add up to. Codecs read it; users write
// Option values.
type Options struct {
	Strategy        Strategy
	OmitEnvironment bool
	Register        bool
	InProduction    bool
	Latest          bool
	ID              int
	Normalize       bool
	Validate        bool
	Dependencies    []Dependency
}

// Dependency is a schema that a codec's own refers to by Name.
type Dependency struct {
	Name    string
	Subject string
	Text    string
}

// Collect applies options.
func Collect(options []Option) Options {
	var o Options
	for _, option := range options {
		option(&o)
	}
	return o
}

// Subjects names subjects by another strategy than TopicRecordName.
func Subjects(s Strategy) Option { return func(o *Options) { o.Strategy = s } }

// OmitEnvironment leaves the environment out of the topic in subjects, for a
// registry of its own in each environment: sales.public.customers.v1-… for
// dev.sales.public.customers.v1.
func OmitEnvironment() Option { return func(o *Options) { o.OmitEnvironment = true } }

// Register registers the codec's schema when the bus starts. Without it the
// schema must be there. In Production it is refused, since a schema that reaches
// it should have passed a review: say RegisterInProduction.
func Register() Option { return func(o *Options) { o.Register = true } }

// RegisterInProduction is Register in every environment.
func RegisterInProduction() Option {
	return func(o *Options) { o.Register, o.InProduction = true, true }
}

// UseLatest writes by the newest schema of the subject at the time of the start,
// in place of the codec's own.
func UseLatest() Option { return func(o *Options) { o.Latest = true } }

// UseID writes by the schema with this id, in place of the codec's own.
func UseID(id int) Option { return func(o *Options) { o.ID = id } }

// Normalize lets the registry bring schemas into a normal form before it compares
// them.
func Normalize() Option { return func(o *Options) { o.Normalize = true } }

// Validate checks each event against the schema before it is written. Of use for
// JSON Schema alone: the other formats can't write anything else.
func Validate() Option { return func(o *Options) { o.Validate = true } }

// Refer names a schema that the codec's own refers to: by an Avro full name, a
// Protobuf import path, or a JSON Schema $ref. Dependencies come before the ones
// that refer to them.
func Refer(name, subject, text string) Option {
	return func(o *Options) { o.Dependencies = append(o.Dependencies, Dependency{name, subject, text}) }
}
