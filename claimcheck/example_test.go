package claimcheck_test

import (
	"fmt"
	"os"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/claimcheck"
)

// Data of more than a megabyte goes to a folder, and the event refers to it. Handlers
// get it as if it were in the log.
func ExampleNew() {
	folder, err := os.MkdirTemp("", "photos")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(folder) }()
	topic := eventbus.NewTopic(eventbus.TopicConfig[photo]{
		Domain: "media", Name: "photo", Key: func(p photo) string { return p.ID },
		Codec: claimcheck.New(eventbus.JSON(), claimcheck.Dir(folder), claimcheck.Config{Above: 1 << 20}),
	})
	fmt.Println(topic.In("prod"))
	// Output: prod.media.public.photo.v1
}
