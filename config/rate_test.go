package config

import "testing"

func TestRate(t *testing.T) {
	for text, want := range map[string]Rate{
		"100/s": {PerSecond: 100}, "0.5/s": {PerSecond: 0.5}, "3000/m": {PerSecond: 50}, "36/h": {PerSecond: 0.01}, " 7 / s ": {PerSecond: 7},
		"2000 events/s": {PerSecond: 2000, Events: true}, "60events/m": {PerSecond: 1, Events: true},
		"": {}, "100": {}, "/s": {}, "0/s": {}, "-1/s": {}, "1/d": {}, "1/s/s": {}, "NaN/s": {}, "Inf/s": {}, "1e10/s": {}, "10 requests/s": {}, "events/s": {},
	} {
		var got Rate
		if err := got.UnmarshalText([]byte(text)); got != want || (err == nil) != (want != Rate{}) {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
}
