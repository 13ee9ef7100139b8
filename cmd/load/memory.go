package main

import (
	"cmp"
	"slices"
)

func rss(m memoryUse) int64  { return m.RSS }
func live(m memoryUse) int64 { return m.Live }

func highest(list []memoryUse, figure func(memoryUse) int64) (most float64) {
	for _, m := range list {
		most = max(most, float64(figure(m)))
	}
	return most
}

// growth is how much a figure grows a second in the second half of a run, when windows and caches are full: from the lowest value of the
// third quarter to that of the fourth. What collections of garbage leave behind for a while is above that.
func growth(list []memoryUse, figure func(memoryUse) int64) float64 {
	third, fourth := list[len(list)/2:len(list)*3/4], list[len(list)*3/4:]
	if len(third) == 0 || len(fourth) == 0 {
		return 0
	}
	lowest := func(list []memoryUse) int64 {
		return figure(slices.MinFunc(list, func(a, b memoryUse) int { return cmp.Compare(figure(a), figure(b)) }))
	}
	return float64(lowest(fourth)-lowest(third)) / (fourth[0].At - third[0].At).Seconds()
}
