package console

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/eventbus-go/eventbus/internal/redrive"
	"github.com/eventbus-go/eventbus/internal/visible"
)

// span returns a duration in words, in at most two units: 40 s, 4 min, 2 h 5 min.
// A negative one is 0 s: clocks of two machines differ, and an age below zero would say
// no more than that.
func span(d time.Duration) string {
	switch {
	case d < 0:
		return "0 s"
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	// Below ten minutes the seconds still show whether something moves. Above, they would
	// change a fragment in every round and tell nobody anything.
	case d < 10*time.Minute && d%time.Minute >= time.Second:
		return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%d d %d h", int(d.Hours())/24, int(d.Hours())%24)
}

// ms returns milliseconds of an inspection in words.
// Inspections are JSON, where durations are whole milliseconds.
func ms(n int64) string { return span(time.Duration(n) * time.Millisecond) }

// count returns a number with separators: 12,345.
func count[N int | int32 | int64](n N) string {
	text := strconv.FormatInt(int64(n), 10)
	// The sign is taken off the text rather than off the number: the least integer has no
	// positive counterpart.
	digits := strings.TrimPrefix(text, "-")
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	if n < 0 {
		return "-" + digits
	}
	return digits
}

// plural returns a number with its noun: 1 key, 2 keys.
// The noun has to be one whose plural ends in s.
func plural[N int | int32 | int64](n N, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return count(n) + " " + noun + "s"
}

// rate returns events a second.
func rate(perSecond float64) string {
	switch {
	case perSecond == 0:
		return "0/s"
	// A group of few events has a rate that whole numbers would show as 0.
	case perSecond < 10:
		return fmt.Sprintf("%.1f/s", perSecond)
	}
	return count(int64(perSecond)) + "/s"
}

// size returns bytes in words.
// Units are powers of 1024, as in Kafka's own settings, and named so (IEC 80000-13).
func size(n int64) string {
	switch {
	case n < 1<<10:
		return plural(n, "byte")
	case n < 1<<20:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}

// clip returns text of at most so many characters, made visible.
// It is for text from outside: names, errors, reasons. Making text visible takes time
// that depends on its length, so what can't be shown in any case is cut off before.
func clip(most int, text string) string {
	// UTF-8 takes four bytes for a character at most (RFC 3629).
	if len(text) > 4*most {
		text = text[:4*most] // enough for any text of that many characters
	}
	shown := []rune(visible.Text(text))
	if len(shown) > most {
		return string(shown[:most-1]) + "…"
	}
	return string(shown)
}

// keyText returns a key as it is shown: text as it is, else quoted or in Base64.
func keyText(key []byte) string {
	// nil is not a key, and differs from an empty one: only keys keep an order in Kafka.
	if key == nil {
		return "(no key)"
	}
	return clip(maxShown, visible.Bytes(key))
}

// maxShown is how many characters of a key, a type or a name are shown.
const maxShown = 200

// lines returns text of several lines with each made visible, so that the lines stay.
// Stacks are such texts. Each line is made visible by itself, because visible.Text would
// write the line breaks as escapes.
func lines(text string) string {
	all := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i := range all {
		// A tab is the indentation of a stack of Go, and no text to be shown as \t.
		all[i] = visible.Text(strings.ReplaceAll(all[i], "\t", "    "))
	}
	return strings.Join(all, "\n")
}

// stamp returns a time in a zone; unknown for the zero time.
// Every time on a page goes through here, so that all are in the zone that it names.
func stamp(zone *time.Location, t time.Time, layout string) string {
	if t.IsZero() {
		return "unknown"
	}
	return t.In(zone).Format(layout)
}

// actionText says what a job does.
// An action that is not known here may come from the job of a later version: it is shown
// by its own name.
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

// searchWays are what stories are looked for by.
// The keys are the form's values, which readQuestion takes. Templates range over a map in
// the order of its keys.
var searchWays = map[string]string{"id": "id of the event", "key": "key", "correlation": "correlation id"}

// zoneName names the zone of a time, with its distance to UTC where the name leaves it
// open.
func zoneName(t time.Time) string {
	// The abbreviation of a zone is not unique: CST is used in America and in China.
	if _, offset := t.Zone(); offset == 0 {
		return "UTC"
	}
	return t.Format("MST (UTC-07:00)")
}
