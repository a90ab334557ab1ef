package console

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/catalog"
	"github.com/eventbus-go/eventbus/internal/adminorder"
	"github.com/eventbus-go/eventbus/transport"
)

// local is the bus of this process. It answers from memory and needs no token.
type local struct{ bus *eventbus.Bus }

func (local) name() string { return "this process" }

func (l local) inspect(context.Context) (*eventbus.Inspection, error) {
	seen := l.bus.Operator().Inspect()
	return &seen, nil
}

func (l local) catalog(context.Context) (*catalog.Document, error) { return catalog.OfBus(l.bus) }

// order needs no context: an Operator's methods do not wait.
func (l local) order(_ context.Context, o *order) error {
	operator := l.bus.Operator().Because(o.Who, o.Why)
	switch o.Do {
	case "unpark":
		return operator.UnparkAt(o.Group, o.Topic, o.Partition, o.Offset)
	case "skip":
		return operator.Skip(o.Group, o.Topic, o.Partition, o.Offset)
	case "pause":
		return operator.Pause(o.Group, o.Subscription)
	case "resume":
		return operator.Resume(o.Group, o.Subscription)
	}
	return fmt.Errorf("there is no order %q", o.Do)
}

// replay runs the handlers for the events that it has counted, if those are at most o.Most.
func (l local) replay(ctx context.Context, o *replayOrder) (*replayReport, error) {
	at := func(offsets map[int32]int64) map[transport.Partition]int64 {
		all := make(map[transport.Partition]int64, len(offsets))
		for p, offset := range offsets {
			all[transport.Partition{Topic: o.Topic, Partition: p}] = offset
		}
		return all
	}
	config := eventbus.ReplayConfig{From: o.From, To: o.To, FromOffsets: at(o.FromOffsets), ToOffsets: at(o.ToOffsets), Keys: o.Keys, Types: o.Types, DryRun: !o.Apply, MaxEvents: o.Most}
	report, err := l.bus.Operator().Because(o.Who, o.Why).ReplayGroup(ctx, o.Group, o.Topic, config)
	all := new(replayReport)
	for i := range report.Partitions {
		p := &report.Partitions[i]
		all.Partitions = append(all.Partitions, replayedPartition{p.Partition.Partition, p.From, p.To, p.Events, p.Handled, p.Failed})
	}
	for _, f := range report.Failures {
		all.Failures = append(all.Failures, f.String())
	}
	return all, err
}

// Bounds of a member's answers, since anyone may serve at its address. An answer is read
// whole before it is parsed, so these bound memory.
const (
	maxInspection = 64 << 20
	maxCatalog    = 32 << 20
	maxReplayed   = 16 << 20
	maxAnswer     = 4 << 10 // to an order
)

// remote is the admin handler of another process. It is safe for concurrent use.
type remote struct {
	Member
	client *http.Client
	// patient has no timeout. It is for replays, which may take long.
	patient *http.Client
}

// newRemote returns the member at an address. It follows no redirects: the token is for the
// configured address, and a redirect could lead elsewhere.
func newRemote(m Member) *remote {
	m.URL = strings.TrimSuffix(m.URL, "/")
	// The timeout is for a member that begins to answer and never ends. Callers set shorter
	// ones.
	r := &remote{Member: m, client: &http.Client{
		Timeout:       30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	if m.TLS != nil {
		own := http.DefaultTransport.(*http.Transport).Clone()
		own.TLSClientConfig = m.TLS.Clone()
		r.client.Transport = own
	}
	patient := *r.client
	patient.Timeout = 0
	r.patient = &patient
	return r
}

// The name is shown on pages and in forms: Validate refuses addresses that contain a
// password.
func (m *remote) name() string { return m.URL }

func (m *remote) inspect(ctx context.Context) (*eventbus.Inspection, error) {
	seen := new(eventbus.Inspection)
	body, err := m.ask(ctx, http.MethodGet, "/groups", nil, maxInspection)
	if err != nil {
		return nil, err
	}
	// The bus's own codec takes a third of encoding/json's time. With a page open, an answer
	// with thousands of keys comes every second, and reading it is the largest cost.
	if err := eventbus.JSON().Decode(ctx, &eventbus.Envelope{Data: body}, seen); err != nil {
		return nil, fmt.Errorf("the answer is not an inspection of a bus: %w", err)
	}
	return seen, nil
}

func (m *remote) catalog(ctx context.Context) (*catalog.Document, error) {
	body, err := m.ask(ctx, http.MethodGet, "/catalog", nil, maxCatalog)
	if err != nil {
		return nil, err
	}
	return catalog.Read(bytes.NewReader(body))
}

func (m *remote) order(ctx context.Context, o *order) error {
	var body map[string]any
	switch o.Do {
	case "unpark", "skip":
		body = map[string]any{"topic": o.Topic, "partition": o.Partition, "offset": o.Offset}
	case "pause", "resume":
		body = map[string]any{"subscription": o.Subscription}
	default:
		return fmt.Errorf("there is no order %q", o.Do)
	}
	// The handler accepts at most 200 bytes, and a character takes at most four.
	body["who"], body["why"] = clip(50, o.Who), o.Why
	send := func(text []byte) error {
		// Group names may contain slashes. The handler's answer is not shown.
		_, err := m.ask(ctx, http.MethodPost, "/groups/"+url.PathEscape(o.Group)+"/"+o.Do, text, maxAnswer)
		return err
	}
	err := adminorder.Give(body, send)
	// Earlier versions go by the key, of which several events may wait.
	if o.Do == "unpark" && adminorder.Refuses(err, "offset") {
		delete(body, "offset")
		body["keyBase64"] = append([]byte{}, o.Key...)
		err = adminorder.Give(body, send)
	}
	return err
}

// replay returns when the replay has ended. The end of the request ends the replay.
func (m *remote) replay(ctx context.Context, o *replayOrder) (*replayReport, error) {
	asked := *o
	asked.Who = clip(50, o.Who)
	body, err := json.Marshal(&asked)
	if err != nil {
		return nil, err
	}
	answer, err := m.send(ctx, m.patient, http.MethodPost, "/groups/"+url.PathEscape(o.Group)+"/replay", body, maxReplayed)
	if err != nil {
		return nil, err
	}
	report := new(replayReport)
	if err := json.Unmarshal(answer, report); err != nil {
		return nil, fmt.Errorf("the answer is not the report of a replay: %w", err)
	}
	return report, nil
}

// ask sends a request and returns its answer, of at most the given number of bytes.
func (m *remote) ask(ctx context.Context, method, path string, body []byte, most int64) ([]byte, error) {
	return m.send(ctx, m.client, method, path, body, most)
}

func (m *remote) send(ctx context.Context, client *http.Client, method, path string, body []byte, most int64) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, m.URL+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	// Revealed for each request and not kept: a token in a file may be replaced meanwhile.
	if !m.Token.IsZero() {
		token, err := m.Token.Reveal()
		if err != nil {
			return nil, err
		}
		r.Header.Set("Authorization", "Bearer "+token)
	}
	var sent atomic.Bool
	r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { sent.Store(true) }}))
	answer, err := client.Do(r)
	if err != nil {
		if wrapped, ok := errors.AsType[*url.Error](err); ok {
			err = wrapped.Err // pages show the address beside it
		}
		if sent.Load() {
			err = &unansweredError{err}
		}
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, refusal(answer)
	}
	// Reads one byte more than allowed: otherwise a truncated answer would look complete.
	text, err := io.ReadAll(io.LimitReader(answer.Body, most+1))
	if err == nil && int64(len(text)) > most {
		err = fmt.Errorf("the answer is larger than %d bytes", most)
	}
	if err != nil {
		err = &unansweredError{err}
	}
	return text, err
}

// unansweredError is the error of a request that may have arrived, so its order may have
// been carried out.
type unansweredError struct{ error }

// Unwrap returns why there is no answer.
func (e *unansweredError) Unwrap() error { return e.error }

// refusal returns the error that an answer other than 200 means: the admin handler's own
// words, if it has any. Without them, a status of 500 or more comes from a proxy that
// stopped waiting.
func refusal(answer *http.Response) error {
	switch {
	case answer.StatusCode == http.StatusUnauthorized:
		return errors.New("it refuses the token (401)")
	case answer.StatusCode < http.StatusBadRequest:
		return fmt.Errorf("it answers %d, and redirects are not followed", answer.StatusCode)
	}
	body, _ := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	// Only errors in the handler's own form are passed on: a proxy in between may answer with
	// an HTML page.
	var problem struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(body, &problem) == nil && problem.Error != "" {
		return errors.New(problem.Error)
	}
	err := fmt.Errorf("it answers %d", answer.StatusCode)
	if answer.StatusCode >= http.StatusInternalServerError {
		return &unansweredError{err}
	}
	return err
}
