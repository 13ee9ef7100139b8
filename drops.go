package sidetrack

import "context"

// DropObserver learns which events an Emit dropped on purpose and why, for a source that tells its client.
// Emit returns nil for such events, as nothing is wrong with them.
type DropObserver interface {
	// Dropped is called for each dropped event before Emit returns, by the goroutine that called
	// Emit. index counts the events given to Emit.
	Dropped(index int, reason Reason)
}

type dropKey struct{}

// ObserveDrops returns a context whose Emit tells o about drops. An Emitter that wraps another one and keeps the
// context needs to do nothing for it.
func ObserveDrops(ctx context.Context, o DropObserver) context.Context {
	return context.WithValue(ctx, dropKey{}, o)
}

// DropObserverOf returns the observer of ctx, nil when there is none: for implementations of Emitter.
func DropObserverOf(ctx context.Context) DropObserver {
	o, _ := ctx.Value(dropKey{}).(DropObserver)
	return o
}
