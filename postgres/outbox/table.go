package outbox

import (
	"cmp"
	"fmt"
	"regexp"
	"strings"
)

// Table names an outbox. A service may have several. The zero Table is public.outbox.
// The other tables of an outbox have its name and a suffix: _relay, _run, _parked,
// _scheduled and _version. A partitioned outbox also has _overflow, and _d with a date.
type Table struct {
	Schema string // default "public"
	Name   string // default "outbox"
	// Partitioned makes Migrate create the outbox in partitions, one per day in UTC. The
	// relay then drops whole days that every relay has sent and that are older than
	// Config.Keep instead of deleting rows, which leaves nothing to vacuum. Only Migrate,
	// Schema and Grants use it. It can't be changed once the table exists.
	Partitioned bool
}

// names are the tables of one outbox, quoted for SQL.
type names struct {
	schema, outbox, relay, run, parked, scheduled, version string
	overflow, rotate                                       string // of a partitioned outbox: the default partition, and the function that makes and drops days
	bare                                                   string // schema.name, for messages
}

// validName is stricter than PostgreSQL, so that a name needs no escaping in SQL,
// shells and messages; 40 letters leave room for suffixes below the server's limit of
// 63.
var validName = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,39}$`)

// names returns the quoted names of all tables, with the defaults filled in.
func (t Table) names() (names, error) {
	schema, name := cmp.Or(t.Schema, "public"), cmp.Or(t.Name, "outbox")
	for _, s := range []string{schema, name} {
		if !validName.MatchString(s) {
			return names{}, fmt.Errorf("the table %q.%q: use at most 40 lower-case letters, digits and _, not beginning with a digit", schema, name)
		}
	}
	// validName allows nothing that would have to be escaped within the quotes.
	quoted := func(suffix string) string { return `"` + schema + `"."` + name + suffix + `"` }
	return names{
		schema: `"` + schema + `"`, outbox: quoted(""), relay: quoted("_relay"), run: quoted("_run"), parked: quoted("_parked"),
		scheduled: quoted("_scheduled"), version: quoted("_version"),
		overflow: quoted("_overflow"), rotate: quoted("_rotate"), bare: schema + "." + name,
	}, nil
}

// String returns "schema.name".
func (t Table) String() string { return cmp.Or(t.Schema, "public") + "." + cmp.Or(t.Name, "outbox") }

// sql fills the tables' names into a statement.
func (n names) sql(statement string) string {
	return strings.NewReplacer("{schema}", n.schema, "{outbox}", n.outbox, "{relay}", n.relay, "{run}", n.run,
		"{parked}", n.parked, "{scheduled}", n.scheduled, "{version}", n.version, "{overflow}", n.overflow, "{rotate}", n.rotate, "{bare}", n.bare).Replace(statement)
}
