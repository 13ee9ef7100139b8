package sidetrack

import (
	"context"
	"testing"
)

type provider struct{ t *Tracker }

func (p *provider) Tracker() *Tracker { return p.t }

func TestProviderContext(t *testing.T) {
	p := &provider{NewTracker(nil, Event{})}
	ctx := NewProviderContext(context.Background(), p)
	if FromContext(ctx) != p.t || ProviderFromContext(ctx) != p {
		t.Error("the provider's tracker is not found")
	}
	own := NewTracker(nil, Event{})
	if below := NewContext(ctx, own); FromContext(below) != own || ProviderFromContext(below) != nil {
		t.Error("a tracker put in later does not count")
	}
	if FromContext(NewContext(ctx, nil)) != nil || FromContext(context.Background()) != nil || ProviderFromContext(context.Background()) != nil {
		t.Error("something is found where nothing is")
	}
}
