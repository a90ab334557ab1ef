package adminorder

import (
	"errors"
	"slices"
	"testing"
)

// TestGive: only a handler that refuses to be told who gives an order gets it twice, without that.
func TestGive(t *testing.T) {
	refuses := errors.New(`malformed body: json: unknown field "who"`)
	whole, bare := `{"offset":7,"who":"ann","why":"x"}`, `{"offset":7}`
	for name, c := range map[string]struct {
		answers []error
		want    []string
	}{
		"done":                 {[]error{nil}, []string{whole}},
		"refused":              {[]error{errors.New("no such offset")}, []string{whole}},
		"version 0.1":          {[]error{refuses, nil}, []string{whole, bare}},
		"refused by it":        {[]error{refuses, errors.New("no such offset")}, []string{whole, bare}},
		"refused for any body": {[]error{refuses, refuses}, []string{whole, bare}},
	} {
		t.Run(name, func(t *testing.T) {
			var sent []string
			err := Give(map[string]any{"offset": 7, "who": "ann", "why": "x"}, func(body []byte) error {
				sent = append(sent, string(body))
				return c.answers[len(sent)-1]
			})
			if last := c.answers[len(c.answers)-1]; !slices.Equal(sent, c.want) || !errors.Is(err, last) {
				t.Errorf("sent %q, %v; want %q, %v", sent, err, c.want, last)
			}
		})
	}
	if err := Give(map[string]any{"who": func() {}}, nil); err == nil {
		t.Error("an order that is no JSON is sent")
	}
}

// TestRefuses: a field that a refusal names otherwise is not one that the handler does not know.
func TestRefuses(t *testing.T) {
	if Refuses(nil, "who") || Refuses(errors.New(`unknown field "whose"`), "who") || Refuses(errors.New("who is missing"), "who") || !Refuses(errors.New(`unknown field "offset"`), "offset") {
		t.Error("refusals are confused")
	}
}
