package config

import (
	"regexp"
	"strconv"
	"time"
)

// timeSpan is the constant format of .NET's TimeSpan, [d.]hh:mm:ss[.fffffff].
var timeSpan = regexp.MustCompile(`^(?:(\d{1,5})\.)?(\d{1,2}):(\d{2}):(\d{2}(?:\.\d{1,7})?)$`)

// parseDuration understands Go's form and .NET's; ok is false for any other. A bare
// number has no unit: in .NET it would be days.
func parseDuration(text string) (time.Duration, bool) {
	parts := timeSpan.FindStringSubmatch(text)
	if parts == nil {
		d, err := time.ParseDuration(text)
		return d, err == nil
	}
	// The pattern leaves digits, or nothing, which is 0.
	days, _ := strconv.Atoi(parts[1])
	hours, _ := strconv.Atoi(parts[2])
	minutes, _ := strconv.Atoi(parts[3])
	seconds, err := time.ParseDuration(parts[4] + "s")
	if err != nil || hours > 23 || minutes > 59 || seconds >= time.Minute {
		return 0, false
	}
	return time.Duration(24*days+hours)*time.Hour + time.Duration(minutes)*time.Minute + seconds, true
}
