package console

import (
	"cmp"
	"context"
	"encoding/base64"
	"hash/fnv"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus"
)

// keysView is the page of parked keys, the longest wait first.
// Group, Topic and Find are the query: each narrows the list unless it is empty. Groups are
// all groups that members report, for the form. Unseen counts parked keys that members did
// not send, so that they were not searched. Pages count from 1.
type keysView struct {
	Group, Topic, Find string
	Groups             []string
	Keys               []parkedKey
	Total              int64 // that match
	Unseen             int64
	Page, Pages        int
	Before, After      string // addresses of the pages beside this one
}

// parkedKey is a parked key and its place. It points into an inspection, which nobody
// changes. finish sets ID, Waits, Free and Skip, for the rows of one page.
type parkedKey struct {
	*eventbus.ParkedKey
	ID        string // of the row
	Member    string
	Group     string
	Topic     string
	Partition int32
	Waits     string
	Holds     bool // it holds back its partition's watermark
	Free      bool // it can be tried again now
	Skip      bool // Operator.Skip accepts it
}

// Encoded returns the key in Base64, for a form.
func (k *parkedKey) Encoded() string { return base64.RawURLEncoding.EncodeToString(k.Raw) }

// Story returns the address of the search for the key's events.
func (k *parkedKey) Story() string {
	// In Base64, since a key may be any bytes.
	return "story?" + url.Values{"by": {"key"}, "what64": {k.Encoded()}, "topic": {k.Topic}}.Encode()
}

// perPage is how many rows a page of a list has. A live page is drawn once a second, so
// its size is bounded.
const perPage = 100

// keys makes the page of parked keys. All that match are sorted, but only the rows of one
// page are finished, which costs more than sorting.
func (d *desk) keys(ctx context.Context, r *http.Request) (any, error) {
	q := r.URL.Query()
	v, all := d.parked(ctx, q)
	v.Total = int64(len(all))
	// An empty list has one page, which says that it is empty.
	v.Pages = max((len(all)+perPage-1)/perPage, 1)
	// An unreadable number is 0, and so page 1. A number past the end is the last page: the
	// list may have become shorter since the link was made.
	v.Page, _ = strconv.Atoi(q.Get("page"))
	v.Page = min(max(v.Page, 1), v.Pages)
	v.Keys = all[min((v.Page-1)*perPage, len(all)):min(v.Page*perPage, len(all))]
	for i := range v.Keys {
		v.Keys[i].finish()
	}
	at := func(page int) string {
		q := url.Values{"group": {v.Group}, "topic": {v.Topic}, "find": {v.Find}, "page": {strconv.Itoa(page)}}
		return "keys?" + q.Encode()
	}
	if v.Page > 1 {
		v.Before = at(v.Page - 1)
	}
	if v.Page < v.Pages {
		v.After = at(v.Page + 1)
	}
	return v, nil
}

// parked returns the parked keys that match a query, the longest wait first, and a view
// without them. Pages and downloads both use it, so that a file has what its page shows.
func (d *desk) parked(ctx context.Context, q url.Values) (*keysView, []parkedKey) {
	v := &keysView{Group: q.Get("group"), Topic: q.Get("topic"), Find: q.Get("find")}
	var all []parkedKey
	for _, m := range d.watch.look(ctx) {
		// A silent member's keys may long be free, or with another member after a rebalance.
		if m.Seen == nil || m.Silent() {
			continue
		}
		for i := range m.Seen.Groups {
			g := &m.Seen.Groups[i]
			if !slices.Contains(v.Groups, g.Name) {
				v.Groups = append(v.Groups, g.Name)
			}
			if v.Group == "" || v.Group == g.Name {
				all = v.collect(all, m.Member, g)
			}
		}
	}
	slices.Sort(v.Groups)
	slices.SortStableFunc(all, func(x, y parkedKey) int {
		// By seconds rather than milliseconds: otherwise keys that failed together would change
		// places from one inspection to the next. The rest makes the order total within a group.
		return cmp.Or(cmp.Compare(y.WaitingMs/1000, x.WaitingMs/1000), cmp.Compare(x.Topic, y.Topic), cmp.Compare(x.Partition, y.Partition), cmp.Compare(x.Offset, y.Offset))
	})
	return v, all
}

// collect appends the parked keys of a group that match the view's query.
func (v *keysView) collect(all []parkedKey, member string, g *eventbus.GroupInspection) []parkedKey {
	for k := range g.Partitions {
		p := &g.Partitions[k]
		if v.Topic != "" && p.Topic != v.Topic {
			continue
		}
		v.Unseen += p.ParkedKeys - int64(len(p.Parked)) // an inspection has the first hundred
		for n := range p.Parked {
			key := &p.Parked[n]
			// The bytes are searched rather than their display form, which may be an escape.
			if v.Find != "" && !strings.Contains(string(key.Raw), v.Find) && !strings.Contains(key.Error, v.Find) {
				continue
			}
			all = append(all, parkedKey{
				// The watermark is the lowest unfinished offset: the key whose event is there holds up
				// its partition's commits.
				ParkedKey: key, Member: member, Group: g.Name, Topic: p.Topic, Partition: p.Partition, Holds: key.Offset == p.Watermark,
			})
		}
	}
	return all
}

// finish sets the derived fields of a row that is shown.
func (k *parkedKey) finish() {
	// The id stays the same in every round, so that the script recognizes the row. It is a hash,
	// since group names may have characters that an id must not.
	h := fnv.New64a()
	_, _ = h.Write([]byte(k.Group + "\x00" + k.Topic + "\x00" + strconv.Itoa(int(k.Partition)) + "\x00" + strconv.FormatInt(k.Offset, 10)))
	k.ID = "k" + strconv.FormatUint(h.Sum64(), 36)
	k.Waits = waitsFor(k.State, k.Attempts, k.DueMs)
	// These are the states that Operator.Unpark and Operator.Skip accept. In others the buttons
	// could only be refused.
	k.Free = k.State == "retry" || k.State == "awaiting dead letter"
	k.Skip = k.State == "held" || k.State == "awaiting dead letter"
}

// membersView is the page of members. Alone is set if no other members are configured, so
// that the bus of this process is the only one.
type membersView struct {
	Members []memberRow
	Alone   bool
	Outside []outsideGroup
}

// memberRow is a member and the time since its last answer.
type memberRow struct {
	sighting
	Ago        string // since it was heard; empty while it answers
	Groups     int
	Partitions int
	Parked     int64
}

// membersPage makes the page of members, beside the groups of the cluster, which may have
// members that this console does not know.
func (d *desk) membersPage(ctx context.Context, _ *http.Request) (any, error) {
	v := &membersView{Alone: len(d.config.Members) == 0 && d.config.Bus != nil}
	for _, s := range d.watch.look(ctx) {
		row := memberRow{sighting: s}
		// A member that never answered has no such time.
		if s.Silent() && !s.Heard.IsZero() {
			row.Ago = span(time.Since(s.Heard))
		}
		if s.Seen != nil {
			row.Groups = len(s.Seen.Groups)
			for i := range s.Seen.Groups {
				row.Partitions += len(s.Seen.Groups[i].Partitions)
				row.Parked += s.Seen.Groups[i].ParkedKeys
			}
		}
		v.Members = append(v.Members, row)
	}
	if d.cluster != nil {
		v.Outside = d.cluster.overview(ctx).groups
	}
	return v, nil
}
