package sidetrack

import "time"

// Limits of an event. Validate and the JSON codec enforce them; they bound what one
// event can cost, and lie well above what any backend takes.
const (
	MaxEventBytes  = 64 << 10 // of the event's JSON
	MaxNameBytes   = 128      // of Event.Name, MessageID, Site and Source
	MaxStringBytes = 16 << 10 // of any other text
	MaxParams      = 256      // entries of Params, of UserProperties and of an item's Params
	MaxItems       = 200      // of Ecommerce.Items, as GA4
	MaxMarks       = 32
	MaxDepth       = 16 // nesting of values in Params
)

// Times before 2000 and more than MaxAhead in the future are taken for clocks that
// are wrong.
const (
	minYear  = 2000
	MaxAhead = 24 * time.Hour
)
