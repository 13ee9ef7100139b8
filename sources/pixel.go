package sources

import (
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/sidetrack-go/sidetrack"
)

// maxPixelParams bounds the custom parameters of one pixel request.
const maxPixelParams = 100

// pixel decodes the query of an image request, for pages without scripts and for mail:
// name (default page_view), url, title, referrer, client_id, user_id, site, message_id
// and p.<name> for custom parameters, which are strings. key names the site by one of its keys.
type pixel struct{ reply sidetrack.Reply }

// PixelConfig configures the decoder of image requests.
type PixelConfig struct {
	// Status of the answer: 200 with a transparent image, or 204 without one. Default: 200.
	Status int `yaml:"status"`
}

// NewPixel returns the decoder of image requests: a page view as query parameters, for pages without
// scripts and for mail.
func NewPixel(cfg PixelConfig) (sidetrack.Decoder, error) {
	switch cfg.Status {
	case 0, http.StatusOK:
		return pixel{sidetrack.Reply{Status: http.StatusOK, ContentType: "image/gif", Body: []byte(gif)}}, nil
	case http.StatusNoContent:
		return pixel{sidetrack.Reply{Status: http.StatusNoContent}}, nil
	}
	return nil, wrongStatus(cfg.Status)
}

// gif is a transparent image of one pixel.
const gif = "GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\x00\x00\x00!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"

// Decode implements sidetrack.Decoder.
func (p pixel) Decode(r *http.Request) (sidetrack.Decoded, error) {
	e, err := pixelEvent(r.URL.RawQuery)
	if err != nil {
		return sidetrack.Decoded{}, err
	}
	return sidetrack.Decoded{Events: []*sidetrack.Event{e}, Reply: p.reply, Keys: keysOf(r)}, nil
}

func pixelEvent(query string) (*sidetrack.Event, error) {
	e := &sidetrack.Event{Name: sidetrack.PageView}
	for pair := range strings.SplitSeq(query, "&") {
		rawKey, rawValue, _ := strings.Cut(pair, "=")
		if rawKey == "" {
			continue
		}
		k, err := url.QueryUnescape(rawKey)
		if err != nil || !utf8.ValidString(k) {
			return nil, &sidetrack.FieldError{Field: "query", Problem: "has a parameter name that is not properly escaped"}
		}
		v, err := url.QueryUnescape(rawValue)
		if err != nil || !utf8.ValidString(v) {
			return nil, &sidetrack.FieldError{Field: cutName(k), Problem: "is not properly escaped UTF-8"}
		}
		if v == "" {
			continue
		}
		switch k {
		case "name":
			e.Name = v
		case "url":
			e.Page.URL = v
		case "title":
			e.Page.Title = v
		case "referrer":
			e.Page.Referrer = v
		case "client_id":
			e.Visitor.ClientID = v
		case "user_id":
			e.Visitor.UserID = v
		case "site":
			e.Site = v
		case "message_id":
			e.MessageID = v
		default: // others are ignored: image links gather all kinds of parameters
			if name, ok := strings.CutPrefix(k, "p."); ok && name != "" {
				if len(e.Params) == maxPixelParams && e.Params[name] == nil {
					return nil, &sidetrack.FieldError{Field: "p." + cutName(name), Problem: "is one parameter too many, at most 100 are taken"}
				}
				e.SetParam(name, v)
			}
		}
	}
	return e, nil
}
