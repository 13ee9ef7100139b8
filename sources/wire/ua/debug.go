package ua

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/gawire"
)

// verdict is the answer of the validation server, as its withdrawn page described it.
type verdict struct {
	Hits     []hitVerdict `json:"hitParsingResult"`
	Messages []message    `json:"parserMessage"`
}

type hitVerdict struct {
	Valid    bool      `json:"valid"`
	Hit      string    `json:"hit"`
	Messages []message `json:"parserMessage"`
}

type message struct {
	Type        string `json:"messageType"`
	Description string `json:"description"`
	Code        string `json:"messageCode,omitempty"`
	Parameter   string `json:"parameter,omitempty"`
}

// validation answers what is wrong with the hits. None of them is stored.
func validation(r *http.Request, body string, hits []result) (sidetrack.Decoded, error) {
	v := verdict{Hits: make([]hitVerdict, len(hits))}
	lines := []string{r.URL.RawQuery}
	if body != "" {
		lines = lines[:0]
		for line := range gawire.Lines(body) {
			lines = append(lines, line)
		}
	}
	for i, h := range hits {
		own := hitVerdict{Valid: h.err == nil, Messages: []message{}}
		if i < len(lines) {
			own.Hit = r.URL.Path + "?" + lines[i]
		}
		if h.err != nil {
			field, problem := fieldOf(h.err)
			code := "VALUE_INVALID"
			if problem == missing {
				code = "VALUE_REQUIRED"
			}
			own.Messages = append(own.Messages, message{Type: "ERROR", Description: field + ": " + problem, Code: code, Parameter: field})
		}
		v.Hits[i] = own
	}
	v.Messages = []message{{Type: "INFO", Description: fmt.Sprintf("Found %d hits in the request.", len(hits))}}
	text, err := json.Marshal(v)
	if err != nil {
		return sidetrack.Decoded{}, fmt.Errorf("ua: encode verdict: %w", err)
	}
	return sidetrack.Decoded{Reply: sidetrack.Reply{Status: http.StatusOK, ContentType: "application/json", Body: text}}, nil
}
