package ua

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/sidetrack-go/sidetrack"
)

// Parsing is the answer of the validation server at /debug/collect.
type Parsing struct {
	Hits     []ParsedHit `json:"hitParsingResult"`
	Messages []Message   `json:"parserMessage"` // about the request
}

// ParsedHit is what the server says of one hit.
type ParsedHit struct {
	Valid    bool      `json:"valid"`
	Hit      string    `json:"hit"`
	Messages []Message `json:"parserMessage"`
}

// Message is one remark. Type is INFO, WARN or ERROR; Code is VALUE_INVALID, VALUE_REQUIRED or another.
type Message struct {
	Type      string `json:"messageType"`
	Text      string `json:"description"`
	Code      string `json:"messageCode"`
	Parameter string `json:"parameter"`
}

// String is the type, the code, the parameter and the text.
func (m Message) String() string {
	parts := []string{m.Type}
	for _, s := range []string{m.Code, m.Parameter} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	return strings.Join(parts, " ") + ": " + m.Text
}

// ReadParsing reads the answer of the validation server.
func ReadParsing(body []byte) (*Parsing, error) {
	p := new(Parsing)
	if err := json.Unmarshal(body, p); err != nil {
		return nil, fmt.Errorf("ua: read the answer of the validation server: %w", err)
	}
	if len(p.Hits) == 0 {
		return nil, errors.New("ua: read the answer of the validation server: it has no hitParsingResult")
	}
	return p, nil
}

// Valid reports whether every hit is.
func (p *Parsing) Valid() bool {
	for _, h := range p.Hits {
		if !h.Valid {
			return false
		}
	}
	return true
}

// classifyParsing takes an invalid hit for a refusal of its event, with what the server said.
func classifyParsing(u sidetrack.Unit, r *sidetrack.Response) error {
	if err := sidetrack.DefaultClassify(u, r); err != nil || r.Status != http.StatusOK {
		return err
	}
	p, err := ReadParsing(r.Body)
	if err != nil {
		return sidetrack.Permanent(err)
	}
	if len(p.Hits) != len(u.Events) { // classic purchases are several hits: the engine finds the event by halves
		for i := range p.Hits {
			if !p.Hits[i].Valid {
				return sidetrack.Permanent(p.Hits[i].refusal())
			}
		}
		return nil
	}
	failed := map[int]error{}
	for i := range p.Hits {
		if !p.Hits[i].Valid {
			failed[i] = sidetrack.Permanent(p.Hits[i].refusal())
		}
	}
	if len(failed) == 0 {
		return nil
	}
	return &sidetrack.PartialError{Failed: failed}
}

func (h *ParsedHit) refusal() error {
	texts := make([]string, len(h.Messages))
	for i, m := range h.Messages {
		texts[i] = m.String()
	}
	return errors.New("ua: the validation server found: " + strings.Join(texts, "; "))
}
