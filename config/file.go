package config

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/knadh/koanf/parsers/json"
	"github.com/knadh/koanf/parsers/yaml"
)

// parse reads a file by its extension. An empty file is not an error and has no keys.
func parse(path string, content []byte) (map[string]any, error) {
	// Editors on Windows write a byte order mark.
	content = bytes.TrimPrefix(content, []byte("\xef\xbb\xbf"))
	if len(bytes.TrimSpace(content)) == 0 {
		return nil, nil
	}
	switch strings.ToLower(filepath.Ext(path)) {
	case ".json":
		return parseJSON(content)
	case ".yaml", ".yml":
		return parseYAML(content)
	}
	return nil, errors.New("a configuration file's name ends in .json, .yaml or .yml")
}

// parseJSON reads JSON with .NET's liberties. Its errors name line and column in
// the file: plainJSON keeps every byte in its place.
func parseJSON(content []byte) (map[string]any, error) {
	tree, err := json.Parser().Unmarshal(plainJSON(content))
	var syntax *stdjson.SyntaxError
	var kind *stdjson.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		before := content[:min(int(syntax.Offset), len(content))]
		line := 1 + bytes.Count(before, []byte("\n"))
		column := len(before) - (bytes.LastIndexByte(before, '\n') + 1)
		return nil, fmt.Errorf("line %d, column %d: %w", line, column, err)
	case errors.As(err, &kind):
		return nil, errNoObject
	}
	if err == nil {
		if key := repeatedKey(stdjson.NewDecoder(bytes.NewReader(plainJSON(content))), ""); key != "" {
			return nil, fmt.Errorf("%s is there twice: keep one of them", key)
		}
	}
	return tree, err
}

// repeatedKey returns the first key that an object of a valid JSON value has twice, and ""
// if there is none. Reading it would drop the first, with all that is in it.
func repeatedKey(d *stdjson.Decoder, path string) string {
	token, _ := d.Token()
	if token != stdjson.Delim('{') && token != stdjson.Delim('[') {
		return ""
	}
	seen := make(map[string]bool)
	for d.More() {
		at := path
		if token == stdjson.Delim('{') {
			key, _ := d.Token()
			at = strings.TrimPrefix(path+":"+key.(string), ":")
			if seen[at] {
				return at
			}
			seen[at] = true
		}
		if key := repeatedKey(d, at); key != "" {
			return key
		}
	}
	_, _ = d.Token() // the end
	return ""
}

// errNoObject refuses a file whose top level is a text, a number or a list.
var errNoObject = errors.New("the file holds a single value: write keys and values")

// plainJSON blanks what .NET allows in its files and JSON does not: comments, and
// commas before a closing bracket. Every byte keeps its place.
func plainJSON(content []byte) []byte {
	plain := bytes.Clone(content)
	comma := -1 // the last comma, while only space follows it
	for i := 0; i < len(plain); i++ {
		switch c := plain[i]; {
		case c == '"':
			for i++; i < len(plain) && plain[i] != '"'; i++ {
				if plain[i] == '\\' {
					i++
				}
			}
			comma = -1
		case c == '/' && i+1 < len(plain) && (plain[i+1] == '/' || plain[i+1] == '*'):
			end := commentEnd(plain, i)
			for j := i; j < end; j++ {
				if plain[j] != '\n' {
					plain[j] = ' '
				}
			}
			i = end - 1
		case c == ',':
			comma = i
		case (c == '}' || c == ']') && comma >= 0:
			plain[comma] = ' '
			comma = -1
		case c != ' ' && c != '\t' && c != '\r' && c != '\n':
			comma = -1
		}
	}
	return plain
}

// commentEnd returns the index after the comment that starts at i. A comment that
// is not closed reaches to the end.
func commentEnd(b []byte, i int) int {
	end := "\n"
	if b[i+1] == '*' {
		end = "*/"
	}
	n := bytes.Index(b[i+2:], []byte(end))
	switch {
	case n < 0:
		return len(b)
	case end == "\n":
		return i + 2 + n
	}
	return i + 2 + n + len(end)
}

// yamlValue matches the places where a YAML error quotes a value, which may be a
// secret.
var yamlValue = regexp.MustCompile("`[^`]*`?|'[^']*' referenced")

// parseYAML reads YAML. Its errors lose what they quote of the file.
func parseYAML(content []byte) (map[string]any, error) {
	tree, err := yaml.Parser().Unmarshal(content)
	if err != nil {
		text := strings.TrimPrefix(err.Error(), "yaml: ")
		if strings.Contains(text, "into map[string]interface {}") {
			return nil, errNoObject
		}
		return nil, errors.New(yamlValue.ReplaceAllString(text, "…"))
	}
	return stringKeys(tree).(map[string]any), nil
}

// stringKeys returns a value with all maps under text keys, as JSON has them: YAML
// takes numbers and truth values as keys too.
func stringKeys(value any) any {
	switch v := value.(type) {
	case map[any]any:
		m := make(map[string]any, len(v))
		for key, below := range v {
			m[fmt.Sprint(key)] = stringKeys(below)
		}
		return m
	case map[string]any:
		for key, below := range v {
			v[key] = stringKeys(below)
		}
	}
	return value
}
