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
// Group, Topic and Find are the query: each narrows the list, and an empty one does not.
// Groups are all that members tell of, for the form. Unseen counts parked keys that
// members did not send, so that they could not be searched. Pages count from 1.
type keysView struct {
	Group, Topic, Find string
	Groups             []string
	Keys               []parkedKey
	Total              int64 // that match
	Unseen             int64
	Page, Pages        int
	Before, After      string // addresses of the pages beside this one
}

// parkedKey is a parked key with where it is.
// It points into an inspection, which nobody changes. ID, Waits, Free and Skip are set by
// finish, for the rows of one page.
type parkedKey struct {
	*eventbus.ParkedKey
	ID        string // of the row
	Member    string
	Group     string
	Topic     string
	Partition int32
	Waits     string
	Holds     bool // it keeps its partition's watermark
	Free      bool // it can be tried again now
	Skip      bool // Skip takes it
}

// Encoded returns the key for a form.
func (k *parkedKey) Encoded() string { return base64.RawURLEncoding.EncodeToString(k.Raw) }

// Story leads to what else happened to the key.
func (k *parkedKey) Story() string {
	// In Base64, since a key may be any bytes.
	return "story?" + url.Values{"by": {"key"}, "what64": {k.Encoded()}, "topic": {k.Topic}}.Encode()
}

// perPage is how many rows a page of a list has.
// A page is drawn once a second while it is live, which bounds what it may hold.
const perPage = 100

// keys makes the page of parked keys. All that match are sorted, and one page of them is
// finished: what is made of a row costs more than the row.
func (d *desk) keys(ctx context.Context, r *http.Request) (any, error) {
	q := r.URL.Query()
	v, all := d.parked(ctx, q)
	v.Total = int64(len(all))
	// An empty list has one page, which says that it is empty.
	v.Pages = max((len(all)+perPage-1)/perPage, 1)
	// A number that can't be read is 0, and so page 1. One past the end is the last page:
	// the list may have become shorter since the address was made.
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

// parked returns the parked keys that a query describes, the longest wait first, and
// a view without them.
// Pages and downloads both go through it, so that a file has what its page shows.
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
		// Seconds rather than milliseconds: keys that failed together would change places from
		// one inspection to the next. The rest makes the order a total one within a group.
		return cmp.Or(cmp.Compare(y.WaitingMs/1000, x.WaitingMs/1000), cmp.Compare(x.Topic, y.Topic), cmp.Compare(x.Partition, y.Partition), cmp.Compare(x.Offset, y.Offset))
	})
	return v, all
}

// collect adds the parked keys of a group that the view is about.
func (v *keysView) collect(all []parkedKey, member string, g *eventbus.GroupInspection) []parkedKey {
	for k := range g.Partitions {
		p := &g.Partitions[k]
		if v.Topic != "" && p.Topic != v.Topic {
			continue
		}
		v.Unseen += p.ParkedKeys - int64(len(p.Parked)) // an inspection has the first hundred
		for n := range p.Parked {
			key := &p.Parked[n]
			// The bytes are searched rather than what is shown of them, which may be an escape.
			if v.Find != "" && !strings.Contains(string(key.Raw), v.Find) && !strings.Contains(key.Error, v.Find) {
				continue
			}
			all = append(all, parkedKey{
				// The watermark is the lowest unfinished offset: the key whose event waits there is the
				// one that holds up the commits of its partition.
				ParkedKey: key, Member: member, Group: g.Name, Topic: p.Topic, Partition: p.Partition, Holds: key.Offset == p.Watermark,
			})
		}
	}
	return all
}

// finish sets what is made of the rest, for the rows that are shown.
func (k *parkedKey) finish() {
	// The id of a row is the same in every round, so that the script knows the row again.
	// It is a hash, since names of groups may have characters that an id may not.
	h := fnv.New64a()
	_, _ = h.Write([]byte(k.Group + "\x00" + k.Topic + "\x00" + strconv.Itoa(int(k.Partition)) + "\x00" + strconv.FormatInt(k.Offset, 10)))
	k.ID = "k" + strconv.FormatUint(h.Sum64(), 36)
	k.Waits = waitsFor(k.State, k.Attempts, k.DueMs)
	// These are what Operator.Unpark and Operator.Skip take. The buttons of other states would
	// only ever be refused.
	k.Free = k.State == "retry" || k.State == "awaiting dead letter"
	k.Skip = k.State == "held" || k.State == "awaiting dead letter"
}

// membersView is the page of members.
// Alone says that there is only the bus of this process, because no others are configured.
type membersView struct {
	Members []memberRow
	Alone   bool
	Outside []outsideGroup
}

// memberRow is a member and when it was last heard.
type memberRow struct {
	sighting
	Ago        string // since it was heard; empty while it answers
	Groups     int
	Partitions int
	Parked     int64
}

// membersPage makes the page of members, with the groups of the cluster beside them: those
// may have members that this console was not told of.
func (d *desk) membersPage(ctx context.Context, _ *http.Request) (any, error) {
	v := &membersView{Alone: len(d.config.Members) == 0 && d.config.Bus != nil}
	for _, s := range d.watch.look(ctx) {
		row := memberRow{sighting: s}
		// One that was never heard has no time to tell.
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
