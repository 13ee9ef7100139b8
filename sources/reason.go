package sources

import (
	"errors"
	"strconv"
	"strings"

	"github.com/sidetrack-go/sidetrack"
)

// reasonHeader tells whoever looks at the answer what became of the events: "accepted", or "dropped=consent"
// when intake ended them on purpose. It is not exposed to pages of other origins.
const reasonHeader = "X-Sidetrack"

// drops counts what intake ended on purpose among the events of one request.
type drops struct{ list []dropped }

type dropped struct {
	reason sidetrack.Reason
	n      int
}

// Dropped implements sidetrack.DropObserver.
func (d *drops) Dropped(_ int, reason sidetrack.Reason) {
	for i := range d.list {
		if d.list[i].reason == reason {
			d.list[i].n++
			return
		}
	}
	d.list = append(d.list, dropped{reason, 1})
}

// header is the header's values for n events, of which err says what was refused.
func (d *drops) header(n int, err error) []string {
	refused := 0
	if err != nil {
		refused = n
		if r, ok := errors.AsType[*sidetrack.RefusedError](err); ok {
			refused = len(r.Refused)
		}
	}
	if len(d.list) == 0 && refused == 0 && n == 1 {
		return accepted
	}
	var b strings.Builder
	add := func(what string, count int) {
		if count <= 0 {
			return
		}
		if b.Len() > 0 {
			b.WriteString(", ")
		}
		b.WriteString(what)
		if n > 1 {
			b.WriteString(";n=" + strconv.Itoa(count))
		}
	}
	accepted := n - refused
	for _, x := range d.list {
		accepted -= x.n
	}
	add("accepted", accepted)
	for _, x := range d.list {
		add("dropped="+string(x.reason), x.n)
	}
	add("refused", refused)
	return []string{b.String()}
}

// accepted is what most answers say. net/http does not change it.
var accepted = []string{"accepted"}
