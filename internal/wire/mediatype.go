package wire

import "strings"

// eventFormat is what a content type says about the mode of a record.
type eventFormat int8

const (
	formatNone  eventFormat = iota // binary mode
	formatJSON                     // structured, application/cloudevents+json
	formatBatch                    // application/cloudevents-batch…
	formatOther                    // structured, in a format that is not understood
)

const (
	cloudEvents     = "application/cloudevents"
	cloudEventsJSON = "application/cloudevents+json"
)

// format returns the mode that a content type stands for: structured if it
// begins with application/cloudevents in any case (binding 3).
func format[S string | []byte](contentType S) eventFormat {
	// Compare only the prefix at first: most events are in binary mode.
	if len(contentType) < len(cloudEvents) || !strings.EqualFold(string(contentType[:len(cloudEvents)]), cloudEvents) {

		return formatNone
	}
	switch rest := strings.ToLower(mediaType(string(contentType))[len(cloudEvents):]); {
	case rest == "+json":
		return formatJSON
	case strings.HasPrefix(rest, "-batch"):
		return formatBatch
	}
	return formatOther
}

// mediaType returns a content type without its parameters.
func mediaType(contentType string) string {
	m, _, _ := strings.Cut(contentType, ";")
	return strings.TrimSpace(m)
}

// declaresJSON reports whether the media type is */json or */*+json, or
// unspecified, which means JSON (JSON format 3.1.1).
func declaresJSON(contentType string) bool {
	m := strings.ToLower(mediaType(contentType))
	return m == "" || strings.HasSuffix(m, "/json") || strings.HasSuffix(m, "+json")
}

// declaresText reports whether the data is text that a JSON string can hold,
// provided that it is UTF-8. Other charsets would be changed by it.
func declaresText(contentType string) bool {
	m := strings.ToLower(mediaType(contentType))
	if !strings.HasPrefix(m, "text/") && !strings.HasSuffix(m, "/xml") && !strings.HasSuffix(m, "+xml") {
		return false
	}
	// Only types of text have a relevant charset.
	_, parameters, _ := strings.Cut(strings.ToLower(contentType), ";")
	_, charset, declared := strings.Cut(parameters, "charset=")
	charset, _, _ = strings.Cut(charset, ";")
	switch strings.Trim(charset, ` "`) {
	case "utf-8", "us-ascii":
		return true
	}
	return !declared
}
