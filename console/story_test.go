package console

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus/internal/wire"
	"github.com/eventbus-go/eventbus/transport"
)

// TestTree puts events below their causes, even if causes are missing, name themselves or
// form a circle.
func TestTree(t *testing.T) {
	s := &search{view: &storyView{}, nodes: make(map[string]*node)}
	begin := time.Unix(1_000_000, 0)
	for i, e := range [][2]string{{"a", ""}, {"b", "a"}, {"c", "b"}, {"d", "a"}, {"e", "gone"}, {"f", "f"}, {"g", "h"}, {"h", "g"}} {
		s.add(&wire.Event{ID: e[0], CausationID: e[1], Type: "T"}, &transport.Record{Topic: "t", Offset: int64(i), Time: begin.Add(time.Duration(i) * time.Second)})
	}
	s.add(&wire.Event{ID: "b", CausationID: "a", Type: "T"}, &transport.Record{Topic: "t.g.retry", Offset: 0, Time: begin.Add(time.Minute)})
	s.add(&wire.Event{ID: "b", CausationID: "a", Type: "T"}, &transport.Record{Topic: "t.g.retry", Offset: 0, Time: begin.Add(time.Minute)}) // found again, by the second run
	var draw func(*node, int) string
	draw = func(n *node, depth int) string {
		text := fmt.Sprintf("%s%s %s %d\n", strings.Repeat(" ", depth), n.ID, n.Hop, len(n.Records))
		for _, c := range n.Children {
			text += draw(c, depth+1)
		}
		return text
	}
	got := ""
	for _, n := range s.tree() {
		got += draw(n, 0)
	}
	if want := "a  1\n b 1 s 2\n  c 1 s 1\n d 3 s 1\ne  1\nf  1\ng  1\nh  1\n"; got != want {
		t.Errorf("the tree is\n%swant\n%s", got, want)
	}
	if r := s.nodes["\x00b"].Records[1]; r.Kind != "redelivered" || r.After != "59 s" {
		t.Errorf("%+v", r)
	}
}
