package gtag

import (
	"slices"
	"strings"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/gawire"
)

// numbered is a prN parameter.
type numbered struct {
	n     int
	value string
}

// itemNumber returns the number of a key pr1 to pr200.
func itemNumber(key string) (n int, ok bool) {
	if len(key) < 3 || len(key) > 5 || key[0] != 'p' || key[1] != 'r' || key[2] == '0' {
		return 0, false
	}
	for i := 2; i < len(key); i++ {
		if key[i] < '0' || key[i] > '9' {
			return 0, false
		}
		n = n*10 + int(key[i]-'0')
	}
	return n, n <= maxItems
}

func (h *hit) item(n int, value string) {
	for i := range h.items {
		if h.items[i].n == n {
			h.items[i].value = value
			return
		}
	}
	h.items = append(h.items, numbered{n, value})
}

// parseItems reads all items in the order of their numbers.
func parseItems(raw []numbered) []sidetrack.Item {
	slices.SortFunc(raw, func(a, b numbered) int { return a.n - b.n })
	items := make([]sidetrack.Item, len(raw))
	for i := range raw {
		parseItem(&items[i], raw[i].value)
	}
	return items
}

// custom is a pair of custom item parameters while its halves are looked for.
type custom struct {
	index       byte
	name, value string
	has         [2]bool
}

// parseItem reads the tokens of one item: two letters and a value each, joined by '~'. A tilde
// inside a value is doubled. Custom parameters come as k<i><name> and v<i><value>; the index is
// one character.
func parseItem(it *sidetrack.Item, s string) {
	var customs []custom
	for s != "" {
		var token string
		token, s = nextToken(s)
		if len(token) < 2 {
			continue
		}
		key, value := token[:2], token[2:]
		if name := itemKey(key); name != "" {
			p := gawire.TextParam(name, value)
			gawire.SetItem(it, &p)
			continue
		}
		if half := strings.IndexByte("kv", key[0]); half >= 0 && customIndex(key[1]) {
			customs = pair(customs, key[1], half, value)
			continue
		}
		if value != "" && gawire.Keepable(key, value) && isKey(key) {
			p := gawire.TextParam(Namespace+key, value)
			gawire.SetItem(it, &p)
		}
	}
	for i := range customs {
		if c := &customs[i]; c.has == [2]bool{true, true} && c.name != "" {
			if it.Params == nil {
				it.Params = make(map[string]any, len(customs))
			}
			it.Params[c.name] = gawire.Text(c.value)
		}
	}
}

// nextToken cuts the first token off s and undoes the doubling of tildes.
func nextToken(s string) (token, rest string) {
	i := strings.IndexByte(s, '~')
	if i < 0 {
		return s, ""
	}
	if i+1 == len(s) || s[i+1] != '~' {
		return s[:i], s[i+1:]
	}
	var b strings.Builder
	for {
		b.WriteString(s[:i])
		if i+1 == len(s) || s[i+1] != '~' {
			return b.String(), s[i+1:]
		}
		b.WriteByte('~')
		s = s[i+2:]
		if i = strings.IndexByte(s, '~'); i < 0 {
			b.WriteString(s)
			return b.String(), ""
		}
	}
}

// pair adds one half of a custom parameter; 0 is its name, 1 its value.
func pair(customs []custom, index byte, half int, v string) []custom {
	at := slices.IndexFunc(customs, func(c custom) bool { return c.index == index })
	if at < 0 {
		customs = append(customs, custom{index: index})
		at = len(customs) - 1
	}
	c := &customs[at]
	c.has[half] = true
	if half == 0 {
		c.name = gawire.ParamName(v)
	} else {
		c.value = v
	}
	return customs
}

// customIndex reports whether c numbers a custom parameter: 0 to 9, then A to Q.
func customIndex(c byte) bool { return c >= '0' && c <= '9' || c >= 'A' && c <= 'Q' }

func isKey(s string) bool {
	for i := 0; i < len(s); i++ {
		if !(s[i] >= 'a' && s[i] <= 'z' || s[i] >= 'A' && s[i] <= 'Z' || s[i] >= '0' && s[i] <= '9') {
			return false
		}
	}
	return true
}

// itemKey returns Google's name of an item's field by its two letters on the wire.
func itemKey(key string) string {
	switch key {
	case "id":
		return "item_id"
	case "nm":
		return "item_name"
	case "br":
		return "item_brand"
	case "ca":
		return "item_category"
	case "c2":
		return "item_category2"
	case "c3":
		return "item_category3"
	case "c4":
		return "item_category4"
	case "c5":
		return "item_category5"
	case "va":
		return "item_variant"
	case "pr":
		return "price"
	case "qt":
		return "quantity"
	case "cp":
		return "coupon"
	case "ln":
		return "item_list_name"
	case "li":
		return "item_list_id"
	case "lp":
		return "index"
	case "lo":
		return "location_id"
	case "ds":
		return "discount"
	case "af":
		return "affiliation"
	case "pi":
		return "promotion_id"
	case "pn":
		return "promotion_name"
	case "cn":
		return "creative_name"
	case "cs":
		return "creative_slot"
	}
	return ""
}
