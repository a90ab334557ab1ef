package main

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/admin"
	"github.com/eventbus-go/eventbus/internal/redrive"
	"github.com/eventbus-go/eventbus/internal/telemetry"
	"github.com/eventbus-go/eventbus/transport/memory"
)

const handbook = "../../docs/operations.md"

// TestOperationsAreTrue checks the runbooks against the program: each command line is
// understood, each metric is exported, each address of the admin handler is served, and
// each link leads somewhere.
func TestOperationsAreTrue(t *testing.T) {
	file, err := os.ReadFile(handbook)
	if err != nil {
		t.Fatal(err)
	}
	text := string(file)
	commands, calls := 0, 0
	for _, block := range regexp.MustCompile("(?s)```([a-z]*)\n(.*?)```").FindAllStringSubmatch(text, -1) {
		for line := range strings.Lines(block[2]) {
			line, prompted := strings.CutPrefix(line, "$ ")
			if block[1] != "sh" && !prompted {
				continue // output
			}
			words := strings.Fields(strings.SplitN(line, "#", 2)[0])
			switch {
			case len(words) == 0:
			case words[0] == "eventbus":
				commands++
				// A shell takes text in quotes as one word.
				whole := regexp.MustCompile(`"[^"]*"`).ReplaceAllString(line, "quoted")
				understood(t, strings.Fields(strings.SplitN(whole, "#", 2)[0])[1:])
			case words[0] == "curl":
				calls++
				served(t, line)
			default:
				t.Errorf("nothing checks the line %q", line)
			}
		}
	}
	if commands < 10 || calls < 3 {
		t.Errorf("%d commands and %d calls: were the blocks found?", commands, calls)
	}
	metrics := regexp.MustCompile("`((?:eventbus|messaging)\\.[a-z._]+)`").FindAllStringSubmatch(text, -1)
	if len(metrics) < 10 {
		t.Errorf("%d metrics: were they found?", len(metrics))
	}
	for _, m := range metrics {
		if strings.HasPrefix(m[1], "eventbus.outbox.") {
			continue // of another module, whose tests check this page too
		}
		if !slices.ContainsFunc(telemetry.Metrics(), func(known telemetry.Metric) bool { return known.Name == m[1] }) {
			t.Errorf("there is no metric %s", m[1])
		}
	}
	for _, link := range regexp.MustCompile(`\]\(([^)#:]+)[^)]*\)`).FindAllStringSubmatch(text, -1) {
		if _, err := os.Stat(filepath.Join(filepath.Dir(handbook), link[1])); err != nil {
			t.Errorf("dead link: %v", err)
		}
	}
	if !strings.Contains(text, "`"+redrive.Topic+"`") {
		t.Errorf("topic %s is not named", redrive.Topic)
	}
}

// understood requires that a command line is one of the tool's.
func understood(t *testing.T, args []string) {
	t.Helper()
	root := newRootCommand(newApp(strings.NewReader(""), nil, nil))
	c, rest, err := root.Find(args)
	if err == nil {
		err = c.ParseFlags(rest)
	}
	if err == nil {
		err = c.ValidateArgs(c.Flags().Args())
	}
	if err == nil {
		err = c.ValidateRequiredFlags()
	}
	if err == nil && c.HasSubCommands() {
		err = misuse("it only has commands below it")
	}
	if err != nil {
		t.Errorf("eventbus %s: %v", strings.Join(args, " "), err)
	}
}

// served requires that an address is the health page's or served by the admin handler, and
// that it accepts what is posted there: a bus without groups answers that there is no such
// group, rather than that the body is malformed.
func served(t *testing.T, line string) {
	t.Helper()
	address, err := url.Parse(regexp.MustCompile(`http://\S+`).FindString(line))
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(address.Path, "/health") {
		return
	}
	bus, err := eventbus.New(memory.New(), eventbus.Config{Service: "mailer", Environment: "Test"})
	if err != nil {
		t.Fatal(err)
	}
	defer bus.Close(t.Context())
	method, body := http.MethodGet, ""
	if strings.Contains(line, "-X POST") {
		method, body = http.MethodPost, strings.Split(line, "'")[1]
	}
	r := httptest.NewRequestWithContext(t.Context(), method, "http://"+address.Host+address.Path, strings.NewReader(body))
	r.RemoteAddr = "127.0.0.1:1"
	w := httptest.NewRecorder()
	admin.Handler(bus).ServeHTTP(w, r)
	if w.Code != http.StatusOK && !strings.Contains(w.Body.String(), "no subscription of this bus is in group") {
		t.Errorf("%s: %d %s", strings.TrimSpace(line), w.Code, w.Body)
	}
}

// TestOperationsColumns: the tables in the handbook have the columns that the commands
// print.
func TestOperationsColumns(t *testing.T) {
	headers := map[string][]string{} // by the first column
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		source, err := os.ReadFile(name) //nolint:gosec // of this package
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`table\.Row\{("[^{}]*")\}`).FindAllStringSubmatch(string(source), -1) {
			header := strings.Trim(strings.ReplaceAll(m[1], `", "`, "  "), `", `) // a column may have no name
			first, _, _ := strings.Cut(header, "  ")
			headers[first] = append(headers[first], header)
		}
	}
	text, err := os.ReadFile(handbook)
	if err != nil {
		t.Fatal(err)
	}
	shown := 0
	for line := range strings.Lines(string(text)) {
		columns := regexp.MustCompile(` {2,}`).Split(strings.TrimSpace(line), -1)
		known, ok := headers[columns[0]]
		if !ok || len(columns) < 3 {
			continue
		}
		shown++
		if header := strings.Join(columns, "  "); !slices.Contains(known, header) {
			t.Errorf("the handbook shows the columns\n%s\nand the tool prints\n%s", header, strings.Join(known, "\n"))
		}
	}
	if shown < 3 {
		t.Errorf("%d tables were found", shown)
	}
}
