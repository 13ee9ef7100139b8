package sent

import (
	"errors"
	"slices"
	"testing"

	"github.com/sidetrack-go/sidetrack"
)

func TestOf(t *testing.T) {
	bad := errors.New("bad")
	for name, tt := range map[string]struct {
		events  int
		records []int
		out     map[int]error
		left    []int // of the unit's events
		want    []int
	}{
		"all":                        {3, nil, nil, []int{0, 1, 2}, []int{0, 1, 2}},
		"one left out":               {3, nil, map[int]error{1: bad}, []int{0, 2}, []int{0, 1}},
		"a nil error leaves nothing": {2, nil, map[int]error{0: nil}, []int{0, 1}, []int{0, 1}},
		"another order":              {3, []int{2, 0, 1}, nil, []int{0, 1, 2}, []int{2, 0, 1}},
		"several, one left out":      {4, []int{0, 0, 2, 3, 3}, map[int]error{1: bad}, []int{0, 2, 3}, []int{0, 0, 1, 2, 2}},
		"records of nothing":         {2, []int{-1, 0, 2, 1}, map[int]error{1: bad}, []int{0}, []int{-1, 0, -1, -1}},
		"no records":                 {2, []int{}, nil, []int{0, 1}, []int{}},
	} {
		u := sidetrack.Unit{}
		for range tt.events {
			u.Events = append(u.Events, &sidetrack.Event{})
		}
		all := slices.Clone(u.Events)
		got, records := Of(u, &sidetrack.Request{Records: tt.records}, tt.out)
		var want []*sidetrack.Event
		for _, i := range tt.left {
			want = append(want, all[i])
		}
		if !slices.Equal(got.Events, want) || !slices.Equal(records, tt.want) || Left(u, tt.out) != len(tt.left) {
			t.Errorf("%s: %d events, records %v, %d left", name, len(got.Events), records, Left(u, tt.out))
		}
		if !slices.Equal(u.Events, all) {
			t.Errorf("%s: the unit was changed", name)
		}
	}
}
