// Package sidetrack is the vocabulary of server-side tracking: the normalized
// [Event], the consent it carries, and the small interfaces by which sources,
// processors and sinks meet.
//
// A source turns a request into an Event, processors decide what may stay of it,
// and a sink delivers it to one backend. The engine that runs them is package
// pipeline; this package knows nothing of it and imports only the standard library
// and google/uuid, so a third-party component compiles against nothing else.
//
// Most programs need three names from here: [FromContext] inside a handler,
// [NewTracker] outside of one, and [HTTPSink] or [WriterSink] to write a sink.
package sidetrack
