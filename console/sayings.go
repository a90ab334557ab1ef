package console

import (
	"crypto/rand"
	"sync"
)

// sayings keeps what orders came to until the next page shows it. An address holds
// the name of a saying alone: text in it would let any link put words on a page.
// The zero value is ready to use. It is safe for concurrent use.
type sayings struct {
	mu   sync.Mutex
	text map[string]string
}

// Orders whose page is never loaded leave theirs behind.
const maxSayings = 100

// keep returns the name under which take finds the text. Names can't be guessed, so one user
// does not take what was said to another.
func (s *sayings) keep(text string) string {
	id := rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.text == nil || len(s.text) >= maxSayings {
		// All are forgotten at once: a page without its saying still shows what has changed.
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
