package config

import (
	"log/slog"
	"math"
	"strings"
)

// levels maps .NET's names, and zap's and slog's where they differ, in lower case.
var levels = map[string]slog.Level{
	"trace":       slog.LevelDebug - 4,
	"debug":       slog.LevelDebug,
	"information": slog.LevelInfo, "info": slog.LevelInfo,
	"warning": slog.LevelWarn, "warn": slog.LevelWarn,
	"error":    slog.LevelError,
	"critical": slog.LevelError + 4, "dpanic": slog.LevelError + 4, "panic": slog.LevelError + 4, "fatal": slog.LevelError + 4,
	"none": math.MaxInt,
}

// logLevel returns Logging:LogLevel:EventBus, else Logging:LogLevel:Default, else
// nil.
func (r *reader) logLevel() slog.Leveler {
	for _, category := range []string{r.settings.section, "Default"} {
		key := "logging:loglevel:" + strings.ToLower(category)
		text, ok := r.string(key)
		if !ok {
			continue
		}
		level, ok := levels[strings.ToLower(text)]
		if !ok {
			r.fault("%s: %q is not a log level: write Trace, Debug, Information, Warning, Error, Critical or None", r.values.origins[key], text)
			return nil
		}
		return level
	}
	return nil
}
