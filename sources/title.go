package sources

import (
	"bytes"
	"html"
	"strings"

	"github.com/sidetrack-go/sidetrack/internal/text"
)

// maxTitleScan bounds how far into a page its title is looked for.
const maxTitleScan = 64 << 10

// titleScanner finds the content of the first <title> of a page while the page passes
// in pieces. It keeps a few bytes of the text and the title itself, nothing else.
type titleScanner struct {
	seen  int    // bytes so far
	state uint8  // titleSearch, titleTag, titleText, titleDone
	tail  []byte // an unfinished tag, or the title so far
}

const (
	titleSearch uint8 = iota // for <title or <body
	titleTag                 // inside of <title …
	titleText                // after <title>
	titleDone
)

// wants returns how many of the next bytes are to be scanned.
func (t *titleScanner) wants() int {
	if t.state == titleDone {
		return 0
	}
	return maxTitleScan - t.seen
}

// scan looks at the next piece.
func (t *titleScanner) scan(p []byte) {
	p = p[:min(len(p), t.wants())]
	t.seen += len(p)
	for len(p) > 0 && t.state != titleDone {
		switch t.state {
		case titleSearch:
			p = t.search(p)
		case titleTag:
			i := bytes.IndexByte(p, '>')
			if i < 0 {
				return
			}
			p, t.state = p[i+1:], titleText
		case titleText:
			p = t.read(p)
		}
	}
}

// search looks for "<title" followed by a space or '>', not beyond the start of the body: an
// inline image has a title of its own.
func (t *titleScanner) search(p []byte) (rest []byte) {
	const longest = len("<title>")
	for {
		if len(t.tail) == 0 {
			i := bytes.IndexByte(p, '<')
			if i < 0 {
				return nil
			}
			t.tail, p = append(t.tail, '<'), p[i+1:]
		}
		for len(t.tail) < longest && len(p) > 0 && p[0] != '<' {
			t.tail, p = append(t.tail, p[0]), p[1:]
		}
		if len(t.tail) < longest && len(p) == 0 {
			return nil // goes on in the next piece
		}
		tag := strings.ToLower(string(t.tail))
		t.tail = t.tail[:0]
		if name, ok := strings.CutPrefix(tag, "<title"); ok && name != "" {
			switch name {
			case ">":
				t.state = titleText
				return p
			case " ", "\n", "\t", "\r", "\f":
				t.state = titleTag
				return p
			}
		}
		if strings.HasPrefix(tag, "<body") {
			t.state = titleDone
			return nil
		}
	}
}

// read gathers the text up to "</".
func (t *titleScanner) read(p []byte) (rest []byte) {
	room := maxTitle + len("</") - len(t.tail)
	t.tail = append(t.tail, p[:min(len(p), room)]...)
	if i := bytes.Index(t.tail, []byte("</")); i >= 0 {
		t.tail, t.state = t.tail[:i], titleDone
	} else if len(p) >= room {
		t.state = titleDone
	}
	return nil
}

// found returns the title with entities decoded and white space collapsed; "" when there was none.
func (t *titleScanner) found() string {
	if t == nil || t.state != titleDone && t.state != titleText {
		return ""
	}
	return text.Clean(strings.Join(strings.Fields(html.UnescapeString(string(t.tail))), " "), maxTitle)
}
