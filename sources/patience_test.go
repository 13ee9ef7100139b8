package sources

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		p := patience{wait: 8 * time.Second}
		began := time.Now()
		parent, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "kept"))
		first := p.bound(parent)
		time.Sleep(time.Second)
		second := p.bound(parent) // shares the first one's timer
		time.Sleep(time.Second / 2)
		third := p.bound(parent) // has its own
		cancel()
		if err := first.Err(); err != nil {
			t.Errorf("ended with the request: %v", err)
		}
		if v := first.Value(key{}); v != "kept" {
			t.Errorf("value %v", v)
		}
		for i, tt := range []struct {
			ctx  context.Context
			want time.Duration // since began
		}{{first, 9 * time.Second}, {second, 9 * time.Second}, {third, 10500 * time.Millisecond}} {
			<-tt.ctx.Done()
			if got := time.Since(began); got != tt.want || tt.ctx.Err() != context.DeadlineExceeded {
				t.Errorf("%d: ended after %v with %v, want %v", i, got, tt.ctx.Err(), tt.want)
			}
		}
		fourth := p.bound(parent)
		p.end()
		if fourth.Err() != context.Canceled {
			t.Errorf("end did not end it: %v", fourth.Err())
		}
	})
}
