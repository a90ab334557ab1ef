package console_test

import (
	"context"
	"fmt"
	"html"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/eventbus-go/eventbus/catalog"
	"github.com/eventbus-go/eventbus/console"
	"github.com/eventbus-go/eventbus/internal/letter"
	"github.com/eventbus-go/eventbus/internal/naming"
	"github.com/eventbus-go/eventbus/internal/redrive"
	"github.com/eventbus-go/eventbus/kafka"
	"github.com/eventbus-go/eventbus/kafkatest"
	"github.com/eventbus-go/eventbus/transport"
)

const deadTopic = "test.sales.public.orders.v1.billing-test.dlq"

// deadLetters returns a console of a cluster with the given number of dead letters of one
// cause, and behind them two records that are not dead letters.
func deadLetters(t *testing.T, letters int) (*console.Console, *kafka.Transport) {
	t.Helper()
	broker := kafkatest.NewBroker(t)
	cluster := kafka.New(kafka.Config{Brokers: broker.Brokers()})
	t.Cleanup(func() { _ = cluster.Close(context.Background()) })
	dead, retry := transport.TopicSpec{Name: deadTopic, Partitions: 1, Replication: 1}, transport.TopicSpec{Name: naming.RetryOf(deadTopic), Partitions: 1, Replication: 1}
	if err := cluster.Admin().CreateTopics(t.Context(), dead, retry); err != nil {
		t.Fatal(err)
	}
	var records []transport.Record
	for i := range letters {
		r := transport.Record{Topic: deadTopic, Key: fmt.Append(nil, "c-", i), Value: []byte(`{}`)}
		for _, h := range [][2]string{
			{"ce_specversion", "1.0"}, {"ce_type", "order"}, {"ce_source", "urn:shop"}, {"ce_id", fmt.Sprint("e-", i)}, {letter.Topic, "orders"}, {letter.Partition, "0"},
			{letter.Offset, fmt.Sprint(i)}, {letter.Group, "billing-test"}, {letter.Reason, "exhausted"}, {letter.Error, "the card has expired"},
		} {
			r.Headers = append(r.Headers, transport.Header{Key: h[0], Value: []byte(h[1])})
		}
		records = append(records, r)
	}
	broker.Produce(t, append(records, transport.Record{Topic: deadTopic, Key: []byte("stray"), Value: []byte("x")}, transport.Record{Topic: deadTopic, Key: []byte("stray-2"), Value: []byte("y")})...)
	return newConsole(t, func(c *console.Config) { c.Bus, c.Cluster, c.Environment = nil, cluster, "Test" }), cluster
}

// TestForeignCause: records that are not dead letters are listed under a cause like others,
// one by one, and each leads back to its cause.
func TestForeignCause(t *testing.T) {
	h, _ := deadLetters(t, 2)
	page := ask(h, "GET", "/letters?topic="+deadTopic, "").Body.String()
	causes := regexp.MustCompile(`href="(cause\?[^"]*)"><code>[^<]*</code></a> <span class="tag">([^<]*)<`).FindAllStringSubmatch(page, -1)
	if len(causes) != 2 {
		t.Fatalf("%d causes: %s", len(causes), page)
	}
	for _, c := range causes {
		list := ask(h, "GET", "/"+html.UnescapeString(c[1]), "").Body.String()
		want, tag := []string{"c-0", "c-1", "the card has expired"}, "exhausted"
		if c[2] == "(foreign)" {
			want, tag = []string{"stray", "stray-2"}, "(foreign)"
		}
		for _, w := range append(want, tag, "2 letters") {
			if !strings.Contains(list, w) {
				t.Errorf("%s does not show %q: %s", c[1], w, list[strings.Index(list, "<main"):])
			}
		}
		open := regexp.MustCompile(`href="(letter\?[^"]*)"`).FindStringSubmatch(list)
		one := ask(h, "GET", "/"+html.UnescapeString(open[1]), "").Body.String()
		if back := regexp.MustCompile(`href="(cause\?[^"]*)"`).FindStringSubmatch(one); query(t, back[1]).Get("cause") != query(t, c[1]).Get("cause") {
			t.Errorf("the letter leads to %s, and not back to %s", back[1], c[1])
		}
	}
}

// TestNothingChosen: a dry run that lacks something shows its form again, filled in as it was,
// and says what it lacks. Other errors lead back to the form.
func TestNothingChosen(t *testing.T) {
	h, _ := deadLetters(t, 2)
	causes := "/plan?" + url.Values{"topic": {deadTopic}, "state": {"open"}, "action": {"skip"}, "rate": {"7"}}.Encode()
	page := ask(h, "GET", "/letters?topic="+deadTopic, "").Body.String()
	cause := regexp.MustCompile(`name="cause" value="([^"]*)"`).FindStringSubmatch(page)[1]
	for _, c := range []struct {
		path string
		want []string
	}{
		{causes, []string{"The dry run needs more: choose at least one cause", `action="plan"`, `value="skip" selected`, `value="7"`, `name="cause" value="` + cause + `" aria`}},
		{strings.Replace(causes, "rate=7", "rate=x", 1) + "&cause=" + cause, []string{"the rate is a number", `name="cause" value="` + cause + `" checked`}},
		{strings.Replace(causes, "action=skip", "action=", 1), []string{"choose what is to be done"}},
		{strings.Replace(causes, "state=open", "state=quarantined", 1), []string{"No letter is quarantined"}},
		{"/plan?topic=other&action=skip&cause=x", []string{"Not Found", `<a href="letters?action=skip&amp;cause=x&amp;topic=other">Back to Dead letters</a>`}},
		{"/letters?topic=other", []string{`<a href="letters">Back to Dead letters</a>`}},
	} {
		w := ask(h, "GET", c.path, "")
		for _, want := range c.want {
			if body := w.Body.String(); w.Code < 400 || w.Code >= 500 || !strings.Contains(body, want) {
				t.Errorf("%s: %d, want %q in %s", c.path, w.Code, want, body[strings.Index(body, "<main"):])
			}
		}
	}
	if w := ask(h, "GET", causes+"&cause="+cause, ""); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "2 letters</strong> would be changed") {
		t.Errorf("with a cause: %d %s", w.Code, w.Body)
	}
	if w := ask(h, "GET", causes, "", "Accept: application/json"); w.Code != http.StatusBadRequest || w.Body.String() != `{"error":"choose at least one cause, by its box in the table"}`+"\n" {
		t.Errorf("to a program: %d %s", w.Code, w.Body)
	}
}

// query returns the query of a link on a page.
func query(t *testing.T, address string) url.Values {
	t.Helper()
	u, err := url.Parse(html.UnescapeString(address))
	if err != nil {
		t.Fatal(err)
	}
	return u.Query()
}

// TestResumedJobIsHandedOver: a console that closes does not stop a job that an operator
// resumed there: the job waits for the next process.
func TestResumedJobIsHandedOver(t *testing.T) {
	h, cluster := deadLetters(t, 60)
	client := redrive.New(cluster, redrive.Config{Who: "ann@desk", Create: true})
	begun, interrupt := context.WithCancel(t.Context())
	j, _ := client.Start(begun, redrive.Order{Topic: deadTopic, Who: "ann@desk", Rate: 5}, redrive.Run{Progress: func(redrive.Job) { interrupt() }})
	if stopped, err := client.Find(t.Context(), j.ID); err != nil || stopped.State != redrive.Stopped {
		t.Fatalf("%+v, %v", stopped, err)
	}
	if w := ask(h, "POST", "/resume-job", url.Values{"topic": {deadTopic}, "id": {j.ID}, "here": {"jobs"}}.Encode()); w.Code != http.StatusSeeOther {
		t.Fatalf("%d: %s", w.Code, w.Body)
	}
	if running, err := client.Find(t.Context(), j.ID); err != nil || running.State != redrive.Running || running.Holder.Who != "this machine" {
		t.Errorf("%+v, %v", running, err)
	}
	// Only another console offers to take the job over.
	other := newConsole(t, func(c *console.Config) { c.Bus, c.Cluster, c.Environment = nil, cluster, "Test" })
	for which, offers := range map[*console.Console]bool{h: false, other: true} {
		page := ask(which, "GET", "/jobs", "").Body.String()
		if !strings.Contains(page, "running</strong> by this machine") || strings.Contains(page, "in this console") == offers || strings.Contains(page, "Take over") != offers {
			t.Errorf("offered %v, want %v: %s", !offers, offers, page[strings.Index(page, "<main"):])
		}
	}
	if err := other.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := h.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	left, err := client.Find(t.Context(), j.ID)
	if err != nil || left.State != redrive.Waiting || left.By != "" || left.Done.Replayed <= j.Done.Replayed {
		t.Errorf("%+v, %v; want that it waits", left, err)
	}
}

// TestReplayThroughKnownTopics: letters and requests may name any topic, but letters are
// redelivered only through those in a catalogue of the environment.
func TestReplayThroughKnownTopics(t *testing.T) {
	topics := []string{"of-production", "test.sales.public.orders.v1", "again"}
	of := func(env, retry string) *catalog.Document {
		return &catalog.Document{Environment: env, Topics: []catalog.Topic{{Name: "sales.public.orders.v1", Groups: []string{"billing-test"}, Letters: []catalog.Letters{{Group: "billing-test", RetryTopic: retry}}}}}
	}
	for _, c := range []struct {
		document *catalog.Document
		through  string
	}{{of("Test", "again"), "again"}, {of("Production", "of-production"), ""}} {
		_, cluster := deadLetters(t, 1)
		spec := transport.TopicSpec{Partitions: 1, Replication: 1}
		for _, name := range topics {
			spec.Name = name
			if err := cluster.Admin().CreateTopics(t.Context(), spec); err != nil {
				t.Fatal(err)
			}
		}
		producer, err := cluster.NewProducer(transport.ProducerConfig{})
		if err != nil {
			t.Fatal(err)
		}
		defer producer.Close(t.Context())
		written := make(outcomes, len(topics))
		for _, name := range topics {
			r := transport.Record{Topic: deadTopic, Value: []byte(`{}`), Headers: []transport.Header{
				{Key: letter.Topic, Value: []byte("orders")}, {Key: letter.Group, Value: []byte("billing-test")}, {Key: letter.Reason, Value: []byte("exhausted")}, {Key: letter.Retry, Value: []byte(name)},
			}}
			if err := producer.Produce(t.Context(), &r, written); err != nil {
				t.Fatal(err)
			}
		}
		for range topics {
			if err := <-written; err != nil {
				t.Fatal(err)
			}
		}
		h := newConsole(t, func(config *console.Config) {
			config.Bus, config.Cluster, config.Environment, config.Catalog = nil, cluster, "Test", c.document
		})
		for i, name := range topics {
			at := fmt.Sprint("0@", 3+i)
			order := url.Values{"topic": {deadTopic}, "action": {"replay"}, "at": {at}, "why": {"mended"}, "here": {"jobs"}}
			page := ask(h, "GET", "/plan?"+order.Encode(), "").Body.String()
			if offered := strings.Contains(page, `name="through" value="`+name+`"`); offered != (name == c.through) || !strings.Contains(page, name) {
				t.Errorf("%s with the catalogue of %s: %s", name, c.document.Environment, page)
			}
			order.Set("through", name)
			w := ask(h, "POST", "/start-job", order.Encode())
			if refused := strings.Contains(w.Body.String(), "no catalogue here has the retry topic "+name); refused == (name == c.through) {
				t.Errorf("%s with the catalogue of %s: %d %s", name, c.document.Environment, w.Code, w.Body)
			}
		}
	}
}

// outcomes receives the outcomes of writes.
type outcomes chan error

func (o outcomes) Done(_ transport.Position, err error) { o <- err }

// TestOrdersOfTheEnvironment: a console of one environment can't stop jobs of another.
func TestOrdersOfTheEnvironment(t *testing.T) {
	_, cluster := deadLetters(t, 1)
	client := redrive.New(cluster, redrive.Config{Who: "ann@desk", Create: true})
	j, err := client.Submit(t.Context(), redrive.Order{Topic: deadTopic, Who: "ann@desk"})
	if err != nil {
		t.Fatal(err)
	}
	h := newConsole(t, func(c *console.Config) {
		c.Bus, c.Cluster, c.Environment, c.ReadOnly = nil, cluster, "Production", false
	})
	for _, order := range []string{"stop-job", "resume-job"} {
		w := ask(h, "POST", "/"+order, url.Values{"topic": {deadTopic}, "id": {j.ID}, "why": {"x"}, "here": {"jobs"}}.Encode())
		if w.Code != http.StatusNotFound {
			t.Errorf("%s: %d %s", order, w.Code, w.Body)
		}
	}
	if left, err := client.Find(t.Context(), j.ID); err != nil || left.State == redrive.Stopped {
		t.Errorf("%+v, %v", left, err)
	}
}

// TestForeignIsSkipped: records that are not dead letters can be skipped by their cause.
func TestForeignIsSkipped(t *testing.T) {
	h, _ := deadLetters(t, 1)
	page := ask(h, "GET", "/letters?topic="+deadTopic, "").Body.String()
	cause := regexp.MustCompile(`name="cause" value="([^"]*)"[^>]*><th scope="row">.*?\(foreign\)`).FindStringSubmatch(page[strings.LastIndex(page[:strings.Index(page, "(foreign)")], "<tr>"):])
	if cause == nil {
		t.Fatalf("the cause can't be chosen: %s", page)
	}
	plan := ask(h, "GET", "/plan?"+url.Values{"topic": {deadTopic}, "action": {"skip"}, "cause": {cause[1]}}.Encode(), "").Body.String()
	if !strings.Contains(plan, "<strong>2 letters</strong> would be changed") {
		t.Errorf("the dry run says %s", plan[strings.Index(plan, "<main"):])
	}
}

// TestKeptIsBounded: what pages and files keep of letters is bounded, whatever the letters
// contain, and an incomplete file says so.
func TestKeptIsBounded(t *testing.T) {
	h, cluster := deadLetters(t, 0)
	producer, err := cluster.NewProducer(transport.ProducerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close(t.Context())
	const letters = 24
	text := []byte(strings.Repeat("x", 900<<10))
	written := make(outcomes, letters)
	for i := range letters {
		r := transport.Record{Topic: deadTopic, Key: []byte("k"), Headers: []transport.Header{
			{Key: letter.Topic, Value: []byte("orders")}, {Key: letter.Offset, Value: fmt.Append(nil, i)}, {Key: letter.Reason, Value: []byte("exhausted")}, {Key: letter.Error, Value: text},
		}}
		if err := producer.Produce(t.Context(), &r, written); err != nil {
			t.Fatal(err)
		}
	}
	for range letters {
		if err := <-written; err != nil {
			t.Fatal(err)
		}
	}
	page := ask(h, "GET", "/letters?topic="+deadTopic, "").Body.String()
	list := regexp.MustCompile(`href="cause(\?[^"]*)"><code>[^<]*</code></a> <span class="tag">exhausted<`).FindStringSubmatch(page)
	if list == nil {
		t.Fatal(page)
	}
	file := ask(h, "GET", "/letters.csv"+html.UnescapeString(list[1]), "")
	if n := file.Body.Len(); n > 20<<20 || !strings.Contains(file.Header().Get("Content-Disposition"), "part-of-letters.csv") {
		t.Errorf("a file of %d bytes, %v", n, file.Header())
	}
	story := ask(h, "GET", "/story?by=key&what=k", "").Body.String()
	if !strings.Contains(story, "This is not all") || !strings.Contains(story, "more than 16.0 MiB") {
		t.Errorf("the story says %.2000s", story[strings.Index(story, "<main"):])
	}
}

// TestOrderedAsCounted: an order covers exactly what the dry run has counted.
func TestOrderedAsCounted(t *testing.T) {
	h, cluster := deadLetters(t, 3)
	page := ask(h, "GET", "/letters?topic="+deadTopic, "").Body.String()
	cause := regexp.MustCompile(`name="cause" value="([^"]*)"[^>]*Choose the card`).FindStringSubmatch(page)
	if cause == nil {
		t.Fatal(page)
	}
	dry := ask(h, "GET", "/plan?"+url.Values{"topic": {deadTopic}, "action": {"skip"}, "cause": {cause[1]}}.Encode(), "").Body.String()
	order := form(t, dry, "start-job")
	if until := order.Get("until"); until != "0@5" {
		t.Errorf("the order is about letters until %q, want 0@5: three letters, and two records that are none", until)
	}
	order.Set("why", "of a test")
	if w := ask(h, "POST", "/start-job", order.Encode()); w.Code != http.StatusSeeOther {
		t.Fatalf("%d: %s", w.Code, w.Body)
	}
	jobs, err := redrive.New(cluster, redrive.Config{Who: "x"}).Jobs(t.Context(), deadTopic)
	if err != nil || len(jobs) != 1 || jobs[0].End[0] != 5 || jobs[0].Expected != 3 {
		t.Errorf("%+v, %v", jobs, err)
	}
	for _, bad := range [][2]string{
		{"until", "0@x"}, {"until", "0@5 or so"}, {"until", "0@5,"}, {"until", "-1@5"}, {"until", "0@-5"}, {"until", "5"},
		{"expected", "three"}, {"expected", "3 or so"}, {"expected", "-3"}, {"at", "0@1-2"}, {"at", "0"}, {"at", "4294967296@1"},
	} {
		wrong := maps.Clone(order)
		wrong.Set(bad[0], bad[1])
		if w := ask(h, "POST", "/start-job", wrong.Encode()); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "be read") && !strings.Contains(w.Body.String(), "be told") {
			t.Errorf("%s: %d %.300s", bad, w.Code, w.Body)
		}
	}
	order.Set("until", "0@5,1@5,0@3")
	if w := ask(h, "POST", "/start-job", order.Encode()); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "have partition 0 twice") {
		t.Errorf("a partition twice: %d %.300s", w.Code, w.Body)
	}
	order.Set("until", strings.Repeat("0", 70<<10)+"@x") // of many partitions
	if w := ask(h, "POST", "/start-job", order.Encode()); !strings.Contains(w.Body.String(), "be told") {
		t.Errorf("a large form: %d %.300s", w.Code, w.Body)
	}
}
