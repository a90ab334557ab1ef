package main

import (
	"context"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"

	"github.com/eventbus-go/eventbus/admin"
	"github.com/eventbus-go/eventbus/catalog"
	"github.com/eventbus-go/eventbus/internal/letter"
	safe "github.com/eventbus-go/eventbus/internal/visible"
	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/kafkatest"
	"github.com/eventbus-go/eventbus/transport"
)

// hostile contains what terminals obey: escape sequences that colour text, set the title and
// clear the screen, with ESC and with C1 controls; a line that looks like the program's own;
// marks of direction; DEL; an invisible tag.
const hostile = "a\x1b[31mred\x1b]0;title\x07 \u009b2J \u202egnp.exe\u2066 \x7f \U000e0041\r\nFORGED line\u2028FORGED"

func TestVisible(t *testing.T) {
	for in, want := range map[string]string{
		"plain, Grüße, 日本, 👍 & é": "plain, Grüße, 日本, 👍 & é",
		"\x1b[2J":                 `\x1b[2J`,
		"a\nb\tc":                 `a\nb\tc`,
		"\u009b \u202e \x7f":      `\u009b \u202e \x7f`,
		"raw \x9b2J":              `raw \x9b2J`,
		"\U000e0041":              `\U000e0041`,
	} {
		if got := visible(in); string(got) != want {
			t.Errorf("%q is shown as %s, want %s", in, got, want)
		}
	}
	if got, want := visibleLines("one\ntwo\x1b\n", "  "), "one\n  two\\x1b"; string(got) != want {
		t.Errorf("lines are shown as %q, want %q", got, want)
	}
	painted := (&app{colour: true}).paint(hostile, text.FgRed)
	inside := strings.TrimSuffix(strings.TrimPrefix(string(painted), "\x1b[31m"), "\x1b[0m")
	if inside == string(painted) || strings.ContainsFunc(inside, safe.Hidden) {
		t.Errorf("in colour it is %q", painted)
	}
}

// TestVisibleJSON: programs read the original text, and nothing in it controls a terminal.
func TestVisibleJSON(t *testing.T) {
	plain, err := json.Marshal(hostile)
	if err != nil {
		t.Fatal(err)
	}
	var back string
	out := safe.JSON(plain)
	if err := json.Unmarshal(out, &back); err != nil || back != hostile {
		t.Errorf("%v, %q", err, back)
	}
	inert(t, "JSON", string(out))
	if got := string(safe.JSON([]byte("\"\x9b\"\n"))); got != "\"\\ufffd\"\n" {
		t.Errorf("a stray byte becomes %q", got)
	}
}

// inert requires that nothing in an output controls a terminal, and that no line of it was
// forged.
func inert(t *testing.T, what, output string) {
	t.Helper()
	if i := strings.IndexFunc(output, safe.Obeyed); i >= 0 || !utf8.ValidString(output) {
		t.Errorf("%s: a terminal obeys this:\n%q", what, output)
	}
	for line := range strings.Lines(output) {
		if strings.HasPrefix(line, "FORGED") {
			t.Errorf("%s: a line is forged:\n%s", what, output)
		}
	}
}

// TestHostileData runs all commands of the tool, on topics, letters, groups, catalogues,
// registries and services in which every text is hostile.
func TestHostileData(t *testing.T) {
	b := &bench{Cluster: kafkatest.NewBroker(t)}
	b.topic = customers.In(b.Environment())
	dead := b.topic + ".mailer.dlq"
	hostileRecords(t, b, dead)
	hostileGroup(t, b)
	server := hostileServer(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "catalog.json")
	hostileCatalog(t, b, file)
	letters := dead + "/0@0"

	commands := map[string][][]string{
		"topics list":      {nil},
		"topics describe":  {{b.topic}, {hostile}},
		"topics diff":      {{"--catalog", file}, {"--catalog", server}},
		"topics provision": {{"--catalog", file, "--yes", "--dry-run"}, {"--catalog", server}},
		"tail":             {{b.topic, "--from", "earliest"}, {b.topic, "--from", "earliest", "--whole"}, {hostile}, {b.topic, "--from", hostile}},
		"publish": {
			{b.topic, "--type", hostile, "--source", "urn:x", "--key", hostile, "--data", strconv.Quote("x"), "--dry-run"},
			{b.topic, "--type", "X", "--source", "urn:x", "--key", hostile, "--header", "h=" + hostile, "--data", `"` + "\u009b\x7f" + `"`, "--dry-run"},
			{hostile, "--type", "X", "--source", "urn:x", "--data", "1"},
		},
		"groups list":       {nil},
		"groups describe":   {{"g"}, {hostile}},
		"groups types":      {{"g", "--admin", server}, {hostile}, {"g", "--admin", server, "--forget", hostile, "--topic", hostile}},
		"groups delete":     {{"g", "--dry-run"}, {"g"}, {hostile, "--yes"}},
		"groups reset":      {{"g", "--topic", b.topic, "--to", "earliest", "--dry-run"}, {hostile, "--topic", b.topic, "--to", hostile}},
		"dlq list":          {nil},
		"dlq stats":         {{dead}, {hostile + ".dlq"}},
		"dlq show":          {{dead}, {letters}, {hostile}},
		"dlq replay":        {{dead, "--dry-run"}, {dead, "--yes"}},
		"dlq skip":          {{dead, "--dry-run"}, {b.topic + "/0@0", "--group", "g", "--admin", server, "--why", "a\x1b[2Jb", "--yes"}, {b.topic + "/0@0", "--group", hostile, "--why", "a\x1b[2Jb", "--yes"}},
		"dlq jobs":          {nil, {dead}, {hostile}},
		"dlq stop":          {{"0badc0de"}, {hostile}},
		"dlq resume":        {{"0badc0de", "--dry-run"}, {hostile}},
		"dlq quarantine":    {{dead, "--yes"}, {hostile}},
		"dlq purge":         {{dead, "--yes", "--dry-run"}, {hostile}},
		"catalog show":      {{file}, {server}},
		"catalog merge":     {{file}, {server}},
		"catalog asyncapi":  {{file}, {server}},
		"catalog backstage": {{file}, {server}, {file, "--name", hostile}, {file, "--owner", hostile}},
		"catalog markdown":  {{file, filepath.Join(dir, "out")}, {server, dir}},
		"catalog schema":    {{file, filepath.Join(dir, "out")}, {server, dir}},
		"catalog diff":      {{file, file}, {file, server}},
		"schemas list":      {{"--registry", server + "/registry"}, {"--registry", server}},
		"schemas pull":      {{dir, "--registry", server}},
		"schemas check":     {{"s", file, "--registry", server}},
		"doctor":            {{"--catalog", file, "--group", "g"}, {"--group", hostile}},
		"replay":            {{b.topic, "--group", "g", "--admin", server, "--from", "1h", "--apply", "--why", hostile, "--yes"}, {hostile, "--group", hostile, "--admin", server, "--from", hostile}, {hostile, "--group", "g", "--admin", hostile, "--offsets", hostile}},
		"dev":               {{"--catalog", hostile}, {"--directory", hostile}},
		// Its pages are tested in a browser (console/browsertest).
		"console": {{"--listen", hostile}, {"--member", hostile}, {"--catalog", hostile}, {"--token", hostile}, {"--listen", "10.0.0.1:0", "--title", hostile}},
	}
	seenAny := false
	for _, path := range leaves(newRootCommand(newApp(strings.NewReader(""), nil, nil)), "") {
		if strings.HasPrefix(path, "outbox ") {
			// They print by the same functions (TestOnePrinter), and need a database.
			continue
		}
		lines, ok := commands[path]
		if !ok {
			t.Errorf("eventbus %s is not tried", path)
		}
		delete(commands, path)
		for _, args := range lines {
			for _, output := range []string{"table", "json"} {
				r := b.run(t, append(append(strings.Fields(path), args...), "--output", output)...)
				inert(t, fmt.Sprintf("eventbus %s %.60q -o %s", path, args, output), r.out)
				inert(t, fmt.Sprintf("eventbus %s %.60q -o %s, errors", path, args, output), r.err)
				seenAny = seenAny || strings.Contains(r.out, `\u202e`)
			}
		}
	}
	for path := range commands {
		t.Errorf("there is no eventbus %s", path)
	}
	if !seenAny {
		t.Error("no hostile text was shown at all")
	}
	inert(t, "completion", b.run(t, "__complete", "tail", "").out)
}

// leaves lists the commands without subcommands.
func leaves(c *cobra.Command, path string) (all []string) {
	for _, below := range c.Commands() {
		at := strings.TrimSpace(path + " " + below.Name())
		switch {
		case below.Name() == "help" || below.Name() == "completion":
		case below.HasSubCommands():
			all = append(all, leaves(below, at)...)
		default:
			all = append(all, at)
		}
	}
	return all
}

// hostileRecords writes events, records that are not events, and letters.
func hostileRecords(t *testing.T, b *bench, dead string) {
	t.Helper()
	kafkatest.Publish(t, b.Cluster, customers, customerCreated{hostile, hostile})
	header := func(pairs ...string) (all []transport.Header) {
		for i := 0; i < len(pairs); i += 2 {
			all = append(all, transport.Header{Key: pairs[i], Value: []byte(pairs[i+1])})
		}
		return all
	}
	event := header("ce_specversion", "1.0", "ce_id", hostile, "ce_type", hostile, "ce_source", "urn:x", "ce_subject", hostile, "content-type", hostile, "ce_ext", hostile, hostile, hostile, "raw\x9b", "\x9b2J")
	good := header("ce_specversion", "1.0", "ce_id", "1", "ce_type", "T", "ce_source", "urn:x", "content-type", "application/json", hostile, hostile, "raw\x9b", "\x9b2J")
	died := header(letter.Reason, hostile, letter.Error, hostile, letter.Stack, hostile+"\n"+hostile, letter.Topic, hostile, letter.Partition, "0", letter.Offset, "0", letter.Group, hostile, letter.Attempts, "1")
	for _, topic := range []string{b.topic, dead} {
		for _, r := range []transport.Record{
			{Value: []byte(hostile)}, {Key: []byte(hostile), Value: []byte(`{"a":"` + "\u009b\x7f\u202e" + `"}`), Headers: event},
			{Key: []byte("\x9b"), Value: []byte(`{"a":"` + "\u009b\x7f\u202e\x9b" + `"}`), Headers: good}, {Value: []byte(`<` + hostile), Headers: good}, {Key: []byte(hostile), Headers: good},
		} {
			r.Topic = topic
			b.Produce(t, r)
			r.Headers = append(slices.Clone(r.Headers), died...)
			b.Produce(t, r)
		}
	}
}

// hostileGroup commits an offset whose metadata is hostile.
func hostileGroup(t *testing.T, b *bench) {
	t.Helper()
	tr := kafka.New(kafka.Config{Brokers: b.Brokers()})
	defer tr.Close(context.WithoutCancel(t.Context()))
	p := transport.Partition{Topic: b.topic}
	err := kafka.NewAdmin(tr).ResetGroup(t.Context(), "g", transport.Commit{Partition: p, Offset: 1, Metadata: "eventbus1:" + hostile, LeaderEpoch: -1})
	if err != nil {
		t.Fatal(err)
	}
}

// hostileCatalog writes a catalogue whose texts are hostile.
func hostileCatalog(t *testing.T, b *bench, file string) {
	t.Helper()
	d, err := catalog.Of(customers)
	if err != nil {
		t.Fatal(err)
	}
	d.Service = hostile
	for i := range d.Topics {
		d.Topics[i].Owner = hostile
		for j := range d.Topics[i].Events {
			d.Topics[i].Events[j].Description = hostile
		}
	}
	out, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, out, 0o600); err != nil {
		t.Fatal(err)
	}
}

// hostileServer answers every request with a hostile error, and as a registry with a hostile
// subject.
func hostileServer(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/registry/subjects") {
			_ = json.NewEncoder(w).Encode([]string{hostile})
			return
		}
		if strings.Contains(r.URL.Path, "/registry/subjects/") {
			_ = json.NewEncoder(w).Encode(map[string]any{"subject": hostile, "version": 1, "id": 1, "schemaType": hostile, "schema": hostile})
			return
		}
		if strings.HasSuffix(r.URL.Path, "/g/replay") {
			_ = json.NewEncoder(w).Encode(admin.Replayed{
				Applied: true, Partitions: []admin.ReplayedPartition{{Events: map[string]int64{hostile: 1}, Failed: 1}}, Failures: []string{hostile}, Error: hostile,
			})
			return
		}
		w.WriteHeader(http.StatusConflict)
		_ = json.NewEncoder(w).Encode(map[string]any{"error": hostile, "message": hostile, "error_code": 1})
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// TestOddRecords: a record that JSON can't express does not end the listing.
func TestOddRecords(t *testing.T) {
	b := &bench{Cluster: kafkatest.NewBroker(t)}
	b.topic = customers.In(b.Environment())
	attributes := func(more ...transport.Header) []transport.Header {
		return append([]transport.Header{
			{Key: "ce_specversion", Value: []byte("1.0")}, {Key: "ce_id", Value: []byte("1")}, {Key: "ce_type", Value: []byte("T")},
			{Key: "ce_source", Value: []byte("urn:x")}, {Key: "content-type", Value: []byte("application/json")},
		}, more...)
	}
	kafkatest.Publish(t, b.Cluster, customers, customerCreated{"first", "Ann"})
	odd := []transport.Record{
		{Value: []byte(`{}`), Headers: attributes(transport.Header{Key: "ce_\xff", Value: []byte("x")})},
		{Value: []byte(`{}`), Headers: attributes(transport.Header{Key: "ce_name", Value: []byte("\xff")})},
		{Value: []byte(`{}`), Headers: attributes(transport.Header{Key: "\xff", Value: []byte("\xff")})},
		{Value: []byte("{\"a\":\"\xff\"}"), Headers: attributes()},
		{Value: []byte(`{}`), Headers: attributes(), Time: time.Date(12345, 1, 2, 3, 4, 5, 0, time.UTC)},
		{Value: []byte(`{}`), Headers: attributes(transport.Header{Key: "ce_time", Value: []byte("12345-01-02T03:04:05Z")})},
		{Key: []byte("\xff"), Value: []byte("no event")},
	}
	for i := range odd {
		odd[i].Topic = b.topic
	}
	b.Produce(t, odd...)
	kafkatest.Publish(t, b.Cluster, customers, customerCreated{"last", "Zoe"})
	r := b.run(t, "tail", b.topic, "--from", "earliest", "--output", "json").ok(`"first"`, `"last"`, "12345-01-02T03:04:05Z", `"keyBytes":"/w=="`)
	lines := 0
	for line := range strings.Lines(r.out) {
		lines++
		if !json.Valid([]byte(line)) {
			t.Errorf("not JSON: %s", line)
		}
	}
	if want := len(odd) + 2; lines != want {
		t.Errorf("%d lines, want %d:\n%s", lines, want, r.out)
	}
	b.run(t, "tail", b.topic, "--from", "earliest").ok("first", "last")
}

// TestOnePrinter: only the functions of table.go, which make values visible, write to the
// program's streams, except for the question of confirm and output of libraries.
func TestOnePrinter(t *testing.T) {
	writers := map[string]int{"table.go": 6, "app.go": 1, "dlq_replay.go": 2, "outbox_relay.go": 1, "console.go": 1} // a slog.TextHandler quotes
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		uses := 0
		ast.Inspect(file, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok && (s.Sel.Name == "stdout" || s.Sel.Name == "stderr" || s.Sel.Name == "Stdout" || s.Sel.Name == "Stderr") && name != "main.go" {
				uses++
			}
			return true
		})
		if uses != writers[name] {
			t.Errorf("%s uses the streams %d times, known are %d: print by say, note, show and printError", name, uses, writers[name])
		}
	}
}
