package console

import (
	"crypto/rand"
	"sync"
)

// sayings keeps results of orders until the next page shows them. Addresses contain only the
// name of a saying: otherwise any link could put its own words on a page.
// The zero value is ready to use. It is safe for concurrent use.
type sayings struct {
	mu   sync.Mutex
	text map[string]string
}

// maxSayings bounds the results whose pages are never loaded.
const maxSayings = 100

// keep stores text and returns the name under which take finds it. Names can't be guessed,
// so one user can't take the result of another's order.
func (s *sayings) keep(text string) string {
	id := rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.text == nil || len(s.text) >= maxSayings {
		// All are dropped at once: a page without its saying still shows what has changed.
		s.text = make(map[string]string)
	}
	s.text[id] = text
	return id
}

// take returns a saying and drops it. It returns "" for an unknown name.
func (s *sayings) take(id string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := s.text[id]
	delete(s.text, id)
	return text
}
