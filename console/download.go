package console

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus/catalog"
	"github.com/eventbus-go/eventbus/internal/visible"
)

// files returns the downloads by path: what pages show, whole or up to maxRows. Access is
// the same as to the pages: what a page hides, its file hides too.
func (d *desk) files() map[string]file {
	all := map[string]file{
		"keys.csv": d.table("keys.csv", d.keyRows), "keys.json": d.table("keys.json", d.keyRows),
		"asyncapi.json": d.asyncAPI, "catalog.json": d.catalogFile,
	}
	// A path that could only fail is not served.
	if d.cluster != nil {
		all["letters.csv"], all["letters.json"] = d.table("letters.csv", d.letterRows), d.table("letters.json", d.letterRows)
	}
	return all
}

// maxRows bounds a download.
const maxRows = 10_000

// table returns a download of rows, the first of which names the columns, so that an empty
// list has its columns too. The extension of the name chooses the format. The name of an
// incomplete file says so.
func (d *desk) table(name string, rows func(context.Context, *http.Request) (all [][]string, whole bool, err error)) file {
	return func(ctx context.Context, r *http.Request) (string, string, []byte, error) {
		all, whole, err := rows(ctx, r)
		if err != nil {
			return "", "", nil, err
		}
		called := name
		if !whole {
			called = "part-of-" + name
		}
		if strings.HasSuffix(name, ".json") {
			text, err := asJSON(all)
			return called, "application/json", text, err
		}
		text, err := asCSV(all)
		return called, "text/csv; charset=utf-8", text, err
	}
}

// asCSV returns rows as CSV. Text that a spreadsheet would take for a formula gets an
// apostrophe in front.
func asCSV(rows [][]string) ([]byte, error) {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	for _, row := range rows {
		for i, cell := range row {
			// Made visible first: for some readers a tab or a line break would begin a new cell or row,
			// which could then begin with a formula.
			row[i] = visible.Text(cell)
			// The OWASP page on CSV injection lists these characters.
			if strings.IndexAny(row[i], "=+-@") == 0 {
				row[i] = "'" + row[i]
			}
		}
		if err := w.Write(row); err != nil {
			return nil, err
		}
	}
	// The writer buffers: its Error is complete only after Flush.
	w.Flush()
	return b.Bytes(), w.Error()
}

// asJSON returns rows as a list of objects.
func asJSON(rows [][]string) ([]byte, error) {
	// Not nil, so that no rows are encoded as [] rather than null.
	all := make([]map[string]string, 0, len(rows))
	for _, row := range rows[1:] {
		o := make(map[string]string, len(row))
		for i, name := range rows[0] {
			o[name] = row[i]
		}
		all = append(all, o)
	}
	// Programs get the texts as they are, except that control characters become JSON escapes.
	text, err := json.MarshalIndent(all, "", "  ")
	return visible.JSON(text), err
}

// keyRows returns all parked keys that the page's query matches.
func (d *desk) keyRows(ctx context.Context, r *http.Request) (_ [][]string, whole bool, _ error) {
	// The link carries the page's query, so the file has all pages of its list. Keys beyond
	// the first hundred of a partition are in neither.
	v, all := d.parked(ctx, r.URL.Query())
	rows := [][]string{{"group", "topic", "partition", "offset", "key", "state", "waiting_ms", "due_ms", "attempts", "bytes", "error", "member"}}
	for i := range all[:min(len(all), maxRows)] {
		k := &all[i]
		rows = append(rows, []string{
			k.Group, k.Topic, strconv.Itoa(int(k.Partition)), strconv.FormatInt(k.Offset, 10), visible.Bytes(k.Raw), k.State,
			strconv.FormatInt(k.WaitingMs, 10), strconv.FormatInt(k.DueMs, 10), strconv.Itoa(k.Attempts), strconv.FormatInt(k.Bytes, 10), k.Error, k.Member,
		})
	}
	return rows, len(all) <= maxRows && v.Unseen == 0, nil
}

// letterRows returns the letters of a cause.
func (d *desk) letterRows(ctx context.Context, r *http.Request) (_ [][]string, whole bool, _ error) {
	v, err := d.causeOf(ctx, r, maxRows)
	if err != nil {
		return nil, false, err
	}
	rows := [][]string{{"topic", "partition", "offset", "key", "id", "type", "group", "attempts", "redeliveries", "last_failure", "error"}}
	for i := range v.Letters {
		l := &v.Letters[i]
		rows = append(rows, []string{
			l.Topic, strconv.Itoa(int(l.Partition)), strconv.FormatInt(l.Offset, 10), visible.Bytes(l.Key), l.ID, l.Type, l.Group,
			strconv.Itoa(l.Attempts), strconv.Itoa(l.Redeliveries), l.Last.UTC().Format(time.RFC3339Nano), l.Error,
		})
	}
	return rows, !v.More, nil
}

// wholeDocument returns the catalogue for a file, or an error if the members' catalogues
// contradict each other. A page can show one of them with a note. A file has no place for
// the note, and would pass for the whole.
func (d *desk) wholeDocument(ctx context.Context) (*catalog.Document, error) {
	d.watch.look(ctx)
	document, err := d.document()
	// Checked before err: without a document there is nothing that could contradict itself.
	if document == nil {
		return nil, missing("no catalogue is known here")
	}
	if err != nil {
		return nil, &fault{http.StatusConflict, err.Error()}
	}
	return document, nil
}

// asyncAPI makes an AsyncAPI document of the catalogue, with the topics' names in this
// environment.
func (d *desk) asyncAPI(ctx context.Context, _ *http.Request) (string, string, []byte, error) {
	document, err := d.wholeDocument(ctx)
	if err != nil {
		return "", "", nil, err
	}
	text, err := document.AsyncAPI(catalog.AsyncAPIConfig{Environment: d.config.Environment, Protobuf: d.config.Protobuf})
	return "asyncapi.json", "application/json", text, err
}

// catalogFile makes the catalogue in the form that catalog.Read reads.
func (d *desk) catalogFile(ctx context.Context, _ *http.Request) (string, string, []byte, error) {
	document, err := d.wholeDocument(ctx)
	if err != nil {
		return "", "", nil, err
	}
	var b bytes.Buffer
	if _, err := document.WriteTo(&b); err != nil {
		return "", "", nil, fmt.Errorf("the catalogue can't be written: %w", err)
	}
	return "catalog.json", "application/json", b.Bytes(), nil
}
