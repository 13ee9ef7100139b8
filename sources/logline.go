package sources

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/sidetrack-go/sidetrack/internal/clientip"
)

// hit is one request of an access log.
type hit struct {
	client    netip.Addr // invalid when the log has a name or nothing
	time      time.Time
	method    string
	target    string // path and query as requested, beginning with a slash
	status    int
	bytes     string
	referrer  string
	userAgent string
	host      string // "" when the line does not say
	scheme    string // with "://", "" when the line does not say
}

func (h *hit) path() string {
	p, _, _ := strings.Cut(h.target, "?")
	return p
}

var errLine = errors.New("sources: not a line of an access log")

// parseAny decides by the first character.
func parseAny(line string, h *hit) error {
	if strings.HasPrefix(strings.TrimSpace(line), "{") {
		return parseNginxJSON(line, h)
	}
	return parseCombined(line, h)
}

// logTime is the time of Apache's %t and nginx's $time_local.
const logTime = "02/Jan/2006:15:04:05 -0700"

// parseCombined reads the common and the combined format of Apache and nginx, with an
// optional virtual host in front ("shop.example:443 203.0.113.9 - - [..."):
//
//	client ident user [time] "request" status bytes "referrer" "user agent"
//
// Anything after the user agent is ignored.
func parseCombined(line string, h *hit) error {
	head, rest, ok := strings.Cut(line, " [")
	if !ok {
		return errLine
	}
	stamp, rest, ok := strings.Cut(rest, "] ")
	if !ok {
		return errLine
	}
	var err error
	if h.time, err = time.Parse(logTime, stamp); err != nil {
		return errLine
	}
	first, more, _ := strings.Cut(head, " ")
	if second, user, ok := strings.Cut(more, " "); ok && strings.Contains(user, " ") {
		if _, isAddr := clientip.Parse(second); isAddr { // a virtual host stands in front
			h.host, first = first, second
		}
	} else if !ok {
		return errLine
	}
	h.client, _ = clientip.Parse(first)

	request, rest, ok := quoted(rest)
	if !ok {
		return errLine
	}
	status, rest, _ := strings.Cut(strings.TrimPrefix(rest, " "), " ")
	if h.status, err = strconv.Atoi(status); err != nil || h.status < 100 || h.status > 999 {
		return errLine
	}
	h.bytes, rest, _ = strings.Cut(rest, " ")
	if rest != "" {
		if h.referrer, rest, ok = quoted(rest); !ok {
			return errLine
		}
		if h.userAgent, _, ok = quoted(strings.TrimPrefix(rest, " ")); !ok {
			return errLine
		}
		if h.referrer == "-" {
			h.referrer = ""
		}
		if h.userAgent == "-" {
			h.userAgent = ""
		}
	}
	return h.request(request)
}

// request reads "GET /path HTTP/1.1". What is no such request ends by its status, if that is an error:
// servers log the garbage that scanners send.
func (h *hit) request(line string) error {
	method, rest, ok := strings.Cut(line, " ")
	target := rest
	if i := strings.LastIndex(rest, " HTTP/"); i >= 0 {
		target = rest[:i]
	}
	if !ok || !isMethod(method) || target == "" {
		if h.status >= 400 {
			h.method = "GET"
			return nil
		}
		return errLine
	}
	h.method = method
	switch {
	case target[0] == '/':
	case isWebURL(target): // a request to a proxy, or HTTP/1.0 with an absolute address
		target = target[strings.Index(target, "://")+3:]
		i := strings.IndexAny(target, "/?")
		if i < 0 {
			target = "/"
		} else if target = target[i:]; target[0] == '?' {
			target = "/" + target
		}
	case method != "GET" || h.status >= 400: // OPTIONS *, CONNECT host:443
	default:
		return errLine
	}
	h.target = target
	return nil
}

func isMethod(s string) bool {
	for _, c := range []byte(s) {
		if c < 'A' || c > 'Z' {
			return false
		}
	}
	return s != "" && len(s) <= 20
}

// quoted reads a string in double quotes at the beginning of s, undoing the escapes of
// Apache and nginx: \" \\ \t \n and \xHH.
func quoted(s string) (value, rest string, ok bool) {
	if s == "" || s[0] != '"' {
		return "", "", false
	}
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return unescapeLog(s[1:i]), s[i+1:], true
		}
	}
	return "", "", false
}

func unescapeLog(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b = append(b, s[i])
			continue
		}
		i++
		switch s[i] {
		case 'x':
			if i+2 < len(s) {
				if v, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
					b = append(b, byte(v))
					i += 2
					continue
				}
			}
			b = append(b, '\\', 'x')
		case 'n':
			b = append(b, '\n')
		case 't':
			b = append(b, '\t')
		case 'r':
			b = append(b, '\r')
		default:
			b = append(b, s[i])
		}
	}
	return string(b)
}

// parseNginxJSON reads a log_format with escape=json. Its keys are nginx's variable names
// without the dollar sign: time_iso8601, msec or time_local; remote_addr; request, or request_method
// with request_uri (or uri and args); status; body_bytes_sent; http_referer; http_user_agent; host; scheme.
// "time", "timestamp" and "@timestamp" are taken as time, too.
func parseNginxJSON(line string, h *hit) error {
	var m map[string]any
	dec := json.NewDecoder(strings.NewReader(line))
	dec.UseNumber()
	if err := dec.Decode(&m); err != nil || m == nil {
		return errLine
	}
	get := func(keys ...string) string {
		for _, k := range keys {
			switch v := m[k].(type) {
			case string:
				if v != "" && v != "-" {
					return v
				}
			case json.Number:
				return v.String()
			}
		}
		return ""
	}
	var ok bool
	if h.time, ok = jsonTime(get("time_iso8601", "@timestamp", "timestamp", "time", "msec", "time_local")); !ok {
		return errLine
	}
	status := get("status")
	var err error
	if h.status, err = strconv.Atoi(status); err != nil || h.status < 100 || h.status > 999 {
		return errLine
	}
	h.client, _ = clientip.Parse(get("remote_addr", "client_ip"))
	h.bytes = get("body_bytes_sent", "bytes_sent")
	h.referrer = get("http_referer", "referer", "referrer")
	h.userAgent = get("http_user_agent", "user_agent")
	h.host = get("host", "http_host", "server_name")
	if s := get("scheme"); s == "http" || s == "https" {
		h.scheme = s + "://"
	}
	if request := get("request"); request != "" {
		return h.request(request)
	}
	target := get("request_uri")
	if target == "" {
		target = get("uri")
		if args := get("args", "query_string"); args != "" {
			target += "?" + args
		}
	}
	return h.request(get("request_method", "method") + " " + target)
}

// jsonTime reads ISO 8601, a log time or seconds since 1970 with a fraction.
func jsonTime(s string) (time.Time, bool) {
	for _, layout := range [...]string{time.RFC3339Nano, logTime, "2006-01-02T15:04:05-0700"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	sec, err := strconv.ParseFloat(s, 64)
	if err != nil || !(sec > 0 && sec < 1e11) {
		return time.Time{}, false
	}
	whole, frac := math.Modf(sec)
	return time.Unix(int64(whole), int64(math.Round(frac*1000))*int64(time.Millisecond)).UTC(), true
}

// baseURL makes "shop.example", "shop.example:443" or "https://shop.example" a URL without a
// path. https is assumed.
func baseURL(host string) (string, error) {
	if host == "" {
		return "", nil
	}
	s := host
	if !strings.Contains(s, "://") {
		s = "https://" + s
	}
	u, err := url.Parse(strings.TrimSuffix(s, "/"))
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return "", fmt.Errorf("sources: accesslog: host %q: want a host or an origin like https://shop.example", host)
	}
	switch {
	case u.Scheme == "https" && u.Port() == "443", u.Scheme == "http" && u.Port() == "80":
		u.Host = strings.TrimSuffix(u.Host, ":"+u.Port())
	case u.Port() == "80" && !strings.Contains(host, "://"):
		u.Scheme, u.Host = "http", strings.TrimSuffix(u.Host, ":80")
	}
	return u.Scheme + "://" + strings.ToLower(u.Host), nil
}

// isPagePath reports whether a requested path with query looks like a page: it ends in a slash, has
// no ending, or one that pages have. An ending begins with a letter and has, but for a few, at
// most five characters, so that /release-2.3 and /john.appleseed are pages. Feeds are none.
func isPagePath(target string) bool {
	path, query, _ := strings.Cut(target, "?")
	if isFeed(path, query) {
		return false
	}
	name := path[strings.LastIndexByte(path, '/')+1:]
	dot := strings.LastIndexByte(name, '.')
	if dot < 0 {
		return true
	}
	ending := strings.ToLower(name[dot+1:])
	if dot == 0 {
		return false // /.env, /.htaccess
	}
	switch ending {
	case "webmanifest", "appcache", "manifest", "markdown", "torrent", "jsonld", "properties", "sqlite", "access":
		return false
	}
	if ending == "" || len(ending) > 5 || ending[0] < 'a' || ending[0] > 'z' {
		return true
	}
	switch ending {
	case "html", "htm", "xhtml", "shtml", "phtml", "php", "php5", "asp", "aspx", "jsp", "jspx", "do", "cgi", "pl", "cfm":
		return true
	}
	return false
}

// isFeed knows the addresses that blog software gives its feeds.
func isFeed(path, query string) bool {
	last := strings.TrimSuffix(path, "/")
	last = strings.ToLower(last[strings.LastIndexByte(last, '/')+1:])
	switch last {
	case "feed", "rss", "rss2", "atom":
		return true
	}
	for pair := range strings.SplitSeq(query, "&") {
		k, v, _ := strings.Cut(pair, "=")
		switch k {
		case "feed", "flav", "format":
			v = strings.ToLower(v)
			if strings.HasPrefix(v, "rss") || strings.HasPrefix(v, "atom") || strings.HasPrefix(v, "rdf") {
				return true
			}
		}
	}
	return false
}
