package console

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus/internal/redrive"
	"github.com/eventbus-go/eventbus/internal/visible"
)

// span formats a duration in at most two units: 40 s, 4 min, 2 h 5 min. A negative one is
// 0 s: the clocks of two machines differ, and a negative age would tell nothing more.
func span(d time.Duration) string {
	switch {
	case d < 0:
		return "0 s"
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	// Below ten minutes the seconds show whether something moves. Above, they would only change
	// a fragment in every round.
	case d < 10*time.Minute && d%time.Minute >= time.Second:
		return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%d d %d h", int(d.Hours())/24, int(d.Hours())%24)
}

// ms formats the milliseconds of an inspection.
func ms(n int64) string { return span(time.Duration(n) * time.Millisecond) }

// count formats a number with separators: 12,345.
func count[N int | int32 | int64](n N) string {
	text := strconv.FormatInt(int64(n), 10)
	// The sign is cut off the text rather than negated: the lowest integer has no positive
	// counterpart.
	digits := strings.TrimPrefix(text, "-")
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	if n < 0 {
		return "-" + digits
	}
	return digits
}

// plural returns a number with its noun, whose plural must end in s: 1 key, 2 keys.
func plural[N int | int32 | int64](n N, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return count(n) + " " + noun + "s"
}

// rate formats events a second.
func rate(perSecond float64) string {
	switch {
	case perSecond == 0:
		return "0/s"
	// In whole numbers, the rate of a slow group would be 0.
	case perSecond < 10:
		return fmt.Sprintf("%.1f/s", perSecond)
	}
	return count(int64(perSecond)) + "/s"
}

// size formats bytes. Units are powers of 1024, as in Kafka's own settings, and named
// accordingly (IEC 80000-13).
func size(n int64) string {
	switch {
	case n < 1<<10:
		return plural(n, "byte")
	case n < 1<<20:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}

// clip returns text made visible, in at most the given number of characters. It is for text
// from outside: names, errors, reasons. Making text visible takes time that depends on its
// length, so it cuts off first what can't be shown anyway.
func clip(most int, text string) string {
	// UTF-8 takes at most four bytes for a character (RFC 3629).
	if len(text) > 4*most {
		text = text[:4*most] // enough for any text of that many characters
	}
	shown := []rune(visible.Text(text))
	if len(shown) > most {
		return string(shown[:most-1]) + "…"
	}
	return string(shown)
}

// keyText returns a key as it is shown: plain text as it is, anything else quoted or in
// Base64.
func keyText(key []byte) string {
	// A nil key is no key, unlike an empty one: Kafka keeps order only by key.
	if key == nil {
		return "(no key)"
	}
	return clip(maxShown, visible.Bytes(key))
}

// maxShown is how many characters of a key, a type or a name are shown.
const maxShown = 200

// lines makes each line of a text visible by itself, such as those of a stack trace.
// visible.Text would write the line breaks as escapes.
func lines(text string) string {
	all := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i := range all {
		// Tabs indent Go stack traces, and must not be shown as \t.
		all[i] = visible.Text(strings.ReplaceAll(all[i], "\t", "    "))
	}
	return strings.Join(all, "\n")
}

// stamp formats a time in a zone, or returns unknown for the zero time. Every time on a page
// goes through it, so that all are in the same zone.
func stamp(zone *time.Location, t time.Time, layout string) string {
	if t.IsZero() {
		return "unknown"
	}
	return t.In(zone).Format(layout)
}

// actionText names an action. An unknown one may be that of a job of a later version, and is
// shown by its own name.
func actionText(a redrive.Action) string {
	switch a {
	case redrive.Replay:
		return "Redrive"
	case redrive.Skip:
		return "Skip for good"
	case redrive.Quarantine:
		return "Quarantine"
	case redrive.Release:
		return "Release from quarantine"
	}
	return string(a)
}

// stateText names a state of letters. Package redrive and the command say replay, which on
// these pages is what handlers do with a part of a topic.
func stateText(state string) string { return strings.Replace(state, "replayed", "redriven", 1) }

// searchWays are the ways to search for a story. The keys are the values of the form, which
// readQuestion accepts. Templates range over a map in the order of its keys.
var searchWays = map[string]string{"id": "id of the event", "key": "key", "correlation": "correlation id"}

// zoneName names the zone of a time, with its offset from UTC unless the zone is UTC.
func zoneName(t time.Time) string {
	// Abbreviations of zones are not unique: CST is used in America and in China.
	if _, offset := t.Zone(); offset == 0 {
		return "UTC"
	}
	return t.Format("MST (UTC-07:00)")
}
