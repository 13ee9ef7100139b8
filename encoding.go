package sidetrack

import "slices"

// Encoding is a content encoding of request bodies, by its name in HTTP.
type Encoding string

// The encodings the engine can send.
const (
	Gzip Encoding = "gzip"
	Zstd Encoding = "zstd"
	// Uncompressed is no encoding, for a sink that would compress by itself.
	Uncompressed Encoding = "none"
)

// Accepts says in which encodings the backend takes request bodies. They can be switched on for each configured sink;
// by itself the engine compresses nothing.
//
// A Generator makes plain bodies in any case: the engine compresses when it sends, and what explain shows stays
// readable. MaxBytes counts the plain body, which is never smaller than the one that is sent.
func Accepts(encodings ...Encoding) SinkOption {
	return func(s *SinkSpec) {
		for _, e := range encodings {
			if !slices.Contains(s.Accepts, e) {
				s.Accepts = append(s.Accepts, e)
			}
		}
	}
}

// Compress is Accepts, and switches the encoding on. It is for backends that document it: an address that
// may as well be a proxy or an older server gets Accepts alone.
func Compress(e Encoding) SinkOption {
	return func(s *SinkSpec) {
		Accepts(e)(s)
		s.Compress = e
	}
}
