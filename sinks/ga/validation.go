package ga

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/sidetrack-go/sidetrack"
)

// Finding is what Google's validation server says of a request. Code is one of VALUE_INVALID,
// VALUE_REQUIRED, NAME_INVALID, NAME_RESERVED, VALUE_OUT_OF_BOUNDS, EXCEEDED_MAX_ENTITIES, NAME_DUPLICATED, or
// one that is newer than this list.
type Finding struct {
	Field string `json:"fieldPath"` // often coarse: "events"
	Text  string `json:"description"`
	Code  string `json:"validationCode"`
}

// String is the code, the field and the text.
func (f Finding) String() string {
	if f.Field == "" {
		return f.Code + ": " + f.Text
	}
	return f.Code + ": " + f.Field + ": " + f.Text
}

// ReadFindings reads the answer of the validation server. No findings mean that the request is valid as
// far as the server looks: it checks neither the secret nor the measurement id.
func ReadFindings(body []byte) ([]Finding, error) {
	var answer struct {
		Messages *[]Finding `json:"validationMessages"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("ga: read the answer of the validation server: %w", err)
	}
	if answer.Messages == nil {
		return nil, errors.New("ga: read the answer of the validation server: it has no validationMessages")
	}
	return *answer.Messages, nil
}

// classifyFindings takes findings for a refusal, so that the pipeline finds the event to blame
// and keeps it with what the server said. It is for sinks that only validate.
func classifyFindings(u sidetrack.Unit, r *sidetrack.Response) error {
	if err := sidetrack.DefaultClassify(u, r); err != nil || r.Status != http.StatusOK {
		return err
	}
	findings, err := ReadFindings(r.Body)
	if err != nil {
		return sidetrack.Permanent(err)
	}
	if len(findings) == 0 {
		return nil
	}
	texts := make([]string, len(findings))
	for i, f := range findings {
		texts[i] = f.String()
	}
	return sidetrack.Permanent(errors.New("ga: the validation server found: " + strings.Join(texts, "; ")))
}
