package console

import "net/http"

// pages returns the pages in the order of the navigation. Those that need what the
// console was not given are left out.
func (c *Console) pages() []*page {
	all := []*page{
		{name: "now", title: "Now", data: c.now, live: true, fragments: []string{"state", "concerns", "groups", "partitions"}},
		{name: "keys", title: "Keys", data: c.keys, live: true, fragments: []string{"keys"}},
		{name: "members", title: "Members", data: c.membersPage, live: true, fragments: []string{"members"}},
	}
	return all
}

func (c *Console) downloads(*http.ServeMux) {}
