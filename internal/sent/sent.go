// Package sent tells what of a unit is in a request.
package sent

import "github.com/sidetrack-go/sidetrack"

// Left counts the events of u that a generator did not leave out.
func Left(u sidetrack.Unit, out map[int]error) int {
	n := 0
	for i := range u.Events {
		if out[i] == nil {
			n++
		}
	}
	return n
}

// Of returns u without the events that were left out, and for each record of the request the index of its event in the
// result, -1 for one that was left out or is none of the unit's.
func Of(u sidetrack.Unit, made *sidetrack.Request, out map[int]error) (sidetrack.Unit, []int) {
	rest := make([]*sidetrack.Event, 0, len(u.Events))
	at := make([]int, len(u.Events)) // in rest
	for i, e := range u.Events {
		if at[i] = len(rest); out[i] != nil {
			at[i] = -1
			continue
		}
		rest = append(rest, e)
	}
	records := make([]int, 0, max(len(made.Records), len(rest)))
	if u.Events = rest; made.Records == nil {
		for i := range rest {
			records = append(records, i)
		}
		return u, records
	}
	for _, i := range made.Records {
		if i < 0 || i >= len(at) {
			records = append(records, -1)
			continue
		}
		records = append(records, at[i])
	}
	return u, records
}
