package sidetrack

// Mount is a decoder at the paths on which a collector serves it.
type Mount struct {
	// Name says in messages and logs which decoder it is.
	Name string
	// Paths are patterns of http.ServeMux without a host: "POST /v1/batch", "/g/collect".
	Paths []string
	// At moves all Paths: below a prefix ("/ua"), to a host ("t.example"), or both
	// ("t.example/ua"). The decoder sees the path without it.
	At string
	// Decoder serves them.
	Decoder Decoder
}

// Mounts are the wire protocols of a collector. A source whose configuration has a field
// of this type gets the decoders that a configuration file names there: a mapping from the
// name to the decoder's own configuration and, where the default paths do not suit, "at".
type Mounts []Mount
