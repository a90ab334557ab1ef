package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/internal/grouptypes"
	"github.com/eventbus-go/eventbus/kafka"
)

// newGroupsTypesCommand returns the command that shows why events are held, and with
// --forget gives up a type.
func newGroupsTypesCommand(a *app) *cobra.Command {
	var admins []string
	var forget, topic string
	c := &cobra.Command{
		Use:   "types GROUP",
		Short: "Show which types each member of a group handles, and what is held",
		Long: `Show the types of events that the members of a group handle. A member holds events
of a type that only another one handles; with --admin, the address of a member's
admin handler (its token is in ` + tokenVariable + `), show those too.

Members of a group by the protocol of KIP-848 tell types by a number of four bytes;
names come from the other members and from --admin. Members of other libraries, and
of older versions of this one, tell nothing.

--forget gives a type up at the members of --admin: the policy for unknown types is
applied to what they hold of it, now and from now on, until a member comes that
handles it.`,
		Example: `  eventbus groups types mailer-prod --admin http://127.0.0.1:8081
  eventbus groups types mailer-prod --admin http://127.0.0.1:8081 --forget CustomerMoved --topic prod.sales.public.customers.v1`,
		Args: cobra.ExactArgs(1), ValidArgsFunction: once(a.groupNames),
	}
	c.Flags().StringArrayVar(&admins, "admin", nil, "`URL` of the admin handler of a member; may be repeated")
	c.Flags().StringVar(&forget, "forget", "", "`type` to give up")
	c.Flags().StringVar(&topic, "topic", "", "`topic` of the type to give up")
	c.RunE = a.action(func(ctx context.Context, args []string) error {
		// Only --forget and --topic together change anything; one alone is a mistake.
		if forget == "" && topic == "" {
			return a.groupTypes(ctx, args[0], admins)
		}
		if forget == "" || topic == "" || len(admins) == 0 {
			return misuse("to give a type up, write --forget TYPE --topic TOPIC, and --admin URL for each member that holds it")
		}
		return a.forgetType(ctx, args[0], topic, forget, admins)
	})
	return c
}

// typesDescription lists what a group handles, for programs.
type typesDescription struct {
	Group   string        `json:"group"`
	Members []typesMember `json:"members"`
	// Held is what the members of --admin report that they hold.
	Held []heldLine `json:"held"`
}

// typesMember is a member of a group and the types that it announced.
type typesMember struct {
	ID       string `json:"id"`
	ClientID string `json:"clientId"`
	Host     string `json:"host"`
	// Types is empty if the member announces none: it uses another library, or an older
	// version of this one.
	Types []typeLine `json:"types"`
}

// typeLine is a type that a member handles. Topic and Type are empty if only the ID is
// known.
type typeLine struct {
	Topic string `json:"topic,omitempty"`
	Type  string `json:"type,omitempty"`
	// ID is the four-byte hash that members of KIP-848 groups announce instead of names.
	ID uint32 `json:"id"`
}

// compare orders by topic, type and id; types without a name come first.
func (t typeLine) compare(o typeLine) int {
	return cmp.Or(cmp.Compare(t.Topic, o.Topic), cmp.Compare(t.Type, o.Type), cmp.Compare(t.ID, o.ID))
}

// heldLine is a type of which a member holds events.
type heldLine struct {
	// Member is the URL of its admin handler.
	Member string `json:"member"`
	eventbus.HeldType
}

// groupTypes prints which member handles which types, and what is held. It collects the
// names of types from all sources first, since a member that announces ids may be listed
// before one that announces names.
func (a *app) groupTypes(ctx context.Context, name string, admins []string) error {
	t, err := a.transport(ctx)
	if err != nil {
		return err
	}
	g, err := a.oneGroup(ctx, t, name)
	if err != nil {
		return err
	}
	// Empty lists, not nil: JSON shows them as [].
	d := typesDescription{Group: name, Members: []typesMember{}, Held: []heldLine{}}
	names := make(map[uint32]typeLine)
	// An id is a hash of topic and type, so it can only be found from the names.
	learn := func(topic, typ string) {
		id := uint32(grouptypes.Of(topic, typ))
		names[id] = typeLine{topic, typ, id}
	}
	for i := range g.Members {
		for topic, types := range g.Members[i].Types {
			for _, typ := range types {
				learn(topic, typ)
			}
		}
	}
	for _, address := range admins {
		// An address that does not answer fails the command: otherwise the list of what is held
		// would look complete.
		seen, err := a.inspectionOf(ctx, address, name)
		if err != nil {
			return err
		}
		for _, s := range seen.Subscriptions {
			learn(s.Topic, s.Type)
		}
		for _, h := range seen.Held {
			learn(h.Topic, h.Type)
			d.Held = append(d.Held, heldLine{address, h})
		}
	}
	for i := range g.Members {
		d.Members = append(d.Members, a.typesOf(&g.Members[i], names))
	}
	if a.json() {
		return a.printJSON(d)
	}
	return a.printTypes(&d)
}

// typesOf returns the line of a member. Types without a known name have only their id.
func (a *app) typesOf(m *kafka.GroupMember, names map[uint32]typeLine) typesMember {
	line := typesMember{m.ID, m.ClientID, m.Host, []typeLine{}}
	// For an unknown id, names returns the zero line, which gets the id.
	for _, id := range m.TypeIDs {
		// An id may stand for two types: the name that was learned last is shown.
		t, known := names[id]
		if !known {
			t.ID = id
		}
		line.Types = append(line.Types, t)
	}
	slices.SortFunc(line.Types, typeLine.compare)
	return line
}

// printTypes prints the members and, if anything is held, a second table of that.
func (a *app) printTypes(d *typesDescription) error {
	var rows []table.Row
	for _, m := range d.Members {
		// A row anyway, so that every member is listed.
		if len(m.Types) == 0 {
			rows = append(rows, table.Row{m.ID, m.Host, "", "announces nothing"})
		}
		for _, t := range m.Types {
			rows = append(rows, table.Row{m.ID, m.Host, t.Topic, cmp.Or(t.Type, fmt.Sprintf("%08x, of unknown name", t.ID))})
		}
	}
	if err := a.printTable(table.Row{"member", "host", "topic", "type"}, rows); err != nil || len(d.Held) == 0 {
		return err
	}
	rows = nil
	for _, h := range d.Held {
		state := "a member handles it"
		// Events are held for a while after the last member that handles the type is gone, since
		// a deployment may bring another.
		if !h.Live {
			state = "nobody handles it, for " + (time.Duration(h.UntilMs) * time.Millisecond).Round(time.Second).String() + " more"
		}
		rows = append(rows, table.Row{h.Member, h.Topic, h.Type, h.Keys, h.Events, state})
	}
	return a.printTable(table.Row{"held at", "topic", "type", "keys", "events", ""}, rows)
}

// maxInspection bounds an admin handler's answer in bytes, since the address may be that
// of any server.
const maxInspection = 64 << 20

// inspectionOf asks an admin handler for the state of a group. It returns an error if the
// service there is not a member of the group.
func (a *app) inspectionOf(ctx context.Context, address, group string) (eventbus.GroupInspection, error) {
	var none eventbus.GroupInspection
	target, err := url.JoinPath(address, "groups")
	if err != nil {
		return none, misuse("--admin %s: %v", address, err)
	}
	resp, err := a.askService(ctx, http.MethodGet, target, nil)
	if err != nil {
		return none, err
	}
	defer resp.Body.Close()
	var seen eventbus.Inspection
	if err := json.NewDecoder(http.MaxBytesReader(nil, resp.Body, maxInspection)).Decode(&seen); err != nil {
		return none, fmt.Errorf("%s does not answer as an admin handler: %w", target, err)
	}
	for i := range seen.Groups {
		// A service may be in several groups.
		if seen.Groups[i].Name == group {
			return seen.Groups[i], nil
		}
	}
	return none, fmt.Errorf("the service at %s is not a member of group %s", address, group)
}

// forgetType orders members to give up a type, one after another. If one fails, the error
// names it, and those before it have done so: the order can be repeated.
func (a *app) forgetType(ctx context.Context, group, topic, typ string, admins []string) error {
	if a.dryRun {
		return a.say("%s would be asked to give up type %s of topic %s.", counted(len(admins), "member"), typ, topic)
	}
	// Asked once for all members, since it is one order.
	if err := a.confirm(ctx, "Give up type %s of topic %s in group %s", typ, topic, group); err != nil {
		return err
	}
	body, err := json.Marshal(map[string]string{"topic": topic, "type": typ})
	if err != nil {
		return err
	}
	for _, address := range admins {
		target, err := url.JoinPath(address, "groups", url.PathEscape(group), "forget")
		if err != nil {
			return misuse("--admin %s: %v", address, err)
		}
		resp, err := a.askService(ctx, http.MethodPost, target, body)
		if err != nil {
			return fmt.Errorf("%s: %w", address, err)
		}
		resp.Body.Close()
		if err := a.say("%s has given it up.", address); err != nil {
			return err
		}
	}
	return nil
}

// askService sends a request to an admin handler and returns its response, whose body the
// caller closes. Any status from 300 on is an error.
func (a *app) askService(ctx context.Context, method, target string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return nil, misuse("--admin: %v", err)
	}
	req.Header.Set("Content-Type", "application/json")
	// authorize refuses to send the token where it could be read.
	if err := authorize(req); err != nil {
		return nil, err
	}
	resp, err := service.Do(req)
	if err != nil {
		return nil, err
	}
	// Redirects are errors too, since service does not follow them.
	if resp.StatusCode >= http.StatusMultipleChoices {
		defer resp.Body.Close()
		return nil, refusal(resp)
	}
	return resp, nil
}
