package catalog_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/eventbus-go/eventbus/catalog"
)

const avroBase = `{"type":"record","name":"Paid","namespace":"shop","fields":[
	{"name":"id","aliases":["key"],"type":"string"},
	{"name":"amount","type":{"type":"record","name":"Money","aliases":["Amount"],"fields":[{"name":"cents","type":"int"},{"name":"next","type":["null","Money"],"default":null}]}},
	{"name":"refund","type":"Money"},
	{"name":"note","type":["null","string"],"default":null},
	{"name":"kind","type":{"type":"enum","name":"Kind","symbols":["CARD","CASH"]}},
	{"name":"tags","type":{"type":"array","items":"string"}},{"name":"by","type":{"type":"map","values":"long"}},
	{"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}},{"name":"ref","type":{"type":"fixed","name":"Ref","size":16}},
	{"name":"big","type":"long","default":9007199254740993},
	{"name":"zone","type":"string","x-eventbus-personal":true,"default":"UTC","aliases":["area"]}]}`

const protobufBase = `{"message":"shop.Paid","files":[{"name":"money.proto","package":"shop","syntax":"proto3","messageType":[{"name":"Money","field":[{"name":"cents","number":1,"label":"LABEL_OPTIONAL","type":"TYPE_INT32","jsonName":"cents"}]}]},
	{"name":"paid.proto","package":"shop","syntax":"proto3","messageType":[{"name":"Paid","field":[
	{"name":"id","number":1,"label":"LABEL_OPTIONAL","type":"TYPE_STRING","jsonName":"id"},
	{"name":"amount","number":2,"label":"LABEL_OPTIONAL","type":"TYPE_MESSAGE","typeName":".shop.Money","jsonName":"amount"},
	{"name":"kind","number":3,"label":"LABEL_OPTIONAL","type":"TYPE_ENUM","typeName":".shop.Kind","jsonName":"kind"},
	{"name":"tags","number":4,"label":"LABEL_REPEATED","type":"TYPE_STRING","jsonName":"tags"},
	{"name":"card","number":5,"label":"LABEL_OPTIONAL","type":"TYPE_STRING","oneofIndex":0,"jsonName":"card"},
	{"name":"note","number":6,"label":"LABEL_OPTIONAL","type":"TYPE_STRING","oneofIndex":1,"proto3Optional":true,"jsonName":"note"},
	{"name":"self","number":7,"label":"LABEL_OPTIONAL","type":"TYPE_MESSAGE","typeName":".shop.Paid","jsonName":"self"},
	{"name":"at","number":8,"label":"LABEL_OPTIONAL","type":"TYPE_MESSAGE","typeName":".google.protobuf.Timestamp","jsonName":"at"}],
	"oneofDecl":[{"name":"way"},{"name":"_note"}],"reservedRange":[{"start":10,"end":12}]},{"name":"Other","field":[{"name":"x","number":1,"label":"LABEL_OPTIONAL","type":"TYPE_INT32","jsonName":"x"}]}],
	"enumType":[{"name":"Kind","value":[{"name":"CARD","number":0},{"name":"CASH","number":1}]}]}]}`

// Schemas in other languages are compared by their own compatibility rules.
func TestCompareNativeSchemas(t *testing.T) {
	t.Parallel()
	document := func(media, schema string) *catalog.Document {
		d := base()
		e := &d.Topics[0].Events[0]
		e.ContentType, e.Schema = media, json.RawMessage(schema)
		return d
	}
	for _, c := range []struct {
		media, from, to, path, rule string
		level                       catalog.Level
	}{
		{"avro", `"fields":[`, `"fields":[{"name":"new","type":"string","default":""},`, "#/fields/new", "field-added", catalog.Safe},
		{"avro", `"fields":[`, `"fields":[{"name":"new","type":"string"},`, "#/fields/new", "required-field-added", catalog.Breaking},
		{"avro", `{"name":"id","aliases":["key"],"type":"string"},`, ``, "#/fields/id", "field-removed", catalog.Breaking},
		{"avro", `,\n\t{"name":"zone","type":"string","x-eventbus-personal":true,"default":"UTC","aliases":["area"]}`, ``, "#/fields/zone", "field-removed", catalog.Dangerous},
		{"avro", `{"name":"id","aliases":["key"]`, `{"name":"key","aliases":["id"]`, "#/fields/id", "field-renamed", catalog.Breaking},
		{"avro", `"cents","type":"int"`, `"cents","type":"long"`, "#/fields/amount/fields/cents", "field-widened", catalog.Breaking},
		{"avro", `"cents","type":"int"`, `"cents","type":"string"`, "#/fields/amount/fields/cents", "field-retyped", catalog.Breaking},
		{"avro", `"items":"string"`, `"items":"bytes"`, "#/fields/tags/items", "field-retyped", catalog.Dangerous},
		{"avro", `"items":"string"`, `"items":{"type":"bytes","logicalType":"decimal","precision":9}`, "#/fields/tags/items", "field-retyped", catalog.Breaking},
		{"avro", `,"aliases":["Amount"]`, ``, "#/fields/amount", "alias-removed", catalog.Breaking},
		{"avro", `"aliases":["key"],`, ``, "#/fields/id", "alias-removed", catalog.Breaking},
		{"avro", `,"aliases":["area"]`, ``, "#/fields/zone", "alias-removed", catalog.Dangerous},
		{"avro", `"values":"long"`, `"values":"int"`, "#/fields/by/values", "field-retyped", catalog.Breaking},
		{"avro", `["null","string"]`, `["null","string","int"]`, "#/fields/note/int", "choice-added", catalog.Breaking},
		{"avro", `["null","string"]`, `["null"]`, "#/fields/note/string", "choice-removed", catalog.Breaking},
		{"avro", `["null","string"]`, `"string"`, "#/fields/note", "field-retyped", catalog.Breaking},
		{"avro", `["CARD","CASH"]`, `["CARD","CASH","COIN"]`, "#/fields/kind", "enum-value-added", catalog.Breaking},
		{"avro", `["CARD","CASH"]`, `["CARD"],"default":"CARD"`, "#/fields/kind", "enum-value-removed", catalog.Dangerous},
		{"avro", `"logicalType":"timestamp-millis"`, `"logicalType":"timestamp-micros"`, "#/fields/at/logicalType", "format-changed", catalog.Breaking},
		{"avro", `"size":16`, `"size":8`, "#/fields/ref/size", "format-changed", catalog.Breaking},
		{"avro", `9007199254740993`, `9007199254740992`, "#/fields/big", "default-changed", catalog.Dangerous},
		{"avro", `"default":"UTC"`, `"default":"CET"`, "#/fields/zone", "default-changed", catalog.Dangerous},
		{"avro", `,"default":"UTC"`, ``, "#/fields/zone", "default-removed", catalog.Breaking},
		{"avro", `"name":"Paid"`, `"name":"Bought"`, "#", "record-renamed", catalog.Breaking},
		{"avro", `"namespace":"shop"`, `"namespace":"bank"`, "#", "namespace-changed", catalog.Dangerous},
		{"avro", `"name":"Paid"`, `"name":"Paid","doc":"x"`, "#", "doc-changed", catalog.Safe},
		{"avro", `"name":"Paid"`, `"name":"Paid","owner":"x"`, "#/owner", "keyword-changed", catalog.Undecided},
		{"avro", `{"name":"id",`, `{"name":"id","x-eventbus-personal":true,`, "#/fields/id", "personal-data-added", catalog.Dangerous},
		{"avro", `"x-eventbus-personal":true,`, ``, "#/fields/zone", "personal-data-removed", catalog.Undecided},
		{"avro", `"fields":[`, `"fields":[{"name":"new","type":"string","default":"","x-eventbus-personal":true},`, "#/fields/new", "personal-data-added", catalog.Dangerous},
		{"avro", `"type":"map"`, `"type":"tree"`, "#/fields/by", "field-retyped", catalog.Breaking},

		{"protobuf", `"field":[\n`, `"field":[{"name":"new","number":9,"label":"LABEL_OPTIONAL","type":"TYPE_STRING","jsonName":"new"},\n`, "#/new", "field-added", catalog.Safe},
		{"protobuf", `"field":[\n`, `"field":[{"name":"new","number":9,"label":"LABEL_REQUIRED","type":"TYPE_STRING","jsonName":"new"},\n`, "#/new", "required-field-added", catalog.Breaking},
		{"protobuf", `"number":1,"label":"LABEL_OPTIONAL","type":"TYPE_STRING","jsonName":"id"`, `"number":99,"label":"LABEL_OPTIONAL","type":"TYPE_STRING","jsonName":"id"`, "#/id", "field-removed", catalog.Breaking},
		{"protobuf", `"name":"id","number":1,"label":"LABEL_OPTIONAL","type":"TYPE_STRING","jsonName":"id"`, `"name":"key","number":1,"label":"LABEL_OPTIONAL","type":"TYPE_STRING","jsonName":"key"`, "#/id", "field-renamed", catalog.Dangerous},
		{"protobuf", `"type":"TYPE_INT32"`, `"type":"TYPE_INT64"`, "#/amount/cents", "field-retyped", catalog.Dangerous},
		{"protobuf", `"number":2,"label":"LABEL_OPTIONAL","type":"TYPE_MESSAGE","typeName":".shop.Money"`, `"number":11,"label":"LABEL_OPTIONAL","type":"TYPE_MESSAGE","typeName":".shop.Money"`, "#/amount", "reserved-number-used", catalog.Breaking},
		{"protobuf", `"type":"TYPE_INT32"`, `"type":"TYPE_BOOL"`, "#/amount/cents", "field-narrowed", catalog.Breaking},
		{"protobuf", `"type":"TYPE_INT32"`, `"type":"TYPE_STRING"`, "#/amount/cents", "field-retyped", catalog.Breaking},
		{"protobuf", `"label":"LABEL_REPEATED"`, `"label":"LABEL_OPTIONAL"`, "#/tags", "label-changed", catalog.Breaking},
		{"protobuf", `"oneofIndex":0,`, ``, "#/card", "choice-changed", catalog.Breaking},
		{"protobuf", `"oneofIndex":1,"proto3Optional":true,`, ``, "#/note", "presence-changed", catalog.Dangerous},
		{"protobuf", `{"name":"CASH","number":1}`, `{"name":"CASH","number":1},{"name":"COIN","number":2}`, "#/kind", "enum-value-added", catalog.Breaking},
		{"protobuf", `,{"name":"CASH","number":1}`, ``, "#/kind", "enum-value-removed", catalog.Breaking},
		{"protobuf", `{"name":"CASH"`, `{"name":"COIN"`, "#/kind", "enum-value-renamed", catalog.Dangerous},
		{"protobuf", `"message":"shop.Paid"`, `"message":"shop.Other"`, "", "message-renamed", catalog.Dangerous},
		{"protobuf", `"package":"shop","syntax":"proto3","messageType":[{"name":"Money"`, `"package":"shop","syntax":"proto2","messageType":[{"name":"Money"`, "", "syntax-changed", catalog.Undecided},
		{"protobuf", `"syntax":"proto3","messageType":[{"name":"Money"`, `"syntax":"proto3","options":{"features":{"fieldPresence":"IMPLICIT"}},"messageType":[{"name":"Money"`, "", "syntax-changed", catalog.Undecided},
		{"protobuf", `"jsonName":"id"`, `"jsonName":"id","options":{"deprecated":true}`, "#/id", "keyword-changed", catalog.Undecided},
		{"protobuf", `"name":"Money"`, `"name":"Cash"`, "#/amount", "schema-changed", catalog.Undecided},
	} {
		lines := strings.NewReplacer(`\n`, "\n", `\t`, "\t")
		c.from, c.to = lines.Replace(c.from), lines.Replace(c.to)
		old := map[string]string{"avro": avroBase, "protobuf": protobufBase}[c.media]
		if !strings.Contains(old, c.from) {
			t.Fatalf("%s is not in the schema", c.from)
		}
		changes := catalog.Compare(document("application/"+c.media, old), document("application/"+c.media, strings.Replace(old, c.from, c.to, 1)))
		found := false
		for _, change := range changes {
			if badArticle.MatchString(change.Why) {
				t.Errorf("%s: %s → %s: %s", c.media, c.from, c.to, change)
			}
			found = found || change.Path == "sales.public.customers.v1/Created"+c.path && change.Rule == c.rule && change.Level == c.level && change.Why != "" && (c.level == catalog.Safe || len(change.Groups) == 2 && change.Fix != "")
		}
		if !found {
			t.Errorf("%s: %s → %s: %v, want %s %s %s", c.media, c.from, c.to, changes, c.level, c.path, c.rule)
		}
	}
	// If events name no schema, the encoding must not change.
	bare := func(s string) *catalog.Document {
		return document("application/avro", strings.Replace(s, `{`, `{"x-eventbus-unnamed":true,`, 1))
	}
	for _, c := range [][2]string{
		{`"fields":[`, `"fields":[{"name":"new","type":"string","default":""},`}, {`["null","string"]`, `["string","null"]`}, {`["CARD","CASH"]`, `["CASH","CARD"]`},
		{`"items":"string"`, `"items":"bytes"`},
		{`{"name":"tags","type":{"type":"array","items":"string"}},{"name":"by","type":{"type":"map","values":"long"}}`, `{"name":"by","type":{"type":"map","values":"long"}},{"name":"tags","type":{"type":"array","items":"string"}}`},
	} {
		changed := strings.Replace(avroBase, c[0], c[1], 1)
		for _, pair := range [][2]*catalog.Document{{bare(avroBase), bare(changed)}, {document("application/avro", avroBase), bare(changed)}, {bare(avroBase), document("application/avro", changed)}} {
			if failing := catalog.Failing(catalog.Compare(pair[0], pair[1]), catalog.Breaking); len(failing) != 1 || failing[0].Rule != "layout-changed" {
				t.Errorf("%s → %s: %v", c[0], c[1], failing)
			}
		}
	}
	for _, c := range [][2]string{{`"name":"Paid"`, `"name":"Paid","doc":"x"`}, {`"type":"Money"`, `"type":"shop.Money"`}, {`x`, `x`}} {
		for _, pair := range [][2]*catalog.Document{{bare(avroBase), bare(strings.Replace(avroBase, c[0], c[1], 1))}, {document("application/avro", avroBase), bare(avroBase)}} {
			if failing := catalog.Failing(catalog.Compare(pair[0], pair[1]), catalog.Breaking); len(failing) > 0 {
				t.Errorf("%s → %s: %v", c[0], c[1], failing)
			}
		}
	}
	// Differences that affect no event of this type are not reported.
	for _, c := range [][3]string{
		{"avro", `{"name":"tags","type":{"type":"array","items":"string"}},{"name":"by","type":{"type":"map","values":"long"}}`, `{"name":"by","type":{"type":"map","values":"long"}},{"name":"tags","type":{"type":"array","items":"string"}}`},
		{"avro", `["null","string"]`, `["string","null"]`},
		{"avro", `"type":"Money"`, `"type":"shop.Money"`},
		{"protobuf", `"name":"x","number":1`, `"name":"y","number":1`},
	} {
		old := map[string]string{"avro": avroBase, "protobuf": protobufBase}[c[0]]
		if changes := catalog.Compare(document("application/"+c[0], old), document("application/"+c[0], strings.Replace(old, c[1], c[2], 1))); len(changes) > 0 {
			t.Errorf("%s: %s → %s: %v", c[0], c[1], c[2], changes)
		}
	}
	// Text that is not a schema of the language is undecided.
	for _, media := range []string{"avro", "protobuf", "xml"} {
		changes := catalog.Compare(document("application/"+media, `"one"`), document("application/"+media, `{"files":3}`))
		if len(catalog.Failing(changes, catalog.Breaking)) == 0 {
			t.Errorf("%s: %v", media, fmt.Sprint(changes))
		}
	}
}

// Fields are listed for every schema language, and only as many as are asked for.
func TestFields(t *testing.T) {
	t.Parallel()
	wide := `{"$defs":{"N":{"type":"object","properties":{`
	for i := range 500 {
		wide += fmt.Sprintf(`%s"f%03d":{"$ref":"#/$defs/N"}`, map[bool]string{true: ","}[i > 0], i)
	}
	wide += `}}},"$ref":"#/$defs/N"}`
	for _, c := range []struct {
		media, schema string
		want          []string
	}{
		{"application/avro", avroBase, []string{"id, string, yes", "amount.cents, int, yes", "note, string, may be null", "kind, one of CARD CASH, yes", "at, timestamp-millis, yes", "zone, string, yes, personal"}},
		{"application/protobuf", protobufBase, []string{"id, string, yes, or empty", "amount.cents, int32, yes, or empty", "tags[], string, yes, or empty", "note, string, no", "at, google.protobuf.Timestamp, no"}},
		{"application/json", string(base().Topics[0].Events[0].Schema), []string{"id, string, yes", "color, one of red blue, no", "note, string, no, may be null", "addr.zip, string, no", "mail, string, no, personal"}},
		{"application/json", wide, []string{"f000, object, no", "f000.f000, object, no"}},
		{"application/json", `{`, nil},
		{"text/plain", `"free text"`, nil},
	} {
		e := catalog.Event{ContentType: c.media, Schema: json.RawMessage(c.schema)}
		var got []string
		for f := range e.Fields() {
			text := f.Path + ", " + f.Type + ", " + f.Presence
			if f.Personal {
				text += ", personal"
			}
			if got = append(got, text); len(got) == 100 {
				break
			}
		}
		for _, want := range c.want {
			if !slices.Contains(got, want) {
				t.Errorf("%s: %q is missing in %q", c.media, want, got)
			}
		}
		if c.want == nil && got != nil {
			t.Errorf("%s has the fields %q", c.schema, got)
		}
	}
}
