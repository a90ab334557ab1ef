package console

import (
	"crypto/rand"
	"sync"
)

// sayings keeps what orders came to until the next page shows it. An address holds
// the name of a saying alone: text in it would let any link put words on a page.
type sayings struct {
	mu   sync.Mutex
	text map[string]string
}

const maxSayings = 100

func (s *sayings) keep(text string) string {
	id := rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.text == nil || len(s.text) >= maxSayings {
		s.text = make(map[string]string)
	}
	s.text[id] = text
	return id
}

// take returns a saying, once.
func (s *sayings) take(id string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := s.text[id]
	delete(s.text, id)
	return text
}
