package matomo

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/sidetrack-go/sidetrack"
)

// generator makes bulk requests.
type generator struct{ cfg Config }

// order returns the indexes of the events by their time, as Matomo wants a bulk request: the
// visit's last action is the last one of the request.
func order(events []*sidetrack.Event) []int {
	indexes := make([]int, len(events))
	for i := range indexes {
		indexes[i] = i
	}
	slices.SortStableFunc(indexes, func(a, b int) int { return events[a].Time.Compare(events[b].Time) })
	return indexes
}

// Request makes {"requests":["?idsite=…",…],"token_auth":"…"}. Events that Matomo could not take are
// left out.
func (g *generator) Request(u sidetrack.Unit) (*sidetrack.Request, error) {
	if len(u.Events) == 0 {
		return nil, errors.New("matomo: no events")
	}
	var bulk struct {
		Requests []string `json:"requests"`
		Token    string   `json:"token_auth,omitempty"`
	}
	failed := map[int]error{}
	var records []int
	for _, i := range order(u.Events) {
		q, err := g.action(u.Events[i], u.At)
		if err != nil {
			failed[i] = err
			continue
		}
		bulk.Requests, records = append(bulk.Requests, "?"+q.Encode()), append(records, i)
	}
	var err error
	if len(failed) > 0 {
		err = &sidetrack.PartialError{Failed: failed}
	}
	if len(bulk.Requests) == 0 {
		return nil, err
	}
	bulk.Token = g.cfg.Token.Reveal()
	body, jsonErr := json.Marshal(bulk)
	if jsonErr != nil {
		return nil, fmt.Errorf("matomo: encode request: %w", jsonErr)
	}
	return &sidetrack.Request{URL: g.cfg.Endpoint, Header: http.Header{"Content-Type": {"application/json"}}, Body: body, Records: records}, err
}

// classify reads the answer of a bulk request.
//
// 200 may stand for requests that Matomo found invalid and did not count. It names them to a
// super user's token alone. Where it does not name them nobody can send the right ones again without counting the
// others twice, so that then all of the request becomes a dead letter that says so.
//
// Another status with a body of Matomo's means that it stopped; what it had taken before is rolled back, unless
// NoTransaction says otherwise.
func (g *generator) classify(u sidetrack.Unit, r *sidetrack.Response) error {
	var answer struct {
		Status  string `json:"status"`
		Tracked int    `json:"tracked"`
		Invalid int    `json:"invalid"`
		Indices []int  `json:"invalid_indices"`
	}
	read := json.Unmarshal(r.Body, &answer) == nil
	sent := r.Records
	switch {
	case r.Status == http.StatusOK && read && answer.Invalid > 0:
		failed := map[int]error{}
		if len(answer.Indices) == answer.Invalid && !slices.ContainsFunc(answer.Indices, func(i int) bool { return i < 0 || i >= len(sent) }) {
			for _, i := range answer.Indices {
				failed[sent[i]] = sidetrack.Permanent(errors.New("matomo: found invalid"))
			}
			return &sidetrack.PartialError{Failed: failed}
		}
		return sidetrack.Unclear(answer.Invalid, fmt.Errorf("matomo: %d of %d events found invalid, it does not say which and counted the others: do not replay all of them", answer.Invalid, len(sent)))
	case r.Status >= 300 && read && answer.Status == "error" && g.cfg.NoTransaction && answer.Tracked > 0 && answer.Tracked < len(sent):
		failed := map[int]error{}
		for _, i := range sent[answer.Tracked:] {
			failed[i] = sidetrack.DefaultClassify(u, r)
		}
		if r.Status < 500 { // the one it stopped at is the bad one, the others were not looked at
			for _, i := range sent[answer.Tracked+1:] {
				failed[i] = errors.New("matomo: stopped before this event")
			}
		}
		return &sidetrack.PartialError{Failed: failed}
	}
	return sidetrack.DefaultClassify(u, r)
}

func number[T int | int64](n T) string { return strconv.FormatInt(int64(n), 10) }

type query struct{ url.Values }

// set keeps what has a value.
func (q query) set(name, value string) {
	if value != "" {
		q.Values.Set(name, value)
	}
}
