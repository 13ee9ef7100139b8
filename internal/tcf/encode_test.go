package tcf

import (
	"strings"
)

// writer encodes TC strings from the fields of the specification: what the tests
// compare the parser with, and how they make strings that no encoder would.
type writer struct{ b strings.Builder }

func (w *writer) uint(v uint64, n int) {
	for i := n - 1; i >= 0; i-- {
		w.b.WriteByte('0' + byte(v>>i&1))
	}
}

func (w *writer) bool(v bool) {
	if v {
		w.uint(1, 1)
	} else {
		w.uint(0, 1)
	}
}

// encode pads to a multiple of pad bits.
func (w *writer) encode(pad int) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	s := w.b.String()
	for len(s)%pad != 0 || len(s)%6 != 0 {
		s += "0"
	}
	out := make([]byte, 0, len(s)/6)
	for ; s != ""; s = s[6:] {
		v := 0
		for _, c := range s[:6] {
			v = v<<1 | int(c-'0')
		}
		out = append(out, alphabet[v])
	}
	return string(out)
}

type span struct {
	first, last int
	several     bool
}

// vendorSet is a set to encode: as ranges when ranges is not nil, else as bits.
type vendorSet struct {
	max    int
	ids    map[int]bool
	ranges []span
}

func (v vendorSet) has(id int) bool {
	for _, s := range v.ranges {
		if id >= s.first && id <= s.last {
			return true
		}
	}
	return v.ranges == nil && v.ids[id]
}

func (w *writer) spans(list []span) {
	w.uint(uint64(len(list)), 12)
	for _, s := range list {
		w.bool(s.several)
		w.uint(uint64(s.first), 16)
		if s.several {
			w.uint(uint64(s.last), 16)
		}
	}
}

func (w *writer) vendors(v vendorSet) {
	w.uint(uint64(v.max), 16)
	w.bool(v.ranges != nil)
	if v.ranges != nil {
		w.spans(v.ranges)
		return
	}
	for i := 1; i <= v.max; i++ {
		w.bool(v.ids[i])
	}
}

type restriction struct {
	purpose, kind int
	vendors       []span
}

// model is what a string says, as the specification lists it.
type model struct {
	version           int
	created, updated  int64 // deciseconds
	cmp, cmpVersion   int
	screen            int
	language, country [2]int
	listVersion       int
	policy            int
	service, texts    bool
	features          uint64
	consent, legit    uint64
	purposeOne        bool
	vendors, vendorLI vendorSet
	restrictions      []restriction
	disclosed         *vendorSet
	allowed           *vendorSet
	publisher         *publisherModel
}

type publisherModel struct {
	consent, legit            uint64
	custom                    int
	customConsent, customOkay uint64
}

func (m model) encode(pad int) string {
	var w writer
	w.uint(uint64(m.version), 6)
	w.uint(uint64(m.created), 36)
	w.uint(uint64(m.updated), 36)
	w.uint(uint64(m.cmp), 12)
	w.uint(uint64(m.cmpVersion), 12)
	w.uint(uint64(m.screen), 6)
	w.uint(uint64(m.language[0]), 6)
	w.uint(uint64(m.language[1]), 6)
	w.uint(uint64(m.listVersion), 12)
	w.uint(uint64(m.policy), 6)
	w.bool(m.service)
	w.bool(m.texts)
	w.uint(m.features, 12)
	w.uint(m.consent, 24)
	w.uint(m.legit, 24)
	w.bool(m.purposeOne)
	w.uint(uint64(m.country[0]), 6)
	w.uint(uint64(m.country[1]), 6)
	w.vendors(m.vendors)
	w.vendors(m.vendorLI)
	w.uint(uint64(len(m.restrictions)), 12)
	for _, r := range m.restrictions {
		w.uint(uint64(r.purpose), 6)
		w.uint(uint64(r.kind), 2)
		w.spans(r.vendors)
	}
	out := []string{w.encode(pad)}
	segment := func(kind uint64, v *vendorSet) {
		if v == nil {
			return
		}
		var w writer
		w.uint(kind, 3)
		w.vendors(*v)
		out = append(out, w.encode(pad))
	}
	segment(1, m.disclosed)
	segment(2, m.allowed)
	if p := m.publisher; p != nil {
		var w writer
		w.uint(3, 3)
		w.uint(p.consent, 24)
		w.uint(p.legit, 24)
		w.uint(uint64(p.custom), 6)
		w.uint(p.customConsent, p.custom)
		w.uint(p.customOkay, p.custom)
		out = append(out, w.encode(pad))
	}
	return strings.Join(out, ".")
}
