package group

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestTroubleIsLoggedOncePerChange: a lasting error is logged once a minute, and another one at
// once.
func TestTroubleIsLoggedOncePerChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		m := &membership{ctx: t.Context(), log: slog.New(slog.NewTextHandler(&out, nil))}
		lines := func() int { return strings.Count(out.String(), "group membership") }
		for range 4 * 90 {
			m.reportFailure(errors.New("no broker answers"))
			time.Sleep(250 * time.Millisecond)
		}
		if n := lines(); n != 2 {
			t.Errorf("%d lines in 90 seconds, want 2", n)
		}
		m.reportFailure(errors.New("another reason"))
		if n := lines(); n != 3 {
			t.Errorf("%d lines after another error, want 3", n)
		}
	})
}
