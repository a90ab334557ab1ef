package console

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus/internal/replay"
)

// replayView is the page of replays: a form for the next one, filled in as far as the page's
// address says, and those that were ordered here.
type replayView struct {
	Handlers []handlerChoice
	Asked    url.Values
	Replays  []replayRow
}

// handlerChoice is the handlers of a group for a topic, at the first member that has them.
type handlerChoice struct{ Member, Group, Topic string }

// Value names the choice in a form.
func (h *handlerChoice) Value() string {
	return url.Values{"member": {h.Member}, "group": {h.Group}, "topic": {h.Topic}}.Encode()
}

// replayPage makes the page of replays.
func (d *desk) replayPage(ctx context.Context, r *http.Request) (any, error) {
	v := &replayView{Asked: r.URL.Query(), Replays: d.replays.list()}
	for _, m := range d.watch.look(ctx) {
		if m.Seen == nil || m.Silent() {
			continue
		}
		for _, g := range m.Seen.Groups {
			for _, s := range g.Subscriptions {
				known := func(h handlerChoice) bool { return h.Group == g.Name && h.Topic == s.Topic }
				if !slices.ContainsFunc(v.Handlers, known) && len(v.Handlers) < maxTopicsShown {
					v.Handlers = append(v.Handlers, handlerChoice{m.Member, g.Name, s.Topic})
				}
			}
		}
	}
	slices.SortFunc(v.Handlers, func(x, y handlerChoice) int {
		return cmp.Or(cmp.Compare(x.Group, y.Group), cmp.Compare(x.Topic, y.Topic))
	})
	return v, nil
}

// replayPlanView is a dry run of a replay, and the form that orders it: by the counted
// offsets, since times would include what is published meanwhile.
type replayPlanView struct {
	Order replayOrder
	Rows  []replayPlanRow
	More  int // rows left out
	Sum   int64
	// Fields of the form, beside the sum. Offsets covers the partitions that have matching
	// events.
	Handlers, Offsets, Key, Types string
}

// replayPlanRow counts the events of one type in one partition.
type replayPlanRow struct {
	Partition int32
	From, To  int64
	Type      string
	Events    int64
}

// maxPlanRows bounds the table of a dry run.
const maxPlanRows = 200

// replayPlan counts what a replay would handle. It changes nothing, so it is served by GET.
func (d *desk) replayPlan(ctx context.Context, r *http.Request) (any, error) {
	q := r.URL.Query()
	o, err := d.readReplay(q)
	if err != nil {
		return nil, err
	}
	o.Who = "dry run"
	m, err := d.watch.named(o.Member)
	if err != nil {
		return nil, err
	}
	// The member reads the whole window to count its events.
	done, err := d.scan(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	ctx, cancel := context.WithTimeout(ctx, 2*letterTime)
	defer cancel()
	report, err := m.replay(ctx, o)
	switch {
	case ctx.Err() != nil:
		return nil, &fault{http.StatusGatewayTimeout, "there are more events than could be counted in time: choose a shorter time, or count by eventbus replay"}
	case err != nil:
		return nil, &fault{http.StatusConflict, err.Error()}
	case report.Error != "":
		return nil, &fault{http.StatusConflict, "the count ended early: " + report.Error}
	}
	v := &replayPlanView{Order: *o, Sum: report.Sum(), Handlers: q.Get("handlers"), Key: q.Get("key"), Types: q.Get("types")}
	var offsets []string
	for i := range report.Partitions {
		p := &report.Partitions[i]
		for _, typ := range slices.Sorted(maps.Keys(p.Events)) {
			v.Rows = append(v.Rows, replayPlanRow{p.Partition, p.From, p.To, typ, p.Events[typ]})
		}
		if len(p.Events) > 0 {
			offsets = append(offsets, fmt.Sprintf("%d@%d-%d", p.Partition, p.From, p.To))
		}
	}
	v.Offsets = strings.Join(offsets, ",")
	v.More = max(len(v.Rows)-maxPlanRows, 0)
	v.Rows = v.Rows[:len(v.Rows)-v.More]
	return v, nil
}

// readReplay reads a form. A dry run gives the window by times, an order by the offsets that
// the dry run has counted.
func (d *desk) readReplay(f url.Values) (*replayOrder, error) {
	of, err := url.ParseQuery(f.Get("handlers"))
	o := &replayOrder{Member: of.Get("member"), Group: of.Get("group"), Topic: of.Get("topic"), Most: 1}
	if err != nil || o.Member == "" || o.Group == "" || o.Topic == "" {
		return nil, unfinished("choose the handlers that are to run again")
	}
	if _, keyed := f["key"]; keyed && f.Get("key") != "" {
		o.Keys = []string{f.Get("key")}
	}
	for typ := range strings.SplitSeq(f.Get("types"), ",") {
		if typ = strings.TrimSpace(typ); typ != "" {
			o.Types = append(o.Types, typ)
		}
	}
	if text := f.Get("offsets"); text != "" {
		o.FromOffsets, o.ToOffsets = make(map[int32]int64), make(map[int32]int64)
		for one := range strings.SplitSeq(text, ",") {
			begin, end, _ := strings.Cut(one, "-")
			p, from, ok := readPlace(begin)
			to, err := strconv.ParseInt(end, 10, 64)
			if !ok || err != nil || to < from {
				return nil, wrong("the offsets can't be read: make the dry run again")
			}
			if _, twice := o.FromOffsets[p]; twice {
				return nil, wrong(fmt.Sprintf("the offsets have partition %d twice: make the dry run again", p))
			}
			o.FromOffsets[p], o.ToOffsets[p] = from, to
		}
		o.From = replay.Never // leaves out other partitions
		return o, nil
	}
	for name, at := range map[string]*time.Time{"from": &o.From, "to": &o.To} {
		if text := f.Get(name); text != "" {
			// Browsers leave out seconds of zero in datetime-local.
			if *at, err = time.ParseInLocation("2006-01-02T15:04:05", text, d.config.Location); err != nil {
				*at, err = time.ParseInLocation("2006-01-02T15:04", text, d.config.Location)
			}
			if err != nil {
				return nil, unfinished("a time can't be read: write it as 2006-01-02T15:04")
			}
		}
	}
	if o.From.IsZero() {
		return nil, unfinished("give a start: a whole topic is seldom what is meant")
	}
	return o, nil
}

// replayOrders returns the orders about replays.
func (d *desk) replayOrders() map[string]act {
	return map[string]act{"start-replay": d.startReplay, "stop-replay": d.stopReplay}
}

// startReplay has a member run its handlers again. The member does so only as long as the
// request lasts, so the console keeps the request open when the page is closed.
func (d *desk) startReplay(ctx context.Context, who string, f url.Values) (string, error) {
	o, err := d.readReplay(f)
	if err != nil {
		return "", err
	}
	if o.Why, err = reason(f, true); err != nil {
		return "", wrong(err.Error())
	}
	if o.FromOffsets == nil {
		return "", wrong("make a dry run first")
	}
	// The member refuses more events than the user agreed to.
	if o.Most, err = strconv.ParseInt(f.Get("expected"), 10, 64); err != nil || o.Most < 1 {
		return "", wrong("make a dry run first")
	}
	o.Apply, o.Who = true, who
	m, err := d.watch.named(o.Member)
	if err != nil {
		return "", err
	}
	row := &replayRow{State: "running", Order: *o, Expected: o.Most, Began: time.Now()}
	stopping, stop := context.WithCancel(context.Background())
	row.stop = stop
	if other := d.replays.add(row); other != nil {
		stop()
		return "", &fault{http.StatusConflict, fmt.Sprintf("replay %s of these handlers runs: wait for its end, or stop it", other.ID)}
	}
	fields := []any{"order", "replay", "who", who, "why", o.Why, "member", o.Member, "group", clip(maxShown, o.Group), "topic", clip(maxShown, o.Topic), "events", o.Most}
	d.config.Logger.Warn("console: a replay was ordered", fields...)
	over := make(chan struct{})
	if !d.begin(func(ctx context.Context) {
		defer close(over)
		defer stop()
		// The replay ends with the console, or when somebody stops it.
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(stopping, cancel)()
		report, err := m.replay(ctx, o)
		d.replays.end(row, report, err)
		if report == nil {
			report = new(replayReport)
		}
		handled, failed := report.Done()
		d.config.Logger.Warn("console: a replay ended", append(fields, "handled", handled, "failed", failed, "error", err)...)
	}) {
		stop()
		d.replays.end(row, nil, &fault{http.StatusServiceUnavailable, "the console is being stopped"})
		return "", &fault{http.StatusServiceUnavailable, "the console is being stopped"}
	}
	wait := time.NewTimer(begins)
	defer wait.Stop()
	select {
	case <-over:
	case <-wait.C:
	case <-ctx.Done():
	}
	return fmt.Sprintf("Replay %s is ordered. It goes on with this page closed.", row.ID), nil
}

// stopReplay ends a replay: running handlers finish, and no new ones start.
func (d *desk) stopReplay(_ context.Context, who string, f url.Values) (string, error) {
	why, err := reason(f, true)
	if err != nil {
		return "", wrong(err.Error())
	}
	d.replays.mu.Lock()
	defer d.replays.mu.Unlock()
	for _, row := range d.replays.all {
		if row.ID == f.Get("id") && row.State == "running" {
			row.StoppedBy, row.Why = who, why
			row.stop()
			d.config.Logger.Warn("console: a replay was stopped", "order", "stop-replay", "who", who, "why", why, "member", row.Order.Member, "group", row.Order.Group, "topic", row.Order.Topic)
			return fmt.Sprintf("Replay %s is being stopped: running handlers finish, and no new ones start.", row.ID), nil
		}
	}
	return "", missing("no such replay runs here")
}
