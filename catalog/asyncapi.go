package catalog

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/naming"
)

// AsyncAPIConfig says what an AsyncAPI document has in addition to the catalogue. The
// zero value is usable.
type AsyncAPIConfig struct {
	// Version is the version of AsyncAPI: 3.1.0, which is the default, or 3.0.0.
	Version string
	// Title is the document's title, by default the service. Release is the
	// document's version, by default 1.0.0.
	Title, Release string
	// Environment is the environment of the channels' addresses. Without it an
	// address has a parameter for the environment.
	Environment string
	// Servers are Kafka's bootstrap addresses, each under a name.
	Servers map[string]string
	// Protobuf returns the schema of a Protobuf event as .proto text, with its media
	// type. Package schema/protosource has such a function. If it is nil or fails, a
	// message has its schema as x-eventbus-schema.
	Protobuf func(schema json.RawMessage) (format, text string, err error)
}

// kafkaBinding is the version of AsyncAPI's Kafka binding.
const kafkaBinding = "0.5.0"

// object is a JSON object. encoding/json writes its fields sorted, so equal catalogues
// make equal documents.
type object = map[string]any

// ref returns a reference to a part of the same document (RFC 6901). The parts need no
// escapes, since names have gone through key.
func ref(parts ...string) object { return object{"$ref": "#/" + strings.Join(parts, "/")} }

// AsyncAPI returns the catalogue as an AsyncAPI 3 document in JSON: a channel for each
// topic, its dead letters and its retries; a message for each type; an operation for
// each type that the service sends and for each group that receives. The error is an
// *eventbus.Error: the version is not supported, or the environment is invalid.
func (d *Document) AsyncAPI(o AsyncAPIConfig) ([]byte, error) {
	// The two known versions need the same text; a later one may not.
	switch o.Version {
	case "":
		o.Version = "3.1.0"
	case "3.0.0", "3.1.0":
	default:
		return nil, &eventbus.Error{Op: "asyncapi", Err: fmt.Errorf("version %q: write 3.1.0 or 3.0.0", o.Version)}
	}
	// The maps are empty rather than nil, so that a catalogue without topics gives a
	// valid document.
	a := asyncAPI{options: o, channels: make(object), operations: make(object), messages: make(object), schemas: make(object), keys: make(map[string]string)}
	for i := range d.Topics {
		if err := a.topic(&d.Topics[i]); err != nil {
			return nil, &eventbus.Error{Op: "asyncapi", Err: err}
		}
	}
	title := firstOf(o.Title, d.Service, "Events")
	doc := object{
		"asyncapi": o.Version, "info": object{"title": title, "version": firstOf(o.Release, "1.0.0")}, "defaultContentType": "application/json",
		"channels": a.channels, "operations": a.operations, "components": object{"messages": a.messages, "schemas": a.schemas},
	}
	// Servers are optional in AsyncAPI.
	if len(o.Servers) > 0 {
		servers := make(object)
		for name, host := range o.Servers {
			servers[key(name)] = object{"host": host, "protocol": "kafka"}
		}
		doc["servers"] = servers
	}
	text, err := json.MarshalIndent(doc, "", "  ")
	return append(text, '\n'), err
}

// firstOf returns the first of the texts that is not empty.
func firstOf(all ...string) string {
	for _, s := range all {
		if s != "" {
			return s
		}
	}
	return ""
}

// asyncAPI collects the parts of one document. The maps are its sections, by key.
type asyncAPI struct {
	options                                 AsyncAPIConfig
	channels, operations, messages, schemas object
	// keys has the name that each key stands for, by kind and key, so that different
	// names get different keys.
	keys map[string]string
}

// key returns a name with every character replaced that AsyncAPI does not allow in
// identifiers or references. Different names may get the same key.
func key(name string) string {
	return strings.Map(func(r rune) rune {
		if r == '.' || r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' {
			return r
		}
		return '_'
	}, name)
}

// key returns the key of a name, unique among the names of a kind and the same each
// time. The second name with a key gets a number.
func (a *asyncAPI) key(kind, name string) string {
	plain := key(name)
	// This ends, since there are finitely many names of the kind.
	for n := 1; ; n++ {
		k := plain
		if n > 1 {
			k += "_" + strconv.Itoa(n)
		}
		if was, taken := a.keys[kind+k]; !taken || was == name {
			a.keys[kind+k] = name
			return k
		}
	}
}

// topic adds a topic with its messages and operations. Channels refer to messages in
// the components, since the channels of dead letters have the same messages.
func (a *asyncAPI) topic(t *Topic) error {
	messages := make(object)
	for i := range t.Events {
		e := &t.Events[i]
		k := a.key("message ", t.Name+"."+e.Type)
		a.messages[k] = a.message(k, e)
		messages[k] = ref("components", "messages", k)
	}
	name := a.key("channel ", t.Name)
	channel, err := a.channel(t.Name, messages)
	if err != nil {
		return err
	}
	channel["bindings"] = object{"kafka": a.kafka(t)}
	// AsyncAPI has no fields for these. Its extensions begin with x-.
	channel["x-eventbus-names"] = t.Names
	channel["x-eventbus-scope"] = t.Scope
	if t.Owner != "" {
		channel["x-eventbus-owner"] = t.Owner
	}
	if len(t.Configs) > 0 {
		channel["x-eventbus-configs"] = t.Configs
	}
	a.channels[name] = channel
	// Only the catalogue of a bus says what it publishes. One made from declarations
	// gives no send operations.
	for i := range t.Events {
		if e := &t.Events[i]; e.Published {
			k := a.key("message ", t.Name+"."+e.Type)
			a.operations[a.key("operation ", "send."+t.Name+"."+e.Type)] = object{
				"action": "send", "channel": ref("channels", name), "messages": []object{ref("channels", name, "messages", k)},
			}
		}
	}
	for _, g := range t.Groups {
		if err := a.group(t, name, g, messages); err != nil {
			return err
		}
	}
	return nil
}

// channel returns a channel. Its address is the topic's name in the environment of the
// options. Without an environment, the address has a parameter for it.
func (a *asyncAPI) channel(name string, messages object) (object, error) {
	// The usual environments' segments are listed as examples that people recognize.
	if a.options.Environment == "" {
		return object{
			"address": "{environment}." + name, "messages": messages,
			"parameters": object{"environment": object{"enum": []string{"dev", "test", "stag", "prod"}, "description": "The environment, as the first part of the topic's name."}},
		}, nil
	}
	env, err := naming.Environment(a.options.Environment)
	if err != nil {
		return nil, err
	}
	return object{"address": env + "." + name, "messages": messages}, nil
}

// group adds the operation of a group that receives from a topic, and the channels
// of the group's dead letters and retries.
func (a *asyncAPI) group(t *Topic, name, group string, messages object) error {
	// Not nil: "messages": null would be invalid.
	all := []object{}
	for _, k := range slices.Sorted(maps.Keys(messages)) {
		all = append(all, ref("channels", name, "messages", k))
	}
	a.operations[a.key("operation ", "receive."+t.Name+"."+group)] = object{
		"action": "receive", "channel": ref("channels", name), "messages": all,
		"bindings": object{"kafka": object{"groupId": object{"type": "string", "enum": []string{group}}, "bindingVersion": kafkaBinding}},
	}
	// A document names groups only if it was made from a bus, which has both topics
	// for each group.
	sides := t.letters("", t.Name, group)
	for _, role := range []struct{ side, name string }{{sides.Dead, "dead-letter"}, {sides.Retry, "retry"}} {
		channel, err := a.channel(role.side, messages)
		if err != nil {
			return err
		}
		if !sides.Derived(t.Name, group) {
			if err := a.address(channel, t, group, role.name); err != nil {
				return err
			}
		}
		channel["x-eventbus-role"] = role.name
		channel["x-eventbus-of"] = []string{t.Name}
		k := a.key("channel ", role.side)
		if shared, ok := a.channels[k].(object); ok && shared["x-eventbus-role"] == role.name {
			channel = together(shared, channel)
		}
		a.channels[k] = channel
	}
	return nil
}

// together merges two descriptions of one channel, whose topic of letters several
// groups or topics share.
func together(a, b object) object {
	messages, of := maps.Clone(a["messages"].(object)), slices.Clone(a["x-eventbus-of"].([]string))
	maps.Copy(messages, b["messages"].(object))
	for _, topic := range b["x-eventbus-of"].([]string) {
		if !slices.Contains(of, topic) {
			of = append(of, topic)
		}
	}
	b["messages"], b["x-eventbus-of"] = messages, of
	return b
}

// address sets the channel's address to the name that the group chose for its
// dead-letter or retry topic. The environment may be anywhere in it, or missing.
func (a *asyncAPI) address(channel object, t *Topic, group, role string) error {
	var dead, retry string
	if a.options.Environment != "" {
		var err error
		if dead, retry, err = t.LetterTopics(a.options.Environment, group); err != nil {
			return err
		}
	} else {
		const env = "{environment}"
		l := t.letters(env, cmp.Or(strings.ReplaceAll(t.Address, naming.EnvironmentMark, env), env+"."+t.Name), group)
		dead, retry = l.Dead, l.Retry
	}
	if channel["address"] = dead; role == "retry" {
		channel["address"] = retry
	}
	if address, _ := channel["address"].(string); !strings.Contains(address, "{environment}") {
		delete(channel, "parameters")
	}
	return nil
}

// kafka returns the topic's storage as AsyncAPI's Kafka binding. Zero values, which
// mean the broker's default, are left out.
func (a *asyncAPI) kafka(t *Topic) object {
	configs := make(object)
	// Kafka deletes by default, so a topic that is not compacted needs no policy.
	switch {
	case t.Compacted && t.RetentionMs > 0:
		configs["cleanup.policy"] = []string{"compact", "delete"}
	case t.Compacted:
		configs["cleanup.policy"] = []string{"compact"}
	}
	// −1 is Kafka's own value for no limit.
	if t.RetentionMs != 0 {
		configs["retention.ms"] = t.RetentionMs
	}
	// The binding has an integer here; configurations are strings.
	if most, err := strconv.Atoi(t.Configs["max.message.bytes"]); err == nil && most >= 0 {
		configs["max.message.bytes"] = most
	}
	k := object{"bindingVersion": kafkaBinding}
	if len(configs) > 0 {
		k["topicConfiguration"] = configs
	}
	if t.Partitions > 0 {
		k["partitions"] = t.Partitions
	}
	if t.Replication > 0 {
		k["replicas"] = t.Replication
	}
	if name, err := t.In(a.options.Environment); err == nil && a.options.Environment != "" {
		k["topic"] = name
	}
	return k
}

// message returns the message of a type: its CloudEvents headers in the Kafka
// protocol binding's binary mode, its key, its data and an example.
func (a *asyncAPI) message(k string, e *Event) object {
	constant := func(value string) object { return object{"type": "string", "const": value} }
	text := func(description string) object { return object{"type": "string", "description": description} }
	m := object{
		"name": e.Type, "contentType": e.ContentType, "x-eventbus-key": e.Key, "x-eventbus-goType": e.GoType,
		"headers": object{
			"type": "object", "required": []string{"ce_specversion", "ce_type", "ce_id", "ce_source"},
			"properties": object{
				"ce_specversion": constant("1.0"), "ce_type": constant(e.Type), "ce_id": text("Identifies the event, together with ce_source."), "ce_source": text("Who published it."),
				"ce_time": object{"type": "string", "format": "date-time"}, "ce_subject": text("What the event is about."), "content-type": text("The media type of the data."),
				"ce_dataschema": text("The URI of the schema of the data."), "ce_correlationid": text("Correlates the events of one flow of work."), "ce_causationid": text("The id of the event that caused this one."),
			},
		},
	}
	if e.Description != "" {
		m["summary"] = firstSentence(e.Description)
		m["description"] = e.Description
	}
	if e.Key.Source != NoKey {
		m["bindings"] = object{"kafka": object{"key": object{"type": "string"}, "bindingVersion": kafkaBinding}}
	}
	// An event without a schema gets no example either.
	if payload := a.payload(k, e); payload != nil {
		// A schema in another language can't be the payload, and goes into an
		// extension below.
		m["payload"] = payload
		var example any
		if json.Unmarshal(e.Example, &example) == nil && example != nil {
			if _, ok := example.(map[string]any); ok && !refers(example) { // the format's examples are objects
				m["examples"] = []object{{"payload": example}}
			}
		}
	} else if e.Schema != nil {
		m["x-eventbus-schema"] = e.Schema
	}
	return m
}

// firstSentence returns the first sentence of a text. A text of one sentence is cut to
// 200 bytes, never within a character.
func firstSentence(s string) string {
	if first, _, ok := strings.Cut(s, ". "); ok {
		return first + "."
	}
	// Most tools show a summary as one line.
	const most = 200
	// Whole runes are removed, so the rest is valid UTF-8.
	for len(s) > most {
		_, size := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-size]
	}
	return s
}
