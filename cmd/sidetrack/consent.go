package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/sidetrack-go/sidetrack"
)

// consentHint says what a person can do about missing consent in the given place.
func consentHint(missing []string) string {
	if len(missing) == 0 {
		missing = []string{string(sidetrack.AnalyticsStorage)}
	}
	return fmt.Sprintf("no consent: the event does not say that the visitor granted %s, and unknown counts as denied", strings.Join(missing, " and "))
}

// stated makes a processor that puts the owner's decision on events that say nothing
// of consent themselves. value is "granted", which grants analytics_storage, or a list of purposes.
func stated(value string) (sidetrack.Processor, error) {
	var purposes []sidetrack.Purpose
	if value == "granted" {
		purposes = []sidetrack.Purpose{sidetrack.AnalyticsStorage}
	} else {
		for name := range strings.SplitSeq(value, ",") {
			p, err := sidetrack.ParsePurpose(strings.TrimSpace(name))
			if err != nil {
				return nil, usageError{fmt.Errorf("--consent %s: %q is not a purpose: write granted, or some of %v", value, name, sidetrack.Purposes())}
			}
			purposes = append(purposes, p)
		}
	}
	return sidetrack.ProcessorFunc(func(_ context.Context, e *sidetrack.Event) error {
		if e.Consent.IsZero() {
			e.Consent = sidetrack.Grant("server", purposes...)
		}
		return nil
	}), nil
}
