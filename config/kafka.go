package config

import (
	"cmp"
	"crypto/tls"
	"maps"
	"net"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/secret"
)

// kafka reads the fields of kafka.Config. service is the client's id if none is
// set.
func (r *reader) kafka(c *kafka.Config, service string) {
	c.Brokers = r.brokers()
	// Whether a part was faulty shows in the number of faults before and after it.
	faults := len(*r.wrong)
	addressed := faults == 0
	r.sasl(&c.SASL)
	authenticated := len(*r.wrong) == faults
	r.text("ClientId", &c.ClientID)
	r.text("Compression", &c.Compression)
	r.duration("DialTimeout", &c.DialTimeout)
	r.duration("RequestTimeout", &c.RequestTimeout)
	r.text("Balancer", &c.Balancer)
	r.text("Rack", &c.Rack)
	r.flag("ConsumerProtocol", &c.ConsumerProtocol)
	r.tls(c)
	c.ClientID = cmp.Or(c.ClientID, service)
	// checked lacks what was found wrong here, so that nothing is reported twice.
	checked := *c
	if !addressed {
		checked.Brokers = []string{"localhost:9092"}
	}
	if !authenticated {
		checked.SASL = kafka.SASL{}
	}
	if err := checked.Validate(); err != nil {
		*r.wrong = append(*r.wrong, err)
	}
}

// address is the form of a broker's address: a name, or an IP address, that of
// version 6 in brackets and perhaps with a zone (RFC 4007, 11). What has another form is not shown:
// it may hold credentials.
var address = regexp.MustCompile(`^(\[[0-9A-Fa-f:.]+(%[A-Za-z0-9._~-]+)?\]|[A-Za-z0-9._-]+):[0-9]{1,5}$`)

// brokers reads the connection string. Without one it notes a fault and returns
// nil.
func (r *reader) brokers() []string {
	key := "connectionstrings:" + strings.ToLower(r.settings.connection)
	text, ok := r.string(key)
	brokers := strings.FieldsFunc(text, func(c rune) bool { return c == ',' || unicode.IsSpace(c) })
	if len(brokers) == 0 {
		// A value of another kind than text was reported by string.
		if value, there := r.value(key); ok || !there || value == nil {
			r.noConnection(key)
		}
		return nil
	}
	for i, broker := range brokers {
		if _, _, err := net.SplitHostPort(broker); err != nil || !address.MatchString(broker) {
			r.fault("%s: part %d of %d is not host:port: write brokers such as localhost:9092, separated by commas (credentials belong in %s:Sasl, TLS in %[4]s:Tls)",
				r.values.origins[key], i+1, len(brokers), r.settings.section)
		}
	}
	return brokers
}

// noConnection notes that there is no connection string, and where it was looked
// for. The sentence begins as .NET's does, for those who search for it.
func (r *reader) noConnection(key string) {
	name := r.settings.connection
	looked := []string{"ConnectionStrings__" + name + " in the environment"}
	for _, file := range r.values.looked {
		looked = append(looked, "ConnectionStrings:"+name+" in "+file)
	}
	text := ""
	if at, empty := r.values.origins[key]; empty {
		text = "; " + at.String() + " is empty"
	}
	// A connection string under another name is the usual reason.
	var others []string
	for _, other := range slices.Sorted(maps.Keys(r.values.origins)) {
		if strings.HasPrefix(other, "connectionstrings:") && other != key {
			others = append(others, r.values.origins[other].String())
		}
	}
	if len(others) > 0 {
		text += "; there is " + strings.Join(others, ", ")
	}
	r.fault("Kafka connection string '%s' not found in configuration: looked for %s%s", name, strings.Join(looked, ", "), text)
}

// tls reads how connections are secured. Naming any file or server turns TLS on.
func (r *reader) tls(c *kafka.Config) {
	enabled := true
	said := r.flag("Tls:Enabled", &enabled)
	r.text("Tls:CaFile", &c.TLSFiles.CA)
	r.text("Tls:CertificateFile", &c.TLSFiles.Certificate)
	r.text("Tls:KeyFile", &c.TLSFiles.Key)
	r.text("Tls:ServerName", &c.TLSFiles.ServerName)
	none := c.TLSFiles == kafka.TLSFiles{}
	switch {
	case said && enabled && none:
		// Without a CA file the system's authorities are used.
		c.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	case said && !enabled && !none:
		r.fault("%s is false, and other keys of %s:Tls are set: remove those, or set it to true", r.values.origins[r.settings.key("Tls:Enabled")], r.settings.section)
	}
}

// sasl reads how connections authenticate.
func (r *reader) sasl(c *kafka.SASL) {
	r.text("Sasl:Mechanism", &c.Mechanism)
	c.Mechanism = strings.ToUpper(c.Mechanism)
	r.text("Sasl:Username", &c.Username)
	r.secret("Sasl:Password", &c.Password)
	r.duration("Sasl:SessionLifetime", &c.SessionLifetime)
	var tokenFile string
	r.text("Sasl:TokenFile", &tokenFile)
	// The file is read for each connection, so it may be missing now.
	if tokenFile != "" {
		c.Token = tokenFrom(tokenFile)
	}
}

// secret reads a secret, or the name of the file that holds it: the setting's name
// and "File". The file must be readable, and is read again when the secret is
// needed.
func (r *reader) secret(name string, to *secret.Value) {
	var text, file string
	r.text(name, &text)
	r.text(name+"File", &file)
	if file == "" {
		*to = secret.Text(text)
		return
	}
	if text != "" {
		r.fault("%s:%s and %[1]s:%[2]sFile are both set: keep one of them", r.settings.section, name)
	}
	*to = secret.File(file)
	// Reading it now shows a wrong path at the start; the result is dropped.
	if _, err := to.Reveal(); err != nil {
		r.fault("%s: %w", r.values.origins[r.settings.key(name+"File")], err)
	}
}
