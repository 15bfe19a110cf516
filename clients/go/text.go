package posthorn

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode"
	"unicode/utf8"
)

const longestQuote = 80

// utf16Length counts as the service does.
func utf16Length(text string) int {
	length := 0
	for _, character := range text {
		if character > 0xffff {
			length++
		}
		length++
	}
	return length
}

func hasControlCharacters(text string) bool { return strings.ContainsFunc(text, unicode.IsControl) }

// quote writes text as JSON for an error message, cut when it is long.
func quote(text string) string {
	if characters := []rune(text); len(characters) > longestQuote {
		text = string(characters[:longestQuote]) + "…"
	}
	written, _ := toJSON(text)
	return string(written)
}

// toJSON is json.Marshal that leaves <, > and & as they are.
func toJSON(value any) ([]byte, error) {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(buffer.Bytes(), []byte("\n")), nil
}

// kindOf names the kind of a JSON text, with its article.
func kindOf(text []byte) string {
	switch trimmed := bytes.TrimSpace(text); {
	case len(trimmed) == 0 || trimmed[0] == 'n':
		return "null"
	case trimmed[0] == '{':
		return "an object"
	case trimmed[0] == '[':
		return "an array"
	case trimmed[0] == '"':
		return "a string"
	case trimmed[0] == 't' || trimmed[0] == 'f':
		return "a boolean"
	default:
		return "a number"
	}
}

// readObject returns the members of a JSON object; false: it is none. encoding/json by itself takes names in any case, and
// text that is not UTF-8.
func readObject(text []byte) (map[string]json.RawMessage, bool) {
	var members map[string]json.RawMessage
	if !utf8.Valid(text) || json.Unmarshal(text, &members) != nil || members == nil {
		return nil, false
	}
	return members, true
}

func textOf(value json.RawMessage) string {
	var text string
	if json.Unmarshal(value, &text) != nil {
		return ""
	}
	return text
}
