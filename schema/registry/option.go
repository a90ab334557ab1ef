package registry

// Option changes how a codec uses the registry. The set is closed.
type Option func(*Options)

// Options are the collected options of a codec. Codecs read it; users pass Option
// values.
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

// Dependency is a schema that a codec's own schema refers to by Name.
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

// Subjects names subjects by a strategy other than TopicRecordName.
func Subjects(s Strategy) Option { return func(o *Options) { o.Strategy = s } }

// OmitEnvironment omits the topic's environment from subjects, for a separate registry
// in each environment: sales.public.customers.v1-… for dev.sales.public.customers.v1.
func OmitEnvironment() Option { return func(o *Options) { o.OmitEnvironment = true } }

// Register registers the codec's schema when the bus starts. Without it the schema must
// be registered already. In Production it is refused, since a schema there should have
// passed a review: use RegisterInProduction.
func Register() Option { return func(o *Options) { o.Register = true } }

// RegisterInProduction is Register in every environment.
func RegisterInProduction() Option {
	return func(o *Options) { o.Register, o.InProduction = true, true }
}

// UseLatest writes with the newest schema of the subject at the start, instead of the
// codec's own.
func UseLatest() Option { return func(o *Options) { o.Latest = true } }

// UseID writes with the schema that has this id, instead of the codec's own.
func UseID(id int) Option { return func(o *Options) { o.ID = id } }

// Normalize makes the registry normalize schemas before it compares them.
func Normalize() Option { return func(o *Options) { o.Normalize = true } }

// Validate checks each event against the schema before it is written. It is useful only
// for JSON Schema: the other formats can't write anything else.
func Validate() Option { return func(o *Options) { o.Validate = true } }

// Refer gives a schema that the codec's own refers to by name: an Avro full name, a
// Protobuf import path, or a JSON Schema $ref. Dependencies come before the schemas
// that refer to them.
func Refer(name, subject, text string) Option {
	return func(o *Options) { o.Dependencies = append(o.Dependencies, Dependency{name, subject, text}) }
}
